//! What the variables say about traces.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::kind;
use super::settings::Settings;

const ENABLED: &str = "TRACING_ENABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
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
}

impl TraceSettings {
    pub(super) fn of(settings: &Settings) -> Option<Self> {
        if !is_on(settings) {
            return None;
        }
        let of_traces = |own: &str, general: &str| settings.get(own).or_else(|| settings.get(general));
        let headers = of_traces("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS");
        let endpoint = endpoint(settings).map(with_scheme);
        let protocol = match of_traces("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", PROTOCOL) {
            Some(protocol) => protocol,
            // The port that is registered for gRPC.
            None if endpoint.as_deref().and_then(kind::endpoint).is_some_and(|(_, port)| port == 4317) => {
                "grpc"
            }
            None => "http/protobuf",
        };
        let default = if protocol == "grpc" { "http://localhost:4317" } else { "http://localhost:4318" };
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
            headers: headers.unwrap_or_default().split(',').filter_map(pair).collect(),
            timeout: of_traces("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
                .and_then(|millis| millis.parse().ok())
                .map_or(Duration::from_secs(10), Duration::from_millis),
            compression: of_traces("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION")
                .unwrap_or("none")
                .to_owned(),
            sampler: sampler.to_owned(),
            ratio: ratio.unwrap_or(1.0),
            propagators: words.map(|word| word.trim().to_owned()).collect(),
        })
    }

    /// The host and the port of the collector.
    pub fn address(&self) -> Option<(String, u16)> {
        kind::endpoint(&self.endpoint)
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

fn pair(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once('=')?;
    Some((key.trim().to_owned(), value.trim().to_owned()))
}

fn endpoint(settings: &Settings) -> Option<&str> {
    settings.get(TRACES_ENDPOINT).or_else(|| settings.get(ENDPOINT))
}

/// An endpoint as a URL: without a scheme it is a host and a port.
fn with_scheme(endpoint: &str) -> Cow<'_, str> {
    if endpoint.contains("://") { endpoint.into() } else { format!("http://{endpoint}").into() }
}

/// The exporter that was configured, if traces are exported.
#[cfg(feature = "otel")]
pub(super) fn exporter(settings: &Settings) -> Result<Option<throughline_otel::Otlp>, super::InitError> {
    let Some(traces) = TraceSettings::of(settings) else { return Ok(None) };
    if cfg!(not(feature = "otel-grpc")) && traces.protocol == "grpc" {
        return Err(super::InitError::Feature { what: "OTLP over gRPC", feature: "otel-grpc" });
    }
    let lookup = |name| {
        Ok(match name {
            // What is said of both was decided above.
            EXPORTER => None,
            SAMPLER => Some(traces.sampler.clone()),
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL" => Some(traces.protocol.clone()),
            name if name.ends_with("_ENDPOINT") => settings.get(name).map(|to| with_scheme(to).into_owned()),
            name => settings.get(name).map(str::to_owned),
        })
    };
    Ok(Some(throughline_otel::Otlp::from_lookup(&lookup)?))
}

/// What OTel's variable says, or else `TRACING_ENABLED`, or else that there is an endpoint.
fn is_on(settings: &Settings) -> bool {
    !settings.is_disabled()
        && exporter_is_on(settings)
            .or_else(|| settings.switch(ENABLED))
            .unwrap_or_else(|| endpoint(settings).is_some())
}

fn exporter_is_on(settings: &Settings) -> Option<bool> {
    Some(settings.get(EXPORTER)?.split(',').any(|exporter| exporter.trim() == "otlp"))
}

/// Variables that say the opposite of each other.
pub(super) fn contradictions(settings: &Settings) -> Option<String> {
    let (switch, on) = (settings.switch(ENABLED)?, exporter_is_on(settings)?);
    (switch != on).then(|| {
        let value = settings.get(EXPORTER).unwrap_or_default();
        format!("{ENABLED}={switch} is ignored: {EXPORTER}={value} takes precedence; unset one of them")
    })
}
