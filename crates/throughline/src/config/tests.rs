use std::collections::BTreeMap;

use super::table::needs;
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
        Kind::Pairs => ("a=1,b=2%2C3", "a=", Some("a=%zz")),
        Kind::Headers => ("api-key=k%2C1, x=y=z", "a=", Some("api key=k")),
        Kind::OneOf(words) => (words[0], words[1], Some("other")),
        Kind::SomeOf(words) => return (words.join(", "), words[0].to_owned(), Some("other")),
        Kind::Propagation => ("b3, tracecontext", "none", Some("none,b3")),
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
    // A file that is named is read, which has tests of its own.
    for (_, variable) in variables().filter(|(_, variable)| variable.name != "OTEL_CONFIG_FILE") {
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
        Kind::Headers => ["api-key=hunter2", "hunter2"],
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
    let error = config(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter2@host:4318/")]).unwrap_err();
    assert!(!error.to_string().contains(CANARY) && error.to_string().contains("without a user"), "{error}");
    let builder = ObservabilityConfig::builder().set("SENTRY_DSN", CANARY);
    assert!(!format!("{builder:?}").contains(CANARY));
}

#[test]
fn a_token_where_none_is_expected_is_not_shown_either() {
    let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.dBjftJeZ4CVPmB92K27uhbUJU1p1r";
    for (name, value, shape) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:443/hunter2/v1", "=https://collector:443/…"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318/?key=hunter2", "=collector:4318/…"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://collector:4318/", "=http://collector:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/to://hunter2:1", "=http://collector:4318/…"),
        ("OTEL_RESOURCE_ATTRIBUTES", "team=credit, x-token=hunter2", "=team=…,x-token=…"),
        ("SENTRY_RELEASE", "loans@hunter2", " (a secret of 13 characters)"),
    ] {
        let config = config(&[(name, value)]).unwrap();
        assert_eq!(shown(&config)[name].1, shape);
        assert!(!format!("{config:?} {:?}", config.traces()).contains("hunter2"), "{name}");
    }
    let by_mistake = config(&[("OTEL_SERVICE_NAME", jwt)]).unwrap();
    assert!(!shown(&by_mistake)["OTEL_SERVICE_NAME"].1.contains("dBjft"));
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector/hunter2"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "hunter2"),
        ("OTEL_RESOURCE_ATTRIBUTES", "hunter2"),
        ("OTEL_RESOURCE_ATTRIBUTES", "x-token=hunter2%zz"),
    ] {
        let error = config(&[(name, value)]).unwrap_err();
        assert!(error.to_string().contains(name) && !error.to_string().contains("hunter2"), "{error}");
    }
    let set = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1/one-hunter2"),
        ("TRACING_ENDPOINT", "http://a:1/another-hunter2"),
    ];
    let clash = config(&set).unwrap();
    assert!(
        clash.warnings().len() == 1 && !clash.warnings()[0].contains("hunter2"),
        "{:?}",
        clash.warnings()
    );
}

#[test]
fn whatever_names_a_part_that_is_not_compiled_in_is_warned_of_with_its_feature() {
    // A file that is named has to be there.
    let is_file = |variable: &Variable| variable.name == "OTEL_CONFIG_FILE";
    for (area, variable, needs) in
        needs().filter(|(_, variable, needs)| !needs.is_empty() && !is_file(variable))
    {
        let (one, other, _) = examples(variable.kind);
        // Of two examples one may be what turns the part off.
        let names = std::iter::once(&variable.name).chain(variable.aliases);
        for name in names {
            let said = [&one, &other].map(|value| {
                let config = config(&[(name, value)]).unwrap();
                assert_eq!(vain::without_features(&config.settings, |_| true), [""; 0]);
                vain::without_features(&config.settings, |_| false)
            });
            let said = said.into_iter().find(|said| !said.is_empty()).unwrap_or_default();
            let [warning] = said.as_slice() else { panic!("{area}: {name}: {said:?}") };
            let is_named = needs.iter().all(|feature| warning.contains(&format!("`{feature}`")));
            assert!(warning.starts_with(*name) && is_named, "{warning}");
        }
    }
    let feed = config(&[
        ("THROUGHLINE_FEED", "redis://host/"),
        ("RUST_LOG", "info"),
        ("THROUGHLINE_LOG_FORMAT", "json"),
    ]);
    assert_eq!(
        vain::without_features(&feed.unwrap().settings, |_| false),
        [
            "RUST_LOG, THROUGHLINE_LOG_FORMAT have no effect without the feature `log` of `throughline`: switch it on, or unset the variables",
            "THROUGHLINE_FEED has no effect without the feature `redis` of `throughline`: switch it on, or unset the variable",
        ]
    );
}

#[test]
fn every_feature_that_a_variable_needs_is_one_of_this_crate() {
    let manifest = include_str!("../../Cargo.toml");
    for feature in needs().flat_map(|(_, _, needs)| needs) {
        assert!(manifest.contains(&format!("\n{feature} = [")), "{feature}");
        assert!(include_str!("vain.rs").contains(&format!("cfg!(feature = \"{feature}\")")), "{feature}");
    }
}

#[test]
fn nobody_is_warned_of_what_was_turned_off() {
    for set in [
        &[("OTEL_TRACES_EXPORTER", "none"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://host:4318")][..],
        &[("TRACING_ENABLED", "false"), ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/one")],
        &[("SENTRY_ENABLED", "false"), ("SENTRY_DSN", "https://key@sentry.example/7")],
        &[("METRICS_ENABLED", "false"), ("METRICS_PORT", "9090")],
        &[("OTEL_METRICS_EXPORTER", "none"), ("METRICS_PORT", "9090")],
        &[("THROUGHLINE_LOG_OUTPUT", "none"), ("RUST_LOG", "info")],
        &[("OTEL_SDK_DISABLED", "true"), ("THROUGHLINE_FEED", "redis://host/")],
    ] {
        let config = config(set).unwrap();
        assert_eq!(vain::without_features(&config.settings, |_| false), [""; 0], "{set:?}");
    }
}

#[test]
fn what_looks_like_the_switch_that_turns_everything_off_and_is_not_is_warned_of() {
    for value in ["1", "yes", "on"] {
        let config = config(&[("OTEL_SDK_DISABLED", value)]).unwrap();
        let warning = format!("OTEL_SDK_DISABLED={value} turns nothing off: by the standard, only true does");
        assert_eq!(config.warnings(), [warning]);
    }
    for value in ["true", "TRUE", "false", "False"] {
        assert_eq!(config(&[("OTEL_SDK_DISABLED", value)]).unwrap().warnings(), [""; 0], "{value}");
    }
}

#[test]
fn exporters_that_there_are_not_are_warned_of_by_name() {
    for (name, value, said) in [
        ("OTEL_TRACES_EXPORTER", "console", "console in OTEL_TRACES_EXPORTER=console is not supported"),
        (
            "OTEL_TRACES_EXPORTER",
            "otlp, console",
            "console in OTEL_TRACES_EXPORTER=otlp, console is not supported",
        ),
        ("OTEL_LOGS_EXPORTER", "console", "console in OTEL_LOGS_EXPORTER=console is not supported"),
        ("OTEL_METRICS_EXPORTER", "console", "console in OTEL_METRICS_EXPORTER=console is not supported"),
    ] {
        let config = config(&[(name, value)]).unwrap();
        let [warning] = config.warnings() else { panic!("{name}={value}: {:?}", config.warnings()) };
        assert!(warning.starts_with(said), "{warning}");
    }
    let error = config(&[("OTEL_TRACES_EXPORTER", "zipkin")]).unwrap_err().to_string();
    assert!(error.contains("OTEL_TRACES_EXPORTER=zipkin") && error.contains("otlp"), "{error}");
}

#[test]
fn log_records_go_where_their_collector_is_said_to_be_and_nowhere_else() {
    let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318");
    let traces = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4318/v1/traces");
    let logs = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://logs:4319/v1/logs");
    for (set, expected) in [
        (&[all][..], Some(("all", 4318))),
        (&[traces], None),
        (&[traces, logs], Some(("logs", 4319))),
        (&[traces, all], Some(("all", 4318))),
        (&[all, logs], Some(("logs", 4319))),
        (&[all, ("OTEL_LOGS_EXPORTER", "none")], None),
        (&[all, ("OTEL_LOGS_EXPORTER", "console")], None),
        (&[traces, ("OTEL_LOGS_EXPORTER", "otlp")], Some(("localhost", 4318))),
    ] {
        let found = config(set).unwrap().traces().unwrap().logs_address();
        assert_eq!(found, expected.map(|(host, port)| (host.to_owned(), port)), "{set:?}");
    }
}

#[cfg(feature = "sentry")]
#[test]
fn pseudonyms_of_sentry_are_made_with_the_key_of_the_environment() {
    let dsn = ("SENTRY_DSN", "https://key@sentry.example/7");
    let with = |set: &[(&str, &str)]| config(set).unwrap().sentry().unwrap().redaction().build().unwrap();
    let mail = "ada@example.org";
    let keyed = with(&[dsn, ("THROUGHLINE_PSEUDONYM_KEY", "a secret of sixteen bytes")]);
    let expected = throughline_redact::Redaction::standard().pseudonym_key("a secret of sixteen bytes");
    let expected = expected.build().unwrap().findable(None, mail).into_owned();
    assert_eq!(keyed.findable(None, mail), expected);
    assert_ne!(with(&[dsn]).findable(None, mail), expected);
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
    assert_eq!(service(&[("OTEL_RESOURCE_ATTRIBUTES", "service.name=credit%20risk")]), "credit risk");
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

#[cfg(all(feature = "sentry", feature = "metrics", feature = "axum"))]
#[test]
fn the_guard_keeps_to_one_time_limit_for_all_parts_together() {
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    // It accepts and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let dsn = format!("http://key@{}/1", silent.local_addr().unwrap());
    let set = [
        ("SENTRY_DSN", dsn.as_str()),
        ("METRICS_PORT", "0"),
        ("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1"),
        ("THROUGHLINE_LOG_OUTPUT", "none"),
    ];
    let observability = init(&config(&set).unwrap()).unwrap();
    // Somebody who has not said all yet.
    let mut asking = TcpStream::connect(observability.metrics_address().unwrap()).unwrap();
    asking.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let failing =
        observability.workflow("w").run(|_| async { Err::<(), _>(std::io::Error::other("no funds")) });
    runtime.block_on(failing).unwrap().unwrap_err();
    let began = Instant::now();
    observability.shutdown(Duration::from_millis(200));
    drop(observability);
    // Without an earlier shutdown, the page alone may take five seconds.
    assert!(began.elapsed() < Duration::from_millis(1_500), "{:?}", began.elapsed());
}

#[test]
fn a_context_travels_as_the_environment_says() {
    let propagators = |set: Pairs<'_>| {
        let config = config(&[&[("THROUGHLINE_LOG_OUTPUT", "none")], set].concat()).unwrap();
        let emitter = config.emitter().unwrap().sink(Nothing).build().unwrap();
        emitter.propagators().to_string()
    };
    assert_eq!(propagators(&[]), "tracecontext,baggage");
    assert_eq!(propagators(&[("OTEL_PROPAGATORS", "b3multi, jaeger")]), "b3multi,jaeger");
    assert_eq!(propagators(&[("OTEL_PROPAGATORS", "none")]), "none");
}

/// A destination, so that there is one.
struct Nothing;

impl throughline_core::EventSink for Nothing {
    fn name(&self) -> &str {
        "nothing"
    }

    fn on_event(&self, _: &std::sync::Arc<throughline_core::TraceEvent>) {}
}
