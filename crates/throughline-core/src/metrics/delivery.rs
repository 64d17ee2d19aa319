//! The figures of the delivery report as metrics.

use throughline_model::Text;

use super::{CollectorGuard, Meter, catalogue};
use crate::delivery::DeliveryReport;

/// Measures the delivery report of a service at each collection, for as long as the service exists.
pub(crate) fn measure_delivery(
    meter: &Meter,
    service: Text,
    report: impl Fn() -> Option<DeliveryReport> + Send + Sync + 'static,
) -> CollectorGuard {
    let accepted = meter.counter(&catalogue::EVENTS_ACCEPTED);
    let delivered = meter.counter(&catalogue::EVENTS_DELIVERED);
    let dropped = meter.counter(&catalogue::EVENTS_DROPPED);
    let pending = meter.gauge(&catalogue::EVENTS_PENDING);
    let panics = meter.counter(&catalogue::DESTINATION_PANICS);
    let broken = meter.gauge(&catalogue::DESTINATION_BROKEN);
    let upkeep = meter.counter(&catalogue::UPKEEP_FAILURES);
    let redacted = meter.counter(&catalogue::REDACTED);
    let charges = meter.counter(&catalogue::STORE_CHARGES);
    meter.on_collect(move || {
        let Some(report) = report() else { return };
        for (kind, count) in &report.redacted {
            redacted.with([&*service, kind.as_str()]).absolute(*count);
        }
        for figures in report.destinations {
            let (service, destination) = (&*service, figures.name.as_str());
            accepted.with([service, destination]).absolute(figures.accepted);
            delivered.with([service, destination]).absolute(figures.delivered);
            pending.with([service, destination]).set(figures.pending as f64);
            panics.with([service, destination]).absolute(figures.panics);
            broken.with([service, destination]).set(f64::from(u8::from(figures.broken.is_some())));
            upkeep.with([service, destination]).absolute(figures.upkeep_failures);
            for (operation, units) in &figures.charges {
                charges.with([service, destination, operation]).absolute(*units);
            }
            for (reason, count) in &figures.dropped {
                dropped.with([service, destination, reason.as_str()]).absolute(*count);
            }
        }
    })
}
