//! A caller in another language, which traces with OpenTelemetry and knows nothing of us: its trace is the one in the
//! answer, in the logs, in the store and in the worker, over TCP and over a Unix socket.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use throughline::event::{Status, Text, TraceEvent, names};
use throughline::otel::Otlp;
use throughline::worker::{Carrier, Job, JobLayer};
use throughline::{LayerExt as _, SqliteStore, Throughline, TraceId, Traced};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};
use tracing_subscriber::filter::LevelFilter;

use crate::otel::receiver::{self, Over, Receiver};

/// What the client posts, and what the worker is given: as text, for that is what a queue holds.
#[derive(Serialize, Deserialize)]
struct Order {
    item: String,
    #[serde(default)]
    context: Carrier,
}

impl Job for Order {
    fn job_type(&self) -> Text {
        Text::from("ship-order")
    }

    fn carrier(&self) -> Carrier {
        self.context.clone()
    }
}

/// The kind of a span that a server makes, in OTLP.
const SERVER: u64 = 2;

/// How long something may take that either happens soon or never.
const PATIENCE: Duration = Duration::from_secs(60);

type Queue = mpsc::UnboundedSender<String>;

fn service(throughline: &Throughline, queue: Queue) -> Router {
    async fn order(State(queue): State<Queue>, Traced(ctx): Traced, Json(order): Json<Order>) -> Json<Value> {
        ctx.event("business:ordered", json!({ "item": order.item })).await.unwrap();
        tracing::info!(item = order.item, "an order was taken");
        let order = Order { context: Carrier::current(), ..order };
        queue.send(serde_json::to_string(&order).unwrap()).unwrap();
        Json(json!({ "trace_id": ctx.trace_id() }))
    }
    async fn broken() {
        assert!(std::env::args().count() == 0, "the shelf fell down");
    }
    Router::new()
        .route("/orders", post(order))
        .route("/broken", post(broken))
        .with_state(queue)
        .layer(throughline.layer())
}

/// Ships what is in the queue, and says so.
async fn work(throughline: Throughline, mut queue: mpsc::UnboundedReceiver<String>, shipped: Queue) {
    let ship = service_fn(|order: Order| async move {
        tracing::info!(item = order.item, "an order was shipped");
        Ok::<_, std::io::Error>(order.item)
    });
    let mut worker = JobLayer::new(&throughline, "orders").layer(ship);
    while let Some(order) = queue.recv().await {
        let order = serde_json::from_str(&order).unwrap();
        let item = worker.ready().await.unwrap().call(order).await.unwrap();
        shipped.send(item).unwrap();
    }
}

/// What the client says of a request of its own.
#[derive(Deserialize)]
struct Said {
    trace_id: TraceId,
    span_id: String,
    status: u16,
    headers: std::collections::HashMap<String, Value>,
    body: String,
}

impl Said {
    /// The trace that the answer names, be it a handler's or a problem's.
    fn trace_in_body(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        body["trace_id"].as_str().unwrap().to_owned()
    }
}

/// Where `cargo xtask test` has put the client's packages.
fn modules() -> PathBuf {
    let of_xtask = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/node_client/node_modules");
    std::env::var_os("THROUGHLINE_NODE_MODULES").map_or_else(of_xtask, PathBuf::from)
}

fn may_be_left_out() -> bool {
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let is_there = || {
        let node = Command::new("node").arg("--version").output();
        node.is_ok_and(|node| node.status.success()) && modules().join("@opentelemetry/sdk-node").exists()
    };
    if services == "off" || (services != "required" && !is_there()) {
        eprintln!(
            "left out: without node and the packages that `cargo xtask test` installs there is no client"
        );
        return true;
    }
    false
}

async fn client(target: Value) -> Said {
    let mut node = Command::new("node");
    node.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node_client/client.cjs"));
    node.arg(target.to_string()).env("NODE_PATH", modules());
    let configured = std::env::vars_os().map(|(name, _)| name);
    configured.filter(|name| name.to_string_lossy().starts_with("OTEL_")).for_each(|name| {
        node.env_remove(name);
    });
    let mut node = tokio::process::Command::from(node);
    let output = tokio::time::timeout(PATIENCE, node.kill_on_drop(true).output()).await.expect("node ends");
    let output = output.expect("node runs: install it, or set THROUGHLINE_SERVICES=off");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_node_client_finds_its_trace_in_the_answer_the_logs_the_store_and_the_worker() {
    if may_be_left_out() {
        return;
    }
    // This runtime has one thread, so that the subscriber of the thread sees the service and the worker.
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("log");
    let subscriber = tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_ansi(false);
    let subscriber = subscriber.with_writer(Arc::new(std::fs::File::create(&logs).unwrap())).finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    // As long as there is but one subscriber, whether a span is of interest is asked, once for all, of the thread that
    // comes by it first: of another test, maybe, which has none. With a second one both are asked.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());

    let store = SqliteStore::new(folder.path().join("traces.db"));
    let receiver = receiver::is_there().then(|| Receiver::start(Over::Http));
    let mut builder = Throughline::builder("order-service").store(store);
    if let Some(receiver) = &receiver {
        builder = builder.sink(Otlp::new().endpoint(receiver.endpoint()));
    }
    let throughline = builder.build().unwrap();
    let (queue, jobs) = mpsc::unbounded_channel();
    let (tx, mut shipped) = mpsc::unbounded_channel();
    tokio::spawn(work(throughline.clone(), jobs, tx));
    let app = service(&throughline, queue);
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", tcp.local_addr().unwrap());
    let socket = folder.path().join("service.sock");
    let unix = UnixListener::bind(&socket).unwrap();
    let over_unix = app.clone();
    tokio::spawn(async move { axum::serve(tcp, app).await });
    tokio::spawn(async move { axum::serve(unix, over_unix).await });

    let targets = |path: &str| {
        [json!({ "url": format!("{url}{path}") }), json!({ "socketPath": socket, "path": path })]
    };
    for target in targets("/orders") {
        let said = client(target.clone()).await;
        assert_eq!((said.status, said.trace_in_body()), (200, said.trace_id.to_string()), "{target}");
        assert!(said.headers.contains_key("x-request-id") && said.headers.contains_key("server-timing"));

        let item = tokio::time::timeout(PATIENCE, shipped.recv()).await.expect("the worker ships");
        assert_eq!(item.as_deref(), Some("lamp"));
        let events = events(&throughline, said.trace_id).await;
        let root = the(&events, names::HTTP_REQUEST);
        assert_eq!(
            root.parent_span_id.unwrap().to_string(),
            said.span_id,
            "the request continues the client's span"
        );
        assert!(root.has_tag(names::tags::REMOTE_PARENT) && root.status == Status::Success);
        assert_eq!(the(&events, "business:ordered").parent_span_id, Some(root.span_id));
        let job = the(&events, "job:ship-order");
        assert_eq!(
            (job.parent_span_id, job.status),
            (Some(root.span_id), Status::Success),
            "the worker continues"
        );

        let logs = std::fs::read_to_string(&logs).unwrap();
        for (message, span) in [("an order was taken", root.span_id), ("an order was shipped", job.span_id)] {
            let ids = [format!("trace_id={}", said.trace_id), format!("span_id={span}")];
            let of_this = |line: &&str| line.contains(message) && ids.iter().all(|id| line.contains(id));
            assert_eq!(logs.lines().filter(of_this).count(), 1, "{ids:?}\n{logs}");
        }
        if let Some(receiver) = &receiver {
            let is_root = |line: &Value| {
                line["signal"] == "span"
                    && line["span_id"] == root.span_id.to_string()
                    && line["trace_id"] == said.trace_id.to_string()
                    && line["parent_span_id"] == said.span_id.as_str()
                    && line["kind"] == SERVER
            };
            throughline.flush(PATIENCE).await;
            receiver.once(|lines| lines.iter().any(is_root));
        }
    }
    for target in targets("/broken") {
        let said = client(target.clone()).await;
        assert_eq!((said.status, said.trace_in_body()), (500, said.trace_id.to_string()), "{target}");
        assert_eq!(said.headers["content-type"], "application/problem+json");
        let events = events(&throughline, said.trace_id).await;
        let root = the(&events, names::HTTP_REQUEST);
        assert_eq!(root.error.as_ref().unwrap().message.as_str(), "the shelf fell down");
        assert_eq!(root.parent_span_id.unwrap().to_string(), said.span_id);
    }
}

/// The events of the trace, once the request's span has ended: the client may have its answer before.
async fn events(throughline: &Throughline, trace: TraceId) -> Vec<TraceEvent> {
    let is_end =
        |event: &TraceEvent| event.event_type == names::HTTP_REQUEST && event.status != Status::Pending;
    let ended = async {
        loop {
            assert!(throughline.flush(PATIENCE).await.is_complete());
            let events = throughline.reader().unwrap().trace(trace).await.unwrap();
            if events.iter().any(is_end) {
                return events;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("the request's span ends")
}

/// The last event of the only span of this type.
fn the<'a>(events: &'a [TraceEvent], event_type: &str) -> &'a TraceEvent {
    let found: Vec<_> = events.iter().filter(|event| event.event_type == event_type).collect();
    let last = found.last().ok_or_else(|| format!("no {event_type} in {events:#?}")).unwrap();
    assert!(found.iter().all(|event| event.span_id == last.span_id), "{found:#?}");
    last
}
