//! The outbox.

use std::path::Path;
use std::sync::Arc;

use throughline_model::testing::sample_log;
use throughline_model::{Instance, InstanceId, OpenError, Spool, SpoolConfig};
use throughline_sqlite::SqliteSpool;

use crate::{Place, shared};

async fn open(path: &Path, capacity: u64) -> Result<Arc<dyn Spool>, OpenError> {
    let config = Box::new(SqliteSpool::new(path).capacity_events(capacity));
    config.open(Instance::new(InstanceId::random(), "test")).await
}

#[tokio::test]
async fn events_come_out_in_the_order_they_went_in_across_processes() {
    let place = Place::new();
    let events = shared(&sample_log(1, 20, &[InstanceId::random()]));
    let spool = open(&place.path(), 1000).await.unwrap();
    assert_eq!(spool.peek(10).await.unwrap(), []);
    for group in events.chunks(7) {
        spool.push(group).await.unwrap();
    }
    assert_eq!(spool.peek(5).await.unwrap(), events[..5]);
    spool.remove(3).await.unwrap();
    spool.remove(0).await.unwrap();
    drop(spool);

    let spool = open(&place.path(), 1000).await.unwrap();
    assert_eq!(spool.waiting().await.unwrap(), events.len() as u64 - 3);
    assert_eq!(spool.peek(usize::MAX).await.unwrap(), events[3..]);
    spool.remove(events.len() + 100).await.unwrap();
    assert_eq!((spool.waiting().await.unwrap(), spool.peek(1).await.unwrap()), (0, vec![]));
    spool.push(&events[..1]).await.unwrap();
    assert_eq!(spool.waiting().await.unwrap(), 1);
}

#[tokio::test]
async fn a_full_spool_refuses_the_whole_group_until_there_is_room() {
    let place = Place::new();
    let events = shared(&sample_log(2, 5, &[]));
    let spool = open(&place.path(), 5).await.unwrap();
    spool.push(&events[..3]).await.unwrap();
    let error = spool.push(&events[3..6]).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("all it may hold"), "{error}");
    assert_eq!(spool.waiting().await.unwrap(), 3);
    spool.remove(1).await.unwrap();
    spool.push(&events[3..6]).await.unwrap();
    assert_eq!(spool.peek(9).await.unwrap(), events[1..6]);
}

#[tokio::test]
async fn one_process_uses_a_spool_at_a_time() {
    let place = Place::new();
    let spool = open(&place.path(), 5).await.unwrap();
    let error = open(&place.path(), 5).await.map(drop).unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("in use by another process"), "{error}");
    drop(spool);
    open(&place.path(), 5).await.unwrap();
}

#[tokio::test]
async fn a_store_is_no_spool_and_a_spool_is_no_store() {
    let (store, spool) = (Place::new(), Place::new());
    drop(crate::open(store.store()).await);
    let error = open(&store.path(), 5).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("not a Throughline spool"), "{error}");
    drop(open(&spool.path(), 5).await.unwrap());
    let error = spool.store().open_reader().map(drop).unwrap_err().to_string();
    assert!(error.contains("not a Throughline store"), "{error}");
}
