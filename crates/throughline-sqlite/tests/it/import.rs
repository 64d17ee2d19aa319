//! Loading logs in bulk.

use throughline_model::testing::sample_log;
use throughline_model::{Filter, Page, TraceReader};
use throughline_sqlite::{ImportError, Imported};

use crate::Place;

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
    assert_eq!((info.events, info.schema_version), (log.len() as u64, 4));
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
    importer.append(&log[..100]).unwrap();
    drop(importer);
    let mut importer = place.store().open_importer().unwrap();
    assert_eq!(importer.import_once("log", "").unwrap(), Imported::SameAgain);
    assert_eq!(importer.append(&log).unwrap(), log.len() as u64);
    importer.finish().unwrap();
}
