//! Reports of pages: what is taken of them, what is refused, and what real pages send.

mod pages;
#[cfg(feature = "source-maps")]
mod source_maps;
mod sources;

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_ENCODING, HOST, ORIGIN, RETRY_AFTER, USER_AGENT,
};
use axum::http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use throughline_core::metrics::Metrics;
use throughline_core::{MemoryStore, Status, Throughline, TraceEvent};
use throughline_tower::browser::Browser;
use tower::ServiceExt as _;

/// A service that pages report to.
struct Site {
    store: MemoryStore,
    throughline: Throughline,
    measured: Snapshotter,
}

impl Site {
    fn new() -> Self {
        let (store, recorder) = (MemoryStore::new(), DebuggingRecorder::new());
        let measured = recorder.snapshotter();
        let builder = Throughline::builder("shop").store(store.clone()).metrics(Metrics::to(recorder));
        Self { store, throughline: builder.build().unwrap(), measured }
    }

    fn app(&self) -> Router {
        Browser::builder(&self.throughline).build().unwrap().add_to(Router::new())
    }

    /// What was counted, and how often something was measured.
    fn figures(&self) -> Vec<String> {
        let mut figures = Vec::new();
        for (key, _, _, value) in self.measured.snapshot().into_vec() {
            let key = key.key();
            let value = match value {
                DebugValue::Counter(count) => count.to_string(),
                DebugValue::Histogram(values) => format!("{values:?}"),
                DebugValue::Gauge(_) => continue,
            };
            let labels: Vec<_> = key.labels().map(metrics::Label::value).collect();
            if key.name().starts_with("throughline_web") && !matches!(&*value, "0" | "[]") {
                figures.push(format!("{} {labels:?} {value}", key.name()));
            }
        }
        figures.sort();
        figures
    }

    fn event(&self, event_type: &str) -> TraceEvent {
        let found = self.store.events().into_iter().find(|event| event.event_type == event_type);
        found.unwrap_or_else(|| panic!("there is no `{event_type}`"))
    }
}

fn report(body: impl Into<Body>) -> Request<Body> {
    Request::post("/browser/report").body(body.into()).unwrap()
}

async fn said(app: &Router, request: Request<Body>) -> String {
    let answer = app.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    format!("{status} {}", String::from_utf8_lossy(&text)).trim_end().to_owned()
}

#[tokio::test]
async fn reports_are_kept_and_what_no_page_says_is_refused_as_a_whole() {
    let site = Site::new();
    let app = site.app();
    // What the library gives, `entries` and all.
    let lcp = r#"{"name":"LCP","value":1250.5,"rating":"good","delta":1250.5,"id":"v5-1790000000000-1",
        "navigationType":"navigate","entries":[{"name":"","entryType":"largest-contentful-paint","size":91200}]}"#;
    assert_eq!(said(&app, report(lcp)).await, "204");
    let many = r#" [{"name":"INP","value":48},{"name":"CLS","value":0.12},{"name":"FCP","value":700},{"name":"TTFB","value":90},
        {"name":"error"},{"name":"error","kind":"resource","type":"img","message":"/logo.png"}]"#;
    assert_eq!(said(&app, report(many)).await, "204");
    let refused = [
        r#"{"name":"FID","value":3}"#.to_owned(),
        r#"{"name":"LOAD","value":3}"#.to_owned(),
        r#"{"name":"LCP","value":-1}"#.to_owned(),
        r#"{"name":"LCP","value":1e300}"#.to_owned(),
        r#"{"name":"CLS"}"#.to_owned(),
        r#"{"name":"error","kind":"tantrum"}"#.to_owned(),
        r#"{"name":"error","ago":-5}"#.to_owned(),
        r#"{"name":"click","trace":"00000000000000000000000000000000","span":"00f067aa0ba902b7"}"#.to_owned(),
        r#"{"name":"click","trace":"0af7651916cd43dd8448eb211c80319c","span":"x"}"#.to_owned(),
        // The first is right, and is not kept either.
        r#"[{"name":"CLS","value":0.1},{"name":"CLS","value":500}]"#.to_owned(),
        format!("[{}]", [r#"{"name":"error"}"#; 51].join(",")),
        "LCP=3".to_owned(),
        "x".repeat(70_000),
    ];
    let mut answers = String::new();
    for body in refused {
        answers.push_str(&said(&app, report(body)).await);
        answers.push('\n');
    }
    insta::assert_snapshot!(answers);
    insta::assert_snapshot!(site.figures().join("\n"));
}

#[tokio::test]
async fn a_failure_is_an_event_with_its_stack_and_what_is_secret_in_it_is_gone() {
    let site = Site::new();
    let body = r#"{"name":"error","kind":"rejection","type":"TypeError","message":"card 4111 1111 1111 1111 is not a function",
        "stack":"TypeError: at pay (https://shop.example.org/app.js:1:2081)","page":"/orders/7","ago":1500}"#;
    let mut request = report(body);
    request.headers_mut().insert(USER_AGENT, "Mozilla/5.0 Firefox/141.0".parse().unwrap());
    assert_eq!(said(&site.app(), request).await, "204");
    let event = site.event("web:error");
    let error = event.error.as_ref().unwrap();
    assert_eq!((event.status, &*event.service, &*error.kind), (Status::Failed, "web", "TypeError"));
    assert!(!error.message.contains("4111") && error.message.contains("is not a function"), "{error:?}");
    let data = event.data.as_ref().unwrap();
    assert_eq!((&data["kind"], &data["page"]), (&"rejection".into(), &"/orders/7".into()));
    assert!(data["stack"].as_str().unwrap().contains("app.js:1:2081"), "{data:?}");
    assert_eq!(data["user_agent"], "Mozilla/5.0 Firefox/141.0");
}

#[tokio::test]
async fn only_pages_of_the_host_and_of_listed_origins_report() {
    let site = Site::new();
    let browser = Browser::builder(&site.throughline).allow_origin("https://www.example.org");
    let app: Router = browser.build().unwrap().add_to(Router::new());
    let from = async |method: Method, origin: &str| -> Response<Body> {
        let request = Request::builder().method(method).uri("/browser/report");
        let request = request.header(HOST, "shop.example.org").header(ORIGIN, origin);
        app.clone().oneshot(request.body(Body::from(r#"{"name":"CLS","value":0}"#)).unwrap()).await.unwrap()
    };
    for origin in ["https://shop.example.org", "https://www.example.org"] {
        for method in [Method::POST, Method::OPTIONS] {
            let answer = from(method, origin).await;
            assert_eq!(answer.status(), StatusCode::NO_CONTENT);
            assert_eq!(answer.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], origin);
        }
    }
    for method in [Method::POST, Method::OPTIONS] {
        let answer = from(method, "https://evil.test").await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert!(!answer.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    }
    let expected = [
        r#"throughline_web_cls [] [0.0, 0.0]"#,
        r#"throughline_web_reports_total ["accepted"] 2"#,
        r#"throughline_web_reports_total ["refused"] 1"#,
    ];
    let figures: Vec<_> =
        site.figures().into_iter().map(|figure| figure.replace("OrderedFloat", "")).collect();
    assert_eq!(figures.join("\n").replace(['(', ')'], ""), expected.join("\n"));
}

#[tokio::test]
async fn what_is_beyond_the_limit_is_counted_and_told_to_come_later() {
    let site = Site::new();
    let browser = Browser::builder(&site.throughline).per_second(1).build().unwrap();
    let app: Router = browser.add_to(Router::new());
    // Ten seconds' worth may come at once, and one more within a slow test.
    let some = format!("[{}]", [r#"{"name":"error"}"#; 10].join(","));
    assert_eq!(said(&app, report(some.clone())).await, "204");
    let answer = app.clone().oneshot(report(some)).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(answer.headers()[RETRY_AFTER], "1");
    assert_eq!(site.store.events().len(), 10);
    assert!(site.figures().contains(&r#"throughline_web_reports_total ["limited"] 1"#.to_owned()));
    let said = Browser::builder(&site.throughline).per_second(0).build().unwrap_err().to_string();
    assert_eq!(said, "at 0 entries a second nothing would be taken: use 1 or more");
}

#[tokio::test]
async fn what_robots_say_is_counted_apart_and_not_kept() {
    let site = Site::new();
    let mut request = report(r#"{"name":"LCP","value":9000}"#);
    request.headers_mut().insert(USER_AGENT, "Googlebot/2.1".parse().unwrap());
    assert_eq!(said(&site.app(), request).await, "204");
    assert_eq!(site.figures(), [r#"throughline_web_reports_total ["robot"] 1"#]);
}

#[tokio::test]
async fn the_script_is_compressed_as_a_browser_asks() {
    let app = Site::new().app();
    // Every browser takes one of the two, and gzip alone where there is no TLS.
    for (accepted, coding, most) in
        [("gzip, deflate, br", Some("br"), 3_072), ("gzip, br;q=0", Some("gzip"), 3_072), ("", None, 8_192)]
    {
        let request = Request::get("/browser/script.js").header(ACCEPT_ENCODING, accepted);
        let answer = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let given = answer.headers().get(CONTENT_ENCODING).map(|coding| coding.to_str().unwrap().to_owned());
        assert_eq!(given.as_deref(), coding);
        let size = answer.into_body().collect().await.unwrap().to_bytes().len();
        assert!(size <= most, "{coding:?}: {size} bytes");
    }
}
