//! What the tests of the server layer share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use throughline_core::metrics::Metrics;
use throughline_core::{MemoryStore, Throughline, TraceEvent, names};
use throughline_tower::{LayerExt as _, ServerLayer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// An emitter with a memory store and a recorder that can be looked into.
pub(crate) struct Story {
    pub(crate) throughline: Throughline,
    pub(crate) store: MemoryStore,
    snapshotter: Snapshotter,
    seen: Mutex<Seen>,
}

/// What was seen so far: a snapshot takes its values along and leaves none.
#[derive(Default)]
struct Seen {
    requests: BTreeMap<String, usize>,
    gauges: BTreeMap<String, f64>,
}

impl Story {
    pub(crate) fn new() -> Self {
        let store = MemoryStore::new();
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let builder = Throughline::builder("test").store(store.clone());
        let throughline = builder.metrics(Metrics::to(recorder)).build().unwrap();
        Self { throughline, store, snapshotter, seen: Mutex::default() }
    }

    pub(crate) async fn events(&self) -> Vec<TraceEvent> {
        assert!(self.throughline.flush(Duration::from_secs(10)).await.is_complete());
        self.store.events()
    }

    /// The event that ended the request, once it is there.
    pub(crate) async fn request_end(&self) -> TraceEvent {
        self.end_of(names::HTTP_REQUEST).await
    }

    /// The event that ended a span, once it is there.
    pub(crate) async fn end_of(&self, event_type: &str) -> TraceEvent {
        eventually(async || {
            let events = self.events().await;
            events.into_iter().find(|event| event.event_type == event_type && event.seq == 1)
        })
        .await
    }

    fn look<T>(&self, at: impl FnOnce(&Seen) -> T) -> T {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            let key = key.key();
            match value {
                DebugValue::Gauge(by) => *seen.gauges.entry(key.name().to_owned()).or_default() += *by,
                DebugValue::Histogram(values) if key.name() == "http_server_request_duration_seconds" => {
                    let label =
                        |name| key.labels().find(|label| label.key() == name).map(metrics::Label::value);
                    let names =
                        ["http_request_method", "http_route", "http_response_status_code", "error_type"];
                    let words: Vec<_> = names.into_iter().filter_map(label).collect();
                    *seen.requests.entry(words.join(" ")).or_default() += values.len();
                }
                _ => {}
            }
        }
        at(&seen)
    }

    /// The requests measured so far, as `GET /route 200 error_type`, and how many of each.
    pub(crate) fn requests(&self) -> Vec<(String, usize)> {
        self.look(|seen| seen.requests.iter().map(|(series, count)| (series.clone(), *count)).collect())
    }

    /// The values of these labels of all series of requests, in order.
    pub(crate) fn labels_of_requests(&self, names: &[&str]) -> Vec<String> {
        let of_requests = |key: &metrics::Key| key.name() == "http_server_request_duration_seconds";
        let value = |key: &metrics::Key, name: &str| {
            key.labels().find(|label| label.key() == name).map(|label| label.value().to_owned())
        };
        let keys = self.snapshotter.snapshot().into_vec().into_iter().map(|(key, ..)| key.key().clone());
        let values = keys
            .filter(of_requests)
            .map(|key| names.iter().filter_map(|name| value(&key, name)).collect::<Vec<_>>().join(" "));
        let mut values: Vec<_> = values.collect();
        values.sort();
        values
    }

    /// The only request, as it was measured, once it is. No request is active any more then.
    pub(crate) async fn measured(&self) -> String {
        let requests =
            eventually(async || Some(self.requests()).filter(|requests| !requests.is_empty())).await;
        let [(series, 1)] = &requests[..] else { panic!("one request: {requests:?}") };
        assert_eq!(self.gauge("http_server_active_requests"), 0.0);
        series.clone()
    }

    /// The sum of a gauge over all its labels.
    pub(crate) fn gauge(&self, name: &str) -> f64 {
        self.look(|seen| seen.gauges.get(name).copied().unwrap_or_default())
    }
}

/// A server of axum on a socket, with the layer around its routes.
pub(crate) struct Server {
    pub(crate) story: Story,
    pub(crate) address: SocketAddr,
}

impl std::ops::Deref for Server {
    type Target = Story;
    fn deref(&self) -> &Story {
        &self.story
    }
}

impl Server {
    pub(crate) async fn start(routes: impl FnOnce(Router) -> Router) -> Self {
        Self::start_with(routes, |layer| layer).await
    }

    /// With a layer that is not as it is by default.
    pub(crate) async fn start_with(
        routes: impl FnOnce(Router) -> Router,
        layer: impl FnOnce(ServerLayer) -> ServerLayer,
    ) -> Self {
        let story = Story::new();
        let app = routes(Router::new()).layer(layer(story.throughline.layer()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { story, address }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        http().get(self.url(path)).send().await.unwrap()
    }

    pub(crate) async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }
}

/// A client that sends bytes and sees what comes back, byte for byte.
pub(crate) struct Client(TcpStream);

impl Client {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Sends as much as the server takes.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes).await;
    }

    /// All that comes until the server closes the connection.
    pub(crate) async fn rest(mut self) -> String {
        let mut bytes = Vec::new();
        // A connection that is reset has been closed as well; one that stays open fails the test.
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What comes until this text.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let mut bytes = Vec::new();
        while !bytes.ends_with(text.as_bytes()) {
            bytes.push(timeout(PATIENCE, self.0.read_u8()).await.unwrap().unwrap());
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// Asks until there is an answer; a test that waits for nothing fails after a while.
pub(crate) async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, asked).await.unwrap()
}

/// A client of loopback servers, which asks no proxy.
pub(crate) fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}
