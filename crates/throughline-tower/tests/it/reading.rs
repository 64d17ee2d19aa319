//! A store that can be told to refuse to be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use throughline_core::{
    AppendError, BoxFuture, Filter, Instance, InstanceId, Liveness, MemoryStore, OpenError, OpenRun, Page,
    Paged, ReadError, RunSummary, StoreConfig, TraceAnalytics, TraceEvent, TraceId, TraceReader, TraceStore,
};

/// A memory store whose reader fails while `broken` is set.
#[derive(Default)]
pub(crate) struct UnreadableStore {
    broken: Arc<AtomicBool>,
}

impl UnreadableStore {
    pub(crate) fn broken(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.broken)
    }
}

impl StoreConfig for UnreadableStore {
    fn open(
        self: Box<Self>,
        instance: Instance,
    ) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        Box::pin(async move {
            let inner = Box::new(MemoryStore::new()).open(instance).await?;
            Ok(Arc::new(Open { inner, broken: self.broken }) as Arc<dyn TraceStore>)
        })
    }
}

struct Open {
    inner: Arc<dyn TraceStore>,
    broken: Arc<AtomicBool>,
}

impl TraceStore for Open {
    fn name(&self) -> &str {
        "unreadable"
    }
    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        self.inner.append(events)
    }
    fn reader(&self) -> Arc<dyn TraceReader> {
        Arc::new(Reader { inner: self.inner.reader(), broken: Arc::clone(&self.broken) })
    }
    fn analytics(&self) -> Arc<dyn TraceAnalytics> {
        self.inner.analytics()
    }
    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.inner.close()
    }
}

struct Reader {
    inner: Arc<dyn TraceReader>,
    broken: Arc<AtomicBool>,
}

impl Reader {
    fn unless_broken<'a, T: Send + 'a>(
        &self,
        answer: BoxFuture<'a, Result<T, ReadError>>,
    ) -> BoxFuture<'a, Result<T, ReadError>> {
        if self.broken.load(Ordering::SeqCst) {
            let reason = "it was unplugged".to_owned();
            return Box::pin(async { Err(ReadError::Unavailable { reason, source: None }) });
        }
        answer
    }
}

impl TraceReader for Reader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        self.unless_broken(self.inner.trace(id))
    }
    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        self.unless_broken(self.inner.events(filter, page))
    }
    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        self.unless_broken(self.inner.runs(filter, page))
    }
    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        self.unless_broken(self.inner.run(id))
    }
    fn open_runs(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OpenRun>, ReadError>> {
        self.unless_broken(self.inner.open_runs(limit))
    }
    fn liveness<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        self.unless_broken(self.inner.liveness(instances))
    }
    fn complete<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        self.unless_broken(self.inner.complete(prefix, limit))
    }
}
