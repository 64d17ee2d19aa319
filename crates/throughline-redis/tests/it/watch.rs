//! What a watcher sees of a feed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use throughline_core::Throughline;
use throughline_model::{
    Cursor, EventStream, FeedConfig as _, Instance, InstanceId, LiveFeed, SpanId, StreamItem, Timestamp,
    TraceEvent, TraceId, TraceStream, WatchRequest,
};
use throughline_redis::RedisFeed;

use crate::conformance::prefix;
use crate::server::{Server, is_there, shared};

/// How long something may take that either happens soon or never.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const OWN: InstanceId = InstanceId::from_u64(11);

/// Both ends of a feed, as one instance has them.
pub(crate) struct Ends {
    pub(crate) feed: Arc<dyn LiveFeed>,
    pub(crate) stream: Arc<dyn TraceStream>,
}

impl Ends {
    pub(crate) async fn open(feed: &RedisFeed) -> Self {
        let feed = feed.open(Instance::new(OWN, "test")).await.unwrap();
        let stream = feed.stream().unwrap();
        Self { feed, stream }
    }

    pub(crate) async fn publish(&self, events: &[&TraceEvent]) {
        let events: Vec<_> = events.iter().map(|event| Arc::new((*event).clone())).collect();
        self.feed.publish(&events).await.unwrap();
    }

    pub(crate) async fn watch(&self, request: WatchRequest) -> EventStream {
        self.stream.watch(request).await.unwrap()
    }
}

/// A feed of this test alone.
pub(crate) fn feed() -> RedisFeed {
    RedisFeed::new(shared().url()).prefix(prefix())
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The event number `n` of this instance, in a run of this key.
pub(crate) fn event(key: &str, instance: InstanceId, n: u64) -> TraceEvent {
    let span = SpanId::from_u64(n + 1).unwrap();
    let mut event =
        TraceEvent::new(TraceId::from_key(key), span, "stage:one", Timestamp::from_micros(1), "test");
    (event.instance, event.n) = (instance, n);
    event
}

pub(crate) async fn item(stream: &mut EventStream) -> StreamItem {
    result(stream).await.unwrap()
}

pub(crate) async fn result(stream: &mut EventStream) -> Result<StreamItem, throughline_model::ReadError> {
    tokio::time::timeout(PATIENCE, stream.next()).await.expect("something comes").expect("the watch goes on")
}

/// The next item, which is to be this event.
pub(crate) async fn expect(stream: &mut EventStream, event: &TraceEvent) -> Cursor {
    match item(stream).await {
        StreamItem::Event { event: seen, cursor } if *seen == *event => cursor,
        other => panic!("{other:?} instead of {event:?}"),
    }
}

pub(crate) async fn expect_missed(stream: &mut EventStream, missed: Option<u64>) {
    assert_eq!(item(stream).await, StreamItem::Missed(missed));
}

#[test]
fn an_event_that_is_published_twice_is_seen_once() {
    if !is_there() {
        return;
    }
    runtime().block_on(async {
        let ends = Ends::open(&feed()).await;
        for key in ["all", "run"] {
            let [a, b, c] = [0, 1, 2].map(|n| event(key, OWN, n));
            let request = match key {
                "run" => WatchRequest::new().trace(a.trace_id),
                _ => WatchRequest::new(),
            };
            let mut stream = ends.watch(request.clone()).await;
            ends.publish(&[&a, &b]).await;
            ends.publish(&[&a, &b]).await;
            ends.publish(&[&a, &b, &c]).await;
            let between = expect(&mut stream, &a).await;
            let last = expect(&mut stream, &b).await;
            expect(&mut stream, &c).await;
            // Who resumes has seen what came before, too.
            let mut resumed = ends.watch(request.clone().after(last)).await;
            expect(&mut resumed, &c).await;
            let mut resumed = ends.watch(request.after(between)).await;
            expect(&mut resumed, &b).await;
            expect(&mut resumed, &c).await;
        }
    });
}

#[test]
fn a_cursor_is_good_for_all_events_and_for_those_of_a_run() {
    if !is_there() {
        return;
    }
    runtime().block_on(async {
        let ends = Ends::open(&feed()).await;
        let (one, other) = (|n| event("one", OWN, n), |n| event("other", OWN, n));
        let mut all = ends.watch(WatchRequest::new()).await;
        let events = [one(0), other(1), one(2), other(3), one(4)];
        ends.publish(&events.each_ref()).await;
        let mut cursors = Vec::new();
        for event in &events {
            cursors.push(expect(&mut all, event).await);
        }
        let mut run =
            ends.watch(WatchRequest::new().trace(events[0].trace_id).after(cursors[1].clone())).await;
        assert_eq!(expect(&mut run, &events[2]).await, cursors[2]);
        expect(&mut run, &events[4]).await;
        let mut all = ends.watch(WatchRequest::new().after(cursors[2].clone())).await;
        expect(&mut all, &events[3]).await;
    });
}

#[test]
fn a_large_group_of_many_runs_comes_in_the_order_in_which_it_was_handed_over() {
    if !is_there() {
        return;
    }
    runtime().block_on(async {
        let ends = Ends::open(&feed()).await;
        // Neither by turns nor one run after the other.
        let events: Vec<_> = (0..1000).map(|n| event(&format!("run-{}", (n * n) % 7), OWN, n)).collect();
        let mut all = ends.watch(WatchRequest::new()).await;
        let mut run = ends.watch(WatchRequest::new().trace(events[1].trace_id)).await;
        ends.publish(&events.iter().collect::<Vec<_>>()).await;
        let mut cursors = Vec::new();
        for event in &events {
            cursors.push(expect(&mut all, event).await);
        }
        for event in events.iter().filter(|event| event.trace_id == events[1].trace_id) {
            expect(&mut run, event).await;
        }
        for at in [0, 62, 63, 64, 501] {
            let mut resumed = ends.watch(WatchRequest::new().after(cursors[at].clone())).await;
            expect(&mut resumed, &events[at + 1]).await;
            expect(&mut resumed, &events[at + 2]).await;
        }
    });
}

#[test]
fn an_emitters_stream_needs_nothing_of_the_runtime_that_it_is_watched_on() {
    if !is_there() {
        return;
    }
    let throughline = Throughline::builder("test").feed(feed()).build().unwrap();
    // Without timers and I/O.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut stream = throughline.stream().unwrap().watch(WatchRequest::new()).await.unwrap();
        throughline.workflow("loan").run_infallible(|_| async {}).await.unwrap();
        let types = stream.by_ref().take(2).map(|item| match item.unwrap() {
            StreamItem::Event { event, .. } => event.event_type.to_string(),
            other => panic!("{other:?}"),
        });
        assert_eq!(types.collect::<Vec<_>>().await, ["workflow:started", "workflow:completed"]);
        throughline.shutdown(PATIENCE).await;
        drop(throughline);
        assert!(stream.next().await.is_none(), "it ends with its emitter");
    });
}

#[test]
fn a_watch_that_is_dropped_closes_its_connection() {
    if !is_there() {
        return;
    }
    let server = Server::start();
    runtime().block_on(async {
        let ends = Ends::open(&RedisFeed::new(server.url())).await;
        let connections = || match server.command(&["CLIENT", "LIST"]) {
            redis::Value::BulkString(list) => String::from_utf8(list).unwrap().lines().count(),
            other => panic!("{other:?}"),
        };
        let before = connections();
        let stream = ends.watch(WatchRequest::new()).await;
        assert_eq!(connections(), before + 1);
        drop(stream);
        let closed = async {
            while connections() > before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, closed).await.expect("the connection is closed");
    });
}
