use std::io::Write as _;

use super::*;
use crate::config::{ConfigError, ObservabilityConfig};

fn with(text: &str, set: &[(&str, &str)]) -> Result<ObservabilityConfig, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let builder = ObservabilityConfig::builder().set(CONFIG_FILE, file.path().to_str().unwrap());
    set.iter().fold(builder, |builder, (name, value)| builder.set(*name, *value)).build()
}

const ALL: &str = r#"
file_format: "1.0"
disabled: false
attribute_limits: { attribute_value_length_limit: 128 }
resource:
  attributes:
    - { name: service.name, value: "${OTEL_SERVICE_NAME:-loans}" }
    - { name: team, value: "credit, risk", type: string }
  attributes_list: deployment.environment.name=prod
propagator:
  composite: [{ tracecontext: }, { baggage: }]
  composite_list: b3,baggage
tracer_provider:
  processors:
    - batch:
        schedule_delay: 200
        export_timeout: 3000
        max_queue_size: 100
        max_export_batch_size: 64
        exporter:
          otlp_http:
            endpoint: https://traces:4318/v1/traces
            tls: { ca_file: /etc/ca.pem }
            headers: [{ name: api-key, value: "${SENTRY_DSN}" }]
            compression: gzip
            timeout: 1500
  sampler:
    parent_based:
      root:
        trace_id_ratio_based: { ratio: 0.25 }
meter_provider:
  readers:
    - periodic: { interval: 15000, exporter: { otlp_grpc: { endpoint: "http://metrics:4317" } } }
    - pull: { exporter: { prometheus/development: { host: 127.0.0.1, port: 9090 } } }
logger_provider:
  processors:
    - batch: { schedule_delay: 7, exporter: { otlp_http: } }
"#;

#[test]
fn the_keys_of_the_file_stand_for_variables() {
    let dsn = "https://key@sentry.example/7";
    let config = with(ALL, &[("SENTRY_DSN", dsn)]).unwrap();
    assert_eq!(config.warnings(), [""; 0]);
    assert_eq!(config.service(), "loans");
    for (name, value) in [
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "128"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod,team=credit%2C%20risk"),
        ("OTEL_PROPAGATORS", "tracecontext,baggage,b3"),
        ("OTEL_TRACES_EXPORTER", "otlp"),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces:4318/v1/traces"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "api-key=https://key@sentry.example/7"),
        ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "/etc/ca.pem"),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_METRICS_EXPORTER", "otlp,prometheus"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "15000"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "9090"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_BLRP_SCHEDULE_DELAY", "7"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://localhost:4318/v1/logs"),
    ] {
        assert_eq!(config.settings.get(name), Some(value), "{name}");
        assert_eq!(config.settings.set_by(name), Some(CONFIG_FILE));
    }
    let traces = config.traces().unwrap();
    assert_eq!((traces.ratio, traces.timeout.as_millis()), (0.25, 1500));
    assert!(!format!("{config:?}").contains("key@"), "{config:?}");
}

#[test]
fn what_the_file_leaves_out_is_off_and_what_the_environment_says_of_it_is_ignored_with_a_warning() {
    let set = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"), ("METRICS_PORT", "9090")];
    let config = with("file_format: '1.0'\n", &set).unwrap();
    assert!(config.traces().is_none());
    let [warning] = config.warnings() else { panic!("{:?}", config.warnings()) };
    assert!(warning.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT=http://all:4318 is ignored"), "{warning}");
    let both = with(ALL, &[("SENTRY_DSN", "https://k@h/7"), ("OTEL_TRACES_SAMPLER", "always_off")]).unwrap();
    assert_eq!(both.traces().unwrap().sampler, "parentbased_traceidratio");
    assert_eq!(both.warnings().len(), 1, "{:?}", both.warnings());
}

#[test]
fn the_environment_turns_everything_off_whatever_the_file_says() {
    for text in ["file_format: '1.0'\n", "file_format: '1.0'\ndisabled: false\n"] {
        let off = with(text, &[("OTEL_SDK_DISABLED", "True")]).unwrap();
        assert!(off.is_disabled() && off.warnings().is_empty(), "{:?}", off.warnings());
    }
    // The file alone says that it is on again.
    let off = with("file_format: '1.0'\ndisabled: true\n", &[("OTEL_SDK_DISABLED", "false")]).unwrap();
    assert!(off.is_disabled());
    assert_eq!(off.warnings().len(), 1, "{:?}", off.warnings());
}

#[test]
fn keys_that_are_not_known_are_warned_of_with_their_place() {
    let text = "file_format: '1.0'\nlog_level: debug\ntracer_provider:\n  processors:\n    - batch:\n        \
                retries: 3\n        exporter: { console: }\n    - simple: { exporter: { zipkin: } }\n";
    let config = with(text, &[]).unwrap();
    let said = config.warnings().join("\n");
    for place in [
        "log_level",
        "tracer_provider.processors[0].batch.retries",
        "tracer_provider.processors[1].simple.exporter.zipkin",
    ] {
        assert!(said.contains(&format!("{place} in OTEL_CONFIG_FILE=")), "{place}: {said}");
    }
    assert!(said.contains("console in OTEL_TRACES_EXPORTER=console is not supported"), "{said}");
}

#[test]
fn what_is_wrong_is_said_at_once_with_its_place_and_what_it_may_be_and_without_secrets() {
    let text = "file_format: '0.1'\ntracer_provider:\n  sampler: { trace_id_ratio_based: { ratio: 2 } }\n  \
                processors: { batch: }\nresource: loans\nmeter_provider:\n  readers:\n    - periodic:\n        \
                interval: ${1}\n        exporter: { otlp_http: { headers_list: hunter2 } }\n";
    let error = with(text, &[]).unwrap_err().to_string();
    for said in [
        ": file_format=0.1: expected \"1.0\"",
        "sampler.trace_id_ratio_based.ratio=2: expected a number from 0 to 1",
        "tracer_provider.processors in OTEL_CONFIG_FILE=",
        "resource in OTEL_CONFIG_FILE=",
        "meter_provider.readers[0].periodic.interval in OTEL_CONFIG_FILE=",
        "otlp_http.headers (a secret of 7 characters): expected headers",
    ] {
        assert!(error.contains(said), "{said} in {error}");
    }
    assert!(!error.contains("hunter2"), "{error}");
    let error = with("a: [", &[]).unwrap_err().to_string();
    assert!(error.contains("expected a file in YAML"), "{error}");
    let missing = ObservabilityConfig::builder().set(CONFIG_FILE, "/nowhere/otel.yaml").build();
    let missing = missing.unwrap_err().to_string();
    assert!(
        missing.contains("OTEL_CONFIG_FILE=/nowhere/otel.yaml: expected the path of a file"),
        "{missing}"
    );
}

#[test]
fn variables_stand_for_what_they_are_set_to() {
    let variable = |name: &str| match name {
        "SET" => Some("value".to_owned()),
        "EMPTY" => Some(String::new()),
        "DOLLAR" => Some("${SET}".to_owned()),
        _ => None,
    };
    for (text, expected) in [
        ("plain", Some("plain")),
        ("a${SET}b${env:SET}c", Some("avaluebvaluec")),
        ("${UNSET}", Some("")),
        ("${UNSET:-default}", Some("default")),
        ("${EMPTY:-http://x:1}", Some("http://x:1")),
        ("${SET:-default}", Some("value")),
        ("$${SET} $$ $5", Some("${SET} $ $5")),
        ("${DOLLAR}", Some("${SET}")),
        ("${", None),
        ("${}", None),
        ("${1A}", None),
        ("${A B}", None),
        ("${A:default}", None),
    ] {
        assert_eq!(substituted(text, &variable).as_deref(), expected, "{text}");
    }
}
