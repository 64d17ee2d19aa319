//! [`EventDraft`], something that happened.

use std::future::IntoFuture;

use serde_json::{Map, Value};

use super::failure::NotRecorded;
use super::future::recorded_or_why;
use super::{TraceContext, current};
use crate::hub::{Delivery, Emitted};
use crate::redaction;
use throughline_model::BoxFuture;
use throughline_model::Moment;
use throughline_model::{ErrorInfo, Link, Relation, SpanId, Status, Text};

/// A point event; it is recorded when awaited.
#[must_use = "an event is not recorded unless it is awaited"]
pub struct EventDraft {
    context: TraceContext,
    event_type: Text,
    data: Option<Map<String, Value>>,
    attrs: Vec<(Text, Text)>,
    tags: Vec<Text>,
    links: Vec<Link>,
    status: Status,
    error: Option<ErrorInfo>,
}

impl EventDraft {
    pub(super) fn new(context: TraceContext, event_type: Text, data: Option<Map<String, Value>>) -> Self {
        let (attrs, tags, links) = Default::default();
        Self { context, event_type, data, attrs, tags, links, status: Status::Success, error: None }
    }

    /// What failed, and the code continues without.
    pub(super) fn tolerating(mut self, error: ErrorInfo) -> Self {
        self.error = Some(error);
        self
    }

    /// A tag, to filter by.
    pub fn tag(mut self, tag: impl Into<Text>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// An attribute: a short, searchable value.
    pub fn attr(mut self, key: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.attrs.push((key.into(), value.into()));
        self
    }

    /// Links it to another span of the same trace.
    pub fn link(mut self, rel: Relation, span: SpanId) -> Self {
        self.links.push(Link::to(rel, span));
        self
    }

    /// Marks it as a failure.
    pub fn failed(mut self) -> Self {
        self.status = Status::Failed;
        self
    }

    pub(super) fn data(mut self, data: Map<String, Value>) -> Self {
        self.data = Some(data);
        self
    }

    async fn record(self) -> Result<SpanId, NotRecorded> {
        let span_id = SpanId::random();
        let parent = current::parent_for(self.context.0);
        let run = &*parent.run;
        let hub = &*run.hub;
        if !hub.enabled {
            return Ok(span_id);
        }
        if let Some(store) = &hub.store {
            store.reserve().await?;
        }
        let root = parent.ensure_root();
        let at = Moment::now().timestamp();
        let (mut event_type, mut tags) = (self.event_type, self.tags);
        redaction::name(&hub.redactor, &mut event_type);
        redaction::tags(&hub.redactor, &mut tags);
        let attrs = parent.attrs();
        let with_own = (!self.attrs.is_empty()).then(|| {
            let own = redaction::attrs(&hub.redactor, &self.attrs.into_iter().collect());
            attrs.iter().chain(&own).cloned().collect()
        });
        let attrs = with_own.as_ref().unwrap_or(attrs);
        if let Some(error) = &self.error {
            parent.failures.tolerated(error);
        }
        let emitted = hub.emit(Delivery::Awaited { root }, |event| {
            run.write(event, span_id, Some(parent.id), event_type, at, attrs);
            event.status = self.status;
            event.error = self.error.map(Box::new);
            event.data = self.data;
            event.tags = tags;
            event.links = self.links;
        });
        match emitted {
            Emitted::NotAwaited => Ok(span_id),
            Emitted::Awaiting(ack) => recorded_or_why(ack.await).map(|()| span_id),
            Emitted::Closed => Err(NotRecorded::ShutDown),
        }
    }
}

impl IntoFuture for EventDraft {
    /// The event's own span, for links to it.
    type Output = Result<SpanId, NotRecorded>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.record())
    }
}

impl std::fmt::Debug for EventDraft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What was said of the event has not been redacted yet.
        f.debug_struct("EventDraft").field("context", &self.context).finish_non_exhaustive()
    }
}
