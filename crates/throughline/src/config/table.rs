//! The table of the variables: the one place where each of them is described.

use throughline_core::env::{EXPORTERS, otlp};

use super::Kind;
use super::Kind::{
    Count, Dsn, Endpoint, Feed, Headers, Levels, LogOutput, Millis, OneOf, Pairs, Path, Port, Propagation,
    Ratio, SomeOf, StandardSwitch, Store, Switch, Text,
};

/// A variable of the environment.
#[derive(Debug)]
#[non_exhaustive]
pub struct Variable {
    /// Its name: that of a standard, if there is one.
    pub name: &'static str,
    /// Other names that are read as well. If several are set, the first in this order counts.
    pub aliases: &'static [&'static str],
    /// What it may be set to.
    pub kind: Kind,
    /// What counts where it is not set; empty if nothing does.
    pub default: &'static str,
    /// Whether it is never shown.
    pub is_secret: bool,
    /// What it does.
    pub about: &'static str,
    /// The features of this crate that it has no effect without, if they are not those of its area.
    needs: &'static [&'static str],
}

impl Variable {
    const fn needs(mut self, features: &'static [&'static str]) -> Self {
        self.needs = features;
        self
    }
}

const fn variable(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> Variable {
    Variable { name, aliases, kind, default, is_secret: false, about, needs: &[] }
}

const fn secret(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    about: &'static str,
) -> Variable {
    Variable { name, aliases, kind, default: "", is_secret: true, about, needs: &[] }
}

/// Variables of one kind of thing, and the features that it needs.
struct Area {
    name: &'static str,
    needs: &'static [&'static str],
    variables: &'static [Variable],
}

static AREAS: [Area; 6] = [
    Area { name: "Everything", needs: &[], variables: COMMON },
    Area { name: "Store and feed", needs: &[], variables: STORE },
    Area { name: "Metrics", needs: &["metrics", "axum"], variables: METRICS },
    Area { name: "Logs", needs: &["log"], variables: LOGS },
    Area { name: "Traces", needs: &["otel"], variables: TRACES },
    Area { name: "Sentry", needs: &["sentry"], variables: SENTRY },
];

/// All variables, area by area.
pub fn variables() -> impl Iterator<Item = (&'static str, &'static Variable)> {
    AREAS.iter().flat_map(|area| area.variables.iter().map(|variable| (area.name, variable)))
}

/// All variables with their areas and the features of this crate that they have no effect without.
pub(super) fn needs() -> impl Iterator<Item = (&'static str, &'static Variable, &'static [&'static str])> {
    AREAS.iter().flat_map(|area| {
        area.variables.iter().map(|variable| {
            let needs = if variable.needs.is_empty() { area.needs } else { variable.needs };
            (area.name, variable, needs)
        })
    })
}

const PROTOCOLS: &[&str] = &["grpc", "http/protobuf"];
const SAMPLERS: &[&str] = &[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

static COMMON: &[Variable] = &[
    variable(
        "OTEL_SDK_DISABLED",
        &[],
        StandardSwitch,
        "false",
        "`true` turns everything off, whatever else is set.",
    ),
    variable(
        "OTEL_SERVICE_NAME",
        &["TRACING_SERVICE_NAME"],
        Text,
        "`unknown_service:` and the name of the program",
        "The name of the service.",
    ),
    variable(
        "OTEL_RESOURCE_ATTRIBUTES",
        &[],
        Pairs,
        "",
        "More about the service, such as `deployment.environment.name=production`; `service.name` names it, if nothing else does.",
    ),
    variable(
        "OTEL_PROPAGATORS",
        &[],
        Propagation,
        "tracecontext,baggage",
        "In which formats a context travels in the headers of requests, in and out; `none` alone has it stay here.",
    ),
    variable(
        "OTEL_CONFIG_FILE",
        &[],
        Path,
        "",
        "A file of OpenTelemetry's declarative configuration: its exporters, resource, sampler and propagators are read, and all other variables whose names begin with `OTEL_` are ignored, but for `OTEL_SDK_DISABLED=true`.",
    )
    .needs(&["config-file"]),
];

static STORE: &[Variable] = &[
    secret(
        "THROUGHLINE_STORE",
        &[],
        Store,
        "Where events are kept, as in `sqlite:traces.db`. Never shown, for it may have a password in it.",
    ),
    secret("THROUGHLINE_COSMOS_KEY", &[], Text, "The key of the account of a store in Azure Cosmos DB.")
        .needs(&["cosmos"]),
    variable(
        "THROUGHLINE_COSMOS_KEY_FILE",
        &[],
        Path,
        "",
        "The file that has this key in it, if the key itself is not set.",
    )
    .needs(&["cosmos"]),
    variable(
        "THROUGHLINE_OUTBOX",
        &[],
        Path,
        "",
        "The file in which events wait while the store is away; without it, workflows wait for the store.",
    )
    .needs(&["sqlite"]),
    secret(
        "THROUGHLINE_FEED",
        &[],
        Feed,
        "Where events are shown as they happen, as in `redis://127.0.0.1/`. Never shown, for it may have a password in it.",
    )
    .needs(&["redis"]),
    secret(
        "THROUGHLINE_PSEUDONYM_KEY",
        &[],
        Text,
        "The secret that pseudonyms are made with, of 16 bytes at least, so that personal data in keys and attributes can still be found.",
    ),
];

static METRICS: &[Variable] = &[
    variable(
        "METRICS_ENABLED",
        &[],
        Switch,
        "",
        "`false` turns the page of metrics off, unless OpenTelemetry's port is set; `true` turns it on, on port 9464 if no port is set.",
    ),
    variable(
        "OTEL_EXPORTER_PROMETHEUS_PORT",
        &["METRICS_PORT"],
        Port,
        "",
        "The port on which metrics are served. Setting it turns them on.",
    ),
    variable(
        "OTEL_EXPORTER_PROMETHEUS_HOST",
        &[],
        Text,
        "localhost",
        "The host on which metrics are served; `0.0.0.0` where Prometheus comes from outside.",
    ),
    variable(
        otlp::METRICS.exporter,
        &[],
        SomeOf(&["prometheus", "otlp", "console", "none"]),
        "",
        "`prometheus` turns the page of metrics on, `none` turns it off; `otlp` sends metrics to the collector, which needs the feature `otel`.",
    )
    .needs(&["metrics"]),
    variable("OTEL_METRIC_EXPORT_INTERVAL", &[], Count, "60000", "How often metrics are sent to the collector, in milliseconds.")
        .needs(&["metrics", "otel"]),
    variable(
        "THROUGHLINE_RUN_METRICS_INTERVAL",
        &[],
        Millis,
        "60000",
        "How often the store is asked for runs that have not ended and for what sagas left behind, in milliseconds; `0` turns that off.",
    )
    .needs(&["metrics"]),
];

static LOGS: &[Variable] = &[
    variable("RUST_LOG", &[], Levels, "info", "Which lines are written, by target."),
    variable(
        "THROUGHLINE_LOG_OUTPUT",
        &[],
        LogOutput,
        "stdout",
        "Where lines go; `daily:` and `hourly:` begin a new file in the folder each day or hour.",
    ),
    variable(
        "THROUGHLINE_LOG_FORMAT",
        &[],
        OneOf(&["auto", "json", "text"]),
        "auto",
        "`auto` is text in a terminal, JSON everywhere else.",
    ),
    variable(
        otlp::LOGS.exporter,
        &[],
        SomeOf(EXPORTERS),
        "",
        "`otlp` exports log lines, and with traces the log records of steps (their starts, and exceptions); `none` exports neither. By default the log records of steps are exported, if a collector of theirs or of all signals is set, and no lines.",
    )
    .needs(&["otel"]),
];

static TRACES: &[Variable] = &[
    variable(
        "TRACING_ENABLED",
        &[],
        Switch,
        "",
        "Whether traces are exported, where `OTEL_TRACES_EXPORTER` does not say.",
    ),
    variable(
        otlp::TRACES.exporter,
        &[],
        SomeOf(EXPORTERS),
        "",
        "`otlp` exports traces, `none` does not, nor log records of steps. Without it they are exported if an endpoint is set.",
    ),
    variable(
        otlp::ALL.endpoint,
        &["TRACING_ENDPOINT"],
        Endpoint,
        "`http://localhost:4318`; with `grpc` `http://localhost:4317`",
        "The collector of all signals.",
    ),
    variable(
        otlp::TRACES.collector.endpoint,
        &[],
        Endpoint,
        "",
        "The collector of traces, if it is another one.",
    ),
    variable(
        otlp::LOGS.collector.endpoint,
        &[],
        Endpoint,
        "",
        "The collector of log records (the starts of spans, exceptions, log lines), if it is another one.",
    ),
    variable(
        otlp::METRICS.collector.endpoint,
        &[],
        Endpoint,
        "",
        "The collector of metrics, if it is another one.",
    ),
    variable(
        otlp::ALL.protocol,
        &[],
        OneOf(PROTOCOLS),
        "`http/protobuf`; for an endpoint with the port 4317 `grpc`",
        "How the collector is spoken to.",
    ),
    variable(
        otlp::TRACES.collector.protocol,
        &[],
        OneOf(PROTOCOLS),
        "",
        "How the collector of traces is spoken to, if differently.",
    ),
    variable(otlp::LOGS.collector.protocol, &[], OneOf(PROTOCOLS), "", "The same for log records."),
    variable(otlp::METRICS.collector.protocol, &[], OneOf(PROTOCOLS), "", "The same for metrics."),
    secret(otlp::ALL.headers, &[], Headers, "Headers for the collector, as in `api-key=…`."),
    secret(
        otlp::TRACES.collector.headers,
        &[],
        Headers,
        "Headers for the collector of traces, if they differ.",
    ),
    secret(
        otlp::LOGS.collector.headers,
        &[],
        Headers,
        "Headers for the collector of log records, if they differ.",
    ),
    secret(
        otlp::METRICS.collector.headers,
        &[],
        Headers,
        "Headers for the collector of metrics, if they differ.",
    ),
    variable(
        otlp::ALL.timeout,
        &[],
        Millis,
        "10000",
        "How long an export may take; with 0 as long as it likes.",
    ),
    variable(otlp::TRACES.collector.timeout, &[], Millis, "", "The same for traces, if it differs."),
    variable(otlp::LOGS.collector.timeout, &[], Millis, "", "The same for log records, if it differs."),
    variable(otlp::METRICS.collector.timeout, &[], Millis, "", "The same for metrics, if it differs."),
    variable(otlp::ALL.compression, &[], OneOf(&["gzip", "none"]), "none", "Whether exports are compressed."),
    variable(
        otlp::TRACES.collector.compression,
        &[],
        OneOf(&["gzip", "none"]),
        "",
        "The same for traces, if it differs.",
    ),
    variable(
        otlp::LOGS.collector.compression,
        &[],
        OneOf(&["gzip", "none"]),
        "",
        "The same for log records, if it differs.",
    ),
    variable(
        otlp::METRICS.collector.compression,
        &[],
        OneOf(&["gzip", "none"]),
        "",
        "The same for metrics, if it differs.",
    ),
    variable(
        otlp::ALL.certificate,
        &[],
        Path,
        "",
        "The certificates that the collector's is checked with, in the place of the system's.",
    )
    .needs(&["otel", "otel-tls"]),
    variable(
        otlp::TRACES.collector.certificate,
        &[],
        Path,
        "",
        "The same for the collector of traces, if they differ.",
    )
    .needs(&["otel", "otel-tls"]),
    variable(
        otlp::LOGS.collector.certificate,
        &[],
        Path,
        "",
        "The same for the collector of log records, if they differ.",
    )
    .needs(&["otel", "otel-tls"]),
    variable(
        otlp::METRICS.collector.certificate,
        &[],
        Path,
        "",
        "The same for the collector of metrics, if they differ.",
    )
    .needs(&["otel", "otel-tls"]),
    variable(
        "OTEL_TRACES_SAMPLER",
        &[],
        OneOf(SAMPLERS),
        "parentbased_always_on",
        "Which runs are exported; a ratio alone means `parentbased_traceidratio`. What is stored is never sampled.",
    ),
    variable(
        "OTEL_TRACES_SAMPLER_ARG",
        &["TRACING_SAMPLE_RATE"],
        Ratio,
        "1.0",
        "The part of all runs that is exported.",
    ),
    variable(
        otlp::SPANS.schedule_delay,
        &[],
        Millis,
        "5000",
        "How long spans wait for others to be exported with.",
    ),
    variable(
        otlp::SPANS.export_timeout,
        &[],
        Millis,
        "60000",
        "How long the export of a batch may take, with its retries; with 0 as long as it likes.",
    ),
    variable(otlp::SPANS.max_queue_size, &[], Count, "32768", "How many spans may wait."),
    variable(otlp::SPANS.max_export_batch_size, &[], Count, "512", "How many spans are exported at once."),
    variable(
        otlp::LOG_RECORDS.schedule_delay,
        &[],
        Millis,
        "1000",
        "How long log lines wait for others to be exported with.",
    ),
    variable(
        otlp::LOG_RECORDS.export_timeout,
        &[],
        Millis,
        "60000",
        "How long the export of log lines may take, with its retries; with 0 as long as it likes.",
    ),
    variable(otlp::LOG_RECORDS.max_queue_size, &[], Count, "8192", "How many log lines may wait."),
    variable(
        otlp::LOG_RECORDS.max_export_batch_size,
        &[],
        Count,
        "512",
        "How many log lines are exported at once.",
    ),
    variable(
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        &[],
        Count,
        "4096",
        "How many bytes a value of an exported span has at most.",
    ),
    variable(
        "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN",
        &[],
        SomeOf(&["logs", "logs/dup"]),
        "logs",
        "Whether errors are exported as log records, or (`logs/dup`) as events of their spans as well.",
    ),
];

static SENTRY: &[Variable] = &[
    variable(
        "SENTRY_ENABLED",
        &[],
        Switch,
        "",
        "`false` turns Sentry off; otherwise it is on if there is a DSN.",
    ),
    secret("SENTRY_DSN", &[], Dsn, "The project that failures are reported to."),
    variable("SENTRY_ENVIRONMENT", &[], Text, "production", "The environment that reports name."),
    variable("SENTRY_RELEASE", &[], Text, "", "The release that reports name."),
    variable("SENTRY_SAMPLE_RATE", &[], Ratio, "1.0", "The part of all failures that is reported."),
    variable(
        "SENTRY_TRACES_SAMPLE_RATE",
        &[],
        Ratio,
        "0.0",
        "The part of all runs that is sent as performance transactions.",
    ),
];
