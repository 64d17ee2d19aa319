//! Of several instances that want a run, one has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use super::{OpenStore, StoreFixture, hold, open, open_as};
use crate::testing::run;
use crate::{Claim, Filter, InstanceId, TraceId};

/// Long enough for a busy machine; a promise that holds never waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

impl OpenStore {
    /// Asks for a run.
    pub(super) async fn claim(&self, trace: TraceId) -> Claim {
        self.store.claim(trace).await.expect("a claim is answered")
    }

    /// Gives a run back.
    pub(super) async fn release(&self, trace: TraceId) {
        self.store.release(trace).await.expect("a release is answered");
    }
}

async fn open_some(fixture: &impl StoreFixture, count: usize) -> Vec<OpenStore> {
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(open(fixture).await);
    }
    stores
}

pub fn of_many_claims_at_once_one_is_granted<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let stores: Vec<_> = open_some(fixture, 5).await.into_iter().map(Arc::new).collect();
        for number in 0..20 {
            let trace = TraceId::from_key(&format!("loan-{number}"));
            let claims = stores.iter().map(|store| {
                let store = Arc::clone(store);
                tokio::spawn(async move { (store.id, store.claim(trace).await) })
            });
            let answers: Vec<(InstanceId, Claim)> =
                join_all(claims).await.into_iter().map(|answer| answer.unwrap()).collect();
            let granted: Vec<_> =
                answers.iter().filter(|(_, claim)| *claim == Claim::Granted).map(|(id, _)| *id).collect();
            let [holder] = granted[..] else { panic!("one instance has the run, not {granted:?}") };
            let refused = answers.iter().filter(|(id, _)| *id != holder);
            assert!(refused.into_iter().all(|(_, claim)| *claim == Claim::HeldBy(holder)), "{answers:?}");
        }
    });
}

pub fn two_instances_never_have_one_run_at_a_time<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let (trace, at_work) = (TraceId::from_key("loan-1"), Arc::new(AtomicUsize::new(0)));
        let workers = open_some(fixture, 4).await.into_iter().map(|store| {
            let at_work = Arc::clone(&at_work);
            tokio::spawn(async move {
                for _ in 0..10 {
                    while store.claim(trace).await != Claim::Granted {
                        tokio::task::yield_now().await;
                    }
                    assert_eq!(at_work.fetch_add(1, Ordering::SeqCst), 0, "another works on it");
                    tokio::task::yield_now().await;
                    at_work.fetch_sub(1, Ordering::SeqCst);
                    store.release(trace).await;
                }
            })
        });
        let workers: Vec<_> = workers.collect();
        let done = tokio::time::timeout(PATIENCE, join_all(workers)).await;
        done.expect("a run that is given back can be claimed").into_iter().for_each(|worker| worker.unwrap());
    });
}

pub fn a_claim_is_held_until_it_is_released<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let (mine, other) = (open(fixture).await, open(fixture).await);
        let [first, second] = ["loan-1", "loan-2"].map(TraceId::from_key);
        assert_eq!(mine.claim(first).await, Claim::Granted);
        assert_eq!(other.claim(first).await, Claim::HeldBy(mine.id));
        assert_eq!(other.claim(second).await, Claim::Granted, "another run is free");
        assert_eq!(mine.claim(first).await, Claim::Granted, "it holds it already");
        assert_eq!(other.claim(first).await, Claim::HeldBy(mine.id), "asking twice needs one release");
        mine.release(first).await;
        assert_eq!(other.claim(first).await, Claim::Granted);
        assert_eq!(mine.claim(first).await, Claim::HeldBy(other.id));
        assert_eq!(mine.claim(second).await, Claim::HeldBy(other.id));
    });
}

pub fn a_release_by_another_changes_nothing<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let (mine, other) = (open(fixture).await, open(fixture).await);
        let trace = TraceId::from_key("loan-1");
        other.release(trace).await;
        assert_eq!(mine.claim(trace).await, Claim::Granted);
        other.release(trace).await;
        assert_eq!(other.claim(trace).await, Claim::HeldBy(mine.id));
        mine.release(trace).await;
        mine.release(trace).await;
        assert_eq!(other.claim(trace).await, Claim::Granted);
        mine.release(trace).await;
        assert_eq!(mine.claim(trace).await, Claim::HeldBy(other.id));
    });
}

pub fn closing_gives_every_claim_back<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let (mine, other) = (open(fixture).await, open(fixture).await);
        let traces = ["loan-1", "loan-2", "loan-3"].map(TraceId::from_key);
        for trace in traces {
            assert_eq!(mine.claim(trace).await, Claim::Granted);
        }
        let id = mine.id;
        mine.close().await;
        assert_eq!(other.claim(traces[0]).await, Claim::Granted);
        // What it held before, it does not hold when it opens the store again.
        let again = open_as(fixture, id).await;
        assert_eq!(other.claim(traces[1]).await, Claim::Granted);
        assert_eq!(again.claim(traces[0]).await, Claim::HeldBy(other.id));
        assert_eq!(again.claim(traces[2]).await, Claim::Granted);
    });
}

pub fn a_claim_makes_no_run<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let (mine, other) = (open(fixture).await, open(fixture).await);
        let mut builder = run("loan-approval").key("loan-1").instance(other.id);
        let trace = builder.trace_id();
        assert_eq!(mine.claim(trace).await, Claim::Granted, "the run need not be there yet");
        assert_eq!(mine.reader.run(trace).await.unwrap(), None);
        assert_eq!(mine.runs(&Filter::new()).await, []);
        assert_eq!(mine.open_runs().await, []);
        assert_eq!(mine.reader.find_by_id_prefix("", 10).await.unwrap(), []);
        // A claim is a question of who works on a run, not of who may write.
        builder.complete_run();
        other.append(&builder.events()).await;
        assert_eq!(mine.reader.trace(trace).await.unwrap(), builder.events());
        assert_eq!(other.claim(trace).await, Claim::HeldBy(mine.id), "its end does not release it");
    });
}
