//! The root of a request, which is written only if something hangs on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use throughline_core::{MemoryStore, NotStarted, Propagation, Status, Throughline, names};

use crate::support::{ended, open, parents};

#[tokio::test]
async fn a_request_writes_its_root_only_when_something_hangs_on_it() {
    let (throughline, store) = open();
    throughline.request(names::HTTP_REQUEST).open().await.succeed();
    assert!(throughline.flush(Duration::from_secs(5)).await.is_complete());
    assert_eq!(store.events().len(), 0);

    let request = throughline
        .request(names::HTTP_REQUEST)
        .describe(|request| request.attr("request_id", "r-1"))
        .open()
        .await;
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
    let error = throughline_core::ErrorInfo { kind: "http:500".into(), message: "oh".into(), chain: vec![] };
    throughline.request(names::HTTP_REQUEST).open().await.fail(error);
    drop(throughline.request(names::HTTP_REQUEST).open().await);
    assert!(throughline.flush(Duration::from_secs(5)).await.is_complete());
    assert_eq!(store.events().len(), before + 2);
}

#[tokio::test]
async fn an_injected_request_is_recorded_and_its_loss_is_a_cancellation() {
    let (throughline, store) = open();
    let request = throughline.request(names::HTTP_REQUEST).open().await;
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
    let request =
        throughline.request(names::HTTP_REQUEST).describe(|request| request.attr("a", "1")).open().await;
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
    let account = &throughline.ledger().accounts[0];
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
    start().open().await.succeed();
    assert_eq!(described.load(Ordering::Relaxed), 0);
    let request = start().open().await;
    request.context().trace_infallible("stage:a", async {}).await.unwrap();
    request.context().trace_infallible("stage:b", async {}).await.unwrap();
    request.succeed();
    assert_eq!(described.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_request_that_finds_the_queue_full_waits_for_room() {
    let store = MemoryStore::new();
    let throughline = Throughline::builder("test").store(store).queue_capacity(4).build().unwrap();
    let start = || throughline.request(names::HTTP_REQUEST);
    let first = start().try_open().unwrap();
    let second = start().try_open().unwrap();
    let third = start().try_open().unwrap_err();
    let mut opening = Box::pin(third.open());
    assert!((&mut opening).now_or_never().is_none());
    first.succeed();
    opening.await.succeed();
    second.succeed();
}

#[tokio::test]
async fn after_a_shutdown_requests_open_and_their_steps_say_why_they_do_not_start() {
    let (throughline, store) = open();
    throughline.shutdown(Duration::from_secs(5)).await;
    let request = throughline.request(names::HTTP_REQUEST).try_open().unwrap();
    let step = request.context().trace_infallible("stage:a", async {}).await;
    assert!(matches!(step, Err(NotStarted::NotRecorded(_))), "{step:?}");
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
        let request = off.request(names::HTTP_REQUEST).continue_from(propagation.clone()).open().await;
        assert_eq!(request.context().propagation(), propagation);
    }
}
