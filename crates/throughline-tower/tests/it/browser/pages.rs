//! Real pages in a real Chromium. What is clicked on is in `web/test/pages.mjs`, a function for each test here.

use std::future::ready;
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Path, Request};
use axum::http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::Html;
use axum::routing::{get, post};
use serde_json::{Value, json};
use throughline_core::{Throughline, TraceEvent, TraceQuery};
use throughline_tower::browser::Browser;
use throughline_tower::{LayerExt as _, Traced};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::Site;
use super::sources::{may_be_left_out, modules};
use crate::support::eventually;

/// How long a browser may take for everything that one test asks of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long it may take until what a page sends has come.
const SOON: Duration = Duration::from_secs(30);

/// A page with the script, which may be told something by its attributes, and with what is in its body.
fn page(attributes: &str, body: &str) -> Html<String> {
    Html(format!(
        r#"<!doctype html><title>Shop</title><script src="/browser/script.js" {attributes}></script>{body}"#
    ))
}

async fn slow() -> Html<String> {
    tokio::time::sleep(Duration::from_millis(1200)).await;
    page("", "<h1>At last</h1>")
}

async fn throws() -> Html<String> {
    page(
        "",
        r#"<img src="/missing.png?token=secret"><script>
            function pay() { throw new TypeError('no card'); }
            setTimeout(pay);
            Promise.reject(new RangeError('too many'));
        </script>"#,
    )
}

/// A page whose button sends a request that fails, of which nobody takes notice.
async fn gives_up() -> Html<String> {
    page(
        "",
        r#"<button id="order" onclick="fetch('/orders', { signal: AbortSignal.abort() })">Order</button>"#,
    )
}

/// A page that does nothing else for 300 ms when its button is pressed.
async fn busy() -> Html<String> {
    page(
        "",
        r#"<button id="work">Work</button><script>
            document.querySelector('#work').onclick = () => {
                for (const start = performance.now(); performance.now() - start < 300;);
            };
        </script>"#,
    )
}

fn buttons(attributes: &str) -> Html<String> {
    page(
        attributes,
        r#"<button id="order" onclick="fetch('/orders', { method: 'POST' })">Order</button><a href="/away">Away</a>"#,
    )
}

/// A page whose button asks two services of other origins, of which it lists the first.
async fn calls(Path((listed, other)): Path<(u16, u16)>) -> Html<String> {
    let [listed, other] = [listed, other].map(|port| format!("http://127.0.0.1:{port}"));
    page(
        &format!(r#"data-origins="https://api.example.org {listed}""#),
        &format!(
            r#"<button id="order" onclick="fetch('{listed}/stock'); fetch('{other}/stock')">Order</button>"#
        ),
    )
}

/// A service that pages of every origin may ask.
struct Elsewhere {
    port: u16,
    /// The `traceparent` of each request, if it had one.
    heard: mpsc::UnboundedReceiver<Option<String>>,
}

impl Elsewhere {
    async fn new() -> Self {
        let (hears, heard) = mpsc::unbounded_channel();
        let answer = move |request: Request| {
            if request.method() != Method::OPTIONS {
                let traceparent = request.headers().get("traceparent");
                hears.send(traceparent.map(|it| it.to_str().unwrap().to_owned())).unwrap();
            }
            ready([(ACCESS_CONTROL_ALLOW_ORIGIN, "*"), (ACCESS_CONTROL_ALLOW_HEADERS, "traceparent")])
        };
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(axum::serve(listener, Router::new().fallback(answer)).into_future());
        Self { port, heard }
    }
}

async fn order(Traced(ctx): Traced) -> Result<(), StatusCode> {
    let charged = ctx.trace("stage:charge", async { Err::<(), _>(std::io::Error::other("card expired")) });
    match charged.await {
        Ok(Ok(())) => Ok(()),
        _ => Err(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// The pages, and one that is answered when a report has been taken that has some text in it.
fn app(throughline: &Throughline) -> Router {
    let (taken, reports) = watch::channel(String::new());
    let kept = move |request: Request, next: Next| {
        let taken = taken.clone();
        async move {
            if request.uri().path() != "/browser/report" {
                return next.run(request).await;
            }
            let (head, body) = request.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            let answer = next.run(Request::from_parts(head, body.clone().into())).await;
            if answer.status() == StatusCode::NO_CONTENT {
                taken.send_modify(|text| text.push_str(&String::from_utf8_lossy(&body)));
            }
            answer
        }
    };
    let reported = move |Path(part): Path<String>| {
        let mut reports = reports.clone();
        async move {
            let taken = reports.wait_for(|text| text.contains(&part));
            let is_taken = tokio::time::timeout(SOON, taken).await.is_ok();
            if is_taken { StatusCode::OK } else { StatusCode::GATEWAY_TIMEOUT }
        }
    };
    let app = Router::new()
        .route("/slow", get(slow))
        .route("/throws", get(throws))
        .route("/busy", get(busy))
        .route("/gives-up", get(gives_up))
        .route("/buttons", get(|| async { buttons("") }))
        .route("/asks", get(|| async { buttons(r#"data-consent="required""#) }))
        .route("/away", get(|| async { Html("<!doctype html><title>Away</title>") }))
        .route("/reported/{part}", get(reported))
        .route("/orders", post(order))
        .route("/calls/{listed}/{other}", get(calls))
        .layer(throughline.layer());
    Browser::builder(throughline).build().unwrap().add_to(app).layer(middleware::from_fn(kept))
}

/// Plays a scene on the pages of a site.
async fn play(site: &Site, scene: &str) {
    play_with(site, scene, json!({})).await;
}

/// The same, if the scene has to know more than where the site is.
async fn play_with(site: &Site, scene: &str, mut given: Value) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    given["url"] = format!("http://{}", listener.local_addr().unwrap()).into();
    let serving = tokio::spawn(axum::serve(listener, app(&site.throughline)).into_future());
    let mut node = tokio::process::Command::new("node");
    node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/web/test/pages.mjs"))
        .args([scene, &given.to_string()])
        .env("NODE_PATH", modules())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, node.output()).await.unwrap().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{scene}: {}", String::from_utf8_lossy(&said));
    serving.abort();
}

fn is_left_out() -> bool {
    may_be_left_out(&["node", "chromium"])
}

/// How long something took by the first measurement of it, in seconds.
fn measured(figures: &[String], name: &str) -> Option<f64> {
    let figure = figures.iter().find(|figure| figure.starts_with(&format!("throughline_web_{name}")))?;
    figure.split(['[', ']', '(', ')', ',', ' ']).find_map(|part| part.parse().ok())
}

#[tokio::test]
async fn a_page_that_is_slow_says_so_when_it_is_left() {
    if is_left_out() {
        return;
    }
    let site = Site::new();
    play(&site, "slow").await;
    let figures = site.figures();
    for name in ["ttfb_seconds", "fcp_seconds", "lcp_seconds"] {
        let took = measured(&figures, name).unwrap_or_else(|| panic!("{name}: {figures:?}"));
        assert!((1.2..60.0).contains(&took), "{name}: {took} in {figures:?}");
    }
    assert!(measured(&figures, "cls").is_some(), "{figures:?}");
}

#[tokio::test]
async fn a_click_that_keeps_the_page_busy_is_measured_as_slow_when_the_page_is_left() {
    if is_left_out() {
        return;
    }
    let site = Site::new();
    play(&site, "reacts_slowly").await;
    let figures = site.figures();
    let took = measured(&figures, "inp_seconds").unwrap_or_else(|| panic!("no INP: {figures:?}"));
    // Browsers round it to 8 ms.
    assert!((0.29..60.0).contains(&took), "{took} in {figures:?}");
}

#[tokio::test]
async fn what_a_page_throws_rejects_and_misses_is_recorded_with_its_stack() {
    if is_left_out() {
        return;
    }
    let site = Site::new();
    play(&site, "throws").await;
    let failures: Vec<TraceEvent> =
        site.store.events().into_iter().filter(|event| event.event_type == "web:error").collect();
    let of = |kind: &str| {
        let found = failures.iter().find(|event| event.data.as_ref().unwrap()["kind"] == kind);
        found.unwrap_or_else(|| panic!("{kind}: {failures:#?}"))
    };
    let error = |event: &TraceEvent| {
        let error = event.error.as_ref().unwrap();
        (error.kind.to_string(), error.message.to_string())
    };
    assert_eq!(error(of("error")), ("TypeError".to_owned(), "no card".to_owned()));
    let stack = of("error").data.as_ref().unwrap()["stack"].as_str().unwrap().to_owned();
    assert!(stack.contains("pay") && stack.contains("/throws:"), "{stack}");
    assert_eq!(error(of("rejection")), ("RangeError".to_owned(), "too many".to_owned()));
    let (element, address) = error(of("resource"));
    assert!(element == "img" && address.ends_with("/missing.png"), "{element} {address}");
    let figures = site.figures().join("\n");
    for kind in ["error", "rejection", "resource"] {
        assert!(figures.contains(&format!(r#"throughline_web_errors_total ["{kind}"] 1"#)), "{figures}");
    }
}

#[tokio::test]
async fn a_click_the_request_and_the_run_are_one_trace_though_the_page_was_left() {
    if is_left_out() {
        return;
    }
    let site = Site::new();
    play(&site, "click").await;
    let click = eventually(async || {
        site.throughline.flush(Duration::from_secs(1)).await;
        site.store.events().into_iter().find(|event| event.event_type == "web:click")
    });
    let click = click.await;
    assert_eq!(click.data.as_ref().unwrap()["target"], "button#order");
    let events: Vec<_> =
        site.store.events().into_iter().filter(|event| event.trace_id == click.trace_id).collect();
    let request = events.iter().find(|event| event.event_type == "http:request").unwrap();
    assert_eq!(request.parent_span_id, click.parent_span_id, "both are of what the page did");
    let query = TraceQuery::new(events);
    let explained = query.explain();
    let run = explained.run.as_ref().unwrap();
    assert_eq!(run.trace_id, click.trace_id);
    assert_eq!(&*run.root.as_ref().unwrap().name, "POST /orders", "the run is the request, not the click");
    assert_eq!(&*run.cause.as_ref().unwrap().name, "stage:charge");
}

#[tokio::test]
async fn a_request_that_fails_after_a_click_is_a_rejection_that_nobody_handled() {
    if is_left_out() {
        return;
    }
    let site = Site::new();
    play(&site, "gives_up").await;
    let failure = site.event("web:error");
    assert_eq!(failure.data.as_ref().unwrap()["kind"], "rejection");
    assert_eq!(&*failure.error.as_ref().unwrap().kind, "AbortError");
    let click = site.event("web:click");
    assert_eq!((failure.trace_id, failure.parent_span_id), (click.trace_id, click.parent_span_id));
}

#[tokio::test]
async fn a_request_to_another_origin_has_the_trace_of_its_click_only_if_the_page_lists_that_origin() {
    if is_left_out() {
        return;
    }
    let site = Site::new();
    let [mut listed, mut other] = [Elsewhere::new().await, Elsewhere::new().await];
    play_with(&site, "calls", json!({ "listed": listed.port, "other": other.port })).await;
    let click = site.event("web:click");
    let traceparent = format!("00-{}-{}-01", click.trace_id, click.parent_span_id.unwrap());
    assert_eq!(listed.heard.recv().await, Some(Some(traceparent)));
    assert_eq!(other.heard.recv().await, Some(None));
}

#[tokio::test]
async fn a_page_reports_when_it_is_left_though_beacons_are_missing_or_refused() {
    if is_left_out() {
        return;
    }
    for scene in ["has_no_beacons", "has_beacons_refused"] {
        let site = Site::new();
        play(&site, scene).await;
        let figures = site.figures();
        assert!(measured(&figures, "cls").is_some(), "{scene}: {figures:?}");
    }
}

#[tokio::test]
async fn where_consent_is_required_nothing_leaves_the_page_before_it_is_given() {
    if is_left_out() {
        return;
    }
    let site = Site::new();
    play(&site, "refuses").await;
    assert_eq!(site.figures(), Vec::<String>::new());
    let events = site.store.events();
    // The request was made and failed as ever, under a trace of its own.
    assert!(events.iter().all(|event| !event.event_type.starts_with("web:")), "{events:#?}");
    assert!(events.iter().any(|event| event.event_type == "http:request" && event.parent_span_id.is_none()));
    play(&site, "consents").await;
    assert!(site.store.events().iter().any(|event| event.event_type == "web:click"));
}
