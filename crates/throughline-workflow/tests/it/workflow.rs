//! Each call of a service inside a `WorkflowLayer` is a run.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use insta::assert_snapshot;
use throughline_core::testing::tree;
use throughline_core::{BoxError, MemoryStore, NotRecorded, RunState, Throughline, TraceContext, names};
use throughline_workflow::WorkflowLayer;
use tokio::sync::Notify;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

use crate::support::{Bench, Trouble, ended, latest};

#[derive(Clone)]
struct Execution(&'static str);

fn layer(bench: &Bench) -> WorkflowLayer<Execution> {
    WorkflowLayer::new(&bench.throughline, |throughline, request: &Execution| {
        throughline.workflow("onboarding").tenant("acme").execution(request.0).steps(1)
    })
}

async fn onboard(_: Execution) -> Result<&'static str, Trouble> {
    let ctx = TraceContext::current().expect("the service runs in its run");
    ctx.trace_infallible("stage:welcome", async { "welcome" }).await.map_err(|_| Trouble::timeout())
}

#[tokio::test]
async fn a_call_is_a_run_of_its_execution_with_the_tenant_on_all_its_steps() {
    let bench = Bench::new();
    let answer = layer(&bench).layer(service_fn(onboard)).oneshot(Execution("e-17")).await.unwrap();
    assert_eq!(answer, "welcome");
    assert_snapshot!(bench.tree().await, @r"
    workflow:started > workflow:completed success
      stage:welcome success
    ");
    for event in bench.events().await {
        assert_eq!(event.correlation_id.as_deref(), Some("e-17"));
        assert_eq!(event.workflow.as_deref(), Some("onboarding"));
        let attrs = [names::attrs::TENANT, names::attrs::EXECUTION].map(|key| event.attrs.get(key));
        assert_eq!(attrs, [Some("acme"), Some("e-17")]);
    }
    assert_snapshot!(bench.readings("throughline_workflow"), @"
    throughline_workflow_duration_seconds{tenant=acme,workflow=onboarding,status=success} 1
    throughline_workflows_active{tenant=acme,workflow=onboarding} 0
    ");
}

#[tokio::test]
async fn the_services_error_is_recorded_under_its_own_type_and_comes_back_as_it_was() {
    let bench = Bench::new();
    let failing = service_fn(|_: Execution| async { Err::<(), _>(Trouble::timeout()) });
    let error = layer(&bench).layer(failing).oneshot(Execution("e-1")).await.unwrap_err();
    assert!(matches!(*error.downcast::<Trouble>().unwrap(), Trouble::Timeout(_)));
    let recorded = ended(&bench.events().await, names::WORKFLOW_FAILED).error.unwrap();
    assert_eq!((&*recorded.kind, &*recorded.message), ("Trouble::Timeout", "the bureau did not answer"));
    assert_eq!(recorded.chain, ["connection reset"]);
}

#[tokio::test]
async fn a_run_whose_start_is_not_recorded_does_not_call_the_service_and_says_so() {
    let bench = Bench::new();
    bench.fail_next();
    let service = service_fn(|_: Execution| async { panic!("it was called") as Result<(), Trouble> });
    let error = layer(&bench).layer(service).oneshot(Execution("e-1")).await.unwrap_err();
    let not_started = error.downcast::<NotRecorded>().unwrap();
    assert!(not_started.to_string().contains("the disk is full"), "{not_started}");
    assert!(bench.events().await.is_empty());
}

#[tokio::test]
async fn a_panic_is_recorded_goes_on_and_leaves_no_active_workflow_behind() {
    let bench = Bench::new();
    let service = service_fn(|_: Execution| async { panic!("no such node") as Result<(), Trouble> });
    let call = layer(&bench).layer(service).oneshot(Execution("e-1"));
    let panicked = futures_util::FutureExt::catch_unwind(AssertUnwindSafe(call)).await.unwrap_err();
    assert_eq!(panicked.downcast_ref::<&str>(), Some(&"no such node"));
    assert_snapshot!(bench.tree().await, @"workflow:started > workflow:failed failed [panic]");
    assert!(bench.readings("throughline_workflows_active").ends_with("} 0"));
}

#[tokio::test]
async fn a_panic_before_there_is_a_future_is_recorded_as_well() {
    let bench = Bench::new();
    #[expect(unreachable_code, reason = "names the future's type")]
    let service = service_fn(|_: Execution| {
        panic!("no such workflow");
        std::future::ready(Ok::<(), Trouble>(()))
    });
    let call = layer(&bench).layer(service).oneshot(Execution("e-1"));
    futures_util::FutureExt::catch_unwind(AssertUnwindSafe(call)).await.unwrap_err();
    assert_snapshot!(bench.tree().await, @"workflow:started > workflow:failed failed [panic]");
    assert!(bench.readings("throughline_workflows_active").ends_with("} 0"));
}

#[tokio::test]
async fn a_call_that_is_dropped_was_cancelled_and_counts_as_active_until_then() {
    let (bench, begun) = (Bench::new(), Arc::new(Notify::new()));
    let service = {
        let begun = Arc::clone(&begun);
        service_fn(move |_: Execution| {
            let begun = Arc::clone(&begun);
            async move {
                begun.notify_one();
                pending::<Result<(), Trouble>>().await
            }
        })
    };
    let call = tokio::spawn(layer(&bench).layer(service).oneshot(Execution("e-1")));
    begun.notified().await;
    assert!(bench.readings("throughline_workflows_active").ends_with("} 1"));
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_snapshot!(bench.tree().await, @"workflow:started > workflow:cancelled cancelled [aborted]");
    assert!(bench.readings("throughline_workflows_active").ends_with("} 0"));
}

#[test]
fn it_works_on_a_runtime_of_one_thread_and_when_nothing_is_recorded() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = Bench::new();
    let off = Throughline::builder("off").disabled(true).build().unwrap();
    let describe = |throughline: &Throughline, request: &Execution| {
        throughline.workflow("onboarding").execution(request.0)
    };
    runtime.block_on(async {
        layer(&bench).layer(service_fn(onboard)).oneshot(Execution("e-1")).await.unwrap();
        let quiet = service_fn(|request: Execution| async move { Ok::<_, BoxError>(request.0) });
        let answer = WorkflowLayer::new(&off, describe).layer(quiet).oneshot(Execution("e-2")).await;
        assert_eq!(answer.unwrap(), "e-2");
        assert_eq!(bench.events().await.len(), 4);
    });
}

#[tokio::test]
async fn the_service_that_was_ready_is_the_one_that_is_called() {
    /// Must be made ready before each call, and its clones are not.
    struct Picky(bool);
    impl Clone for Picky {
        fn clone(&self) -> Self {
            Self(false)
        }
    }
    impl Service<Execution> for Picky {
        type Response = ();
        type Error = Trouble;
        type Future = std::future::Ready<Result<(), Trouble>>;
        fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Trouble>> {
            self.0 = true;
            std::task::Poll::Ready(Ok(()))
        }
        fn call(&mut self, _: Execution) -> Self::Future {
            assert!(self.0, "called without having been made ready");
            std::future::ready(Ok(()))
        }
    }
    let bench = Bench::new();
    let mut service = layer(&bench).layer(Picky(false));
    for id in ["e-1", "e-2"] {
        service.ready().await.unwrap().call(Execution(id)).await.unwrap();
    }
}

/// The life of an executor whose process dies in the middle of an execution.
async fn die(store: &MemoryStore) {
    let throughline = Throughline::builder("executor").store(store.clone()).build().unwrap();
    let begun = Arc::new(Notify::new());
    let told = Arc::clone(&begun);
    let service = service_fn(move |_: Execution| {
        let told = Arc::clone(&told);
        async move {
            told.notify_one();
            pending::<Result<(), Trouble>>().await
        }
    });
    let mut call =
        std::mem::ManuallyDrop::new(resuming(&throughline).layer(service).oneshot(Execution("e-1")));
    tokio::select! {
        _ = &mut *call => unreachable!(),
        () = begun.notified() => {}
    }
    // The call is leaked, as a killed process would leave it: nothing is cancelled. The lease goes.
    throughline.shutdown(std::time::Duration::from_secs(5)).await;
}

fn resuming(throughline: &Throughline) -> WorkflowLayer<Execution> {
    let layer = WorkflowLayer::new(throughline, |throughline, request: &Execution| {
        throughline.workflow("onboarding").execution(request.0)
    });
    layer.resume_interrupted()
}

#[tokio::test]
async fn an_execution_that_a_dead_process_left_goes_on_in_its_run_if_that_is_wished() {
    let store = MemoryStore::new();
    die(&store).await;
    let throughline = Throughline::builder("executor").store(store.clone()).build().unwrap();
    let executor = resuming(&throughline).layer(service_fn(onboard));
    executor.clone().oneshot(Execution("e-1")).await.unwrap();
    let run = latest(&throughline, "e-1").await;
    assert_eq!(run.state, RunState::Succeeded);
    // What has ended is not resumed, and what was never there begins.
    executor.clone().oneshot(Execution("e-1")).await.unwrap();
    executor.oneshot(Execution("e-2")).await.unwrap();
    assert_snapshot!(tree(&store.events()), @r"
    workflow:started > workflow:resumed > workflow:completed success
      stage:welcome success
    workflow:started > workflow:completed success
      stage:welcome success
    workflow:started > workflow:completed success
      stage:welcome success
    ");
}
