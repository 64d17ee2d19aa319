//! Services that write to the store of a sandbox while the command looks on.

use std::time::Duration;

use throughline_core::{BoxError, OnCancel, Throughline, TraceContext, TraceId, Workflow};
use throughline_sqlite::SqliteStore;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::sandbox::Sandbox;

/// A service of this name that writes to the store of the sandbox.
pub(crate) fn service(sandbox: &Sandbox, name: &'static str) -> Throughline {
    Throughline::builder(name).store(SqliteStore::new(sandbox.path("traces.db"))).build().unwrap()
}

/// Ends a service as a process does: what is open becomes interrupted.
pub(crate) async fn end(service: Throughline) {
    service.shutdown(Duration::from_secs(10)).await;
}

/// Runs a workflow that succeeds.
pub(crate) async fn succeed(workflow: Workflow) -> TraceId {
    workflow.run_infallible(|ctx| async move { ctx.trace_id() }).await.unwrap()
}

/// Runs a workflow in which a step fails.
pub(crate) async fn fail(workflow: Workflow, reason: &'static str) -> TraceId {
    let mut id = None;
    let failed = workflow
        .run(|ctx: TraceContext| {
            id = Some(ctx.trace_id());
            async move { ctx.trace("stage:work", async { Err::<(), BoxError>(reason.into()) }).await? }
        })
        .await;
    failed.unwrap().unwrap_err();
    id.unwrap()
}

/// A workflow that has come to a step and does not leave it.
pub(crate) struct InStep {
    pub(crate) id: TraceId,
    /// Kept, for a run that is dropped is cancelled.
    _run: JoinHandle<()>,
}

/// Runs a workflow that stays in a step.
pub(crate) async fn stay(workflow: Workflow) -> InStep {
    let (entered, in_step) = oneshot::channel();
    let run = workflow.run_infallible(|ctx| async move {
        let id = ctx.trace_id();
        let waiting = ctx.step("stage:wait").run_infallible(|_| async move {
            entered.send(id).unwrap();
            std::future::pending::<()>().await;
        });
        waiting.await.unwrap();
    });
    let run = tokio::spawn(async move {
        run.await.unwrap();
    });
    InStep { id: in_step.await.unwrap(), _run: run }
}

/// A run of a saga whose two steps succeeded and that does not end.
pub(crate) async fn stay_in_saga(service: &Throughline, key: &'static str) -> (TraceId, JoinHandle<()>) {
    let (entered, in_saga) = oneshot::channel();
    let run = service.workflow("loan-approval").key(key).run(|ctx| async move {
        let id = ctx.trace_id();
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            for step in ["stage:reserve-funds", "stage:open-file"] {
                let step = saga.step(step).input(1_u32).compensate(|_, _| async { Ok::<_, BoxError>(()) });
                step.run(|_, _| async { Ok::<_, BoxError>(()) }).await??;
            }
            entered.send(id).unwrap();
            std::future::pending::<Result<(), BoxError>>().await
        });
        saga.await?.map_err(|failed| failed.error)
    });
    let run = tokio::spawn(async move {
        run.await.unwrap().unwrap();
    });
    (in_saga.await.unwrap(), run)
}

/// A sandbox with the run of a saga whose two steps succeeded and whose process ended before it did.
pub(crate) async fn left_in_saga(key: &'static str) -> (Sandbox, TraceId) {
    let sandbox = Sandbox::empty();
    let loans = service(&sandbox, "loan-service");
    let (id, _run) = stay_in_saga(&loans, key).await;
    end(loans).await;
    (sandbox, id)
}

/// A run of a saga of one step that succeeded and of one that may have had its effect, and that does not end.
pub(crate) async fn stay_in_doubt(service: &Throughline, key: &'static str) -> (TraceId, JoinHandle<()>) {
    let (entered, in_step) = oneshot::channel();
    let run = service.workflow("loan-approval").key(key).run(|ctx| async move {
        let id = ctx.trace_id();
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            let step = saga.step("stage:reserve-funds").compensate(|(), _| async { Ok::<_, BoxError>(()) });
            step.run(|(), _| async { Ok::<_, BoxError>(()) }).await??;
            let step = saga.step("stage:charge").compensate(|(), _| async { Ok::<_, BoxError>(()) });
            let charging = step.run(|(), _| async move {
                entered.send(id).unwrap();
                std::future::pending::<Result<(), BoxError>>().await
            });
            charging.await?
        });
        saga.await?.map_err(|failed| failed.error)
    });
    let run = tokio::spawn(async move {
        drop(run.await);
    });
    (in_step.await.unwrap(), run)
}

/// A run whose caller went away, and whose saga of one step was left open by choice.
pub(crate) async fn leave_open(service: &Throughline, key: &'static str) -> TraceId {
    let (entered, in_saga) = oneshot::channel();
    let run = service.workflow("loan-approval").key(key).run(|ctx| async move {
        let id = ctx.trace_id();
        let saga = ctx.saga("loan-approval").on_cancel(OnCancel::LeaveOpen).run(|saga| async move {
            let step = saga.step("stage:reserve-funds").compensate(|(), _| async { Ok::<_, BoxError>(()) });
            step.run(|(), _| async { Ok::<_, BoxError>(()) }).await??;
            entered.send(id).unwrap();
            std::future::pending::<Result<(), BoxError>>().await
        });
        saga.await?.map_err(|failed| failed.error)
    });
    let run = tokio::spawn(async move {
        drop(run.await);
    });
    let id = in_saga.await.unwrap();
    run.abort();
    assert!(run.await.is_err());
    id
}
