//! A store whose questions can be made to fail.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use throughline_core::{
    AppendError, BoxFuture, Filter, Instance, InstanceId, Liveness, OpenError, OpenRun, Page, Paged,
    ReadError, RunSummary, StoreConfig, TraceAnalytics, TraceEvent, TraceId, TraceReader, TraceStore,
};

/// Says how the next questions for a whole run are answered, and counts them.
#[derive(Clone, Default)]
pub(crate) struct Reading {
    asked: Arc<AtomicU64>,
    next: Arc<Mutex<Vec<Answer>>>,
}

#[derive(Clone, Copy)]
pub(crate) enum Answer {
    /// The store does not answer now.
    Unavailable,
    /// It never answers.
    Never,
}

impl Reading {
    /// The next answers, of which the last comes first.
    pub(crate) fn next(&self, answers: &[Answer]) {
        self.next.lock().unwrap().extend_from_slice(answers);
    }

    /// How often a whole run was read.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn around(&self, store: impl StoreConfig) -> impl StoreConfig {
        Config { inner: Box::new(store), reading: self.clone() }
    }
}

struct Config {
    inner: Box<dyn StoreConfig>,
    reading: Reading,
}

impl StoreConfig for Config {
    fn open(
        self: Box<Self>,
        instance: Instance,
    ) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        Box::pin(async move {
            let inner = self.inner.open(instance).await?;
            Ok(Arc::new(Open { inner, reading: self.reading }) as Arc<dyn TraceStore>)
        })
    }
}

struct Open {
    inner: Arc<dyn TraceStore>,
    reading: Reading,
}

impl TraceStore for Open {
    fn name(&self) -> &str {
        self.inner.name()
    }
    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        self.inner.append(events)
    }
    fn reader(&self) -> Arc<dyn TraceReader> {
        Arc::new(Reader { inner: self.inner.reader(), reading: self.reading.clone() })
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
    reading: Reading,
}

impl TraceReader for Reader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        self.reading.asked.fetch_add(1, Ordering::SeqCst);
        match self.reading.next.lock().unwrap().pop() {
            None => self.inner.trace(id),
            Some(Answer::Unavailable) => Box::pin(async {
                Err(ReadError::Unavailable { reason: "the store is away".to_owned(), source: None })
            }),
            Some(Answer::Never) => Box::pin(std::future::pending()),
        }
    }
    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        self.inner.events(filter, page)
    }
    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        self.inner.runs(filter, page)
    }
    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        self.inner.run(id)
    }
    fn open_runs(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OpenRun>, ReadError>> {
        self.inner.open_runs(limit)
    }
    fn liveness<'a>(
        &'a self,
        instances: &'a [InstanceId],
    ) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        self.inner.liveness(instances)
    }
    fn complete<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        self.inner.complete(prefix, limit)
    }
}

/// Longer than a look-up may take.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(5);
