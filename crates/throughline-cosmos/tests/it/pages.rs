//! Answers that come in several pages, which are not of one moment.

use std::sync::Arc;

use throughline_model::testing::run;
use throughline_model::{Filter, Page, SpanId, Status, Timestamp, TraceEvent};
use tokio::sync::oneshot;

use crate::server::{Fate, Server};
use crate::{open, shared};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_committed_between_two_pages_is_not_seen_in_part() {
    let server = Server::start();
    let store = open(&server.store()).await;
    let reader = store.readers().reader;
    let trace = run("loan").trace_id();
    let event = |span: u64| {
        let span = SpanId::from_u64(span).unwrap();
        let mut event = TraceEvent::new(
            trace,
            span,
            "note",
            Timestamp::from_micros(span.to_u64() as i64),
            "loan-service",
        );
        event.status = Status::Success;
        event
    };
    let before: Vec<_> = (2..8).map(event).collect();
    store.append(&shared(&before)).await.unwrap();
    // One document of this call comes before all others, and one after them.
    let between = shared(&[event(1), event(9)]);

    server.short_pages(3);
    let (asked, is_asked) = oneshot::channel();
    let (release, released) = oneshot::channel();
    let mut held = Some((asked, released));
    server.judge(move |request| match held.take_if(|_| request.is_next_page) {
        Some((asked, released)) => {
            asked.send(()).unwrap();
            Fate::Held(released)
        }
        None => Fate::Answered,
    });
    let reading = tokio::spawn({
        let reader = Arc::clone(&reader);
        async move { reader.trace(trace).await }
    });
    is_asked.await.unwrap();
    store.append(&between).await.unwrap();
    drop(release);
    assert_eq!(reading.await.unwrap().unwrap(), before, "as it was before that call");

    server.recover();
    assert_eq!(reader.trace(trace).await.unwrap().len(), 8);
}

#[tokio::test]
async fn answers_are_the_same_however_short_the_pages_of_the_service_are() {
    let server = Server::start();
    let store = open(&server.store()).await;
    for key in 0..12 {
        let mut loan = run("loan").key(&format!("loan-{key}")).at(Timestamp::from_micros(1000 * key));
        loan.root();
        let step = loan.begin("stage:score");
        loan.fail(step, "Timeout", "no answer");
        loan.fail_run("Timeout", "no answer");
        store.append(&shared(&loan.events())).await.unwrap();
    }
    let readers = store.readers();
    let ask = async || {
        let (filter, page) = (Filter::new().status(Status::Failed), Page::first(5));
        let events = readers.reader.events(&filter, &page).await.unwrap();
        let runs = readers.reader.runs(&filter, &page).await.unwrap();
        let spots = readers.analytics.hot_spots(&Default::default(), 3).await.unwrap();
        (events, runs, spots)
    };
    let whole = ask().await;
    assert_eq!((whole.0.items.len(), whole.1.items.len()), (5, 5));
    server.short_pages(2);
    assert_eq!(ask().await, whole);
}
