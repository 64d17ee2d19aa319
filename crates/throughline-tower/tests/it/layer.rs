//! The layer around services in process: what it counts under, how it waits, what it hands in.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, Request, Response, StatusCode, Version};
use axum::response::IntoResponse as _;
use axum::routing::get;
use futures_util::{FutureExt as _, StreamExt as _};
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use throughline_core::testing::FaultyStore;
use throughline_core::{Durability, MemoryStore, SpanId, Status, Throughline, TraceContext};
use throughline_tower::{LayerExt as _, ServerTiming, Traced};
use tokio::sync::Notify;
use tower::{Service as _, ServiceBuilder, ServiceExt as _};

use crate::support::Story;

/// Sends a request and reads the answer to its end.
async fn send(app: &Router, request: Request<Body>) -> Response<Bytes> {
    let answer = app.clone().oneshot(request).await.unwrap();
    let (head, body) = answer.into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

fn request(method: &str, uri: &str) -> Request<Body> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    Request::builder().method(method).uri(uri).body(Body::empty()).unwrap()
}

fn app(story: &Story) -> Router {
    let routes = Router::new()
        .route("/loans/{id}", get(async || "granted"))
        .route("/broken", get(async || StatusCode::SERVICE_UNAVAILABLE))
        .route("/timed", get(async || ([("server-timing", "db;dur=3")], "timed")));
    routes.layer(story.throughline.layer())
}

#[tokio::test]
async fn a_flood_of_paths_and_methods_makes_one_series_each() {
    let story = Story::new();
    let app = app(&story);
    for path in 0..20_000 {
        send(&app, request("GET", &format!("/wp-{path}.php"))).await;
    }
    for method in 0..1000 {
        send(&app, request(&format!("SCAN{method}"), "/")).await;
    }
    send(&app, request("GET", "/loans/1")).await;
    send(&app, request("GET", "/loans/2")).await;
    let expected =
        [("GET /loans/{id} 200", 2), ("GET _unmatched 404", 20_000), ("_OTHER _unmatched 404", 1000)];
    assert_eq!(story.requests(), expected.map(|(series, count)| (series.to_owned(), count)));
    assert_eq!(story.events().await, [], "and leaves no trace");
    assert_eq!(story.gauge("http_server_active_requests"), 0.0);
}

#[tokio::test]
async fn an_error_of_the_server_is_counted_under_its_status() {
    let story = Story::new();
    assert_eq!(send(&app(&story), request("GET", "/broken")).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(story.measured().await, "GET /broken 503 503");
}

#[tokio::test]
async fn scheme_and_version_come_from_the_request_and_are_few() {
    let story = Story::new();
    let app = app(&story);
    for (uri, version) in [
        ("/loans/1", Version::HTTP_11),
        ("https://loans.example/loans/1", Version::HTTP_2),
        ("gopher://loans.example/loans/1", Version::HTTP_10),
    ] {
        let mut request = request("GET", uri);
        *request.version_mut() = version;
        send(&app, request).await;
    }
    assert_eq!(
        story.labels_of_requests(&["url_scheme", "network_protocol_version"]),
        ["_OTHER 1.0", "http 1.1", "https 2"]
    );
}

#[tokio::test]
async fn a_layer_behind_tls_is_told_so() {
    let story = Story::new();
    let app = Router::new().layer(story.throughline.layer().scheme(&Scheme::HTTPS));
    send(&app, request("GET", "/")).await;
    assert_eq!(story.labels_of_requests(&["url_scheme"]), ["https"]);
}

#[tokio::test]
async fn the_times_of_the_layer_are_appended_to_those_of_the_handler() {
    let story = Story::new();
    let answer = send(&app(&story), request("GET", "/timed")).await;
    let values: Vec<_> = answer.headers().get_all("server-timing").iter().collect();
    assert!(values.len() == 2 && values[0] == "db;dur=3", "{values:?}");
    assert_eq!(ServerTiming::from_headers(answer.headers()).unwrap().queue, Duration::ZERO);
}

/// Lets time pass: what is measured here is time.
async fn pass(time: Duration) {
    let until = Instant::now() + time;
    while Instant::now() < until {
        tokio::task::yield_now().await;
    }
}

const WHILE: Duration = Duration::from_millis(5);

#[tokio::test]
async fn waiting_for_the_service_inside_counts_as_queueing_and_not_as_work() {
    let story = Story::new();
    let release = Arc::new(Notify::new());
    let handler = Arc::clone(&release);
    let mut service = ServiceBuilder::new().layer(story.throughline.layer()).concurrency_limit(1).service_fn(
        move |_: Request<Body>| {
            let release = Arc::clone(&handler);
            async move {
                release.notified().await;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
            }
        },
    );
    let mut other = service.clone();
    let first = service.ready().await.unwrap().call(request("GET", "/"));
    assert!(other.ready().now_or_never().is_none(), "there is room for one");
    pass(WHILE).await;
    release.notify_one();
    first.await.unwrap();
    let second = other.ready().await.unwrap().call(request("GET", "/"));
    release.notify_one();
    let timing = ServerTiming::from_headers(second.await.unwrap().headers()).unwrap();
    assert!(timing.queue >= WHILE, "{timing}");

    // A request that was ready at once has not waited, and is not charged with another's time.
    let third = other.ready().await.unwrap().call(request("GET", "/"));
    pass(WHILE).await;
    release.notify_one();
    let timing = ServerTiming::from_headers(third.await.unwrap().headers()).unwrap();
    assert!(timing.queue < WHILE && timing.app >= WHILE, "{timing}");
}

#[tokio::test]
async fn a_request_in_which_nothing_is_recorded_is_answered_while_the_store_does_not_answer() {
    let store = FaultyStore::around(MemoryStore::new());
    let faults = store.faults();
    let throughline = Throughline::builder("test").store(store).queue_capacity(1).build().unwrap();
    faults.hold();
    let stuck = tokio::spawn(throughline.workflow("test").run_infallible(|_| async {}));
    faults.attempted(1).await;
    let mut service = ServiceBuilder::new()
        .layer(throughline.layer())
        .service_fn(async |_: Request<Body>| Ok::<_, Infallible>(Response::new(Full::new(Bytes::new()))));
    let answer = service.ready().await.unwrap().call(request("GET", "/")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    faults.release();
    stuck.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_waits_for_the_ends_of_steps_that_have_not_waited_themselves() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline =
        Throughline::builder("test").store(faulty).durability(Durability::Coalesced).build().unwrap();
    let (held, returned) = (faults.clone(), Arc::new(Notify::new()));
    let has_returned = Arc::clone(&returned);
    let handler = async move |Traced(ctx): Traced| {
        // It is in a step now, whose start is stored.
        ctx.trace_infallible("stage:a", async { held.hold() }).await.unwrap();
        has_returned.notify_one();
        "done"
    };
    let app = Router::new().route("/", get(handler)).layer(throughline.layer());
    let attempts = faults.attempts();
    let answer = tokio::spawn(async move { send(&app, request("GET", "/")).await });
    returned.notified().await;
    faults.attempted(attempts + 2).await;
    assert!(!answer.is_finished(), "the end of the step is not stored");
    faults.release();
    assert_eq!(&answer.await.unwrap().body()[..], b"done");
    let stored: Vec<_> = store.events().iter().map(|event| event.event_type.to_string()).collect();
    assert_eq!(stored[..3], ["http:request", "stage:a", "stage:a"]);
}

#[tokio::test]
async fn after_a_shutdown_a_handler_still_has_a_context_whose_steps_do_not_start() {
    let story = Story::new();
    let handler =
        async |Traced(ctx): Traced| ctx.trace_infallible("stage:a", async {}).await.is_err().to_string();
    let app = Router::new().route("/", get(handler)).layer(story.throughline.layer());
    story.throughline.shutdown(Duration::from_secs(5)).await;
    let answer = send(&app, request("GET", "/")).await;
    assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &b"true"[..]));
}

#[tokio::test]
async fn a_service_that_gives_no_answer_is_recorded() {
    let story = Story::new();
    let mut service = ServiceBuilder::new()
        .layer(story.throughline.layer())
        .service_fn(async |_: Request<Body>| Err::<Response<Full<Bytes>>, _>("the backend hung up"));
    assert_eq!(
        service.ready().await.unwrap().call(request("GET", "/")).await.unwrap_err(),
        "the backend hung up"
    );
    assert_eq!(story.request_end().await.error.unwrap().kind, "service");
    assert_eq!(story.measured().await, "GET _unmatched service");
}

#[tokio::test]
async fn a_service_that_panics_before_it_gives_a_future_is_answered_for() {
    let story = Story::new();
    let mut service = ServiceBuilder::new().layer(story.throughline.layer()).service_fn(
        |_: Request<Body>| -> std::future::Ready<Result<Response<Full<Bytes>>, Infallible>> {
            panic!("no future")
        },
    );
    let answer = service.ready().await.unwrap().call(request("GET", "/")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(story.measured().await, "GET _unmatched 500 panic");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_a_handler_logs_carries_the_trace_id_even_if_nothing_is_recorded() {
    let story = Story::new();
    let handler = async |Traced(ctx): Traced| {
        tracing::info!("the loan was looked at");
        ctx.trace_id().to_string()
    };
    let app = Router::new().route("/", get(handler)).layer(story.throughline.layer());
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let subscriber = tracing::Dispatch::new(subscriber);
    // Beside a second one, `tracing` asks the right one whether it wants what other threads' tests log first.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let answer =
        tracing::dispatcher::with_default(&subscriber, || runtime.block_on(send(&app, request("GET", "/"))));
    let trace_id = String::from_utf8(answer.body().to_vec()).unwrap();
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let line = log.lines().find(|line| line.contains("the loan was looked at")).unwrap();
    assert!(line.contains(&trace_id), "{line}");
    assert_eq!(story.store.events(), []);
}

#[tokio::test]
async fn the_context_is_current_in_the_handler_and_gone_after_it() {
    let story = Story::new();
    let handler = async |Traced(ctx): Traced| {
        assert_eq!(TraceContext::current().unwrap().span_id(), ctx.span_id());
        "current".into_response()
    };
    let app = Router::new().route("/", get(handler)).layer(story.throughline.layer());
    assert_eq!(send(&app, request("GET", "/")).await.body(), "current");
    assert!(TraceContext::current().is_none());
}

/// A body of known size, and what comes after its bytes: trailers, or a panic.
struct Sized {
    frames: VecDeque<Frame<Bytes>>,
    left: u64,
}

impl http_body::Body for Sized {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = self.frames.pop_front();
        assert!(frame.is_some(), "the end is missing");
        self.left -= frame.as_ref().and_then(Frame::data_ref).map_or(0, |data| data.len() as u64);
        Poll::Ready(frame.map(Ok))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Answers with such a body, by this version of HTTP, and reads so many frames of it.
async fn read_sized(story: &Story, version: Version, trailers: bool, frames: usize) {
    let mut service =
        ServiceBuilder::new().layer(story.throughline.layer()).service_fn(async |_: Request<Body>| {
            let trailers = trailers.then(|| {
                let fault = [(HeaderName::from_static("grpc-status"), HeaderValue::from_static("13"))];
                Frame::trailers(HeaderMap::from_iter(fault))
            });
            let frames = [Frame::data(Bytes::from_static(b"seven"))].into_iter().chain(trailers).collect();
            Ok::<_, Infallible>(Response::new(Sized { frames, left: 5 }))
        });
    let mut request = request("GET", "/");
    *request.version_mut() = version;
    let mut body = service.ready().await.unwrap().call(request).await.unwrap().into_body();
    for _ in 0..frames {
        let _ = body.frame().await.unwrap();
    }
}

#[tokio::test]
async fn what_comes_after_the_last_byte_counts_where_a_server_asks_for_it() {
    for (version, trailers, frames, expected) in [
        (Version::HTTP_11, true, 1, "GET _unmatched 200"),
        (Version::HTTP_2, true, 2, "GET _unmatched 200 grpc:13"),
        (Version::HTTP_2, false, 2, "GET _unmatched 200 panic"),
        // The client did not wait for what is no part of the content.
        (Version::HTTP_2, true, 1, "GET _unmatched 200"),
        (Version::HTTP_2, true, 0, "GET _unmatched 200 cancelled"),
    ] {
        let story = Story::new();
        read_sized(&story, version, trailers, frames).await;
        assert_eq!(story.measured().await, expected, "{version:?}, {frames} frames");
    }
}

/// A request that is dropped tells what the current context is then, and may panic.
struct Dropped {
    seen: Arc<Mutex<Vec<Option<SpanId>>>>,
    panics: bool,
}

impl Drop for Dropped {
    fn drop(&mut self) {
        let current = TraceContext::current().map(|context| context.span_id());
        self.seen.lock().unwrap().push(current);
        assert!(!self.panics, "the destructor broke");
    }
}

/// The future of a handler, which holds such a thing.
struct Holding {
    _dropped: Dropped,
    panics: bool,
}

impl Future for Holding {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.panics, "the handler broke");
        Poll::Ready(Ok(Response::new(Full::new(Bytes::new()))))
    }
}

#[tokio::test]
async fn a_destructor_that_panics_after_a_panic_or_an_answer_harms_nobody() {
    for panics in [true, false] {
        let story = Story::new();
        let seen = Arc::default();
        let kept = Arc::clone(&seen);
        let mut service =
            ServiceBuilder::new().layer(story.throughline.layer()).service_fn(move |_: Request<Body>| {
                Holding { _dropped: Dropped { seen: Arc::clone(&kept), panics: true }, panics }
            });
        let answer = service.ready().await.unwrap().call(request("GET", "/")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(story.measured().await, "GET _unmatched 500 panic");
        let told = if panics { "the handler broke" } else { "the destructor broke" };
        let end = story.request_end().await;
        assert_eq!(end.error.unwrap().message, told);
        assert_eq!(*seen.lock().unwrap(), [Some(end.span_id)], "it belongs to the request");
    }
}

#[tokio::test]
async fn a_body_whose_destructor_panics_after_its_end_harms_nobody() {
    let story = Story::new();
    let seen = Arc::default();
    let kept = Arc::clone(&seen);
    let body = async move || {
        let dropped = Dropped { seen: kept, panics: true };
        let chunks = futures_util::stream::iter([Ok::<_, Infallible>("all")]);
        Body::from_stream(chunks.inspect(move |_| {
            let _held = &dropped;
        }))
    };
    let app = Router::new().route("/", get(body)).layer(story.throughline.layer());
    assert_eq!(send(&app, request("GET", "/")).await.body(), "all");
    assert_eq!(story.measured().await, "GET / 200");
    drop(app);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_cancelled_is_dropped_in_the_context_of_its_request() {
    let story = Story::new();
    let (seen, begun) = (Arc::default(), Arc::new(Notify::new()));
    let (kept, told) = (Arc::clone(&seen), Arc::clone(&begun));
    let handler = async move |Traced(ctx): Traced| {
        ctx.event("business:begun", serde_json::json!({})).await.unwrap();
        let _dropped = Dropped { seen: kept, panics: true };
        told.notify_one();
        std::future::pending::<()>().await;
    };
    let app = Router::new().route("/", get(handler)).layer(story.throughline.layer());
    let mut call = Box::pin(app.oneshot(request("GET", "/")));
    tokio::select! {
        _ = &mut call => unreachable!("it hangs"),
        () = begun.notified() => {}
    }
    drop(call);
    let end = story.request_end().await;
    assert_eq!(*seen.lock().unwrap(), [Some(end.span_id)]);
    assert_eq!((end.status, end.error.unwrap().message.as_str()), (Status::Failed, "the destructor broke"));

    let story = Story::new();
    let seen = Arc::default();
    let kept = Arc::clone(&seen);
    let body = async move |Traced(ctx): Traced| {
        ctx.event("business:begun", serde_json::json!({})).await.unwrap();
        let dropped = Dropped { seen: kept, panics: false };
        Body::from_stream(futures_util::stream::pending::<Result<Bytes, Infallible>>().map(move |chunk| {
            let _held = &dropped;
            chunk
        }))
    };
    let app = Router::new().route("/", get(body)).layer(story.throughline.layer());
    drop(app.oneshot(request("GET", "/")).await.unwrap());
    let end = story.request_end().await;
    assert_eq!(end.status, Status::Cancelled);
    assert_eq!(*seen.lock().unwrap(), [Some(end.span_id)]);
}
