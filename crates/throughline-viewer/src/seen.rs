//! [`Seen`], the store as somebody may see it.

use std::collections::HashMap;
use std::sync::Arc;

use throughline_core::{
    Filter, Liveness, Page, Paged, ReadError, SpanId, TraceAnalytics, TraceEvent, TraceId, TraceQuery,
    TraceReader, Veil,
};

use crate::leisure::at_leisure;

/// How many events are worked on on the thread that asks. More than these keep others waiting.
const AT_ONCE: usize = 1_000;

/// The store as somebody may see it: there is no second way to an answer.
pub(crate) struct Seen {
    pub(crate) reader: Arc<dyn TraceReader>,
    pub(crate) analytics: Option<Arc<dyn TraceAnalytics>>,
    pub(crate) veil: Veil,
    bare: Arc<dyn TraceReader>,
}

impl Seen {
    pub(crate) fn new(
        bare: Arc<dyn TraceReader>,
        analytics: Option<Arc<dyn TraceAnalytics>>,
        veil: Veil,
    ) -> Self {
        let analytics = analytics.map(|analytics| veil.analytics(analytics));
        Self { reader: veil.reader(Arc::clone(&bare)), analytics, veil, bare }
    }

    /// Events that match, newest first, without what is large in them. They are redacted where that keeps nobody waiting.
    pub(crate) async fn events_without_data(
        &self,
        filter: &Filter,
        page: &Page,
    ) -> Result<Paged<TraceEvent>, ReadError> {
        let mut found = self.bare.events(filter, page).await?;
        let veil = self.veil.clone();
        let redact = move || {
            for event in &mut found.items {
                event.data = None;
                event.extra.clear();
                event.links.clear();
                veil.event(event);
            }
            found
        };
        at_leisure(redact).await
    }

    /// What can be asked of one run. The events of a large one are redacted and sorted where that keeps nobody waiting.
    pub(crate) async fn query(&self, id: TraceId) -> Result<TraceQuery, ReadError> {
        self.query_of(self.bare.trace(id).await?).await
    }

    /// What can be asked of one span, of which alone the events are read.
    pub(crate) async fn span(&self, id: TraceId, span: SpanId) -> Result<TraceQuery, ReadError> {
        self.query_of(self.bare.span(id, span).await?).await
    }

    async fn query_of(&self, mut events: Vec<TraceEvent>) -> Result<TraceQuery, ReadError> {
        let mut instances: Vec<_> = events.iter().map(|event| event.instance).collect();
        instances.sort_unstable();
        instances.dedup();
        let liveness = self.bare.liveness(&instances).await?;
        let known: HashMap<_, _> = instances.into_iter().zip(liveness).collect();
        let (veil, is_short) = (self.veil.clone(), events.len() <= AT_ONCE);
        let sort = move || {
            events.iter_mut().for_each(|event| veil.event(event));
            TraceQuery::new(events)
                .with_liveness(|instance| known.get(&instance).copied().unwrap_or(Liveness::Dead))
        };
        if is_short { Ok(sort()) } else { at_leisure(sort).await }
    }
}
