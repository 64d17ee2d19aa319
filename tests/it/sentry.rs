//! Panics of a handler and of a worker, through the layers that applications use, on a real server.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::get;
use serde_json::Value;
use throughline::sentry::Sentry;
use throughline::worker::{Job, JobLayer};
use throughline::{LayerExt as _, MemoryStore, Throughline};
use tower::{Layer as _, ServiceExt as _, service_fn};

#[path = "../../crates/throughline-sentry/tests/it/bugsink.rs"]
pub(crate) mod bugsink;

use bugsink::Project;

/// Longer than anything here takes.
const LONG: std::time::Duration = std::time::Duration::from_secs(60);

struct Payout;

impl Job for Payout {
    fn job_type(&self) -> throughline::event::Text {
        "payout".into()
    }
}

async fn no_rate() -> &'static str {
    panic!("no rate for ada.canary@example.org")
}

async fn no_funds(_: Payout) -> Result<(), std::io::Error> {
    panic!("no funds for ada.canary@example.org")
}

#[tokio::test]
async fn a_panic_of_a_handler_and_one_of_a_worker_are_an_issue_each_under_the_id_of_the_run() {
    let Some(project) = Project::new() else { return };
    let sentry = Sentry::builder().dsn(&project.dsn).report_panics().build().unwrap();
    let _guard = sentry.init();
    let store = MemoryStore::new();
    let throughline = Throughline::builder("loans").store(store.clone()).sink(sentry);
    let throughline = throughline.panic_locations().build().unwrap();

    let app: Router = Router::new().route("/rates/{currency}", get(no_rate)).layer(throughline.layer());
    let request = Request::get("/rates/EUR").body(Body::empty()).unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 500);
    drop(response);

    let worker = JobLayer::new(&throughline, "payouts").layer(service_fn(no_funds));
    let panicked = tokio::spawn(worker.oneshot(Payout)).await.unwrap_err();
    assert!(panicked.is_panic());
    throughline.flush(LONG).await;

    // Hooks are the process's, and other tests panic too.
    let events = project.events().into_iter().map(|(_, event)| event);
    let own: Vec<Value> = events.filter(|event| event.to_string().contains("[redacted:email]")).collect();
    bugsink::assert_valid(&own);
    let of = |step: &str| {
        let found: Vec<_> = own.iter().filter(|event| event["tags"]["step"] == step).collect();
        assert_eq!(found.len(), 1, "{step}: {own:#?}");
        found[0].clone()
    };
    for (step, said) in [("GET /rates/{currency}", "no rate for "), ("job:payout", "no funds for ")] {
        let event = of(step);
        assert_eq!(event["level"], "fatal");
        let raised = event.pointer("/exception/values/0/value").and_then(Value::as_str).unwrap();
        assert!(raised.starts_with(said), "{raised}");
        let trace_id = event.pointer("/contexts/trace/trace_id").and_then(Value::as_str).unwrap();
        assert!(throughline.query(trace_id.parse().unwrap()).await.unwrap().failure().is_some());
        let frame = event.pointer("/exception/values/0/stacktrace/frames/0/filename").and_then(Value::as_str);
        assert!(frame.unwrap().ends_with("tests/it/sentry.rs"), "{frame:?}");
        let crumbs = event.pointer("/breadcrumbs/values").and_then(Value::as_array);
        assert!(crumbs.is_some_and(|crumbs| !crumbs.is_empty()), "{event:#}");
    }
    assert_eq!(own.len(), 2, "{own:#?}");
    assert!(!bugsink::keeps("ada.canary@example.org"));
}
