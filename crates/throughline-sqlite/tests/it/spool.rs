//! The outbox.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use throughline_model::testing::sample_log;
use throughline_model::{AppendError, Instance, InstanceId, OpenError, Spool, SpoolConfig, TraceEvent};
use throughline_sqlite::SqliteSpool;

use crate::{Place, shared};

async fn open(path: &Path) -> Arc<dyn Spool> {
    try_open(&SqliteSpool::new(path)).await.unwrap()
}

async fn try_open(config: &SqliteSpool) -> Result<Arc<dyn Spool>, OpenError> {
    config.open(Instance::new(InstanceId::random(), "loan-service")).await
}

async fn peek(spool: &Arc<dyn Spool>, limit: usize) -> Vec<Arc<TraceEvent>> {
    spool.peek(limit).await.unwrap().into_iter().map(|spooled| spooled.event).collect()
}

async fn usage(spool: &Arc<dyn Spool>) -> (u64, u64) {
    let usage = spool.usage().await.unwrap();
    (usage.events, usage.bytes)
}

fn bytes(events: &[Arc<TraceEvent>]) -> u64 {
    events.iter().map(|event| serde_json::to_vec(&**event).unwrap().len() as u64).sum()
}

#[tokio::test]
async fn events_come_out_in_the_order_they_went_in_across_processes() {
    let place = Place::new();
    let events = shared(&sample_log(1, 20, &[InstanceId::random()]));
    let spool = open(&place.path()).await;
    assert_eq!(spool.peek(10).await.unwrap(), []);
    for group in events.chunks(7) {
        spool.push(group).await.unwrap();
    }
    let first = spool.peek(5).await.unwrap();
    assert!(first.iter().map(|spooled| &spooled.event).eq(&events[..5]));
    assert!(first.is_sorted_by(|one, next| one.position < next.position));
    spool.remove_through(first[2].position).await.unwrap();
    spool.remove_through(0).await.unwrap();
    spool.close().await.unwrap();

    let spool = open(&place.path()).await;
    assert_eq!(usage(&spool).await, (events.len() as u64 - 3, bytes(&events[3..])));
    let rest = spool.peek(usize::MAX).await.unwrap();
    assert!(rest.iter().map(|spooled| &spooled.event).eq(&events[3..]));
    assert_eq!(rest[0].position, first[3].position, "a position stays the same");
    spool.remove_through(u64::MAX).await.unwrap();
    assert_eq!((usage(&spool).await, peek(&spool, 1).await), ((0, 0), vec![]));
    spool.push(&events[..1]).await.unwrap();
    assert_eq!(usage(&spool).await, (1, bytes(&events[..1])));
}

#[tokio::test]
async fn positions_are_never_reused() {
    let place = Place::new();
    let events = shared(&sample_log(1, 3, &[]));
    let mut last = 0;
    for _ in 0..3 {
        let spool = open(&place.path()).await;
        spool.push(&events[..2]).await.unwrap();
        let waiting = spool.peek(9).await.unwrap();
        assert!(waiting.len() == 2 && waiting[0].position > last);
        last = waiting[1].position;
        spool.remove_through(last).await.unwrap();
        spool.close().await.unwrap();
    }
}

#[tokio::test]
async fn removing_again_removes_nothing_more_and_counts_nothing_twice() {
    let place = Place::new();
    let events = shared(&sample_log(1, 3, &[]));
    let spool = open(&place.path()).await;
    spool.push(&events[..4]).await.unwrap();
    let second = spool.peek(2).await.unwrap()[1].position;
    for _ in 0..3 {
        spool.remove_through(second).await.unwrap();
        assert_eq!(usage(&spool).await, (2, bytes(&events[2..4])));
        assert_eq!(peek(&spool, 9).await, events[2..4]);
    }
    spool.push(&events[..1]).await.unwrap();
    spool.remove_through(second).await.unwrap();
    assert_eq!(usage(&spool).await.0, 3);
}

#[tokio::test]
async fn a_removal_that_fails_is_repeated_without_harm() {
    let place = Place::new();
    let events = shared(&sample_log(1, 3, &[]));
    // The trigger stands for a disk that fails in the middle of the removal.
    open(&place.path()).await.close().await.unwrap();
    let shell = Connection::open(place.path()).unwrap();
    shell
        .execute_batch(
            "CREATE TABLE disk (fails); INSERT INTO disk (fails) VALUES (1);
             CREATE TRIGGER fail BEFORE DELETE ON waiting WHEN old.id = 2 AND (SELECT fails FROM disk)
             BEGIN SELECT raise(ABORT, 'disk I/O error'); END;",
        )
        .unwrap();
    drop(shell);
    let spool = open(&place.path()).await;
    spool.push(&events[..4]).await.unwrap();
    let third = spool.peek(3).await.unwrap()[2].position;
    for _ in 0..2 {
        spool.remove_through(third).await.unwrap_err();
        assert_eq!(usage(&spool).await, (4, bytes(&events[..4])));
    }
    assert_eq!(peek(&spool, 9).await, events[..4]);
    spool.close().await.unwrap();

    let shell = Connection::open(place.path()).unwrap();
    shell.execute_batch("UPDATE disk SET fails = 0").unwrap();
    drop(shell);
    let spool = open(&place.path()).await;
    for _ in 0..2 {
        spool.remove_through(third).await.unwrap();
        assert_eq!(usage(&spool).await, (1, bytes(&events[3..4])));
    }
}

#[tokio::test]
async fn a_full_spool_refuses_the_whole_group_until_there_is_room() {
    let place = Place::new();
    let events = shared(&sample_log(2, 5, &[]));
    let capacity = bytes(&events[..5]).max(bytes(&events[1..6]));
    let spool = try_open(&SqliteSpool::new(place.path()).capacity_bytes(capacity)).await.unwrap();
    spool.push(&events[..3]).await.unwrap();
    let error = spool.push(&events[3..7]).await.unwrap_err();
    let text = error.to_string();
    assert!(
        error.is_retryable() && text.contains("is full") && text.contains(&capacity.to_string()),
        "{text}"
    );
    assert_eq!(usage(&spool).await, (3, bytes(&events[..3])));
    spool.remove_through(spool.peek(1).await.unwrap()[0].position).await.unwrap();
    spool.push(&events[3..6]).await.unwrap();
    assert_eq!(peek(&spool, 9).await, events[1..6]);
    assert_eq!(spool.usage().await.unwrap().capacity_bytes, capacity);
}

#[tokio::test]
async fn the_error_for_a_spool_that_is_in_use_names_its_holder() {
    let place = Place::new();
    let spool = open(&place.path()).await;
    let error = try_open(&SqliteSpool::new(place.path())).await.map(drop).unwrap_err();
    let text = error.to_string();
    assert!(error.is_retryable(), "{text}");
    assert!(text.contains("in use by another process (loan-service, instance "), "{text}");
    assert!(text.contains("a spool of its own"), "{text}");
    spool.close().await.unwrap();
    // A dropped spool is given back as well, as by a process that dies.
    drop(open(&place.path()).await);
    open(&place.path()).await;
}

#[tokio::test]
async fn a_closed_spool_takes_nothing() {
    let place = Place::new();
    let spool = open(&place.path()).await;
    spool.close().await.unwrap();
    spool.close().await.unwrap();
    let error = spool.push(&shared(&sample_log(1, 1, &[]))).await.unwrap_err();
    assert!(matches!(&error, AppendError::Broken { reason, .. } if reason.contains("is closed")), "{error}");
    spool.peek(1).await.unwrap_err();
}

#[tokio::test]
async fn a_store_is_not_a_spool_and_a_spool_is_not_a_store() {
    let (store, spool) = (Place::new(), Place::new());
    drop(crate::open(store.store()).await);
    let error = try_open(&SqliteSpool::new(store.path())).await.map(drop).unwrap_err().to_string();
    assert!(error.contains("not a Throughline spool"), "{error}");
    drop(open(&spool.path()).await);
    let error = spool.store().open_reader().map(drop).unwrap_err().to_string();
    assert!(error.contains("not a Throughline store"), "{error}");
}
