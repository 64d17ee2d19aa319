//! Watching a file that another process writes to.

use futures_util::StreamExt;
use throughline_model::testing::{run, sample_log};
use throughline_model::{EventStream, StreamItem, TraceEvent, TraceStream};

use crate::{Place, open, shared};

async fn take(stream: &mut EventStream, count: usize) -> Vec<TraceEvent> {
    let mut events = Vec::new();
    while events.len() < count {
        match stream.next().await.unwrap().unwrap() {
            StreamItem::Event(event) => events.push((*event).clone()),
            other => panic!("{other:?} instead of an event"),
        }
    }
    events
}

#[tokio::test]
async fn watchers_see_what_comes_from_now_on_in_order() {
    let place = Place::new();
    let store = open(place.store()).await;
    let log = sample_log(4, 30, &[]);
    let (old, new) = log.split_at(50);
    store.append(&shared(old)).await.unwrap();

    let reader = place.store().open_reader().unwrap();
    let mut all = reader.watch(None).await.unwrap();
    let wanted = new[0].trace_id;
    let mut one = reader.watch(Some(wanted)).await.unwrap();
    for group in new.chunks(20) {
        store.append(&shared(group)).await.unwrap();
    }
    assert_eq!(take(&mut all, new.len()).await, new);
    let of_one: Vec<_> = new.iter().filter(|event| event.trace_id == wanted).cloned().collect();
    assert_eq!(take(&mut one, of_one.len()).await, of_one);

    // Later watchers begin later, and the reader may go before its streams.
    let mut late = reader.watch(None).await.unwrap();
    drop((all, one, reader));
    let mut loan = run("loan").key("late");
    loan.complete_run();
    store.append(&shared(&loan.events())).await.unwrap();
    assert_eq!(take(&mut late, 2).await, loan.events());
}

#[tokio::test]
async fn a_slow_watcher_is_told_how_many_it_missed() {
    let place = Place::new();
    let store = open(place.store()).await;
    let reader = place.store().open_reader().unwrap();
    let mut slow = reader.watch(None).await.unwrap();
    let log = sample_log(4, 400, &[]);
    assert!(log.len() > 3000);
    store.append(&shared(&log)).await.unwrap();
    // Another watcher begins after all of that was handed out.
    drop(reader.watch(None).await.unwrap());
    let (mut seen, mut missed) = (0, 0);
    while seen + missed < log.len() as u64 {
        match slow.next().await.unwrap().unwrap() {
            StreamItem::Event(event) => {
                assert_eq!(missed, 0);
                assert_eq!(*event, log[seen as usize]);
                seen += 1;
            }
            StreamItem::Missed(count) => missed += count,
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0);
}

#[tokio::test]
async fn a_watch_begins_again_after_the_last_one_ended() {
    let place = Place::new();
    let store = open(place.store()).await;
    let reader = place.store().open_reader().unwrap();
    for turn in 0..3 {
        let mut stream = reader.watch(None).await.unwrap();
        let mut loan = run("loan").key(&format!("{turn}"));
        loan.root();
        store.append(&shared(&loan.events())).await.unwrap();
        assert_eq!(take(&mut stream, 1).await, loan.events());
    }
}
