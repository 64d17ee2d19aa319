//! One line switches on what the environment asks for: this test binary again, with an environment of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use throughline::SqliteStore;
use throughline::config::{init_from_env, variables};
use throughline::store::{Filter, Page, TraceReader as _};

use crate::otel::receiver::{self, Over, Receiver};
use crate::sentry::bugsink::Project;

const ROLE: &str = "THROUGHLINE_TEST_SERVICE";

/// The service, with nothing in its environment but this.
fn service(role: &str, set: &[(&str, &str)]) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    for (_, variable) in variables() {
        for name in std::iter::once(&variable.name).chain(variable.aliases) {
            command.env_remove(name);
        }
    }
    command.args(["--exact", "init::this_process_is_the_service_when_it_is_told_to_be", "--nocapture"]);
    command.env(ROLE, role).envs(set.iter().copied()).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn this_process_is_the_service_when_it_is_told_to_be() {
    let Ok(role) = std::env::var(ROLE) else { return };
    if role == "with-a-subscriber" {
        tracing::subscriber::set_global_default(tracing::subscriber::NoSubscriber::default()).unwrap();
    }
    let throughline = match init_from_env() {
        Ok(throughline) => throughline,
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    };
    let is_current_thread = role == "current-thread";
    let work = async {
        let run = throughline.workflow("loan-approval").key("loan-42").run(|ctx| async move {
            tracing::info!(mail = "ada@example.org", "in the run");
            ctx.trace_infallible("stage:score", async {}).await?;
            if role == "failing" {
                let refused =
                    async { Err::<(), std::io::Error>(std::io::ErrorKind::ConnectionRefused.into()) };
                ctx.trace("stage:pay", refused).await??;
            }
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
        });
        let _ = run.await.unwrap();
    };
    let runtime = match is_current_thread {
        true => tokio::runtime::Builder::new_current_thread().build(),
        false => tokio::runtime::Builder::new_multi_thread().build(),
    };
    let runtime = runtime.unwrap();
    runtime.block_on(work);
    if let Some(address) = throughline.metrics_address() {
        let mut page = TcpStream::connect(address).unwrap();
        page.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        page.read_to_string(&mut text).unwrap();
        assert!(text.contains("throughline_log_lines_total{service=\"loans\"}"), "{text}");
    }
    for warning in throughline.warnings() {
        eprintln!("warning: {warning}");
    }
    // Nothing is shut down: the guard does that, within a runtime, too.
    runtime.block_on(async move { drop(throughline) });
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(Value::is_object)
        .collect()
}

async fn stored(database: &Path) -> Vec<String> {
    let reader = SqliteStore::new(database).open_reader().unwrap();
    let page = reader.events(&Filter::new(), &Page::first(100)).await.unwrap();
    page.items.into_iter().map(|event| event.event_type.as_str().to_owned()).collect()
}

#[tokio::test]
async fn the_environment_switches_on_the_store_metrics_and_logs_and_the_guard_delivers_what_is_pending() {
    for role in ["multi-thread", "current-thread"] {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("traces.db");
        let store = format!("sqlite:{}", database.display());
        let outbox = folder.path().join("outbox.db").display().to_string();
        let set = [
            ("THROUGHLINE_STORE", store.as_str()),
            ("THROUGHLINE_OUTBOX", outbox.as_str()),
            ("OTEL_SERVICE_NAME", "loans"),
            ("METRICS_PORT", "0"),
        ];
        let output = service(role, &set);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(Path::new(&outbox).exists());
        assert!(Path::new(&outbox).exists());
        assert_eq!(stored(&database).await.len(), 4, "two starts, two ends");
        let lines = lines(&output);
        let said = |message: &str| lines.iter().find(|line| line["message"] == message).unwrap().clone();
        let own = said("in the run");
        assert_eq!((&own["service"], &own["correlation_id"]), (&"loans".into(), &"loan-42".into()));
        assert_eq!(own["metadata"]["mail"], "[redacted]");
        assert_eq!(said("workflow:loan-approval succeeded")["trace_id"], own["trace_id"]);
    }
}

#[test]
fn traces_and_failures_go_where_the_environment_says() {
    let Some(project) = Project::new().filter(|_| receiver::is_there()) else { return };
    let collector = Receiver::start(Over::Http);
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("traces.db").display());
    let endpoint = collector.endpoint();
    // Without a scheme, as it was said before there was a standard.
    let set = [
        ("THROUGHLINE_STORE", store.as_str()),
        ("TRACING_SERVICE_NAME", "loans"),
        ("TRACING_ENDPOINT", endpoint.trim_start_matches("http://")),
        ("SENTRY_DSN", project.dsn.as_str()),
        ("SENTRY_ENVIRONMENT", "staging"),
    ];
    let output = service("failing", &set);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let written = lines(&output);
    let trace = &written.iter().find(|line| line["message"] == "in the run").unwrap()["trace_id"];

    let spans = collector.spans(3);
    assert!(spans.iter().all(|span| span["trace_id"] == *trace), "{spans:#?}");
    let names: Vec<_> = spans.iter().filter_map(|span| span["name"].as_str()).collect();
    assert!(names.contains(&"workflow:loan-approval") && names.contains(&"stage:pay"), "{names:?}");

    let failure = project.only_event();
    assert_eq!(failure["contexts"]["trace"]["trace_id"], *trace);
    assert_eq!((&failure["environment"], &failure["tags"]["step"]), (&"staging".into(), &"stage:pay".into()));
    let crumbs = failure["breadcrumbs"]["values"].as_array().unwrap();
    assert!(crumbs.iter().any(|crumb| crumb["message"] == "in the run"), "{crumbs:#?}");
}

#[test]
fn metrics_and_log_lines_go_where_the_environment_says_and_what_exporters_log_does_not() {
    if !receiver::is_there() {
        return;
    }
    for (over, protocol) in [(Over::Http, "http/protobuf"), (Over::Grpc, "grpc")] {
        let collector = Receiver::start(over);
        let endpoint = collector.endpoint();
        let set = [
            ("OTEL_SERVICE_NAME", "loans"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "otlp"),
            ("OTEL_LOGS_EXPORTER", "otlp"),
            ("THROUGHLINE_LOG_OUTPUT", "none"),
            // The clients below the exporters log what they send.
            ("RUST_LOG", "trace"),
        ];
        let output = service("multi-thread", &set);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(lines(&output), Vec::<Value>::new(), "written nowhere else");
        let is_line = |got: &&Value| got["signal"] == "log" && got["body"] == "in the run";
        let got = collector.once(|got| {
            got.iter().any(|got| is_line(&got))
                && got.iter().any(|got| got["name"] == "throughline.workflow_duration")
        });
        let line = got.iter().find(is_line).unwrap();
        assert_eq!((line["severity"].as_u64(), &line["attributes"]["mail"]), (Some(9), &"[redacted]".into()));
        assert_eq!(line["attributes"]["throughline.correlation_id"], "loan-42", "{line:#}");
        assert_eq!(line["trace_id"].as_str().map(str::len), Some(32));
        assert!(!got.iter().any(|got| got["signal"] == "span"), "{got:#?}");
        let of_exporters = |got: &&Value| {
            let scope = got["scope"].as_str().unwrap_or_default();
            ["h2", "hyper", "tonic", "tower"].iter().any(|client| scope.starts_with(client))
        };
        assert_eq!(got.iter().find(of_exporters), None);
    }
}

#[test]
fn what_cannot_be_switched_on_is_an_error_and_nothing_runs() {
    let said = |set: &[(&str, &str)]| {
        let output = service("multi-thread", set);
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let nothing = said(&[("THROUGHLINE_LOG_OUTPUT", "none")]);
    assert!(nothing.contains("nothing is switched on: set THROUGHLINE_STORE"), "{nothing}");
    let both = said(&[("METRICS_PORT", "http"), ("SENTRY_DSN", "hunter2")]);
    assert!(both.contains("METRICS_PORT=http") && both.contains("SENTRY_DSN (a secret"), "{both}");
    let logs = said(&[("THROUGHLINE_LOG_OUTPUT", "file:/nowhere/at/all.jsonl")]);
    assert!(logs.contains("logs can't be written to /nowhere/at/all.jsonl"), "{logs}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let metrics = said(&[("METRICS_PORT", &port), ("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")]);
    assert!(metrics.contains(&format!("metrics can't be served at 127.0.0.1:{port}")), "{metrics}");
}

#[test]
fn what_was_configured_in_vain_is_warned_of_and_the_service_runs() {
    let set = [
        ("METRICS_PORT", "0"),
        ("METRICS_ENABLED", "false"),
        ("OTEL_METRICS_EXPORTER", "prometheus"),
        ("OTEL_LOGS_EXPORTER", "console"),
        ("SENTRY_DSN", "https://hunter2@127.0.0.1:1/1"),
        ("OTEL_SERVICE_NAME", "loans"),
    ];
    let output = service("with-a-subscriber", &set);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    for warning in [
        "METRICS_ENABLED=false is ignored",
        "console in OTEL_LOGS_EXPORTER=console",
        "a subscriber is installed already",
    ] {
        assert!(said.contains(warning), "{warning} in {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn nothing_is_recorded_where_everything_is_off() {
    let output = service(
        "multi-thread",
        &[("OTEL_SDK_DISABLED", "true"), ("THROUGHLINE_STORE", "sqlite:/nowhere/x.db")],
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lines(&output), Vec::<Value>::new());
}
