//! What a run says of itself elsewhere: at who began it, in the kind of its error, in the process that it ran in.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use serde_json::json;
use throughline_core::{
    BoxError, MemoryStore, Relation, Status, StepError, Throughline, TraceContext, TraceEvent,
    describe_panic, names,
};

use crate::support::{SOON, ended, open, started};

#[derive(Debug, thiserror::Error)]
enum AuthoriseError {
    #[error("over the limit")]
    OverLimit,
}

/// Runs a workflow that fails, and gives what it recorded.
async fn record<F, T, E, K>(body: impl FnOnce(TraceContext) -> F) -> Vec<TraceEvent>
where
    F: Future<Output = Result<T, E>>,
    E: StepError<K>,
{
    let (throughline, store) = open();
    assert!(throughline.workflow("test").run(body).await.unwrap().is_err(), "the workflow fails");
    throughline.flush(SOON).await;
    store.events()
}

fn kind(events: &[TraceEvent], event_type: &str) -> String {
    ended(events, event_type).error.unwrap().kind.to_string()
}

#[tokio::test]
async fn an_error_is_of_the_same_kind_at_each_level_whatever_holds_it() {
    let events = record(|ctx| async move {
        let outer = ctx.step("stage:outer").run(|ctx| async move {
            ctx.trace("stage:authorise", async { Err::<(), _>(AuthoriseError::OverLimit) }).await??;
            anyhow::Ok(())
        });
        outer.await??;
        Ok::<_, BoxError>(())
    })
    .await;
    for step in ["stage:authorise", "stage:outer", names::WORKFLOW_FAILED] {
        assert_eq!(kind(&events, step), "AuthoriseError::OverLimit", "{step}");
    }
    let events = record(|ctx| async move {
        let opened = ctx.trace("stage:open", async { std::fs::read("/no/such/file") }).await.unwrap();
        opened.map_err(|error| anyhow::Error::new(error).context("no ledger"))
    })
    .await;
    assert_eq!(
        (kind(&events, "stage:open"), kind(&events, names::WORKFLOW_FAILED)),
        ("io::NotFound".into(), "io::NotFound".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_says_where_it_happened_also_after_another_thread_carried_it_on() {
    let store = MemoryStore::new();
    let throughline = Throughline::builder("test").store(store.clone()).panic_locations().build().unwrap();
    let line = line!() + 4;
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        let inner = ctx.clone();
        let step =
            async move { inner.trace_infallible("stage:parse", async { panic!("no digits in `x`") }).await };
        if let Err(error) = tokio::spawn(step).await {
            // On whatever thread this is.
            std::panic::resume_unwind(error.into_panic());
        }
    });
    let payload = AssertUnwindSafe(run).catch_unwind().await.unwrap_err();
    assert!(payload.is::<&str>(), "the panic goes on as it was");
    throughline.flush(SOON).await;
    let events = store.events();
    let expected = format!("no digits in `x` at crates/throughline-core/tests/it/told.rs:{line}");
    for step in ["stage:parse", names::WORKFLOW_FAILED] {
        assert_eq!(ended(&events, step).error.unwrap().message.as_str(), expected, "{step}");
    }
    assert_eq!(
        ended(&events, names::WORKFLOW_FAILED).links[0].span_id,
        started(&events, "stage:parse").span_id
    );
    // One that nobody saw happen.
    assert_eq!(describe_panic(&"never thrown").message, "never thrown");
}

#[tokio::test]
async fn whoever_begins_a_run_of_its_own_links_it() {
    let (throughline, store) = open();
    let inner = throughline.clone();
    let run = throughline.workflow("parent").key("p-1").run(|ctx| async move {
        let step = ctx.step("stage:export").run(|ctx| async move {
            ctx.child_workflow("ledger")
                .key("ada@example.org")
                .run(|_| async { Ok::<_, BoxError>(()) })
                .await??;
            Ok::<_, BoxError>(())
        });
        step.await??;
        inner.workflow("audit").key("a-7").run(|_| async { Err::<(), _>("no auditor") }).await?.unwrap_err();
        inner.workflow("part").run(|_| async { Ok::<_, BoxError>(()) }).await??;
        Ok::<_, BoxError>(())
    });
    run.await.unwrap().unwrap();
    throughline.flush(SOON).await;
    let events = store.events();
    let parent = started(&events, names::WORKFLOW_STARTED);
    let begun: Vec<_> = events.iter().filter(|event| event.event_type == names::CHILD_BEGAN).collect();
    assert_eq!(begun.len(), 2, "a part of the run is no child");
    for (event, workflow) in begun.iter().zip(["ledger", "audit"]) {
        let child = events.iter().find(|event| event.workflow.as_deref() == Some(workflow)).unwrap();
        assert_eq!((event.trace_id, event.status), (parent.trace_id, Status::Success));
        let [link] = &event.links[..] else { panic!("{:?}", event.links) };
        assert_eq!(
            (link.rel.clone(), link.trace_id, link.span_id),
            (Relation::Began, Some(child.trace_id), child.span_id)
        );
        let key = child.correlation_id.as_deref();
        assert_eq!(event.data, json!({ "workflow": workflow, "key": key }).as_object().cloned());
        assert!(!key.unwrap().contains('@'), "{key:?}");
        assert!(child.order() < event.order(), "it is said once it is true");
    }
    assert_eq!(begun[0].parent_span_id, Some(started(&events, "stage:export").span_id));
}

#[tokio::test]
async fn a_request_that_begins_a_run_links_it_too() {
    let (throughline, store) = open();
    let request = throughline.request("http:request").open();
    let inner = Arc::new(throughline.clone());
    let begin =
        request.context().scope(|| inner.workflow("loan").key("loan-42").run_infallible(|_| async {}));
    request.context().scope(|| begin.now_or_never()).unwrap().unwrap();
    request.succeed();
    throughline.flush(SOON).await;
    let events = store.events();
    let began = started(&events, names::CHILD_BEGAN);
    assert_eq!(began.parent_span_id, Some(started(&events, "http:request").span_id));
    assert_eq!(began.data, json!({ "workflow": "loan", "key": "loan-42" }).as_object().cloned());
}

#[tokio::test]
async fn the_store_knows_the_host_the_process_and_the_version_of_what_runs() {
    let store = MemoryStore::new();
    let throughline = Throughline::builder("test").store(store.clone()).version("1.4.1").build().unwrap();
    throughline.workflow("loan").run_infallible(|_| async {}).await.unwrap();
    let instance = store.events()[0].instance;
    let known = throughline.reader().unwrap().processes(&[instance]).await.unwrap();
    let process = known[0].as_ref().unwrap();
    assert_eq!((process.service.as_str(), process.version.as_deref()), ("test", Some("1.4.1")));
    assert_eq!(process.pid, Some(std::process::id()));
    assert!(process.host.as_deref().is_some_and(|host| !host.is_empty()));
    assert!(process.started <= process.last_seen);
}
