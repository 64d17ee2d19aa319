//! The state behind a context: a span that has been opened, and the run it belongs to.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::{Map, Value};

use super::failures::{Failure, Failures, How, Identity, Place};
use super::lazy::{Ended, LazyRoot};
use super::resumption::Resumption;
use super::saga::Detached;
use super::seldom::Seldom;
use super::settled::LastEnd;
use super::{cancellation, current};
use crate::delivery::Durability;
use crate::delivery::queue::{Dependency, Fate};
use crate::hub::{Delivery, Emitted, Hub, Root};
use crate::redaction;
use throughline_model::Moment;
use throughline_model::names;
use throughline_model::{
    Attrs, ErrorInfo, InstanceId, Link, Relation, SCHEMA_VERSION, SpanId, Status, Text, Timestamp,
    TraceEvent, TraceId,
};
use throughline_redact::Redactor;

/// What the spans of one run in this process share.
pub(crate) struct Run {
    pub(crate) hub: Arc<Hub>,
    pub(crate) trace_id: TraceId,
    /// Whether the trace id is random, as the W3C flag says; an id from a key is not.
    pub(crate) random: bool,
    /// Whether it is recorded, as the W3C flag says; of an emitter that is off the caller's word for it.
    pub(crate) sampled: bool,
    /// Whether the trace began in another process, which has a say in it.
    pub(crate) is_remote: bool,
    pub(crate) correlation_id: Option<Text>,
    pub(crate) workflow: Option<Text>,
    /// What came with the request or the job and travels on.
    pub(crate) tracestate: Option<Text>,
    pub(crate) baggage: Attrs,
    pub(crate) baggage_properties: Attrs,
    /// The id of the request that is being served, as it came in: for what is sent, never for what is recorded.
    pub(crate) request_id: Option<Text>,
    /// What the run had done before it was resumed; `None` in every other run.
    pub(crate) resumption: Option<Arc<Resumption>>,
    /// The sagas of the run whose callers are gone.
    pub(crate) detached: Arc<Detached>,
    /// The end of the step that returned last before it was recorded.
    pub(super) last_end: LastEnd,
    /// A root that is written by the first that hangs on it.
    pub(crate) lazy_root: Option<Box<LazyRoot>>,
}

impl Run {
    /// Writes an event of the run over one that was in its place before, so that nothing is left of that. Its names, `attrs` and
    /// tags are redacted already.
    pub(super) fn write(
        &self,
        event: &mut TraceEvent,
        of: SpanId,
        parent: Option<SpanId>,
        named: Text,
        at: Timestamp,
        with: &Attrs,
    ) {
        let TraceEvent {
            v,
            trace_id,
            span_id,
            seq,
            parent_span_id,
            parent_trace_id,
            correlation_id,
            event_type,
            timestamp,
            // Written by the hub.
            instance: _,
            n: _,
            status,
            duration_us,
            error,
            attrs,
            data,
            tags,
            links,
            service,
            workflow,
            attempt,
            step_index,
            step_total,
            extra,
        } = event;
        (*v, *trace_id, *span_id, *seq) = (SCHEMA_VERSION, self.trace_id, of, 0);
        (*parent_span_id, *parent_trace_id) = (parent, None);
        correlation_id.clone_from(&self.correlation_id);
        (*event_type, *timestamp) = (named, at);
        (*status, *duration_us, *error) = (Status::Success, None, None);
        attrs.clone_from(with);
        *data = None;
        tags.clear();
        links.clear();
        service.clone_from(&self.hub.service);
        workflow.clone_from(&self.workflow);
        (*attempt, *step_index, *step_total) = (None, None, None);
        if !extra.is_empty() {
            extra.clear();
        }
    }
}

/// What a span is called at its start and at its end.
#[derive(Clone)]
pub(crate) enum Label {
    /// By one name.
    Step(Text),
    /// `workflow:started`, `workflow:completed`…; resumed ones start as `workflow:resumed`.
    Workflow,
    /// `saga:started`, `saga:completed`…
    Saga,
}

impl Label {
    /// Once for all events of a span.
    pub(super) fn redact(&mut self, redactor: &Redactor) {
        match self {
            Self::Step(name) => redaction::name(redactor, name),
            Self::Workflow | Self::Saga => {}
        }
    }

    fn start(&self, seq: u32) -> Text {
        match self {
            Self::Step(name) => name.clone(),
            Self::Workflow if seq == 0 => Text::literal(names::WORKFLOW_STARTED),
            Self::Workflow => Text::literal(names::WORKFLOW_RESUMED),
            Self::Saga if seq == 0 => Text::literal(names::SAGA_STARTED),
            Self::Saga => Text::literal(names::SAGA_RESUMED),
        }
    }

    fn end(&self, status: Status) -> Text {
        Text::literal(match (self, status) {
            (Self::Step(name), _) => return name.clone(),
            (Self::Workflow, Status::Failed) => names::WORKFLOW_FAILED,
            (Self::Workflow, Status::Cancelled) => names::WORKFLOW_CANCELLED,
            (Self::Workflow, _) => names::WORKFLOW_COMPLETED,
            (Self::Saga, Status::Failed) => names::SAGA_FAILED,
            (Self::Saga, Status::Cancelled) => names::SAGA_CANCELLED,
            (Self::Saga, _) => names::SAGA_COMPLETED,
        })
    }
}

/// A span that has been opened.
pub(crate) struct Span {
    /// Whether anything is recorded: the emitter's, here for a step that is off to look at once.
    pub(crate) recording: bool,
    pub(crate) run: Arc<Run>,
    pub(crate) parent: Option<Arc<Span>>,
    /// Who began it, if it is the root of a trace of its own.
    pub(crate) caller: Option<Arc<Span>>,
    pub(crate) id: SpanId,
    pub(crate) parent_span_id: Option<SpanId>,
    pub(crate) parent_trace_id: Option<TraceId>,
    pub(crate) label: Label,
    pub(crate) started: Moment,
    /// What is known from the start. Of a lazy root it is not known yet: ask [`attrs`](Self::attrs).
    pub(crate) attrs: Attrs,
    /// Whether it is known that its children begin with all of them.
    pub(crate) hands_attrs_down: bool,
    pub(crate) tags: Vec<Text>,
    pub(crate) attempt: Option<u32>,
    pub(crate) step_index: Option<u32>,
    pub(crate) step_total: Option<u32>,
    /// The place of the next event within the span.
    pub(crate) seq: AtomicU32,
    /// How many steps this span announced; 0 if it did not. Its children are numbered then.
    pub(crate) announced_steps: u32,
    pub(crate) numbered_steps: AtomicU32,
    /// The same span or the attempt before it in the previous instance, if the run was resumed.
    pub(crate) earlier: Option<SpanId>,
    /// How long before `started` the span began in that instance, in microseconds.
    pub(crate) earlier_us: u64,
    /// Whether the span continues without the future that began it: that does not record its end then.
    pub(crate) ends_elsewhere: AtomicBool,
    /// Where its future is, if it has one.
    pub(super) place: Place,
    /// What failed in it and may bring it down.
    pub(super) failures: Failures,
    /// Attributes that became known while the span was open.
    pub(crate) late_attrs: Seldom<Vec<(Text, Text)>>,
    /// The `tracing` span with the same ids, as long as this one is open. Shared, for even to clone a `tracing` span runs
    /// the subscriber's code, and that may ask for this lock.
    pub(crate) tracing: Seldom<Option<Arc<tracing::Span>>>,
}

impl Span {
    /// Whether this span is `ancestor` or is below it in the same trace.
    pub(crate) fn descends_from(&self, ancestor: &Self) -> bool {
        let same_trace = self.run.trace_id == ancestor.run.trace_id;
        let mut above = Some(self);
        while let Some(span) = above.filter(|_| same_trace) {
            if span.id == ancestor.id {
                return true;
            }
            above = span.parent.as_deref();
        }
        false
    }

    /// What everything in the span begins with.
    pub(crate) fn attrs(&self) -> &Attrs {
        match &self.run.lazy_root {
            Some(lazy) if self.parent.is_none() => lazy.attrs(&self.run.hub),
            _ => &self.attrs,
        }
    }

    /// Writes the root above, if that is lazy and has not been written, for an event that holds a place in the store's
    /// queue and goes into it next; answers what that event depends on, if the root may still be refused.
    pub(crate) fn ensure_root(&self) -> Option<Arc<Fate>> {
        if let Some((lazy, root)) = self.unwritten_root() {
            lazy.ensure_written(root, Root::Before);
        }
        self.run.lazy_root.as_ref()?.open_fate()
    }

    /// The same for its own sake. Unless half of the store's queue is free it is not written: those who fail while the store
    /// is away must neither fill the memory nor keep others waiting.
    pub(crate) fn ensure_root_if_there_is_room(&self) {
        let has_room = || self.run.hub.store.as_ref().is_none_or(|store| store.queue.is_half_free());
        if let Some((lazy, root)) = self.unwritten_root().filter(|_| has_room()) {
            lazy.ensure_written(root, Root::ForItsOwnSake);
        }
    }

    fn unwritten_root(&self) -> Option<(&LazyRoot, &Self)> {
        let lazy = self.run.lazy_root.as_deref().filter(|lazy| !lazy.is_written())?;
        let mut root = self;
        while let Some(parent) = &root.parent {
            root = parent;
        }
        Some((lazy, root))
    }

    /// Writes what all events of the span have in common.
    fn write(&self, event: &mut TraceEvent, event_type: Text, at: Moment) {
        self.run.write(event, self.id, self.parent_span_id, event_type, at.timestamp(), self.attrs());
        event.seq = self.seq.fetch_add(1, Ordering::Relaxed);
        event.parent_trace_id = self.parent_trace_id;
        if !self.tags.is_empty() {
            event.tags.clone_from(&self.tags);
        }
        event.attempt = self.attempt;
        event.step_index = self.step_index;
        event.step_total = self.step_total;
    }

    pub(crate) fn write_start(
        &self,
        event: &mut TraceEvent,
        input: Option<Map<String, Value>>,
        links: Vec<Link>,
    ) {
        self.write(event, self.label.start(self.seq.load(Ordering::Relaxed)), self.started);
        event.status = Status::Pending;
        event.data = input;
        event.links = links;
    }

    pub(super) fn emit_start(
        &self,
        input: Option<Map<String, Value>>,
        links: Vec<Link>,
        root: Option<Arc<Fate>>,
    ) -> Emitted {
        self.run.hub.emit(Delivery::Awaited { root }, |event| self.write_start(event, input, links))
    }

    fn emit_end(&self, mut end: End, at: Moment, delivery: Delivery) -> Emitted {
        let failed = end.error.as_mut().filter(|_| end.status == Status::Failed);
        let cause = failed.and_then(|error| self.failures.explain(error, end.identity, &self.place));
        self.tell_above(&end, at);
        self.run.hub.emit(delivery, |event| {
            self.write(event, self.label.end(end.status), at);
            event.links.extend(cause);
            event.status = end.status;
            event.duration_us = Some(at.micros_since(self.started).saturating_add(self.earlier_us));
            event.error = end.error.map(Box::new);
            event.data = end.output;
            if let Some(late) = self.late_attrs.if_touched() {
                let late = redaction::attrs(&self.run.hub.redactor, &late.iter().cloned().collect());
                event.attrs = event.attrs.iter().chain(&late).cloned().collect();
            }
        })
    }

    /// Has the run that began this one say so, if that is another one.
    #[inline]
    pub(super) fn tell_caller(&self) {
        if let Some(caller) = self.caller.as_deref().filter(|caller| caller.recording) {
            self.tell(caller);
        }
    }

    fn tell(&self, caller: &Self) {
        let (run, above) = (&*self.run, &*caller.run);
        let event_type = Text::literal(names::CHILD_BEGAN);
        let at = Moment::now().timestamp();
        let root = caller.ensure_root().map(Dependency::Root);
        above.hub.emit(kept(root), |event| {
            above.write(event, SpanId::random(), Some(caller.id), event_type, at, caller.attrs());
            event.links.push(Link { rel: Relation::Began, trace_id: Some(run.trace_id), span_id: self.id });
            let said = [(names::data::WORKFLOW, &run.workflow), (names::data::KEY, &run.correlation_id)];
            let said =
                said.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text.as_deref()?.into())));
            event.data = Some(Map::from_iter(said));
        });
    }

    /// Lets the span around this one know how this one ended.
    fn tell_above(&self, end: &End, at: Moment) {
        let Some(above) = self.parent.as_ref().or(self.caller.as_ref()) else { return };
        let (how, error) = match (end.status, &end.error) {
            (Status::Failed, Some(error)) => (How::Failed, error.clone()),
            (Status::Cancelled, None) => (How::GivenUp, cancellation::of_an_unknown_limit()),
            (Status::Cancelled, Some(reason)) if reason.kind == names::errors::DEADLINE => {
                (How::TimedOut, reason.clone())
            }
            _ => return,
        };
        let trace_id = (self.run.trace_id != above.run.trace_id).then_some(self.run.trace_id);
        above.failures.add(Failure {
            link: Link { rel: Relation::FailedBy, trace_id, span_id: self.id },
            name: self.label.end(end.status),
            of: trace_id.map(|_| (self.run.workflow.clone(), self.run.correlation_id.clone())),
            how,
            error,
            identity: end.identity,
            started: self.started,
            ended: at,
            place: self.place.clone(),
            nth: Failure::count(),
            task: tokio::task::try_id(),
            turn: current::turn(),
            undoes: self.tags.iter().any(|tag| tag == names::tags::COMPENSATION),
            begun_since: 0,
            failed_since: 0,
            is_over: false,
        });
    }

    /// An attribute that became known while the span was open.
    pub(crate) fn late_attr(&self, key: &str) -> Option<Text> {
        let late = self.late_attrs.if_touched()?;
        late.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    }

    /// Ends the span where nobody can wait for it: its end event stays pending until it is delivered, or its `start` is
    /// refused.
    pub(crate) fn end_unawaited(&self, end: End, start: Option<Dependency>) {
        if self.ends_elsewhere.load(Ordering::Relaxed) {
            return;
        }
        self.emit_end(end, Moment::now(), kept(start));
        self.close_tracing();
    }

    /// Says that the span stays open although the future that began it is dropped: it is detached from now on. Whose hand
    /// it is in says `instance`; else this one works on it.
    pub(super) fn stay_open(&self, event_type: &'static str, instance: Option<InstanceId>) {
        if !self.recording {
            return;
        }
        self.ends_elsewhere.store(true, Ordering::Relaxed);
        let hub = &*self.run.hub;
        hub.emit_of(instance.unwrap_or(hub.instance), Delivery::Kept, |event| {
            self.write(event, Text::literal(event_type), Moment::now());
            event.status = Status::Pending;
            event.tags.push(Text::literal(names::tags::DETACHED));
        });
        self.close_tracing();
    }

    /// Ends the root of a request, whose `tracing` span is closed by the code that ends the request.
    pub(super) fn end_request(&self, end: End, Ended { at, answer, .. }: Ended, start: Option<Dependency>) {
        if let Some(answer) = answer {
            self.late_attrs.lock().push(answer);
        }
        self.emit_end(end, at, kept(start));
    }

    /// Ends the span and says how that can be awaited.
    pub(crate) fn end(&self, end: End) -> Emitted {
        let emitted = self.emit_end(end, Moment::now(), Delivery::AwaitedAndKept);
        self.close_tracing();
        emitted
    }

    /// Ends a step and says how that can be awaited, unless what comes next in the run will be awaited for it as well.
    pub(crate) fn end_step(&self, end: End) -> Emitted {
        let is_inner_step = self.parent.is_some() && matches!(self.label, Label::Step(_));
        if self.run.hub.durability != Durability::Coalesced || !is_inner_step {
            return self.end(end);
        }
        let emitted = self.emit_end(end, Moment::now(), Delivery::AwaitedWithTheNext);
        self.close_tracing();
        match emitted {
            Emitted::Awaiting(end) => self.run.last_end.set(end),
            Emitted::Closed => self.run.last_end.set_lost(),
            Emitted::NotAwaited => {}
        }
        Emitted::NotAwaited
    }

    /// Ends a span whose start the store did not take, for those who saw it start.
    pub(crate) fn end_in_process(&self) {
        self.emit_end(End::cancelled(None), Moment::now(), Delivery::InProcess);
        self.close_tracing();
    }

    /// The `tracing` span with the same ids, if it is open.
    pub(crate) fn tracing(&self) -> Option<Arc<tracing::Span>> {
        self.tracing.if_touched()?.clone()
    }

    /// Opens the `tracing` span. Its parent is this span's parent if that is open, whatever span the thread is
    /// in: both trees are the same.
    pub(crate) fn open_tracing(&self) -> Option<Arc<tracing::Span>> {
        self.open_tracing_of(None)
    }

    /// The same for the root of a request, whose id is made where it came in if it came without one.
    pub(crate) fn open_tracing_of(&self, made_id: Option<&str>) -> Option<Arc<tracing::Span>> {
        if !is_traced() {
            return None;
        }
        let redactor = &self.run.hub.redactor;
        let name = self.label.start(0);
        // Those below find it there. Not from the attributes of a lazy root, which are not known yet.
        let request_id = match (&self.parent, self.run.request_id.as_deref().or(made_id)) {
            (None, Some(id)) => Some(redactor.findable(Some(names::attrs::REQUEST_ID), id)),
            (None, None) => self.attrs.get(names::attrs::REQUEST_ID).map(Cow::Borrowed),
            (Some(_), _) => None,
        };
        // Held until the child is open: a subscriber must not be given a parent that it has closed.
        let parent = self.parent.as_ref().and_then(|parent| parent.tracing());
        let parent_id = parent.as_ref().and_then(|span| span.id());
        macro_rules! open {
            ($($parent:tt)*) => {
                tracing::info_span!(
                    target: "throughline",
                    $($parent)*
                    "step",
                    otel.name = %name,
                    trace_id = %self.run.trace_id,
                    span_id = %self.id,
                    workflow = self.run.workflow.as_deref(),
                    correlation_id = self.run.correlation_id.as_deref(),
                    request_id = request_id.as_deref(),
                    session_id = self.attrs.get(names::attrs::SESSION),
                    user_id = self.attrs.get(names::attrs::USER),
                    status = tracing::field::Empty,
                )
            };
        }
        let span = match parent_id {
            Some(id) => open!(parent: id,),
            None => open!(),
        };
        let span = Arc::new(span);
        *self.tracing.lock() = Some(Arc::clone(&span));
        Some(span)
    }

    /// Has the `tracing` span say whose session or which user this turned out to be.
    pub(super) fn tell_tracing(&self, key: &str, value: &str) {
        let field = match key {
            names::attrs::SESSION => "session_id",
            names::attrs::USER => "user_id",
            _ => return,
        };
        if let Some(span) = self.tracing() {
            span.record(field, &*self.run.hub.redactor.findable(Some(key), value));
        }
    }

    /// Closes the `tracing` span of a request, which says how it ended.
    pub(crate) fn close_tracing_with(&self, status: Status) {
        if let Some(span) = self.tracing() {
            span.record("status", status.as_str());
        }
        self.close_tracing();
    }

    fn close_tracing(&self) {
        // Taken out before it is dropped: to close a span runs the subscriber's code.
        let span = self.tracing.if_touched().and_then(|mut span| span.take());
        drop(span);
    }
}

/// Whether anybody sees the `tracing` spans of ours.
pub(crate) fn is_traced() -> bool {
    tracing::span_enabled!(target: "throughline", tracing::Level::INFO)
}

/// How an end is delivered that nobody awaits.
fn kept(start: Option<Dependency>) -> Delivery {
    start.map_or(Delivery::Kept, Delivery::KeptUnlessRefused)
}

/// How a span ended.
pub(crate) struct End {
    pub(crate) status: Status,
    pub(crate) error: Option<ErrorInfo>,
    pub(crate) identity: Identity,
    pub(crate) output: Option<Map<String, Value>>,
}

impl End {
    pub(crate) fn cancelled(reason: Option<ErrorInfo>) -> Self {
        Self { error: reason, ..Self::without_error(Status::Cancelled) }
    }

    pub(crate) fn success() -> Self {
        Self::without_error(Status::Success)
    }

    pub(crate) fn failed(error: ErrorInfo) -> Self {
        Self { error: Some(error), ..Self::without_error(Status::Failed) }
    }

    fn without_error(status: Status) -> Self {
        Self { status, error: None, identity: Identity::UNKNOWN, output: None }
    }
}
