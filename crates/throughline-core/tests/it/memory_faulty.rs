//! A faulty store fails as it is told, and tells what it was asked.

use std::sync::Arc;

use throughline_core::testing::{Faults, FaultyStore, run};
use throughline_core::{AppendError, Instance, InstanceId, MemoryStore, StoreConfig, TraceEvent, TraceStore};

use crate::support::away;

async fn faulty() -> (MemoryStore, Faults, Arc<dyn TraceStore>) {
    let memory = MemoryStore::new();
    let store = FaultyStore::around(memory.clone());
    let faults = store.faults();
    let open = store.open(Instance::new(InstanceId::random(), "test")).await.unwrap();
    (memory, faults, open)
}

fn group() -> Vec<Arc<TraceEvent>> {
    let mut told = run("loan-approval");
    told.complete_run();
    told.events().into_iter().map(Arc::new).collect()
}

#[tokio::test]
async fn planned_failures_come_in_order_and_end() {
    let (memory, faults, store) = faulty().await;
    faults.fail_next(2, away);
    faults.fail_next(1, || AppendError::Broken { reason: "gone".to_owned(), source: None });
    let group = group();
    assert!(store.append(&group).await.unwrap_err().is_retryable());
    assert!(store.append(&group).await.unwrap_err().is_retryable());
    assert!(matches!(store.append(&group).await, Err(AppendError::Broken { .. })));
    assert_eq!(memory.events().len(), 0);
    store.append(&group).await.unwrap();
    assert_eq!((memory.events().len(), faults.attempts()), (2, 4));
}

#[tokio::test]
async fn a_lost_acknowledgement_leaves_the_events_there() {
    let (memory, faults, store) = faulty().await;
    faults.lose_next(1);
    let group = group();
    assert!(store.append(&group).await.unwrap_err().is_retryable());
    assert_eq!(memory.events().len(), 2);
    store.append(&group).await.unwrap();
    assert_eq!(memory.events().len(), 2);
}

#[tokio::test]
async fn a_held_store_answers_when_it_is_released_and_heals_when_told() {
    let (memory, faults, store) = faulty().await;
    faults.hold();
    faults.fail_next(u64::MAX, away);
    let appending = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.append(&group()).await }
    });
    faults.attempted(1).await;
    assert_eq!(memory.events().len(), 0);
    faults.release();
    assert!(appending.await.unwrap().is_err());
    faults.heal();
    store.append(&group()).await.unwrap();
    assert_eq!((memory.events().len(), faults.attempts()), (2, 2));
}
