//! [`PostgresReader`], which answers questions about a database.

use std::time::Duration;

use throughline_model::{
    BoxFuture, Bucket, ChoiceOutcome, EventStream, Filter, HotSpot, InstanceId, JobAttempt, JobKey, Liveness,
    OpenRun, OpenSummary, Page, Paged, Process, Rate, ReadError, RunSummary, Scope, Secret, SlowSpan, SpanId,
    StageTimes, TraceAnalytics, TraceEvent, TraceId, TraceReader, TraceStream, TypeRate, WatchRequest,
};
use tokio_postgres::types::Type;

use crate::connect::{Connector, Param, Pool, reading};
use crate::error::Fault;
use crate::lease;

mod across;
mod events;
mod question;
mod runs;
mod watch;

/// A page has at most so many items.
const MAX_PAGE: usize = 1000;

/// Reads a database that a store writes, in this process or another: [`TraceReader`] for single runs, [`TraceAnalytics`] for
/// questions across runs, [`TraceStream`] to watch. Clones share their few connections, which are opened when they are
/// needed, and again when they were cut. Each answer is of one state of the database.
#[derive(Clone)]
pub struct PostgresReader {
    pool: Pool,
}

impl std::fmt::Debug for PostgresReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresReader").finish_non_exhaustive()
    }
}

impl PostgresReader {
    pub(crate) fn new(connector: Connector) -> Self {
        Self { pool: Pool::new(connector) }
    }
}

/// What a statement answers.
macro_rules! answer {
    ($self:ident, $client:ident => $answer:expr) => {
        Box::pin(async move {
            let answer = async { reading!($self.pool, $client => $answer) };
            answer.await.map_err(Fault::into_read_error)
        })
    };
}

/// What several statements answer, in one snapshot.
macro_rules! answer_in_snapshot {
    ($self:ident, $client:ident => $answer:expr) => {
        answer!($self, $client => async {
            $client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
            let answer = $answer.await?;
            $client.batch_execute("COMMIT").await?;
            Ok(answer)
        })
    };
}

impl TraceReader for PostgresReader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        answer!(self, client => events::of_trace(client, id, None))
    }

    fn trace_page<'a>(
        &'a self,
        id: TraceId,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        answer!(self, client => events::page_of_trace(client, id, page))
    }

    fn span(&self, id: TraceId, span: SpanId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        answer!(self, client => events::of_trace(client, id, Some(span)))
    }

    fn last_attempt<'a>(
        &'a self,
        id: TraceId,
        job: &'a JobKey,
    ) -> BoxFuture<'a, Result<Option<JobAttempt>, ReadError>> {
        answer!(self, client => events::last_attempt(client, id, job))
    }

    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        answer_in_snapshot!(self, client => events::find(client, filter, page))
    }

    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        answer_in_snapshot!(self, client => runs::find_with_causes(client, filter, page))
    }

    fn runs_without_causes<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        answer_in_snapshot!(self, client => runs::find(client, filter, page))
    }

    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        answer_in_snapshot!(self, client => runs::one(client, id))
    }

    fn open_runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>> {
        answer_in_snapshot!(self, client => runs::open_runs(client, page))
    }

    fn open_summaries<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>> {
        answer!(self, client => runs::open_summaries(client, page))
    }

    fn liveness<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        answer!(self, client => lease::liveness(client, instances))
    }

    fn processes<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Option<Process>>, ReadError>> {
        answer!(self, client => lease::processes(client, instances))
    }

    fn secret(&self) -> BoxFuture<'_, Result<Option<Secret>, ReadError>> {
        answer!(self, client => async {
            let row = client.query_typed_opt("SELECT secret FROM throughline.store", &[]).await?;
            Ok::<_, Fault>(match row {
                None => None,
                Some(row) => Some(Secret::new(row.try_get::<_, Vec<u8>>(0)?)),
            })
        })
    }

    fn find_by_id_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        answer!(self, client => async {
            if !prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(Fault::Read(ReadError::InvalidQuery {
                    reason: format!("`{prefix}` is not the beginning of a trace id: use lower-case hex digits"),
                }));
            }
            let Some((first, last)) = question::ids_with_prefix(prefix) else { return Ok(Vec::new()) };
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let sql = "SELECT trace_id FROM throughline.run WHERE trace_id BETWEEN $1 AND $2 \
                       ORDER BY trace_id LIMIT $3";
            let params: &[Param<'_>] =
                &[(&&first[..], Type::BYTEA), (&&last[..], Type::BYTEA), (&limit, Type::INT8)];
            let rows = client.query_typed(sql, params).await?;
            rows.iter().map(|row| runs::trace_id(row.try_get(0)?)).collect()
        })
    }
}

impl TraceAnalytics for PostgresReader {
    fn failure_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        answer!(self, client => across::failure_rate(client, scope))
    }

    fn failure_rate_by_type<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<TypeRate>, ReadError>> {
        answer!(self, client => across::failure_rate_by_type(client, scope))
    }

    fn slowest_stages<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StageTimes>, ReadError>> {
        answer!(self, client => across::slowest_stages(client, scope, limit))
    }

    fn slowest_spans<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<SlowSpan>, ReadError>> {
        answer!(self, client => across::slowest_spans(client, scope, limit))
    }

    fn compensation_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        answer!(self, client => across::compensation_rate(client, scope))
    }

    fn hot_spots<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<HotSpot>, ReadError>> {
        answer!(self, client => across::hot_spots(client, scope, limit))
    }

    fn decision_outcomes<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<ChoiceOutcome>, ReadError>> {
        answer!(self, client => across::decision_outcomes(client, scope))
    }

    fn over_time<'a>(
        &'a self,
        scope: &'a Scope,
        width: Duration,
    ) -> BoxFuture<'a, Result<Vec<Bucket>, ReadError>> {
        answer!(self, client => across::over_time(client, scope, width))
    }
}

impl TraceStream for PostgresReader {
    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<EventStream, ReadError>> {
        Box::pin(async move { watch::watch(&self.pool, request).await.map_err(Fault::into_read_error) })
    }
}
