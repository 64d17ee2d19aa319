//! Events as messages of OTLP: pure functions, with the ids that the events have.

mod metrics;
mod value;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span, Status as SpanStatus};
use throughline_core::log::LogLine;
use throughline_model::names::{attrs, data, errors, tags};
use throughline_model::{ErrorInfo, Relation, Status, Timestamp, TraceEvent};
use tracing::Level;

use crate::assemble::Finished;
use crate::config::Exceptions;
use crate::semconv as name;

pub(crate) use metrics::metrics;
pub(crate) use value::Attributes;

/// The trace is sampled: all that is exported was.
const SAMPLED: u32 = 0x1;
/// It is known whether the parent is of another process, and it is.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// How much of an event is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    /// The longest value of an attribute, in bytes.
    pub(crate) value_limit: usize,
    pub(crate) exceptions: Exceptions,
    /// Whether there are log records.
    pub(crate) log_records: bool,
}

/// The scope of all that is exported.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: name::SCOPE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// A span.
pub(crate) fn span(finished: &Finished, style: Style) -> Option<Span> {
    let (first, last) = (finished.events.first()?, finished.events.last()?);
    let (start, end) = times(finished, first, last);
    let mut attributes = Attributes::new(style.value_limit);
    for event in &finished.events {
        describe(&mut attributes, event);
    }
    let status = status_of(finished, last);
    attributes.text(name::STATUS, status.text);
    attributes.optional(name::EFFECT, name::effect(last, status.status));
    let resumed =
        finished.events.iter().filter(|event| event.status == Status::Pending && event.seq > 0).count();
    if let Some(times) = i64::try_from(resumed).ok().filter(|times| *times > 0) {
        attributes.number(name::RESUMED, times);
    }
    attributes.optional(name::ERROR_TYPE, status.error_type.as_deref());
    attributes.optional(name::CANCELLED_BY, status.cancelled_by.as_deref());
    let mut events: Vec<_> = finished.points.iter().map(|point| point_event(point, style)).collect();
    if style.exceptions.are_span_events()
        && let Some(error) = exception(last)
    {
        events.push(Event {
            time_unix_nano: end,
            name: name::EXCEPTION.to_owned(),
            attributes: exception_attributes(error, style),
            ..Event::default()
        });
    }
    Some(Span {
        trace_id: first.trace_id.to_bytes().to_vec(),
        span_id: span_id(first.span_id),
        parent_span_id: parent(first),
        flags: flags(first),
        name: first.span_name().into_owned(),
        kind: name::kind(first).into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes: attributes.into(),
        events,
        links: links(finished),
        status: Some(SpanStatus { code: status.code.into(), message: status.message }),
        ..Span::default()
    })
}

/// What is logged of a span that ended with this event: its error, unless that is another span's on its way up.
pub(crate) fn exception_record(last: &TraceEvent, style: Style) -> Option<LogRecord> {
    let error = exception(last).filter(|_| style.log_records && style.exceptions.are_log_records())?;
    Some(LogRecord {
        time_unix_nano: nanos(last.timestamp),
        severity_number: SeverityNumber::Error.into(),
        severity_text: "ERROR".to_owned(),
        body: Some(value::text(&error.message, style.value_limit)),
        attributes: exception_attributes(error, style),
        event_name: name::EXCEPTION.to_owned(),
        ..record(last)
    })
}

/// What a line of a log is, by the [log model](https://opentelemetry.io/docs/specs/otel/logs/data-model/).
pub(crate) fn line_record(line: &LogLine, value_limit: usize) -> LogRecord {
    let (severity, text) = match line.level {
        Level::ERROR => (SeverityNumber::Error, "ERROR"),
        Level::WARN => (SeverityNumber::Warn, "WARN"),
        Level::INFO => (SeverityNumber::Info, "INFO"),
        Level::DEBUG => (SeverityNumber::Debug, "DEBUG"),
        Level::TRACE => (SeverityNumber::Trace, "TRACE"),
    };
    let mut attributes = Attributes::new(value_limit);
    for (key, value) in &line.metadata {
        attributes.json(key, value);
    }
    for (id, value) in &line.ids {
        attributes.text(name::id_of_line(id), value);
    }
    if let Some(error) = &line.error {
        describe_exception(&mut attributes, error);
    }
    LogRecord {
        time_unix_nano: nanos(line.at),
        observed_time_unix_nano: nanos(line.at),
        severity_number: severity.into(),
        severity_text: text.to_owned(),
        body: Some(value::text(&line.message, value_limit)),
        attributes: attributes.into(),
        trace_id: line.trace.map(|trace| trace.to_bytes().to_vec()).unwrap_or_default(),
        span_id: line.span.map(span_id).unwrap_or_default(),
        ..LogRecord::default()
    }
}

/// What is logged of a span that began.
pub(crate) fn start_record(start: &TraceEvent, style: Style) -> LogRecord {
    let mut attributes = Attributes::new(style.value_limit);
    describe(&mut attributes, start);
    attributes.text(name::STATUS, Status::Pending.as_str());
    let parent = start.parent_span_id.map(|parent| parent.to_string());
    attributes.optional("throughline.parent_span_id", parent.as_deref());
    LogRecord {
        time_unix_nano: nanos(start.timestamp),
        severity_number: SeverityNumber::Info.into(),
        severity_text: "INFO".to_owned(),
        body: Some(value::text(&start.span_name(), style.value_limit)),
        attributes: attributes.into(),
        event_name: name::SPAN_STARTED.to_owned(),
        ..record(start)
    }
}

/// The start of a span as a span: a child of it, for the span itself is sent when it has ended, and one id is sent once.
pub(crate) fn start_span(start: &TraceEvent, style: Style) -> Span {
    let mut attributes = Attributes::new(style.value_limit);
    describe(&mut attributes, start);
    attributes.text(name::STATUS, Status::Pending.as_str());
    let at = nanos(start.timestamp);
    Span {
        trace_id: start.trace_id.to_bytes().to_vec(),
        // Made from its parent's, so that a repeated one is the same.
        span_id: (start.span_id.to_u64() ^ PENDING).to_be_bytes().to_vec(),
        parent_span_id: span_id(start.span_id),
        flags: SAMPLED | HAS_IS_REMOTE,
        name: format!("{} began", start.span_name()),
        kind: name::kind(start).into(),
        start_time_unix_nano: at,
        end_time_unix_nano: at,
        attributes: attributes.into(),
        status: Some(SpanStatus::default()),
        ..Span::default()
    }
}

/// Any number but zero; a span id equals it once in 2^64.
const PENDING: u64 = 0x7468_726f_7567_6821;

fn record(event: &TraceEvent) -> LogRecord {
    LogRecord {
        observed_time_unix_nano: nanos(Timestamp::now()),
        trace_id: event.trace_id.to_bytes().to_vec(),
        span_id: span_id(event.span_id),
        flags: SAMPLED,
        ..LogRecord::default()
    }
}

fn span_id(id: throughline_model::SpanId) -> Vec<u8> {
    id.to_u64().to_be_bytes().to_vec()
}

/// The span around it, of the same trace: one of another trace is a link.
fn parent(event: &TraceEvent) -> Vec<u8> {
    let is_here = event.parent_trace_id.is_none_or(|trace| trace == event.trace_id);
    event.parent_span_id.filter(|_| is_here).map(span_id).unwrap_or_default()
}

fn flags(event: &TraceEvent) -> u32 {
    let is_remote = event.has_tag(tags::REMOTE_PARENT);
    SAMPLED | HAS_IS_REMOTE | if is_remote { IS_REMOTE } else { 0 }
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or_default().saturating_mul(1000)
}

/// The start is that of the first event; a span whose first event is unknown began as long ago as its end says.
fn times(finished: &Finished, first: &TraceEvent, last: &TraceEvent) -> (u64, u64) {
    let end = nanos(finished.interrupted_at.unwrap_or(last.timestamp));
    let took = last.duration_us.unwrap_or_default().saturating_mul(1000);
    let start = match first.seq {
        0 if finished.events.len() > 1 || finished.interrupted_at.is_some() => nanos(first.timestamp),
        _ => end.saturating_sub(took),
    };
    (start, end.max(start))
}

/// What an event says of its span.
fn describe(attributes: &mut Attributes, event: &TraceEvent) {
    attributes.text(name::EVENT_TYPE, &event.event_type);
    attributes.optional(name::WORKFLOW, event.workflow.as_deref());
    attributes.optional(name::CORRELATION_ID, event.correlation_id.as_deref());
    for (key, number) in [
        (name::ATTEMPT, event.attempt),
        (name::STEP_INDEX, event.step_index),
        (name::STEP_TOTAL, event.step_total),
    ] {
        if let Some(number) = number {
            attributes.number(key, number.into());
        }
    }
    // What was said of sampling is the trace state.
    for (key, value) in event.attrs.iter().filter(|(key, _)| key != attrs::SAMPLING) {
        match value.parse().ok().filter(|_| name::is_number(key)) {
            Some(number) => attributes.number(key, number),
            None => attributes.text(key, value),
        }
    }
    attributes.list(name::TAGS, event.tags.iter().map(|tag| &**tag));
    let is_decision = event.has_tag(tags::DECISION);
    for (field, value) in event.data.iter().flatten() {
        attributes.json(&name::field(event, field), value);
        if is_decision && field == data::DECIDER {
            attributes.json(name::GEN_AI_AGENT_NAME, value);
        }
    }
}

/// How a span ended, in the words of the conventions and in ours.
struct Ended {
    status: Status,
    text: &'static str,
    code: StatusCode,
    message: String,
    error_type: Option<String>,
    cancelled_by: Option<String>,
}

/// Success leaves the code unset, as instrumentation should. One that was cancelled is no error unless it took too long.
fn status_of(finished: &Finished, last: &TraceEvent) -> Ended {
    let error = last.error.as_deref();
    let kind = || error.map_or_else(|| errors::ERROR.to_owned(), |error| error.kind.to_string());
    let message = || error.map(|error| error.message.to_string()).unwrap_or_default();
    let mut ended = Ended {
        status: last.status,
        text: last.status.as_str(),
        code: StatusCode::Unset,
        message: String::new(),
        error_type: None,
        cancelled_by: None,
    };
    match last.status {
        Status::Failed => {
            (ended.code, ended.message, ended.error_type) = (StatusCode::Error, message(), Some(kind()));
        }
        Status::Cancelled => {
            ended.cancelled_by = error.map(|error| error.kind.to_string());
            if ended.cancelled_by.as_deref() == Some(errors::DEADLINE) {
                (ended.code, ended.message, ended.error_type) = (StatusCode::Error, message(), Some(kind()));
            }
        }
        Status::Pending if finished.interrupted_at.is_some() => {
            ended.text = errors::INTERRUPTED;
            ended.code = StatusCode::Error;
            "its process ended before it did".clone_into(&mut ended.message);
            ended.error_type = Some(errors::INTERRUPTED.to_owned());
        }
        Status::Pending | Status::Success => {}
    }
    ended
}

/// All links that its events have, each once.
fn links(finished: &Finished) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for event in &finished.events {
        for link in &event.links {
            let relation = Attributes::of_text(name::RELATION, link.rel.as_str());
            let link = Link {
                trace_id: link.trace_id.unwrap_or(event.trace_id).to_bytes().to_vec(),
                span_id: span_id(link.span_id),
                attributes: vec![relation],
                flags: SAMPLED,
                ..Link::default()
            };
            if !links.contains(&link) {
                links.push(link);
            }
        }
    }
    links
}

fn point_event(point: &TraceEvent, style: Style) -> Event {
    let mut attributes = Attributes::new(style.value_limit);
    attributes.text(name::SPAN_ID, &point.span_id.to_string());
    describe(&mut attributes, point);
    if let Some(error) = point.error.as_deref() {
        attributes.text(name::ERROR_TYPE, &error.kind);
        attributes.text(name::EXCEPTION_MESSAGE, &error.message);
    }
    Event {
        time_unix_nano: nanos(point.timestamp),
        name: point.event_type.to_string(),
        attributes: attributes.into(),
        ..Event::default()
    }
}

/// The error that began here.
fn exception(last: &TraceEvent) -> Option<&ErrorInfo> {
    let is_anothers = last.links.iter().any(|link| link.rel == Relation::FailedBy);
    last.error.as_deref().filter(|_| last.status == Status::Failed && !is_anothers)
}

fn exception_attributes(error: &ErrorInfo, style: Style) -> Vec<KeyValue> {
    let mut attributes = Attributes::new(style.value_limit);
    describe_exception(&mut attributes, error);
    attributes.into()
}

fn describe_exception(attributes: &mut Attributes, error: &ErrorInfo) {
    // An error that was logged as text has no type.
    attributes.optional(name::EXCEPTION_TYPE, Some(&*error.kind).filter(|kind| !kind.is_empty()));
    attributes.text(name::EXCEPTION_MESSAGE, &error.message);
    if !error.chain.is_empty() {
        let chain: Vec<_> = error.chain.iter().map(|source| format!("caused by: {source}")).collect();
        attributes.text(name::EXCEPTION_STACKTRACE, &chain.join("\n"));
    }
}
