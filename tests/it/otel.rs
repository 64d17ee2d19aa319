//! What others see over OTLP of runs whose process is killed, and of those that a caller in another language began.

#[path = "../../crates/throughline-otel/tests/it/receiver.rs"]
pub(crate) mod receiver;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use throughline::otel::{Otlp, Protocol};
use throughline::{NotRecorded, SqliteStore, Throughline, TraceId};

use receiver::{Over, Receiver, is_there};

const DATABASE: &str = "THROUGHLINE_TEST_OTEL_DATABASE";
const ENDPOINT: &str = "THROUGHLINE_TEST_OTEL_ENDPOINT";
const SOON: Duration = Duration::from_secs(30);

fn throughline(database: &Path, endpoint: &str) -> Throughline {
    let otlp = Otlp::new().protocol(Protocol::Grpc).endpoint(endpoint);
    Throughline::builder("loans").store(SqliteStore::new(database)).sink(otlp).build().unwrap()
}

/// Opens a step in a step, says which run that is, and waits to be killed.
#[test]
fn this_process_is_killed_when_it_is_told_to_be() {
    let (Ok(database), Ok(endpoint)) = (std::env::var(DATABASE), std::env::var(ENDPOINT)) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let throughline = throughline(Path::new(&database), &endpoint);
        let run = throughline.workflow("loan-approval").key("loan-42");
        let run = run.run_infallible(|ctx| async move {
            ctx.step("stage:outer")
                .run_infallible(|ctx| async move {
                    ctx.event("business:noted", "before the end").await.unwrap();
                    ctx.step("stage:inner")
                        .run_infallible(|ctx| async move {
                            println!("\n{}", ctx.trace_id());
                            std::future::pending::<()>().await;
                        })
                        .await
                })
                .await
        });
        let _ = run.await;
    });
}

/// A run whose process was killed, once its open steps have been seen.
fn killed(database: &Path, receiver: &Receiver) -> TraceId {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "otel::this_process_is_killed_when_it_is_told_to_be", "--nocapture"])
        .env(DATABASE, database)
        .env(ENDPOINT, receiver.endpoint())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let trace = lines.map_while(Result::ok).find_map(|line| line.parse::<TraceId>().ok()).unwrap();
    let began = |line: &Value| {
        line["event_name"] == "throughline.span.started"
            && line["trace_id"] == trace.to_string()
            && line["attributes"]["throughline.event_type"] == "stage:inner"
    };
    receiver.once(|lines| lines.iter().any(began));
    child.kill().unwrap();
    child.wait().unwrap();
    trace
}

/// What was left open is closed: each step once, with its ids, and the root as its run ended.
fn is_closed(receiver: &Receiver, trace: TraceId, steps: usize, root_error: Option<&str>) -> Vec<Value> {
    let spans = receiver.spans(steps);
    assert_eq!(spans.len(), steps, "{spans:#?}");
    assert!(spans.iter().all(|span| span["trace_id"] == trace.to_string()), "{spans:#?}");
    let named = |name: &str| {
        let found: Vec<_> = spans.iter().filter(|span| span["name"] == name).collect();
        assert!(found.len() == 1, "{name}: {spans:#?}");
        found[0].clone()
    };
    let (root, outer, inner) = (named("workflow:loan-approval"), named("stage:outer"), named("stage:inner"));
    assert_eq!((&outer["parent_span_id"], &inner["parent_span_id"]), (&root["span_id"], &outer["span_id"]));
    for step in [&outer, &inner] {
        assert_eq!(step["status"], 2, "{step:#}");
        assert_eq!(step["attributes"]["error.type"], "interrupted", "{step:#}");
    }
    assert_eq!(outer["events"][0]["name"], "business:noted", "{outer:#}");
    assert_eq!(root["attributes"]["error.type"].as_str(), root_error, "{root:#}");
    assert!(root["start"].as_u64() <= outer["start"].as_u64(), "from its first start: {root:#}");
    spans
}

#[tokio::test]
async fn what_a_killed_process_left_open_is_closed_by_who_abandons_its_run() {
    if !is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("traces.db");
    let receiver = Receiver::start(Over::Grpc);
    let trace = killed(&database, &receiver);
    let throughline = throughline(&database, &receiver.endpoint());
    throughline.abandon(trace, "it is not needed any more").await.unwrap();
    assert!(throughline.shutdown(SOON).await.is_complete());
    is_closed(&receiver, trace, 3, Some("abandoned"));
}

#[tokio::test]
async fn what_a_killed_process_left_open_is_closed_when_who_resumes_its_run_ends_it() {
    if !is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("traces.db");
    let receiver = Receiver::start(Over::Grpc);
    let trace = killed(&database, &receiver);
    let throughline = throughline(&database, &receiver.endpoint());
    let resumed = throughline
        .resume(trace)
        .run(|ctx| async move { ctx.trace("stage:again", async { Ok::<_, NotRecorded>(()) }).await? });
    resumed.await.unwrap().unwrap();
    assert!(throughline.shutdown(SOON).await.is_complete());
    is_closed(&receiver, trace, 4, None);
}
