//! Loading logs in bulk.

use std::collections::BTreeMap;
use std::time::Duration;

use throughline_model::testing::{run, sample_log};
use throughline_model::{Filter, Page, Scope, TraceAnalytics, TraceEvent, TraceId, TraceReader};
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
    assert_eq!((info.events, info.schema_version), (log.len() as u64, 9));
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

/// What the store answers about all of time and about a part that begins and ends within an hour.
async fn answers(place: &Place, log: &[TraceEvent]) -> Vec<String> {
    let reader = place.store().open_reader().unwrap();
    let (first, last) = (log[0].timestamp, log[log.len() - 1].timestamp);
    let part = last.since(first) / 3;
    let within = Scope::all().since(first.plus(part)).until(last.minus(part));
    let mut answers = Vec::new();
    for scope in [Scope::all(), within] {
        answers.push(format!("{:#?}", reader.failure_rate(&scope).await.unwrap()));
        answers.push(format!("{:#?}", reader.failure_rate_by_type(&scope).await.unwrap()));
        answers.push(format!("{:#?}", reader.slowest_stages(&scope, 100).await.unwrap()));
        answers.push(format!("{:#?}", reader.slowest_spans(&scope, 100).await.unwrap()));
        answers.push(format!("{:#?}", reader.compensation_rate(&scope).await.unwrap()));
        answers.push(format!("{:#?}", reader.hot_spots(&scope, 100).await.unwrap()));
        answers.push(format!("{:#?}", reader.decision_outcomes(&scope).await.unwrap()));
        answers.push(format!("{:#?}", reader.over_time(&scope, Duration::from_secs(60)).await.unwrap()));
    }
    let all = Page::first(10_000);
    answers.push(format!("{:#?}", reader.runs(&Filter::new(), &all).await.unwrap().items));
    answers.push(format!("{:#?}", reader.events(&Filter::new(), &all).await.unwrap().items));
    answers.push(format!("{:#?}", reader.open_runs(&all).await.unwrap().items));
    answers
}

#[tokio::test]
async fn a_run_that_was_replaced_leaves_no_trace_of_what_was_there() {
    // So many that some are folded into the counts and some are not.
    let log = sample_log(11, 700, &[]);
    assert!(log.len() > 5_000);
    let mut runs: BTreeMap<TraceId, Vec<TraceEvent>> = BTreeMap::new();
    for event in &log {
        runs.entry(event.trace_id).or_default().push(event.clone());
    }
    let (replaced, alone) = (Place::new(), Place::new());
    for (place, is_early) in [(&replaced, true), (&alone, false)] {
        let mut importer = place.store().open_importer().unwrap();
        for (number, events) in runs.values().enumerate() {
            // Of some runs a part, of some nothing, of the others all.
            let known = match number % 3 {
                0 if is_early => &events[..events.len() / 2],
                1 if is_early => &[],
                _ => &events[..],
            };
            importer.append(known).unwrap();
        }
        if is_early {
            for (id, events) in &runs {
                assert_eq!(importer.replace(*id, events).unwrap(), events.len() as u64);
                assert!(importer.contains(*id).unwrap());
            }
        }
        assert!(!importer.contains(TraceId::from_key("none")).unwrap());
        importer.finish().unwrap();
    }
    for (replaced, alone) in answers(&replaced, &log).await.iter().zip(answers(&alone, &log).await) {
        assert_eq!(*replaced, alone);
    }
}
