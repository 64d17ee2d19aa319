//! What `arize-phoenix` keeps of a run: looked at where the environment says where one runs, for it takes a minute to start. The
//! guide to OpenTelemetry has the commands.

use std::time::{Duration, Instant};

use serde_json::Value;
use throughline::event::Status;
use throughline::otel::{Otlp, Protocol};
use throughline::{MemoryStore, Throughline};

/// Where it answers, and takes OTLP over HTTP.
const HTTP: &str = "THROUGHLINE_PHOENIX";
/// Where it takes OTLP over gRPC.
const GRPC: &str = "THROUGHLINE_PHOENIX_GRPC";

const SOON: Duration = Duration::from_secs(60);

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A run with steps in steps, a decision, and a saga that is undone.
async fn recorded(otlp: Otlp) -> MemoryStore {
    let store = MemoryStore::new();
    let throughline = Throughline::builder("loans").store(store.clone()).sink(otlp).build().unwrap();
    let run = throughline.workflow("loan-approval").key("loan-42").run(|ctx| async move {
        let decision = ctx.decision("ai:route").consider("auto", 0.9).consider("manual", 0.1).choose("auto");
        let decision = decision.await?;
        ctx.step("stage:outer")
            .decided_by(&decision)
            .run_infallible(|ctx| async move {
                ctx.event("business:noted", "within a step").await?;
                ctx.trace_infallible("stage:inner", async {}).await
            })
            .await??;
        ctx.saga("shipping")
            .run(|saga| async move {
                saga.step("stage:reserve")
                    .input(1_u32)
                    .compensate(|_, _| async { Ok::<_, Error>(()) })
                    .run(|_, _| async { Ok::<_, Error>(()) })
                    .await??;
                saga.step("stage:ship")
                    .input(2_u32)
                    .compensate(|_, _| async { Ok::<_, Error>(()) })
                    .run(|_, _| async { Err::<(), Error>("no answer".into()) })
                    .await??;
                Ok::<_, Error>(())
            })
            .await??;
        Ok::<_, Error>(())
    });
    assert!(run.await.unwrap().is_err());
    let report = throughline.shutdown(SOON).await;
    assert!(report.is_complete(), "{report}");
    store
}

/// The spans of a trace that it has, once there are so many.
async fn kept(phoenix: &str, trace: &str, count: usize) -> Vec<Value> {
    let address = format!("{phoenix}/v1/projects/default/spans?limit=1000&trace_id={trace}");
    let began = Instant::now();
    loop {
        let answer = reqwest::get(&address).await.unwrap();
        let body = answer.text().await.unwrap();
        // Before the first span there is no project.
        let answer: Value = serde_json::from_str(&body).unwrap_or_default();
        let spans = answer["data"].as_array().cloned().unwrap_or_default();
        if spans.len() >= count {
            return spans;
        }
        assert!(began.elapsed() < SOON, "after {SOON:?} it has {spans:#?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn what_is_stored_is_what_it_has(phoenix: &str, otlp: Otlp) {
    let store = recorded(otlp).await;
    let events = store.events();
    let ends: Vec<_> = events.iter().filter(|event| event.duration_us.is_some()).collect();
    assert!(ends.len() >= 7, "{events:#?}");
    let spans = kept(phoenix, &events[0].trace_id.to_string(), ends.len()).await;
    for end in ends {
        let id = end.span_id.to_string();
        let found: Vec<_> = spans.iter().filter(|span| span["context"]["span_id"] == *id).collect();
        let [span] = &*found else { panic!("{}: {found:#?} of {spans:#?}", end.event_type) };
        assert_eq!(span["name"], *end.span_name(), "{span:#}");
        let parent = end.parent_span_id.map(|parent| parent.to_string());
        assert_eq!(span["parent_id"].as_str(), parent.as_deref(), "{span:#}");
        let status = if end.status == Status::Failed { "ERROR" } else { "UNSET" };
        assert_eq!(span["status_code"], status, "{span:#}");
    }
}

#[tokio::test]
async fn what_is_stored_is_what_phoenix_has_over_http_and_over_grpc() {
    let (Ok(http), Ok(grpc)) = (std::env::var(HTTP), std::env::var(GRPC)) else { return };
    what_is_stored_is_what_it_has(&http, Otlp::new().endpoint(&http)).await;
    let otlp = Otlp::new().protocol(Protocol::Grpc).endpoint(&grpc);
    what_is_stored_is_what_it_has(&http, otlp).await;
}
