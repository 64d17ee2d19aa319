//! What a busy service shows at `/metrics`: other people's tools accept it, and it stays small.

mod openmetrics;
mod parts;
mod promtool;
mod runs;
mod scanners;
pub(crate) mod server;

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use throughline::browser::Browser;
use throughline::metrics::Prometheus;
use throughline::metrics::catalogue::{self, Kind};
use throughline::metrics::{Meter, Profile};
use throughline::{LayerExt as _, MemoryStore, NotRecorded, Throughline, Traced};

/// The profiles that services may have, and what to call them.
fn profiles() -> [(&'static str, Profile); 4] {
    [
        ("today's names", Profile::standard()),
        ("names before", Profile::aliases("acme")),
        ("names before without a prefix", Profile::aliases("")),
        ("both", Profile::both("acme")),
    ]
}

/// A service with a value in every metric, and its pages: for who takes text, and for who takes OpenMetrics.
struct Busy {
    text: String,
    open: String,
    /// The ids of its runs.
    runs: Vec<String>,
}

impl Busy {
    async fn service(profile: Profile) -> Self {
        let prometheus = Prometheus::builder().profile(profile).build().unwrap();
        let throughline = Throughline::builder("loan-service")
            .store(MemoryStore::new())
            .metrics(&prometheus)
            .build()
            .unwrap();
        let app: Router = Router::new().route("/loans/{id}", get(loan)).layer(throughline.layer());
        let app = Browser::builder(&throughline).build().unwrap().add_to(app);
        let app = prometheus.add_to(app);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(axum::serve(listener, app).into_future());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        for path in ["/loans/42", "/loans/13", "/wp-login.php"] {
            client.get(format!("{url}{path}")).send().await.unwrap().text().await.unwrap();
        }
        client
            .post(format!("{url}/browser/report"))
            .body(r#"{"name":"LCP","value":900}"#)
            .send()
            .await
            .unwrap();
        let runs = work(&throughline).await;
        touch_all(throughline.meter());
        throughline.flush(Duration::from_secs(5)).await;
        let page = async |accept: &str| {
            let scrape = client.get(format!("{url}/metrics")).header("accept", accept).send().await.unwrap();
            scrape.text().await.unwrap()
        };
        let (text, open) = (page("text/plain").await, page("application/openmetrics-text").await);
        let pages = Self { text, open, runs };
        serving.abort();
        throughline.shutdown(Duration::from_secs(5)).await;
        pages
    }
}

async fn loan(Traced(ctx): Traced) -> Result<&'static str, &'static str> {
    let score = ctx.trace("stage:score", async { Ok::<_, NotRecorded>(712) }).await;
    score.map(|_| "granted").map_err(|_| "try again later")
}

/// Runs, retries, sagas that are undone, dependencies, point events; returns the ids of the runs.
pub(crate) async fn work(throughline: &Throughline) -> Vec<String> {
    let mut runs = Vec::new();
    for loan in 0..20 {
        let run = throughline.workflow("loan-approval").key(format!("loan-{loan}")).attr("tenant", "acme");
        let run = run.run(move |ctx| async move {
            ctx.step("stage:score").attempt(1 + loan % 3).run_infallible(|_| async {}).await?;
            ctx.dependency("db", "postgres", async { Ok::<_, NotRecorded>(()) }).await??;
            ctx.event("business:approved", serde_json::json!({ "score": 712, "note": "to ada@example.org" }))
                .await
                .unwrap();
            let saga = ctx.saga("booking").run(|saga| async move {
                let reserve = saga.step("stage:reserve").compensate(|(), _| async { anyhow::Ok(()) });
                reserve.run(|(), _| async { anyhow::Ok(()) }).await??;
                anyhow::ensure!(loan % 2 == 0, "no room");
                Ok(())
            });
            drop(saga.await);
            Ok::<_, NotRecorded>(ctx.trace_id().to_string())
        });
        runs.push(run.await.unwrap().unwrap());
    }
    runs
}

/// A value into every metric of the catalogue, as if its recorder had, so that the tools below see each of them on the
/// page. That the parts of the library record them is proved in [`parts`].
pub(crate) fn touch_all(meter: &Meter) {
    macro_rules! touch {
        ($($kind:ident: $($metric:ident),*;)*) => {{
            $($(touch!(@$kind meter.$kind(&catalogue::$metric));)*)*
            vec![$($(catalogue::$metric.description().name),*),*]
        }};
        (@counter $family:expr) => { $family.with(["x"; _]).increment(1) };
        (@gauge $family:expr) => { $family.with(["x"; _]).set(3.0) };
        (@histogram $family:expr) => { $family.with(["success"; _]).record(0.2) };
    }
    let touched = touch! {
        counter: HTTP_SERVER_WEBSOCKET_UPGRADES, RETRIES, POINT_EVENTS, JOB_ATTEMPTS, STATE_TRANSITIONS, STATE_TRIGGERS,
            STATE_ILLEGAL_TRANSITIONS, RESOURCE_HEALTH_CHECKS, TIMERS, WEB_ERRORS, WEB_REPORTS, EVENTS_DROPPED, LABEL_OVERFLOW,
            QUEUE_DEPTH_FAILURES, STORE_CHARGES, LOG_LINES, LOG_LINES_DROPPED;
        gauge: HTTP_SERVER_ACTIVE_REQUESTS, HTTP_SERVER_WEBSOCKETS, DEPENDENCY_RATE_LIMIT_REMAINING,
            WORKFLOWS_ACTIVE, STEPS_ACTIVE, RUNS_OPEN, RESOURCES_ORPHANED, QUEUE_DEPTH, WORKERS_ACTIVE, JOBS_IN_FLIGHT, STATE_ENTITIES,
            HEALTH_CHECK_STATUS;
        histogram: HTTP_SERVER_REQUEST_DURATION, HTTP_CLIENT_REQUEST_DURATION, CALL_DURATION, CALL_PART_DURATION,
            CALL_REQUEST_SIZE, CALL_RESPONSE_SIZE, DEPENDENCY_DURATION, DEPENDENCY_PART_DURATION, WORKFLOW_DURATION, STEP_DURATION,
            SAGA_DURATION, COMPENSATION_DURATION, JOB_WAIT, JOB_DURATION, STATE_DURATION, STATE_LIFETIME, PROVISIONING_DURATION,
            HEALTH_CHECK_DURATION, WEB_LCP, WEB_INP, WEB_CLS, WEB_FCP, WEB_TTFB;
    };
    // What is left measures itself.
    for (_, metric) in catalogue::all() {
        let by_itself = [
            "process_",
            "tokio_",
            "throughline_events_",
            "throughline_destination_",
            "throughline_redacted_",
            "throughline_store_",
        ]
        .iter()
        .any(|own| metric.name.starts_with(own));
        assert!(by_itself || touched.contains(&metric.name), "{} is not touched", metric.name);
    }
}

/// Whether a tool that is not there is missed, or may be done without.
fn may_do_without(tool: &str, is_there: impl Fn() -> bool) -> bool {
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let left_out = services == "off" || (services != "required" && !is_there());
    if left_out {
        eprintln!("left out: there is no {tool} to check the pages of metrics with");
    }
    left_out
}

#[tokio::test]
async fn the_page_shows_every_metric_of_the_catalogue_into_which_something_is_recorded() {
    let page = Busy::service(Profile::standard()).await.text;
    for (_, metric) in catalogue::all() {
        let sample = if metric.kind == Kind::Histogram {
            format!("{}_count", metric.name)
        } else {
            metric.name.to_owned()
        };
        let shown = page
            .lines()
            .any(|line| line.strip_prefix(&sample).is_some_and(|rest| rest.starts_with(['{', ' '])));
        assert!(shown, "{} is not there", metric.name);
        assert!(
            page.contains(&format!("# TYPE {} {}\n", metric.name, metric.kind.as_str())),
            "{}",
            metric.name
        );
    }
}
