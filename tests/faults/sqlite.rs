//! A store in a file that others use, too.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;
use throughline::store::{SqliteSpool, StoreConfig as _};
use throughline::{SqliteStore, Throughline};

use crate::load::Load;
use crate::retry;
use crate::row::Row;

/// Plays a row with a file that is given to the fault.
async fn play(place: u32, fault: &'static str, with_spool: bool, change: impl AsyncFnOnce(&Load, PathBuf)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("traces.db");
    let store = SqliteStore::new(&path).busy_timeout(Duration::from_millis(100));
    let mut builder = Throughline::builder("load").store(store.clone()).retry(retry());
    if with_spool {
        builder = builder.spool(SqliteSpool::new(folder.path().join("spool.db")));
    }
    let throughline = builder.build_async().await.unwrap();
    let reader = store.open_readers().await.unwrap().reader;
    let destination = if with_spool { "SQLite and a spool" } else { "SQLite" };
    let row = Row { place, destination, fault };
    let report = row.play(&throughline, &*reader, async |load: &Load| change(load, path).await).await;
    assert_eq!(report.destinations[0].pending, 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_another_process_locks_again_and_again() {
    play(30, "another process locks the file, fifty times", false, async |load, path| {
        for _ in 0..50 {
            let other = locked(&path);
            load.is_quiet_for(Duration::from_millis(20)).await;
            other.execute_batch("ROLLBACK").unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_another_process_locks_for_long() {
    play(31, "another process locks the file until emitters are told", false, async |load, path| {
        let other = locked(&path);
        load.refused(16).await;
        other.execute_batch("ROLLBACK").unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_another_process_locks_for_long_with_a_spool() {
    play(32, "another process locks the file for 2,000 events", true, async |load, path| {
        let other = locked(&path);
        load.acknowledged(2_000).await;
        other.execute_batch("ROLLBACK").unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_holds_a_snapshot_for_long() {
    play(33, "a reader holds a snapshot for 20,000 events", false, async |load, path| {
        let other = Connection::open(path).unwrap();
        other.execute_batch("BEGIN; SELECT count(*) FROM event").unwrap();
        load.acknowledged(20_000).await;
        other.execute_batch("ROLLBACK").unwrap();
    })
    .await;
}

/// A connection that holds the lock for writing.
fn locked(path: &PathBuf) -> Connection {
    let other = Connection::open(path).unwrap();
    other.busy_timeout(Duration::from_secs(30)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}
