//! [`CosmosReader`], which answers questions about a container.

use std::time::Duration;

use throughline_model::{
    BoxFuture, Bucket, ChoiceOutcome, Filter, HotSpot, InstanceId, JobAttempt, JobKey, Liveness, OpenRun,
    OpenSummary, Page, Paged, Process, Rate, ReadError, RunSummary, Scope, Secret, SlowSpan, SpanId,
    StageTimes, TraceAnalytics, TraceEvent, TraceId, TraceReader, TypeRate,
};

use crate::container::Container;
use crate::document::{STORE, StoreDocument};
use crate::error::Fault;
use crate::lease;
use crate::partition::of_trace;

mod across;
mod events;
mod runs;

/// A page has at most so many items.
const MAX_PAGE: usize = 1000;

/// Reads a container that a store writes, in this process or another: [`TraceReader`] for single runs, [`TraceAnalytics`] for
/// questions across runs. Clones share their connections.
///
/// What a process itself has written it sees at once. What others have written it sees as soon as the consistency level of
/// the account promises: at once with `Strong`, and after a moment with `Session`, the default.
#[derive(Clone)]
pub struct CosmosReader {
    container: Container,
}

impl std::fmt::Debug for CosmosReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CosmosReader").finish_non_exhaustive()
    }
}

impl CosmosReader {
    pub(crate) fn new(container: Container) -> Self {
        Self { container }
    }
}

macro_rules! answer {
    ($answer:expr) => {
        Box::pin(async move { $answer.await.map_err(Fault::into_read_error) })
    };
}

impl TraceReader for CosmosReader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        answer!(of_trace(&self.container, id))
    }

    fn trace_page<'a>(
        &'a self,
        id: TraceId,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        answer!(events::page_of_trace(&self.container, id, page))
    }

    fn span(&self, id: TraceId, span: SpanId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        answer!(events::of_span(&self.container, id, span))
    }

    fn last_attempt<'a>(
        &'a self,
        id: TraceId,
        job: &'a JobKey,
    ) -> BoxFuture<'a, Result<Option<JobAttempt>, ReadError>> {
        answer!(events::last_attempt(&self.container, id, job))
    }

    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        answer!(events::find(&self.container, filter, page))
    }

    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        answer!(runs::find_with_causes(&self.container, filter, page))
    }

    fn runs_without_causes<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        answer!(runs::find(&self.container, filter, page))
    }

    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        answer!(runs::one(&self.container, id))
    }

    fn open_runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>> {
        answer!(runs::open_runs(&self.container, page))
    }

    fn open_summaries<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>> {
        answer!(runs::open_summaries(&self.container, page))
    }

    fn liveness<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        answer!(lease::liveness(&self.container, instances))
    }

    fn processes<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Option<Process>>, ReadError>> {
        answer!(lease::processes(&self.container, instances))
    }

    fn secret(&self) -> BoxFuture<'_, Result<Option<Secret>, ReadError>> {
        let secret = async {
            let found = self.container.read::<StoreDocument>(STORE, STORE).await?;
            Ok::<_, Fault>(found.map(|store| Secret::new(store.secret)))
        };
        answer!(secret)
    }

    fn find_by_id_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        answer!(runs::with_id_prefix(&self.container, prefix, limit))
    }
}

impl TraceAnalytics for CosmosReader {
    fn failure_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        answer!(across::failure_rate(&self.container, scope))
    }

    fn failure_rate_by_type<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<TypeRate>, ReadError>> {
        answer!(across::failure_rate_by_type(&self.container, scope))
    }

    fn slowest_stages<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<StageTimes>, ReadError>> {
        answer!(across::slowest_stages(&self.container, scope, limit))
    }

    fn slowest_spans<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<SlowSpan>, ReadError>> {
        answer!(across::slowest_spans(&self.container, scope, limit))
    }

    fn compensation_rate<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Rate, ReadError>> {
        answer!(across::compensation_rate(&self.container, scope))
    }

    fn hot_spots<'a>(
        &'a self,
        scope: &'a Scope,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<HotSpot>, ReadError>> {
        answer!(across::hot_spots(&self.container, scope, limit))
    }

    fn decision_outcomes<'a>(
        &'a self,
        scope: &'a Scope,
    ) -> BoxFuture<'a, Result<Vec<ChoiceOutcome>, ReadError>> {
        answer!(across::decision_outcomes(&self.container, scope))
    }

    fn over_time<'a>(
        &'a self,
        scope: &'a Scope,
        width: Duration,
    ) -> BoxFuture<'a, Result<Vec<Bucket>, ReadError>> {
        answer!(across::over_time(&self.container, scope, width))
    }
}
