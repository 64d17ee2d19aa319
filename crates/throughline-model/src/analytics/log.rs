//! The answers across runs, computed from the events in the simplest way: the reference for stores that keep
//! rollups instead.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Deref;
use std::time::Duration;

use serde_json::Value;

use crate::fold::Position;
use crate::names::{SAGA_COMPENSATING, data, tags};
use crate::{
    Bucket, ChoiceOutcome, Histogram, HotSpot, InstanceId, Liveness, Rate, ReadError, RunState, RunSummary,
    Scope, SlowSpan, StageTimes, Status, Text, Timestamp, TraceEvent, TraceId, TypeRate,
};

/// More buckets than a chart or a person can use; a narrow width over a long log would fill the memory.
const MAX_BUCKETS: i64 = 100_000;

/// Events grouped by run.
pub struct Log<E> {
    /// The runs, by id.
    pub runs: BTreeMap<TraceId, LoggedRun<E>>,
}

/// One run with its events in order.
pub struct LoggedRun<E> {
    /// The run in a line.
    pub summary: RunSummary,
    /// Its events, in order.
    pub events: Vec<E>,
}

impl<E: Deref<Target = TraceEvent>> Log<E> {
    /// Groups events, which may come in any order, but none twice.
    pub fn new(events: impl IntoIterator<Item = E>, liveness: impl Fn(InstanceId) -> Liveness) -> Self {
        let mut by_trace: BTreeMap<TraceId, Vec<E>> = BTreeMap::new();
        for event in events {
            by_trace.entry(event.trace_id).or_default().push(event);
        }
        let runs = by_trace.into_iter().filter_map(|(id, mut events)| {
            events.sort_by_key(|event| Position::of(event));
            let summary = RunSummary::of(events.iter().map(|event| &**event), &liveness)?;
            Some((id, LoggedRun { summary, events }))
        });
        Self { runs: runs.collect() }
    }

    fn runs_in<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a LoggedRun<E>> {
        self.runs.values().filter(|run| scope.contains(run.summary.started, run.summary.workflow.as_ref()))
    }

    fn events_in<'a>(&'a self, scope: &'a Scope) -> impl Iterator<Item = &'a E> {
        self.runs
            .values()
            .flat_map(|run| &run.events)
            .filter(|event| scope.contains(event.timestamp, event.workflow.as_ref()))
    }

    /// See [`TraceAnalytics::failure_rate`](crate::TraceAnalytics::failure_rate).
    pub fn failure_rate(&self, scope: &Scope) -> Rate {
        let mut rate = Rate::default();
        self.runs_in(scope).for_each(|run| count_end(&mut rate, run.summary.state));
        rate
    }

    /// See [`TraceAnalytics::failure_rate_by_type`](crate::TraceAnalytics::failure_rate_by_type).
    pub fn failure_rate_by_type(&self, scope: &Scope) -> Vec<TypeRate> {
        let mut rates: BTreeMap<&Text, Rate> = BTreeMap::new();
        for event in self.events_in(scope).filter(|event| event.status != Status::Pending) {
            let rate = rates.entry(&event.event_type).or_default();
            rate.total += 1;
            rate.hits += u64::from(event.status == Status::Failed);
        }
        let mut rates: Vec<_> = rates
            .into_iter()
            .map(|(event_type, rate)| TypeRate { event_type: event_type.clone(), rate })
            .collect();
        rates.sort_by(|a, b| b.rate.hits.cmp(&a.rate.hits).then_with(|| a.event_type.cmp(&b.event_type)));
        rates
    }

    /// See [`TraceAnalytics::slowest_stages`](crate::TraceAnalytics::slowest_stages).
    pub fn slowest_stages(&self, scope: &Scope, limit: usize) -> Vec<StageTimes> {
        let mut stages: BTreeMap<&Text, (Histogram, u64)> = BTreeMap::new();
        for event in self.events_in(scope) {
            let Some(duration_us) = event.duration_us else { continue };
            let (histogram, max_us) = stages.entry(&event.event_type).or_default();
            histogram.record(duration_us);
            *max_us = duration_us.max(*max_us);
        }
        let times = |(event_type, (histogram, max_us)): (&Text, (Histogram, u64))| StageTimes {
            event_type: event_type.clone(),
            count: histogram.count(),
            p50_us: histogram.quantile(0.5).min(max_us),
            p95_us: histogram.quantile(0.95).min(max_us),
            p99_us: histogram.quantile(0.99).min(max_us),
            max_us,
        };
        let mut stages: Vec<_> = stages.into_iter().map(times).collect();
        stages.sort_by(|a, b| b.p95_us.cmp(&a.p95_us).then_with(|| a.event_type.cmp(&b.event_type)));
        stages.truncate(limit);
        stages
    }

    /// See [`TraceAnalytics::slowest_spans`](crate::TraceAnalytics::slowest_spans).
    pub fn slowest_spans(&self, scope: &Scope, limit: usize) -> Vec<SlowSpan> {
        let mut spans: Vec<_> = self
            .events_in(scope)
            .filter_map(|event| {
                Some(SlowSpan {
                    trace_id: event.trace_id,
                    span_id: event.span_id,
                    event_type: event.event_type.clone(),
                    duration_us: event.duration_us?,
                })
            })
            .collect();
        spans.sort_by_key(|span| (std::cmp::Reverse(span.duration_us), span.trace_id, span.span_id));
        spans.truncate(limit);
        spans
    }

    /// See [`TraceAnalytics::compensation_rate`](crate::TraceAnalytics::compensation_rate).
    pub fn compensation_rate(&self, scope: &Scope) -> Rate {
        let mut rate = Rate::default();
        for run in self.runs_in(scope) {
            rate.total += 1;
            rate.hits += u64::from(
                run.events
                    .iter()
                    .any(|event| event.event_type == SAGA_COMPENSATING || event.has_tag(tags::COMPENSATION)),
            );
        }
        rate
    }

    /// See [`TraceAnalytics::hot_spots`](crate::TraceAnalytics::hot_spots).
    pub fn hot_spots(&self, scope: &Scope, limit: usize) -> Vec<HotSpot> {
        let mut counts: BTreeMap<(Text, Option<Text>), u64> = BTreeMap::new();
        let failed = self.runs_in(scope).filter(|run| run.summary.state == RunState::Failed);
        for failure in
            failed.filter_map(|run| run.summary.cause.as_ref().or(run.summary.first_failure.as_ref()))
        {
            let error_type = failure.error.as_ref().map(|error| error.kind.clone());
            *counts.entry((failure.event_type.clone(), error_type)).or_default() += 1;
        }
        HotSpot::rank(counts, limit)
    }

    /// See [`TraceAnalytics::decision_outcomes`](crate::TraceAnalytics::decision_outcomes).
    pub fn decision_outcomes(&self, scope: &Scope) -> Vec<ChoiceOutcome> {
        let mut outcomes: BTreeMap<(&Text, &str), Rate> = BTreeMap::new();
        for run in self.runs_in(scope) {
            let choices: BTreeSet<_> = run.events.iter().filter_map(|event| choice(event)).collect();
            for choice in choices {
                count_end(outcomes.entry(choice).or_default(), run.summary.state);
            }
        }
        outcomes
            .into_iter()
            .filter(|(_, failed)| failed.total > 0)
            .map(|((decision, choice), failed)| ChoiceOutcome {
                decision: decision.clone(),
                choice: Text::from(choice.to_owned()),
                failed,
            })
            .collect()
    }

    /// See [`TraceAnalytics::over_time`](crate::TraceAnalytics::over_time).
    ///
    /// # Errors
    /// When there would be more buckets than anybody can use.
    pub fn over_time(&self, scope: &Scope, width: Duration) -> Result<Vec<Bucket>, ReadError> {
        let width = i64::try_from(width.as_micros()).unwrap_or(i64::MAX).max(60_000_000);
        let mut rates: HashMap<i64, Rate> = HashMap::new();
        for run in self.runs_in(scope).filter(|run| run.summary.started.is_known()) {
            let bucket = run.summary.started.as_micros().div_euclid(width);
            count_end(rates.entry(bucket).or_default(), run.summary.state);
        }
        let (Some(&first), Some(&last)) = (rates.keys().min(), rates.keys().max()) else {
            return Ok(Vec::new());
        };
        if last.saturating_sub(first) >= MAX_BUCKETS {
            return Err(ReadError::InvalidQuery {
                reason: format!(
                    "buckets of {} s from the first run to the last are more than {MAX_BUCKETS}; ask for wider \
                     ones or a shorter time",
                    width / 1_000_000
                ),
            });
        }
        let bucket = |at: i64| Bucket {
            start: Timestamp::from_micros(at.saturating_mul(width)),
            failed: rates.get(&at).copied().unwrap_or_default(),
        };
        Ok((first..=last).map(bucket).collect())
    }
}

/// Counts a run that has ended, and whether it failed.
fn count_end(rate: &mut Rate, state: RunState) {
    let ended = matches!(state, RunState::Succeeded | RunState::Failed | RunState::Cancelled);
    rate.total += u64::from(ended);
    rate.hits += u64::from(state == RunState::Failed);
}

/// What a decision is called and what it chose.
fn choice(event: &TraceEvent) -> Option<(&Text, &str)> {
    let chosen = event.data.as_ref()?.get(data::CHOICE).and_then(Value::as_str)?;
    event.has_tag(tags::DECISION).then_some((&event.event_type, chosen))
}
