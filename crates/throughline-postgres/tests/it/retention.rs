//! Old runs are removed, and the days that nothing is left of.

use std::time::Duration;

use throughline_model::testing::{RunBuilder, run};
use throughline_model::{InstanceId, Timestamp, TraceEvent};

use crate::server::Database;
use crate::{open, shared};

const DAY: Duration = Duration::from_secs(86_400);

/// The events of a run that happened so many days ago.
fn days_ago(run: &RunBuilder, days: u32) -> Vec<TraceEvent> {
    let mut events = run.events();
    for event in &mut events {
        event.timestamp = Timestamp::now().minus(DAY * days);
    }
    events
}

#[tokio::test]
async fn old_runs_go_with_their_days_and_the_runs_of_the_living_stay() {
    let Some(database) = Database::new() else { return };
    let id = InstanceId::random();
    let living = throughline_model::Instance::new(id, "test");
    let store = throughline_model::StoreConfig::open(&database.store(), living).await.unwrap();
    let mut ended = run("ended");
    ended.complete_run();
    let (mut recent, mut left, mut at_work) = (run("recent"), run("left"), run("at work").instance(id));
    recent.complete_run();
    left.begin("stage:score");
    at_work.begin("stage:score");
    for (run, age) in [(&ended, 100), (&recent, 10), (&left, 100), (&at_work, 100)] {
        store.append(&shared(&days_ago(run, age))).await.unwrap();
    }
    // As if those that are old had been stored when they happened, on two days.
    for (day, next, key) in [("2020-01-01", "2020-01-02", &ended), ("2020-01-02", "2020-01-03", &at_work)] {
        let id =
            format!("(SELECT id FROM throughline.run WHERE encode(trace_id, 'hex') = '{}')", key.trace_id());
        database.psql(&format!(
            "CREATE TABLE throughline.event_{} PARTITION OF throughline.event FOR VALUES FROM ('{day}') TO ('{next}');
             UPDATE throughline.event SET day = '{day}' WHERE run = {id};
             UPDATE throughline.run SET day = '{day}' WHERE id = {id}",
            day.replace('-', "")
        ));
    }

    let keeper = open(&database.store().retention_age(90 * DAY)).await;
    let table_of = |day: &str| database.psql(&format!("SELECT to_regclass('throughline.event_{day}')"));
    while !table_of("20200101").is_empty() {
        tokio::task::yield_now().await;
    }
    let reader = keeper.readers().reader;
    for (run, stays) in [(&ended, false), (&recent, true), (&left, false), (&at_work, true)] {
        assert_eq!(
            reader.run(run.trace_id()).await.unwrap().is_some(),
            stays,
            "{:?}",
            run.events()[0].workflow
        );
        assert_eq!(
            reader.trace(run.trace_id()).await.unwrap().len(),
            if stays { run.events().len() } else { 0 }
        );
    }
    assert!(!table_of("20200102").is_empty(), "a run of that day stays");
    assert_eq!(keeper.upkeep().failures().last, None);

    // What was removed may come again, and is new then.
    store.append(&shared(&ended.events())).await.unwrap();
    assert_eq!(reader.trace(ended.trace_id()).await.unwrap(), ended.events());
}

#[tokio::test]
async fn an_old_run_without_an_end_stays_for_as_long_as_something_happens_in_it() {
    let Some(database) = Database::new() else { return };
    let store = open(&database.store()).await;
    let (mut quiet, mut goes_on) = (run("quiet"), run("goes on"));
    for run in [&mut quiet, &mut goes_on] {
        run.begin("stage:score");
        store.append(&shared(&days_ago(run, 100))).await.unwrap();
    }
    // It changes nothing of the run but when its last event was.
    let stored = goes_on.events().len();
    goes_on.begin("stage:sign");
    store.append(&shared(&days_ago(&goes_on, 10)[stored..])).await.unwrap();

    let keeper = open(&database.store().retention_age(90 * DAY)).await;
    let reader = keeper.readers().reader;
    while reader.run(quiet.trace_id()).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(reader.trace(goes_on.trace_id()).await.unwrap().len(), stored + 1);
}
