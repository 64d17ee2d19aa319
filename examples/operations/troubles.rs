//! The five kinds of trouble.

use crate::service::{Bureau, Service};

/// Who is told of what is critical. The secondary is told of warnings, too, in business hours.
const PRIMARY: &[&str] = &["oncall-primary", "slack-alerts"];
const CHAT: &[&str] = &["slack-alerts"];

/// What goes wrong.
#[derive(Clone, Copy)]
enum Fault {
    Bureau(Bureau),
    Treasury,
    Bank,
    Store,
}

/// One kind of trouble, and how it is noticed.
pub(crate) struct Trouble {
    pub(crate) title: &'static str,
    pub(crate) alert: &'static str,
    /// Who is told at any hour.
    pub(crate) told: &'static [&'static str],
    fault: Fault,
}

pub(crate) const TROUBLES: [Trouble; 5] = [
    Trouble {
        title: "The credit bureau refuses every question, and most requests fail",
        alert: "APIDown",
        told: PRIMARY,
        fault: Fault::Bureau(Bureau::Refuses),
    },
    Trouble {
        title: "The credit bureau takes longer than two seconds",
        alert: "HighLatency",
        told: CHAT,
        fault: Fault::Bureau(Bureau::IsSlow),
    },
    Trouble {
        title: "A contract can't be signed, and what was reserved for it can't be released",
        alert: "CompensationsFail",
        told: PRIMARY,
        fault: Fault::Treasury,
    },
    Trouble {
        title: "The bank takes no transfers, and payouts pile up",
        alert: "QueueBacklogCritical",
        told: PRIMARY,
        fault: Fault::Bank,
    },
    Trouble {
        title: "Somebody moves the file of the store away",
        alert: "DestinationBroken",
        told: PRIMARY,
        fault: Fault::Store,
    },
];

impl Trouble {
    pub(crate) async fn begin(&self, service: &Service) -> anyhow::Result<()> {
        match self.fault {
            Fault::Bureau(how) => service.world().bureau_is(how),
            Fault::Treasury => service.sign_what_fails().await?,
            Fault::Bank => {
                service.world().bank_is_open(false);
                service.order_payouts().await?;
            }
            Fault::Store => service.move_store(true)?,
        }
        Ok(())
    }

    pub(crate) async fn end(&self, service: &Service) -> anyhow::Result<()> {
        match self.fault {
            Fault::Bureau(_) => service.world().bureau_is(Bureau::IsWell),
            // What failed once is in the past.
            Fault::Treasury => {}
            Fault::Bank => service.world().bank_is_open(true),
            Fault::Store => service.move_store(false)?,
        }
        Ok(())
    }
}
