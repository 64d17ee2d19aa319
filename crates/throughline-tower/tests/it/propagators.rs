//! A context in the formats that a service has chosen: in with a request, out with what is called for it.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request};
use axum::routing::get;
use http_body_util::BodyExt as _;
use throughline_core::{MemoryStore, Throughline};
use throughline_tower::{LayerExt as _, Traced, inject};
use tower::ServiceExt as _;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// What a handler sends on that was asked with these headers.
async fn sent_on(propagators: &str, asked: &[(&str, String)]) -> BTreeMap<String, String> {
    let throughline = Throughline::builder("loans").store(MemoryStore::new());
    let throughline = throughline.propagators(propagators.parse().unwrap()).build().unwrap();
    let handler = |Traced(ctx): Traced| async move {
        let mut headers = HeaderMap::new();
        inject(&ctx, &mut headers);
        let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        axum::Json(headers.iter().map(header).collect::<BTreeMap<_, _>>())
    };
    let app: Router = Router::new().route("/", get(handler)).layer(throughline.layer());
    let mut request = Request::get("/");
    for (name, value) in asked {
        request = request.header(*name, value);
    }
    let answer = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    throughline.shutdown(std::time::Duration::from_secs(5)).await;
    serde_json::from_slice(&body).unwrap()
}

/// What stands for a trace in all headers together.
fn names_trace(headers: &BTreeMap<String, String>) -> bool {
    headers.values().any(|value| value.contains(TRACE))
}

#[tokio::test]
async fn a_trace_continues_in_the_formats_that_were_chosen_and_in_no_others() {
    let w3c = [
        ("traceparent", format!("00-{TRACE}-{SPAN}-00")),
        ("tracestate", "vendor=1".to_owned()),
        ("baggage", "tenant=acme".to_owned()),
    ];
    let b3 = [("b3", format!("{TRACE}-{SPAN}-0"))];
    let multi = [
        ("X-B3-TraceId", TRACE.to_owned()),
        ("X-B3-SpanId", SPAN.to_owned()),
        ("X-B3-Sampled", "0".to_owned()),
    ];
    let jaeger = [("uber-trace-id", format!("{TRACE}:{SPAN}:0:0")), ("uberctx-tenant", "acme".to_owned())];
    let all = [&w3c[..], &b3, &multi, &jaeger].concat();
    for (propagators, asked, names) in [
        ("tracecontext,baggage", &w3c[..], &["baggage", "traceparent", "tracestate"][..]),
        ("tracecontext", &w3c, &["traceparent", "tracestate"]),
        ("b3", &b3, &["b3"]),
        ("b3", &multi, &["b3"]),
        ("b3multi", &multi, &["x-b3-sampled", "x-b3-spanid", "x-b3-traceid"]),
        ("b3multi", &b3, &["x-b3-sampled", "x-b3-spanid", "x-b3-traceid"]),
        ("jaeger", &jaeger, &["uber-trace-id", "uberctx-tenant"]),
        ("tracecontext,b3", &b3, &["b3", "traceparent"]),
    ] {
        let sent = sent_on(propagators, asked).await;
        assert_eq!(sent.keys().map(String::as_str).collect::<Vec<_>>(), names, "{propagators}");
        assert!(names_trace(&sent), "{propagators}: {sent:?}");
        // A service that was not sampled says so to the next.
        let unsampled = |name: &str, end: &str| sent.get(name).is_none_or(|value| value.ends_with(end));
        assert!(unsampled("traceparent", "-00") && unsampled("b3", "-0"), "{sent:?}");
        assert!(unsampled("x-b3-sampled", "0") && unsampled("uber-trace-id", ":0"), "{sent:?}");
    }
    for (propagators, asked) in [
        ("tracecontext,baggage", [&b3[..], &multi, &jaeger].concat()),
        ("b3,b3multi", [&w3c[..], &jaeger].concat()),
        ("jaeger", [&w3c[..], &b3, &multi].concat()),
        ("baggage", w3c.to_vec()),
    ] {
        let sent = sent_on(propagators, &asked).await;
        assert!(!names_trace(&sent), "{propagators}: {sent:?}");
    }
    assert_eq!(sent_on("none", &all).await, BTreeMap::new());
}
