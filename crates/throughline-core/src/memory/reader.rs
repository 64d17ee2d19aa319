//! The questions that the in-memory store answers.

use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::store::{State, lock};
use throughline_model::BoxFuture;
use throughline_model::fold::{Position, run_matches};
use throughline_model::{
    Bucket, ChoiceOutcome, Cursor, EventId, Filter, HotSpot, InstanceId, Liveness, Log, OpenRun, Page, Paged,
    Rate, ReadError, RunSummary, Scope, SlowSpan, StageTimes, Timestamp, TraceAnalytics, TraceEvent, TraceId,
    TraceReader, TypeRate,
};

/// Reads what a [`MemoryStore`](super::MemoryStore) keeps, under its lock and without waiting for anything else.
pub(super) struct MemoryReader {
    shared: Arc<Mutex<State>>,
}

impl MemoryReader {
    pub(super) fn new(shared: Arc<Mutex<State>>) -> Self {
        Self { shared }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared)
    }

    /// A copy of the events to work on without the lock.
    fn log(&self) -> Log<Arc<TraceEvent>> {
        let state = self.state();
        let events: Vec<_> = state.index.values().cloned().collect();
        let leases = state.leases.clone();
        drop(state);
        Log::new(events, |instance| leases.get(&instance).copied().unwrap_or(Liveness::Imported))
    }
}

impl TraceReader for MemoryReader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(async move { Ok(self.state().trace(id)) })
    }

    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        Box::pin(async move {
            let before = page.after.as_ref().map(position_of).transpose()?;
            let state = self.state();
            let matching = state
                .index
                .range((Unbounded, before.map_or(Unbounded, Excluded)))
                .rev()
                .take_while(|(position, _)| filter.since.is_none_or(|since| position.timestamp >= since))
                .filter(|(_, event)| filter.matches(event));
            Ok(take_page(page, matching, event_cursor, |(_, event)| TraceEvent::clone(event)))
        })
    }

    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        Box::pin(async move {
            let before = page.after.as_ref().map(start_of).transpose()?;
            let state = self.state();
            let matching = state
                .by_start
                .range((Unbounded, before.map_or(Unbounded, Excluded)))
                .rev()
                .take_while(|(started, _)| filter.since.is_none_or(|since| *started >= since))
                .filter_map(|(_, id)| state.runs.get(id))
                .filter_map(|run| {
                    let summary = state.summary(run)?;
                    run_matches(filter, &summary, run.events.values().map(|event| &**event))
                        .then_some(summary)
                });
            Ok(take_page(page, matching, run_cursor, |summary| summary))
        })
    }

    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        Box::pin(async move {
            let state = self.state();
            Ok(state.runs.get(&id).and_then(|run| state.summary(run)))
        })
    }

    fn open_runs(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OpenRun>, ReadError>> {
        Box::pin(async move {
            let state = self.state();
            let runs = state.open.iter().take(limit).filter_map(|(_, id)| state.runs.get(id));
            let open = runs.filter_map(|run| {
                Some(OpenRun::of(state.summary(run)?, run.events.values().map(|event| &**event)))
            });
            Ok(open.collect())
        })
    }

    fn liveness<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        Box::pin(async move {
            let state = self.state();
            Ok(instances.iter().map(|instance| state.liveness(*instance)).collect())
        })
    }

    fn complete<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        Box::pin(async move {
            if !prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(ReadError::BadQuestion {
                    reason: "the beginning of a trace id is made of lower-case hex digits".to_owned(),
                });
            }
            let state = self.state();
            // All zeros are no id, and stand for the very beginning.
            let from = format!("{prefix:0<32}").parse::<TraceId>().map_or(Unbounded, Included);
            let ids = state.runs.range((from, Unbounded)).map(|(id, _)| *id);
            Ok(ids.take_while(|id| id.to_string().starts_with(prefix)).take(limit).collect())
        })
    }
}

impl TraceAnalytics for MemoryReader {
    fn failure_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        Box::pin(async move { Ok(self.log().failure_rate(scope)) })
    }

    fn failure_rate_by_type<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<TypeRate>, ReadError>> {
        Box::pin(async move { Ok(self.log().failure_rate_by_type(scope)) })
    }

    fn slowest_stages<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StageTimes>, ReadError>> {
        Box::pin(async move { Ok(self.log().slowest_stages(scope, limit)) })
    }

    fn slowest_spans<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<SlowSpan>, ReadError>> {
        Box::pin(async move { Ok(self.log().slowest_spans(scope, limit)) })
    }

    fn compensation_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        Box::pin(async move { Ok(self.log().compensation_rate(scope)) })
    }

    fn hot_spots<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<HotSpot>, ReadError>> {
        Box::pin(async move { Ok(self.log().hot_spots(scope, limit)) })
    }

    fn decision_outcomes<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<ChoiceOutcome>, ReadError>> {
        Box::pin(async move { Ok(self.log().decision_outcomes(scope)) })
    }

    fn over_time<'a>(
        &'a self,
        scope: &'a Scope,
        width: Duration,
    ) -> BoxFuture<'a, Result<Vec<Bucket>, ReadError>> {
        Box::pin(async move { self.log().over_time(scope, width) })
    }
}

fn take_page<T, U>(
    page: &Page,
    mut matching: impl Iterator<Item = T>,
    cursor: impl Fn(&T) -> Cursor,
    item: impl Fn(T) -> U,
) -> Paged<U> {
    let found: Vec<T> = matching.by_ref().take(page.limit).collect();
    let next = found.last().map(cursor).filter(|_| matching.next().is_some());
    Paged { items: found.into_iter().map(item).collect(), next }
}

fn event_cursor((position, _): &(&Position, &Arc<TraceEvent>)) -> Cursor {
    let Position { timestamp, instance, n, id } = position;
    Cursor::new(format!("event:{}:{instance}:{n}:{id}", timestamp.as_micros()))
}

fn run_cursor(summary: &RunSummary) -> Cursor {
    Cursor::new(format!("run:{}:{}", summary.started.as_micros(), summary.trace_id))
}

fn position_of(cursor: &Cursor) -> Result<Position, ReadError> {
    let read = || {
        let mut parts = cursor.as_str().strip_prefix("event:")?.split(':');
        let position = Position {
            timestamp: Timestamp::from_micros(parts.next()?.parse().ok()?),
            instance: parts.next()?.parse().ok()?,
            n: parts.next()?.parse().ok()?,
            id: EventId {
                trace_id: parts.next()?.parse().ok()?,
                span_id: parts.next()?.parse().ok()?,
                seq: parts.next()?.parse().ok()?,
            },
        };
        parts.next().is_none().then_some(position)
    };
    read().ok_or_else(|| foreign(cursor, "events"))
}

fn start_of(cursor: &Cursor) -> Result<(Timestamp, TraceId), ReadError> {
    let read = || {
        let (started, id) = cursor.as_str().strip_prefix("run:")?.split_once(':')?;
        Some((Timestamp::from_micros(started.parse().ok()?), id.parse().ok()?))
    };
    read().ok_or_else(|| foreign(cursor, "runs"))
}

fn foreign(cursor: &Cursor, of: &str) -> ReadError {
    let shown: String = cursor.as_str().chars().take(64).collect();
    ReadError::BadQuestion {
        reason: format!(
            "`{shown}` is not a cursor of this store for {of}; hand back `next` of the page before"
        ),
    }
}
