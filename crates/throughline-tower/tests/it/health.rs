//! The endpoints for probes, on real sockets.

mod running;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::routing::get;
use futures_util::future::join_all;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use serde_json::{Value, json};
use throughline_core::metrics::Metrics;
use throughline_core::testing::FaultyStore;
use throughline_core::{
    DropReason, EventSink, MemoryFeed, MemoryStore, ReadError, SinkAccount, Throughline, TraceEvent,
};
use throughline_tower::LayerExt as _;
use throughline_tower::health::{
    Check, Details, Gate, Health, HealthBuildError, HealthBuilder, HealthReport, HealthStatus, Probe,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Barrier, Notify};
use tower::ServiceExt as _;

const SECOND: Duration = Duration::from_secs(1);

fn throughline() -> Throughline {
    Throughline::builder("test").store(MemoryStore::new()).build().unwrap()
}

fn health(checks: impl IntoIterator<Item = Check>) -> HealthBuilder {
    checks.into_iter().fold(Health::builder(&throughline()), HealthBuilder::check)
}

/// Serves the endpoints; returns where.
async fn serve(health: &Health) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app: Router = health.router();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn probe(url: &str, path: &str) -> (StatusCode, Value) {
    let response = crate::support::http().get(format!("{url}{path}")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.headers()["cache-control"], "no-store");
    (response.status(), response.json().await.unwrap())
}

/// A check whose outcome the test sets, and how often it was asked.
fn switch(name: &'static str) -> (Check, Arc<AtomicBool>, Arc<AtomicUsize>) {
    let (fails, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (state, count) = (Arc::clone(&fails), Arc::clone(&asked));
    let check = Check::new(name, move || {
        count.fetch_add(1, Ordering::SeqCst);
        let outcome = if state.load(Ordering::SeqCst) { Err("it is switched off") } else { Ok(()) };
        async move { outcome }
    });
    (check.keep_for(Duration::ZERO), fails, asked)
}

/// A check that waits to be let go, and says when it has begun.
fn gated(name: &'static str) -> (Check, Arc<Notify>, Arc<Notify>, Arc<AtomicUsize>) {
    let (begun, gate, asked) =
        (Arc::new(Notify::new()), Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (tell, wait, count) = (Arc::clone(&begun), Arc::clone(&gate), Arc::clone(&asked));
    let check = Check::new(name, move || {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            tell.notify_one();
            wait.notified().await;
            Ok::<_, Infallible>(())
        }
    });
    (check.timeout(60 * SECOND).keep_for(Duration::ZERO), begun, gate, asked)
}

#[tokio::test]
async fn a_check_that_flips_takes_the_traffic_away_and_gives_it_back() {
    let (check, fails, _) = switch("postgres");
    let (cache, cache_fails, _) = switch("cache");
    let url = serve(&health([check, cache.informative()]).build().unwrap()).await;
    let ready = || probe(&url, "/readyz");
    assert_eq!(ready().await, (StatusCode::OK, json!({ "status": "healthy" })));
    fails.store(true, Ordering::SeqCst);
    let failing = json!({ "status": "unhealthy", "failing": ["postgres"] });
    assert_eq!(ready().await, (StatusCode::SERVICE_UNAVAILABLE, failing.clone()));
    assert_eq!(probe(&url, "/health/ready").await, (StatusCode::SERVICE_UNAVAILABLE, failing));
    fails.store(false, Ordering::SeqCst);
    cache_fails.store(true, Ordering::SeqCst);
    assert_eq!(ready().await, (StatusCode::OK, json!({ "status": "degraded", "degraded": ["cache"] })));
}

#[tokio::test]
async fn liveness_asks_nobody() {
    let (check, fails, asked) = switch("postgres");
    fails.store(true, Ordering::SeqCst);
    let url = serve(&health([check.gate(Gate::Both)]).build().unwrap()).await;
    for path in ["/health/live", "/livez"] {
        assert_eq!(probe(&url, path).await, (StatusCode::OK, json!({ "status": "healthy" })));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(probe(&url, "/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn startup_passes_once_and_stays() {
    let (migrations, pending, asked) = switch("migrations");
    let (postgres, away, _) = switch("postgres");
    let url = serve(&health([migrations.gate(Gate::Startup), postgres]).build().unwrap()).await;
    pending.store(true, Ordering::SeqCst);
    let not_yet = json!({ "status": "unhealthy", "failing": ["migrations"] });
    assert_eq!(probe(&url, "/health/startup").await, (StatusCode::SERVICE_UNAVAILABLE, not_yet.clone()));
    assert_eq!(probe(&url, "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, not_yet));

    pending.store(false, Ordering::SeqCst);
    away.store(true, Ordering::SeqCst);
    assert_eq!(
        probe(&url, "/health/startup").await.0,
        StatusCode::OK,
        "a dependency is no matter of starting"
    );
    let asked_by_then = asked.load(Ordering::SeqCst);
    pending.store(true, Ordering::SeqCst);
    assert_eq!(probe(&url, "/health/startup").await, (StatusCode::OK, json!({ "status": "healthy" })));
    assert_eq!(probe(&url, "/readyz").await.1["failing"], json!(["postgres"]));
    assert_eq!(asked.load(Ordering::SeqCst), asked_by_then);
}

#[tokio::test]
async fn a_service_that_was_ready_has_started_even_if_nobody_asked_for_that() {
    let (migrations, pending, asked) = switch("migrations");
    let health = health([migrations.gate(Gate::Startup)]).build().unwrap();
    pending.store(true, Ordering::SeqCst);
    assert_eq!(health.report(Probe::Live).await.status, HealthStatus::Healthy);
    assert_eq!(health.report(Probe::Ready).await.status, HealthStatus::Unhealthy);
    pending.store(false, Ordering::SeqCst);
    assert_eq!(health.report(Probe::Ready).await.status, HealthStatus::Healthy);
    pending.store(true, Ordering::SeqCst);
    assert_eq!(health.report(Probe::Ready).await.status, HealthStatus::Healthy);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_service_that_drains_is_not_ready_and_still_alive() {
    let health = health([Check::store()]).build().unwrap();
    let url = serve(&health).await;
    assert_eq!(probe(&url, "/readyz").await.0, StatusCode::OK);
    health.drain();
    let draining = json!({ "status": "unhealthy", "draining": true });
    assert_eq!(probe(&url, "/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, draining));
    assert_eq!(probe(&url, "/livez").await.0, StatusCode::OK);
    assert_eq!(probe(&url, "/health/startup").await.0, StatusCode::OK);
}

#[tokio::test]
async fn strangers_are_told_what_fails_and_not_why() {
    let check = || {
        Check::new("postgres", || async {
            let cause = std::io::Error::other("cannot reach postgres://loans:hunter2@db.internal/loans");
            Err::<(), _>(std::io::Error::new(std::io::ErrorKind::TimedOut, Refused(cause)))
        })
    };
    let known = "cannot log in: cannot reach postgres://loans:[redacted:password]@db.internal/loans";
    let ask = async |details: Details, token: Option<&str>| {
        let health = health([check()]).details(details).build().unwrap();
        let mut request = crate::support::http().get(format!("{}/readyz", serve(&health).await));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let text = request.send().await.unwrap().text().await.unwrap();
        assert!(!text.contains("hunter2"), "{text}");
        let body: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(body["failing"], json!(["postgres"]));
        body["checks"][0]["error"].as_str().map(str::to_owned)
    };
    assert_eq!(ask(Details::hidden(), None).await, None);
    assert_eq!(ask(Details::hidden().unless_bearer("s3cret"), None).await, None);
    assert_eq!(ask(Details::hidden().unless_bearer("s3cret"), Some("guess")).await, None);
    assert_eq!(ask(Details::hidden().unless_bearer("s3cret"), Some("s3cret")).await.as_deref(), Some(known));
    assert_eq!(ask(Details::hidden().unless_loopback(), None).await.as_deref(), Some(known));
    assert_eq!(ask(Details::shown(), None).await.as_deref(), Some(known));
}

/// A sink whose other side is away.
struct Away;

impl EventSink for Away {
    fn name(&self) -> &str {
        "away"
    }

    fn on_event(&self, _: &Arc<TraceEvent>) {}

    fn account(&self) -> Option<SinkAccount> {
        let dropped = [(DropReason::Unavailable, 3)].into();
        Some(SinkAccount { accepted: 3, delivered: 0, dropped })
    }
}

#[tokio::test]
async fn a_sink_whose_other_side_is_away_takes_no_service_out_of_rotation() {
    let throughline = Throughline::builder("test").feed(MemoryFeed::new()).sink(Away).build().unwrap();
    let health =
        Health::builder(&throughline).check(Check::feed()).details(Details::shown()).build().unwrap();
    let (status, body) = probe(&serve(&health).await, "/readyz").await;
    assert_eq!((status, &body["checks"][0]["status"]), (StatusCode::OK, &json!("healthy")), "{body}");
}

#[derive(Debug, thiserror::Error)]
#[error("cannot log in")]
struct Refused(#[source] std::io::Error);

#[tokio::test]
async fn the_built_in_checks_say_what_they_saw() {
    let folder = tempfile::tempdir().unwrap();
    let store = FaultyStore::around(MemoryStore::new());
    let faults = store.faults();
    let throughline = Throughline::builder("test").store(store).feed(MemoryFeed::new()).build().unwrap();
    let health = Health::builder(&throughline)
        .check(Check::store().keep_for(Duration::ZERO))
        .check(Check::feed())
        .check(Check::memory(1.0))
        .check(Check::disk_space(folder.path(), 1))
        .check(Check::disk_space(folder.path(), u64::MAX).name("disk-full").informative())
        .check(Check::disk_space(folder.path().join("gone"), 1).name("disk-gone").informative())
        .check(Check::queue("jobs", 10, || async { Ok::<_, Infallible>(10) }))
        .check(Check::queue("mails", 10, || async { Ok::<_, Infallible>(11) }).informative())
        .details(Details::shown())
        .build()
        .unwrap();
    let url = serve(&health).await;
    let (status, body) = probe(&url, "/readyz").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["degraded"], json!(["disk-full", "disk-gone", "mails"]));
    let checks = body["checks"].as_array().unwrap();
    let lines: Vec<_> = checks
        .iter()
        .map(|check| {
            assert!(check["duration_ms"].is_number() && check["age_ms"].is_number());
            let text = check["note"].as_str().or(check["error"].as_str()).unwrap_or("-");
            let text = text.replace(&*folder.path().to_string_lossy(), "[folder]");
            format!("{} {} {text}", check["name"].as_str().unwrap(), check["status"].as_str().unwrap())
        })
        .collect();
    insta::with_settings!({ filters => vec![(r"\d+(\.\d+)? [KMGT]iB", "[size]"), (r"\d+ % of the \w+'s", "[share] of [whose]")] }, {
        insta::assert_snapshot!(lines.join("\n"), @"
        store healthy -
        feed healthy -
        memory healthy [share] of [whose] [size] in use
        disk healthy [size] free on the disk of [folder]
        disk-full unhealthy [size] free on the disk of [folder], less than [size]
        disk-gone unhealthy cannot read the free space on the disk of [folder]/gone: No such file or directory (os error 2)
        jobs healthy waiting: 10, within the limit of 10
        mails unhealthy waiting: 11, over the limit of 10
        ");
    });

    let away = || ReadError::Unavailable { reason: "the store is away".to_owned(), source: None };
    faults.read().fail_next(u64::MAX, away);
    let (status, body) = probe(&url, "/readyz").await;
    assert_eq!((status, &body["failing"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(["store"])));
    assert_eq!(body["checks"][0]["error"], "the store did not respond: the store is away");
    faults.heal();
    assert_eq!(probe(&url, "/readyz").await.0, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_no_events_is_not_healthy_even_if_it_can_be_read() {
    let store = FaultyStore::around(MemoryStore::new());
    let faults = store.faults();
    let throughline = Throughline::builder("test").store(store).build().unwrap();
    let health = Health::builder(&throughline).check(Check::store()).build().unwrap();
    faults.hold();
    let run = tokio::spawn(throughline.workflow("held").run_infallible(|_| async {}));
    faults.attempted(1).await;
    assert_eq!(health.report(Probe::Ready).await.status, HealthStatus::Healthy, "a moment is not an outage");
    tokio::time::advance(6 * SECOND).await;
    let report = health.report(Probe::Ready).await;
    assert_eq!(report.failing().map(|check| check.name.as_str()).collect::<Vec<_>>(), ["store"]);
    faults.release();
    run.await.unwrap().unwrap();
    tokio::time::advance(6 * SECOND).await;
    assert_eq!(health.report(Probe::Ready).await.status, HealthStatus::Healthy);
}

#[tokio::test]
async fn each_check_is_measured() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let throughline = Throughline::builder("test").store(MemoryStore::new()).metrics(Metrics::to(recorder));
    let (check, fails, _) = switch("postgres");
    let health = Health::builder(&throughline.build().unwrap()).check(check).build().unwrap();
    let measured = async || {
        health.report(Probe::Ready).await;
        let mut seen = (None, 0);
        for (key, _, _, value) in snapshotter.snapshot().into_vec() {
            let labels: Vec<_> = key.key().labels().map(|label| (label.key(), label.value())).collect();
            match (key.key().name(), value) {
                ("throughline_health_check_status", DebugValue::Gauge(value)) => {
                    seen.0 = Some(value.into_inner());
                }
                ("throughline_health_check_duration_seconds", DebugValue::Histogram(times)) => {
                    seen.1 = times.len();
                }
                _ => continue,
            }
            assert_eq!(labels, [("check", "postgres")]);
        }
        seen
    };
    assert_eq!(measured().await, (Some(1.0), 1));
    fails.store(true, Ordering::SeqCst);
    assert_eq!(measured().await, (Some(0.0), 1));
}

#[tokio::test]
async fn probes_are_not_traced_and_what_is_around_them_still_is() {
    let store = MemoryStore::new();
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let check = Check::new("postgres", || async { Err::<(), _>("away") });
    let health = Health::builder(&throughline).check(check).build().unwrap();
    let app = health.add_to(Router::new().route("/", get(|| async { "hello" })).layer(throughline.layer()));
    let ask = async |path: &str| {
        let answer = app.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        (answer.status(), answer.headers().contains_key("x-request-id"))
    };
    assert_eq!(ask("/readyz").await, (StatusCode::SERVICE_UNAVAILABLE, false));
    assert_eq!(ask("/").await, (StatusCode::OK, true));
    assert_eq!(ask("/wp-login.php").await, (StatusCode::NOT_FOUND, true));
    throughline.flush(10 * SECOND).await;
    assert_eq!(store.events(), []);
}

#[tokio::test]
async fn the_endpoints_are_a_tower_service_too() {
    let service = health([Check::store()]).build().unwrap().service();
    let ask = async |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        service.clone().oneshot(request).await.unwrap()
    };
    assert_eq!(ask(Method::GET, "/readyz?verbose").await.status(), StatusCode::OK);
    assert_eq!(ask(Method::HEAD, "/health/startup").await.status(), StatusCode::OK);
    assert_eq!(ask(Method::GET, "/health").await.status(), StatusCode::NOT_FOUND);
    let refused = ask(Method::POST, "/livez").await;
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers()["allow"], "GET, HEAD");
}

#[test]
fn what_makes_no_sense_is_refused_with_how_to_fix_it() {
    let never = || Check::new("never", || async { Ok::<_, Infallible>(()) });
    let errors: Vec<HealthBuildError> = [
        health([never(), never()]),
        health([never().name("two words")]),
        health([never().timeout(Duration::ZERO)]),
        health([never().keep_for(Duration::from_secs(4000))]),
        health([Check::memory(90.0)]),
        health([Check::feed()]),
        health([]).details(Details::hidden().unless_bearer("")),
    ]
    .map(|builder| builder.build().unwrap_err())
    .into();
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(texts.join("\n"), @"
    two health checks are named `never`: rename one with .name(..)
    `two words` is not a valid name for a health check: use 1 to 64 letters, digits, `-`, `_` or `.`
    the timeout of the health check `never` must be greater than zero
    the health check `never` keeps its result for 4000s: .keep_for(..) must be at most one hour
    the limit of the health check `memory` must be above 0 and at most 1, as in 0.9, got 90
    the health check `feed` has nothing to check: add .feed(..) to the Throughline, or leave Check::feed() out
    the token for health details is empty: pass a secret to Details::unless_bearer(..), or omit it
    ");
}

/// Asks for the health whenever something is logged, as a subscriber that adds it to its lines would.
struct Curious {
    health: Arc<std::sync::OnceLock<Health>>,
    asked: Arc<AtomicUsize>,
    busy: AtomicBool,
}

impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Curious {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if let Some(health) = self.health.get()
            && !self.busy.swap(true, Ordering::SeqCst)
        {
            let _ = futures_util::FutureExt::now_or_never(health.report(Probe::Ready));
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.busy.store(false, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_subscriber_that_hears_of_a_failing_check_may_ask_for_the_health() {
    let (tx, rx) = std::sync::mpsc::channel();
    // On a thread of its own: what deadlocks must fail, not hang.
    std::thread::spawn(move || {
        use tracing_subscriber::layer::SubscriberExt as _;
        let (place, asked) = (Arc::new(std::sync::OnceLock::new()), Arc::new(AtomicUsize::new(0)));
        let layer =
            Curious { health: Arc::clone(&place), asked: Arc::clone(&asked), busy: AtomicBool::new(false) };
        let _default = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        // Beside a second one, `tracing` asks the right one whether it wants what other threads' tests log first.
        let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
        let (check, fails, _) = switch("postgres");
        fails.store(true, Ordering::SeqCst);
        let health = health([check]).build().unwrap();
        assert!(place.set(health.clone()).is_ok());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let status = runtime.block_on(health.report(Probe::Ready)).status;
        let _ = tx.send((status, asked.load(Ordering::SeqCst)));
    });
    let said = rx.recv_timeout(20 * SECOND).expect("it waits for a lock that is held around it");
    assert_eq!(said, (HealthStatus::Unhealthy, 1));
}
