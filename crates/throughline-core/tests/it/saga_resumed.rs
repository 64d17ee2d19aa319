//! Sagas in a run that is resumed: each is found again, also one that had come to its end.

use std::future::pending;
use std::sync::{Arc, Mutex};

use throughline_core::{
    CompensationOutcome, MemoryStore, NotRecorded, RunState, SagaFailed, Throughline, TraceContext, TraceId,
    names,
};
use tokio::sync::oneshot;

/// What was done, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// What a saga does after its step.
enum Then {
    Succeed,
    Fail,
    Hang(oneshot::Sender<()>),
}

/// A saga with one step that pays for an item.
async fn pay(ctx: &TraceContext, log: &Log, item: &'static str, then: Then) -> Result<(), NotRecorded> {
    let log = log.clone();
    let saga = ctx.saga("payment").run(|saga| async move {
        let (pay, find, undo) = (log.clone(), log.clone(), log);
        let step = saga.step("stage:pay").input(item).compensate(move |item, _| async move {
            undo.add(format!("{item} undone"));
            Ok::<_, NotRecorded>(())
        });
        let done = async move |item, _| {
            pay.add(format!("{item} paid"));
            Ok::<_, NotRecorded>(())
        };
        let found = async move |item| {
            find.add(format!("{item} found"));
            Ok(())
        };
        step.run_or_recover(done, found).await??;
        match then {
            Then::Succeed => Ok(()),
            Then::Fail => Err(NotRecorded::NoKey),
            Then::Hang(hangs) => {
                hangs.send(()).unwrap();
                pending().await
            }
        }
    });
    saga.await?.map_err(SagaFailed::into_error)
}

/// A run whose process dies after a saga for each of these items, or within one for the last.
async fn die(
    store: &MemoryStore,
    log: &Log,
    done: &'static [&'static str],
    last: Option<&'static str>,
) -> TraceId {
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let (hangs, hung) = oneshot::channel();
    let log = log.clone();
    tokio::spawn(throughline.workflow("loan").key("loan-42").run_infallible(move |ctx| async move {
        for item in done {
            pay(&ctx, &log, item, Then::Succeed).await.unwrap();
        }
        match last {
            Some(last) => pay(&ctx, &log, last, Then::Hang(hangs)).await.unwrap(),
            None => {
                hangs.send(()).unwrap();
                pending::<()>().await;
            }
        }
    }));
    hung.await.unwrap();
    let first = &store.events()[0];
    store.abandon(first.instance);
    first.trace_id
}

#[tokio::test]
async fn the_steps_of_a_saga_that_succeeded_are_recovered_and_not_done_again() {
    let (store, log) = (MemoryStore::new(), Log::default());
    let run = die(&store, &log, &["a"], None).await;
    assert_eq!(log.take(), ["a paid"]);
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let seen = log.clone();
    let resumed =
        throughline.resume(run).run(|ctx| async move { pay(&ctx, &seen, "a", Then::Succeed).await });
    resumed.await.unwrap().unwrap();
    assert_eq!(log.take(), ["a found"]);
    let events = store.trace(run);
    let sagas: Vec<_> = events.iter().filter(|event| event.event_type.starts_with("saga:")).collect();
    assert!(sagas.iter().all(|event| event.span_id == sagas[0].span_id), "it is one saga");
    let query = throughline.query(run).await.unwrap();
    assert!(query.problems().is_empty() && query.compensation_ledger().is_clean());
    assert_eq!(throughline.reader().unwrap().run(run).await.unwrap().unwrap().state, RunState::Succeeded);
}

#[tokio::test]
async fn a_saga_that_succeeded_before_and_fails_when_it_is_gone_through_again_is_undone() {
    let (store, log) = (MemoryStore::new(), Log::default());
    let run = die(&store, &log, &["a"], None).await;
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let seen = log.clone();
    let resumed = throughline.resume(run).run(|ctx| async move { pay(&ctx, &seen, "a", Then::Fail).await });
    resumed.await.unwrap().unwrap_err();
    assert_eq!(log.take(), ["a paid", "a found", "a undone"]);
    let ledger = throughline.query(run).await.unwrap().compensation_ledger();
    assert!(ledger.is_clean() && !ledger.is_empty(), "{ledger:?}");
}

#[tokio::test]
async fn sagas_of_one_name_are_found_again_in_the_order_in_which_they_began() {
    let (store, log) = (MemoryStore::new(), Log::default());
    let run = die(&store, &log, &["a"], Some("b")).await;
    assert_eq!(log.take(), ["a paid", "b paid"]);
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let seen = log.clone();
    let resumed = throughline.resume(run).run(|ctx| async move {
        for item in ["a", "b", "c"] {
            pay(&ctx, &seen, item, Then::Succeed).await?;
        }
        Ok::<_, NotRecorded>(())
    });
    resumed.await.unwrap().unwrap();
    assert_eq!(log.take(), ["a found", "b found", "c paid"]);
    let events = store.trace(run);
    let starts = |name| events.iter().filter(|event| event.event_type == name).count();
    assert_eq!((starts(names::SAGA_STARTED), starts(names::SAGA_RESUMED)), (3, 2));
    assert!(throughline.query(run).await.unwrap().compensation_ledger().is_clean());
}

/// Undoes what the saga of the run paid for.
async fn undo(throughline: &Throughline, run: TraceId, log: &Log) -> SagaFailed<throughline_core::Text> {
    let log = log.clone();
    let undoing = throughline.undo(run, "payment").step("stage:pay", "a", move |item, _| async move {
        log.add(format!("{item} undone"));
        Ok::<_, NotRecorded>(())
    });
    undoing.run().await.unwrap()
}

#[tokio::test]
async fn what_a_resumed_saga_fails_before_it_reaches_is_not_said_to_be_undone() {
    let (store, log) = (MemoryStore::new(), Log::default());
    let run = die(&store, &log, &[], Some("a")).await;
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let resumed = throughline.resume(run).run(|ctx| async move {
        ctx.saga("payment").run(|_| async { Err::<(), _>("the account is closed") }).await.unwrap()
    });
    let failed = resumed.await.unwrap().unwrap_err();
    assert!(!failed.is_undone());
    let left: Vec<_> = failed.orphaned().map(|step| (&*step.step, step.outcome.clone())).collect();
    assert_eq!(left, [("stage:pay", CompensationOutcome::NotRegistered)]);
    assert_eq!(throughline.query(run).await.unwrap().compensation_ledger().all_that_stands().count(), 1);
    assert!(undo(&throughline, run, &log).await.is_undone());
    assert_eq!(log.take(), ["a paid", "a undone"]);
    assert!(throughline.query(run).await.unwrap().compensation_ledger().is_clean());
}

#[tokio::test]
async fn a_resumed_saga_that_is_dropped_before_it_reaches_what_stands_stays_open() {
    let (store, log) = (MemoryStore::new(), Log::default());
    let run = die(&store, &log, &[], Some("a")).await;
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let (hangs, hung) = oneshot::channel();
    let resumed = tokio::spawn(throughline.resume(run).run(|ctx| async move {
        let saga = ctx.saga("payment").run(|_| async move {
            hangs.send(()).unwrap();
            pending::<Result<(), NotRecorded>>().await
        });
        saga.await?.map_err(SagaFailed::into_error)
    }));
    hung.await.unwrap();
    resumed.abort();
    assert!(resumed.await.is_err());
    let reader = throughline.reader().unwrap();
    assert_eq!(reader.run(run).await.unwrap().unwrap().state, RunState::Interrupted);
    assert!(undo(&throughline, run, &log).await.is_undone());
    assert_eq!(log.take(), ["a paid", "a undone"]);
    assert!(throughline.query(run).await.unwrap().compensation_ledger().is_clean());
}

#[tokio::test]
async fn a_step_that_can_not_be_recovered_is_undone_all_the_same() {
    let (store, log) = (MemoryStore::new(), Log::default());
    let run = die(&store, &log, &[], Some("a")).await;
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let seen = log.clone();
    let resumed = throughline.resume(run).run(|ctx| async move {
        let saga = ctx.saga("payment").run(|saga| async move {
            let step = saga.step("stage:pay").input("a").compensate(move |item, _| async move {
                seen.add(format!("{item} undone"));
                Ok::<_, NotRecorded>(())
            });
            step.run_or_recover(|_, _| async { Ok(()) }, |_| async { Err("the receipt is lost") })
                .await
                .unwrap()
        });
        saga.await.unwrap()
    });
    assert!(resumed.await.unwrap().unwrap_err().is_undone());
    assert_eq!(log.take(), ["a paid", "a undone"]);
}
