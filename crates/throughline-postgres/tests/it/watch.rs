//! What is watched comes whole, in whatever order transactions end.

use std::time::Duration;

use futures_util::StreamExt;
use throughline_model::testing::run;
use throughline_model::{EventStream, StreamItem, TraceId, TraceStream, WatchRequest};
use tokio_postgres::NoTls;

use crate::faults::wait_for_lock;
use crate::server::Database;
use crate::{open, shared};

async fn next(stream: &mut EventStream) -> StreamItem {
    let patience = Duration::from_secs(60);
    tokio::time::timeout(patience, stream.next()).await.expect("something comes").unwrap().unwrap()
}

async fn next_trace(stream: &mut EventStream) -> TraceId {
    match next(stream).await {
        StreamItem::Event { event, .. } => event.trace_id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_transaction_that_ends_late_is_not_skipped() {
    let Some(database) = Database::new() else { return };
    let (late, early) = (open(&database.store()).await, open(&database.store()).await);
    let (mut held, mut new, mut quick) = (run("held"), run("new"), run("quick"));
    held.root();
    new.root();
    quick.root();
    late.append(&shared(&held.events())).await.unwrap();
    held.complete_run();
    let reader = database.store().open_reader().await.unwrap();
    let mut stream = reader.watch(WatchRequest::new()).await.unwrap();

    let (other, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let lock = format!(
        "SELECT FROM throughline.run WHERE encode(trace_id, 'hex') = '{}' FOR UPDATE",
        held.trace_id()
    );
    other.batch_execute(&format!("BEGIN; {lock}")).await.unwrap();
    // It has begun to write the new run, and waits for the other one.
    let events = shared(&[new.events(), held.events()[1..].to_vec()].concat());
    let appending = tokio::spawn(async move { late.append(&events).await });
    wait_for_lock(&database).await;
    early.append(&shared(&quick.events())).await.unwrap();
    let now = database.psql("SELECT clock_timestamp()");
    // The watcher has looked after that.
    let looked = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
         AND query LIKE 'SELECT e.event::text, e.xid%' AND query_start > '{now}'"
    );
    while database.psql(&looked) == "0" {
        tokio::task::yield_now().await;
    }
    other.batch_execute("ROLLBACK").await.unwrap();
    appending.await.unwrap().unwrap();

    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(next_trace(&mut stream).await);
    }
    assert_eq!(seen, [new.trace_id(), held.trace_id(), quick.trace_id()]);
}

#[tokio::test]
async fn what_was_there_before_is_not_new_while_an_old_transaction_is_open() {
    let Some(database) = Database::new() else { return };
    let store = open(&database.store()).await;
    // Its like may be of another database, too: the transactions of a server have one order.
    let (other, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    other.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
    let (mut before, mut after) = (run("before"), run("after"));
    before.root();
    after.root();
    store.append(&shared(&before.events())).await.unwrap();
    let reader = database.store().open_reader().await.unwrap();
    let mut stream = reader.watch(WatchRequest::new()).await.unwrap();
    store.append(&shared(&after.events())).await.unwrap();
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(next_trace(&mut stream).await, after.trace_id());
}

#[tokio::test]
async fn who_resumes_behind_what_was_removed_is_told() {
    let Some(database) = Database::new() else { return };
    let store = open(&database.store()).await;
    let reader = database.store().open_reader().await.unwrap();
    let mut stream = reader.watch(WatchRequest::new()).await.unwrap();
    let (mut first, mut second) = (run("first"), run("second"));
    first.root();
    second.complete_run();
    store.append(&shared(&first.events())).await.unwrap();
    let StreamItem::Event { cursor, .. } = next(&mut stream).await else { panic!("an event") };
    store.append(&shared(&second.events())).await.unwrap();
    assert_eq!(next_trace(&mut stream).await, second.trace_id());

    let mut again = reader.watch(WatchRequest::new().after(cursor.clone())).await.unwrap();
    assert_eq!(next_trace(&mut again).await, second.trace_id(), "nothing was removed yet");

    // Both were long ago.
    let keeper = open(&database.store().retention_age(Duration::from_secs(1))).await;
    while keeper.readers().reader.run(second.trace_id()).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    let mut again = reader.watch(WatchRequest::new().after(cursor)).await.unwrap();
    assert_eq!(next(&mut again).await, StreamItem::Missed(None));
}
