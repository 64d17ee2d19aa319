//! Watching a file that another process writes to.

use std::time::Duration;

use futures_util::StreamExt;
use throughline_model::testing::{run, sample_log};
use throughline_model::{
    Cursor, EventStream, Filter, InstanceId, StreamItem, TraceEvent, TraceStream, WatchRequest,
};
use throughline_sqlite::{PrunePolicy, SqliteReader};

use crate::{Place, open, open_as, shared};

async fn take(stream: &mut EventStream, count: usize) -> Vec<(TraceEvent, Cursor)> {
    let mut events = Vec::new();
    while events.len() < count {
        match stream.next().await.unwrap().unwrap() {
            StreamItem::Event { event, cursor } => events.push(((*event).clone(), cursor)),
            other => panic!("{other:?} instead of an event"),
        }
    }
    events
}

async fn take_events(stream: &mut EventStream, count: usize) -> Vec<TraceEvent> {
    take(stream, count).await.into_iter().map(|(event, _)| event).collect()
}

async fn watch(reader: &SqliteReader) -> EventStream {
    reader.watch(WatchRequest::new()).await.unwrap()
}

#[tokio::test]
async fn watchers_see_what_comes_from_now_on_in_order() {
    let place = Place::new();
    let store = open(place.store()).await;
    let log = sample_log(4, 30, &[]);
    let (old, new) = log.split_at(50);
    store.append(&shared(old)).await.unwrap();

    let reader = place.store().open_reader().unwrap();
    let wanted = WatchRequest::new().trace(new[0].trace_id).filter(Filter::new().event_type("stage:*"));
    let mut all = watch(&reader).await;
    let mut some = reader.watch(wanted.clone()).await.unwrap();
    for group in new.chunks(20) {
        store.append(&shared(group)).await.unwrap();
    }
    assert_eq!(take_events(&mut all, new.len()).await, new);
    let matching: Vec<_> = new.iter().filter(|event| wanted.matches(event)).cloned().collect();
    assert!(!matching.is_empty());
    assert_eq!(take_events(&mut some, matching.len()).await, matching);

    // Later watchers begin later, and the reader may go before its streams.
    let mut late = watch(&reader).await;
    drop((all, some, reader));
    let mut loan = run("loan").key("late");
    loan.complete_run();
    store.append(&shared(&loan.events())).await.unwrap();
    assert_eq!(take_events(&mut late, 2).await, loan.events());
}

#[tokio::test]
async fn a_slow_watcher_reads_later_and_misses_nothing_that_is_in_the_file() {
    let place = Place::new();
    let store = open(place.store()).await;
    let reader = place.store().open_reader().unwrap();
    let mut slow = watch(&reader).await;
    let mut quick = watch(&reader).await;
    let log = sample_log(4, 400, &[]);
    assert!(log.len() > 3000);
    for group in log.chunks(500) {
        store.append(&shared(group)).await.unwrap();
        assert_eq!(take_events(&mut quick, group.len()).await, group);
    }
    assert_eq!(take_events(&mut slow, log.len()).await, log);
}

#[tokio::test]
async fn a_watch_resumes_after_a_cursor_and_says_what_was_pruned_since() {
    let place = Place::new();
    let here = InstanceId::random();
    let store = open_as(place.store(), here).await;
    let reader = place.store().open_reader().unwrap();
    let mut stream = watch(&reader).await;
    let mut first = run("loan").key("first");
    first.complete_run();
    let mut second = run("loan").key("second");
    second.complete_run();
    let mut third = run("loan").key("third").instance(here);
    third.root();
    for run in [&first, &second, &third] {
        store.append(&shared(&run.events())).await.unwrap();
    }
    let seen = take(&mut stream, 5).await;
    drop(stream);
    place.store().prune(&PrunePolicy::default().age(Duration::ZERO)).unwrap();

    // Of the five events the first four were pruned; the watcher knew the first.
    let mut resumed = reader.watch(WatchRequest::new().after(seen[0].1.clone())).await.unwrap();
    assert_eq!(resumed.next().await.unwrap().unwrap(), StreamItem::Missed(Some(3)));
    assert_eq!(take(&mut resumed, 1).await, seen[4..]);
    // Another reader, as after a restart, knows the same cursors.
    drop((resumed, reader));
    let reader = place.store().open_reader().unwrap();
    let mut resumed = reader.watch(WatchRequest::new().after(seen[3].1.clone())).await.unwrap();
    assert_eq!(take(&mut resumed, 1).await, seen[4..]);
}

#[tokio::test]
async fn a_cursor_of_another_file_or_beyond_the_end_is_said_to_have_missed_something() {
    let (place, other) = (Place::new(), Place::new());
    let mut loan = run("loan");
    loan.complete_run();
    let events = shared(&loan.events());
    let store = open(place.store()).await;
    let reader = place.store().open_reader().unwrap();
    let mut stream = watch(&reader).await;
    store.append(&events).await.unwrap();
    let cursor = take(&mut stream, 2).await[0].1.clone();
    open(other.store()).await.append(&events).await.unwrap();
    let others = other.store().open_reader().unwrap();
    let beyond = Cursor::new(format!("{}000", cursor.as_str()));
    for (reader, cursor) in [(&others, cursor), (&reader, beyond)] {
        let mut resumed = reader.watch(WatchRequest::new().after(cursor)).await.unwrap();
        assert_eq!(resumed.next().await.unwrap().unwrap(), StreamItem::Missed(None));
    }
    let error = reader.watch(WatchRequest::new().after(Cursor::new("event:1"))).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("`event:1` is not a cursor of this stream"), "{error}");
}

#[tokio::test]
async fn a_watch_begins_again_after_the_last_one_ended() {
    let place = Place::new();
    let store = open(place.store()).await;
    let reader = place.store().open_reader().unwrap();
    for turn in 0..3 {
        let mut stream = watch(&reader).await;
        let mut loan = run("loan").key(&format!("{turn}"));
        loan.root();
        store.append(&shared(&loan.events())).await.unwrap();
        assert_eq!(take_events(&mut stream, 1).await, loan.events());
    }
}
