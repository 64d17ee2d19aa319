//! Sagas that are dropped: they are undone without their callers, or stay open.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use throughline_core::query::CompensationState::Standing;
use throughline_core::{
    BoxError, MemoryStore, NotRecorded, OnCancel, RunState, SagaFailed, Status, Throughline, TraceContext,
    names,
};
use tokio::sync::{Notify, oneshot};

use super::*;
use crate::support::{ended, open, started};

#[tokio::test]
async fn a_saga_that_is_dropped_is_undone_without_its_caller_and_recorded() {
    let (throughline, store) = open();
    let world = World::default();
    let run = hang_up(&throughline, &world, OnCancel::Compensate).await;
    throughline.shutdown(SOON).await;
    assert_eq!(world.seen(), [""; 0]);
    let reader = MemoryStore::readers(&store).reader;
    assert_eq!(reader.run(run).await.unwrap().unwrap().state, RunState::Cancelled);
    let query = throughline_core::TraceQuery::read(&*reader, run).await.unwrap();
    assert!(query.compensation_ledger().is_clean());
    assert!(query.problems().is_empty(), "{:?}", query.problems());
    let events = store.trace(run);
    assert_eq!(started(&events, names::SAGA_DETACHED).status, Status::Pending);
    assert_eq!(ended(&events, names::SAGA_CANCELLED).status, Status::Cancelled);
    let order: Vec<_> = events.iter().map(|event| event.event_type.as_str()).collect();
    let at = |name| order.iter().position(|other| *other == name).unwrap();
    assert!(at("compensate:b") < at("compensate:a"));
}

#[tokio::test]
async fn a_run_whose_saga_is_undone_without_its_caller_runs_until_that_is_done() {
    let (throughline, store) = open();
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
    let run = throughline.workflow("loan").run_infallible(|ctx| async move {
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            let step = saga.step("stage:a").input(()).compensate(move |(), _| async move {
                tell.notify_one();
                wait.notified().await;
                Ok::<_, NotRecorded>(())
            });
            step.run(|(), _| async { Ok::<_, NotRecorded>(()) }).await??;
            pending::<()>().await;
            Ok::<_, NotRecorded>(())
        });
        // As a time-out around it does.
        tokio::select! {
            biased;
            _ = saga => unreachable!(),
            () = std::future::ready(()) => {}
        }
        ctx.trace_id()
    });
    let trace_id = run.await.unwrap();
    begun.notified().await;
    assert_eq!(state(&throughline, trace_id).await, RunState::Running, "the compensation is at work");
    let check = throughline.reader().unwrap().safe_to_deploy(SOON).await.unwrap();
    assert!(!check.is_safe());
    let refused = undo(&throughline, trace_id, &World::default()).await.unwrap_err();
    assert!(matches!(refused, NotRecorded::AtWork { .. }), "{refused}");
    go_on.notify_one();
    throughline.shutdown(SOON).await;
    let reader = MemoryStore::readers(&store).reader;
    let state = reader.run(trace_id).await.unwrap().unwrap().state;
    assert_eq!(state, RunState::Succeeded, "the run coped with its saga's time-out");
}

#[tokio::test]
async fn a_shutdown_waits_for_what_is_undone_without_its_caller_but_not_for_ever() {
    let (throughline, store) = open();
    let (hangs, hung) = oneshot::channel();
    let run = throughline.workflow("loan").run_infallible(|ctx| async move {
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            let step =
                saga.step("stage:a").input(()).compensate(|(), _| pending::<Result<(), NotRecorded>>());
            step.run(|(), _| async { Ok::<_, NotRecorded>(()) }).await??;
            hangs.send(saga.trace_id()).unwrap();
            pending::<()>().await;
            Ok::<_, NotRecorded>(())
        });
        saga.await.unwrap().unwrap();
    });
    let trace_id = tokio::select! {
        _ = run => unreachable!(),
        id = hung => id.unwrap(),
    };
    let report = throughline.shutdown(Duration::from_millis(200)).await;
    assert!(report.destinations[0].balances(), "{report}");
    // The process ends here: its lease is gone, and the saga stands.
    let after = Throughline::builder("test").store(store.clone()).build().unwrap();
    assert_eq!(state(&after, trace_id).await, RunState::Interrupted);
}

#[tokio::test]
async fn a_saga_that_is_dropped_while_it_is_undone_is_undone_to_the_end_and_no_compensation_twice() {
    let (throughline, store) = open();
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait, world) = (Arc::clone(&begun), Arc::clone(&go_on), World::default());
    let undone = world.clone();
    let run = throughline.workflow("loan").run_infallible(|ctx| async move {
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            undone.reserve(&saga, "stage:a", "a").await?;
            let log = undone.clone();
            let slow = saga.step("stage:b").input(()).compensate(move |(), _| async move {
                tell.notify_one();
                wait.notified().await;
                log.put("b undone");
                Ok::<_, NotRecorded>(())
            });
            slow.run(|(), _| async { Ok::<_, NotRecorded>(()) }).await??;
            Err::<(), BoxError>("no funds".into())
        });
        saga.await.unwrap().unwrap_err();
    });
    tokio::select! {
        _ = run => unreachable!(),
        () = begun.notified() => {}
    }
    go_on.notify_one();
    throughline.shutdown(SOON).await;
    assert_eq!(world.seen(), ["b undone"]);
    let events = store.events();
    let compensations: Vec<_> = events
        .iter()
        .filter(|event| event.has_tag(names::tags::COMPENSATION) && event.status != Status::Pending)
        .map(|event| (event.event_type.as_str(), event.status))
        .collect();
    assert_eq!(compensations, [("compensate:b", Status::Success), ("compensate:a", Status::Success)]);
}

#[tokio::test]
async fn of_sagas_within_each_other_the_inner_one_is_undone_first() {
    let (throughline, _store) = open();
    let (log, (hangs, hung)) = (World::default(), oneshot::channel());
    let undo = |log: &World, what| {
        let log = log.clone();
        move |(), _: TraceContext| async move {
            // Others may run in between.
            tokio::task::yield_now().await;
            log.put(what);
            Ok::<_, NotRecorded>(())
        }
    };
    let (outer, inner) = (undo(&log, "outer"), undo(&log, "inner"));
    let run = throughline.workflow("loan").run_infallible(|ctx| async move {
        let saga = ctx.saga("outer").run(|saga| async move {
            let done = async |(), _| Ok::<_, NotRecorded>(());
            saga.step("stage:a").input(()).compensate(outer).run(done).await??;
            let within = saga.saga("inner").run(|saga| async move {
                saga.step("stage:b").input(()).compensate(inner).run(done).await??;
                hangs.send(()).unwrap();
                pending::<()>().await;
                Ok::<_, NotRecorded>(())
            });
            within.await?.map_err(SagaFailed::into_error)
        });
        saga.await.unwrap().unwrap();
    });
    tokio::select! {
        _ = run => unreachable!(),
        hung = hung => hung.unwrap(),
    }
    throughline.shutdown(SOON).await;
    assert_eq!(log.seen(), ["inner", "outer"]);
}

#[test]
fn a_saga_that_is_dropped_outside_of_every_runtime_is_undone_on_a_thread_of_its_own() {
    let (throughline, store) = open();
    let world = World::default();
    let (tx, mut hangs) = oneshot::channel();
    let inside = world.clone();
    let mut run = Box::pin(
        throughline
            .workflow("loan")
            .run_infallible(|ctx| async move { hang(ctx, inside, OnCancel::Compensate, tx).await }),
    );
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while hangs.try_recv().is_err() {
        assert!(run.as_mut().poll(&mut cx).is_pending());
    }
    drop(run);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(throughline.shutdown(SOON));
    assert_eq!(world.seen(), [""; 0]);
    assert_eq!(ended(&store.events(), names::SAGA_CANCELLED).status, Status::Cancelled);
}

#[test]
fn a_saga_whose_runtime_ends_stays_open_to_be_undone() {
    let (throughline, store) = open();
    let world = World::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (hangs, hung) = oneshot::channel();
    let inside = world.clone();
    let run = throughline
        .workflow("loan")
        .run_infallible(|ctx| async move { hang(ctx, inside, OnCancel::Compensate, hangs).await });
    runtime.spawn(run);
    runtime.block_on(hung).unwrap();
    // Its tasks are dropped, and take no new ones.
    drop(runtime);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(throughline.shutdown(SOON));
    assert_eq!(world.seen(), ["a", "b"]);
    let trace_id = store.events()[0].trace_id;
    let after = Throughline::builder("test").store(store.clone()).build().unwrap();
    runtime.block_on(async {
        assert_eq!(state(&after, trace_id).await, RunState::Interrupted);
        assert_eq!(ledger(&after, trace_id).await, entries([("stage:b", Standing), ("stage:a", Standing)]));
        assert!(undo(&after, trace_id, &world).await.unwrap().is_undone());
        assert_eq!(world.seen(), [""; 0]);
        assert_eq!(state(&after, trace_id).await, RunState::Cancelled);
    });
}

#[tokio::test]
async fn a_saga_can_be_left_open_by_choice_and_is_undone_by_another_process() {
    let (throughline, store) = open();
    let world = World::default();
    let run = hang_up(&throughline, &world, OnCancel::LeaveOpen).await;
    throughline.flush(SOON).await;
    // The process lives, and works on it no more.
    assert_eq!(state(&throughline, run).await, RunState::Interrupted);
    assert!(throughline.reader().unwrap().safe_to_deploy(SOON).await.unwrap().is_safe());
    assert_eq!(world.seen(), ["a", "b"]);
    let other = Throughline::builder("test").store(store.clone()).build().unwrap();
    assert_eq!(ledger(&other, run).await, entries([("stage:b", Standing), ("stage:a", Standing)]));
    let failed = undo(&other, run, &world).await.unwrap();
    assert!(failed.is_undone(), "{failed}");
    assert_eq!(world.seen(), [""; 0]);
    assert_eq!(state(&other, run).await, RunState::Cancelled);
    assert!(other.query(run).await.unwrap().compensation_ledger().is_clean());
    // Once more changes nothing.
    assert_eq!(undo(&other, run, &world).await.unwrap().compensations, []);
    assert!(other.query(run).await.unwrap().problems().is_empty());
}

#[tokio::test]
async fn a_saga_that_was_left_open_can_be_resumed() {
    let (throughline, store) = open();
    let world = World::default();
    let run = hang_up(&throughline, &world, OnCancel::LeaveOpen).await;
    throughline.flush(SOON).await;
    let resumed = throughline.resume(run).run(|ctx| async move {
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            let recover = |_| async { Ok::<_, NotRecorded>(()) };
            for name in ["stage:a", "stage:b"] {
                let undo = |_, _| async { Ok::<_, NotRecorded>(()) };
                let step = saga.step(name).input(()).compensate(undo);
                step.run_or_recover(|_, _| async { panic!("it succeeded before") }, recover).await??;
            }
            saga.trace_infallible("stage:c", async {}).await
        });
        saga.await?.map_err(SagaFailed::into_error)
    });
    resumed.await.unwrap().unwrap();
    assert_eq!(state(&throughline, run).await, RunState::Succeeded);
    assert_eq!(world.seen(), ["a", "b"]);
    assert!(throughline.query(run).await.unwrap().compensation_ledger().is_clean());
    assert_eq!(ended(&store.trace(run), names::SAGA_COMPLETED).status, Status::Success);
}

#[tokio::test]
async fn a_saga_that_is_dropped_with_nothing_to_undo_is_cancelled_at_once() {
    let (throughline, store) = open();
    let (hangs, hung) = oneshot::channel();
    let run = throughline.workflow("loan").run_infallible(|ctx| async move {
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            saga.trace_infallible("stage:a", async {}).await?;
            hangs.send(()).unwrap();
            pending::<Result<(), NotRecorded>>().await
        });
        saga.await.unwrap().unwrap();
    });
    tokio::select! {
        _ = run => unreachable!(),
        hung = hung => hung.unwrap(),
    }
    throughline.flush(SOON).await;
    let events = store.events();
    assert_eq!(ended(&events, names::SAGA_CANCELLED).status, Status::Cancelled);
    assert!(events.iter().all(|event| event.event_type != names::SAGA_DETACHED));
}

#[tokio::test]
async fn a_saga_of_an_emitter_that_is_off_is_undone_all_the_same() {
    let throughline = Throughline::builder("test").disabled(true).build().unwrap();
    let world = World::default();
    let (tx, hangs) = oneshot::channel();
    let inside = world.clone();
    let run = throughline
        .workflow("loan")
        .run_infallible(|ctx| async move { hang(ctx, inside, OnCancel::Compensate, tx).await });
    tokio::select! {
        _ = run => unreachable!(),
        hung = hangs => hung.unwrap(),
    }
    assert_eq!(world.seen(), ["a", "b"]);
    throughline.shutdown(SOON).await;
    assert_eq!(world.seen(), [""; 0]);
}

#[tokio::test]
async fn a_shutdown_that_comes_before_all_is_undone_leaves_the_saga_open() {
    let (throughline, store) = open();
    let (world, (hangs, hung), slow) = (World::default(), oneshot::channel(), Arc::new(Notify::new()));
    let (inside, wait) = (world.clone(), Arc::clone(&slow));
    let run = throughline.workflow("loan").run_infallible(|ctx| async move {
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            inside.reserve(&saga, "stage:a", "a").await?;
            let step = saga.step("stage:slow").input(()).compensate(move |(), _| async move {
                wait.notified().await;
                Ok::<_, NotRecorded>(())
            });
            step.run(|(), _| async { Ok::<_, NotRecorded>(()) }).await??;
            hangs.send(saga.trace_id()).unwrap();
            pending::<Result<(), NotRecorded>>().await
        });
        saga.await.unwrap().unwrap();
    });
    let run = tokio::select! {
        _ = run => unreachable!(),
        id = hung => id.unwrap(),
    };
    throughline.shutdown(Duration::from_millis(100)).await;
    // The compensation that was under way ends; the next one is refused.
    slow.notify_one();
    while !store.trace(run).iter().any(|event| event.event_type == names::SAGA_LEFT_OPEN)
        && throughline.delivery_report().destinations[0].pending > 0
    {
        tokio::task::yield_now().await;
    }
    let after = Throughline::builder("test").store(store.clone()).build().unwrap();
    assert_eq!(world.seen(), ["a"]);
    assert_eq!(state(&after, run).await, RunState::Interrupted);
    assert!(store.trace(run).iter().all(|event| event.event_type != names::SAGA_CANCELLED));
}
