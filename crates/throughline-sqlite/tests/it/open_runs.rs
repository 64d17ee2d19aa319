//! Runs that have not ended, and when something last happened in them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rusqlite::Connection;
use throughline_model::testing::{run, sample_log};
use throughline_model::{OpenSummary, Page, RunSummary, Timestamp, TraceEvent, TraceId, TraceReader};
use throughline_sqlite::SqliteReader;

use crate::{Place, open, shared};

async fn summaries(reader: &dyn TraceReader, limit: usize) -> Vec<OpenSummary> {
    let (mut all, mut page) = (Vec::new(), Page::first(limit));
    loop {
        let found = reader.open_summaries(&page).await.unwrap();
        assert!(found.items.len() == limit || found.next.is_none());
        all.extend(found.items);
        match found.next {
            Some(next) => page.after = Some(next),
            None => return all,
        }
    }
}

fn last_events(events: &[TraceEvent]) -> BTreeMap<TraceId, Timestamp> {
    let mut last = BTreeMap::new();
    for event in events {
        let known = last.entry(event.trace_id).or_insert(event.timestamp);
        *known = event.timestamp.max(*known);
    }
    last
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn the_last_event_of_an_open_run_is_known_in_whatever_order_events_arrive(
        seed: u64,
        sizes in proptest::collection::vec((1_usize..700, any::<bool>()), 3..12),
        rotation in 0_usize..5000,
    ) {
        let mut log = sample_log(seed, 500, &[]);
        let length = log.len();
        log.rotate_left(rotation % length);
        let place = Place::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let writers = [open(place.store()).await, open(place.store()).await];
            let reader = place.store().open_reader().unwrap().in_place();
            let (mut written, mut seen_open, mut rest) = (0, 0, log.as_slice());
            for (size, second) in sizes.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (group, later) = rest.split_at((*size).min(rest.len()));
                writers[usize::from(*second)].append(&shared(group)).await.unwrap();
                (written, rest) = (written + group.len(), later);
                let want = last_events(&log[..written]);
                let open = summaries(&reader, 100).await;
                seen_open += open.len();
                for run in open {
                    assert_eq!(run.last_event, want[&run.summary.trace_id]);
                }
            }
            assert!(seen_open > 0);
        });
    }
}

async fn many_open(place: &Place, events: usize) -> SqliteReader {
    let mut importer = place.store().open_importer().unwrap();
    for key in 0..23 {
        let mut open = run("agent").key(&format!("{key}"));
        (0..events).for_each(|_| {
            open.point("stage:item");
        });
        importer.append(&open.events()).unwrap();
    }
    importer.finish().unwrap();
    place.store().open_reader().unwrap()
}

#[tokio::test]
async fn pages_of_open_runs_cover_all_of_them_once_the_oldest_first() {
    let place = Place::new();
    let reader = many_open(&place, 3).await;
    let all = summaries(&reader, usize::MAX).await;
    assert_eq!(all.len(), 23);
    // They all start at the same moment, so that the ids decide.
    let order = |run: &RunSummary| (run.started, run.trace_id);
    assert!(all.is_sorted_by(|one, next| order(&one.summary) < order(&next.summary)));
    for limit in [1, 7, 22, 23, 24] {
        assert_eq!(summaries(&reader, limit).await, all, "{limit}");
        let mut page = Page::first(limit);
        let mut runs = Vec::new();
        loop {
            let found = reader.open_runs(&page).await.unwrap();
            runs.extend(found.items);
            page.after = found.next;
            if page.after.is_none() {
                break;
            }
        }
        assert!(
            runs.iter()
                .map(|run| (&run.summary, run.last_event))
                .eq(all.iter().map(|run| (&run.summary, run.last_event)))
        );
    }
    let none = reader.open_summaries(&Page::first(0)).await.unwrap();
    assert!(none.items.is_empty());
}

#[tokio::test]
async fn summaries_of_open_runs_read_only_the_events_that_the_row_of_a_run_names() {
    let place = Place::new();
    let reader = many_open(&place, 300).await;
    let all = summaries(&reader, 10).await;
    let shell = Connection::open(place.path()).unwrap();
    let removed = shell
        .execute("DELETE FROM event WHERE id NOT IN (SELECT head FROM run UNION SELECT last FROM run)", [])
        .unwrap();
    assert!(removed > 6000);
    assert_eq!(summaries(&reader, 10).await, all);
}
