//! [`SqliteReader`], which answers questions about a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use throughline_model::{
    BoxFuture, Bucket, ChoiceOutcome, EventStream, Filter, HotSpot, InstanceId, JobAttempt, JobKey, Liveness,
    OpenError, OpenRun, OpenSummary, Page, Paged, Process, Rate, ReadError, RunSummary, Scope, Secret,
    SlowSpan, SpanId, StageTimes, Timestamp, TraceAnalytics, TraceEvent, TraceId, TraceReader, TraceStream,
    TypeRate, WatchRequest,
};
use tokio::task::coop::consume_budget;

use crate::block::last_moment;
use crate::error::Fault;
use crate::presence::{Gone, Presence};

mod across;
mod candidates;
mod counts;
mod descending;
mod events;
mod indexes;
mod jobs;
mod large;
mod near;
mod page;
mod pool;
mod question;
mod rows;
mod runs;
mod session;
mod watch;

use near::{Attempt, Near};
use pool::{InPlace, Pool};
use runs::Causes;
use session::{Session, Source};
use watch::Watchers;

/// Reads a file that a store writes, in this process or another: [`TraceReader`] for single runs, [`TraceAnalytics`] for
/// questions across runs, [`TraceStream`] to watch. Clones share their connections.
///
/// Questions are answered on a few threads of the reader's own, so that neither the caller's runtime nor the writer waits
/// for the disk; each answer is of one state of the file. Except that [`trace`](TraceReader::trace) begins on the thread that
/// asks, and leaves the question to the others if the run has not been read after 0.1 ms: most runs are, in less time than it takes
/// to wake a thread.
///
/// ```
/// use throughline_model::{Filter, Page, RunState, Scope, Status, TraceAnalytics, TraceReader};
/// use throughline_sqlite::SqliteStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("traces.db");
/// # {
/// # use throughline_model::{SpanId, Timestamp, TraceEvent, TraceId};
/// # let span = SpanId::from_u64(1).ok_or("not zero")?;
/// # let mut event = TraceEvent::new(TraceId::from_key("loan-42"), span, "stage:score", Timestamp::now(), "loan-service");
/// # event.status = Status::Failed;
/// # let mut importer = SqliteStore::new(&path).open_importer()?;
/// # importer.append(&[event])?;
/// # importer.finish()?;
/// # }
/// # runtime.block_on(async {
/// let reader = SqliteStore::new(&path).open_reader()?;
///
/// let failed = reader.runs(&Filter::new().status(Status::Failed), &Page::first(50)).await?;
/// assert_eq!(failed.items[0].state, RunState::Failed);
/// let rate = reader.failure_rate(&Scope::all()).await?;
/// assert_eq!((rate.hits, rate.total), (1, 1));
/// assert_eq!(reader.info().await?.events, 1);
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteReader {
    inner: Arc<Inner>,
    in_place: Option<Arc<InPlace>>,
}

struct Inner {
    path: PathBuf,
    near: Near,
    pool: Pool,
    watchers: Watchers,
}

/// What a file holds, and how large it is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreInfo {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes, including SQLite's log.
    pub bytes: u64,
    /// How many events it holds.
    pub events: u64,
    /// How many runs it holds.
    pub runs: u64,
    /// The version of its schema.
    pub schema_version: u32,
    /// When the first of its events happened.
    pub first: Option<Timestamp>,
    /// When the last of its events happened.
    pub last: Option<Timestamp>,
}

impl SqliteReader {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        Self::holding_up(path, Near::BUDGET)
    }

    /// A reader that holds its caller's thread up for no longer than this.
    fn holding_up(path: &Path, budget: Duration) -> Result<Self, OpenError> {
        let (source, first) = Source::open(path)?;
        let inner = Inner {
            path: source.path.clone(),
            watchers: Watchers::new(source.clone()),
            near: Near::new(source.session()?, budget),
            pool: Pool::new(source, first),
        };
        Ok(Self { inner: Arc::new(inner), in_place: None })
    }

    /// An error if this reads another file.
    pub(crate) fn check_same_database(&self, presence: &Presence) -> Result<(), Gone> {
        self.inner.pool.source().presence.check_same_database(presence)
    }

    /// Answers on the calling thread, one question at a time, and is never pending (except to watch).
    ///
    /// For command lines, scripts and threads of one's own: it saves the way to another thread and back, which takes
    /// longer than a short answer. On a runtime that has other work, it holds that work up for as long as the disk takes.
    #[must_use]
    pub fn in_place(self) -> Self {
        Self { in_place: Some(Arc::new(self.inner.pool.in_place())), ..self }
    }

    /// What the file holds, and how large it is.
    ///
    /// # Errors
    ///
    /// If the file can't be read.
    pub async fn info(&self) -> Result<StoreInfo, ReadError> {
        let path = self.inner.path.clone();
        self.ask(move |session| info(&session.snapshot()?.0, path)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Session) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, ReadError> {
        match &self.in_place {
            Some(in_place) => in_place.ask(question),
            None => self.inner.pool.ask(question).await,
        }
    }
}

impl std::fmt::Debug for SqliteReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteReader").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

fn info(connection: &Connection, path: PathBuf) -> Result<StoreInfo, Fault> {
    let size = |path: &Path| path.metadata().map_or(0, |file| file.len());
    let bytes = size(&path) + size(&crate::paths::beside(&path, "-wal"));
    let count = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let moment = |sql| connection.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    Ok(StoreInfo {
        path,
        bytes,
        events: count("SELECT count(*) FROM event")? as u64,
        runs: count("SELECT count(*) FROM run")? as u64,
        schema_version: connection.pragma_query_value(None, "user_version", |row| row.get(0))?,
        first: moment("SELECT min(started) FROM run")?.map(Timestamp::from_micros),
        last: last_moment(connection)?.map(Timestamp::from_micros),
    })
}

impl TraceReader for SqliteReader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(async move {
            if self.in_place.is_some() {
                return self.ask(move |session| session.trace(id)).await;
            }
            let near = &self.inner.near;
            let was_tried = match near.trace(id) {
                Attempt::Read(events) => {
                    // Otherwise a task that reads one run after the other would never let others run.
                    consume_budget().await;
                    return Ok(events);
                }
                Attempt::InVain => true,
                Attempt::NotMade => false,
            };
            let read = move |session: &mut Session| {
                let began = Instant::now();
                Ok((session.trace(id)?, began.elapsed()))
            };
            let (events, took) = self.ask(read).await?;
            if !was_tried {
                near.note(took);
            }
            Ok(events)
        })
    }

    fn trace_page<'a>(
        &'a self,
        id: TraceId,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        let page = page.clone();
        Box::pin(self.ask(move |session| page::of_trace(session, id, &page)))
    }

    fn span(&self, id: TraceId, span: SpanId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(self.ask(move |session| events::of_span(session, id, span)))
    }

    fn last_attempt<'a>(
        &'a self,
        id: TraceId,
        job: &'a JobKey,
    ) -> BoxFuture<'a, Result<Option<JobAttempt>, ReadError>> {
        let job = job.clone();
        Box::pin(self.ask(move |session| jobs::last_attempt(session, id, &job)))
    }

    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        let (filter, page) = (filter.clone(), page.clone());
        Box::pin(self.ask(move |session| events::find(session, &filter, &page)))
    }

    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        let (filter, page) = (filter.clone(), page.clone());
        Box::pin(self.ask(move |session| runs::find(session, &filter, &page, Causes::All)))
    }

    fn runs_without_causes<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        let (filter, page) = (filter.clone(), page.clone());
        Box::pin(self.ask(move |session| runs::find(session, &filter, &page, Causes::Kept)))
    }

    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        Box::pin(self.ask(move |session| runs::one(session, id)))
    }

    fn open_runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>> {
        let page = page.clone();
        Box::pin(self.ask(move |session| runs::open_runs(session, &page)))
    }

    fn open_summaries<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>> {
        let page = page.clone();
        Box::pin(self.ask(move |session| runs::open_summaries(session, &page)))
    }

    fn liveness<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        let instances = instances.to_vec();
        Box::pin(self.ask(move |session| session.liveness(&instances)))
    }

    fn processes<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Option<Process>>, ReadError>> {
        let instances = instances.to_vec();
        Box::pin(self.ask(move |session| session.processes(&instances)))
    }

    fn secret(&self) -> BoxFuture<'_, Result<Option<Secret>, ReadError>> {
        Box::pin(self.ask(|session| session.secret().map(Some)))
    }

    fn find_by_id_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        let prefix = prefix.to_owned();
        Box::pin(self.ask(move |session| runs::find_by_id_prefix(session, &prefix, limit)))
    }
}

impl TraceAnalytics for SqliteReader {
    fn failure_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        let scope = scope.clone();
        Box::pin(self.ask(move |session| across::failure_rate(session, &scope)))
    }

    fn failure_rate_by_type<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<TypeRate>, ReadError>> {
        let scope = scope.clone();
        Box::pin(self.ask(move |session| counts::failure_rate_by_type(session, &scope)))
    }

    fn slowest_stages<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StageTimes>, ReadError>> {
        let scope = scope.clone();
        Box::pin(self.ask(move |session| counts::slowest_stages(session, &scope, limit)))
    }

    fn slowest_spans<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<SlowSpan>, ReadError>> {
        let scope = scope.clone();
        Box::pin(self.ask(move |session| counts::slowest_spans(session, &scope, limit)))
    }

    fn compensation_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        let scope = scope.clone();
        Box::pin(self.ask(move |session| across::compensation_rate(session, &scope)))
    }

    fn hot_spots<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<HotSpot>, ReadError>> {
        let scope = scope.clone();
        Box::pin(self.ask(move |session| across::hot_spots(session, &scope, limit)))
    }

    fn decision_outcomes<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<ChoiceOutcome>, ReadError>> {
        let scope = scope.clone();
        Box::pin(self.ask(move |session| across::decision_outcomes(session, &scope)))
    }

    fn over_time<'a>(
        &'a self,
        scope: &'a Scope,
        width: Duration,
    ) -> BoxFuture<'a, Result<Vec<Bucket>, ReadError>> {
        let scope = scope.clone();
        Box::pin(self.ask(move |session| across::over_time(session, &scope, width)))
    }
}

impl TraceStream for SqliteReader {
    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<EventStream, ReadError>> {
        Box::pin(self.inner.watchers.watch(request))
    }
}
