//! Removing old runs.

use std::time::Duration;

use rusqlite::Connection;
use throughline_model::testing::{run, sample_log};
use throughline_model::{
    Filter, Page, RunState, Scope, StreamItem, Timestamp, TraceAnalytics, TraceReader, WatchRequest,
};
use throughline_sqlite::{PrunePolicy, SqliteStore};

use crate::{Place, open, shared};

fn load(store: &SqliteStore, runs: usize) -> usize {
    let log = sample_log(3, runs, &[]);
    let mut importer = store.open_importer().unwrap();
    importer.append(&log).unwrap();
    importer.finish().unwrap();
    log.len()
}

fn count(place: &Place, what: &str) -> i64 {
    let connection = Connection::open(place.path()).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn of_old_runs_nothing_is_left_and_of_the_others_all() {
    let place = Place::new();
    let store = place.store();
    let events = load(&store, 500);
    let reader = store.open_reader().unwrap();
    let before = reader.info().await.unwrap();
    let all = reader.runs(&Filter::new(), &Page::first(1000)).await.unwrap().items;
    // In the log of the sample, runs begin one after the other.
    let middle = all[all.len() / 2].started;
    let age = Duration::from_micros((Timestamp::now().as_micros() - middle.as_micros()) as u64);
    let report = store.prune(&PrunePolicy::default().age(age)).unwrap();
    let after = reader.info().await.unwrap();
    assert_eq!(report.runs, before.runs - after.runs);
    assert_eq!(report.events, before.events - after.events);
    assert!(report.events > events as u64 / 3 && report.events < events as u64 * 2 / 3);
    assert!(report.bytes_after < report.bytes_before);

    let left = reader.runs(&Filter::new(), &Page::first(1000)).await.unwrap().items;
    let ids: Vec<_> = left.iter().map(|run| run.trace_id).collect();
    assert!(left.iter().any(|run| run.state == RunState::Unfinished));
    assert!(all.iter().filter(|run| run.started >= middle).all(|run| ids.contains(&run.trace_id)));
    let spans = reader.slowest_spans(&Scope::all(), 10_000).await.unwrap();
    assert!(spans.iter().all(|span| ids.contains(&span.trace_id)));
    for table in ["run_attr", "decision", "latest", "event"] {
        assert_eq!(count(&place, &format!("{table} WHERE run NOT IN (SELECT id FROM run)")), 0, "{table}");
    }
    assert_eq!(store.prune(&PrunePolicy::default()).unwrap().runs, 0);
    store.prune(&PrunePolicy::default().age(Duration::ZERO)).unwrap();
    assert_eq!((count(&place, "run"), count(&place, "event"), count(&place, "latest")), (0, 0, 0));
    assert_eq!(count(&place, "pragma_freelist_count WHERE freelist_count > 0"), 0, "all room is given back");
}

#[tokio::test]
async fn numbers_are_not_reused_when_everything_is_gone() {
    let place = Place::new();
    let store = open(place.store()).await;
    let mut first = run("loan");
    first.complete_run();
    store.append(&shared(&first.events())).await.unwrap();
    let reader = place.store().open_reader().unwrap();
    let mut stream = throughline_model::TraceStream::watch(&reader, WatchRequest::new()).await.unwrap();
    place.store().prune(&PrunePolicy::default().age(Duration::ZERO)).unwrap();
    assert_eq!((count(&place, "event"), count(&place, "run")), (0, 0));

    let mut second = run("loan").key("second");
    second.fail_run("Timeout", "too late");
    store.append(&shared(&second.events())).await.unwrap();
    // A watcher takes an event with an old number for one that it has seen.
    use futures_util::StreamExt;
    for event in second.events() {
        match stream.next().await.unwrap().unwrap() {
            StreamItem::Event { event: seen, .. } => assert_eq!(*seen, event),
            other => panic!("{other:?} instead of an event"),
        }
    }
    let failed = reader.runs(&Filter::new().event_type("workflow:failed"), &Page::first(9)).await.unwrap();
    assert_eq!(failed.items.len(), 1);
}

#[tokio::test]
async fn the_oldest_runs_go_until_the_file_is_small_enough() {
    let place = Place::new();
    let store = place.store();
    load(&store, 2000);
    let size = std::fs::metadata(place.path()).unwrap().len();
    let report = store.prune(&PrunePolicy::default().bytes(size / 2)).unwrap();
    assert!(report.runs > 0 && report.bytes_after <= size / 2, "{report:?}");
    let reader = store.open_reader().unwrap();
    let left = reader.runs(&Filter::new(), &Page::first(5000)).await.unwrap().items;
    assert!(!left.is_empty());
    // The newest of all stayed.
    let newest = sample_log(3, 2000, &[]).iter().map(|event| event.timestamp).max();
    assert_eq!(reader.info().await.unwrap().last, newest);
}

#[tokio::test]
async fn counts_go_with_the_hours_they_are_of() {
    let place = Place::new();
    let store = place.store();
    let now = Timestamp::now();
    let mut importer = store.open_importer().unwrap();
    for (hours, runs) in [(50_u64, 7), (3, 5), (0, 2)] {
        for index in 0..runs {
            let start = now.minus(Duration::from_secs(3600 * hours + 60));
            let mut run = run("loan").key(&format!("{hours}-{index}")).at(start);
            run.complete_run();
            importer.append(&run.events()).unwrap();
        }
    }
    importer.finish().unwrap();
    let reader = store.open_reader().unwrap();
    let completed = async || {
        let rates = reader.failure_rate_by_type(&Scope::all()).await.unwrap();
        let of_hours =
            reader.failure_rate_by_type(&Scope::all().since(now.minus(Duration::from_secs(7200)))).await;
        (rates[0].rate.total, of_hours.unwrap().first().map(|rate| rate.rate.total))
    };
    assert_eq!(completed().await, (14, Some(2)));
    store.prune(&PrunePolicy::default().age(Duration::from_secs(20 * 3600))).unwrap();
    assert_eq!(completed().await, (7, Some(2)));
    store.prune(&PrunePolicy::default().age(Duration::from_secs(3600 * 3))).unwrap();
    assert_eq!(completed().await, (2, Some(2)));
}

#[tokio::test]
async fn a_store_applies_its_retention_while_it_is_open() {
    let place = Place::new();
    load(&place.store(), 300);
    let reader = place.store().open_reader().unwrap();
    let store = open(place.store().retention_age(Duration::from_secs(3600))).await;
    let mut fresh = run("loan").key("fresh").at(Timestamp::now());
    fresh.complete_run();
    store.append(&shared(&fresh.events())).await.unwrap();
    let runs = async || reader.runs(&Filter::new(), &Page::first(1000)).await.unwrap().items;
    while runs().await.len() > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(runs().await[0].trace_id, fresh.trace_id());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_removal_that_fails_is_told_and_tried_again() {
    let place = Place::new();
    load(&place.store(), 50);
    let shell = Connection::open(place.path()).unwrap();
    shell
        .execute_batch(
            "CREATE TRIGGER keep BEFORE DELETE ON run BEGIN SELECT raise(ABORT, 'nothing is removed here'); END",
        )
        .unwrap();
    let store = open(place.store().retention_age(Duration::from_secs(3600))).await;
    let upkeep = store.upkeep();
    while upkeep.failures().count == 0 {
        tokio::task::yield_now().await;
    }
    let last = upkeep.failures().last.unwrap();
    assert!(last.contains("old runs were not removed") && last.contains("traces.db"), "{last}");
    assert!(count(&place, "run") > 0 && count(&place, "event") > 0);
    shell.execute_batch("DROP TRIGGER keep").unwrap();
    while count(&place, "run") + count(&place, "event") > 0 {
        tokio::task::yield_now().await;
    }
    store.close().await.unwrap();
}

#[test]
fn pruning_does_not_create_the_file() {
    let place = Place::new();
    let error = place.store().prune(&PrunePolicy::default().bytes(1)).unwrap_err();
    assert!(error.to_string().contains("there is no file") && !error.is_retryable(), "{error}");
    assert!(!place.path().exists());
}
