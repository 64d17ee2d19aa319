//! A log whose tail was torn off, as a power cut does it.

use proptest::prelude::*;
use throughline_model::testing::sample_log;
use throughline_model::{Filter, Page};
use throughline_sqlite::SqliteStore;

use crate::{Place, open, shared, unsynced};

#[tokio::test]
async fn all_that_was_committed_is_found_before_the_room_that_the_log_has() {
    let place = Place::new();
    let log = |place: &Place| place.folder.path().join("traces.db-wal");
    let synced = |place: &Place| SqliteStore::new(place.path());
    let room = |place: &Place| std::fs::metadata(log(place)).unwrap().len();
    let store = open(synced(&place)).await;
    let before = room(&place);
    assert!(before > 16 << 20, "{before} bytes: the file of the log would grow with each commit");
    let events = sample_log(5, 12, &[]);
    for group in events.chunks(9) {
        store.append(&shared(group)).await.unwrap();
    }
    assert_eq!(room(&place), before);

    // What a process leaves that dies, without the index that processes share.
    let left = Place::new();
    std::fs::copy(place.path(), left.path()).unwrap();
    std::fs::copy(log(&place), log(&left)).unwrap();
    let reader = synced(&left).open_reader().unwrap();
    assert_eq!(reader.info().await.unwrap().events, events.len() as u64);
    let next = open(synced(&left)).await;
    assert_eq!(room(&left), before);
    next.append(&shared(&sample_log(6, 1, &[]))).await.unwrap();
    next.close().await.unwrap();
    assert_eq!(room(&left), 0, "a store that is closed gives the room back");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_torn_log_opens_at_its_last_complete_group(part in 0.0_f64..1.0, garbage in 0_usize..200) {
        let place = Place::new();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let events = sample_log(5, 12, &[]);
            let store = open(place.store()).await;
            for group in events.chunks(9) {
                store.append(&shared(group)).await.unwrap();
            }
            let torn = Place::new();
            std::fs::copy(place.path(), torn.path()).unwrap();
            let log = std::fs::read(place.folder.path().join("traces.db-wal")).unwrap();
            let mut cut = log[..(log.len() as f64 * part) as usize].to_vec();
            cut.extend(std::iter::repeat_n(0xa5, garbage));
            std::fs::write(torn.folder.path().join("traces.db-wal"), cut).unwrap();

            let reopened = open(unsynced(&torn.path())).await;
            let reader = reopened.readers().reader;
            let kept = reader.events(&Filter::new(), &Page::first(10_000)).await.unwrap().items.len();
            assert!(kept == events.len() || kept.is_multiple_of(9), "{kept} events are not whole groups");
            // And it continues from there as if nothing had happened.
            reopened.append(&shared(&events)).await.unwrap();
            let all = reader.events(&Filter::new(), &Page::first(10_000)).await.unwrap().items;
            assert_eq!(all.len(), events.len());
            let info = unsynced(&torn.path()).open_reader().unwrap().info().await.unwrap();
            assert_eq!(info.events, events.len() as u64);
        });
    }
}
