//! The ledger in figures.

use throughline_model::Text;

use super::{CollectorGuard, Meter, catalogue};
use crate::delivery::DeliveryReport;

/// Has the ledger of a service measured whenever somebody looks, for as long as there is one.
pub(crate) fn measure_ledger(
    meter: &Meter,
    service: Text,
    ledger: impl Fn() -> Option<DeliveryReport> + Send + Sync + 'static,
) -> CollectorGuard {
    let accepted = meter.counter(&catalogue::EVENTS_ACCEPTED);
    let delivered = meter.counter(&catalogue::EVENTS_DELIVERED);
    let dropped = meter.counter(&catalogue::EVENTS_DROPPED);
    let pending = meter.gauge(&catalogue::EVENTS_PENDING);
    meter.on_collect(move || {
        let Some(report) = ledger() else { return };
        for account in report.destinations {
            let (service, destination) = (&*service, account.name.as_str());
            accepted.with([service, destination]).absolute(account.accepted);
            delivered.with([service, destination]).absolute(account.delivered);
            pending.with([service, destination]).set(account.pending as f64);
            for (reason, count) in &account.dropped {
                dropped.with([service, destination, reason.as_str()]).absolute(*count);
            }
        }
    })
}
