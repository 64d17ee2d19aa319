//! The questions to a faulty store.

use std::sync::Arc;

use super::Faults;
use crate::BoxFuture;
use crate::{
    Filter, InstanceId, Liveness, OpenRun, Page, Paged, ReadError, RunSummary, TraceEvent, TraceId,
    TraceReader,
};

pub(super) struct FaultyReader {
    pub(super) inner: Arc<dyn TraceReader>,
    pub(super) faults: Faults,
}

impl FaultyReader {
    /// The answer, or what the plan has instead.
    fn answer<'a, T: Send + 'a>(
        &'a self,
        answer: BoxFuture<'a, Result<T, ReadError>>,
    ) -> BoxFuture<'a, Result<T, ReadError>> {
        Box::pin(async move {
            self.faults.read().await?;
            answer.await
        })
    }
}

impl TraceReader for FaultyReader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        self.answer(self.inner.trace(id))
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

    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        self.answer(self.inner.run(id))
    }

    fn open_runs(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OpenRun>, ReadError>> {
        self.answer(self.inner.open_runs(limit))
    }

    fn liveness<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        self.answer(self.inner.liveness(instances))
    }

    fn complete<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        self.answer(self.inner.complete(prefix, limit))
    }
}
