//! Errors name the file, and say how to fix what is wrong.

use std::time::Duration;

use rusqlite::Connection;
use throughline_model::testing::run;
use throughline_model::{AppendError, Instance, InstanceId, OpenError, StoreConfig, TraceReader};
use throughline_sqlite::SqliteStore;

use crate::{Place, open, shared, unsynced};

async fn refusal(store: SqliteStore) -> OpenError {
    store.open(Instance::new(InstanceId::random(), "test")).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn a_folder_that_does_not_exist_is_named() {
    let place = Place::new();
    let error = refusal(unsynced(&place.folder.path().join("nowhere/traces.db"))).await;
    assert!(!error.is_retryable());
    let text = error.to_string();
    assert!(
        text.contains("no folder") && text.contains("nowhere") && text.contains("create it first"),
        "{text}"
    );
    let text = refusal(unsynced(place.folder.path())).await.to_string();
    assert!(text.contains("is a directory; name a file in it"), "{text}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let place = Place::new();
    let letter = "Dear diary, ".repeat(100);
    std::fs::write(place.path(), &letter).unwrap();
    for error in [refusal(place.store()).await, place.store().open_reader().unwrap_err()] {
        assert!(!error.is_retryable());
        let text = error.to_string();
        assert!(text.contains("traces.db is not a SQLite database"), "{text}");
    }
    assert_eq!(std::fs::read_to_string(place.path()).unwrap(), letter);
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_the_error_says_what_to_use() {
    let place = Place::new();
    open(place.store()).await.close().await.unwrap();
    Connection::open(place.path()).unwrap().pragma_update(None, "user_version", 99).unwrap();
    for error in [refusal(place.store()).await, place.store().open_reader().unwrap_err()] {
        let text = error.to_string();
        assert!(text.contains("schema version 99") && text.contains("or a later one"), "{text}");
    }
}

#[tokio::test]
async fn a_file_that_another_process_holds_is_waited_for_without_blocking_the_thread_that_opens_it() {
    let place = Place::new();
    open(place.store()).await.close().await.unwrap();
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = place.store().busy_timeout(Duration::from_secs(1));
    let opening = async { store.open(Instance::new(InstanceId::random(), "test")).await.map(drop) };
    // Polled once the other has begun: were the thread blocked, it could not let go.
    let let_go = async { other.execute_batch("ROLLBACK").unwrap() };
    let (opened, ()) = futures_util::future::join(opening, let_go).await;
    opened.unwrap();
}

#[test]
fn a_reader_does_not_create_the_file_and_says_who_does() {
    let place = Place::new();
    let text = place.store().open_reader().unwrap_err().to_string();
    assert!(text.contains("there is no file") && text.contains("first process that writes"), "{text}");
    assert!(!place.path().exists());
    std::fs::write(place.path(), "").unwrap();
    let error = place.store().open_reader().unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("is empty"), "{error}");
    assert_eq!(std::fs::metadata(place.path()).unwrap().len(), 0);
}

#[tokio::test]
async fn a_busy_timeout_may_be_of_any_length() {
    for timeout in [Duration::ZERO, Duration::from_millis(i32::MAX as u64 + 1), Duration::MAX] {
        let place = Place::new();
        let store = open(place.store().busy_timeout(timeout)).await;
        let mut loan = run("loan");
        loan.complete_run();
        store.append(&shared(&loan.events())).await.unwrap();
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_locked_file_is_retryable_and_the_group_goes_in_later() {
    let place = Place::new();
    let store = open(place.store().busy_timeout(Duration::ZERO)).await;
    let mut loan = run("loan");
    loan.complete_run();
    let group = shared(&loan.events());

    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.append(&group).await.unwrap_err();
    assert!(error.is_retryable());
    let text = error.to_string();
    assert!(text.contains("traces.db is locked by another connection"), "{text}");

    other.execute_batch("ROLLBACK").unwrap();
    store.append(&group).await.unwrap();
    assert_eq!(store.readers().reader.trace(loan.trace_id()).await.unwrap(), loan.events());
}

#[tokio::test]
async fn a_closed_store_takes_nothing() {
    let place = Place::new();
    let store = open(place.store()).await;
    store.close().await.unwrap();
    store.close().await.unwrap();
    let mut loan = run("loan");
    loan.root();
    let error = store.append(&shared(&loan.events())).await.unwrap_err();
    assert!(
        matches!(&error, AppendError::Broken { .. }) && error.to_string().contains("open it again"),
        "{error}"
    );
}

#[tokio::test]
async fn a_read_only_file_is_refused_to_write_and_can_be_read() {
    let place = Place::new();
    let mut importer = place.store().open_importer().unwrap();
    let mut loan = run("loan");
    loan.complete_run();
    importer.append(&loan.events()).unwrap();
    importer.finish().unwrap();
    let mut rights = std::fs::metadata(place.path()).unwrap().permissions();
    rights.set_readonly(true);
    std::fs::set_permissions(place.path(), rights).unwrap();
    if std::fs::OpenOptions::new().write(true).open(place.path()).is_ok() {
        // Root may write read-only files. What is left to test is that the file can be read.
        eprintln!("this user may write read-only files, so the refusal is not tested");
    } else {
        let text = refusal(place.store()).await.to_string();
        assert!(text.contains("traces.db is read-only here"), "{text}");
    }
    let reader = place.store().open_reader().unwrap();
    assert_eq!(reader.trace(loan.trace_id()).await.unwrap(), loan.events());
}

#[tokio::test]
async fn payload_does_not_show_in_errors_about_damaged_rows() {
    let place = Place::new();
    let store = open(place.store()).await;
    let mut loan = run("loan");
    loan.root();
    loan.edit(|event| event.data = serde_json::json!({ "note": "hunter2" }).as_object().cloned());
    store.append(&shared(&loan.events())).await.unwrap();
    let shell = Connection::open(place.path()).unwrap();
    shell.execute("UPDATE event SET data = '\"hunter2'", []).unwrap();
    let error = store.readers().reader.trace(loan.trace_id()).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("event 1 has an invalid `data`") && !text.contains("hunter2"), "{text}");
}
