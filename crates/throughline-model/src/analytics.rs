//! [`TraceAnalytics`], the questions across runs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::{BoxFuture, ReadError, Scope, SpanId, Text, Timestamp, TraceId};

mod histogram;
mod log;
mod paged;

pub use histogram::Histogram;
pub use log::{Log, LoggedRun};
pub use paged::PagedAnalytics;

/// Queries across runs. Rates come with a 95 % [Wilson interval](Rate::interval), because three failures in four runs do
/// not mean 75 %.
///
/// A store implements the queries that it can answer; the others return [`Unsupported`](ReadError::Unsupported). A store
/// that keeps no counts, but can afford to read all events that a query is about, uses [`PagedAnalytics`].
pub trait TraceAnalytics: Send + Sync + 'static {
    /// How many runs failed, of those that started in the scope and have ended. Cancelled runs count as ended, not as
    /// failed.
    fn failure_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        let _ = scope;
        unsupported("failure_rate")
    }

    /// How many spans and point events failed, by event type; the most failures first, then by name. Counts events
    /// that end a span or are points: everything that is not `pending`.
    fn failure_rate_by_type<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<TypeRate>, ReadError>> {
        let _ = scope;
        unsupported("failure_rate_by_type")
    }

    /// How long spans take, by event type; the greatest p95 first. Percentiles come from a
    /// [`Histogram`] and are exact to 1/32.
    fn slowest_stages<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StageTimes>, ReadError>> {
        let _ = (scope, limit);
        unsupported("slowest_stages")
    }

    /// The spans that took longest, the longest first.
    fn slowest_spans<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<SlowSpan>, ReadError>> {
        let _ = (scope, limit);
        unsupported("slowest_spans")
    }

    /// How many runs began to compensate ([`SAGA_COMPENSATING`](crate::names::SAGA_COMPENSATING) or a span
    /// tagged as [compensation](crate::names::tags::COMPENSATION)), of those that started in the scope.
    fn compensation_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        let _ = scope;
        unsupported("compensation_rate")
    }

    /// Where runs fail: the causes of runs that started in the scope and failed, by event type and error type; the most
    /// first. A run whose cause is not known counts with its first failure.
    fn hot_spots<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<HotSpot>, ReadError>> {
        let _ = (scope, limit);
        unsupported("hot_spots")
    }

    /// How runs ended by what was decided in them: for each decision and choice, in the order of their names, the
    /// failed runs of those that have ended; choices of which no run has ended are left out. A decision is an
    /// event with the tag [`DECISION`](crate::names::tags::DECISION) and a
    /// [`CHOICE`](crate::names::data::CHOICE); a choice counts once a run.
    fn decision_outcomes<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<ChoiceOutcome>, ReadError>> {
        let _ = scope;
        unsupported("decision_outcomes")
    }

    /// Ended runs and failures by the time they started, one for each `width` from the first to the last with a
    /// run, open ones included. Runs at [no known time](crate::Timestamp::UNKNOWN) are in none. A width of less than a minute is taken as a minute; more buckets than can be
    /// held are an [invalid query](ReadError::InvalidQuery).
    fn over_time<'a>(
        &'a self,
        scope: &'a Scope,
        width: Duration,
    ) -> BoxFuture<'a, Result<Vec<Bucket>, ReadError>> {
        let _ = (scope, width);
        unsupported("over_time")
    }
}

fn unsupported<T: Send + 'static>(question: &'static str) -> BoxFuture<'static, Result<T, ReadError>> {
    Box::pin(std::future::ready(Err(ReadError::Unsupported { question })))
}

/// A rate: so many out of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rate {
    /// How many it applies to.
    pub hits: u64,
    /// Out of how many.
    pub total: u64,
}

impl Rate {
    /// So many of so many.
    pub const fn new(hits: u64, total: u64) -> Self {
        Self { hits, total }
    }

    /// The rate from 0 to 1; 0 of nothing is 0.
    pub fn ratio(self) -> f64 {
        if self.total == 0 { 0.0 } else { self.hits as f64 / self.total as f64 }
    }

    /// The 95 % [Wilson score interval](https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval)
    /// of the rate; of nothing it is 0 to 1.
    pub fn interval(self) -> (f64, f64) {
        if self.total == 0 {
            return (0.0, 1.0);
        }
        const Z: f64 = 1.959_963_984_540_054;
        let (n, p) = (self.total as f64, self.ratio());
        let centre = p + Z * Z / (2.0 * n);
        let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let scale = 1.0 + Z * Z / n;
        (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
    }
}

/// How often a type of event failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TypeRate {
    /// The type.
    pub event_type: Text,
    /// Failures out of all events that ended.
    pub rate: Rate,
}

/// How long a type of span takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageTimes {
    /// The type.
    pub event_type: Text,
    /// How many spans.
    pub count: u64,
    /// The median, in microseconds.
    pub p50_us: u64,
    /// The 95th percentile, in microseconds.
    pub p95_us: u64,
    /// The 99th percentile, in microseconds.
    pub p99_us: u64,
    /// The maximum, in microseconds.
    pub max_us: u64,
}

/// A slow span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SlowSpan {
    /// The run.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// Its type.
    pub event_type: Text,
    /// Its duration in microseconds.
    pub duration_us: u64,
}

/// Where runs fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HotSpot {
    /// The type of the event that is the [cause](crate::RunSummary::cause) of the failure.
    pub event_type: Text,
    /// The type of its error, if one was recorded.
    pub error_type: Option<Text>,
    /// Runs that failed for that, out of all runs that failed.
    pub share: Rate,
}

impl HotSpot {
    /// The hot spots of runs that were counted by their causes (event type and error type): the most runs
    /// first, then by name, at most `limit`. For those who write a store.
    pub fn rank(counts: BTreeMap<(Text, Option<Text>), u64>, limit: usize) -> Vec<Self> {
        let total = counts.values().sum();
        let spot =
            |((event_type, error_type), hits)| Self { event_type, error_type, share: Rate::new(hits, total) };
        let mut spots: Vec<_> = counts.into_iter().map(spot).collect();
        // The sort is stable: spots with as many hits stay in the order of their names.
        spots.sort_by_key(|spot| std::cmp::Reverse(spot.share.hits));
        spots.truncate(limit);
        spots
    }
}

/// How runs ended after a choice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChoiceOutcome {
    /// The type of the decision, as in `ai:route`.
    pub decision: Text,
    /// What was chosen.
    pub choice: Text,
    /// Failed runs, out of the ended runs in which it was chosen.
    pub failed: Rate,
}

/// An interval of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// Its start; a multiple of its width since the Unix epoch.
    pub start: Timestamp,
    /// Failed runs, out of the ended runs that started in it.
    pub failed: Rate,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wilson_interval_is_the_textbook_one() {
        let (low, high) = Rate::new(3, 4).interval();
        assert!((low - 0.3006).abs() < 1e-3 && (high - 0.9544).abs() < 1e-3, "{low} {high}");
        assert_eq!(Rate::new(0, 0).interval(), (0.0, 1.0));
        assert!(Rate::new(0, 10).interval().0 < 1e-9 && Rate::new(10, 10).interval().1 > 1.0 - 1e-9);
    }
}
