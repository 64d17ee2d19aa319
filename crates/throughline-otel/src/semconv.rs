//! What things are called elsewhere: the one place that knows the
//! [semantic conventions](https://opentelemetry.io/docs/specs/semconv/), and what has a name of ours because they have none.

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use throughline_model::names::{self, attrs, tags};
use throughline_model::{Status, TraceEvent};

/// The version of the conventions that the names below are of.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.42.0";

/// The instrumentation scope of all spans and records.
pub(crate) const SCOPE: &str = "throughline";

// Of the conventions.
pub(crate) const ERROR_TYPE: &str = "error.type";
pub(crate) const EXCEPTION: &str = "exception";
pub(crate) const EXCEPTION_TYPE: &str = "exception.type";
pub(crate) const EXCEPTION_MESSAGE: &str = "exception.message";
pub(crate) const EXCEPTION_STACKTRACE: &str = "exception.stacktrace";
pub(crate) const GEN_AI_PREFIX: &str = "gen_ai.";
pub(crate) const GEN_AI_AGENT_NAME: &str = "gen_ai.agent.name";

// Ours.
pub(crate) const EVENT_TYPE: &str = "throughline.event_type";
pub(crate) const STATUS: &str = "throughline.status";
pub(crate) const WORKFLOW: &str = "throughline.workflow";
pub(crate) const CORRELATION_ID: &str = "throughline.correlation_id";
pub(crate) const ATTEMPT: &str = "throughline.attempt";
pub(crate) const STEP_INDEX: &str = "throughline.step.index";
pub(crate) const STEP_TOTAL: &str = "throughline.step.total";
pub(crate) const TAGS: &str = "throughline.tags";
pub(crate) const CANCELLED_BY: &str = "throughline.cancelled_by";
/// Whether what a step with a compensation did stands, was undone, or may have happened.
pub(crate) const EFFECT: &str = "throughline.effect";
/// How a span is related to the one that it links.
pub(crate) const RELATION: &str = "throughline.rel";
/// The id that a point event has in the store.
pub(crate) const SPAN_ID: &str = "throughline.span_id";
/// What the fields of a payload begin with.
pub(crate) const DATA_PREFIX: &str = "throughline.data.";
/// What the fields of a decision begin with.
pub(crate) const DECISION_PREFIX: &str = "throughline.decision.";
/// The record that says that a span began.
pub(crate) const SPAN_STARTED: &str = "throughline.span.started";

/// The kind of a span.
pub(crate) fn kind(event: &TraceEvent) -> SpanKind {
    let event_type = &*event.event_type;
    if event_type == names::HTTP_REQUEST || event_type == names::WEBSOCKET_SESSION {
        SpanKind::Server
    } else if event_type.starts_with(names::JOB_PREFIX) {
        SpanKind::Consumer
    } else if event_type.starts_with(names::DEPENDENCY_PREFIX) || event.has_tag(tags::DEPENDENCY) {
        SpanKind::Client
    } else {
        SpanKind::Internal
    }
}

/// Whether the conventions say that an attribute is a number.
pub(crate) fn is_number(key: &str) -> bool {
    matches!(key, attrs::HTTP_STATUS | attrs::SERVER_PORT)
}

/// What a field of the payload is called.
pub(crate) fn field(event: &TraceEvent, name: &str) -> String {
    if name.starts_with(GEN_AI_PREFIX) {
        name.to_owned()
    } else if event.has_tag(tags::DECISION) && is_of_a_decision(name) {
        format!("{DECISION_PREFIX}{name}")
    } else {
        format!("{DATA_PREFIX}{name}")
    }
}

fn is_of_a_decision(name: &str) -> bool {
    use names::data::{ALTERNATIVES, CHOICE, CONFIDENCE, DECIDER, REASONING};
    [ALTERNATIVES, CHOICE, CONFIDENCE, DECIDER, REASONING].contains(&name)
}

/// What the effect of a span is, if it has one that can be undone, or undoes one.
pub(crate) fn effect(event: &TraceEvent, status: Status) -> Option<&'static str> {
    let is_good = status == Status::Success;
    if event.has_tag(tags::COMPENSATION) {
        Some(if is_good { "undone" } else { "partly_undone" })
    } else if event.has_tag(tags::COMPENSABLE) {
        Some(if is_good { "happened" } else { "in_doubt" })
    } else {
        None
    }
}
