use std::collections::BTreeMap;

use super::*;

type Pairs<'a> = &'a [(&'a str, &'a str)];

fn config(set: Pairs<'_>) -> Result<ObservabilityConfig, ConfigError> {
    set.iter()
        .fold(ObservabilityConfig::builder(), |builder, (name, value)| builder.set(*name, *value))
        .build()
}

/// A value that each kind accepts, another one, and one that it does not accept, if there is one.
fn examples(kind: Kind) -> (String, String, Option<&'static str>) {
    let (one, other, wrong) = match kind {
        Kind::Switch => ("true", "0", Some("perhaps")),
        Kind::StandardSwitch => ("false", "no", None),
        Kind::Port => ("9464", "0", Some("http")),
        Kind::Count => ("512", "1", Some("0")),
        Kind::Millis => ("5000", "0", Some("5s")),
        Kind::Ratio => ("0.25", "1", Some("1.5")),
        Kind::Text => ("one", "another", None),
        Kind::Path => ("/etc/one", "two", None),
        Kind::Endpoint => ("https://collector.example/v1", "localhost:4317", Some("localhost")),
        Kind::Pairs => ("a=1,b=2", "a=", Some("a")),
        Kind::OneOf(words) => (words[0], words[1], Some("other")),
        Kind::SomeOf(words) => return (words.join(", "), words[0].to_owned(), Some("other")),
        Kind::Levels => ("info,hyper=warn", "OFF", Some("info,[span]=warn")),
        Kind::LogOutput => ("file:/var/log/loans.jsonl", "stderr", Some("file:")),
        Kind::Store => ("sqlite:traces.db", "postgres://localhost/audit", Some("mysql://host/db")),
        Kind::Feed => ("redis://127.0.0.1/", "rediss://host/", Some("http://host/")),
        Kind::Dsn => {
            ("https://key@sentry.example/7", "http://key@localhost:9000/1", Some("https://sentry.example/7"))
        }
    };
    (one.to_owned(), other.to_owned(), wrong)
}

fn shown(config: &ObservabilityConfig) -> BTreeMap<&'static str, (&'static str, String)> {
    config.shown().map(|(name, by, shape)| (name, (by, shape))).collect()
}

#[test]
fn each_variable_is_read_by_each_of_its_names() {
    for (_, variable) in variables() {
        let (one, other, _) = examples(variable.kind);
        for name in std::iter::once(&variable.name).chain(variable.aliases) {
            for value in [&one, &other] {
                let config = config(&[(name, value)]).unwrap();
                assert_eq!(config.settings.get(variable.name), Some(value.as_str()), "{name}={value}");
                assert_eq!(config.settings.set_by(variable.name), Some(*name));
            }
        }
    }
}

#[test]
fn the_standard_name_wins_and_a_clash_is_warned_of() {
    for (_, variable) in variables() {
        let (one, other, _) = examples(variable.kind);
        for alias in variable.aliases {
            let both = config(&[(alias, &other), (variable.name, &one)]).unwrap();
            assert_eq!(both.settings.get(variable.name), Some(one.as_str()));
            let [warning] = both.warnings() else { panic!("{alias}: {:?}", both.warnings()) };
            assert!(warning.starts_with(*alias) && warning.contains("is ignored"), "{warning}");
            assert!(warning.contains(&format!("{}=", variable.name)), "{warning}");
            // Both say the same: nothing to warn of.
            assert_eq!(config(&[(alias, &one), (variable.name, &one)]).unwrap().warnings(), [""; 0]);
        }
    }
}

#[test]
fn a_malformed_value_is_an_error_that_says_what_is_expected() {
    for (_, variable) in variables() {
        let (_, _, Some(wrong)) = examples(variable.kind) else { continue };
        for name in std::iter::once(&variable.name).chain(variable.aliases) {
            let error = config(&[(name, wrong)]).unwrap_err();
            let [problem] = error.problems.as_slice() else { panic!("{name}: {error}") };
            assert_eq!(problem.variable, **name);
            assert_eq!(problem.expected, variable.kind.expected());
        }
    }
}

#[test]
fn a_secret_is_shown_by_nothing() {
    const CANARY: &str = "hunter2";
    let values = |kind| match kind {
        Kind::Store => ["postgres://user:hunter2@host/db", "mysql:hunter2"],
        Kind::Feed => ["redis://:hunter2@host/", "http://hunter2"],
        Kind::Pairs => ["api-key=hunter2", "hunter2"],
        Kind::Dsn => ["https://hunter2@host/1", "hunter2"],
        Kind::Text => ["hunter2 of sixteen bytes", "hunter2"],
        kind => panic!("{kind:?} is no kind of a secret yet"),
    };
    for (_, variable) in variables().filter(|(_, variable)| variable.is_secret) {
        for value in values(variable.kind) {
            let said = match config(&[(variable.name, value)]) {
                Ok(config) => {
                    let more = (config.traces(), config.sentry(), config.store());
                    format!("{config:?} {:?} {more:?}", config.shown().collect::<Vec<_>>())
                }
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!said.contains(CANARY), "{}: {said}", variable.name);
            assert!(said.contains(variable.name), "{said}");
        }
    }
    // A password where none was expected.
    let error = config(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:hunter2@host/")]).unwrap_err();
    assert!(!error.to_string().contains(CANARY), "{error}");
    let with_password = config(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter2@host:4318/")]).unwrap();
    assert!(!format!("{with_password:?} {:?}", with_password.traces()).contains(CANARY));
    let builder = ObservabilityConfig::builder().set("SENTRY_DSN", CANARY);
    assert!(!format!("{builder:?}").contains(CANARY));
}

#[test]
fn all_errors_are_said_at_once_and_nothing_is_wrong_where_everything_is_off() {
    let wrong = [("METRICS_PORT", "http"), ("RUST_LOG", "hyper=loud"), ("THROUGHLINE_STOER", "x")];
    let error = config(&wrong).unwrap_err();
    let variables: Vec<_> = error.problems.iter().map(|problem| problem.variable.as_str()).collect();
    assert_eq!(variables, ["THROUGHLINE_STOER", "METRICS_PORT", "RUST_LOG"]);
    let off = config(&[&wrong[..2], &[("OTEL_SDK_DISABLED", "TRUE")]].concat()).unwrap();
    assert!(off.is_disabled() && off.metrics().is_none() && off.traces().is_none() && off.sentry().is_none());
}

#[test]
fn what_is_shown_of_a_value_controls_no_terminal_and_is_short() {
    let long = format!("\x1b[31m{}", "x".repeat(100));
    let config = config(&[("OTEL_SERVICE_NAME", &long)]).unwrap();
    let (_, shape) = &shown(&config)["OTEL_SERVICE_NAME"];
    assert!(shape.starts_with("=\\u{1b}[31m") && shape.ends_with("x…"), "{shape}");
}

#[test]
fn metrics_are_served_as_they_were_before_by_either_kind_of_name() {
    let cases: [(Pairs<'_>, Option<(&str, u16)>); 11] = [
        (&[], None),
        (&[("METRICS_ENABLED", "true")], Some(("localhost", 9464))),
        (&[("METRICS_PORT", "9090")], Some(("localhost", 9090))),
        (&[("OTEL_EXPORTER_PROMETHEUS_PORT", "9000")], Some(("localhost", 9000))),
        (&[("METRICS_PORT", "9090"), ("OTEL_EXPORTER_PROMETHEUS_PORT", "9000")], Some(("localhost", 9000))),
        (&[("METRICS_PORT", "9090"), ("OTEL_EXPORTER_PROMETHEUS_HOST", "[::]")], Some(("::", 9090))),
        (&[("METRICS_PORT", "9090"), ("METRICS_ENABLED", "FALSE")], None),
        (
            &[("METRICS_ENABLED", "false"), ("OTEL_EXPORTER_PROMETHEUS_PORT", "9000")],
            Some(("localhost", 9000)),
        ),
        (&[("OTEL_METRICS_EXPORTER", "prometheus")], Some(("localhost", 9464))),
        (&[("OTEL_METRICS_EXPORTER", "none"), ("METRICS_PORT", "9090")], None),
        (&[("METRICS_PORT", "9090"), ("OTEL_SDK_DISABLED", "true")], None),
    ];
    for (set, expected) in cases {
        let metrics = config(set).unwrap().metrics().map(|metrics| (metrics.host, metrics.port));
        assert_eq!(metrics.as_ref().map(|(host, port)| (host.as_str(), *port)), expected, "{set:?}");
    }
}

#[test]
fn switches_that_contradict_a_standard_are_warned_of() {
    for (set, ignored) in [
        (
            [("METRICS_ENABLED", "false"), ("OTEL_EXPORTER_PROMETHEUS_PORT", "9000")],
            "METRICS_ENABLED=false is ignored",
        ),
        ([("METRICS_ENABLED", "true"), ("OTEL_METRICS_EXPORTER", "none")], "METRICS_ENABLED=true is ignored"),
        ([("TRACING_ENABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")], "TRACING_ENABLED=true is ignored"),
        (
            [("TRACING_ENABLED", "false"), ("OTEL_TRACES_EXPORTER", "otlp")],
            "TRACING_ENABLED=false is ignored",
        ),
        ([("OTEL_SERVICE_NAME", "a"), ("OTEL_RESOURCE_ATTRIBUTES", "x=1,service.name=b")], "service.name=b"),
    ] {
        let config = config(&set).unwrap();
        let [warning] = config.warnings() else { panic!("{set:?}: {:?}", config.warnings()) };
        assert!(warning.starts_with(ignored), "{warning}");
    }
    assert_eq!(
        config(&[("METRICS_ENABLED", "false"), ("METRICS_PORT", "9000")]).unwrap().warnings(),
        [""; 0]
    );
}

#[test]
fn the_service_is_named_by_the_standard_the_resource_or_the_program() {
    let service = |set: Pairs<'_>| config(set).unwrap().service().to_owned();
    assert_eq!(service(&[("OTEL_RESOURCE_ATTRIBUTES", "a=1, service.name=loans")]), "loans");
    assert_eq!(service(&[("TRACING_SERVICE_NAME", "gorax")]), "gorax");
    assert!(service(&[]).starts_with("unknown_service:throughline"), "{}", service(&[]));
}

#[test]
fn traces_are_exported_as_either_kind_of_name_says() {
    let traces = |set: Pairs<'_>| config(set).unwrap().traces();
    assert_eq!(traces(&[]), None);
    assert_eq!(traces(&[("TRACING_ENABLED", "false"), ("TRACING_ENDPOINT", "localhost:4317")]), None);
    assert_eq!(traces(&[("OTEL_TRACES_EXPORTER", "none"), ("TRACING_ENDPOINT", "localhost:4317")]), None);
    let older = traces(&[
        ("TRACING_ENABLED", "true"),
        ("TRACING_ENDPOINT", "collector:4317"),
        ("TRACING_SAMPLE_RATE", "0.1"),
    ]);
    let older = older.unwrap();
    assert_eq!(older.address(), Some(("collector".to_owned(), 4317)));
    assert_eq!((older.sampler.as_str(), older.ratio), ("parentbased_traceidratio", 0.1));
    let standard = traces(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://[::1]/v1/traces"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=k, x=y=z"),
    ]);
    let standard = standard.unwrap();
    assert_eq!(standard.address(), Some(("::1".to_owned(), 443)));
    assert_eq!(
        (standard.protocol.as_str(), standard.sampler.as_str()),
        ("http/protobuf", "parentbased_always_on")
    );
    assert_eq!(standard.headers[1], ("x".to_owned(), "y=z".to_owned()));
}

#[test]
fn sentry_is_on_where_there_is_a_project_and_nobody_turns_it_off() {
    let sentry = |set: Pairs<'_>| config(set).unwrap().sentry();
    let dsn = ("SENTRY_DSN", "https://key@sentry.example/7");
    assert_eq!(sentry(&[("SENTRY_ENABLED", "true")]), None);
    assert_eq!(sentry(&[dsn, ("SENTRY_ENABLED", "false")]), None);
    let on = sentry(&[dsn, ("SENTRY_ENVIRONMENT", "staging"), ("SENTRY_SAMPLE_RATE", "0.5")]).unwrap();
    assert_eq!((on.environment.as_str(), on.sample_rate, on.traces_sample_rate), ("staging", 0.5, 0.0));
    assert_eq!(on.address(), Some(("sentry.example".to_owned(), 443)));
}

#[cfg(feature = "log")]
#[test]
fn levels_that_are_accepted_can_be_parsed() {
    for levels in [
        "info,hyper=warn",
        "OFF",
        "a::b",
        "",
        "debug,",
        "x=y",
        "loud",
        "very loud",
        "a=info,=warn",
        "[s]=info",
        "\"a\"=info",
        "3",
        "9",
        "x=5",
        "x=6",
        "x=",
        "my-crate",
        "Warn",
        "x=Trace",
        "::",
        "a=b=info",
    ] {
        let parsed = levels.parse::<throughline_log::Levels>();
        assert_eq!(Kind::Levels.accepts(levels), parsed.is_ok(), "{levels:?}: {parsed:?}");
    }
}

#[cfg(feature = "sqlite")]
#[test]
fn the_store_and_the_name_that_were_configured_are_those_of_the_emitter() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traces.db");
    let store = format!("sqlite:{}", path.display());
    let config = config(&[("THROUGHLINE_STORE", &store), ("OTEL_SERVICE_NAME", "loans")]).unwrap();
    let throughline = config.emitter().unwrap().build().unwrap();
    assert!(path.exists());
    assert!(format!("{throughline:?}").contains("loans"));
}
