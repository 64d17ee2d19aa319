//! How a span is opened: where its parent is found, and what its start event says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::{Map, Value};

use super::failures::{Failures, Made, Place};
use super::keyed::{RunClaims, Unique};
use super::propagation::{self, Propagation};
use super::resumption::Resumption;
use super::seldom::Seldom;
use super::settled::LastEnd;
use super::span::{Label, Run, Span};
use super::{TraceContext, current};
use crate::hub::Hub;
use crate::payload::to_payload;
use crate::redaction;
use throughline_model::Moment;
use throughline_model::fold::History;
use throughline_model::names::{self, attrs, tags};
use throughline_model::{Attrs, Link, Relation, SpanId, Text, Timestamp, TraceId};

/// What is rarely said of a step.
#[derive(Default)]
pub(super) struct Details {
    pub(super) input: Option<Value>,
    pub(super) attrs: Vec<(Text, Text)>,
    pub(super) tags: Vec<Text>,
    pub(super) links: Vec<Link>,
    pub(super) attempt: Option<u32>,
    pub(super) announced_steps: u32,
    /// Whether it does not count as one of the steps its parent announced.
    pub(super) unnumbered: bool,
    /// The span, and the place within it, that the previous instance left open.
    pub(super) continues: Option<(SpanId, u32)>,
}

impl Details {
    pub(super) fn input_payload(&mut self) -> Option<Map<String, Value>> {
        let input = self.input.take()?;
        Some(Map::from_iter([(names::data::INPUT.to_owned(), input)]))
    }

    fn undoes(&self) -> bool {
        self.tags.iter().any(|tag| tag == tags::COMPENSATION)
    }

    pub(super) fn set_input(&mut self, input: &impl serde::Serialize) {
        self.input = Some(to_payload(input));
    }
}

/// A span that is about to be opened.
pub(super) enum SpanSpec {
    Step { context: TraceContext, label: Label, details: Option<Box<Details>>, made: Made },
    Run(Box<RunSpec>),
}

/// The root of a run that is about to be opened.
pub(super) struct RunSpec {
    pub(super) hub: Arc<Hub>,
    pub(super) label: Label,
    pub(super) workflow: Option<Text>,
    pub(super) key: Option<Text>,
    pub(super) unique: Unique,
    /// Whether it resumes the latest run under its key, if that was left open.
    pub(super) or_resume: bool,
    /// The run to resume.
    pub(super) resumes: Option<TraceId>,
    /// The key as it is kept; known once the run is prepared.
    pub(super) correlation_id: Option<Text>,
    /// The trace that it is to have, if that is known before it begins.
    pub(super) trace_id: Option<TraceId>,
    /// Who asked for it; else the current context.
    pub(super) caller: Option<TraceContext>,
    /// Whether the trace is its own even without a key.
    pub(super) own_trace: bool,
    pub(super) remote: Option<Propagation>,
    pub(super) resumed: Option<Resumed>,
    /// What is held for as long as the run is at work.
    pub(super) claims: Option<Box<RunClaims>>,
    pub(super) details: Details,
    pub(super) made: Made,
}

/// What is known of the run to resume.
pub(super) struct Resumed {
    pub(super) trace_id: TraceId,
    pub(super) correlation_id: Option<Text>,
    pub(super) attrs: Attrs,
    pub(super) started: Timestamp,
    pub(super) history: History,
}

impl RunSpec {
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            label: Label::Workflow,
            workflow: None,
            key: None,
            unique: Unique::default(),
            or_resume: false,
            resumes: None,
            correlation_id: None,
            trace_id: None,
            caller: None,
            own_trace: false,
            remote: None,
            resumed: None,
            claims: None,
            details: Details::default(),
            made: Made::now(),
        }
    }
}

impl SpanSpec {
    pub(super) fn hub(&self) -> &Hub {
        match self {
            Self::Step { context, .. } => &context.0.run.hub,
            Self::Run(spec) => &spec.hub,
        }
    }

    /// Opens the span, whose future is at this place; its start is to be emitted.
    pub(super) fn open(self, place: Place) -> StartedSpan {
        match self {
            Self::Step { context, label, details, made } => {
                let parent = current::parent_for(context.0);
                let run = Arc::clone(&parent.run);
                child(parent, run, label, details, place.made(made))
            }
            Self::Run(spec) => {
                let place = place.made(spec.made);
                spec.open(place)
            }
        }
    }
}

/// A span that has been opened, and what its start event says beside.
pub(super) struct StartedSpan {
    pub(super) span: Arc<Span>,
    pub(super) input: Option<Map<String, Value>>,
    pub(super) links: Vec<Link>,
}

fn child(
    parent: Arc<Span>,
    run: Arc<Run>,
    mut label: Label,
    mut details: Option<Box<Details>>,
    place: Place,
) -> StartedSpan {
    label.redact(&run.hub.redactor);
    if let Some(details) = details.as_deref_mut() {
        redaction::tags(&run.hub.redactor, &mut details.tags);
    }
    // To undo what was done is no way to continue.
    if !details.as_deref().is_some_and(Details::undoes) {
        let beside = parent.failures.begun(&place, &parent.place);
        if !beside.is_empty() {
            details.get_or_insert_default().links.extend(beside);
        }
    }
    let (attrs, hands_attrs_down) =
        parent.attrs_with(details.as_deref_mut().map(|details| &mut details.attrs));
    let before =
        run.resumption.as_ref().and_then(|before| before.begun(&parent, &run, &label, details.as_deref()));
    let counts =
        |details: &Details| !details.unnumbered && details.attempt.is_none_or(|attempt| attempt <= 1);
    let numbered = parent.announced_steps > 0 && details.as_deref().is_none_or(counts);
    let earlier_index =
        before.zip(run.resumption.as_ref()).and_then(|(before, past)| past.step_index(before));
    let step_index = match earlier_index {
        Some(index) => Some(index),
        None => numbered.then(|| parent.numbered_steps.fetch_add(1, Ordering::Relaxed) + 1),
    };
    let step_total = step_index.map(|_| parent.announced_steps);
    if let Some(before) = before {
        let details = details.get_or_insert_default();
        if details.attempt.is_none() {
            details.attempt = Some(before.attempt.unwrap_or(1).saturating_add(1));
            details.links.push(Link::to(Relation::RetryOf, before.id));
        }
    }
    let continues = details.as_deref().and_then(|details| details.continues);
    let (id, seq) = continues.unwrap_or_else(|| (SpanId::random(), 0));
    let (earlier, earlier_us, numbered_steps) = match &run.resumption {
        Some(resumption) => resumption.left_off(continues, before),
        None => (None, 0, 0),
    };
    let span = Arc::new(Span {
        recording: run.hub.enabled,
        id,
        parent_span_id: Some(parent.id),
        parent_trace_id: None,
        label,
        started: Moment::now(),
        attrs,
        hands_attrs_down,
        tags: details.as_deref_mut().map_or_else(Vec::new, |details| std::mem::take(&mut details.tags)),
        attempt: details.as_deref().and_then(|details| details.attempt),
        step_index,
        step_total,
        seq: AtomicU32::new(seq),
        announced_steps: details.as_deref().map_or(0, |details| details.announced_steps),
        numbered_steps: AtomicU32::new(numbered_steps),
        earlier,
        earlier_us,
        ends_elsewhere: AtomicBool::new(false),
        place,
        failures: Failures::default(),
        late_attrs: Seldom::default(),
        tracing: Seldom::default(),
        run,
        parent: Some(parent),
        caller: None,
    });
    match details {
        None => StartedSpan { span, input: None, links: Vec::new() },
        Some(mut details) => StartedSpan { span, input: details.input_payload(), links: details.links },
    }
}

impl RunSpec {
    fn open(self: Box<Self>, place: Place) -> StartedSpan {
        let mut spec = *self;
        let hub = Arc::clone(&spec.hub);
        // Once for all events of the run.
        let workflow = spec.workflow.take().map(|name| Text::from(hub.redactor.name(&name)));
        let caller = spec.caller.take().or_else(TraceContext::current);
        let correlation_id = spec.correlation_id.take();

        // Without a key, and not asked for a trace of its own, it is a part of the caller's run.
        let joins =
            correlation_id.is_none() && !spec.own_trace && spec.remote.is_none() && spec.resumed.is_none();
        if let Some(caller) = caller.as_ref().filter(|_| joins) {
            let above = &caller.0.run;
            let run = Arc::new(Run {
                hub,
                trace_id: above.trace_id,
                random: above.random,
                sampled: above.sampled,
                is_remote: above.is_remote,
                correlation_id: above.correlation_id.clone(),
                workflow,
                tracestate: above.tracestate.clone(),
                baggage: above.baggage.clone(),
                baggage_properties: above.baggage_properties.clone(),
                request_id: above.request_id.clone(),
                resumption: above.resumption.clone(),
                detached: Arc::clone(&above.detached),
                last_end: LastEnd::default(),
                lazy_root: None,
            });
            caller.0.ensure_root();
            return child(Arc::clone(&caller.0), run, spec.label, Some(Box::new(spec.details)), place);
        }

        let mut details = spec.details;
        let remote = spec.remote.unwrap_or_default();
        let remote_parent = remote.traceparent.as_ref().filter(|_| spec.resumed.is_none());
        let own_trace = || spec.trace_id.unwrap_or_else(TraceId::random);
        let (trace_id, random) = match (&spec.resumed, &correlation_id, remote_parent) {
            // Nothing is known of an id that another process chose.
            (Some(resumed), _, _) => (resumed.trace_id, false),
            (None, None, Some(parent)) => (parent.trace_id, parent.random),
            (None, _, _) => (own_trace(), true),
        };
        let mut above = Above { place, ..Above::default() };
        // What the run is found by that began somewhere else.
        let mut inherited = Attrs::new();
        if let Some(id) = remote.request_id() {
            inherited = inherited.with(attrs::REQUEST_ID, hub.redactor.findable(Some(attrs::REQUEST_ID), id));
        }
        let mut request_id = None;
        if let Some(parent) = remote_parent {
            above.parent_span_id = Some(parent.span_id);
            if parent.trace_id == trace_id {
                details.tags.extend(propagation::tags_of_child(*parent));
                if let Some(said) = propagation::sampling_of_caller(remote.tracestate.as_deref()) {
                    inherited = inherited.with(attrs::SAMPLING, said);
                }
            } else {
                above.parent_trace_id = Some(parent.trace_id);
                let link = Link {
                    rel: Relation::CausedBy,
                    trace_id: Some(parent.trace_id),
                    span_id: parent.span_id,
                };
                details.links.push(link);
            }
        } else if let Some(caller) = caller.filter(|_| spec.resumed.is_none()) {
            caller.0.ensure_root();
            if let Some(id) = caller.0.attrs().get(attrs::REQUEST_ID) {
                inherited = inherited.with(attrs::REQUEST_ID, id.to_owned());
            }
            request_id.clone_from(&caller.0.run.request_id);
            let (trace_id, span_id) = (caller.0.run.trace_id, caller.0.id);
            details.links.push(Link { rel: Relation::CausedBy, trace_id: Some(trace_id), span_id });
            // Those of another run are no concern of the new one.
            drop(caller.0.failures.begun(&above.place, &caller.0.place));
            (above.parent_span_id, above.parent_trace_id) = (Some(span_id), Some(trace_id));
            above.caller = Some(caller.0);
        }
        let correlation_id = correlation_id
            .or_else(|| spec.resumed.as_ref().and_then(|resumed| resumed.correlation_id.clone()))
            .or_else(|| remote.correlation_id().map(|id| hub.redactor.findable(None, id).into()));
        if let Some(cause) = above.parent_trace_id {
            inherited = inherited.with(attrs::CAUSED_BY, cause.to_string());
        }
        let resumption = spec.resumed.map(|resumed| {
            inherited = resumed.attrs;
            Arc::new(Resumption::new(resumed.history, resumed.started))
        });
        let run = Arc::new(Run {
            trace_id,
            random,
            sampled: remote_parent.is_none_or(|parent| parent.trace_id != trace_id || parent.sampled),
            is_remote: remote_parent.is_some_and(|parent| parent.trace_id == trace_id),
            correlation_id,
            workflow,
            tracestate: remote.tracestate.clone(),
            baggage: remote.baggage.clone(),
            baggage_properties: remote.baggage_properties.clone(),
            request_id,
            resumption,
            detached: Arc::default(),
            last_end: LastEnd::default(),
            lazy_root: None,
            hub,
        });
        let span = root(run, spec.label, &mut details, inherited, above);
        StartedSpan { span, input: details.input_payload(), links: details.links }
    }
}

/// What is above and around the root of a run.
#[derive(Default)]
pub(super) struct Above {
    pub(super) parent_span_id: Option<SpanId>,
    pub(super) parent_trace_id: Option<TraceId>,
    /// The parent, if it is a span of this process.
    pub(super) caller: Option<Arc<Span>>,
    /// Where its future is.
    pub(super) place: Place,
}

/// The root span of a run.
pub(super) fn root(
    run: Arc<Run>,
    mut label: Label,
    details: &mut Details,
    inherited: Attrs,
    above: Above,
) -> Arc<Span> {
    label.redact(&run.hub.redactor);
    redaction::tags(&run.hub.redactor, &mut details.tags);
    let (id, seq) = details.continues.unwrap_or_else(|| (SpanId::random(), 0));
    let own = std::mem::take(&mut details.attrs);
    let attrs = if own.is_empty() {
        inherited
    } else {
        let own = redaction::attrs(&run.hub.redactor, &own.into_iter().collect());
        inherited.iter().cloned().chain(own.iter().cloned()).collect()
    };
    let (earlier, earlier_us, numbered_steps) = match &run.resumption {
        Some(resumption) => resumption.left_off(details.continues, None),
        None => (None, 0, 0),
    };
    Arc::new(Span {
        recording: run.hub.enabled,
        id,
        parent: None,
        caller: above.caller,
        parent_span_id: above.parent_span_id,
        parent_trace_id: above.parent_trace_id,
        label,
        started: Moment::now(),
        hands_attrs_down: run.lazy_root.is_none() && are_handed_down(&attrs),
        attrs,
        tags: std::mem::take(&mut details.tags),
        attempt: details.attempt,
        step_index: None,
        step_total: (details.announced_steps > 0).then_some(details.announced_steps),
        seq: AtomicU32::new(seq),
        announced_steps: details.announced_steps,
        numbered_steps: AtomicU32::new(numbered_steps),
        earlier,
        earlier_us,
        ends_elsewhere: AtomicBool::new(false),
        place: above.place,
        failures: Failures::default(),
        late_attrs: Seldom::default(),
        tracing: Seldom::default(),
        run,
    })
}

impl Span {
    /// The attributes of a child, this span's and its own, and whether it hands all of them down: what has a meaning for one span
    /// alone is not.
    fn attrs_with(&self, own: Option<&mut Vec<(Text, Text)>>) -> (Attrs, bool) {
        let own = own.map(std::mem::take).unwrap_or_default();
        if own.is_empty() && (self.hands_attrs_down || are_handed_down(self.attrs())) {
            return (self.attrs().clone(), true);
        }
        let own = redaction::attrs(&self.run.hub.redactor, &own.into_iter().collect());
        let inherited = self.attrs().iter().filter(|(key, _)| !is_of_one_span(key));
        (inherited.chain(own.iter()).cloned().collect(), are_handed_down(&own))
    }
}

fn are_handed_down(attrs: &Attrs) -> bool {
    !attrs.iter().any(|(key, _)| is_of_one_span(key))
}

fn is_of_one_span(key: &str) -> bool {
    use names::attrs::*;
    let of_one_span = [
        RESOURCE,
        SAGA,
        CAUSED_BY,
        DEPENDENCY,
        STEP_ID,
        STEP_TYPE,
        QUEUE,
        JOB_ID,
        STATE_MACHINE,
        STATE_ENTITY,
        STATE_FROM,
        STATE_TO,
        STATE_TRIGGER,
    ];
    of_one_span.contains(&key)
}
