//! What happens to requests on real sockets, and what story, measurement and answer each leaves.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::sse;
use axum::routing::get;
use futures_util::{StreamExt as _, stream};
use throughline_core::{Status, names};
use throughline_tower::{LayerExt as _, Traced};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};

use crate::support::{Server, Story, eventually};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n";

#[tokio::test]
async fn a_request_lasts_as_long_as_its_body() {
    let more = Arc::new(Notify::new());
    let release = Arc::clone(&more);
    let server = Server::start(|router| {
        let stream = move |Traced(ctx): Traced| {
            let more = Arc::clone(&more);
            async move {
                ctx.event("business:streaming", serde_json::json!({})).await.unwrap();
                let first = stream::once(async { Ok::<_, Infallible>(Bytes::from("first ")) });
                let second = stream::once(async move {
                    more.notified().await;
                    Ok(Bytes::from("second"))
                });
                Body::from_stream(first.chain(second))
            }
        };
        router.route("/", get(stream))
    })
    .await;
    let mut body = server.get("/").await.bytes_stream();
    assert_eq!(body.next().await.unwrap().unwrap(), "first ");
    assert!(!server.events().await.iter().any(|event| event.seq == 1), "the request is still being answered");
    release.notify_one();
    assert_eq!(body.next().await.unwrap().unwrap(), "second");
    assert_eq!(server.request_end().await.status, Status::Success);
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_the_request_and_the_steps_in_it() {
    let begun = Arc::new(Notify::new());
    let told = Arc::clone(&begun);
    let server = Server::start(|router| {
        let hang = move |Traced(ctx): Traced| {
            let told = Arc::clone(&told);
            async move {
                let step = async {
                    told.notify_one();
                    std::future::pending::<()>().await;
                };
                ctx.trace_infallible("stage:slow", step).await.unwrap();
            }
        };
        router.route("/", get(hang))
    })
    .await;
    let url = server.url("/");
    let client = tokio::spawn(crate::support::http().get(url).send());
    begun.notified().await;
    client.abort();
    let request = server.request_end().await;
    let events = server.events().await;
    let step = events.iter().find(|event| event.event_type == "stage:slow" && event.seq == 1).unwrap();
    for end in [&request, step] {
        assert_eq!(end.status, Status::Cancelled);
        assert_eq!(end.error.as_ref().unwrap().kind, names::errors::CLIENT_GONE);
    }
    assert_eq!(server.measured().await, "GET / cancelled");
}

#[tokio::test]
async fn a_client_that_hangs_up_in_mid_body_cancels_the_request() {
    let server = Server::start(|router| {
        let endless = async |Traced(ctx): Traced| {
            ctx.event("business:streaming", serde_json::json!({})).await.unwrap();
            let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
            Body::from_stream(stream::repeat_with(move || Ok::<_, Infallible>(chunk.clone())))
        };
        router.route("/", get(endless))
    })
    .await;
    let mut client = server.connect().await;
    client.send(GET).await;
    let head = client.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("\r\nserver-timing: queue;dur="), "{head}");
    assert_eq!(server.gauge("http_server_active_requests"), 1.0);
    drop(client);
    let end = server.request_end().await;
    assert_eq!((end.status, end.attrs.get(names::attrs::HTTP_STATUS)), (Status::Cancelled, Some("200")));
    assert_eq!(end.error.unwrap().kind, names::errors::CLIENT_GONE);
    assert_eq!(server.measured().await, "GET / 200 cancelled");
}

#[tokio::test]
async fn a_connection_that_a_server_closes_because_it_stops_is_no_client_that_hung_up() {
    let begun = Arc::new(Notify::new());
    let told = Arc::clone(&begun);
    let server = Server::start(|router| {
        let hang = move |Traced(ctx): Traced| {
            let told = Arc::clone(&told);
            async move {
                let step = async {
                    told.notify_one();
                    std::future::pending::<()>().await;
                };
                ctx.trace_infallible("stage:slow", step).await.unwrap();
            }
        };
        router.route("/", get(hang))
    })
    .await;
    let client = tokio::spawn(crate::support::http().get(server.url("/")).send());
    begun.notified().await;
    server.throughline.announce_shutdown();
    client.abort();
    assert_eq!(server.request_end().await.error.unwrap().kind, names::errors::SHUTDOWN);
}

#[tokio::test]
async fn a_stream_of_server_sent_events_lasts_until_its_last_one() {
    let server = Server::start(|router| {
        let prices = async |Traced(ctx): Traced| {
            let prices = stream::iter(["7", "8"]).then(move |price| {
                let ctx = ctx.clone();
                async move {
                    // In the body as well, the current context is the request's.
                    ctx.trace_infallible("stage:price", async {}).await.unwrap();
                    Ok::<_, Infallible>(sse::Event::default().data(price))
                }
            });
            sse::Sse::new(prices)
        };
        router.route("/prices", get(prices))
    })
    .await;
    let text = server.get("/prices").await.text().await.unwrap();
    assert_eq!(text, "data: 7\n\ndata: 8\n\n");
    let end = server.request_end().await;
    let events = server.events().await;
    let steps: Vec<_> = events.iter().filter(|event| event.event_type == "stage:price").collect();
    assert!(steps.len() == 4 && steps.iter().all(|step| step.parent_span_id == Some(end.span_id)));
    assert_eq!((end.status, events.last().unwrap().span_id), (Status::Success, end.span_id), "it ends last");
    assert_eq!(server.measured().await, "GET /prices 200");
}

/// A body that panics after its first chunk, once it is told to, and again when it is dropped.
struct Panicking {
    first: Option<Bytes>,
    go_on: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl http_body::Body for Panicking {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(http_body::Frame::data(first))));
        }
        ready!(self.go_on.as_mut().poll(cx));
        panic!("the next price is missing");
    }
}

impl Drop for Panicking {
    fn drop(&mut self) {
        assert!(self.first.is_some(), "dropped in mid-body");
    }
}

#[tokio::test]
async fn a_panic_in_a_body_breaks_the_connection_off_and_harms_nobody_else() {
    let go_on = Arc::new(Notify::new());
    let release = Arc::clone(&go_on);
    let server = Server::start(|router| {
        let panicking = async move || {
            let go_on = Box::pin(async move { go_on.notified().await });
            // `Body::new` keeps the type, as other frameworks would.
            Body::new(Panicking { first: Some(Bytes::from_static(b"first")), go_on })
        };
        router.route("/", get(panicking)).route("/after", get(async || "here"))
    })
    .await;
    let mut client = server.connect().await;
    client.send(GET).await;
    let head = client.until("first\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    release.notify_one();
    assert_eq!(client.rest().await, "", "the client must not believe that this was all");

    let end = server.request_end().await;
    let error = end.error.unwrap();
    assert_eq!((end.status, error.kind.as_str()), (Status::Failed, "panic"));
    assert_eq!(error.message, "the next price is missing");
    assert_eq!(server.measured().await, "GET / 200 panic");
    assert_eq!(server.get("/after").await.text().await.unwrap(), "here");
}

#[tokio::test]
async fn a_body_that_fails_is_recorded_and_breaks_the_connection_off() {
    let go_on = Arc::new(Notify::new());
    let release = Arc::clone(&go_on);
    let server = Server::start(|router| {
        let failing = async move || {
            let first = stream::once(async { Ok(Bytes::from("first")) });
            let then = stream::once(async move {
                go_on.notified().await;
                Err(std::io::Error::other("the disk is gone"))
            });
            Body::from_stream(first.chain(then))
        };
        router.route("/", get(failing))
    })
    .await;
    let mut client = server.connect().await;
    client.send(GET).await;
    client.until("first\r\n").await;
    release.notify_one();
    assert_eq!(client.rest().await, "");
    let error = server.request_end().await.error.unwrap();
    assert_eq!((error.kind.as_str(), error.message.as_str()), ("response body", "the disk is gone"));
    assert_eq!(server.measured().await, "GET / 200 body");
}

#[tokio::test]
async fn a_body_of_known_length_ends_with_its_last_byte() {
    // A server does not ask for more than what was promised, and drops the body: that is no hang-up.
    let server = Server::start(|router| {
        let told = async |Traced(ctx): Traced| {
            ctx.event("business:streaming", serde_json::json!({})).await.unwrap();
            let chunks = stream::iter([Ok::<_, Infallible>("seven "), Ok("bytes")]).chain(stream::pending());
            ([("content-length", "11")], Body::from_stream(chunks))
        };
        router.route("/", get(told))
    })
    .await;
    assert_eq!(server.get("/").await.text().await.unwrap(), "seven bytes");
    assert_eq!(server.request_end().await.status, Status::Success);
    assert_eq!(server.measured().await, "GET / 200");
}

#[tokio::test]
async fn an_answer_without_a_body_is_complete() {
    let server = Server::start(|router| router.route("/", get(async || "never sent"))).await;
    let client = crate::support::http();
    client.head(server.url("/")).send().await.unwrap();
    assert_eq!(server.measured().await, "HEAD / 200");
}

#[tokio::test]
async fn a_handler_within_the_grace_of_a_shutdown_answers_and_one_beyond_is_cancelled() {
    let story = Story::new();
    let (begun, release, stop) = (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(Notify::new()));
    let work = |traced: &'static str, release: Option<Arc<Notify>>| {
        let begun = Arc::clone(&begun);
        get(async move |Traced(ctx): Traced| {
            let work = async {
                begun.notify_one();
                match release {
                    Some(release) => release.notified().await,
                    None => std::future::pending().await,
                }
            };
            ctx.trace_infallible(traced, work).await.unwrap();
            "done"
        })
    };
    let app = axum::Router::new()
        .route("/short", work("stage:short", Some(Arc::clone(&release))))
        .route("/long", work("stage:long", None))
        .layer(story.throughline.layer());

    // The server has a runtime of its own, as a process has, so that what outlives it can be seen.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (tell, address) = oneshot::channel();
    let stopping = Arc::clone(&stop);
    let serving = runtime.spawn(async move {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        tell.send(listener.local_addr().unwrap()).unwrap();
        axum::serve(listener, app).with_graceful_shutdown(async move { stopping.notified().await }).await
    });
    let address = address.await.unwrap();
    let ask = |path: &str| tokio::spawn(crate::support::http().get(format!("http://{address}{path}")).send());
    let (short, long) = (ask("/short"), ask("/long"));
    begun.notified().await;
    eventually(async || (story.gauge("http_server_active_requests") == 2.0).then_some(())).await;
    eventually(async || {
        let events = story.events().await;
        let stages = events.iter().filter(|event| event.event_type.starts_with("stage:"));
        (stages.count() == 2).then_some(())
    })
    .await;

    stop.notify_one();
    release.notify_one();
    assert_eq!(short.await.unwrap().unwrap().text().await.unwrap(), "done");
    assert!(!serving.is_finished(), "the server waits for the other handler");
    runtime.shutdown_background();
    assert!(long.await.unwrap().is_err(), "there is no answer any more");

    let ends = eventually(async || {
        let events = story.events().await;
        let ends =
            events.into_iter().filter(|event| event.event_type == names::HTTP_REQUEST && event.seq == 1);
        Some(ends.collect::<Vec<_>>()).filter(|ends| ends.len() == 2)
    })
    .await;
    let mut outcomes: Vec<_> =
        ends.iter().map(|end| (end.attrs.get(names::attrs::HTTP_ROUTE).unwrap(), end.status)).collect();
    outcomes.sort_by_key(|(route, _)| *route);
    assert_eq!(outcomes, [("/long", Status::Cancelled), ("/short", Status::Success)]);
    assert_eq!(story.end_of("stage:long").await.status, Status::Cancelled);
    let requests = eventually(async || Some(story.requests()).filter(|requests| requests.len() == 2)).await;
    assert_eq!(requests, [("GET /long cancelled".to_owned(), 1), ("GET /short 200".to_owned(), 1)]);
    assert_eq!(story.gauge("http_server_active_requests"), 0.0);
    assert!(story.throughline.shutdown(Duration::from_secs(5)).await.is_complete());
}

#[tokio::test]
async fn a_body_that_is_shorter_than_promised_has_failed() {
    let server = Server::start(|router| {
        let short = async || {
            let chunks = stream::iter([Ok::<_, Infallible>("seven ")]);
            ([("content-length", "11")], Body::from_stream(chunks))
        };
        router.route("/", get(short))
    })
    .await;
    let mut client = server.connect().await;
    client.send(GET).await;
    assert!(!client.rest().await.ends_with("11 bytes"), "the server breaks the connection off");
    let error = server.request_end().await.error.unwrap();
    assert_eq!(
        (error.kind.as_str(), error.message.as_str()),
        ("response body", "it ended 5 bytes short of its content length")
    );
    assert_eq!(server.measured().await, "GET / 200 body");
}
