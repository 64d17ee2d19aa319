//! Sagas whose callers are gone: a client that hangs up, a time-out, a process that dies; and how they are undone by others.

use std::error::Error as _;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use throughline_core::query::CompensationState::{self, Compensated, InDoubt, Missing, Standing};
use throughline_core::{
    BoxError, CompensationOutcome, MemoryStore, NotRecorded, OnCancel, RunState, Saga, SagaFailed, Status,
    Throughline, TraceContext, TraceId, names,
};
use tokio::sync::{Notify, oneshot};

use crate::support::{ended, open, started};

const SOON: Duration = Duration::from_secs(60);

/// What stands in the world, in the order in which it was done.
#[derive(Clone, Default)]
struct World(Arc<Mutex<Vec<&'static str>>>);

impl World {
    fn put(&self, what: &'static str) {
        self.0.lock().unwrap().push(what);
    }

    fn remove(&self, what: &'static str) {
        self.0.lock().unwrap().retain(|there| *there != what);
    }

    fn seen(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }

    /// A step that puts something into the world, and takes it out again if it is undone.
    async fn reserve(&self, saga: &Saga, name: &'static str, what: &'static str) -> Result<(), NotRecorded> {
        let (world, undo) = (self.clone(), self.clone());
        let step = saga.step(name).input(what).resource(what).compensate(move |what, _| async move {
            undo.remove(what);
            Ok::<_, NotRecorded>(())
        });
        step.run(|what, _| async move {
            world.put(what);
            Ok(())
        })
        .await?
    }
}

/// A saga that reserves two things and then hangs.
async fn hang(ctx: TraceContext, world: World, on_cancel: OnCancel, hangs: oneshot::Sender<()>) {
    let saga = ctx.saga("loan-approval").on_cancel(on_cancel).run(|saga| async move {
        world.reserve(&saga, "stage:a", "a").await?;
        world.reserve(&saga, "stage:b", "b").await?;
        hangs.send(()).unwrap();
        pending::<()>().await;
        Ok::<_, NotRecorded>(())
    });
    saga.await.unwrap().unwrap();
}

/// Runs such a saga until it hangs, and drops it.
async fn hang_up(throughline: &Throughline, world: &World, on_cancel: OnCancel) -> TraceId {
    let (tx, hangs) = oneshot::channel();
    let (id, known) = oneshot::channel();
    let world = world.clone();
    let run = throughline.workflow("loan").key("loan-42").run_infallible(|ctx| async move {
        id.send(ctx.trace_id()).unwrap();
        hang(ctx, world, on_cancel, tx).await;
    });
    tokio::select! {
        _ = run => unreachable!(),
        hung = hangs => hung.unwrap(),
    }
    known.await.unwrap()
}

async fn state(throughline: &Throughline, run: TraceId) -> RunState {
    throughline.reader().unwrap().run(run).await.unwrap().unwrap().state
}

async fn ledger(throughline: &Throughline, run: TraceId) -> Vec<(String, CompensationState)> {
    let ledger = throughline.query(run).await.unwrap().compensation_ledger();
    let entries = ledger.sagas.iter().flat_map(|saga| &saga.entries);
    entries.map(|entry| (entry.step.name.to_string(), entry.state)).collect()
}

fn entries<const N: usize>(of: [(&str, CompensationState); N]) -> Vec<(String, CompensationState)> {
    of.into_iter().map(|(name, state)| (name.to_owned(), state)).collect()
}

/// Undoes the saga from another process.
async fn undo(
    throughline: &Throughline,
    run: TraceId,
    world: &World,
) -> Result<SagaFailed<throughline_core::Text>, NotRecorded> {
    let remove = |world: &World| {
        let world = world.clone();
        move |what: &'static str, _: TraceContext| async move {
            world.remove(what);
            Ok::<_, NotRecorded>(())
        }
    };
    throughline
        .undo(run, "loan-approval")
        .step("stage:a", "a", remove(world))
        .step("stage:b", "b", remove(world))
        .run()
        .await
}

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

/// A process that dies after two steps of a saga and within a third.
async fn die(store: &MemoryStore, world: &World, in_request: bool) -> TraceId {
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let (hangs, hung) = oneshot::channel();
    let inside = world.clone();
    let body = |ctx: TraceContext| async move {
        let trace_id = ctx.trace_id();
        let saga = ctx.saga("loan-approval").steps(3).run(|saga| async move {
            inside.reserve(&saga, "stage:a", "a").await?;
            inside.reserve(&saga, "stage:b", "b").await?;
            let step = saga
                .step("stage:c")
                .input("c")
                .resource("c")
                .compensate(|_, _| async { Ok::<_, NotRecorded>(()) });
            step.run(|what, _| async move {
                inside.put(what);
                hangs.send(trace_id).unwrap();
                pending::<Result<(), NotRecorded>>().await
            })
            .await?
        });
        saga.await.unwrap().unwrap();
    };
    if in_request {
        let request = throughline.request("http:request").open();
        tokio::spawn(body(request.context().clone()));
        std::mem::forget(request);
    } else {
        tokio::spawn(throughline.workflow("loan").key("loan-42").steps(2).run_infallible(body));
    }
    let trace_id = hung.await.unwrap();
    store.abandon(store.trace(trace_id)[0].instance);
    trace_id
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
        assert_eq!(failed.compensations.len(), 2, "{failed:?}");
        assert_eq!(world.seen(), ["c"], "of this nobody knows");
        let undone = entries([("stage:c", InDoubt), ("stage:b", Compensated), ("stage:a", Compensated)]);
        assert_eq!(ledger(&throughline, run).await, undone);
        assert_eq!(state(&throughline, run).await, RunState::Failed);
        assert_eq!(undo(&throughline, run, &world).await.unwrap().compensations, []);
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
        matches!(outcomes[..], [CompensationOutcome::Failed(_), CompensationOutcome::NotRegistered]),
        "{failed:?}"
    );
    assert_eq!(state(&throughline, run).await, RunState::Interrupted, "the run has not ended");
    assert!(undo(&throughline, run, &world).await.unwrap().is_undone());
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
                    undo(&throughline, run, &world).await.map(|undone| undone.compensations.len())
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
async fn a_step_that_is_undone_when_in_doubt_is_undone_however_it_did_not_succeed() {
    for how in ["fails", "panics", "is dropped"] {
        let (throughline, store) = open();
        let (world, (hangs, hung)) = (World::default(), oneshot::channel());
        let (put, undo) = (world.clone(), world.clone());
        let run = throughline.workflow("loan").run_infallible(|ctx| async move {
            let saga = ctx.saga("loan-approval").run(|saga| async move {
                let step = saga.step("stage:charge").input("c-9").compensate_when_in_doubt();
                let step = step.compensate(move |what, _| async move {
                    undo.remove(what);
                    Ok::<_, NotRecorded>(())
                });
                step.run(|what, _| async move {
                    put.put(what);
                    match how {
                        "fails" => Err("no answer"),
                        "panics" => panic!("no answer"),
                        _ => {
                            hangs.send(()).unwrap();
                            pending().await
                        }
                    }
                })
                .await
                .unwrap()
            });
            let _: Result<(), _> = saga.await.unwrap();
        });
        let run = futures_util::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(run));
        tokio::select! {
            biased;
            _ = hung, if how == "is dropped" => {}
            outcome = run => assert_eq!(outcome.is_err(), how == "panics"),
        }
        throughline.shutdown(SOON).await;
        assert_eq!(world.seen(), [""; 0], "{how}");
        let reader = MemoryStore::readers(&store).reader;
        let query = throughline_core::TraceQuery::read(&*reader, store.events()[0].trace_id).await.unwrap();
        assert!(query.compensation_ledger().is_clean(), "{how}: {:#?}", query.compensation_ledger());
        let undo = started(&store.events(), "compensate:charge");
        assert_eq!(undo.links[0].span_id, started(&store.events(), "stage:charge").span_id);
    }
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
async fn the_error_of_a_saga_is_the_source_of_its_failure() {
    #[derive(Debug, thiserror::Error)]
    #[error("the bureau did not answer")]
    struct Bureau(#[source] std::io::Error);

    let (throughline, store) = open();
    let run = throughline.workflow("loan").run(|ctx| async move {
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            let step = saga.step("stage:a").input(()).compensate(|(), _| async { Ok::<_, NotRecorded>(()) });
            step.run(|(), _| async { Ok::<_, Bureau>(()) }).await.unwrap()?;
            Err::<(), _>(Bureau(std::io::Error::other("connection reset")))
        });
        saga.await.unwrap()
    });
    let failed = run.await.unwrap().unwrap_err();
    assert_eq!(failed.to_string(), "the saga failed; 1 of 1 steps were undone");
    let source = failed.source().unwrap();
    assert!(source.is::<Bureau>());
    assert_eq!(source.source().unwrap().to_string(), "connection reset");
    let error = ended(&store.events(), names::WORKFLOW_FAILED).error.unwrap();
    assert_eq!(error.chain, ["the bureau did not answer", "connection reset"]);
    let cause = throughline.query(store.events()[0].trace_id).await.unwrap().explain().cause.unwrap();
    assert_eq!(cause.span.name, "saga:loan-approval");

    let boxed = SagaFailed::before_anything(BoxError::from("plain"));
    assert_eq!(
        (boxed.source().unwrap().to_string(), boxed.to_string()),
        ("plain".to_owned(), "the saga failed; nothing had to be undone".to_owned())
    );
    let text = SagaFailed::before_anything("no funds");
    assert!(text.source().is_none());
    assert_eq!(text.to_string(), "the saga failed: no funds; nothing had to be undone");
}

#[tokio::test]
async fn a_compensable_step_that_failed_is_in_doubt() {
    let (throughline, store) = open();
    let run = throughline.workflow("loan").run(|ctx| async move {
        let saga = ctx.saga("loan-approval").run(|saga| async move {
            let step =
                saga.step("stage:charge").input("c-9").compensate(|_, _| async { Ok::<_, NotRecorded>(()) });
            step.run(|_, _| async { Err::<(), _>("timed out") }).await.unwrap()
        });
        saga.await.unwrap()
    });
    run.await.unwrap().unwrap_err();
    let run = store.events()[0].trace_id;
    assert_eq!(ledger(&throughline, run).await, entries([("stage:charge", InDoubt)]));
    assert!(!throughline.query(run).await.unwrap().compensation_ledger().is_clean());
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
    assert!(undo(&throughline, first, &world).await.unwrap().is_undone());
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
    assert_eq!(undo(&after, run, &world).await.unwrap().compensations, []);
    assert_eq!(state(&after, run).await, RunState::Failed);
}
