//! The log of a busy service: every line fits the schema and carries the ids of its request, and nothing secret is in it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Request;
use axum::routing::post;
use serde_json::Value;
use throughline::context::InContext as _;
use throughline::log::{Format, LogReport, Logs, Output};
use throughline::metrics::{ExpositionFormat, Prometheus};
use throughline::store::BoxError;
use throughline::worker::{State, StateMachine};
use throughline::{HandlerError, LayerExt as _, MemoryStore, Redaction, Throughline, Traced};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tower::ServiceExt as _;
use tracing::{Dispatch, Instrument as _};
use tracing_subscriber::layer::SubscriberExt as _;

const REQUESTS: usize = 200;

/// What each request has in its fields, its spans and its errors.
const CANARIES: [&str; 3] = ["ada@example.org", "4111 1111 1111 1111", "hunter2"];

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs in its handler, in steps, in tasks that it spawns, in spans of libraries and on another thread.
async fn apply(Traced(ctx): Traced, Path(id): Path<String>) -> Result<String, HandlerError> {
    tracing::info!(loan = id, mail = "ada@example.org", "applied");
    let spawned = {
        let id = id.clone();
        tokio::spawn(async move { tracing::info!(loan = id, "in a task") }.in_context(&ctx))
    };
    let of_span = {
        let (id, span) = (id.clone(), tracing::info_span!("query", password = "hunter2"));
        tokio::spawn(async move { tracing::warn!(loan = id, "in a task of a library") }.instrument(span))
    };
    let thread = {
        let (id, ctx) = (id.clone(), ctx.clone());
        tokio::task::spawn_blocking(move || ctx.scope(|| tracing::info!(loan = id, "on a thread")))
    };
    let scored = ctx.trace("stage:score", async {
        tokio::task::yield_now().await;
        tracing::info!(loan = id, "in a step, for card 4111 1111 1111 1111");
        if id.ends_with('7') { Err(io::Error::other("refused: password=hunter2")) } else { Ok(712) }
    });
    let scored = scored.await?;
    for task in [spawned, of_span, thread] {
        task.await.map_err(io::Error::other)?;
    }
    scored.map(|score| score.to_string()).map_err(HandlerError::from)
}

/// Serves the requests on several threads; answers the lines, what became of them, the page of metrics, and the number of each
/// request by the id that its answer has.
fn serve() -> (String, LogReport, String, BTreeMap<String, usize>) {
    let memory = Memory::default();
    let logs =
        Logs::builder("loans").output(Output::writer(memory.clone())).format(Format::Json).build().unwrap();
    let prometheus = Prometheus::new();
    let throughline = Throughline::builder("loans")
        .store(MemoryStore::new())
        .sink(logs.story())
        .metrics(&prometheus)
        .redaction(Redaction::standard())
        .build()
        .unwrap();
    let _measured = logs.measure(throughline.meter());
    // Beside a second one, `tracing` asks the right one whether it wants what another thread logs first.
    let _second = Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(logs.layer(throughline.redactor())));
    let of_threads = dispatch.clone();
    let runtime = Builder::new_multi_thread()
        .worker_threads(4)
        // For as long as the thread lives.
        .on_thread_start(move || std::mem::forget(tracing::dispatcher::set_default(&of_threads)))
        .enable_all()
        .build()
        .unwrap();
    let app = Router::new().route("/loans/{id}", post(apply)).layer(throughline.layer());
    let answered = runtime.block_on(async {
        let mut requests = JoinSet::new();
        for n in 0..REQUESTS {
            let mut request = Request::post(format!("/loans/l-{n}"));
            // The others are given one.
            if n % 2 == 0 {
                request = request.header("x-request-id", format!("r-{n}"));
            }
            let answer = app.clone().oneshot(request.body(Body::empty()).unwrap());
            requests.spawn(async move { (n, answer.await.unwrap()) });
        }
        let mut answered = BTreeMap::new();
        while let Some(done) = requests.join_next().await {
            let (n, answer) = done.unwrap();
            answered.insert(answer.headers()["x-request-id"].to_str().unwrap().to_owned(), n);
        }
        throughline.shutdown(Duration::from_secs(60)).await;
        answered
    });
    let report = logs.flush(Duration::from_secs(60));
    let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
    (text, report, prometheus.render(ExpositionFormat::Text), answered)
}

#[test]
fn every_line_of_a_busy_service_fits_the_schema_and_has_the_ids_of_its_request() {
    let (text, report, metrics, answered) = serve();
    let schema: Value = serde_json::from_str(include_str!("../../docs/log.schema.json")).unwrap();
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    let mut of_request: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if let Err(wrong) = schema.validate(&line) {
            panic!("{wrong}: {line}");
        }
        let id = line["request_id"].as_str().unwrap_or_else(|| panic!("no request: {line}"));
        of_request.entry(id.to_owned()).or_default().push(line);
    }
    assert_eq!((of_request.len(), answered.len()), (REQUESTS, REQUESTS));
    for (id, lines) in &of_request {
        let n = answered[id];
        let said = |message: &str| lines.iter().filter(|line| line["message"] == message).count();
        for message in [
            "applied",
            "in a task",
            "in a task of a library",
            "on a thread",
            "in a step, for card [redacted:card]",
        ] {
            assert_eq!(said(message), 1, "{id}: {message} in {lines:#?}");
        }
        for line in lines {
            assert_eq!(line["trace_id"], lines[0]["trace_id"], "one request, one trace: {lines:#?}");
            if let Some(loan) = line["metadata"]["loan"].as_str() {
                assert_eq!(loan, format!("l-{n}"), "of another request: {line}");
            }
        }
        let errors = lines.iter().filter(|line| line["level"] == "error").count();
        assert_eq!(errors, usize::from(n % 10 == 7), "one line a failure: {lines:#?}");
    }
    for canary in CANARIES {
        assert!(!text.contains(canary), "{canary} is in the log");
    }
    assert_eq!((report.written, report.pending), (text.lines().count() as u64, 0), "{report:?}");
    let measured = format!("throughline_log_lines_total{{service=\"loans\"}} {}", report.accepted);
    assert!(metrics.contains(&measured), "{measured} in {metrics}");
}

#[test]
fn the_schema_names_everything_that_a_line_has() {
    let schema: Value = serde_json::from_str(include_str!("../../docs/log.schema.json")).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let docs = include_str!("../../docs/logging.md");
    for name in schema["properties"].as_object().unwrap().keys() {
        assert!(docs.contains(&format!("`{name}")) || docs.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Session {
    Idle,
    Starting,
}

impl State for Session {}

#[tokio::test]
async fn what_the_hooks_record_is_logged_without_a_line_of_code() {
    let memory = Memory::default();
    let logs =
        Logs::builder("loans").output(Output::writer(memory.clone())).format(Format::Json).build().unwrap();
    let throughline = Throughline::builder("loans").sink(logs.story()).build().unwrap();
    let sessions = StateMachine::builder("session", Session::Idle)
        .transition(Session::Idle, Session::Starting)
        .build(&throughline)
        .unwrap();
    let run = throughline.workflow("session").key("s-17").run(|ctx| async move {
        let session = sessions.enter(&ctx, "s-17").await?;
        session.transition(&ctx, Session::Starting).await?;
        session.transition(&ctx, Session::Idle).await.unwrap_err();
        ctx.event("auth:login", serde_json::json!({ "password": "hunter2" })).await?;
        let saga = ctx.saga("booking").run(|saga| async move {
            saga.step("stage:reserve")
                .input(7)
                .compensate(|_: u32, _ctx| async { Ok::<_, io::Error>(()) })
                .run(|_: u32, _ctx| async { Ok::<_, io::Error>(()) })
                .await??;
            saga.trace("stage:pay", async { Err::<(), _>(io::Error::other("refused")) }).await??;
            Ok::<_, BoxError>(())
        });
        saga.await?.unwrap_err();
        Ok::<_, BoxError>(())
    });
    run.await.unwrap().unwrap();
    logs.flush(Duration::from_secs(60));
    let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
    let said: Vec<_> = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    let said = said
        .iter()
        .map(|line| format!("{} {}", line["level"].as_str().unwrap(), line["message"].as_str().unwrap()));
    insta::assert_snapshot!(said.collect::<Vec<_>>().join("\n"));
    assert!(!text.contains("hunter2"));
}
