//! The [variables of OTLP](https://opentelemetry.io/docs/specs/otel/protocol/exporter/): the one place where their names are put
//! together, and what holds where they are not set.

use super::host_and_port;

/// The variables that say where a collector is and how it is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Collector {
    /// Its address.
    pub endpoint: &'static str,
    /// How messages are sent to it.
    pub protocol: &'static str,
    /// Headers that are sent along, which may be secrets.
    pub headers: &'static str,
    /// Whether messages are compressed.
    pub compression: &'static str,
    /// How long it may take to answer, in milliseconds.
    pub timeout: &'static str,
    /// The file of the certificates that its own is checked with.
    pub certificate: &'static str,
}

/// The variables of one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal {
    /// Names its exporters.
    pub exporter: &'static str,
    /// Its collector, where that is not the one of [all signals](ALL).
    pub collector: Collector,
    /// No variable: what HTTP adds to the address of the collector of all signals.
    pub path: &'static str,
}

/// The variables of what is sent in batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batches {
    /// How long a batch waits to be filled, in milliseconds.
    pub schedule_delay: &'static str,
    /// How long the export of a batch may take, in milliseconds.
    pub export_timeout: &'static str,
    /// How much may wait.
    pub max_queue_size: &'static str,
    /// How much is sent at once.
    pub max_export_batch_size: &'static str,
}

macro_rules! collector {
    ($prefix:expr) => {
        Collector {
            endpoint: concat!($prefix, "ENDPOINT"),
            protocol: concat!($prefix, "PROTOCOL"),
            headers: concat!($prefix, "HEADERS"),
            compression: concat!($prefix, "COMPRESSION"),
            timeout: concat!($prefix, "TIMEOUT"),
            certificate: concat!($prefix, "CERTIFICATE"),
        }
    };
}

macro_rules! signal {
    ($signal:literal, $path:literal) => {
        Signal {
            exporter: concat!("OTEL_", $signal, "_EXPORTER"),
            collector: collector!(concat!("OTEL_EXPORTER_OTLP_", $signal, "_")),
            path: $path,
        }
    };
}

macro_rules! batches {
    ($prefix:literal) => {
        Batches {
            schedule_delay: concat!($prefix, "SCHEDULE_DELAY"),
            export_timeout: concat!($prefix, "EXPORT_TIMEOUT"),
            max_queue_size: concat!($prefix, "MAX_QUEUE_SIZE"),
            max_export_batch_size: concat!($prefix, "MAX_EXPORT_BATCH_SIZE"),
        }
    };
}

/// The collector of all signals.
pub const ALL: Collector = collector!("OTEL_EXPORTER_OTLP_");

/// Traces.
pub const TRACES: Signal = signal!("TRACES", "v1/traces");

/// Log records and log lines.
pub const LOGS: Signal = signal!("LOGS", "v1/logs");

/// Metrics.
pub const METRICS: Signal = signal!("METRICS", "v1/metrics");

/// Batches of spans.
pub const SPANS: Batches = batches!("OTEL_BSP_");

/// Batches of log records.
pub const LOG_RECORDS: Batches = batches!("OTEL_BLRP_");

/// How a collector is spoken to, where [no variable](Collector::protocol) says so: at the port that is registered for gRPC by gRPC.
pub fn protocol_at(endpoint: &str) -> &'static str {
    match host_and_port(endpoint) {
        Some((_, 4317)) => "grpc",
        _ => "http/protobuf",
    }
}

/// Where a collector is, where [no variable](Collector::endpoint) says so.
pub fn default_endpoint(protocol: &str) -> &'static str {
    if protocol == "grpc" { "http://localhost:4317" } else { "http://localhost:4318" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_specification() {
        assert_eq!(
            (ALL.endpoint, ALL.timeout),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TIMEOUT")
        );
        assert_eq!(TRACES.exporter, "OTEL_TRACES_EXPORTER");
        assert_eq!(LOGS.collector.certificate, "OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE");
        assert_eq!(METRICS.collector.headers, "OTEL_EXPORTER_OTLP_METRICS_HEADERS");
        assert_eq!(SPANS.schedule_delay, "OTEL_BSP_SCHEDULE_DELAY");
        assert_eq!(LOG_RECORDS.max_export_batch_size, "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE");
    }
}
