//! What the environment says, by the names that operators know: `OTEL_*`.

use std::collections::BTreeMap;
use std::time::Duration;

use throughline_core::env::otlp::{self, ALL, Batches, LOG_RECORDS, LOGS, METRICS, SPANS, TRACES};
use throughline_core::env::{self, EXPORTERS, EnvError, has_exporter, variable};

use crate::config::{Batching, Exceptions, Otlp, Protocol, Signal};
use crate::sampler::Sampler;

impl Otlp {
    /// What the [environment](https://opentelemetry.io/docs/specs/otel/protocol/exporter/) says, and for all that it does not say
    /// the defaults of [`new`](Self::new).
    ///
    /// Read are `OTEL_EXPORTER_OTLP_ENDPOINT`, `_PROTOCOL`, `_HEADERS`, `_COMPRESSION`, `_TIMEOUT` and `_CERTIFICATE`, each for all
    /// signals or for one, as in `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `…_LOGS_…` and `…_METRICS_…`;
    /// `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_EXPORTER`, `OTEL_LOGS_EXPORTER`, `OTEL_METRICS_EXPORTER`, `OTEL_TRACES_SAMPLER` and
    /// `OTEL_TRACES_SAMPLER_ARG`, `OTEL_BSP_SCHEDULE_DELAY`, `OTEL_BSP_MAX_EXPORT_BATCH_SIZE`, `OTEL_BSP_MAX_QUEUE_SIZE`,
    /// `OTEL_BSP_EXPORT_TIMEOUT` and the same of log lines as `OTEL_BLRP_…`, `OTEL_METRIC_EXPORT_INTERVAL`,
    /// `OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT` and `OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN`.
    ///
    /// With `OTEL_TRACES_EXPORTER=none` no traces are exported; services that are called are not told so, and may export theirs.
    /// With `OTEL_LOGS_EXPORTER=none` neither log records nor log lines are exported, and no metrics where
    /// `OTEL_METRICS_EXPORTER` names others than `otlp`. If these variables are not set and only traces have an endpoint, only
    /// traces are exported. A timeout of 0 means that there is none.
    ///
    /// # Errors
    /// When a variable has a value that it can't have. Values that may be secret are not in the message.
    pub fn from_env() -> Result<Self, EnvError> {
        Self::from_lookup(&variable)
    }

    /// The same of variables that are kept elsewhere: `lookup` answers with the value of each that is set.
    ///
    /// # Errors
    /// Those of [`from_env`](Self::from_env), and those of `lookup`.
    pub fn from_lookup(
        lookup: &dyn Fn(&'static str) -> Result<Option<String>, EnvError>,
    ) -> Result<Self, EnvError> {
        let mut otlp = Self::new();
        signal(lookup, &TRACES, &mut otlp.traces)?;
        signal(lookup, &LOGS, &mut otlp.logs)?;
        signal(lookup, &METRICS, &mut otlp.metrics)?;
        if let Some(list) = lookup("OTEL_RESOURCE_ATTRIBUTES")? {
            otlp.resource = pairs("OTEL_RESOURCE_ATTRIBUTES", &list)?;
        }
        // Counted in spans there, in events here; a span has two at least.
        batching(lookup, &SPANS, &mut otlp.batching, 2)?;
        batching(lookup, &LOG_RECORDS, &mut otlp.lines, 1)?;
        let number = |name| number(lookup, name);
        if let Some(millis) = number("OTEL_METRIC_EXPORT_INTERVAL")? {
            otlp.interval = Duration::from_millis(millis.max(1));
        }
        if let Some(limit) = number("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT")? {
            otlp.value_limit = as_usize(limit);
        }
        if let Some(opted) = lookup("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN")? {
            otlp.exceptions = exceptions(&opted)?;
        }
        otlp.sampler = sampler(lookup)?;
        otlp.is_off = is_exported(lookup, TRACES.exporter)? == Some(false);
        otlp.log_records = match is_exported(lookup, LOGS.exporter)? {
            Some(is_exported) => is_exported,
            // Nobody said where to.
            None if lookup(TRACES.collector.endpoint)?.is_some() => {
                one_of(lookup, [LOGS.collector.endpoint, ALL.endpoint])?.is_some()
            }
            None => true,
        };
        otlp.has_no_metrics = is_exported(lookup, METRICS.exporter)? == Some(false);
        Ok(otlp)
    }
}

/// How variables are read.
pub(crate) type Lookup<'l> = &'l dyn Fn(&'static str) -> Result<Option<String>, EnvError>;

/// The first of these that is set, and its name.
fn one_of(lookup: Lookup<'_>, names: [&'static str; 2]) -> Result<Option<(&'static str, String)>, EnvError> {
    for name in names {
        if let Some(value) = lookup(name)? {
            return Ok(Some((name, value)));
        }
    }
    Ok(None)
}

fn protocol_of((name, value): &(&'static str, String)) -> Result<Protocol, EnvError> {
    match &**value {
        "http/protobuf" => Ok(Protocol::Http),
        #[cfg(feature = "grpc")]
        "grpc" => Ok(Protocol::Grpc),
        _ => Err(invalid(name, value, PROTOCOLS)),
    }
}

const PROTOCOLS: &str = if cfg!(feature = "grpc") {
    "http/protobuf or grpc"
} else {
    "http/protobuf; for grpc switch on the feature `grpc` of throughline-otel (`otel-grpc` of throughline)"
};

fn signal(lookup: Lookup<'_>, variables: &otlp::Signal, signal: &mut Signal) -> Result<(), EnvError> {
    let names = &variables.collector;
    let endpoint = one_of(lookup, [names.endpoint, ALL.endpoint])?;
    signal.protocol = match one_of(lookup, [names.protocol, ALL.protocol])? {
        Some(protocol) => protocol_of(&protocol)?,
        None => match &endpoint {
            Some((name, endpoint)) => protocol_of(&(name, otlp::protocol_at(endpoint).to_owned()))?,
            None => Protocol::Http,
        },
    };
    match endpoint {
        Some((name, endpoint)) => {
            let uri = endpoint.parse::<http::Uri>().ok();
            let is_address =
                |uri: http::Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
            if !uri.is_some_and(is_address) {
                return Err(secretive(name, "an address as in http://collector:4318"));
            }
            // The address of one signal is used as it is, that of all is what paths are added to.
            if name == ALL.endpoint {
                signal.below(&endpoint, variables.path);
            } else {
                signal.endpoint = endpoint;
            }
        }
        None => signal.below(otlp::default_endpoint(signal.protocol.name()), variables.path),
    }
    #[cfg(feature = "tls")]
    if let Some((name, path)) = one_of(lookup, [names.certificate, ALL.certificate])? {
        let pem = std::fs::read(path);
        signal.certificate = Some(pem.map_err(|source| EnvError::Unreadable { name, source })?);
    }
    if let Some((name, list)) = one_of(lookup, [names.headers, ALL.headers])? {
        signal.headers = pairs(name, &list)?;
        let is_header = |(name, value): (&String, &String)| {
            name.parse::<http::HeaderName>().is_ok() && value.parse::<http::HeaderValue>().is_ok()
        };
        if !signal.headers.iter().all(is_header) {
            return Err(secretive(name, PAIRS));
        }
    }
    if let Some((name, compression)) = one_of(lookup, [names.compression, ALL.compression])? {
        signal.gzip = match &*compression {
            "gzip" => true,
            "none" => false,
            _ => return Err(invalid(name, &compression, "gzip or none")),
        };
    }
    if let Some((name, _)) = one_of(lookup, [names.timeout, ALL.timeout])?
        && let Some(millis) = number(lookup, name)?
    {
        signal.timeout = time_limit(millis);
    }
    Ok(())
}

/// `weight` is how many are counted for one that waits.
fn batching(
    lookup: Lookup<'_>,
    names: &Batches,
    batching: &mut Batching,
    weight: usize,
) -> Result<(), EnvError> {
    if let Some(millis) = number(lookup, names.schedule_delay)? {
        batching.delay = Duration::from_millis(millis);
    }
    if let Some(count) = number(lookup, names.max_export_batch_size)? {
        batching.spans = as_usize(count).max(1);
    }
    if let Some(count) = number(lookup, names.max_queue_size)? {
        batching.capacity = as_usize(count).saturating_mul(weight).max(1);
    }
    if let Some(millis) = number(lookup, names.export_timeout)? {
        batching.patience = time_limit(millis);
    }
    Ok(())
}

const PAIRS: &str = "a list as in key1=value1,key2=value2, percent-encoded where a value has a comma in it";

/// `key1=value1,key2=value2`, as in baggage.
fn pairs(name: &'static str, list: &str) -> Result<BTreeMap<String, String>, EnvError> {
    let pairs = env::pairs(list).ok_or_else(|| secretive(name, PAIRS))?;
    Ok(pairs.into_iter().collect())
}

fn exceptions(opted: &str) -> Result<Exceptions, EnvError> {
    let opted: Vec<_> = opted.split(',').map(str::trim).collect();
    if opted.contains(&"logs/dup") {
        Ok(Exceptions::Both)
    } else if opted.contains(&"logs") {
        Ok(Exceptions::LogRecords)
    } else {
        Err(invalid("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", &opted.join(","), "logs or logs/dup"))
    }
}

fn sampler(lookup: Lookup<'_>) -> Result<Sampler, EnvError> {
    const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
    let ratio = || match lookup(ARGUMENT)? {
        None => Ok(1.0),
        Some(text) => match text.parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(ratio),
            _ => Err(invalid(ARGUMENT, &text, "a number from 0 to 1")),
        },
    };
    match lookup("OTEL_TRACES_SAMPLER")?.as_deref() {
        None | Some("parentbased_always_on") => Ok(Sampler::ParentBasedAlwaysOn),
        Some("parentbased_always_off") => Ok(Sampler::ParentBasedAlwaysOff),
        Some("parentbased_traceidratio") => Ok(Sampler::ParentBasedRatio(ratio()?)),
        Some("always_on") => Ok(Sampler::AlwaysOn),
        Some("always_off") => Ok(Sampler::AlwaysOff),
        Some("traceidratio") => Ok(Sampler::Ratio(ratio()?)),
        Some(other) => Err(invalid("OTEL_TRACES_SAMPLER", other, SAMPLERS)),
    }
}

const SAMPLERS: &str = "always_on, always_off or traceidratio, each also as in parentbased_always_on";

/// Whether a signal is exported, if that is said.
fn is_exported(lookup: Lookup<'_>, name: &'static str) -> Result<Option<bool>, EnvError> {
    let Some(list) = lookup(name)? else { return Ok(None) };
    // Metrics have one more, which is none of this exporter's.
    let is_known =
        |word: &str| EXPORTERS.contains(&word) || (name == METRICS.exporter && word == "prometheus");
    if !list.split(',').map(str::trim).all(is_known) {
        let expected = match name == METRICS.exporter {
            true => "some of otlp, prometheus, console, none, with commas between them",
            false => "some of otlp, console, none, with commas between them",
        };
        return Err(invalid(name, &list, expected));
    }
    if has_exporter(&list, "console") {
        tracing::warn!(target: "throughline", "console in {name}={list} is not supported: only otlp exports anything");
    }
    Ok(Some(has_exporter(&list, "otlp")))
}

/// As OpenTelemetry has it, 0 is none.
fn time_limit(millis: u64) -> Duration {
    if millis == 0 { Duration::MAX } else { Duration::from_millis(millis) }
}

fn number(lookup: Lookup<'_>, name: &'static str) -> Result<Option<u64>, EnvError> {
    let Some(text) = lookup(name)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| invalid(name, &text, "a whole number that is not negative"))
}

fn as_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn invalid(name: &'static str, value: &str, expected: &'static str) -> EnvError {
    EnvError::Invalid { name, value: value.chars().take(64).collect(), expected }
}

/// For a value that may be or hold a secret.
fn secretive(name: &'static str, expected: &'static str) -> EnvError {
    EnvError::Invalid { name, value: "(not shown)".to_owned(), expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(set: &[(&'static str, &str)]) -> Result<Otlp, String> {
        let lookup = |name: &'static str| {
            Ok(set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        };
        Otlp::from_lookup(&lookup).map_err(|error| error.to_string())
    }

    #[test]
    fn without_variables_it_is_the_default() {
        let otlp = read(&[]).unwrap();
        assert_eq!(otlp.traces.endpoint, "http://localhost:4318/v1/traces");
        assert_eq!(otlp.logs.endpoint, "http://localhost:4318/v1/logs");
        assert_eq!((otlp.traces.protocol, otlp.sampler), (Protocol::Http, Sampler::ParentBasedAlwaysOn));
    }

    #[test]
    fn paths_are_added_to_the_address_of_all_signals_and_not_to_that_of_one() {
        let otlp = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/base/"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:9/exactly/here"),
        ])
        .unwrap();
        assert_eq!(otlp.traces.endpoint, "http://traces:9/exactly/here");
        assert_eq!(otlp.logs.endpoint, "http://collector:4318/base/v1/logs");
    }

    #[test]
    fn log_records_are_sent_where_they_are_wanted_and_somebody_is_known_who_takes_them() {
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318");
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/v1/traces");
        let logs = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:4318/v1/logs");
        let (on, off) = (("OTEL_LOGS_EXPORTER", "otlp"), ("OTEL_LOGS_EXPORTER", " none"));
        for (set, expected) in [
            (&[][..], true),
            (&[all], true),
            (&[logs], true),
            (&[traces], false),
            (&[traces, all], true),
            (&[traces, logs], true),
            (&[traces, on], true),
            (&[off], false),
            (&[all, off], false),
            (&[logs, off], false),
        ] {
            assert_eq!(read(set).unwrap().log_records, expected, "{set:?}");
        }
    }

    #[test]
    fn a_signal_is_exported_where_otlp_is_among_the_exporters_that_are_named() {
        for (list, expected) in [
            ("otlp", true),
            ("otlp, console", true),
            ("console,otlp", true),
            ("console", false),
            ("none", false),
            (" none ", false),
        ] {
            let otlp = read(&[("OTEL_TRACES_EXPORTER", list)]).unwrap();
            assert_eq!(!otlp.is_off, expected, "{list}");
            assert_eq!(read(&[("OTEL_LOGS_EXPORTER", list)]).unwrap().log_records, expected, "{list}");
            let otlp = read(&[("OTEL_METRICS_EXPORTER", list)]).unwrap();
            assert_eq!(!otlp.has_no_metrics, expected, "{list}");
        }
        assert!(read(&[("OTEL_METRICS_EXPORTER", "prometheus")]).unwrap().has_no_metrics);
    }

    #[test]
    fn a_time_limit_of_zero_is_none() {
        let otlp = read(&[("OTEL_EXPORTER_OTLP_TIMEOUT", "0"), ("OTEL_BSP_EXPORT_TIMEOUT", "0")]).unwrap();
        assert_eq!((otlp.traces.timeout, otlp.logs.timeout), (Duration::MAX, Duration::MAX));
        assert_eq!(otlp.batching.patience, Duration::MAX);
    }

    #[cfg(feature = "grpc")]
    #[test]
    fn grpc_has_a_port_of_its_own_and_no_paths() {
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        assert_eq!(read(&[grpc]).unwrap().traces.endpoint, "http://localhost:4317");
        let mixed = read(&[grpc, ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "http/protobuf")]).unwrap();
        assert_eq!(mixed.metrics.endpoint, "http://localhost:4318/v1/metrics");
        let of_its_port = read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")]).unwrap();
        assert_eq!(
            (of_its_port.traces.protocol, of_its_port.metrics.protocol),
            (Protocol::Grpc, Protocol::Grpc)
        );
        let otlp = read(&[grpc, ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")]).unwrap();
        assert_eq!((otlp.logs.protocol, &*otlp.logs.endpoint), (Protocol::Grpc, "http://collector:4317"));
    }

    #[test]
    fn the_variable_of_a_signal_wins() {
        let otlp = read(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k%2C1, tenant=acme"),
            ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "api-key=other"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "none"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ("OTEL_EXPORTER_OTLP_LOGS_TIMEOUT", "20"),
        ])
        .unwrap();
        assert_eq!((&*otlp.traces.headers["api-key"], &*otlp.traces.headers["tenant"]), ("k,1", "acme"));
        assert_eq!((otlp.logs.headers.len(), &*otlp.logs.headers["api-key"]), (1, "other"));
        assert_eq!((otlp.traces.gzip, otlp.logs.gzip), (false, true));
        let timeouts = (otlp.traces.timeout, otlp.logs.timeout);
        assert_eq!(timeouts, (Duration::from_millis(1500), Duration::from_millis(20)));
    }

    #[test]
    fn what_is_batched_cut_and_sampled_can_be_set() {
        let otlp = read(&[
            ("OTEL_BSP_SCHEDULE_DELAY", "200"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "64"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "80"),
            ("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "http, logs/dup"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,team=credit%20risk"),
        ])
        .unwrap();
        let batching = otlp.batching;
        assert_eq!(
            (batching.delay, batching.spans, batching.capacity),
            (Duration::from_millis(200), 64, 200)
        );
        assert_eq!((otlp.value_limit, otlp.exceptions), (80, Exceptions::Both));
        assert_eq!(otlp.sampler, Sampler::ParentBasedRatio(0.25));
        assert_eq!(otlp.resource["team"], "credit risk");
        let otlp =
            read(&[("OTEL_BLRP_SCHEDULE_DELAY", "7"), ("OTEL_METRIC_EXPORT_INTERVAL", "15000")]).unwrap();
        assert_eq!((otlp.lines.delay, otlp.interval), (Duration::from_millis(7), Duration::from_secs(15)));
    }

    #[test]
    fn a_value_that_cannot_be_is_named_with_what_may_be_and_no_secret_is_shown() {
        for (name, value, expected) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli", "gzip or none"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "a whole number"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "-1", "a whole number"),
            ("OTEL_TRACES_SAMPLER", "sometimes", "always_on"),
            ("OTEL_TRACES_EXPORTER", "jaeger", "some of otlp, console, none"),
            ("OTEL_TRACES_EXPORTER", "otlp,jaeger", "some of otlp, console, none"),
            ("OTEL_LOGS_EXPORTER", "stdout", "some of otlp, console, none"),
            ("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "spans", "logs or logs/dup"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.contains(&format!("{name}={value}")) && error.contains(expected), "{error}");
        }
        let ratio = [("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")];
        assert!(
            read(&ratio).unwrap_err().contains("OTEL_TRACES_SAMPLER_ARG=2: expected a number from 0 to 1")
        );
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key hunter2"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2%zz"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2%+1"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2%f"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2%ff"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api key=hunter2"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "=hunter2"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://hunter2@collector"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "hunter2"),
        ] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
        }
        let shown = read(&[
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/hunter2"),
        ]);
        let shown = format!("{:?}", shown.unwrap());
        assert!(shown.contains("http://collector:4318") && !shown.contains("hunter2"), "{shown}");
    }
}
