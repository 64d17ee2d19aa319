//! Every metric of the catalogue, recorded by the part of the library that it is about, at work: nothing here records
//! anything itself.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Request;
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use throughline::browser::Browser;
use throughline::event::{Text, TraceEvent, TraceId};
use throughline::feed::EventSink;
use throughline::health::{Check, Health, Probe};
use throughline::http::SocketSession;
use throughline::log::{Logs, Output};
use throughline::metrics::catalogue::{self, Kind};
use throughline::metrics::{CollectorGuard, ExpositionFormat, Prometheus};
use throughline::store::{
    AppendError, BoxError, BoxFuture, Charges, Claim, Instance, OpenError, Readers, StoreConfig, TraceStore,
};
use throughline::transport::Caller;
use throughline::worker::{
    Carrier, Job, JobLayer, Provisioning, QueueDepth, RateLimits, StateMachine, StepCall, StepLayer, Timers,
    WorkflowLayer,
};
use throughline::{LayerExt as _, MemoryStore, Throughline, TraceContext};
use tower::util::BoxCloneSyncService;
use tower::{Layer as _, ServiceExt as _, service_fn};
use tracing_subscriber::layer::SubscriberExt as _;

use super::{runs, work};

/// How long something may take that either happens soon or never.
const PATIENCE: Duration = Duration::from_secs(20);

/// What may be at nothing in a service that is well: nothing waits, and nothing fails.
const MAY_BE_ZERO: [&str; 3] = [
    "throughline_events_pending",
    "throughline_store_upkeep_failures_total",
    "tokio_runtime_global_queue_depth",
];

/// Makes the delivery report count dropped events and panics, and say that a destination is broken.
struct Panics;

impl EventSink for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    fn on_event(&self, _: &Arc<TraceEvent>) {
        // As a panic does, but without a report on stderr.
        std::panic::resume_unwind(Box::new("a sink has a bug"));
    }
}

/// A store whose service charges for what it does.
struct Charging(MemoryStore);

struct OpenCharging(Arc<dyn TraceStore>);

impl StoreConfig for Charging {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let opening = self.0.open(instance);
        Box::pin(async move { Ok(Arc::new(OpenCharging(opening.await?)) as Arc<dyn TraceStore>) })
    }

    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        self.0.open_readers()
    }
}

impl TraceStore for OpenCharging {
    fn name(&self) -> &str {
        "charging"
    }

    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        self.0.append(events)
    }

    fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>> {
        self.0.claim(trace)
    }

    fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
        self.0.release(trace)
    }

    fn readers(&self) -> Readers {
        self.0.readers()
    }

    fn charges(&self) -> Charges {
        let charges = Charges::default();
        charges.add("batch", 6.5);
        charges
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.0.close()
    }
}

struct Ship(Carrier);

impl Job for Ship {
    fn job_type(&self) -> Text {
        Text::from("ship")
    }

    fn carrier(&self) -> Carrier {
        self.0.clone()
    }
}

/// The page as it is when everything is at work, one inside the other: a WebSocket of a request, the job that came of
/// it, the workflow of the job, a step of that.
async fn at_work(throughline: &Throughline, prometheus: &Prometheus) -> String {
    let page = Arc::new(Mutex::new(String::new()));
    let step = {
        let (prometheus, page) = (prometheus.clone(), Arc::clone(&page));
        service_fn(move |_: ()| {
            *page.lock().unwrap() = prometheus.render(ExpositionFormat::Text);
            async { Ok::<_, BoxError>(()) }
        })
    };
    let step = StepLayer::new(throughline, |_: &()| StepCall::new("pack").step_type("script")).layer(step);
    let describe = |throughline: &Throughline, _: &()| throughline.workflow("shipping").tenant("acme");
    let workflow = WorkflowLayer::new(throughline, describe).layer(step).map_err(io::Error::other);
    let workflow = BoxCloneSyncService::new(workflow);
    let ship = service_fn(move |_: Ship| workflow.clone().oneshot(()));
    let worker = JobLayer::new(throughline, "orders").layer(ship).map_err(io::Error::other);
    let worker = BoxCloneSyncService::new(worker);
    let open_socket = move |session: SocketSession| async move {
        let job =
            move |_: TraceContext| async move { worker.clone().oneshot(Ship(Carrier::current())).await };
        session.run(job).await.unwrap().map_err(|error| error.to_string())
    };
    let app: Router = Router::new().route("/prices", get(open_socket)).layer(throughline.layer());
    let request = Request::get("/prices").header("connection", "upgrade").header("upgrade", "websocket");
    let request = request.header("sec-websocket-version", "13");
    let answer = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    let page = page.lock().unwrap();
    page.clone()
}

/// Calls of others: as a client, over a transport, and what they say of their limits.
async fn call(throughline: &Throughline) {
    let functions = Router::new().route("/functions/double", post(async |Json(n): Json<u32>| Json(2 * n)));
    let functions = functions.layer(throughline.layer());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/functions/double", listener.local_addr().unwrap());
    let serving = tokio::spawn(axum::serve(listener, functions.clone()).into_future());

    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let client = throughline.client_layer().layer(client);
    let request = Request::post(url).header("content-type", "application/json");
    let request = request.body(Full::from(Bytes::from_static(b"21"))).unwrap();
    let caller = Caller::direct(throughline, functions);
    let run = throughline.workflow("doubling").run(|_: TraceContext| async move {
        assert!(client.oneshot(request).await?.status().is_success());
        assert_eq!(caller.call::<_, u32>("double", &21).await?, 42);
        Ok::<_, BoxError>(())
    });
    run.await.unwrap().unwrap();
    serving.abort();
    let limits = RateLimits::new(throughline, "http", "github");
    limits.observe([("x-ratelimit-limit", "5000"), ("x-ratelimit-remaining", "4987")]).unwrap();
}

/// What sessions and sandboxes go through.
async fn live(throughline: &Throughline) -> throughline::worker::Entity<&'static str> {
    let machine =
        StateMachine::builder("session", "idle").transition("idle", "running").transition("idle", "ended");
    let machine = machine.trigger("paused", "running", "idle").build(throughline).unwrap();
    let sandboxes = Provisioning::new(throughline, "sandbox");
    let timers = Timers::new(throughline, "auto_pause");
    timers.schedule().fire();
    drop(timers.schedule());
    let run = throughline.workflow("session").run(|ctx| async move {
        sandboxes.create(&ctx, async { Ok::<_, BoxError>(()) }).await??;
        sandboxes.health_check(async { Ok::<_, BoxError>(()) }).await?;
        machine.enter(&ctx, "session-0").await?.transition(&ctx, "ended").await?;
        let session = machine.enter(&ctx, "session-1").await?;
        session.transition(&ctx, "running").await?;
        session.trigger(&ctx, "paused").await?;
        session.transition(&ctx, "idle").await.unwrap_err();
        Ok::<_, BoxError>(session)
    });
    run.await.unwrap().unwrap()
}

/// A queue that tells its depth, and one that does not until it is asked again.
async fn queues(throughline: &Throughline) -> [QueueDepth; 2] {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let deep = {
        let tell = tell.clone();
        let ask = move || {
            tell.send("deep").unwrap();
            async { Ok::<_, BoxError>(3) }
        };
        QueueDepth::of("deep", ask).every(Duration::from_millis(1)).start(throughline).unwrap()
    };
    let mute = move || {
        tell.send("mute").unwrap();
        async { Err::<u64, _>("nobody answers") }
    };
    let mute = QueueDepth::of("mute", mute).every(Duration::from_millis(1)).start(throughline).unwrap();
    // Who is asked for the second time has had the first answer noted.
    let (mut deep_asked, mut mute_asked) = (0, 0);
    while deep_asked < 2 || mute_asked < 2 {
        let asked = tokio::time::timeout(PATIENCE, told.recv()).await.expect("the queues are asked");
        *(if asked == Some("deep") { &mut deep_asked } else { &mut mute_asked }) += 1;
    }
    [deep, mute]
}

async fn browse(throughline: &Throughline) {
    let app: Router = Browser::builder(throughline).build().unwrap().add_to(Router::new());
    let report = r#"[{"name":"LCP","value":900},{"name":"INP","value":80},{"name":"CLS","value":0.1},
        {"name":"FCP","value":700},{"name":"TTFB","value":90},{"name":"error"}]"#;
    let answer =
        app.oneshot(Request::post("/browser/report").body(Body::from(report)).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 204);
}

/// More values of a label than are kept apart.
async fn flood(throughline: &Throughline) {
    let run = throughline.workflow("flood").run(|ctx| async move {
        for n in 0..300 {
            ctx.event(format!("business:{n}"), json!({})).await?;
        }
        Ok::<_, BoxError>(())
    });
    run.await.unwrap().unwrap();
}

/// Logs more than it may: one line is written, and one is not.
fn log(throughline: &Throughline) -> (Logs, CollectorGuard) {
    let logs = Logs::builder("busy-service").output(Output::writer(io::sink()));
    let logs = logs.limit("busy", 1, PATIENCE).build().unwrap();
    let measured = logs.measure(throughline.meter());
    let subscriber = tracing_subscriber::registry().with(logs.layer(throughline.redactor()));
    tracing::subscriber::with_default(subscriber, || {
        (0..2).for_each(|line| tracing::info!(target: "busy", line, "at work"));
    });
    (logs, measured)
}

/// Whether a series of this metric has a value other than 0.
fn is_measured(page: &str, kind: Kind, name: &str) -> bool {
    let sample = if kind == Kind::Histogram { format!("{name}_count") } else { name.to_owned() };
    let values = page.lines().filter_map(|line| {
        let rest = line.strip_prefix(&sample).filter(|rest| rest.starts_with(['{', ' ']))?;
        rest.rsplit(' ').next()?.parse::<f64>().ok()
    });
    let mut values = values.peekable();
    let is_there = values.peek().is_some();
    is_there && (MAY_BE_ZERO.contains(&name) || values.any(|value| value != 0.0))
}

#[tokio::test]
async fn every_metric_of_the_catalogue_is_recorded_by_the_part_that_it_is_about() {
    let prometheus = Prometheus::builder().runtime(tokio::runtime::Handle::current()).build().unwrap();
    let throughline = Throughline::builder("busy-service")
        .store(Charging(MemoryStore::new()))
        .sink(Panics)
        .metrics(&prometheus)
        .build()
        .unwrap();
    work(&throughline).await;
    call(&throughline).await;
    browse(&throughline).await;
    let _logs = log(&throughline);
    let _session = live(&throughline).await;
    let _queues = queues(&throughline).await;
    let health = Health::builder(&throughline).check(Check::store()).build().unwrap();
    health.report(Probe::Ready).await;
    runs::leave_something(&throughline).await;
    let _open = runs::begin(&throughline).await;
    tokio::spawn(throughline.measure_runs(PATIENCE));
    let measured = [
        r#"throughline_runs_open{state="running",workflow="mail"} 1"#,
        r#"throughline_resources_orphaned{workflow="loan"} 1"#,
    ];
    runs::until(&prometheus, &measured).await;
    flood(&throughline).await;
    let during = at_work(&throughline, &prometheus).await;
    assert!(throughline.flush(PATIENCE).await.destinations.iter().all(|account| account.pending == 0));
    let after = prometheus.render(ExpositionFormat::Text);

    let missing: Vec<_> = catalogue::all()
        .map(|(_, metric)| (metric.kind, metric.name))
        // A level is what it is while something goes on; what is counted is there to stay.
        .filter(|(kind, name)| !is_measured(if *kind == Kind::Gauge { &during } else { &after }, *kind, name))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}\n{during}\n{after}");
    throughline.shutdown(PATIENCE).await;
}
