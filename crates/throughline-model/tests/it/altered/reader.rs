//! The questions to a store with a change.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use throughline_model::names::attrs;
use throughline_model::{
    BoxFuture, Cursor, DeployCheck, Filter, InstanceId, JobAttempt, JobKey, Liveness, OpenRun, OpenSummary,
    Page, Paged, Rate, ReadError, RunState, RunSummary, Scope, Secret, SpanId, Timestamp, TraceAnalytics,
    TraceEvent, TraceId, TraceReader,
};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::Altered;
use super::Change::*;

pub(super) struct AlteredReader {
    pub(super) inner: Arc<dyn TraceReader>,
    pub(super) store: Altered,
    /// Whether it was opened without the store.
    pub(super) by_itself: bool,
}

/// The offset that a cursor stands for.
fn offset(page: &Page) -> Result<usize, ReadError> {
    let Some(after) = &page.after else { return Ok(0) };
    after.as_str().parse().map_err(|_| after.foreign("offsets"))
}

/// A page of what is there now, counted from its beginning.
fn by_offset<T>(all: Vec<T>, page: &Page) -> Result<Paged<T>, ReadError> {
    let from = offset(page)?;
    let end = from.saturating_add(page.limit).min(all.len());
    let next = (end < all.len()).then(|| Cursor::new(end.to_string()));
    Ok(Paged { items: all.into_iter().take(end).skip(from).collect(), next })
}

impl AlteredReader {
    fn check(&self) -> Result<(), ReadError> {
        let elsewhere = Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread;
        let is_closed = self.store.is_closed.load(Ordering::SeqCst);
        match self.store.change {
            ReadersKeepToTheirRuntime if elsewhere => Err(gone("the runtime")),
            ReadersEndWithTheStore if self.by_itself && is_closed => Err(gone("the store")),
            _ => Ok(()),
        }
    }

    /// The question as the inner store is asked it.
    fn asked(&self, page: &Page) -> Page {
        let is_event = |cursor: &Cursor| cursor.event().is_ok() || cursor.run().is_ok();
        let after = page.after.clone().filter(|after| !self.store.is(TakesAnyCursor) || is_event(after));
        Page { limit: page.limit, after }
    }

    fn answered<T>(&self, page: &Page, mut found: Paged<T>, cursor: impl Fn(&T) -> Cursor) -> Paged<T> {
        if self.store.is(FullPagesNameNext) && found.items.len() == page.limit {
            found.next = found.items.last().map(cursor);
        }
        found
    }

    /// The events with what was appended more than once.
    fn versions(&self, events: Vec<TraceEvent>) -> Vec<TraceEvent> {
        let versions = self.store.versions.lock().unwrap();
        let of_these = |event: &TraceEvent| events.iter().any(|other| other.id() == event.id());
        match self.store.change {
            KeepsTheLast => events.iter().map(|event| versions.last[&event.id()].clone()).collect(),
            KeepsRepetitions => {
                let repeated = versions.repeated.iter().filter(|event| of_these(event)).cloned();
                events.iter().cloned().chain(repeated.collect::<Vec<_>>()).collect()
            }
            _ => events,
        }
    }

    async fn all_open(&self) -> Result<Vec<OpenSummary>, ReadError> {
        let (mut all, mut page) = (Vec::new(), Page::first(usize::MAX));
        loop {
            let found = self.inner.open_summaries(&page).await?;
            all.extend(found.items);
            match found.next {
                Some(next) => page.after = Some(next),
                None => return Ok(all),
            }
        }
    }

    async fn all_events(&self, filter: &Filter) -> Result<Vec<TraceEvent>, ReadError> {
        let (mut all, mut page) = (Vec::new(), Page::first(usize::MAX));
        loop {
            let found = self.inner.events(filter, &page).await?;
            all.extend(found.items);
            match found.next {
                Some(next) => page.after = Some(next),
                None => return Ok(all),
            }
        }
    }
}

fn gone(what: &str) -> ReadError {
    ReadError::Unavailable { reason: format!("{what} is gone"), source: None }
}

impl TraceReader for AlteredReader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(async move {
            self.check()?;
            let mut events = self.versions(self.inner.trace(id).await?);
            if self.store.is(OrderById) {
                events.sort_by_key(TraceEvent::id);
            }
            Ok(events)
        })
    }

    fn trace_page<'a>(
        &'a self,
        id: TraceId,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        Box::pin(async move {
            let mut found = self.inner.trace_page(id, &self.asked(page)).await?;
            if self.store.is(TraceEndsEarly) && found.items.len() == page.limit {
                found.next = None;
            }
            Ok(self.answered(page, found, Cursor::of_event))
        })
    }

    fn span(&self, id: TraceId, span: SpanId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(async move {
            let mut events = self.inner.span(id, span).await?;
            if self.store.is(SpansHaveNoEnd) {
                events.truncate(1);
            }
            Ok(events)
        })
    }

    fn last_attempt<'a>(
        &'a self,
        id: TraceId,
        job: &'a JobKey,
    ) -> BoxFuture<'a, Result<Option<JobAttempt>, ReadError>> {
        Box::pin(async move {
            let mut events = self.inner.trace(id).await?;
            if self.store.is(TakesJobsOfAllQueuesForOne) {
                events.iter_mut().filter(|event| event.attrs.get(attrs::QUEUE).is_some()).for_each(|event| {
                    event.attrs = event.attrs.with(attrs::QUEUE, job.queue.clone());
                });
            }
            Ok(job.last_attempt(&events))
        })
    }

    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        Box::pin(async move {
            self.check()?;
            if self.store.is(PagesByOffset) {
                return by_offset(self.all_events(filter).await?, page);
            }
            let mut found = self.inner.events(filter, &self.asked(page)).await?;
            found.items = self.versions(found.items);
            if let (EventsRepeat, [.., last_but_one, _]) = (self.store.change, &found.items[..]) {
                found.next = found.next.map(|_| Cursor::of_event(last_but_one));
            }
            Ok(self.answered(page, found, Cursor::of_event))
        })
    }

    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        Box::pin(async move {
            self.check()?;
            let mut found = self.inner.runs(filter, &self.asked(page)).await?;
            if self.store.is(RunsAreSkipped) && page.after.is_some() && found.items.len() > 1 {
                found.items.remove(0);
            }
            Ok(self.answered(page, found, Cursor::of_run))
        })
    }

    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        self.inner.run(id)
    }

    fn open_runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>> {
        Box::pin(async move {
            let mut found = self.inner.open_runs(&self.asked(page)).await?;
            if self.store.is(OpenRunsById) {
                found.items.sort_by_key(|run| run.summary.trace_id);
            }
            Ok(self.answered(page, found, |run| Cursor::of_run(&run.summary)))
        })
    }

    fn open_summaries<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>> {
        Box::pin(async move {
            if self.store.is(OpenPagesByOffset) {
                return by_offset(self.all_open().await?, page);
            }
            let mut found = self.inner.open_summaries(&self.asked(page)).await?;
            if self.store.is(LastEventIsTheFirst) {
                found.items.iter_mut().for_each(|run| run.last_event = run.summary.started);
            }
            Ok(self.answered(page, found, |run| Cursor::of_run(&run.summary)))
        })
    }

    fn liveness<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        Box::pin(async move {
            let mut found = self.inner.liveness(instances).await?;
            if self.store.is(TakesUnknownForImported) {
                let unknown = found.iter_mut().filter(|liveness| **liveness == Liveness::Unknown);
                unknown.for_each(|liveness| *liveness = Liveness::Imported);
            }
            Ok(found)
        })
    }

    fn secret(&self) -> BoxFuture<'_, Result<Option<Secret>, ReadError>> {
        let secret = match self.store.is(TellsEachAnotherSecret) {
            true => format!("{:032x}", InstanceId::random().to_u64()),
            false => "0123456789abcdef".to_owned(),
        };
        Box::pin(std::future::ready(Ok(Some(Secret::new(secret)))))
    }

    fn find_by_id_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        self.inner.find_by_id_prefix(prefix, limit)
    }

    fn safe_to_deploy(&self, stuck_after: Duration) -> BoxFuture<'_, Result<DeployCheck, ReadError>> {
        Box::pin(async move {
            if !self.store.is(ChecksOnePage) {
                return self.inner.safe_to_deploy(stuck_after).await;
            }
            let (mut check, now) = (DeployCheck::default(), Timestamp::now());
            for run in self.inner.open_summaries(&Page::first(1000)).await?.items {
                match run.summary.state {
                    RunState::Running if now.since(run.last_event) >= stuck_after => check.stuck.push(run),
                    RunState::Running => check.running.push(run),
                    RunState::Interrupted => check.interrupted.push(run),
                    _ => {}
                }
            }
            Ok(check)
        })
    }
}

/// Answers no question across runs.
pub(super) struct NoAnswers;

impl TraceAnalytics for NoAnswers {}

/// Counts one failed run too many, and answers nothing else.
pub(super) struct Miscounting(pub(super) Arc<dyn TraceAnalytics>);

impl TraceAnalytics for Miscounting {
    fn failure_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        Box::pin(async move {
            let rate = self.0.failure_rate(scope).await?;
            Ok(Rate::new(rate.hits + 1, rate.total))
        })
    }
}
