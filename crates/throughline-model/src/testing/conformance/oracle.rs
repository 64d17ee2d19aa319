//! What the answers should be, computed from the events in the simplest way.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use super::{pages, supported};
use crate::Log;
use crate::fold::{Position, run_matches};
use crate::{
    Filter, HotSpot, InstanceId, Liveness, OpenRun, RunState, RunSummary, Scope, SlowSpan, StageTimes,
    TraceAnalytics, TraceEvent, TraceReader,
};

/// The events that a store was given, and how their instances stand.
pub(super) struct Oracle<'a> {
    pub(super) log: Log<&'a TraceEvent>,
    events: Vec<&'a TraceEvent>,
}

impl<'a> Oracle<'a> {
    pub(super) fn new(events: &'a [TraceEvent], liveness: impl Fn(InstanceId) -> Liveness) -> Self {
        let mut sorted: Vec<_> = events.iter().collect();
        sorted.sort_by_key(|event| Position::of(event));
        Self { log: Log::new(events, liveness), events: sorted }
    }

    /// All events are imported, or emitted by these instances, which live.
    pub(super) fn with_living(events: &'a [TraceEvent], living: &[InstanceId]) -> Self {
        Self::new(events, |instance| match living.contains(&instance) {
            true => Liveness::Alive,
            false => Liveness::Imported,
        })
    }

    pub(super) fn events(&self, filter: &Filter) -> Vec<TraceEvent> {
        self.events.iter().rev().filter(|event| filter.matches(event)).map(|event| (*event).clone()).collect()
    }

    pub(super) fn runs(&self, filter: &Filter) -> Vec<RunSummary> {
        let mut runs: Vec<_> = self
            .log
            .runs
            .values()
            .filter(|run| run_matches(filter, &run.summary, run.events.iter().copied()))
            .map(|run| run.summary.clone())
            .collect();
        runs.sort_by_key(|run| Reverse((run.started, run.trace_id)));
        runs
    }

    /// Runs that have not ended, the oldest first.
    pub(super) fn open_runs(&self) -> Vec<OpenRun> {
        let is_open =
            |state| matches!(state, RunState::Running | RunState::Interrupted | RunState::Unfinished);
        let open = self.log.runs.values().filter(|run| is_open(run.summary.state));
        let open = open.map(|run| {
            let events: Vec<_> = run.events.iter().copied().cloned().collect();
            OpenRun::of(run.summary.clone(), &events)
        });
        let mut open: Vec<_> = open.collect();
        open.sort_by_key(|run| (run.summary.started, run.summary.trace_id));
        open
    }

    pub(super) async fn assert_events(&self, reader: &dyn TraceReader, filter: &Filter) {
        let found = pages::events(reader, filter).await;
        assert_eq!(ids(&found), ids(&self.events(filter)), "events by {filter:?}");
    }

    pub(super) async fn assert_runs(&self, reader: &dyn TraceReader, filter: &Filter) {
        assert_eq!(pages::runs(reader, filter).await, self.runs(filter), "runs by {filter:?}");
    }

    /// Every question of [`TraceAnalytics`] that the store supports, within every scope that can be told apart on a
    /// sample log.
    pub(super) async fn assert_analytics(&self, analytics: &dyn TraceAnalytics) {
        for scope in self.scopes() {
            self.assert_rates(analytics, &scope).await;
            self.assert_times(analytics, &scope).await;
            self.assert_runs_across(analytics, &scope).await;
        }
    }

    fn scopes(&self) -> Vec<Scope> {
        let (Some(first), Some(last)) = (self.events.first(), self.events.last()) else {
            return vec![Scope::all()];
        };
        // What asks about events may round to the minute: whole minutes are asked for.
        const MINUTE: i64 = 60_000_000;
        let middle = (first.timestamp.as_micros() + last.timestamp.as_micros()) / 2;
        let middle = crate::Timestamp::from_micros(middle.div_euclid(MINUTE) * MINUTE);
        let later = middle.plus(Duration::from_secs(600));
        vec![
            Scope::all(),
            Scope::all().since(middle),
            Scope::all().until(middle),
            Scope::all().since(middle).until(later).workflow("loan-approval"),
            Scope::all().workflow("über%weisung_"),
            Scope::all().workflow("%"),
            Scope::all().since(later).until(middle),
        ]
    }

    async fn assert_rates(&self, store: &dyn TraceAnalytics, scope: &Scope) {
        let log = &self.log;
        if let Some(found) = supported("failure_rate", store.failure_rate(scope).await) {
            assert_eq!(found, log.failure_rate(scope), "failures of {scope:?}");
        }
        if let Some(found) = supported("failure_rate_by_type", store.failure_rate_by_type(scope).await) {
            assert_eq!(found, log.failure_rate_by_type(scope), "failures by type of {scope:?}");
        }
        if let Some(found) = supported("compensation_rate", store.compensation_rate(scope).await) {
            assert_eq!(found, log.compensation_rate(scope), "compensations of {scope:?}");
        }
    }

    async fn assert_times(&self, store: &dyn TraceAnalytics, scope: &Scope) {
        let log = &self.log;
        if let Some(spans) = supported("slowest_spans", store.slowest_spans(scope, usize::MAX).await) {
            assert!(spans.is_sorted_by_key(|span| Reverse(span.duration_us)), "the longest come first");
            let key = |span: &SlowSpan| (span.duration_us, span.trace_id, span.span_id);
            let want = log.slowest_spans(scope, usize::MAX);
            assert_eq!(sorted(spans, key), sorted(want, key), "slowest spans of {scope:?}");
        }
        if let Some(stages) = supported("slowest_stages", store.slowest_stages(scope, usize::MAX).await) {
            assert_stage_times(&stages, &log.slowest_stages(scope, usize::MAX));
        }
    }

    async fn assert_runs_across(&self, store: &dyn TraceAnalytics, scope: &Scope) {
        let log = &self.log;
        if let Some(spots) = supported("hot_spots", store.hot_spots(scope, usize::MAX).await) {
            assert!(spots.is_sorted_by_key(|spot| Reverse(spot.share.hits)), "the most come first");
            let name = |spot: &HotSpot| (spot.event_type.clone(), spot.error_type.clone());
            let want = log.hot_spots(scope, usize::MAX);
            assert_eq!(sorted(spots, name), sorted(want, name), "hot spots of {scope:?}");
        }
        if let Some(outcomes) = supported("decision_outcomes", store.decision_outcomes(scope).await) {
            assert_eq!(outcomes, log.decision_outcomes(scope), "decisions of {scope:?}");
        }
        for width in [Duration::ZERO, Duration::from_secs(3600), Duration::from_secs(5400)] {
            if let Some(found) = supported("over_time", store.over_time(scope, width).await) {
                assert_eq!(found, log.over_time(scope, width).unwrap(), "by {width:?} of {scope:?}");
            }
        }
    }
}

/// Percentiles may be off by as much as a [`Histogram`](crate::Histogram) is.
fn assert_stage_times(found: &[StageTimes], wanted: &[StageTimes]) {
    assert!(found.is_sorted_by_key(|stage| Reverse(stage.p95_us)), "the greatest p95 comes first");
    let by_type = |stages: &[StageTimes]| -> BTreeMap<_, _> {
        stages.iter().map(|stage| (stage.event_type.clone(), stage.clone())).collect()
    };
    let (found, wanted) = (by_type(found), by_type(wanted));
    assert_eq!(found.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (found, wanted) in found.values().zip(wanted.values()) {
        assert_eq!((found.count, found.max_us), (wanted.count, wanted.max_us), "{found:?}");
        for (found_us, wanted_us) in
            [(found.p50_us, wanted.p50_us), (found.p95_us, wanted.p95_us), (found.p99_us, wanted.p99_us)]
        {
            assert!(found_us.abs_diff(wanted_us) <= wanted_us / 32 + 1, "{found:?} against {wanted:?}");
        }
    }
}

fn sorted<T, K: Ord>(mut items: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    items.sort_by_key(key);
    items
}

/// What a failed comparison shows of events: which they are.
pub(super) fn ids(events: &[TraceEvent]) -> Vec<String> {
    events.iter().map(|event| format!("{} {}", event.timestamp, event.id())).collect()
}
