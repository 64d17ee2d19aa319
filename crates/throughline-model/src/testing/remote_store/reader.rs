//! The questions that a remote store answers.

use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use tokio::task::yield_now;

use super::server::{Run, Server, State};
use crate::fold::run_matches;
use crate::{
    BoxFuture, Cursor, Filter, InstanceId, Liveness, OpenRun, OpenSummary, Page, Paged, ReadError, RunState,
    RunSummary, Timestamp, TraceEvent, TraceId, TraceReader,
};

pub(super) struct RemoteReader {
    server: Arc<Server>,
}

impl RemoteReader {
    /// The most items of a page, whatever was asked for.
    const LONGEST_PAGE: usize = 25;

    pub(super) fn new(server: Arc<Server>) -> Self {
        Self { server }
    }

    /// Asks the server.
    fn ask<'a, T: Send + 'a>(
        &'a self,
        question: impl FnOnce(&State) -> Result<T, ReadError> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, ReadError>> {
        Box::pin(async move {
            yield_now().await;
            question(&self.server.state())
        })
    }

    /// A page of the open runs, the oldest first.
    fn open<'a, T: Send + 'a>(
        &'a self,
        page: &'a Page,
        item: impl Fn(RunSummary, &Run) -> T + Send + 'a,
    ) -> BoxFuture<'a, Result<Paged<T>, ReadError>> {
        self.ask(move |state| {
            let after = page.after.as_ref().map(Cursor::run).transpose()?;
            let mut places = places(state);
            places.retain(|place| after.is_none_or(|after| *place > after));
            places.sort_unstable();
            let open = places.into_iter().filter_map(|(_, id)| {
                let run = state.runs.get(&id)?;
                let summary = state.summary(run)?;
                use RunState::{Interrupted, Running, Unfinished};
                matches!(summary.state, Running | Interrupted | Unfinished).then_some((summary, run))
            });
            let cursor = |(summary, _): &(RunSummary, &Run)| Cursor::of_run(summary);
            Ok(take_page(page, open, cursor, |(summary, run)| item(summary, run)))
        })
    }
}

/// Each run by its start.
fn places(state: &State) -> Vec<(Timestamp, TraceId)> {
    let starts = state.runs.iter().filter_map(|(id, run)| Some((run.events.keys().next()?.timestamp, *id)));
    starts.collect()
}

impl TraceReader for RemoteReader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        self.ask(move |state| Ok(state.trace(id)))
    }

    fn trace_page<'a>(
        &'a self,
        id: TraceId,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        self.ask(move |state| {
            let after = page.after.as_ref().map(Cursor::event).transpose()?;
            let events = state.runs.get(&id).into_iter().flat_map(|run| {
                run.events.range((after.map_or(Unbounded, Excluded), Unbounded)).map(|(_, event)| event)
            });
            Ok(take_page(page, events, |event| Cursor::of_event(event), |event| TraceEvent::clone(event)))
        })
    }

    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        self.ask(move |state| {
            let before = page.after.as_ref().map(Cursor::event).transpose()?;
            let events = state.index.range((Unbounded, before.map_or(Unbounded, Excluded))).rev();
            let matching = events.map(|(_, event)| event).filter(|event| filter.matches(event));
            Ok(take_page(page, matching, |event| Cursor::of_event(event), |event| TraceEvent::clone(event)))
        })
    }

    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        self.ask(move |state| {
            let before = page.after.as_ref().map(Cursor::run).transpose()?;
            let mut places = places(state);
            places.retain(|place| before.is_none_or(|before| *place < before));
            places.sort_unstable_by(|a, b| b.cmp(a));
            let matching = places.into_iter().filter_map(|(_, id)| {
                let run = state.runs.get(&id)?;
                let summary = state.summary(run)?;
                let events = run.events.values().map(|event| &**event);
                run_matches(filter, &summary, events).then_some(summary)
            });
            Ok(take_page(page, matching, Cursor::of_run, |summary| summary))
        })
    }

    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        self.ask(move |state| Ok(state.runs.get(&id).and_then(|run| state.summary(run))))
    }

    fn open_runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>> {
        self.open(page, |summary, run| OpenRun::of(summary, &run.events()))
    }

    fn open_summaries<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>> {
        self.open(page, |summary, run| {
            let last = run.events.keys().next_back().map_or(summary.started, |last| last.timestamp);
            OpenSummary::new(summary, last)
        })
    }

    fn liveness<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        self.ask(|state| Ok(instances.iter().map(|instance| state.liveness(*instance)).collect()))
    }

    fn find_by_id_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        self.ask(move |state| {
            if !prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(ReadError::InvalidQuery {
                    reason: "the beginning of a trace id is made of lower-case hex digits".to_owned(),
                });
            }
            // All zeros are no id, and stand for the very beginning.
            let from = format!("{prefix:0<32}").parse::<TraceId>().map_or(Unbounded, Included);
            let ids = state.runs.range((from, Unbounded)).map(|(id, _)| *id);
            Ok(ids.take_while(|id| id.to_string().starts_with(prefix)).take(limit).collect())
        })
    }
}

fn take_page<T, U>(
    page: &Page,
    mut matching: impl Iterator<Item = T>,
    cursor: impl Fn(&T) -> Cursor,
    item: impl Fn(T) -> U,
) -> Paged<U> {
    let limit = page.limit.min(RemoteReader::LONGEST_PAGE);
    let found: Vec<T> = matching.by_ref().take(limit).collect();
    let next = found.last().map(cursor).filter(|_| matching.next().is_some());
    Paged { items: found.into_iter().map(item).collect(), next }
}
