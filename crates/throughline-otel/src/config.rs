//! [`Otlp`], how a service exports what it records.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use throughline_core::env::{self, otlp};
use throughline_model::SpoolConfig;

use crate::intake::Running;
use crate::sampler::Sampler;

/// How messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// Protobuf over HTTP, at port 4318 by default.
    #[default]
    Http,
    /// gRPC, at port 4317 by default.
    #[cfg(feature = "grpc")]
    Grpc,
}

impl Protocol {
    /// As `OTEL_EXPORTER_OTLP_PROTOCOL` has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http/protobuf",
            #[cfg(feature = "grpc")]
            Self::Grpc => "grpc",
        }
    }
}

/// How others see a span that is still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OpenSpans {
    /// Not before it ends.
    Hidden,
    /// As a log record with its ids, unless it ends within a twentieth of a second.
    #[default]
    LogRecord,
    /// As a span of no length in it, for back ends that show no logs; at the same time.
    PendingSpan,
}

/// Where the error of a span that failed is told in full. Its type and message are on the span in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exceptions {
    /// In a log record.
    #[default]
    LogRecords,
    /// In an event of the span, as it used to be.
    SpanEvents,
    /// In both.
    Both,
}

impl Exceptions {
    pub(crate) fn are_log_records(self) -> bool {
        matches!(self, Self::LogRecords | Self::Both)
    }

    pub(crate) fn are_span_events(self) -> bool {
        matches!(self, Self::SpanEvents | Self::Both)
    }
}

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Traces,
    Logs,
    Metrics,
}

/// A signal of OTLP: how and where it is sent to, and what is sent along.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Signal {
    pub(crate) kind: Kind,
    pub(crate) protocol: Protocol,
    /// The whole address for HTTP, the server for gRPC. Printed only [without what may be secret](Signal::place).
    pub(crate) endpoint: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) gzip: bool,
    pub(crate) timeout: Duration,
    /// PEM, if others than the system's authorities are trusted.
    #[cfg(feature = "tls")]
    pub(crate) certificate: Option<Vec<u8>>,
}

impl Signal {
    /// Sent below this address: HTTP has a path for each signal.
    pub(crate) fn below(&mut self, base: &str, path: &str) {
        self.endpoint = match self.protocol {
            Protocol::Http => at(base, path),
            #[cfg(feature = "grpc")]
            Protocol::Grpc => base.to_owned(),
        };
    }

    /// Scheme, host and port: an address may have a password in it, or a key in its path.
    pub(crate) fn place(&self) -> String {
        env::place(&self.endpoint).unwrap_or_else(|| "the endpoint".to_owned())
    }
}

/// When a batch is sent, and how much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batching {
    /// After this time.
    pub(crate) delay: Duration,
    /// As soon as it has so many spans.
    pub(crate) spans: usize,
    /// As soon as it has about so many bytes.
    pub(crate) bytes: usize,
    /// How many events may wait at each stage.
    pub(crate) capacity: usize,
    /// How long a batch that can't be delivered is tried again.
    pub(crate) patience: Duration,
}

/// Exports traces over OTLP, and [metrics](Self::metrics) and [log lines](Self::log_lines) to the same collector: a sink for `Throughline::builder(..).sink(..)`.
///
/// Nothing is opened before the emitter is built. From then on it has a thread and a runtime of its own; the code that emits
/// never waits for it.
///
/// ```
/// # use throughline_otel::{OpenSpans, Otlp, Sampler};
/// let otlp = Otlp::new()
///     .endpoint("http://127.0.0.1:4318")
///     .header("x-api-key", "k")
///     .sampler(Sampler::Ratio(0.1))
///     .whole_failed_runs(true)
///     .open_spans(OpenSpans::LogRecord);
/// ```
#[must_use = "nothing is exported before it is given to the builder"]
pub struct Otlp {
    pub(crate) traces: Signal,
    pub(crate) logs: Signal,
    pub(crate) metrics: Signal,
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) batching: Batching,
    pub(crate) value_limit: usize,
    pub(crate) exceptions: Exceptions,
    pub(crate) open_spans: OpenSpans,
    pub(crate) log_records: bool,
    /// No traces are exported, because the environment says so.
    pub(crate) is_off: bool,
    /// No metrics are, for the same reason.
    pub(crate) has_no_metrics: bool,
    /// When metrics are sent.
    pub(crate) interval: Duration,
    /// When log lines are sent, and how many may wait.
    pub(crate) lines: Batching,
    pub(crate) sampler: Sampler,
    pub(crate) whole_failed_runs: bool,
    pub(crate) outbox: Option<Arc<dyn SpoolConfig>>,
    pub(crate) running: OnceLock<Running>,
}

impl Otlp {
    /// HTTP to `http://localhost:4318`, whatever the environment says.
    pub fn new() -> Self {
        let signal = |kind| Signal {
            kind,
            protocol: Protocol::Http,
            endpoint: String::new(),
            headers: BTreeMap::new(),
            gzip: false,
            timeout: Duration::from_secs(10),
            #[cfg(feature = "tls")]
            certificate: None,
        };
        let batching = Batching {
            delay: Duration::from_secs(5),
            spans: 512,
            bytes: 1 << 20,
            capacity: 65_536,
            patience: Duration::from_secs(60),
        };
        Self {
            traces: signal(Kind::Traces),
            logs: signal(Kind::Logs),
            metrics: signal(Kind::Metrics),
            resource: BTreeMap::new(),
            batching,
            value_limit: 4096,
            exceptions: Exceptions::default(),
            open_spans: OpenSpans::default(),
            log_records: true,
            is_off: false,
            has_no_metrics: false,
            interval: Duration::from_secs(60),
            lines: Batching { delay: Duration::from_secs(1), capacity: 8192, ..batching },
            sampler: Sampler::default(),
            whole_failed_runs: false,
            outbox: None,
            running: OnceLock::new(),
        }
        .endpoint(otlp::default_endpoint(Protocol::Http.name()))
    }

    /// How messages are sent; say the [endpoint](Self::endpoint) after it.
    pub fn protocol(mut self, protocol: Protocol) -> Self {
        self.signals().for_each(|signal| signal.protocol = protocol);
        self
    }

    fn signals(&mut self) -> impl Iterator<Item = &mut Signal> {
        [&mut self.traces, &mut self.logs, &mut self.metrics].into_iter()
    }

    /// The base address of the collector, to which HTTP adds `/v1/traces`, `/v1/logs` and `/v1/metrics`.
    pub fn endpoint(mut self, base: impl AsRef<str>) -> Self {
        for (signal, variables) in self.signals().zip([otlp::TRACES, otlp::LOGS, otlp::METRICS]) {
            signal.below(base.as_ref(), variables.path);
        }
        self
    }

    /// A header that is sent along, such as a key. It is never printed.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let (name, value) = (name.into(), value.into());
        self.signals().for_each(|signal| drop(signal.headers.insert(name.clone(), value.clone())));
        self
    }

    /// Compresses what is sent.
    pub fn gzip(mut self, gzip: bool) -> Self {
        self.signals().for_each(|signal| signal.gzip = gzip);
        self
    }

    /// How long the collector may take to answer, 10 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.signals().for_each(|signal| signal.timeout = timeout);
        self
    }

    /// After which time a batch is sent that is not full, 5 s by default.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.batching.delay = delay;
        self
    }

    /// How many spans make a batch full, 512 by default, and how many bytes, about 1 MiB by default.
    pub fn batch(mut self, spans: usize, bytes: usize) -> Self {
        (self.batching.spans, self.batching.bytes) = (spans.max(1), bytes.max(1));
        self
    }

    /// How many events may wait in memory, 65,536 by default: those that have just happened, those of open spans, and those
    /// that are to be sent, each for itself. Beyond that events are dropped and counted.
    pub fn capacity(mut self, events: usize) -> Self {
        self.batching.capacity = events.max(1);
        self
    }

    /// How long a batch that the collector does not take is tried again before it is dropped and counted, a minute by default.
    /// With an [outbox](Self::outbox) there is no limit.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.batching.patience = patience;
        self
    }

    /// An attribute of the resource, such as `deployment.environment.name`.
    pub fn resource(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.resource.insert(key.into(), value.into());
        self
    }

    /// The longest value of an attribute, in bytes, 4096 by default; longer ones are cut and end with `…`.
    pub fn value_limit(mut self, bytes: usize) -> Self {
        self.value_limit = bytes;
        self
    }

    /// Where errors are told in full.
    pub fn exceptions(mut self, exceptions: Exceptions) -> Self {
        self.exceptions = exceptions;
        self
    }

    /// How others see spans that are open.
    pub fn open_spans(mut self, open_spans: OpenSpans) -> Self {
        self.open_spans = open_spans;
        self
    }

    /// Whether log records are sent at all, as they are by default. Without them, spans that are open are not shown as
    /// [log records](OpenSpans::LogRecord), and of an error no more is told than its type and its message, unless
    /// [events of spans](Exceptions::SpanEvents) tell it in full.
    pub fn log_records(mut self, sent: bool) -> Self {
        self.log_records = sent;
        self
    }

    /// Which runs are exported; by default all but those that a caller in another process has not sampled. What the store keeps
    /// does not depend on it.
    pub fn sampler(mut self, sampler: Sampler) -> Self {
        self.sampler = sampler;
        self
    }

    /// Exports runs that fail, although they were not sampled: as a whole, when they have ended, from the store.
    pub fn whole_failed_runs(mut self, whole: bool) -> Self {
        self.whole_failed_runs = whole;
        self
    }

    /// Where spans wait that the collector does not take, instead of being dropped: a spool of its own, which is no other
    /// emitter's and not that of the store. What an earlier process left in it is sent by this one. The log record of an
    /// exception waits with its span; if the collector has taken the span alone, in memory, and in the outbox once the emitter is
    /// shut down.
    pub fn outbox(mut self, spool: impl SpoolConfig) -> Self {
        self.outbox = Some(Arc::new(spool));
        self
    }

    /// Certificates in PEM that are trusted instead of the system's.
    #[cfg(feature = "tls")]
    pub fn certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        let pem = pem.into();
        self.signals().for_each(|signal| signal.certificate = Some(pem.clone()));
        self
    }
}

/// An address below another.
fn at(base: &str, path: &str) -> String {
    format!("{}/{path}", base.trim_end_matches('/'))
}

impl Default for Otlp {
    fn default() -> Self {
        Self::new()
    }
}

/// Without headers, and without what an address may have in it.
impl fmt::Debug for Otlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Otlp")
            .field("protocol", &self.traces.protocol)
            .field("traces", &self.traces.place())
            .field("logs", &self.logs.place())
            .field("metrics", &self.metrics.place())
            .field("sampler", &self.sampler)
            .field("open_spans", &self.open_spans)
            .finish_non_exhaustive()
    }
}
