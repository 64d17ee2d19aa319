//! The questions to a faulty store.

use std::sync::Arc;
use std::time::Duration;

use super::CallFaults;
use crate::{
    BoxFuture, DeployCheck, Filter, InstanceId, JobAttempt, JobKey, Liveness, OpenRun, OpenSummary, Page,
    Paged, Process, ReadError, RunSummary, Secret, SpanId, TraceEvent, TraceId, TraceReader,
};

pub(super) struct FaultyReader {
    pub(super) inner: Arc<dyn TraceReader>,
    pub(super) faults: CallFaults<ReadError>,
}

impl FaultyReader {
    /// The answer, or what the plan has instead.
    fn answer<'a, T: Send + 'a>(
        &'a self,
        answer: BoxFuture<'a, Result<T, ReadError>>,
    ) -> BoxFuture<'a, Result<T, ReadError>> {
        Box::pin(self.faults.meet(answer))
    }
}

impl TraceReader for FaultyReader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        self.answer(self.inner.trace(id))
    }

    fn trace_page<'a>(
        &'a self,
        id: TraceId,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        self.answer(self.inner.trace_page(id, page))
    }

    fn span(&self, id: TraceId, span: SpanId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        self.answer(self.inner.span(id, span))
    }

    fn last_attempt<'a>(
        &'a self,
        id: TraceId,
        job: &'a JobKey,
    ) -> BoxFuture<'a, Result<Option<JobAttempt>, ReadError>> {
        self.answer(self.inner.last_attempt(id, job))
    }

    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        self.answer(self.inner.events(filter, page))
    }

    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        self.answer(self.inner.runs(filter, page))
    }

    fn runs_without_causes<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        self.answer(self.inner.runs_without_causes(filter, page))
    }

    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        self.answer(self.inner.run(id))
    }

    fn open_runs<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>> {
        self.answer(self.inner.open_runs(page))
    }

    fn open_summaries<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>> {
        self.answer(self.inner.open_summaries(page))
    }

    fn liveness<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        self.answer(self.inner.liveness(instances))
    }

    fn processes<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Option<Process>>, ReadError>> {
        self.answer(self.inner.processes(instances))
    }

    fn secret(&self) -> BoxFuture<'_, Result<Option<Secret>, ReadError>> {
        self.answer(self.inner.secret())
    }

    fn find_by_id_prefix<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        self.answer(self.inner.find_by_id_prefix(prefix, limit))
    }

    fn safe_to_deploy(&self, stuck_after: Duration) -> BoxFuture<'_, Result<DeployCheck, ReadError>> {
        self.answer(self.inner.safe_to_deploy(stuck_after))
    }
}
