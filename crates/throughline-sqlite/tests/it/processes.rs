//! Several writers and readers on one file.

use std::collections::BTreeMap;
use std::sync::Barrier;

use proptest::prelude::*;
use rusqlite::Connection;
use throughline_model::fold::Position;
use throughline_model::testing::{run, sample_log};
use throughline_model::{Filter, Liveness, Log, Page, RunSummary, Scope, TraceEvent, TraceId, TraceReader};

use crate::{Place, open, shared};

#[test]
fn a_new_file_can_be_opened_by_many_at_once() {
    let place = Place::new();
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                barrier.wait();
                runtime.block_on(async { open(place.store()).await.close().await.unwrap() });
            });
        }
    });
}

#[test]
fn a_reader_in_the_moment_of_a_files_creation_finds_no_file_or_a_whole_one() {
    for round in 0..100 {
        let place = Place::new();
        let barrier = Barrier::new(3);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    barrier.wait();
                    let created = loop {
                        let error = match place.store().open_reader() {
                            Ok(reader) => break reader,
                            Err(error) => error.to_string(),
                        };
                        assert!(error.contains("there is no file"), "in round {round}: {error}");
                    };
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    assert_eq!(runtime.block_on(created.info()).unwrap().events, 0);
                });
            }
            barrier.wait();
            place.store().open_importer().unwrap();
        });
    }
}

#[tokio::test]
async fn a_reader_in_the_middle_of_a_question_does_not_hold_up_the_writer() {
    let place = Place::new();
    let store = open(place.store()).await;
    let mut loan = run("loan");
    loan.root();
    store.append(&shared(&loan.events())).await.unwrap();

    let reader = Connection::open(place.path()).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let count = || reader.query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count(), 1);
    loan.complete_run();
    store.append(&shared(&loan.events())).await.unwrap();
    assert_eq!(count(), 1);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(count(), 2);
}

fn summaries(events: &[TraceEvent]) -> BTreeMap<TraceId, RunSummary> {
    let mut by_run: BTreeMap<TraceId, Vec<TraceEvent>> = BTreeMap::new();
    events.iter().for_each(|event| by_run.entry(event.trace_id).or_default().push(event.clone()));
    by_run
        .into_iter()
        .filter_map(|(id, events)| Some((id, RunSummary::of(&events, |_| Liveness::Imported)?)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What one writer remembers of a run is out of date as soon as another has written to it, or has put it into its place anew.
    #[test]
    fn writers_in_turn_on_shuffled_and_repeated_groups_give_the_same_answers(
        seed: u64,
        cuts in proptest::collection::vec(
            (1_usize..60, 0_usize..3, any::<bool>(), proptest::option::weighted(0.2, any::<proptest::sample::Index>())),
            4..40,
        ),
        rotation in 0_usize..500,
    ) {
        let mut log = sample_log(seed, 25, &[]);
        let want = summaries(&log);
        let length = log.len();
        log.rotate_left(rotation % length);
        let place = Place::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let writers = [open(place.store()).await, open(place.store()).await, open(place.store()).await];
            let mut importer = place.store().open_importer().unwrap();
            let runs: Vec<_> = want.keys().copied().collect();
            let mut rest = log.as_slice();
            for (size, writer, again, replaced) in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (group, later) = rest.split_at((*size).min(rest.len()));
                let mut group = shared(group);
                group.reverse();
                writers[*writer].append(&group).await.unwrap();
                if *again {
                    writers[(*writer + 1) % 3].append(&group).await.unwrap();
                }
                if let Some(replaced) = replaced {
                    let run = *replaced.get(&runs);
                    let events: Vec<_> = log.iter().filter(|event| event.trace_id == run).cloned().collect();
                    importer.replace(run, &events).unwrap();
                }
                rest = later;
            }
            let reader = writers[0].readers().reader;
            let mut got = BTreeMap::new();
            for run in reader.runs(&Filter::new(), &Page::first(1000)).await.unwrap().items {
                got.insert(run.trace_id, run);
            }
            assert_eq!(got, want);

            let page = Page::first(length);
            let mut newest_first = log.clone();
            newest_first.sort_by_key(|event| std::cmp::Reverse(Position::of(event)));
            assert_eq!(reader.events(&Filter::new(), &page).await.unwrap().items, newest_first);
            let (scope, log) = (Scope::all(), Log::new(&log, |_| Liveness::Imported));
            assert_eq!(
                writers[1].readers().analytics.slowest_stages(&scope, 50).await.unwrap(),
                log.slowest_stages(&scope, 50)
            );
            for writer in writers {
                writer.close().await.unwrap();
            }
        });
    }
}

#[test]
fn a_reader_in_place_needs_no_runtime_and_no_thread() {
    let place = Place::new();
    let log = sample_log(6, 20, &[]);
    let mut importer = place.store().open_importer().unwrap();
    importer.append(&log).unwrap();
    importer.finish().unwrap();
    let reader = place.store().open_reader().unwrap().in_place();
    let trace = reader.trace(log[0].trace_id);
    let events = futures_util::FutureExt::now_or_never(trace).unwrap().unwrap();
    assert!(!events.is_empty() && events.iter().all(|event| log.contains(event)));
}
