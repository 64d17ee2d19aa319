//! [`RequestSpan`], a root that is written only if something hangs on it.

use std::sync::Arc;

use super::TraceContext;
use super::cancellation::{self, CancelledBy};
use super::lazy::{Ended, LazyRoot};
use super::propagation::{self, Propagation, TraceParent};
use super::settled::LastEnd;
use super::span::{End, Label, Run, is_traced};
use super::spec::{Above, Details, root};
use crate::hub::Hub;
use throughline_model::Moment;
use throughline_model::{Attrs, ErrorInfo, Link, Relation, Text, TraceId, names};

/// The root span of a request that is about to be served, for middleware.
#[must_use = "a request span does nothing before it is opened"]
pub struct RequestStart {
    hub: Arc<Hub>,
    event_type: Text,
    caller: Propagation,
    request_id: Option<Text>,
    made_id: Option<Text>,
    describe: Option<Describe>,
}

/// Says what is known of a request, when its root is written.
pub(super) type Describe = Box<dyn Fn(RequestDetails) -> RequestDetails + Send + Sync>;

/// What is known of a request.
#[must_use = "this describes a request and does nothing by itself"]
pub struct RequestDetails(pub(super) Details);

impl RequestDetails {
    /// An attribute: a short, searchable value; everything in the request inherits it.
    pub fn attr(mut self, key: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.0.attrs.push((key.into(), value.into()));
        self
    }

    /// Links the span that caused the request without being its parent, as at a public endpoint.
    pub fn caused_by(mut self, cause: TraceParent) -> Self {
        let TraceParent { trace_id, span_id, .. } = cause;
        self.0.links.push(Link { rel: Relation::CausedBy, trace_id: Some(trace_id), span_id });
        self
    }

    /// What the request asks for, kept as `data.input`, redacted and truncated.
    pub fn input(mut self, input: &impl serde::Serialize) -> Self {
        self.0.set_input(input);
        self
    }
}

impl std::fmt::Debug for RequestDetails {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What was said of the request has not been redacted yet.
        f.debug_struct("RequestDetails").finish_non_exhaustive()
    }
}

impl RequestStart {
    pub(crate) fn new(hub: Arc<Hub>, event_type: Text) -> Self {
        Self {
            hub,
            event_type,
            caller: Propagation::default(),
            request_id: None,
            made_id: None,
            describe: None,
        }
    }

    /// Continues the trace of the sender of the request.
    pub fn continue_from(mut self, caller: Propagation) -> Self {
        self.caller = caller;
        self
    }

    /// The id under which the request came in, for [`TraceContext::request_id`]. What is recorded of it is said with
    /// [`describe`](Self::describe), and redacted.
    pub fn request_id(mut self, id: impl Into<Text>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// The id that a request was given which came in without one, so that the lines that are logged in it have it.
    pub fn made_request_id(mut self, id: &str) -> Self {
        // Nobody else asks for it here: what is recorded and sent has it from `describe`.
        self.made_id = is_traced().then(|| id.to_owned().into());
        self
    }

    /// Says what is known of the request. The closure is called by whatever first writes the root or asks for its
    /// attributes, on that thread, so it must be quick. If several threads do so at once each may call it, and one answer
    /// is kept. While it runs, the request has no attributes yet.
    pub fn describe(
        mut self,
        describe: impl Fn(RequestDetails) -> RequestDetails + Send + Sync + 'static,
    ) -> Self {
        self.describe = Some(Box::new(describe));
        self
    }

    /// Opens the span. It waits for nothing: what hangs on it does.
    ///
    /// After the emitter has been shut down nothing is recorded any more: the span opens anyway, and steps in it
    /// say why they do not start.
    pub fn open(self) -> RequestSpan {
        let hub = &self.hub;
        if !hub.enabled {
            let context = unrecorded(hub, self.caller, self.request_id);
            return RequestSpan { context, open: false, answer: None };
        }
        let correlation_id = self.caller.correlation_id().map(|id| hub.redactor.findable(None, id).into());
        let Propagation { traceparent: parent, tracestate, baggage, baggage_properties } = self.caller;
        let run = Run {
            hub: Arc::clone(hub),
            trace_id: parent.map_or_else(TraceId::random, |parent| parent.trace_id),
            random: parent.is_none_or(|parent| parent.random),
            sampled: parent.is_none_or(|parent| parent.sampled),
            is_remote: parent.is_some(),
            correlation_id,
            workflow: None,
            tracestate,
            baggage,
            baggage_properties,
            request_id: self.request_id,
            resumption: None,
            detached: Arc::default(),
            last_end: LastEnd::default(),
            lazy_root: Some(Box::new(LazyRoot::new(self.describe))),
        };
        let mut details = Details::default();
        if let Some(parent) = parent {
            details.tags.extend(propagation::tags_of_child(parent));
        }
        let said = propagation::sampling_of_caller(run.tracestate.as_deref()).filter(|_| run.is_remote);
        let inherited = said.map_or_else(Attrs::new, |said| Attrs::new().with(names::attrs::SAMPLING, said));
        let above = Above { parent_span_id: parent.map(|parent| parent.span_id), ..Above::default() };
        let span = root(Arc::new(run), Label::Step(self.event_type), &mut details, inherited, above);
        // What is logged in the request carries its ids, whether its root will be written or not.
        span.open_tracing_of(self.made_id.as_deref());
        RequestSpan { context: TraceContext(span), open: true, answer: None }
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
    answer: Option<(Text, Text)>,
}

impl RequestSpan {
    /// The context that the handler is given.
    pub fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Whether something hangs on it already.
    pub fn is_recorded(&self) -> bool {
        self.context.0.run.lazy_root.as_deref().is_some_and(LazyRoot::is_written)
    }

    /// Records it even if nothing hangs on it, unless the store's queue is full.
    pub fn ensure_recorded(&self) {
        self.context.0.ensure_root_if_there_is_room();
    }

    /// What the answer is known by, kept as an attribute of the request's end, even if its root is written later.
    pub fn answered_with(&mut self, key: impl Into<Text>, value: impl Into<Text>) {
        self.answer = Some((key.into(), value.into()));
    }

    /// The request was answered.
    pub fn succeed(mut self) {
        self.end(End::success());
    }

    /// The request was answered with an error of ours, or not at all. It is recorded even if nothing hangs on it; if there
    /// is no room for that in the store's queue, the ledger counts it as dropped.
    pub fn fail(mut self, error: ErrorInfo) {
        self.ensure_recorded();
        let store = self.context.0.run.hub.store.as_ref();
        if let Some(store) = store.filter(|_| self.open && !self.is_recorded()) {
            store.refuse(2);
        }
        self.end(End::failed(error));
    }

    fn end(&mut self, end: End) {
        if !std::mem::replace(&mut self.open, false) {
            return;
        }
        let span = &self.context.0;
        let (status, now) = (end.status, Moment::now());
        let ended = Ended { status, at: now, answer: self.answer.take() };
        if let Some(lazy) = &span.run.lazy_root
            && let Some((ended, start)) = lazy.end_unless_written(ended)
        {
            span.end_request(end, ended, start);
        }
        span.close_tracing_with(status);
    }
}

impl Drop for RequestSpan {
    fn drop(&mut self) {
        let reason = CancelledBy::ClientGone.while_dropping(|| cancellation::reason(&self.context.0));
        self.end(End::cancelled(reason));
    }
}

impl TraceContext {
    /// The id under which the request came in that this works for, if its layer said one. It is not redacted: meant for
    /// the headers of outgoing requests, not for what is kept.
    pub fn request_id(&self) -> Option<&str> {
        self.0.run.request_id.as_deref()
    }
}

/// A context in which nothing is recorded, for an emitter that is off. It stands where its caller stands, so that a trace
/// goes through a service that is off as if that were not there.
pub(super) fn unrecorded(hub: &Arc<Hub>, caller: Propagation, request_id: Option<Text>) -> TraceContext {
    let Propagation { traceparent: parent, tracestate, baggage, baggage_properties } = caller;
    let run = Arc::new(Run {
        hub: Arc::clone(hub),
        trace_id: parent.map_or_else(TraceId::random, |parent| parent.trace_id),
        random: parent.is_none_or(|parent| parent.random),
        sampled: parent.is_some_and(|parent| parent.sampled),
        is_remote: parent.is_some(),
        correlation_id: None,
        workflow: None,
        tracestate,
        baggage,
        baggage_properties,
        request_id,
        resumption: None,
        detached: Arc::default(),
        last_end: LastEnd::default(),
        lazy_root: None,
    });
    let label = Label::Step(Text::default());
    let continues = parent.map(|parent| (parent.span_id, 0));
    let mut details = Details { continues, ..Details::default() };
    TraceContext(root(run, label, &mut details, Attrs::new(), Above::default()))
}
