//! [`Source`], what the viewer reads.

use std::sync::Arc;

use throughline_core::{DeliveryReport, Redactor, Throughline, TraceAnalytics, TraceReader, TraceStream};

use crate::access::Access;
use crate::veil::Veil;

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
