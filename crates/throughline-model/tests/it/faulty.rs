//! What fails on demand fails as it was asked to.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{Either, join, select};
use throughline_model::testing::{Faults, FaultySpool, FaultyStore, MemorySpool, RemoteStore, run};
use throughline_model::{
    AppendError, Claim, Filter, Instance, InstanceId, Limits, OpenError, Page, ReadError, SpoolConfig,
    StoreConfig, TraceEvent, TraceId, TraceStore,
};

fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
}

fn away() -> AppendError {
    AppendError::Unavailable { reason: "away".to_owned(), retry_after: None, source: None }
}

fn instance() -> Instance {
    Instance::new(InstanceId::from_u64(1), "test")
}

async fn faulty() -> (RemoteStore, Faults, Arc<dyn TraceStore>) {
    let remote = RemoteStore::new().stopped_clock();
    let store = FaultyStore::around(remote.clone());
    let faults = store.faults();
    (remote, faults, store.open(instance()).await.unwrap())
}

fn events() -> Vec<Arc<TraceEvent>> {
    let mut builder = run("loan-approval").key("loan-1");
    builder.complete_run();
    builder.events().into_iter().map(Arc::new).collect()
}

/// Whether a call is still waiting after it has had every chance to end.
async fn waits<T>(call: impl Future<Output = T> + Unpin) -> bool {
    let chances = Box::pin(async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    });
    matches!(select(call, chances).await, Either::Right(_))
}

#[test]
fn planned_appends_fail_in_turn_and_then_go_well() {
    block_on(async {
        let (remote, faults, store) = faulty().await;
        faults.fail_next(1, away);
        faults.fail_next(1, || AppendError::Broken { reason: "gone".to_owned(), source: None });
        faults.lose_next(1);
        let group = events();
        assert!(store.append(&group).await.unwrap_err().is_retryable());
        assert!(matches!(store.append(&group).await, Err(AppendError::Broken { .. })));
        assert!(remote.events().is_empty());
        assert!(store.append(&group).await.unwrap_err().is_retryable());
        assert_eq!(remote.events().len(), 2, "done, but not acknowledged");
        store.append(&group).await.unwrap();
        assert_eq!((remote.events().len(), faults.attempts()), (2, 4));
    });
}

#[test]
fn an_append_that_is_never_answered_is_done() {
    block_on(async {
        let (remote, faults, store) = faulty().await;
        faults.never_answer_next(1);
        let group = events();
        assert!(waits(store.append(&group)).await);
        assert_eq!(remote.events().len(), 2);
        store.append(&group).await.unwrap();
        assert_eq!(remote.violations(), [""; 0], "the one that was dropped is not under way any more");
    });
}

#[test]
fn an_append_panics_on_demand_and_appends_nothing() {
    block_on(async {
        let (remote, faults, store) = faulty().await;
        faults.panic_next(1);
        let group = events();
        assert!(AssertUnwindSafe(store.append(&group)).catch_unwind().await.is_err());
        assert!(remote.events().is_empty());
        store.append(&group).await.unwrap();
    });
}

#[test]
fn an_append_that_is_held_waits_until_it_is_released_and_is_healed_meanwhile() {
    block_on(async {
        let (remote, faults, store) = faulty().await;
        faults.hold();
        faults.fail_next(u64::MAX, away);
        let group = events();
        assert!(waits(store.append(&group)).await);
        let release = async {
            faults.attempted(2).await;
            assert!(remote.events().is_empty());
            faults.heal();
            faults.release();
        };
        let (answer, ()) = join(store.append(&group), release).await;
        answer.unwrap();
        assert_eq!(faults.attempts(), 2);
    });
}

#[test]
fn every_call_of_a_store_fails_by_itself() {
    block_on(async {
        let (_, faults, store) = faulty().await;
        let trace = TraceId::from_key("loan-1");
        for calls in [faults.heartbeat(), faults.claim(), faults.release_claim(), faults.close()] {
            calls.fail_next(1, away);
        }
        let reader = store.readers().reader;
        faults.read().fail_next(1, || ReadError::Unavailable { reason: "away".to_owned(), source: None });
        assert!(reader.events(&Filter::new(), &Page::first(1)).await.is_err());
        assert!(reader.events(&Filter::new(), &Page::first(1)).await.is_ok());
        assert!(store.heartbeat().await.is_err() && store.heartbeat().await.is_ok());
        assert!(store.claim(trace).await.is_err());
        assert_eq!(store.claim(trace).await.unwrap(), Claim::Granted);
        assert!(store.release(trace).await.is_err() && store.release(trace).await.is_ok());
        faults.heartbeat().hold();
        assert!(waits(store.heartbeat()).await);
        store.append(&events()).await.expect("what is held is held by itself");
        assert!(store.close().await.is_err() && store.close().await.is_ok());
        assert_eq!((faults.close().attempts(), faults.heartbeat().attempts()), (2, 3));
    });
}

#[test]
fn a_store_cannot_be_opened_on_demand() {
    block_on(async {
        let store = FaultyStore::around(RemoteStore::new());
        store.faults().open().fail_next(2, || OpenError::Unavailable {
            store: "remote",
            reason: "away".to_owned(),
            source: None,
        });
        assert!(store.open(instance()).await.is_err_and(|error| error.is_retryable()));
        assert!(store.open_readers().await.is_err());
        assert!(store.open(instance()).await.is_ok() && store.open_readers().await.is_ok());
    });
}

#[test]
fn a_removal_from_a_spool_is_done_though_its_answer_is_lost() {
    block_on(async {
        let spool = FaultySpool::around(MemorySpool::new());
        let faults = spool.faults();
        let open = spool.open(instance()).await.unwrap();
        open.push(&events()).await.unwrap();
        faults.remove_through().lose_next(1);
        let first = open.peek(1).await.unwrap()[0].position;
        assert!(open.remove_through(first).await.is_err());
        open.remove_through(first).await.unwrap();
        assert_eq!(open.usage().await.unwrap().events, 1);
    });
}

#[test]
fn a_remote_store_records_who_does_not_keep_to_its_limits() {
    block_on(async {
        let remote = RemoteStore::new().limits(Limits::new().events(3).bytes(2000).by_trace(2));
        let store = remote.open(instance()).await.unwrap();
        let mut batch = run("batch").key("batch");
        (0..3).for_each(|_| {
            batch.point("stage:item");
        });
        let batch: Vec<_> = batch.events().into_iter().map(Arc::new).collect();
        let other = events();
        let mixed = [batch[0].clone(), other[0].clone()];
        let mut large = TraceEvent::clone(&batch[0]);
        large.workflow = Some("x".repeat(2000).into());
        let with_large = [Arc::new(large), batch[1].clone()];
        for call in [&batch[..], &mixed, &with_large] {
            assert!(matches!(store.append(call).await, Err(AppendError::Rejected { .. })));
        }
        store.append(&with_large[..1]).await.expect("what is too large is taken alone");
        let (first, second) = join(store.append(&batch[..1]), store.append(&batch[1..2])).await;
        assert!(first.is_ok() && second.is_err());
        let violations = remote.violations();
        let want = ["4 events in a call", "2 traces in a call", "bytes in a call", "two calls at once"];
        assert_eq!(violations.len(), want.len());
        for (said, want) in violations.iter().zip(want) {
            assert!(said.contains(want), "{said}");
        }
    });
}

#[test]
fn an_instance_of_a_remote_store_can_be_expired() {
    block_on(async {
        let (remote, _, store) = faulty().await;
        let trace = TraceId::from_key("loan-1");
        assert_eq!(store.claim(trace).await.unwrap(), Claim::Granted);
        assert_eq!(remote.holder(trace), Some(instance().id));
        remote.expire(instance().id);
        assert_eq!(remote.holder(trace), None);
        assert!(
            store.claim(trace).await.unwrap_err().is_retryable(),
            "a claim without a lease would be void"
        );
        store.heartbeat().await.unwrap();
        assert_eq!(remote.holder(trace), Some(instance().id));
    });
}
