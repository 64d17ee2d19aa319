//! The root of a request, which is written only if something hangs on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use throughline_core::testing::FaultyStore;
use throughline_core::{
    DropReason, ErrorInfo, EventSink, Link, MemoryStore, NotRecorded, Propagation, Relation, RequestSpan,
    Status, Throughline, TraceContext, TraceEvent, names,
};

use crate::support::{ended, open, parents};

#[tokio::test]
async fn a_request_writes_its_root_only_when_something_hangs_on_it() {
    let (throughline, store) = open();
    throughline.request(names::HTTP_REQUEST).open().succeed();
    assert!(throughline.flush(Duration::from_secs(5)).await.is_complete());
    assert_eq!(store.events().len(), 0);

    let request =
        throughline.request(names::HTTP_REQUEST).describe(|request| request.attr("request_id", "r-1")).open();
    let ctx = request.context().clone();
    let (a, b) =
        tokio::join!(ctx.trace_infallible("stage:a", async {}), ctx.trace_infallible("stage:b", async {}));
    a.and(b).unwrap();
    request.succeed();
    assert!(throughline.flush(Duration::from_secs(5)).await.is_complete());
    let events = store.events();
    assert_eq!(events.iter().filter(|event| event.event_type == names::HTTP_REQUEST).count(), 2);
    assert_eq!(events[0].event_type, names::HTTP_REQUEST);
    let parents = parents(&events);
    assert_eq!((&*parents["stage:a"], &*parents["stage:b"]), (names::HTTP_REQUEST, names::HTTP_REQUEST));

    let before = store.events().len();
    let error = ErrorInfo { kind: "http:500".into(), message: "oh".into(), chain: vec![] };
    throughline.request(names::HTTP_REQUEST).open().fail(error);
    drop(throughline.request(names::HTTP_REQUEST).open());
    assert!(throughline.flush(Duration::from_secs(5)).await.is_complete());
    assert_eq!(store.events().len(), before + 2);
}

#[tokio::test]
async fn a_request_may_name_what_caused_it_without_continuing_its_trace() {
    let (throughline, store) = open();
    let cause = throughline.request("http:public").open();
    let parent = cause.context().propagation().traceparent.unwrap();
    let request =
        throughline.request(names::HTTP_REQUEST).describe(move |request| request.caused_by(parent)).open();
    request.ensure_recorded();
    request.succeed();
    assert!(throughline.flush(Duration::from_secs(5)).await.is_complete());
    let events = store.events();
    let start = events.iter().find(|event| event.event_type == names::HTTP_REQUEST).unwrap();
    assert!(start.trace_id != parent.trace_id && start.is_root(), "{start:?}");
    let link = Link { rel: Relation::CausedBy, trace_id: Some(parent.trace_id), span_id: parent.span_id };
    assert_eq!(start.links, [link]);
}

#[tokio::test]
async fn the_id_of_a_request_is_as_it_came_for_all_that_works_for_it_and_is_not_recorded() {
    let (throughline, store) = open();
    let request = throughline.request(names::HTTP_REQUEST).request_id("4111111111111111").open();
    let ctx = request.context();
    assert_eq!(ctx.request_id(), Some("4111111111111111"));
    let step = ctx.step("stage:a").run_infallible(|ctx| async move { ctx.request_id().map(str::to_owned) });
    assert_eq!(step.await.unwrap().as_deref(), ctx.request_id());
    request.succeed();
    assert!(throughline.flush(Duration::from_secs(5)).await.is_complete());
    assert!(!format!("{:?}", store.events()).contains("4111111111111111"));
}

#[tokio::test]
async fn an_injected_request_is_recorded_and_its_loss_is_a_cancellation() {
    let (throughline, store) = open();
    let request = throughline.request(names::HTTP_REQUEST).open();
    let parent = request.context().traceparent();
    assert!(parent.contains(&request.context().trace_id().to_string()), "{parent}");
    assert!(request.is_recorded());
    drop(request);
    assert!(throughline.flush(Duration::from_secs(5)).await.is_complete());
    assert_eq!(ended(&store.events(), names::HTTP_REQUEST).status, Status::Cancelled);
}

#[tokio::test]
async fn what_a_request_left_behind_writes_its_root_late_and_whole() {
    let (throughline, store) = open();
    let request = throughline.request(names::HTTP_REQUEST).describe(|request| request.attr("a", "1")).open();
    let ctx = request.context().clone();
    request.succeed();
    assert!(!ctx.attrs().is_empty(), "what is known of the request can be asked for at any time");
    assert_eq!(store.events().len(), 0, "nothing hung on it while it was served");

    ctx.trace_infallible("stage:mail", async {}).await.unwrap();
    assert!(throughline.flush(Duration::from_secs(5)).await.is_complete());
    let events = store.events();
    let of_request: Vec<_> = events
        .iter()
        .filter(|event| event.event_type == names::HTTP_REQUEST)
        .map(|event| event.status)
        .collect();
    assert_eq!(of_request, [Status::Pending, Status::Success]);
    assert_eq!(parents(&events)["stage:mail"], names::HTTP_REQUEST);
    assert!(events.iter().all(|event| event.attrs.get("a") == Some("1")));
    let account = &throughline.delivery_report().destinations[0];
    assert_eq!((account.accepted, account.delivered, account.pending), (4, 4, 0));
}

#[tokio::test]
async fn a_request_is_described_only_when_it_is_recorded() {
    let (throughline, _store) = open();
    let described = Arc::new(AtomicU32::new(0));
    let start = || {
        let described = Arc::clone(&described);
        throughline.request(names::HTTP_REQUEST).describe(move |request| {
            described.fetch_add(1, Ordering::Relaxed);
            request
        })
    };
    start().open().succeed();
    assert_eq!(described.load(Ordering::Relaxed), 0);
    let request = start().open();
    request.context().trace_infallible("stage:a", async {}).await.unwrap();
    request.context().trace_infallible("stage:b", async {}).await.unwrap();
    request.succeed();
    assert_eq!(described.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn any_number_of_requests_may_be_open_and_each_has_room_for_its_steps() {
    let store = MemoryStore::new();
    let throughline = Throughline::builder("test").store(store.clone()).queue_capacity(1).build().unwrap();
    let requests: Vec<_> = (0..64).map(|_| throughline.request(names::HTTP_REQUEST).open()).collect();
    for request in &requests {
        request.context().trace_infallible("stage:a", async {}).await.unwrap();
    }
    requests.into_iter().for_each(RequestSpan::succeed);
    assert!(throughline.flush(Duration::from_secs(5)).await.is_complete());
    assert_eq!(store.events().len(), 64 * 4);
}

#[tokio::test]
async fn requests_that_fail_while_the_store_is_away_do_not_fill_the_memory_and_are_counted() {
    let store = FaultyStore::around(MemoryStore::new());
    let faults = store.faults();
    let throughline = Throughline::builder("test").store(store).queue_capacity(4).build().unwrap();
    faults.hold();
    let error = ErrorInfo { kind: "http:503".into(), message: "away".into(), chain: Vec::new() };
    for _ in 0..100 {
        throughline.request(names::HTTP_REQUEST).open().fail(error.clone());
    }
    let account = &throughline.delivery_report().destinations[0];
    assert_eq!(account.pending, 4);
    assert_eq!(account.dropped, [(DropReason::QueueFull, 196)]);
    faults.release();
    let account = &throughline.flush(Duration::from_secs(5)).await.destinations[0];
    assert_eq!((account.accepted, account.delivered), (200, 4));
}

/// Asks its context for what to send along, as a sink does that posts events somewhere.
struct Posts;

impl EventSink for Posts {
    fn name(&self) -> &str {
        "posts"
    }

    fn on_event(&self, _: &Arc<TraceEvent>) {
        let _ = TraceContext::current().map(|context| context.propagation());
    }
}

#[tokio::test]
async fn a_sink_may_use_the_context_of_the_root_that_is_being_written() {
    let throughline = Throughline::builder("test").store(MemoryStore::new()).sink(Posts).build().unwrap();
    let request = throughline.request(names::HTTP_REQUEST).open();
    let context = request.context().clone();
    context.scope(|| request.ensure_recorded());
    assert!(request.is_recorded());
    request.succeed();
    assert!(throughline.flush(Duration::from_secs(5)).await.is_complete());
}

#[tokio::test]
async fn after_a_shutdown_requests_open_and_their_steps_say_why_they_do_not_start() {
    let (throughline, store) = open();
    throughline.shutdown(Duration::from_secs(5)).await;
    let request = throughline.request(names::HTTP_REQUEST).open();
    let step = request.context().trace_infallible("stage:a", async {}).await;
    assert!(matches!(step, Err(NotRecorded::ShutDown)), "{step:?}");
    request.succeed();
    assert_eq!(store.events().len(), 0);
}

#[tokio::test]
async fn a_trace_goes_through_a_service_that_is_off_as_if_that_were_not_there() {
    let off = Throughline::builder("test").disabled(true).build().unwrap();
    for caller in [
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
    ] {
        let propagation = Propagation::from_headers(Some(caller), Some("vendor=1"), Some("tenant=acme"));
        let request = off.request(names::HTTP_REQUEST).continue_from(propagation.clone()).open();
        assert_eq!(request.context().propagation(), propagation);
    }
}
