//! A row of the table: what was broken, what the emitters saw, and what became of what was acknowledged.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use throughline::Throughline;
use throughline::delivery::DeliveryReport;
use throughline::store::TraceReader;

use crate::load::{Load, Seen, lost_and_doubled};

/// Where rows are left for the command that makes the table.
const FOLDER: &str = "THROUGHLINE_FAULT_ROWS";
/// How many events are acknowledged before something breaks, and after it works again.
const ENOUGH: u64 = 100;
/// How long a shutdown may take.
const SHUTDOWN: Duration = Duration::from_secs(90);

/// What is broken, and its place in the table.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(crate) place: u32,
    pub(crate) destination: &'static str,
    pub(crate) fault: &'static str,
}

impl Row {
    /// Lets emitters work while something breaks and is repaired. Checks that the ledger balances and that nothing which was
    /// acknowledged is lost or doubled.
    pub(crate) async fn play(
        self,
        throughline: &Throughline,
        reader: &dyn TraceReader,
        fault: impl AsyncFnOnce(&Load),
    ) -> DeliveryReport {
        let load = Load::on(throughline);
        load.acknowledged(ENOUGH).await;
        fault(&load).await;
        load.acknowledged(ENOUGH).await;
        let (seen, report) = load.end(SHUTDOWN).await;
        self.settle(&seen, &report, reader).await;
        report
    }

    async fn settle(self, seen: &Seen, report: &DeliveryReport, reader: &dyn TraceReader) {
        for account in &report.destinations {
            assert!(account.balances(), "{account:?}");
        }
        let (lost, doubled) = lost_and_doubled(reader, &seen.acknowledged).await;
        let ledger = report.destinations.iter().map(|account| {
            let mut said = format!("{} delivered", account.delivered);
            for (reason, events) in &account.dropped {
                let _ = write!(said, ", {events} dropped ({})", reason.as_str());
            }
            if account.pending > 0 {
                let _ = write!(said, ", {} pending", account.pending);
            }
            said
        });
        let ledger = ledger.collect::<Vec<_>>().join("; ");
        self.write(seen, &ledger, lost, doubled);
    }

    /// Leaves the row to the command that makes the table.
    pub(crate) fn write(self, seen: &Seen, ledger: &str, lost: usize, doubled: usize) {
        let mut waits = seen.waits.clone();
        waits.sort();
        let at = |share: f64| millis(waits[((waits.len() - 1) as f64 * share) as usize]);
        let mut told = format!("{} acknowledged", seen.acknowledged.len());
        for (what, times) in &seen.refused {
            let _ = write!(told, ", {times} {what}");
        }
        let Self { place, destination, fault } = self;
        let row = format!(
            "| {destination} | {fault} | {told} | {} / {} / {} | {ledger} | {lost} | {doubled} |\n",
            at(0.5),
            at(0.99),
            at(1.0)
        );
        print!("{row}");
        if let Ok(folder) = std::env::var(FOLDER) {
            std::fs::write(Path::new(&folder).join(format!("{place:03}")), &row).unwrap();
        }
        assert_eq!((lost, doubled), (0, 0), "{row}");
    }
}

fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis < 10.0 { format!("{millis:.1}") } else { format!("{millis:.0}") }
}
