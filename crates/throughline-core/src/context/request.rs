//! [`RequestSpan`], a root that is written only if something hangs on it.

use std::sync::Arc;

use super::TraceContext;
use super::failure::NotRecorded;
use super::opening::{Details, RunOpening, root};
use super::propagation::Propagation;
use super::span::{End, Label, LazyRoot, Run};
use crate::hub::Hub;
use crate::throughline::Throughline;
use crate::{Attrs, ErrorInfo, Text, TraceId};

/// The root span of a request that is about to be served, for middleware.
#[must_use = "a request span does nothing before it is opened"]
pub struct RequestStart(Box<RunOpening>);

impl Throughline {
    /// Begins the root span of a request. It is *lazy*: nothing is recorded until something hangs on it, so that a
    /// scanner's requests cost nothing. Meant for middleware; handlers are given its context.
    pub fn request(&self, event_type: impl Into<Text>) -> RequestStart {
        RequestStart(Box::new(RunOpening {
            throughline: self.clone(),
            label: Label::Step(event_type.into()),
            workflow: None,
            key: None,
            caller: None,
            own_trace: true,
            remote: None,
            resumed: None,
            details: Details::default(),
        }))
    }
}

impl RequestStart {
    /// Goes on in the trace of whoever sent the request.
    pub fn continue_from(mut self, propagation: Propagation) -> Self {
        self.0.remote = Some(propagation);
        self
    }

    /// A small, findable fact; everything in the request inherits it.
    pub fn attr(mut self, key: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.0.details.attrs.push((key.into(), value.into()));
        self
    }

    /// What is known of the request, kept as `data.input`.
    pub fn input(mut self, input: &impl serde::Serialize) -> Self {
        self.0.details.set_input(input);
        self
    }

    /// Opens the span; waits only if the store's queue is full.
    ///
    /// # Errors
    /// When the emitter has been shut down.
    pub async fn open(self) -> Result<RequestSpan, NotRecorded> {
        let hub = Arc::clone(&self.0.throughline.0);
        if !hub.enabled {
            return Ok(RequestSpan { context: unrecorded(&hub), open: false });
        }
        if let Some(store) = &hub.store
            && !store.queue.try_reserve(2)
            && !store.queue.reserve(2).await
        {
            return Err(NotRecorded::ShutDown);
        }
        let context = self.0.open_lazily();
        Ok(RequestSpan { context, open: true })
    }
}

impl std::fmt::Debug for RequestStart {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestStart").finish_non_exhaustive()
    }
}

/// The root span of a request that is being served. Dropped without an end it was cancelled: the client went away.
#[derive(Debug)]
#[must_use = "dropped, it says that the client went away"]
pub struct RequestSpan {
    context: TraceContext,
    open: bool,
}

impl RequestSpan {
    /// The context that the handler is given.
    pub fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Whether something hangs on it already.
    pub fn is_recorded(&self) -> bool {
        self.context.0.run.lazy_root.as_ref().is_some_and(LazyRoot::is_written)
    }

    /// Records it even if nothing hangs on it: the request failed.
    pub fn ensure_recorded(&self) {
        self.context.0.run.ensure_root();
    }

    /// The request was answered.
    pub fn succeed(self) {
        self.end(End::success());
    }

    /// The request was answered with an error of ours, or not at all. It is recorded even if nothing hangs on it.
    pub fn fail(self, error: ErrorInfo) {
        self.ensure_recorded();
        self.end(End::failed(error));
    }

    fn end(mut self, end: End) {
        self.end_once(end);
    }

    fn end_once(&mut self, end: End) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let span = &self.context.0;
        if self.is_recorded() {
            span.end_unawaited(end);
        } else if let Some(store) = &span.run.hub.store {
            store.queue.release(2);
        }
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        self.end_once(End::cancelled());
    }
}

impl RunOpening {
    /// Opens the span without emitting its start; its two places are held.
    fn open_lazily(self: Box<Self>) -> TraceContext {
        let mut opening = *self;
        let hub = Arc::clone(&opening.throughline.0);
        let remote = opening.remote.take().unwrap_or_default();
        let mut details = opening.details;
        let parent = remote.traceparent;
        if parent.is_some() {
            details.tags.push(Text::literal(crate::names::tags::REMOTE_PARENT));
        }
        let (trace_id, random) = parent.map_or_else(|| (TraceId::random(), true), |p| (p.trace_id, p.random));
        let correlation_id = remote.correlation_id().map(|id| hub.redactor.findable(None, &id).into());
        // The start event is made from a span of the same ids whose run knows nothing of it yet.
        let run = |lazy_root| {
            Arc::new(Run {
                hub: Arc::clone(&hub),
                trace_id,
                random,
                correlation_id: Clone::clone(&correlation_id),
                workflow: None,
                tracestate: remote.tracestate.clone(),
                baggage: remote.baggage.clone(),
                earlier: None,
                lazy_root,
            })
        };
        let input = details.input.take();
        let parents = (parent.map(|parent| parent.span_id), None);
        let mut span = root(run(None), opening.label, &mut details, Attrs::new(), parents);
        let input =
            input.map(|input| serde_json::Map::from_iter([(crate::names::data::INPUT.to_owned(), input)]));
        let start = span.start_event(input, Vec::new());
        span.run = run(Some(LazyRoot::new(start)));
        TraceContext(Arc::new(span))
    }
}

/// A context in which nothing is recorded, for an emitter that is off.
pub(super) fn unrecorded(hub: &Arc<Hub>) -> TraceContext {
    let run = Arc::new(Run {
        hub: Arc::clone(hub),
        trace_id: TraceId::random(),
        random: true,
        correlation_id: None,
        workflow: None,
        tracestate: None,
        baggage: Attrs::new(),
        earlier: None,
        lazy_root: None,
    });
    let label = Label::Step(Text::default());
    TraceContext(Arc::new(root(run, label, &mut Details::default(), Attrs::new(), (None, None))))
}
