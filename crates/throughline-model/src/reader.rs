//! [`TraceReader`], the questions about runs and events that every store answers.

use std::time::Duration;

use crate::fold::Position;
use crate::{
    BoxFuture, Cursor, DeployCheck, Filter, InstanceId, JobAttempt, JobKey, Liveness, OpenRun, OpenSummary,
    Page, Paged, Process, ReadError, RunState, RunSummary, SpanId, Timestamp, TraceEvent, TraceId,
};

/// A page of all events of a run, which are in their order.
pub(crate) fn page_of_run(mut events: Vec<TraceEvent>, page: &Page) -> Result<Paged<TraceEvent>, ReadError> {
    let after = page.after.as_ref().map(Cursor::event).transpose()?;
    events.retain(|event| after.is_none_or(|after| Position::of(event) > after));
    let is_all = events.len() <= page.limit;
    events.truncate(page.limit);
    let next = events.last().filter(|_| !is_all).map(Cursor::of_event);
    Ok(Paged { items: events, next })
}

/// Random bytes that a store keeps: see [`TraceReader::secret`]. They don't appear in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A secret of these bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// Reads a store. All stores give the same answers; the conformance suite (feature `testing`) checks that. A reader may
/// be called from any thread, on any runtime and many times at once, so it must not block for long: long work goes to the
/// runtime that the store or its readers were opened on.
pub trait TraceReader: Send + Sync + 'static {
    /// All events of one run in their order; empty if there is no such run.
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>>;

    /// The events of one run in their order, earliest first, a page at a time: for runs that are too long to be held in
    /// memory. Uses the same [cursors](Cursor::of_event) as [`events`](Self::events).
    ///
    /// By default each page reads the whole run.
    fn trace_page<'a>(
        &'a self,
        id: TraceId,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        Box::pin(async move { page_of_run(self.trace(id).await?, page) })
    }

    /// The events of one span of a run in their order; empty if there is no such span. A run may have hundreds of thousands of
    /// spans, so the cost should not depend on the number of its events.
    ///
    /// By default the whole run is read.
    fn span(&self, id: TraceId, span: SpanId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(async move {
            let mut events = self.trace(id).await?;
            events.retain(|event| event.span_id == span);
            Ok(events)
        })
    }

    /// The last attempt at a job in a run, which the next attempt links. A request may put thousands of jobs into a queue, so
    /// the cost should not depend on the number of events of the run.
    ///
    /// By default the whole run is read.
    fn last_attempt<'a>(
        &'a self,
        id: TraceId,
        job: &'a JobKey,
    ) -> BoxFuture<'a, Result<Option<JobAttempt>, ReadError>> {
        Box::pin(async move { Ok(job.last_attempt(&self.trace(id).await?)) })
    }

    /// Events that match, newest first.
    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>>;

    /// Runs that match, newest first. A run matches by its summary: its start is in the time range, its workflow, service
    /// and correlation id are equal, it ended in one of the `outcomes`, every attribute is on one of its events; and by its events: one of them matches
    /// `statuses`, `event_type` and `tags` (all three).
    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>>;

    /// The same runs in the same order, for which it matters not why they failed: where the events of a run would have to
    /// be read to find its [`cause`](RunSummary::cause), that may be missing.
    ///
    /// By default they are complete.
    fn runs_without_causes<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        self.runs(filter, page)
    }

    /// The summary of one run.
    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>>;

    /// Runs that have not ended: running, interrupted or unfinished; the oldest first, each with the step it is in.
    ///
    /// Finding the step requires reading the events of a run. If you only need to know what is running, use
    /// [`open_summaries`](Self::open_summaries).
    fn open_runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>>;

    /// The same runs in the same order, without the step they are in: the cost does not depend on the number of events.
    fn open_summaries<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>>;

    /// The liveness of each of these instances, in the same order.
    fn liveness<'a>(&'a self, instances: &'a [InstanceId])
    -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>>;

    /// In which process each of these instances ran, in the same order; `None`, the default for all, where the store knows
    /// nothing of that.
    fn processes<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Option<Process>>, ReadError>> {
        Box::pin(std::future::ready(Ok(vec![None; instances.len()])))
    }

    /// A random secret that the store keeps for those that set no pseudonym key of their own, so that what they replace by
    /// a pseudonym can be found again: at least 16 bytes, the same for everybody who opens the store, for as long as it
    /// exists. `None`, the default, if the store keeps none.
    ///
    /// Anyone who can read the store can read the secret. It protects what leaves the store: logs, feeds and exports.
    fn secret(&self) -> BoxFuture<'_, Result<Option<Secret>, ReadError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Runs whose id begins with these lower-case hex digits, at most `limit`, in the order of their ids. All runs begin
    /// with the empty prefix.
    ///
    /// # Errors
    /// [`ReadError::InvalidQuery`] if it is anything else than lower-case hex digits.
    fn find_by_id_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>>;

    /// Whether a deployment would interrupt a run: what is running, what is stuck (no event for `stuck_after`), and what
    /// was interrupted before. Reads summaries, a page at a time.
    fn safe_to_deploy(&self, stuck_after: Duration) -> BoxFuture<'_, Result<DeployCheck, ReadError>> {
        Box::pin(async move {
            let (mut check, now) = (DeployCheck::default(), Timestamp::now());
            let mut page = Page::first(1000);
            loop {
                let found = self.open_summaries(&page).await?;
                let is_last = !page.turn(&found)?;
                for run in found.items {
                    match run.summary.state {
                        RunState::Running if now.since(run.last_event) >= stuck_after => {
                            check.stuck.push(run);
                        }
                        RunState::Running => check.running.push(run),
                        RunState::Interrupted => check.interrupted.push(run),
                        _ => {}
                    }
                }
                if is_last {
                    return Ok(check);
                }
            }
        })
    }
}
