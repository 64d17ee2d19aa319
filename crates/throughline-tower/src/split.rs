//! What a `Server-Timing` says about a round trip.

use std::time::Duration;

use http::HeaderMap;
use throughline_core::{TraceContext, names};

use crate::ServerTiming;

/// A round trip in parts, which add up to it. No clock but the caller's own and the callee's own is used: each says how
/// long it took, and the rest was the transport's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) transport: Duration,
    pub(crate) queue: Duration,
    pub(crate) callee: Duration,
}

/// How much more than the round trip the callee may claim: rounding, and two clocks that tick apart.
const TOLERANCE: Duration = Duration::from_millis(1);

impl Split {
    /// Splits a round trip. `None` without a `Server-Timing` of our kind, and with one that cannot be true.
    pub(crate) fn of(round_trip: Duration, headers: &HeaderMap) -> Option<Self> {
        let ServerTiming { queue, app } = ServerTiming::from_headers(headers)?;
        let claimed = queue.saturating_add(app);
        if claimed > round_trip.saturating_add(TOLERANCE) {
            return None;
        }
        let queue = queue.min(round_trip);
        let callee = app.min(round_trip.saturating_sub(queue));
        Some(Self { transport: round_trip.saturating_sub(queue).saturating_sub(callee), queue, callee })
    }

    /// The names of the parts, as in metrics, with their times.
    pub(crate) fn parts(&self) -> [(&'static str, Duration); 3] {
        [("transport", self.transport), ("queue", self.queue), ("callee", self.callee)]
    }
}

/// Adds how long a part took to the span of a call.
pub(crate) fn annotate(context: &TraceContext, part: &str, took: Duration) {
    context.annotate(format!("{}{part}_us", names::attrs::CALL_PREFIX), took.as_micros().to_string());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(queue: Duration, app: Duration) -> HeaderMap {
        HeaderMap::from_iter([(crate::SERVER_TIMING, ServerTiming { queue, app }.to_header())])
    }

    #[test]
    fn without_a_timing_there_is_no_split() {
        assert_eq!(Split::of(Duration::from_millis(5), &HeaderMap::new()), None);
    }

    #[test]
    fn a_callee_that_claims_more_than_the_round_trip_is_not_believed() {
        let (queue, app) = (Duration::ZERO, Duration::from_millis(20));
        assert_eq!(Split::of(Duration::from_millis(5), &answer(queue, app)), None);
        let nearly = Split::of(Duration::from_micros(19_500), &answer(queue, app)).unwrap();
        assert_eq!((nearly.transport, nearly.callee), (Duration::ZERO, Duration::from_micros(19_500)));
    }

    proptest! {
        #[test]
        fn the_parts_add_up_to_the_round_trip(
            round_trip in 0_u64..10_000_000_000, queue in 0_u64..10_000_000, app in 0_u64..10_000_000,
        ) {
            let round_trip = Duration::from_nanos(round_trip);
            let headers = answer(Duration::from_micros(queue), Duration::from_micros(app));
            if let Some(split) = Split::of(round_trip, &headers) {
                prop_assert_eq!(split.parts().iter().map(|(_, took)| *took).sum::<Duration>(), round_trip);
            } else {
                prop_assert!(Duration::from_micros(queue + app) > round_trip);
            }
        }
    }
}
