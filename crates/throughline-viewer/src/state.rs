//! [`State`], what all requests share, and [`Source`], what they read.

use std::sync::Arc;
use std::time::Duration;

use throughline_core::{DeliveryReport, Redactor, Throughline, TraceAnalytics, TraceReader, TraceStream};
use tokio::sync::Semaphore;

use crate::access::{Access, Auth};
use crate::veil::Veil;

/// What all requests share.
pub(crate) struct State {
    pub(crate) source: Source,
    pub(crate) auth: Option<Auth>,
    /// The names under which the viewer is reached, in lower case.
    pub(crate) hosts: Vec<String>,
    pub(crate) timeout: Duration,
    pub(crate) requests: Arc<Semaphore>,
    pub(crate) watchers: Arc<Semaphore>,
}

/// Where the answers come from.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) reader: Arc<dyn TraceReader>,
    pub(crate) analytics: Option<Arc<dyn TraceAnalytics>>,
    pub(crate) stream: Option<Arc<dyn TraceStream>>,
    pub(crate) redactor: Redactor,
    /// The service itself, where the viewer is part of it.
    pub(crate) throughline: Option<Throughline>,
}

impl Source {
    /// The store as somebody with this access may see it.
    pub(crate) fn seen_with(&self, access: Access) -> Veil {
        Veil::new(Arc::clone(&self.reader), self.redactor.clone(), access)
    }

    /// What became of the events of the service; `None` beside it.
    pub(crate) fn delivery(&self) -> Option<DeliveryReport> {
        self.throughline.as_ref().map(Throughline::delivery_report)
    }
}
