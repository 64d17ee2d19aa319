//! [`Profiler`]: collects calls.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use throughline_core::{Histogram, Text};

use super::report::{FunctionProfile, PartProfile, Percentiles, ProfileReport, Sizes};
use super::{CallOutcome, CallRecord, Part, Transport};

/// What stands for all functions beyond the profiler's capacity.
const OVERFLOW: &str = "_overflow";
const CAPACITY: usize = 256;

/// Collects calls for a [`ProfileReport`]: give it to the [`Caller`](super::Caller)s whose calls it is to see. Cheap to
/// clone; clones collect into one.
///
/// Its memory is bounded: percentiles come from [`Histogram`]s, exact to 1/32, and there are at most so many pairs of a
/// function and a transport, 256 by default; the calls of all others are counted under `_overflow`.
#[derive(Clone)]
pub struct Profiler(Arc<Shared>);

struct Shared {
    capacity: usize,
    profiles: Mutex<BTreeMap<(Text, Transport), Profile>>,
}

/// The calls of a function over a transport. Times and sizes are of those that succeeded: a failure may be fast.
#[derive(Default)]
struct Profile {
    outcomes: BTreeMap<CallOutcome, u64>,
    total: Tally,
    parts: BTreeMap<Part, Tally>,
    request_bytes: Histogram,
    response_bytes: Histogram,
}

/// Durations in nanoseconds: the buckets of a histogram have a relative width, so the unit does not matter to them.
#[derive(Default)]
struct Tally {
    histogram: Histogram,
    sum: Duration,
}

impl Tally {
    fn record(&mut self, took: Duration) {
        self.histogram.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        self.sum = self.sum.saturating_add(took);
    }

    fn percentiles(&self) -> Percentiles {
        let at = |part| Duration::from_nanos(self.histogram.quantile(part));
        Percentiles { p50: at(0.5), p95: at(0.95), p99: at(0.99) }
    }
}

impl Profiler {
    /// A profiler that has seen nothing.
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    /// The same for so many pairs of a function and a transport.
    pub fn with_capacity(pairs: usize) -> Self {
        Self(Arc::new(Shared { capacity: pairs, profiles: Mutex::default() }))
    }

    /// Records a call. A [`Caller`](super::Caller) does so by itself; this is for calls that you measure.
    pub fn record(&self, call: &CallRecord) {
        let mut profiles = self.0.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (call.function.clone(), call.transport);
        if profiles.len() >= self.0.capacity && !profiles.contains_key(&key) {
            key.0 = Text::literal(OVERFLOW);
        }
        profiles.entry(key).or_default().record(call);
    }

    /// What there is to say of the calls so far.
    pub fn report(&self) -> ProfileReport {
        let profiles = self.0.profiles.lock().unwrap_or_else(PoisonError::into_inner);
        let functions =
            profiles.iter().map(|((function, transport), profile)| profile.report(function, *transport));
        ProfileReport { functions: functions.collect() }
    }

    /// Forgets the calls so far, as between two phases of a measurement.
    pub fn reset(&self) {
        self.0.profiles.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Profile {
    fn record(&mut self, call: &CallRecord) {
        *self.outcomes.entry(call.outcome).or_default() += 1;
        if call.outcome != CallOutcome::Success {
            return;
        }
        self.total.record(call.times.total());
        for (part, took) in call.times.parts() {
            self.parts.entry(part).or_default().record(took);
        }
        self.request_bytes.record(call.request_bytes);
        self.response_bytes.record(call.response_bytes);
    }

    fn report(&self, function: &Text, transport: Transport) -> FunctionProfile {
        let whole = self.total.sum.as_secs_f64();
        let part = |(part, tally): (&Part, &Tally)| PartProfile {
            part: *part,
            share: if whole > 0.0 { tally.sum.as_secs_f64() / whole } else { 0.0 },
            times: tally.percentiles(),
        };
        let sizes = |histogram: &Histogram| Sizes {
            p50: histogram.quantile(0.5),
            p95: histogram.quantile(0.95),
            p99: histogram.quantile(0.99),
        };
        FunctionProfile {
            function: function.clone(),
            transport,
            outcomes: self.outcomes.clone(),
            total: self.total.percentiles(),
            parts: self.parts.iter().map(part).collect(),
            request_bytes: sizes(&self.request_bytes),
            response_bytes: sizes(&self.response_bytes),
        }
    }
}

impl Default for Profiler {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Profiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Profiler").field("capacity", &self.0.capacity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{CallTimes, CalleeTimes};

    #[test]
    fn however_many_functions_there_are_no_more_than_the_capacity_are_kept() {
        let profiler = Profiler::with_capacity(3);
        for at in 0..1000 {
            let call = CallRecord::new(format!("f-{at}"), Transport::Http, CallTimes::default());
            profiler.record(&call);
        }
        let report = profiler.report();
        assert_eq!(report.functions.len(), 4);
        let overflow = report.of(OVERFLOW, Transport::Http).unwrap();
        assert_eq!(overflow.calls(), 997);
    }

    #[test]
    fn the_times_of_failed_calls_are_not_mixed_in() {
        let profiler = Profiler::new();
        let slow = CallTimes { round_trip: Duration::from_millis(10), ..CallTimes::default() };
        let fast = CallTimes { round_trip: Duration::from_micros(10), ..CallTimes::default() };
        profiler.record(&CallRecord::new("f", Transport::Ipc, slow));
        for _ in 0..9 {
            let failed = CallRecord::new("f", Transport::Ipc, fast);
            profiler.record(&failed.outcome(CallOutcome::Unreachable));
        }
        let report = profiler.report();
        let profile = report.of("f", Transport::Ipc).unwrap();
        assert!(profile.total.p50 >= Duration::from_millis(10));
        assert_eq!((profile.calls(), profile.successes()), (10, 1));
    }

    #[test]
    fn the_shares_of_the_parts_are_those_of_all_the_time() {
        let profiler = Profiler::new();
        for millis in [1, 99] {
            let times = CallTimes {
                round_trip: Duration::from_millis(100),
                callee: Some(CalleeTimes { app: Duration::from_millis(millis), ..CalleeTimes::default() }),
                ..CallTimes::default()
            };
            profiler.record(&CallRecord::new("f", Transport::Http, times));
        }
        let report = profiler.report();
        let share = report.of("f", Transport::Http).unwrap().share(Part::Callee);
        assert!((share - 0.5).abs() < 1e-9, "{share}");
    }
}
