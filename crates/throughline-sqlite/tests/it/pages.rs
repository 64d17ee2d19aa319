//! Pages of one run, short and long.

use std::time::Duration;

use throughline_model::testing::{RunBuilder, run, sample_log};
use throughline_model::{Cursor, InstanceId, Page, SpanId, Timestamp, TraceEvent, TraceId, TraceReader};
use throughline_sqlite::SqliteReader;

use crate::{Place, open, shared};

async fn pages(reader: &SqliteReader, id: TraceId, limit: usize) -> Vec<TraceEvent> {
    let (mut all, mut page) = (Vec::new(), Page::first(limit));
    loop {
        let found = reader.trace_page(id, &page).await.unwrap();
        assert!(found.items.len() == limit || found.next.is_none());
        assert!(found.next.is_none() || found.next == found.items.last().map(Cursor::of_event));
        all.extend(found.items);
        match found.next {
            Some(next) => page.after = Some(next),
            None => return all,
        }
    }
}

/// A run of an agent: events every few milliseconds, now and then several at the same moment, in two lives.
fn agent(events: usize) -> RunBuilder {
    let mut agent = run("agent").key("agent").instance(InstanceId::from_u64(1));
    agent.root();
    for number in 0..events {
        if number == events / 2 {
            agent.pass(Duration::from_secs(3600));
            agent.resume(InstanceId::from_u64(2));
        }
        agent.point("ai:call");
        let (instance, moment) = (InstanceId::from_u64(number as u64 % 2 + 1), number as i64 / 7 * 20_000);
        agent.edit(|event| {
            event.instance = instance;
            event.timestamp =
                Timestamp::from_micros(event.timestamp.as_micros() / 1_000_000 * 1_000_000 + moment);
        });
    }
    agent
}

async fn check(reader: &SqliteReader, id: TraceId, limits: &[usize]) {
    let want = reader.trace(id).await.unwrap();
    for limit in limits {
        let got = pages(reader, id, *limit).await;
        assert_eq!(got.len(), want.len(), "in pages of {limit}");
        assert!(got == want, "in pages of {limit}");
    }
}

#[tokio::test]
async fn a_long_run_among_others_is_covered_once_in_order() {
    let place = Place::new();
    let mut log = agent(4000).events();
    let id = log[0].trace_id;
    log.extend(sample_log(11, 200, &[]));
    log.sort_by_key(|event| (event.timestamp, event.n));
    let store = open(place.store()).await;
    for (number, group) in log.chunks(13).enumerate() {
        let mut group = shared(group);
        if number % 3 == 0 {
            group.reverse();
        }
        store.append(&group).await.unwrap();
    }
    let reader = place.store().open_reader().unwrap().in_place();
    check(&reader, id, &[1, 100, 999, 5000, usize::MAX]).await;
}

#[tokio::test]
async fn a_long_run_is_read_as_it_was_written_however_far_apart_its_events_are_in_the_file() {
    let place = Place::new();
    let mut written = agent(2000).events();
    written.sort_by_key(TraceEvent::order);
    let mut others = sample_log(14, 900, &[]).into_iter();
    let mut log = Vec::new();
    for (number, event) in written.iter().enumerate() {
        log.push(event.clone());
        log.extend(others.by_ref().take(if number % 8 == 0 { number / 16 % 40 } else { 0 }));
    }
    let store = open(place.store()).await;
    for group in log.chunks(100) {
        store.append(&shared(group)).await.unwrap();
    }
    let reader = place.store().open_reader().unwrap().in_place();
    let read = reader.trace(written[0].trace_id).await.unwrap();
    assert_eq!(read.len(), written.len());
    assert!(read == written);
}

#[tokio::test]
async fn a_long_run_that_was_imported_in_any_order_is_covered_once_in_order() {
    let place = Place::new();
    let mut log = agent(3000).events();
    let id = log[0].trace_id;
    log.extend(sample_log(12, 100, &[]));
    // By a key without meaning, so that each block covers the whole time.
    log.sort_by_key(|event| event.span_id.to_u64().wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut importer = place.store().open_importer().unwrap();
    log.chunks(1000).for_each(|chunk| {
        importer.append(chunk).unwrap();
    });
    importer.finish().unwrap();
    let reader = place.store().open_reader().unwrap().in_place();
    check(&reader, id, &[64, 1000]).await;
    // And what comes later, in small groups, joins it.
    let store = open(place.store()).await;
    let end = reader.trace(id).await.unwrap().last().unwrap().timestamp;
    for number in 0..50 {
        let (span, time) =
            (SpanId::from_u64(1_000_000 + number).unwrap(), end.plus(Duration::from_millis(number)));
        let event = TraceEvent::new(id, span, "ai:call", time, "agent");
        store.append(&shared(&[event])).await.unwrap();
    }
    check(&reader, id, &[64, 1000]).await;
}

#[tokio::test]
async fn short_runs_and_runs_that_are_not_there_have_pages_too() {
    let place = Place::new();
    let log = sample_log(13, 30, &[InstanceId::random()]);
    let mut importer = place.store().open_importer().unwrap();
    importer.append(&log).unwrap();
    importer.finish().unwrap();
    let reader = place.store().open_reader().unwrap();
    for event in log.iter().step_by(17) {
        check(&reader, event.trace_id, &[1, 3, 1000]).await;
    }
    assert_eq!(pages(&reader, TraceId::from_key("nowhere"), 5).await, []);
    let none = reader.trace_page(log[0].trace_id, &Page::first(0)).await.unwrap();
    assert_eq!((none.items, none.next), (vec![], None));
    let nonsense = Page { after: Some(Cursor::new("nonsense")), ..Page::first(5) };
    let error = reader.trace_page(log[0].trace_id, &nonsense).await.unwrap_err();
    assert!(error.to_string().contains("`nonsense` is not a cursor"), "{error}");
}

#[tokio::test]
async fn pages_of_a_run_hold_still_while_it_grows() {
    let place = Place::new();
    let mut agent = agent(2000);
    let store = open(place.store()).await;
    store.append(&shared(&agent.events())).await.unwrap();
    let reader = place.store().open_reader().unwrap();
    let first = reader.trace_page(agent.trace_id(), &Page::first(1500)).await.unwrap();
    agent.pass(Duration::from_secs(3600));
    (0..500).for_each(|_| {
        agent.point("ai:late");
    });
    store.append(&shared(&agent.events())).await.unwrap();
    let rest = Page { after: first.next, ..Page::first(usize::MAX) };
    let rest = reader.trace_page(agent.trace_id(), &rest).await.unwrap();
    let all = [first.items, rest.items].concat();
    assert!(all == reader.trace(agent.trace_id()).await.unwrap());
}
