//! What the variables say about traces.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use throughline_core::env;
use throughline_core::env::otlp::{self, ALL, Collector, LOGS, Signal, TRACES};

use super::settings::Settings;

const ENABLED: &str = "TRACING_ENABLED";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Where traces are exported, and which. Its `Debug` shows no header.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct TraceSettings {
    /// The collector: a URL, or a host and a port.
    pub endpoint: String,
    /// `grpc` or `http/protobuf`.
    pub protocol: String,
    /// Headers for the collector, which may be secrets.
    pub headers: Vec<(String, String)>,
    /// How long an export may take.
    pub timeout: Duration,
    /// `gzip` or `none`.
    pub compression: String,
    /// The name of the sampler.
    pub sampler: String,
    /// The part of all runs that is exported, if the sampler asks for it.
    pub ratio: f64,
    /// How a context travels to other services.
    pub propagators: Vec<String>,
    /// The collector of log records; `None` if none are exported.
    pub logs_endpoint: Option<String>,
    /// The certificates that the collector's is checked with, in the place of the system's.
    pub certificate: Option<PathBuf>,
}

impl TraceSettings {
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        if !is_on(settings) {
            return None;
        }
        let of_traces = |name: fn(&Collector) -> &'static str| of_signal(settings, &TRACES, name);
        let headers = of_traces(|collector| collector.headers);
        let endpoint = endpoint(settings).map(with_scheme);
        let protocol = of_traces(|collector| collector.protocol)
            .unwrap_or_else(|| otlp::protocol_at(endpoint.as_deref().unwrap_or_default()));
        let default = otlp::default_endpoint(protocol);
        let ratio = settings.parse(SAMPLER_ARG);
        let sampler = match settings.get(SAMPLER) {
            Some(sampler) => sampler,
            None if ratio.is_some() => "parentbased_traceidratio",
            None => "parentbased_always_on",
        };
        let words = settings.get("OTEL_PROPAGATORS").unwrap_or("tracecontext,baggage").split(',');
        Some(Self {
            endpoint: endpoint.map_or_else(|| default.to_owned(), Cow::into_owned),
            protocol: protocol.to_owned(),
            headers: headers.and_then(env::pairs).unwrap_or_default(),
            timeout: of_traces(|collector| collector.timeout).and_then(|millis| millis.parse().ok()).map_or(
                Duration::from_secs(10),
                |millis| match millis {
                    // As OpenTelemetry has it.
                    0 => Duration::MAX,
                    millis => Duration::from_millis(millis),
                },
            ),
            compression: of_traces(|collector| collector.compression).unwrap_or("none").to_owned(),
            sampler: sampler.to_owned(),
            ratio: ratio.unwrap_or(1.0),
            propagators: words.map(|word| word.trim().to_owned()).collect(),
            logs_endpoint: exports_log_records(settings).then(|| {
                let endpoint = of_signal(settings, &LOGS, |collector| collector.endpoint);
                endpoint.map(with_scheme).map_or_else(|| default.to_owned(), Cow::into_owned)
            }),
            certificate: of_traces(|collector| collector.certificate).map(PathBuf::from),
        })
    }

    /// The host and the port of the collector.
    pub fn address(&self) -> Option<(String, u16)> {
        env::host_and_port(&self.endpoint)
    }

    /// Those of the collector of log records.
    pub fn logs_address(&self) -> Option<(String, u16)> {
        env::host_and_port(self.logs_endpoint.as_deref()?)
    }
}

impl fmt::Debug for TraceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An endpoint may have a password in it, and headers are keys.
        f.debug_struct("TraceSettings")
            .field("address", &self.address())
            .field("protocol", &self.protocol)
            .field("headers", &self.headers.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("sampler", &self.sampler)
            .field("ratio", &self.ratio)
            .finish_non_exhaustive()
    }
}

fn endpoint(settings: &Settings) -> Option<&str> {
    of_signal(settings, &TRACES, |collector| collector.endpoint)
}

/// What is set of the collector of a signal, or else of that of all.
fn of_signal<'s>(
    settings: &'s Settings,
    signal: &Signal,
    name: fn(&Collector) -> &'static str,
) -> Option<&'s str> {
    settings.get(name(&signal.collector)).or_else(|| settings.get(name(&ALL)))
}

/// The host and the port of the collector of a signal.
pub(super) fn collector(settings: &Settings, signal: &Signal) -> Option<(String, u16)> {
    let protocol = of_signal(settings, signal, |collector| collector.protocol).unwrap_or_default();
    let endpoint = of_signal(settings, signal, |collector| collector.endpoint);
    env::host_and_port(endpoint.unwrap_or_else(|| otlp::default_endpoint(protocol)))
}

/// An endpoint as a URL: without a scheme it is a host and a port.
fn with_scheme(endpoint: &str) -> Cow<'_, str> {
    if endpoint.contains("://") { endpoint.into() } else { format!("http://{endpoint}").into() }
}

/// What is exported over OTLP.
#[cfg(feature = "otel")]
pub(super) struct Exports {
    pub(super) otlp: throughline_otel::Otlp,
    pub(super) traces: bool,
    #[cfg(feature = "metrics")]
    pub(super) metrics: bool,
    pub(super) lines: bool,
}

/// What was configured, if anything is exported.
#[cfg(feature = "otel")]
pub(super) fn exports(settings: &Settings) -> Result<Option<Exports>, super::InitError> {
    let traces = TraceSettings::of(settings);
    let (metrics, lines) = (super::metrics::are_exported(settings), super::logs::are_exported(settings));
    if traces.is_none() && !metrics && !lines {
        return Ok(None);
    }
    if cfg!(not(feature = "otel-grpc")) && traces.as_ref().is_some_and(|traces| traces.protocol == "grpc") {
        return Err(super::InitError::Feature { what: "OTLP over gRPC", feature: "otel-grpc" });
    }
    let word = |on: bool| Some(if on { "otlp" } else { "none" }.to_owned());
    let lookup = |name| {
        Ok(match name {
            name if name == TRACES.exporter => word(traces.is_some()),
            name if name == LOGS.exporter => word(exports_log_records(settings)),
            name if name == otlp::METRICS.exporter => word(metrics),
            SAMPLER => traces.as_ref().map(|traces| traces.sampler.clone()),
            name if name.ends_with("_ENDPOINT") => settings.get(name).map(|to| with_scheme(to).into_owned()),
            name => settings.get(name).map(str::to_owned),
        })
    };
    let otlp = throughline_otel::Otlp::from_lookup(&lookup)?;
    Ok(Some(Exports {
        otlp,
        traces: traces.is_some(),
        #[cfg(feature = "metrics")]
        metrics,
        lines,
    }))
}

/// What OTel's variable says, or else `TRACING_ENABLED`, or else that there is an endpoint.
fn is_on(settings: &Settings) -> bool {
    !settings.is_disabled()
        && exporter_is_on(settings)
            .or_else(|| settings.switch(ENABLED))
            .unwrap_or_else(|| endpoint(settings).is_some())
}

fn exporter_is_on(settings: &Settings) -> Option<bool> {
    has_otlp(settings, TRACES.exporter)
}

/// Whether a signal is exported over OTLP, if its variable is set.
pub(super) fn has_otlp(settings: &Settings, name: &str) -> Option<bool> {
    Some(env::has_exporter(settings.get(name)?, "otlp"))
}

/// Whether log records are sent with traces: where no variable says so, to a collector that is known to take them.
fn exports_log_records(settings: &Settings) -> bool {
    let is_set = |name| settings.get(name).is_some();
    has_otlp(settings, LOGS.exporter).unwrap_or_else(|| {
        !is_set(TRACES.collector.endpoint) || is_set(LOGS.collector.endpoint) || is_set(ALL.endpoint)
    })
}

/// Whether somebody said that nothing is to be exported.
pub(super) fn is_turned_off(settings: &Settings) -> bool {
    exporter_is_on(settings).or_else(|| settings.switch(ENABLED)) == Some(false)
}

/// Variables that say the opposite of each other.
pub(super) fn contradictions(settings: &Settings) -> Option<String> {
    let (switch, on) = (settings.switch(ENABLED)?, exporter_is_on(settings)?);
    (switch != on).then(|| {
        let name = TRACES.exporter;
        let value = settings.get(name).unwrap_or_default();
        format!("{ENABLED}={switch} is ignored: {name}={value} takes precedence; unset one of them")
    })
}
