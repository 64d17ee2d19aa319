//! A store, a feed and an outbox that do not answer as they should.

use std::sync::Arc;

use throughline_core::{
    BoxFuture, EventStream, Filter, InstanceId, Liveness, OpenRun, OpenSummary, Page, Paged, PagedAnalytics,
    ReadError, Readers, Refused, RunSummary, SpoolReader, SpoolUsage, Spooled, TraceEvent, TraceId,
    TraceReader, TraceStream, WatchRequest,
};

/// What it does in the place of answering.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stubborn {
    /// It never answers.
    Silent,
    /// It panics.
    Panicking,
    /// It says that it is down.
    Down,
}

impl Stubborn {
    pub(crate) fn readers(self) -> Readers {
        let reader: Arc<dyn TraceReader> = Arc::new(self);
        Readers { analytics: Arc::new(PagedAnalytics::new(Arc::clone(&reader))), reader }
    }

    fn answer<T: Send + 'static>(self) -> BoxFuture<'static, Result<T, ReadError>> {
        Box::pin(async move {
            match self {
                Self::Silent => std::future::pending().await,
                Self::Panicking => panic!("the password is tulip"),
                Self::Down => {
                    Err(ReadError::Unavailable { reason: "the disk is gone".to_owned(), source: None })
                }
            }
        })
    }
}

impl TraceReader for Stubborn {
    fn trace(&self, _: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        self.answer()
    }
    fn events<'a>(
        &'a self,
        _: &'a Filter,
        _: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>> {
        self.answer()
    }
    fn runs<'a>(&'a self, _: &'a Filter, _: &'a Page) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>> {
        self.answer()
    }
    fn run(&self, _: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>> {
        self.answer()
    }
    fn open_runs<'a>(&'a self, _: &'a Page) -> BoxFuture<'a, Result<Paged<OpenRun>, ReadError>> {
        self.answer()
    }
    fn open_summaries<'a>(&'a self, _: &'a Page) -> BoxFuture<'a, Result<Paged<OpenSummary>, ReadError>> {
        self.answer()
    }
    fn liveness<'a>(&'a self, _: &'a [InstanceId]) -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>> {
        self.answer()
    }
    fn find_by_id_prefix<'a>(
        &'a self,
        _: &'a str,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>> {
        self.answer()
    }
}

impl TraceStream for Stubborn {
    fn watch(&self, _: WatchRequest) -> BoxFuture<'_, Result<EventStream, ReadError>> {
        self.answer()
    }
}

impl SpoolReader for Stubborn {
    fn trace(&self, _: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        self.answer()
    }
    fn traces(&self, _: Option<TraceId>, _: usize) -> BoxFuture<'_, Result<Vec<TraceId>, ReadError>> {
        self.answer()
    }
    fn waiting(&self, _: Option<u64>, _: usize) -> BoxFuture<'_, Result<Vec<Spooled>, ReadError>> {
        self.answer()
    }
    fn refused(&self, _: usize) -> BoxFuture<'_, Result<Vec<Refused>, ReadError>> {
        self.answer()
    }
    fn usage(&self) -> BoxFuture<'_, Result<SpoolUsage, ReadError>> {
        self.answer()
    }
}
