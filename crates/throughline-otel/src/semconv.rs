//! What things are called elsewhere: the one place that knows the
//! [semantic conventions](https://opentelemetry.io/docs/specs/semconv/), and what has a name of ours because they have none.

use std::borrow::Cow;

use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use throughline_core::metrics::catalogue::{self, Kind, Unit};
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
/// How often a run was resumed after the process that it ran in was gone.
pub(crate) const RESUMED: &str = "throughline.resumed";
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

/// What an id of a line is called.
pub(crate) fn id_of_line(id: &'static str) -> &'static str {
    match id {
        "workflow" => WORKFLOW,
        "correlation_id" => CORRELATION_ID,
        "request_id" => "throughline.request_id",
        "session_id" => "session.id",
        "user_id" => "user.id",
        id => id,
    }
}

/// A metric as it is called here.
#[derive(Debug)]
pub(crate) struct Named<'n> {
    pub(crate) name: Cow<'n, str>,
    /// By [UCUM](https://ucum.org).
    pub(crate) unit: &'static str,
    /// Whether what goes up and down is a sum: that of all processes says something.
    pub(crate) is_sum: bool,
}

/// Metrics of the conventions, as Prometheus calls them, without a counter's `_total`; those that go up and down are sums there.
const METRICS: [(&str, &str, &str); 8] = [
    ("http_client_request_duration_seconds", "http.client.request.duration", "s"),
    ("http_server_active_requests", "http.server.active_requests", "{request}"),
    ("http_server_request_duration_seconds", "http.server.request.duration", "s"),
    ("process_cpu_seconds", "process.cpu.time", "s"),
    ("process_open_fds", "process.unix.file_descriptor.count", "{file_descriptor}"),
    ("process_resident_memory_bytes", "process.memory.usage", "By"),
    ("process_threads", "process.thread.count", "{thread}"),
    ("process_virtual_memory_bytes", "process.memory.virtual", "By"),
];

/// What a metric is called. Of those of the catalogue the unit stands beside the name and not in it, as in
/// `throughline.step_duration`; a collector that writes them for Prometheus makes the names of our page of them again.
pub(crate) fn metric(name: &str, kind: Kind, unit: Option<Unit>) -> Named<'_> {
    if let Some((_, name, unit)) = METRICS.iter().find(|(ours, ..)| *ours == name) {
        return Named { name: Cow::Borrowed(name), unit, is_sum: kind == Kind::Gauge };
    }
    let symbol = match unit {
        Some(Unit::Seconds) => "s",
        Some(Unit::Bytes) => "By",
        _ => "",
    };
    let is_ours = |metric: &catalogue::Description| {
        metric.name.strip_suffix("_total").unwrap_or(metric.name) == name && metric.kind == kind
    };
    let own = catalogue::all().find(|(_, metric)| is_ours(metric)).and_then(|(_, metric)| {
        let stem = match metric.unit.as_str() {
            "" => name,
            unit => name.strip_suffix(unit)?.strip_suffix('_')?,
        };
        let (area, rest) = stem.split_once('_')?;
        Some(format!("{area}.{rest}"))
    });
    Named { name: own.map_or(Cow::Borrowed(name), Cow::Owned), unit: symbol, is_sum: false }
}

/// What a label of a metric is called.
pub(crate) fn label(name: &str) -> &str {
    match name {
        "error_type" => ERROR_TYPE,
        "http_request_method" => "http.request.method",
        "http_response_status_code" => attrs::HTTP_STATUS,
        "http_route" => "http.route",
        "network_protocol_version" => "network.protocol.version",
        "server_address" => "server.address",
        "server_port" => attrs::SERVER_PORT,
        "url_scheme" => "url.scheme",
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_metric_of_the_catalogue_has_a_name_of_its_own_without_its_unit() {
        let mut seen = BTreeSet::new();
        for (_, description) in catalogue::all() {
            let ours = description.name.strip_suffix("_total").unwrap_or(description.name);
            let named = metric(ours, description.kind, Some(description.unit));
            assert!(named.name.contains('.'), "{}", named.name);
            assert!(!named.name.ends_with("_seconds") && !named.name.ends_with("_bytes"), "{}", named.name);
            assert!(
                description.unit.as_str().is_empty() || ["s", "By"].contains(&named.unit),
                "{}",
                named.unit
            );
            assert!(seen.insert(named.name.into_owned()), "{ours}");
        }
        let known = |name: &str| catalogue::all().any(|(_, metric)| metric.name.starts_with(name));
        assert!(METRICS.iter().all(|(ours, ..)| known(ours)));
        let labels = catalogue::all().flat_map(|(_, metric)| metric.labels);
        assert!(labels.filter(|label| label.starts_with("http_")).all(|name| label(name).contains('.')));
    }

    #[test]
    fn a_metric_of_others_keeps_its_name() {
        let named = metric("jobs_seconds", Kind::Histogram, Some(Unit::Seconds));
        assert_eq!((&*named.name, named.unit), ("jobs_seconds", "s"));
        let named = metric("throughline_step_duration_seconds", Kind::Histogram, Some(Unit::Seconds));
        assert_eq!((&*named.name, named.unit), ("throughline.step_duration", "s"));
    }
}
