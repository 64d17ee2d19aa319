//! Files that are deleted, moved or replaced while they are open.

use std::path::Path;
use std::sync::Arc;

use futures_util::StreamExt as _;
use throughline_model::testing::{RunBuilder, run};
use throughline_model::{
    AppendError, Instance, InstanceId, Spool, SpoolConfig, TraceId, TraceReader, TraceStream as _,
    WatchRequest,
};
use throughline_sqlite::SqliteSpool;

use crate::{Place, open, shared, unsynced};

/// What happens to a folder with `traces.db` in it, and what the error must name.
type Fault = (&'static str, fn(&Path), &'static str);

fn remove(folder: &Path, name: &str) {
    std::fs::remove_file(folder.join(name)).unwrap();
}

fn rename(folder: &Path, from: &str, to: &str) {
    std::fs::rename(folder.join(from), folder.join(to)).unwrap();
}

fn write(folder: &Path, name: &str) {
    std::fs::write(folder.join(name), "another file").unwrap();
}

const DATABASE: [Fault; 5] = [
    ("the database is deleted", |folder| remove(folder, "traces.db"), "traces.db was deleted or moved"),
    (
        "the database is moved",
        |folder| rename(folder, "traces.db", "old.db"),
        "traces.db was deleted or moved",
    ),
    (
        "all files are moved",
        |folder| {
            for suffix in ["", "-wal", "-shm"] {
                let (from, to) = (format!("traces.db{suffix}"), format!("old.db{suffix}"));
                if folder.join(&from).exists() {
                    rename(folder, &from, &to);
                }
            }
        },
        "traces.db was deleted or moved",
    ),
    (
        "the database is replaced",
        |folder| {
            write(folder, "new.db");
            rename(folder, "new.db", "traces.db");
        },
        "traces.db is another file",
    ),
    (
        "the folder is moved",
        |folder| std::fs::rename(folder, folder.with_extension("old")).unwrap(),
        "traces.db was deleted or moved",
    ),
];

const LOG: [Fault; 2] = [
    ("the log is deleted", |folder| remove(folder, "traces.db-wal"), "traces.db-wal was deleted or moved"),
    (
        "the log is replaced",
        |folder| {
            remove(folder, "traces.db-wal");
            write(folder, "traces.db-wal");
        },
        "traces.db-wal is another file",
    ),
];

const INDEX: [Fault; 1] =
    [("the log's index is deleted", |folder| remove(folder, "traces.db-shm"), "traces.db-shm was deleted")];

/// A folder in a folder that is gone with the test, so that it can be moved.
fn folder_of(place: &Place) -> std::path::PathBuf {
    let folder = place.folder.path().join("data");
    std::fs::create_dir(&folder).unwrap();
    folder
}

fn assert_broken(what: &str, result: Result<(), AppendError>, named: &str) {
    let error = result.expect_err(what);
    let text = error.to_string();
    assert!(matches!(error, AppendError::Broken { .. }), "{what}: {text}");
    assert!(text.contains(named) && text.contains("put back the same file"), "{what}: {text}");
}

#[tokio::test]
async fn nothing_is_acknowledged_when_a_file_of_the_store_is_not_where_it_was() {
    for (what, happens, named) in DATABASE.into_iter().chain(LOG).chain(INDEX) {
        let place = Place::new();
        let folder = folder_of(&place);
        let store = open(unsynced(&folder.join("traces.db"))).await;
        let mut loan = run("loan");
        loan.root();
        store.append(&shared(&loan.events())).await.unwrap();
        happens(&folder);
        loan.complete_run();
        for _ in 0..2 {
            assert_broken(what, store.append(&shared(&loan.events())).await, named);
        }
        assert_broken(what, store.claim(loan.trace_id()).await.map(drop), named);
        assert_broken(what, store.release(loan.trace_id()).await, named);
        let error = store.readers().reader.run(loan.trace_id()).await.expect_err(what);
        assert!(error.is_retryable() && error.to_string().contains(named), "{what}: {error}");
        assert_broken(what, store.close().await, named);
    }
}

#[tokio::test]
async fn what_was_acknowledged_before_the_log_was_deleted_is_in_the_database() {
    for deleted in [&["-wal"][..], &["-wal", "-shm"]] {
        let place = Place::new();
        let store = open(place.store()).await;
        let mut loan = run("loan");
        loan.root();
        store.append(&shared(&loan.events())).await.unwrap();
        for suffix in deleted {
            remove(place.folder.path(), &format!("traces.db{suffix}"));
        }
        store.append(&shared(&loan.events())).await.unwrap_err();
        // As if the process died now.
        let copy = place.folder.path().join("copy.db");
        std::fs::copy(place.path(), &copy).unwrap();
        let copy = unsynced(&copy).open_reader().unwrap();
        assert_eq!(copy.trace(loan.trace_id()).await.unwrap(), loan.events());
    }
}

#[tokio::test]
async fn a_store_continues_when_the_same_files_are_back_and_has_everything_once() {
    let place = Place::new();
    let folder = folder_of(&place);
    let elsewhere = place.folder.path().join("elsewhere");
    let store = open(unsynced(&folder.join("traces.db"))).await;
    let mut loan = run("loan");
    loan.root();
    store.append(&shared(&loan.events())).await.unwrap();
    std::fs::rename(&folder, &elsewhere).unwrap();
    loan.complete_run();
    store.append(&shared(&loan.events())).await.unwrap_err();
    std::fs::rename(&elsewhere, &folder).unwrap();
    store.append(&shared(&loan.events())).await.unwrap();
    assert_eq!(store.readers().reader.trace(loan.trace_id()).await.unwrap(), loan.events());
    store.close().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_that_leads_to_another_file_from_now_on_is_noticed() {
    let place = Place::new();
    let link = place.folder.path().join("current.db");
    let lead_to = |name: &str| {
        let next = place.folder.path().join("next.db");
        std::os::unix::fs::symlink(place.folder.path().join(name), &next).unwrap();
        std::fs::rename(next, &link).unwrap();
    };
    open(unsynced(&place.folder.path().join("one.db"))).await.close().await.unwrap();
    lead_to("one.db");
    let store = open(unsynced(&link)).await;
    let mut loan = run("loan");
    loan.root();
    store.append(&shared(&loan.events())).await.unwrap();
    open(unsynced(&place.folder.path().join("two.db"))).await.close().await.unwrap();
    lead_to("two.db");
    assert_broken("the link", store.append(&shared(&loan.events())).await, "current.db is another file");
}

#[tokio::test]
async fn a_reader_on_its_own_answers_from_the_file_it_was_opened_for_or_not_at_all() {
    let place = Place::new();
    let path = place.path();
    let loan = filled(&path, "first").await;
    let reader = unsynced(&path).open_reader().unwrap();
    let in_place = unsynced(&path).open_reader().unwrap().in_place();
    let mut watched = reader.watch(WatchRequest::new()).await.unwrap();
    assert!(reader.run(loan.trace_id()).await.unwrap().is_some());
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{suffix}", path.display())).unwrap();
    }
    filled(&path, "second").await;
    for reader in [&reader, &in_place] {
        // More than there are threads, some of which open the file only now.
        let questions = (0..8).map(|_| reader.run(TraceId::from_key("second")));
        for answer in futures_util::future::join_all(questions).await {
            let error = answer.unwrap_err().to_string();
            assert!(error.contains("traces.db") && error.contains("another file"), "{error}");
        }
    }
    let error = watched.next().await.unwrap().unwrap_err().to_string();
    assert!(error.contains("another file") || error.contains("deleted"), "{error}");
}

/// A new file with one run.
async fn filled(path: &Path, key: &str) -> RunBuilder {
    let store = open(unsynced(path)).await;
    let mut loan = run("loan").key(key);
    loan.complete_run();
    store.append(&shared(&loan.events())).await.unwrap();
    store.close().await.unwrap();
    loan
}

#[tokio::test]
async fn nothing_is_acknowledged_when_a_file_of_the_spool_is_not_where_it_was() {
    for (what, happens, named) in DATABASE.into_iter().chain(LOG) {
        let place = Place::new();
        let folder = folder_of(&place);
        let config = SqliteSpool::new(folder.join("traces.db"));
        let spool: Arc<dyn Spool> =
            config.open(Instance::new(InstanceId::random(), "loan-service")).await.unwrap();
        let mut loan = run("loan");
        loan.root();
        spool.push(&shared(&loan.events())).await.unwrap();
        happens(&folder);
        for _ in 0..2 {
            assert_broken(what, spool.push(&shared(&loan.events())).await, named);
        }
    }
}

#[test]
fn an_import_into_a_file_that_is_not_where_it_was_is_an_error() {
    for (what, happens, named) in DATABASE.into_iter().chain(LOG).chain(INDEX) {
        let place = Place::new();
        let folder = folder_of(&place);
        let mut importer = unsynced(&folder.join("traces.db")).open_importer().unwrap();
        let mut loan = run("loan");
        loan.complete_run();
        importer.append(&loan.events()).unwrap();
        happens(&folder);
        assert_broken(what, importer.finish(), named);
    }
}

#[tokio::test]
async fn of_a_store_that_is_closed_the_database_alone_has_everything() {
    let place = Place::new();
    let store = open(place.store()).await;
    let mut loan = run("loan");
    loan.complete_run();
    store.append(&shared(&loan.events())).await.unwrap();
    // Readers may outlive it.
    let reader = store.readers().reader;
    assert_eq!(reader.trace(loan.trace_id()).await.unwrap(), loan.events());
    store.close().await.unwrap();
    let log = place.folder.path().join("traces.db-wal");
    assert_eq!(log.metadata().map_or(0, |log| log.len()), 0);
    let copy = place.folder.path().join("copy.db");
    std::fs::copy(place.path(), &copy).unwrap();
    let copy = unsynced(&copy).open_reader().unwrap();
    assert_eq!(copy.trace(loan.trace_id()).await.unwrap(), loan.events());
}

#[tokio::test]
async fn the_error_about_a_database_without_its_log_names_the_log() {
    let place = Place::new();
    let store = open(place.store()).await;
    let mut loan = run("loan");
    loan.complete_run();
    store.append(&shared(&loan.events())).await.unwrap();
    let copy = place.folder.path().join("copy.db");
    std::fs::copy(place.path(), &copy).unwrap();
    let error = unsynced(&copy).open_reader().unwrap_err().to_string();
    assert!(error.contains("its log") && error.contains("copy.db-wal is missing"), "{error}");
    store.close().await.unwrap();
}
