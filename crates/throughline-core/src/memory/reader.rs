//! The questions that the in-memory store answers.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::store::{Run, State, lock};
use throughline_model::BoxFuture;
use throughline_model::fold::run_matches;
use throughline_model::{
    Bucket, ChoiceOutcome, Cursor, Filter, HotSpot, InstanceId, JobAttempt, JobKey, Liveness, Log, OpenRun,
    OpenSummary, Page, Paged, Process, Rate, ReadError, RunSummary, Scope, Secret, SlowSpan, SpanId,
    StageTimes, TraceAnalytics, TraceEvent, TraceId, TraceReader, TypeRate,
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

    /// A page of the runs that have not ended, the oldest first.
    fn open_page<T>(
        &self,
        page: &Page,
        item: impl Fn(&State, &Run) -> Option<T>,
    ) -> Result<Paged<T>, ReadError> {
        let after = page.after.as_ref().map(Cursor::run).transpose()?;
        let state = self.state();
        let following = state.open.range((after.map_or(Unbounded, Excluded), Unbounded));
        let found = following.filter_map(|place| Some((*place, item(&state, state.runs.get(&place.1)?)?)));
        Ok(take_page(page, found, |((started, id), _)| Cursor::at_run(*started, *id), |(_, item)| item))
    }

    /// A copy of the events to work on without the lock.
    fn log(&self) -> Log<Arc<TraceEvent>> {
        let state = self.state();
        let events: Vec<_> = state.index.values().cloned().collect();
        let leases = state.leases.clone();
        drop(state);
        Log::new(events, |instance| leases.get(&instance).copied().unwrap_or(Liveness::Unknown))
    }
}

impl TraceReader for MemoryReader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(async move { Ok(self.state().trace(id)) })
    }

    fn trace_page<'a>(
        &'a self,
        id: TraceId,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        Box::pin(async move {
            let after = page.after.as_ref().map(Cursor::event).transpose()?;
            let state = self.state();
            let Some(run) = state.runs.get(&id) else { return Ok(Paged { items: Vec::new(), next: None }) };
            let following = run.events.range((after.map_or(Unbounded, Excluded), Unbounded));
            let cursor = |(_, event): &(_, &Arc<TraceEvent>)| Cursor::of_event(event);
            Ok(take_page(page, following, cursor, |(_, event)| TraceEvent::clone(event)))
        })
    }

    fn span(&self, id: TraceId, span: SpanId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(async move {
            let state = self.state();
            let events = state.runs.get(&id).into_iter().flat_map(|run| run.events.values());
            Ok(events.filter(|event| event.span_id == span).map(|event| TraceEvent::clone(event)).collect())
        })
    }

    fn last_attempt<'a>(
        &'a self,
        id: TraceId,
        job: &'a JobKey,
    ) -> BoxFuture<'a, Result<Option<JobAttempt>, ReadError>> {
        Box::pin(async move { Ok(self.state().runs.get(&id).and_then(|run| run.last_attempt(job))) })
    }

    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        Box::pin(async move {
            let before = page.after.as_ref().map(Cursor::event).transpose()?;
            let state = self.state();
            let matching = state
                .index
                .range((Unbounded, before.map_or(Unbounded, Excluded)))
                .rev()
                .take_while(|(position, _)| {
                    filter.scope.since.is_none_or(|since| position.timestamp >= since)
                })
                .filter(|(_, event)| filter.matches(event));
            Ok(take_page(
                page,
                matching,
                |(_, event)| Cursor::of_event(event),
                |(_, event)| TraceEvent::clone(event),
            ))
        })
    }

    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        Box::pin(async move {
            let before = page.after.as_ref().map(Cursor::run).transpose()?;
            let state = self.state();
            let none = BTreeSet::new();
            let candidates = match &filter.correlation_id {
                Some(key) => state.by_key.get(key).unwrap_or(&none),
                None => &state.by_start,
            };
            let matching = candidates
                .range((Unbounded, before.map_or(Unbounded, Excluded)))
                .rev()
                .take_while(|(started, _)| filter.scope.since.is_none_or(|since| *started >= since))
                .filter_map(|(_, id)| state.runs.get(id))
                .filter_map(|run| {
                    let summary = state.summary(run)?;
                    run_matches(filter, &summary, run.events.values().map(|event| &**event))
                        .then_some(summary)
                });
            Ok(take_page(page, matching, Cursor::of_run, |summary| summary))
        })
    }

    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        Box::pin(async move {
            let state = self.state();
            Ok(state.runs.get(&id).and_then(|run| state.summary(run)))
        })
    }

    fn open_runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>> {
        Box::pin(async move {
            self.open_page(page, |state, run| {
                Some(OpenRun::of(state.summary(run)?, run.events.values().map(|event| &**event)))
            })
        })
    }

    fn open_summaries<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>> {
        Box::pin(async move {
            self.open_page(page, |state, run| Some(OpenSummary::new(state.summary(run)?, run.last_event()?)))
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

    fn processes<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Option<Process>>, ReadError>> {
        Box::pin(async move {
            let state = self.state();
            Ok(instances.iter().map(|instance| state.process(*instance)).collect())
        })
    }

    fn secret(&self) -> BoxFuture<'_, Result<Option<Secret>, ReadError>> {
        Box::pin(async move { Ok(Some(self.state().secret.clone())) })
    }

    fn find_by_id_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        Box::pin(async move {
            if !prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(ReadError::InvalidQuery {
                    reason: format!(
                        "`{prefix}` is not the beginning of a trace id: use lower-case hex digits"
                    ),
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
