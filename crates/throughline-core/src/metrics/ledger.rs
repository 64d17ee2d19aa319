//! The ledger in figures.

use std::sync::Weak;

use super::{CollectorGuard, Meter, catalogue};
use crate::hub::Hub;

/// Has the ledger measured whenever somebody looks.
pub(crate) fn measure_ledger(meter: &Meter, hub: Weak<Hub>) -> CollectorGuard {
    let accepted = meter.counter(&catalogue::EVENTS_ACCEPTED);
    let delivered = meter.counter(&catalogue::EVENTS_DELIVERED);
    let dropped = meter.counter(&catalogue::EVENTS_DROPPED);
    let pending = meter.gauge(&catalogue::EVENTS_PENDING);
    meter.on_collect(move || {
        let Some(hub) = hub.upgrade() else { return };
        for account in hub.report().accounts {
            let (service, destination) = (&*hub.service, account.destination.as_str());
            accepted.with([service, destination]).absolute(account.accepted);
            delivered.with([service, destination]).absolute(account.delivered);
            pending.with([service, destination]).set(account.pending as f64);
            for (reason, count) in &account.dropped {
                dropped.with([service, destination, reason.as_str()]).absolute(*count);
            }
        }
    })
}
