//! What is sent, and the requests that it is sent in.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use throughline_model::{SpanId, Text, TraceId};

use crate::assemble::Finished;
use crate::backlog::Item;
use crate::semconv::SCHEMA_URL;
use crate::{resource, translate};

/// A span to be sent.
pub(crate) struct Sent {
    span: Span,
    service: Text,
    bytes: usize,
    /// How many events it accounts for.
    pub(crate) owed: u64,
    /// What it was made of, if it may have to wait in the outbox.
    pub(crate) finished: Option<Finished>,
    /// The span whose start it is.
    pub(crate) start_of: Option<(TraceId, SpanId)>,
}

impl Sent {
    pub(crate) fn new(span: Span, service: Text, owed: u64, finished: Option<Finished>) -> Self {
        Self { bytes: span.encoded_len(), span, service, owed, finished, start_of: None }
    }

    /// The start of a span that is open.
    pub(crate) fn of_start(span: Span, service: Text, start_of: Option<(TraceId, SpanId)>) -> Self {
        Self { start_of, ..Self::new(span, service, 0, None) }
    }
}

impl Item for Sent {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn weight(&self) -> usize {
        let kept = self.finished.as_ref().map_or(0, |finished| finished.all().count());
        1 + kept
    }
}

/// A log record to be sent.
pub(crate) struct Record {
    record: LogRecord,
    service: Text,
    bytes: usize,
    /// The span whose start it is.
    pub(crate) start_of: Option<(TraceId, SpanId)>,
}

impl Record {
    pub(crate) fn new(record: LogRecord, service: Text, start_of: Option<(TraceId, SpanId)>) -> Self {
        Self { bytes: record.encoded_len(), record, service, start_of }
    }
}

impl Item for Record {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn weight(&self) -> usize {
        1
    }
}

/// The services whose events are exported: this one, and those whose events it passes on.
pub(crate) struct Services {
    name: Text,
    resource: Resource,
}

impl Services {
    pub(crate) fn new(name: Text, resource: Resource) -> Self {
        Self { name, resource }
    }

    fn resource(&self, service: &str) -> Resource {
        if service == &*self.name { self.resource.clone() } else { resource::of_service(service) }
    }

    pub(crate) fn traces<'s>(&self, spans: impl Iterator<Item = &'s Sent>) -> ExportTraceServiceRequest {
        let mut by_service: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
        for sent in spans {
            by_service.entry(&sent.service).or_default().push(sent.span.clone());
        }
        let resource_spans = by_service.into_iter().map(|(service, spans)| ResourceSpans {
            resource: Some(self.resource(service)),
            scope_spans: vec![ScopeSpans {
                scope: Some(translate::scope()),
                spans,
                schema_url: SCHEMA_URL.to_owned(),
            }],
            schema_url: SCHEMA_URL.to_owned(),
        });
        ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
    }

    pub(crate) fn logs<'s>(&self, records: impl Iterator<Item = &'s Record>) -> ExportLogsServiceRequest {
        let mut by_service: BTreeMap<&str, Vec<LogRecord>> = BTreeMap::new();
        for sent in records {
            by_service.entry(&sent.service).or_default().push(sent.record.clone());
        }
        let resource_logs = by_service.into_iter().map(|(service, log_records)| ResourceLogs {
            resource: Some(self.resource(service)),
            scope_logs: vec![ScopeLogs {
                scope: Some(translate::scope()),
                log_records,
                schema_url: SCHEMA_URL.to_owned(),
            }],
            schema_url: SCHEMA_URL.to_owned(),
        });
        ExportLogsServiceRequest { resource_logs: resource_logs.collect() }
    }
}
