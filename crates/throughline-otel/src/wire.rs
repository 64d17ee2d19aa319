//! Requests of OTLP, in which spans, log records and metrics are encoded already: once, when they are made, and not again with
//! each attempt to send them.
//!
//! The requests of the three signals differ in what they call their parts alone, which is not sent. So one message is all of them.

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use prost::bytes::Bytes;

use crate::semconv::SCHEMA_URL;

/// What a collector is asked to take.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Request {
    #[prost(message, repeated, tag = "1")]
    pub(crate) processes: Vec<OfProcess>,
}

/// What is of one process.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OfProcess {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<OfScope>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

/// What is of one scope: spans, log records or metrics.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OfScope {
    #[prost(message, optional, tag = "1")]
    scope: Option<InstrumentationScope>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    encoded: Vec<Bytes>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

impl OfProcess {
    /// By our names and those of the conventions.
    pub(crate) fn new(resource: Resource, scope: InstrumentationScope, encoded: Vec<Bytes>) -> Self {
        let scope = OfScope { scope: Some(scope), encoded, schema_url: SCHEMA_URL.to_owned() };
        Self { resource: Some(resource), scopes: vec![scope], schema_url: SCHEMA_URL.to_owned() }
    }

    /// By the names that others gave.
    pub(crate) fn of_others(
        resource: Resource,
        scopes: impl Iterator<Item = (InstrumentationScope, Vec<Bytes>)>,
    ) -> Self {
        let scopes =
            scopes.map(|(scope, encoded)| OfScope { scope: Some(scope), encoded, ..OfScope::default() });
        Self { resource: Some(resource), scopes: scopes.collect(), schema_url: String::new() }
    }
}

/// What a collector answers.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<Partial>,
}

#[derive(Clone, PartialEq, Message)]
struct Partial {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

impl Response {
    /// How many were rejected, and why, or what it would like to have different.
    pub(crate) fn rejected(self) -> (u64, String) {
        let Partial { rejected, error_message } = self.partial_success.unwrap_or_default();
        (rejected.try_into().unwrap_or_default(), error_message)
    }
}

/// A message by itself, as a request has it.
pub(crate) fn encoded(message: &impl Message) -> Bytes {
    message.encode_to_vec().into()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
    };
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

    use super::*;

    #[test]
    fn one_message_is_the_requests_of_all_signals() {
        let resource = Resource { dropped_attributes_count: 7, ..Resource::default() };
        let scope = InstrumentationScope { name: "loans".to_owned(), ..InstrumentationScope::default() };
        let request = |items: Vec<Bytes>| {
            let of_process = OfProcess::new(resource.clone(), scope.clone(), items);
            Request { processes: vec![of_process] }.encode_to_vec()
        };
        let (resource, scope, schema_url) =
            (Some(resource.clone()), Some(scope.clone()), SCHEMA_URL.to_owned());

        let spans: Vec<_> =
            ["one", "two"].map(|name| Span { name: name.to_owned(), ..Span::default() }).into();
        let bytes = request(spans.iter().map(encoded).collect());
        let scope_spans = ScopeSpans { scope: scope.clone(), spans, schema_url: schema_url.clone() };
        let of_process = ResourceSpans {
            resource: resource.clone(),
            scope_spans: vec![scope_spans],
            schema_url: schema_url.clone(),
        };
        assert_eq!(ExportTraceServiceRequest::decode(&*bytes).unwrap().resource_spans, [of_process]);

        let log_records = vec![LogRecord { event_name: "one".to_owned(), ..LogRecord::default() }];
        let bytes = request(log_records.iter().map(encoded).collect());
        let scope_logs = ScopeLogs { scope: scope.clone(), log_records, schema_url: schema_url.clone() };
        let of_process = ResourceLogs {
            resource: resource.clone(),
            scope_logs: vec![scope_logs],
            schema_url: schema_url.clone(),
        };
        assert_eq!(ExportLogsServiceRequest::decode(&*bytes).unwrap().resource_logs, [of_process]);

        let metrics = vec![Metric { name: "one".to_owned(), ..Metric::default() }];
        let bytes = request(metrics.iter().map(encoded).collect());
        let scope_metrics = ScopeMetrics { scope, metrics, schema_url: schema_url.clone() };
        let of_process = ResourceMetrics { resource, scope_metrics: vec![scope_metrics], schema_url };
        assert_eq!(ExportMetricsServiceRequest::decode(&*bytes).unwrap().resource_metrics, [of_process]);
    }

    #[test]
    fn what_a_collector_rejects_is_read_from_its_answer() {
        let partial =
            ExportLogsPartialSuccess { rejected_log_records: 3, error_message: "too old".to_owned() };
        let answer = ExportLogsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        let read = |answer: &[u8]| Response::decode(answer).unwrap().rejected();
        assert_eq!(read(&answer), (3, "too old".to_owned()));
        assert_eq!(read(&[]), (0, String::new()), "it took all");
        let nonsense = ExportLogsPartialSuccess { rejected_log_records: -3, error_message: String::new() };
        let answer = ExportLogsServiceResponse { partial_success: Some(nonsense) }.encode_to_vec();
        assert_eq!(read(&answer), (0, String::new()));
    }
}
