//! Loading logs in bulk.

use std::time::Duration;

use throughline_model::testing::{run, sample_log};
use throughline_model::{Filter, Page, TraceReader};
use throughline_sqlite::{ImportError, Imported};

use crate::{Place, open, shared};

#[tokio::test]
async fn importing_twice_adds_nothing_and_other_options_are_refused() {
    let place = Place::new();
    let log = sample_log(7, 400, &[]);
    let mut importer = place.store().open_importer().unwrap();
    assert_eq!(importer.import_once("sha256:1", "--failed-when none").unwrap(), Imported::New);
    assert_eq!(log.chunks(333).map(|chunk| importer.append(chunk).unwrap()).sum::<u64>(), log.len() as u64);
    importer.finish().unwrap();

    let mut importer = place.store().open_importer().unwrap();
    assert_eq!(importer.import_once("sha256:1", "--failed-when none").unwrap(), Imported::SameAgain);
    assert_eq!(importer.append(&log).unwrap(), 0);
    let error = importer.import_once("sha256:1", "--failed-when a=b").unwrap_err();
    assert!(
        matches!(error, ImportError::OtherOptions { ref first } if first == "--failed-when none"),
        "{error}"
    );
    assert_eq!(importer.import_once("sha256:2", "").unwrap(), Imported::New);
    importer.finish().unwrap();

    let reader = place.store().open_reader().unwrap();
    let info = reader.info().await.unwrap();
    assert_eq!((info.events, info.schema_version), (log.len() as u64, 5));
    assert_eq!(info.last, log.iter().map(|event| event.timestamp).max());
    assert_eq!(info.first, log.iter().map(|event| event.timestamp).min());
    let runs = reader.runs(&Filter::new(), &Page::first(1000)).await.unwrap();
    assert_eq!(info.runs, runs.items.len() as u64);
}

#[test]
fn what_was_not_finished_is_added_by_the_next_import() {
    let place = Place::new();
    let log = sample_log(8, 50, &[]);
    let mut importer = place.store().open_importer().unwrap();
    importer.import_once("log", "").unwrap();
    assert_eq!(importer.append(&log[..100]).unwrap(), 100);
    drop(importer);
    let mut importer = place.store().open_importer().unwrap();
    assert_eq!(importer.import_once("log", "").unwrap(), Imported::SameAgain);
    assert_eq!(importer.append(&log).unwrap(), log.len() as u64 - 100);
    importer.finish().unwrap();
}

#[tokio::test]
async fn an_importer_that_waits_for_its_input_keeps_nobody_from_writing() {
    let place = Place::new();
    let mut importer = place.store().open_importer().unwrap();
    importer.import_once("log", "").unwrap();
    importer.append(&sample_log(8, 50, &[])).unwrap();
    let store = open(place.store().busy_timeout(Duration::ZERO)).await;
    let mut loan = run("loan");
    loan.complete_run();
    store.append(&shared(&loan.events())).await.unwrap();
    importer.append(&sample_log(9, 50, &[])).unwrap();
    loan.point("stage:signed");
    store.append(&shared(&loan.events())).await.unwrap();
    importer.finish().unwrap();
    assert_eq!(store.readers().reader.trace(loan.trace_id()).await.unwrap(), loan.events());
}
