//! The metrics of calls.

use throughline_core::metrics::{HistogramFamily, Meter, catalogue};

use super::{CallOutcome, CallRecord};

/// What callers record into.
#[derive(Debug, Clone)]
pub(super) struct CallMetrics {
    calls: HistogramFamily<3>,
    parts: HistogramFamily<3>,
    request_bytes: HistogramFamily<2>,
    response_bytes: HistogramFamily<2>,
}

impl CallMetrics {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            calls: meter.histogram(&catalogue::CALL_DURATION),
            parts: meter.histogram(&catalogue::CALL_PART_DURATION),
            request_bytes: meter.histogram(&catalogue::CALL_REQUEST_SIZE),
            response_bytes: meter.histogram(&catalogue::CALL_RESPONSE_SIZE),
        }
    }

    /// The parts and sizes of calls that succeeded are recorded: those of others are of a call that was cut short.
    pub(super) fn record(&self, call: &CallRecord) {
        let (function, transport) = (call.function.as_str(), call.transport.as_str());
        let outcome = call.outcome.as_str();
        self.calls.with([function, transport, outcome]).record_duration(call.times.total());
        if call.outcome != CallOutcome::Success {
            return;
        }
        for (part, took) in call.times.parts() {
            self.parts.with([function, transport, part.as_str()]).record_duration(took);
        }
        self.request_bytes.with([function, transport]).record(call.request_bytes as f64);
        self.response_bytes.with([function, transport]).record(call.response_bytes as f64);
    }
}
