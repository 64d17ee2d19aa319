//! Sagas that are undone by another process, and runs that are resumed.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use throughline_core::query::CompensationState::{self, Compensated, InDoubt, Missing, Standing};
use throughline_core::{
    BoxError, CompensationOutcome, MemoryStore, NotRecorded, RunState, SagaFailed, Throughline, TraceId,
    names,
};
use tokio::sync::{Notify, oneshot};

use super::*;
use crate::support::{ended, open};

/// How many steps were undone.
fn count_undone<E>(failed: &SagaFailed<E>) -> usize {
    let outcomes = failed.compensations.iter().map(|step| &step.outcome);
    outcomes.filter(|outcome| **outcome == CompensationOutcome::Undone).count()
}

#[tokio::test]
async fn what_a_dead_process_left_in_a_workflow_or_a_request_is_undone_by_another_one() {
    for in_request in [false, true] {
        let (store, world) = (MemoryStore::new(), World::default());
        let run = die(&store, &world, in_request).await;
        let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
        assert_eq!(state(&throughline, run).await, RunState::Interrupted);
        let stands = entries([("stage:c", InDoubt), ("stage:b", Standing), ("stage:a", Standing)]);
        assert_eq!(ledger(&throughline, run).await, stands);
        let failed = undo(&throughline, run, &world).await.unwrap();
        assert_eq!(count_undone(&failed), 2, "{failed:?}");
        assert_eq!((failed.in_doubt().count(), failed.is_undone()), (1, false));
        assert_eq!(world.seen(), ["c"], "of this nobody knows");
        let undone = entries([("stage:c", InDoubt), ("stage:b", Compensated), ("stage:a", Compensated)]);
        assert_eq!(ledger(&throughline, run).await, undone);
        assert_eq!(state(&throughline, run).await, RunState::Failed);
        assert_eq!(count_undone(&undo(&throughline, run, &world).await.unwrap()), 0);
        // What is in doubt is undone by those who say so.
        let world = world.clone();
        let doubt = throughline.undo(run, "loan-approval").compensate_when_in_doubt().step("stage:c", "c", {
            let world = world.clone();
            move |what, _| async move {
                world.remove(what);
                Ok::<_, NotRecorded>(())
            }
        });
        assert!(doubt.run().await.unwrap().is_undone());
        assert_eq!(world.seen(), [""; 0]);
        assert!(ledger(&throughline, run).await.iter().all(|(_, state)| state.is_undone()));
    }
}

#[tokio::test]
async fn a_run_is_undone_again_until_all_of_it_is() {
    let (store, world) = (MemoryStore::new(), World::default());
    let run = die(&store, &world, false).await;
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let failed = throughline
        .undo(run, "loan-approval")
        .step("stage:b", "b", |_, _| async { Err::<(), BoxError>("the ledger is closed".into()) })
        .run()
        .await
        .unwrap();
    let outcomes: Vec<_> = failed.compensations.iter().map(|step| &step.outcome).collect();
    assert!(
        matches!(
            outcomes[..],
            [
                CompensationOutcome::Failed(_),
                CompensationOutcome::NotRegistered,
                CompensationOutcome::InDoubt
            ]
        ),
        "{failed:?}"
    );
    assert_eq!(state(&throughline, run).await, RunState::Interrupted, "the run has not ended");
    assert_eq!(undo(&throughline, run, &world).await.unwrap().orphaned().count(), 0);
    assert_eq!(world.seen(), ["c"]);
    assert_eq!(state(&throughline, run).await, RunState::Failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_that_undo_a_run_at_the_same_moment_one_does() {
    for _ in 0..20 {
        let (store, world) = (MemoryStore::new(), World::default());
        let run = die(&store, &world, false).await;
        let undoing: Vec<_> = (0..4)
            .map(|_| {
                let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
                let world = world.clone();
                tokio::spawn(async move {
                    undo(&throughline, run, &world).await.map(|failed| count_undone(&failed))
                })
            })
            .collect();
        let mut undone = 0;
        for undoing in undoing {
            match undoing.await.unwrap() {
                Ok(compensations) => undone += compensations,
                Err(NotRecorded::AtWork { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(undone, 2, "each step is undone once");
    }
}

#[tokio::test]
async fn a_failed_saga_whose_compensation_failed_can_be_undone_later_and_keeps_its_error() {
    let (throughline, store) = open();
    let run = throughline.workflow("loan").run(|ctx| async move {
        let trace_id = ctx.trace_id();
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            let step = saga
                .step("stage:a")
                .input("a")
                .compensate(|_, _| async { Err::<(), BoxError>("closed".into()) });
            step.run(|_, _| async { Ok::<_, BoxError>(()) }).await??;
            Err::<(), BoxError>("no funds".into())
        });
        saga.await?
            .map_err(|failed| (trace_id, failed))
            .map_err(|(id, _)| id.to_string())
            .map_err(BoxError::from)
    });
    let trace_id: TraceId = run.await.unwrap().unwrap_err().to_string().parse().unwrap();
    assert_eq!(ledger(&throughline, trace_id).await, entries([("stage:a", CompensationState::Failed)]));
    let undone = throughline
        .undo(trace_id, "loan-approval")
        .step("stage:a", "a", |_, _| async { Ok::<_, NotRecorded>(()) });
    assert!(undone.run().await.unwrap().is_undone());
    assert_eq!(ledger(&throughline, trace_id).await, entries([("stage:a", Compensated)]));
    assert_eq!(ended(&store.trace(trace_id), names::SAGA_FAILED).error.unwrap().message, "no funds");
    assert_eq!(state(&throughline, trace_id).await, RunState::Failed);
    let unknown = throughline.undo(trace_id, "another").run().await.unwrap_err();
    insta::assert_snapshot!(unknown, @"nothing to undo: no saga `another` of the run failed, was cancelled or was left open");
}

#[tokio::test]
async fn a_step_in_which_the_process_died_is_undone_by_another_one_if_the_step_says_so() {
    let (store, world) = (MemoryStore::new(), World::default());
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let (hangs, hung) = oneshot::channel();
    let put = world.clone();
    tokio::spawn(throughline.workflow("loan").run_infallible(|ctx| async move {
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            let step = saga.step("stage:a").input("a").compensate_when_in_doubt();
            let step = step.compensate(|_, _| async { Ok::<_, NotRecorded>(()) });
            step.run(|what, ctx| async move {
                put.put(what);
                hangs.send(ctx.trace_id()).unwrap();
                pending::<Result<(), NotRecorded>>().await
            })
            .await?
        });
        saga.await.unwrap().unwrap();
    }));
    let run = hung.await.unwrap();
    store.abandon(store.trace(run)[0].instance);
    let other = Throughline::builder("test").store(store.clone()).build().unwrap();
    assert_eq!(ledger(&other, run).await, entries([("stage:a", InDoubt)]));
    assert_eq!(undo(&other, run, &world).await.unwrap().compensations.len(), 1);
    assert_eq!(world.seen(), [""; 0]);
    assert_eq!(ledger(&other, run).await, entries([("stage:a", Compensated)]));
}

#[tokio::test]
async fn what_follows_an_interrupted_run_leaves_it_open_if_something_of_it_stands() {
    let (store, world) = (MemoryStore::new(), World::default());
    let first = die(&store, &world, false).await;
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    throughline.workflow("loan").key("loan-42").run_infallible(|_| async {}).await.unwrap();
    assert_eq!(state(&throughline, first).await, RunState::Interrupted);
    throughline.abandon(first, "obsolete").await.unwrap();
    assert_eq!(state(&throughline, first).await, RunState::Failed);
    // Also then what stands can be undone.
    assert_eq!(count_undone(&undo(&throughline, first, &world).await.unwrap()), 2);
    assert_eq!(world.seen(), ["c"]);
    assert!(
        ledger(&throughline, first).await.iter().all(|(_, state)| *state != Missing && *state != Standing)
    );
}

#[tokio::test]
async fn the_steps_of_a_second_life_are_counted_on_and_are_second_attempts() {
    let (store, world) = (MemoryStore::new(), World::default());
    let run = die(&store, &world, false).await;
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let resumed = throughline.resume(run).run(|ctx| async move {
        let saga = ctx.saga("loan-approval").steps(3).run(|saga| async move {
            let undo = |_, _| async { Ok::<_, NotRecorded>(()) };
            let recover = |_| async { Ok::<_, NotRecorded>(()) };
            let step = saga.step("stage:a").input("a").compensate(undo);
            step.run_or_recover(|_, _| async { Ok(()) }, recover).await??;
            saga.step("stage:b")
                .input("b")
                .compensate(undo)
                .run(|_, _| async { Ok::<_, NotRecorded>(()) })
                .await??;
            saga.step("stage:c")
                .input("c")
                .compensate(undo)
                .run(|_, _| async { Ok::<_, NotRecorded>(()) })
                .await??;
            Ok::<_, NotRecorded>(())
        });
        saga.await?.map_err(SagaFailed::into_error)?;
        ctx.trace_infallible("stage:sign", async {}).await
    });
    resumed.await.unwrap().unwrap();
    let events = store.trace(run);
    let counted: Vec<_> = events
        .iter()
        .filter(|event| event.seq == 0 && event.event_type.starts_with("stage:"))
        .map(|event| (event.event_type.as_str(), event.step_index, event.step_total, event.attempt))
        .collect();
    assert_eq!(
        counted,
        [
            ("stage:a", Some(1), Some(3), None),
            ("stage:b", Some(2), Some(3), None),
            ("stage:c", Some(3), Some(3), None),
            ("stage:b", Some(2), Some(3), Some(2)),
            ("stage:c", Some(3), Some(3), Some(2)),
            ("stage:sign", Some(1), Some(2), None),
        ]
    );
    let summary = throughline.reader().unwrap().run(run).await.unwrap().unwrap();
    assert_eq!(summary.state, RunState::Succeeded);
    let took = summary.ended.unwrap().since(summary.started);
    let recorded = Duration::from_micros(summary.duration_us.unwrap());
    assert!(took.abs_diff(recorded) < Duration::from_millis(5), "{took:?} and {recorded:?}");
    let explanation = throughline.query(run).await.unwrap().explain();
    assert!(
        explanation.headline.contains("; interrupted once and resumed after "),
        "{}",
        explanation.headline
    );
}

#[tokio::test]
async fn of_steps_of_one_name_each_is_undone_with_its_own_input_however_often_it_takes() {
    let store = MemoryStore::new();
    let dying = Throughline::builder("test").store(store.clone()).build().unwrap();
    let (hangs, hung) = oneshot::channel();
    tokio::spawn(dying.workflow("loan").run_infallible(|ctx| async move {
        let trace_id = ctx.trace_id();
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            for item in 1..=3 {
                let step =
                    saga.step("stage:item").input(item).compensate(|_, _| async { Ok::<_, NotRecorded>(()) });
                step.run(|_, _| async { Ok::<_, NotRecorded>(()) }).await??;
            }
            hangs.send(trace_id).unwrap();
            pending::<Result<(), NotRecorded>>().await
        });
        saga.await.unwrap().unwrap();
    }));
    let run = hung.await.unwrap();
    store.abandon(store.trace(run)[0].instance);
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let undone = Arc::new(Mutex::new(Vec::new()));
    let mut failing = Some(2);
    for _ in 0..2 {
        let fails = failing.take();
        let mut undo = throughline.undo(run, "loan-approval");
        for item in 1..=3 {
            let undone = Arc::clone(&undone);
            undo = undo.step("stage:item", item, move |item, _| async move {
                if fails == Some(item) {
                    return Err("the warehouse is closed");
                }
                undone.lock().unwrap().push(item);
                Ok(())
            });
        }
        undo.run().await.unwrap();
    }
    assert_eq!(*undone.lock().unwrap(), [3, 1, 2]);
    assert!(ledger(&throughline, run).await.iter().all(|(_, state)| state.is_undone()));
}

#[tokio::test]
async fn an_undoing_whose_caller_is_gone_goes_on() {
    let (store, world) = (MemoryStore::new(), World::default());
    let run = die(&store, &world, false).await;
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
    let undoing = throughline
        .undo(run, "loan-approval")
        .step("stage:a", "a", |_, _| async { Ok::<_, NotRecorded>(()) })
        .step("stage:b", "b", move |_, _| async move {
            tell.notify_one();
            wait.notified().await;
            Ok::<_, NotRecorded>(())
        })
        .run();
    tokio::select! {
        _ = undoing => unreachable!(),
        () = begun.notified() => {}
    }
    let refused = undo(&throughline, run, &world).await.unwrap_err();
    assert!(matches!(refused, NotRecorded::AtWork { .. }), "{refused}");
    go_on.notify_one();
    throughline.shutdown(SOON).await;
    let after = Throughline::builder("test").store(store.clone()).build().unwrap();
    let undone = entries([("stage:c", InDoubt), ("stage:b", Compensated), ("stage:a", Compensated)]);
    assert_eq!(ledger(&after, run).await, undone);
    // What is left is to end the run.
    assert_eq!(count_undone(&undo(&after, run, &world).await.unwrap()), 0);
    assert_eq!(state(&after, run).await, RunState::Failed);
}
