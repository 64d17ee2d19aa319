//! What is sent, and the requests that it is sent in.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::bytes::Bytes;
use throughline_model::{Instance, InstanceId, Process, SpanId, Text, TraceEvent, TraceId};

use crate::assemble::Finished;
use crate::backlog::Item;
use crate::wire::{OfProcess, Request, encoded};
use crate::{resource, translate};

/// How many other processes are remembered.
const PROCESSES: usize = 1024;

/// Which process emitted something.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Emitter {
    service: Text,
    instance: InstanceId,
}

impl Emitter {
    fn of(event: &TraceEvent) -> Self {
        Self { service: event.service.clone(), instance: event.instance }
    }
}

/// What is to be sent, and who emitted it.
pub(crate) struct Encoded {
    bytes: Bytes,
    by: Emitter,
}

/// A span to be sent.
pub(crate) struct Sent {
    pub(crate) span: Encoded,
    /// How many events it accounts for.
    pub(crate) owed: u64,
    /// What it was made of, if it may have to wait in the outbox.
    pub(crate) finished: Option<Finished>,
    /// The span whose start it is.
    pub(crate) start_of: Option<(TraceId, SpanId)>,
}

impl Sent {
    /// Emitted with this event.
    pub(crate) fn new(span: &Span, by: &TraceEvent, owed: u64, finished: Option<Finished>) -> Self {
        let span = Encoded { bytes: encoded(span), by: Emitter::of(by) };
        Self { span, owed, finished, start_of: None }
    }

    /// The start of a span that is open.
    pub(crate) fn of_start(span: &Span, start: &TraceEvent) -> Self {
        Self { start_of: Some((start.trace_id, start.span_id)), ..Self::new(span, start, 0, None) }
    }
}

impl Item for Sent {
    fn bytes(&self) -> usize {
        self.span.bytes.len()
    }

    fn weight(&self) -> usize {
        let kept = self.finished.as_ref().map_or(0, |finished| finished.all().count());
        1 + kept
    }
}

/// A log record to be sent.
pub(crate) struct Record {
    pub(crate) record: Encoded,
    /// The span whose start it is.
    pub(crate) start_of: Option<(TraceId, SpanId)>,
    /// The event whose exception it is, if it may have to wait in the outbox.
    pub(crate) exception_of: Option<Arc<TraceEvent>>,
}

impl Record {
    /// The start of a span that is open.
    pub(crate) fn of_start(record: &LogRecord, start: &TraceEvent) -> Self {
        Self { start_of: Some((start.trace_id, start.span_id)), ..Self::of(record, start) }
    }

    /// The exception that a span ended with.
    pub(crate) fn of_exception(record: &LogRecord, end: &Arc<TraceEvent>, may_wait: bool) -> Self {
        Self { exception_of: may_wait.then(|| Arc::clone(end)), ..Self::of(record, end) }
    }

    fn of(record: &LogRecord, by: &TraceEvent) -> Self {
        let record = Encoded { bytes: encoded(record), by: Emitter::of(by) };
        Self { record, start_of: None, exception_of: None }
    }
}

impl Item for Record {
    fn bytes(&self) -> usize {
        self.record.bytes.len()
    }

    fn weight(&self) -> usize {
        1
    }
}

/// The processes whose events are exported: this one, those whose runs it has taken over, and those whose events it passes on.
pub(crate) struct Processes {
    own: Emitter,
    resource: Resource,
    /// What an operator said of this process.
    given: BTreeMap<String, String>,
    known: HashMap<InstanceId, Process>,
}

impl Processes {
    pub(crate) fn new(instance: &Instance, given: BTreeMap<String, String>) -> Self {
        Self {
            own: Emitter { service: instance.service.clone(), instance: instance.id },
            resource: resource::of_this_process(instance, &given),
            given,
            known: HashMap::new(),
        }
    }

    /// Remembers what the store knows of others.
    pub(crate) fn learn(&mut self, processes: Vec<(InstanceId, Process)>) {
        if self.known.len() + processes.len() > PROCESSES {
            self.known.clear();
        }
        self.known.extend(processes);
    }

    fn resource(&self, by: &Emitter) -> Resource {
        if *by == self.own {
            return self.resource.clone();
        }
        let process = self.known.get(&by.instance).filter(|process| process.service == by.service);
        // Of another service an operator said nothing here.
        let nothing = BTreeMap::new();
        let given = if by.service == self.own.service { &self.given } else { &nothing };
        resource::of_another(&by.service, by.instance, process, given)
    }

    /// Sends spans or log records together.
    pub(crate) fn request<'s>(&self, items: impl Iterator<Item = &'s Encoded>) -> Request {
        let mut by_process: BTreeMap<&Emitter, Vec<Bytes>> = BTreeMap::new();
        for Encoded { bytes, by } in items {
            by_process.entry(by).or_default().push(bytes.clone());
        }
        let processes = by_process
            .into_iter()
            .map(|(by, encoded)| OfProcess::new(self.resource(by), translate::scope(), encoded));
        Request { processes: processes.collect() }
    }
}
