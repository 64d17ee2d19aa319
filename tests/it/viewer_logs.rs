//! The log lines of a run, from the layer that writes them to the page that shows them.

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::Request;
use serde_json::Value;
use throughline::log::{Logs, Output, Rolling};
use throughline::store::BoxError;
use throughline::viewer::Viewer;
use throughline::{MemoryStore, Throughline};
use tower::ServiceExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

async fn ask(viewer: &Viewer, question: &str) -> Value {
    let mut request =
        Request::get(format!("/api/{question}")).header("host", "localhost").body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
    let answer = viewer.router().oneshot(request).await.unwrap();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn what_the_log_layer_writes_is_what_the_page_of_the_run_shows() {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::builder("loan-service")
        .output(Output::rolling(Rolling::daily(folder.path(), "loans")))
        .build()
        .unwrap();
    let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build().unwrap();
    let subscriber = tracing_subscriber::registry().with(logs.layer(throughline.redactor()));
    let _guard = tracing::subscriber::set_default(subscriber);
    let mut ids = Vec::new();
    for key in ["loan-1", "loan-2"] {
        let run = throughline.workflow("loan-approval").key(key).run(|ctx| async move {
            tracing::info!(loan = key, "begins");
            let asked = ctx.trace("stage:ask", async {
                tracing::warn!(mail = "ada@example.org", attempts = 3, "no answer");
                Err::<(), BoxError>("the bureau did not answer".into())
            });
            asked.await.unwrap().unwrap_err();
            Ok::<_, BoxError>(ctx.trace_id())
        });
        ids.push(run.await.unwrap().unwrap());
    }
    logs.flush(Duration::from_secs(30));

    let viewer = Viewer::of(&throughline).logs(folder.path()).build().unwrap();
    for (id, key) in ids.iter().zip(["loan-1", "loan-2"]) {
        let found = ask(&viewer, &format!("runs/{id}/logs")).await;
        let [begins, no_answer] = &found["lines"].as_array().unwrap()[..] else { panic!("{found}") };
        assert_eq!(
            (&begins["message"], &begins["fields"]["loan"]),
            (&Value::from("begins"), &Value::from(key))
        );
        assert_eq!(
            (&no_answer["level"], &no_answer["message"]),
            (&Value::from("warn"), &Value::from("no answer"))
        );
        assert_eq!(no_answer["fields"]["attempts"], 3);
        assert!(!found.to_string().contains("ada@"), "{found}");
        // The line is of the step in which it was written.
        let span = no_answer["span_id"].as_str().unwrap();
        let step = ask(&viewer, &format!("runs/{id}/spans/{span}")).await;
        assert_eq!(step["span"]["name"], "stage:ask");
        let of_step = ask(&viewer, &format!("runs/{id}/logs?span={span}")).await;
        assert_eq!(of_step["lines"], Value::from(vec![no_answer.clone()]));
    }
    assert_eq!(ask(&viewer, "about").await["logs"], true);
}
