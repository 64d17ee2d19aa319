//! The client layer around real clients and real sockets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use http_body_util::Empty;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use throughline_core::testing::FaultyStore;
use throughline_core::{
    AppendError, Durability, MemoryStore, NotRecorded, Retry, Status, Throughline, TraceContext, TraceEvent,
    names,
};
use throughline_tower::{LayerExt as _, Traced};
use tower::{Layer as _, ServiceExt as _};

use crate::side::{Side, serve};

/// Answers with the headers that it was sent.
async fn echo(headers: HeaderMap) -> axum::Json<BTreeMap<String, String>> {
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    axum::Json(headers.iter().map(header).collect())
}

fn callee(side: &Side) -> Router {
    Router::new()
        .route("/echo", get(echo))
        .route(
            "/traced",
            get(|Traced(ctx): Traced| async move {
                ctx.trace_infallible("stage:answer", async { "done" }).await.unwrap()
            }),
        )
        .route("/broken", get(|| async { StatusCode::SERVICE_UNAVAILABLE }))
        .route("/hang", get(std::future::pending::<&'static str>))
        .layer(side.throughline.layer())
}

fn http_request(uri: &str) -> http::Request<Empty<bytes::Bytes>> {
    http::Request::get(uri).body(Empty::new()).unwrap()
}

#[cfg(feature = "reqwest")]
fn reqwest_request(uri: &str) -> reqwest::Request {
    reqwest::Request::new(reqwest::Method::GET, uri.parse().unwrap())
}

/// Runs a future within a run of a workflow.
async fn within<T>(side: &Side, body: impl Future<Output = T>) -> T {
    let run = side.throughline.workflow("test").attr(names::attrs::REQUEST_ID, "req-7");
    run.run(|_| async { Ok::<_, NotRecorded>(body.await) }).await.unwrap().unwrap()
}

fn call_of(events: &[TraceEvent]) -> &TraceEvent {
    let call = |event: &&TraceEvent| event.event_type == "dependency:http" && event.seq == 1;
    events.iter().find(call).unwrap()
}

#[tokio::test]
async fn of_a_call_the_segment_behind_a_telling_one_is_not_recorded() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let origin = serve(callee(&there)).await;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let client = here.throughline.client_layer().layer(client);
    let request = http_request(&format!("{origin}/password-reset/Zq9xT4mB7wLk2"));
    within(&here, client.oneshot(request)).await.unwrap();
    let events = serde_json::to_string(&here.events().await).unwrap();
    assert!(events.contains("/password-reset/[redacted]") && !events.contains("Zq9xT4mB7wLk2"), "{events}");
}

#[tokio::test]
async fn a_call_through_hyper_goes_on_in_the_callees_store_and_says_where_its_time_went() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let origin = serve(callee(&there)).await;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let client = here.throughline.client_layer().layer(client);
    let answer = within(&here, client.oneshot(http_request(&format!("{origin}/traced?secret=1")))).await;
    assert_eq!(answer.unwrap().status(), StatusCode::OK);

    let events = here.events().await;
    let call = call_of(&events);
    let root = there.end_of(names::HTTP_REQUEST).await;
    assert_eq!((root.trace_id, root.parent_span_id), (call.trace_id, Some(call.span_id)));
    assert_eq!(root.attrs.get(names::attrs::REQUEST_ID), Some("req-7"));

    let attr = |key| call.attrs.get(key).unwrap();
    let authority = origin.strip_prefix("http://").unwrap();
    assert_eq!((attr(names::attrs::DEPENDENCY), attr(names::attrs::HTTP_METHOD)), (authority, "GET"));
    assert_eq!((attr(names::attrs::SERVER_ADDRESS), attr(names::attrs::HTTP_STATUS)), ("127.0.0.1", "200"));
    let micros = |part: &'static str| attr(part).parse::<u64>().unwrap();
    // What the caller did before the span began is its part too.
    assert!(micros("call.caller_us") > 0);
    let round_trip: u64 = ["call.transport_us", "call.queue_us", "call.callee_us"].map(micros).iter().sum();
    assert!(round_trip > 0 && round_trip <= call.duration_us.unwrap(), "{round_trip} of {call:?}");
    let start = events.iter().find(|event| event.span_id == call.span_id && event.seq == 0).unwrap();
    let input = serde_json::to_string(&start.data).unwrap();
    assert_eq!(input, format!(r#"{{"input":{{"method":"GET","url":"{origin}/traced"}}}}"#));
}

#[tokio::test]
async fn the_metrics_of_a_call_have_its_labels_and_parts() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let origin = serve(callee(&there)).await;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let client = here.throughline.client_layer().layer(client);
    within(&here, client.clone().oneshot(http_request(&format!("{origin}/echo")))).await.unwrap();
    client.clone().oneshot(http_request(&format!("{origin}/broken"))).await.unwrap();
    client.oneshot(http_request(&format!("{origin}/nowhere"))).await.unwrap();

    let port = origin.rsplit(':').next().unwrap();
    let recorded = here.recorded("http_client_request_duration");
    let to = format!("http_request_method=GET,server_address=127.0.0.1,server_port={port}");
    let series: Vec<_> = recorded.keys().map(|key| key.replace(&to, "to")).collect();
    assert_eq!(
        series,
        [
            "http_client_request_duration_seconds{to,http_response_status_code=200}",
            "http_client_request_duration_seconds{to,http_response_status_code=404,error_type=404}",
            "http_client_request_duration_seconds{to,http_response_status_code=503,error_type=503}",
        ]
    );
    assert!(recorded.values().all(|values| values.len() == 1 && values[0] > 0.0), "{recorded:?}");
}

#[tokio::test]
async fn the_parts_of_a_call_are_measured_by_target() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let origin = serve(callee(&there)).await;
    let client = here.throughline.client_layer().layer(Client::builder(TokioExecutor::new()).build_http());
    within(&here, client.oneshot(http_request(&format!("{origin}/echo")))).await.unwrap();
    let authority = origin.strip_prefix("http://").unwrap();
    let recorded = here.recorded("dependency_part_duration");
    let series: Vec<_> = recorded.keys().map(|key| key.replace(authority, "to")).collect();
    let name = "throughline_dependency_part_duration_seconds";
    assert_eq!(
        series,
        ["callee", "caller", "queue", "transport"]
            .map(|part| format!("{name}{{kind=http,target=to,part={part}}}"))
    );
}

#[tokio::test]
async fn a_server_error_fails_the_span_and_a_client_error_is_an_answer() {
    for (path, status) in [("/broken", Status::Failed), ("/nowhere", Status::Success)] {
        let (here, there) = (Side::new("caller"), Side::new("callee"));
        let origin = serve(callee(&there)).await;
        let client =
            here.throughline.client_layer().layer(Client::builder(TokioExecutor::new()).build_http());
        within(&here, client.oneshot(http_request(&format!("{origin}{path}")))).await.unwrap();
        let events = here.events().await;
        let call = call_of(&events);
        assert_eq!(call.status, status, "{path}");
        let kind = call.error.as_ref().map(|error| error.kind.as_str());
        assert_eq!(kind, (status == Status::Failed).then_some("http:503"));
    }
}

#[tokio::test]
async fn a_grpc_status_in_the_head_says_how_a_call_ended() {
    for (code, status, kind, label) in [
        ("0", Status::Success, None, ""),
        ("5", Status::Success, None, ",error_type=grpc:5"),
        ("14", Status::Failed, Some("grpc:14"), ",error_type=grpc:14"),
        ("no code", Status::Success, None, ""),
    ] {
        let here = Side::new("caller");
        let app = Router::new().route("/", get(async move || [("grpc-status", code)]));
        let client = here.throughline.client_layer().layer(app);
        within(&here, client.oneshot(http_request("http://127.0.0.1/"))).await.unwrap();
        let events = here.events().await;
        let call = call_of(&events);
        assert_eq!(call.status, status, "{code}");
        assert_eq!(call.error.as_ref().map(|error| error.kind.as_str()), kind);
        let recorded = here.recorded("http_client_request_duration");
        let series = recorded.keys().next().unwrap();
        assert!(series.ends_with(&format!("http_response_status_code=200{label}}}")), "{series}");
    }
}

#[tokio::test]
async fn a_request_id_goes_out_as_it_came_in() {
    let (here, there) = (Side::new("between"), Side::new("callee"));
    let client = here.throughline.client_layer().layer(callee(&there));
    let between = get(async move || {
        let answer = client.oneshot(http_request("/echo")).await.unwrap();
        body_of(answer).await
    });
    let between = Router::new().route("/", between).layer(here.throughline.layer());
    // A sound id, and the number of a card as well.
    let mut request = http_request("/");
    request.headers_mut().insert("x-request-id", "4111111111111111".parse().unwrap());
    let answer = between.oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "4111111111111111");
    let sent = body_of(answer).await;
    assert!(sent.contains(r#""x-request-id":"4111111111111111""#), "{sent}");
    assert!(!serde_json::to_string(&here.events().await).unwrap().contains("4111111111111111"));
}

#[tokio::test]
async fn baggage_that_a_request_has_already_is_kept_with_its_properties() {
    let (here, there) = (Side::new("between"), Side::new("callee"));
    let client = here.throughline.client_layer().layer(callee(&there));
    let between = get(async move || {
        let mut request = http_request("/echo");
        request.headers_mut().insert("baggage", "tenant=mine;ttl=7,user=7".parse().unwrap());
        body_of(client.oneshot(request).await.unwrap()).await
    });
    let between = Router::new().route("/", between).layer(here.throughline.layer());
    let mut request = http_request("/");
    request.headers_mut().insert("baggage", "tenant=theirs;ttl=60,region=eu;a;b=1".parse().unwrap());
    let sent = body_of(between.oneshot(request).await.unwrap()).await;
    assert!(sent.contains(r#""baggage":"region=eu;a;b=1,tenant=mine;ttl=7,user=7""#), "{sent}");
}

#[tokio::test]
async fn outside_of_every_context_nothing_is_sent_along_and_the_call_is_measured() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let origin = serve(callee(&there)).await;
    let client = here.throughline.client_layer().layer(Client::builder(TokioExecutor::new()).build_http());
    let answer = client.oneshot(http_request(&format!("{origin}/echo"))).await.unwrap();
    let sent = body_of(answer).await;
    assert!(!sent.contains("traceparent") && !sent.contains("x-request-id"), "{sent}");
    assert_eq!(here.events().await, []);
    assert_eq!(here.recorded("http_client_request_duration").len(), 1);
}

async fn body_of(
    answer: http::Response<impl http_body::Body<Data = bytes::Bytes, Error: std::fmt::Debug>>,
) -> String {
    use http_body_util::BodyExt as _;
    String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn the_context_is_sent_only_to_allowed_targets_and_all_calls_are_recorded() {
    for (host, is_ours) in [("scores.internal", true), ("Scores.Internal", true), ("third-party.test", false)]
    {
        let here = Side::new("caller");
        let layer = here.throughline.client_layer().propagate_to(|target| {
            let port = target.port() == Some(443);
            port && target.scheme() == "https"
                && target.path() == "/echo"
                && target.host() == "scores.internal"
        });
        let client = layer.layer(Router::new().route("/echo", get(echo)));
        let request = http_request(&format!("https://{host}/echo?to=scores.internal"));
        let sent = body_of(within(&here, client.oneshot(request)).await.unwrap()).await;
        assert_eq!(sent.contains("traceparent"), is_ours, "{sent}");
        assert_eq!(sent.contains("x-request-id"), is_ours, "{sent}");
        assert_eq!(call_of(&here.events().await).status, Status::Success);
    }
}

#[tokio::test]
async fn a_request_id_that_is_there_already_stays() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let origin = serve(callee(&there)).await;
    let client = here.throughline.client_layer().layer(Client::builder(TokioExecutor::new()).build_http());
    let mut request = http_request(&format!("{origin}/echo"));
    request.headers_mut().insert("x-request-id", "mine".parse().unwrap());
    let sent = body_of(within(&here, client.oneshot(request)).await.unwrap()).await;
    assert!(sent.contains(r#""x-request-id":"mine""#), "{sent}");
}

#[tokio::test]
async fn a_request_is_sent_even_if_its_span_cannot_be_recorded() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let origin = serve(callee(&there)).await;
    let client = here.throughline.client_layer().layer(Client::builder(TokioExecutor::new()).build_http());
    let answer = within(&here, async {
        here.throughline.shutdown(Duration::from_secs(5)).await;
        client.oneshot(http_request(&format!("{origin}/echo"))).await
    });
    assert_eq!(answer.await.unwrap().status(), StatusCode::OK);
    assert_eq!(here.recorded("http_client_request_duration").len(), 1);
}

/// Pipelined, a call goes out before its start is durable: when that fails in the end, it has been made.
#[tokio::test]
async fn a_request_whose_span_turns_out_not_to_be_recorded_is_sent_once_and_its_answer_kept() {
    let (store, there) = (FaultyStore::around(MemoryStore::new()), Side::new("callee"));
    let faults = store.faults();
    let here = Throughline::builder("caller").store(store).durability(Durability::Pipelined);
    let here = here.retry(Retry::attempts(1)).build().unwrap();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let counting =
        Router::new().route("/", get(async move || count.fetch_add(1, Ordering::SeqCst).to_string()));
    let origin = serve(counting.layer(there.throughline.layer())).await;
    let client = here.client_layer().layer(Client::builder(TokioExecutor::new()).build_http());
    let run = here.workflow("test").run(async |_: TraceContext| {
        here.flush(Duration::from_secs(10)).await;
        let gone = || AppendError::Unavailable { reason: "away".to_owned(), retry_after: None, source: None };
        faults.fail_next(u64::MAX, gone);
        let answer = client.oneshot(http_request(&origin)).await;
        faults.heal();
        Ok::<_, NotRecorded>(answer.unwrap().status())
    });
    assert_eq!(run.await.unwrap().unwrap(), StatusCode::OK);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_call_that_is_given_up_is_cancelled_and_measured() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let origin = serve(callee(&there)).await;
    let client = here.throughline.client_layer().layer(Client::builder(TokioExecutor::new()).build_http());
    let call = client.oneshot(http_request(&format!("{origin}/hang")));
    let given_up = within(&here, tokio::time::timeout(Duration::from_millis(50), call)).await;
    assert!(given_up.is_err());
    assert_eq!(here.end_of("dependency:http").await.status, Status::Cancelled);
    let recorded = here.recorded("http_client_request_duration");
    assert_eq!(recorded.len(), 1);
    assert!(recorded.keys().all(|key| key.ends_with("error_type=cancelled}")), "{recorded:?}");
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn reqwest_is_a_client_too_and_its_errors_do_not_tell_the_query() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let client = here.throughline.client_layer().layer(crate::support::http());
    let request = reqwest_request(&format!("{}/traced", serve(callee(&there)).await));
    within(&here, client.clone().oneshot(request)).await.unwrap();
    let root = there.end_of(names::HTTP_REQUEST).await;
    assert_eq!(root.trace_id, call_of(&here.events().await).trace_id);

    let here = Side::new("caller");
    let client = here.throughline.client_layer().layer(crate::support::http());
    let origin = crate::side::dead_origin().await.replace("http://", "http://lovelace:hunter2@");
    let failed = within(&here, client.oneshot(reqwest_request(&format!("{origin}/x?ticket=abcdef")))).await;
    assert!(failed.unwrap_err().to_string().contains("abcdef"), "or this test proves nothing");
    let events = here.events().await;
    let error = call_of(&events).error.clone().unwrap();
    assert_eq!(error.kind, "connection_refused");
    let json = serde_json::to_string(&events).unwrap();
    for secret in ["abcdef", "ticket", "hunter2", "lovelace"] {
        assert!(!json.contains(secret), "{secret} in {json}");
    }
}

#[cfg(feature = "reqwest-middleware")]
#[tokio::test]
async fn the_layer_is_a_middleware_of_reqwest() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let client = reqwest_middleware::ClientBuilder::new(crate::support::http());
    let client = client.with(here.throughline.client_layer()).build();
    let url = format!("{}/traced", serve(callee(&there)).await);
    within(&here, client.get(url).send()).await.unwrap();
    let root = there.end_of(names::HTTP_REQUEST).await;
    assert_eq!(root.parent_span_id, Some(call_of(&here.events().await).span_id));
}

#[tokio::test]
async fn a_router_in_process_is_a_client_that_continues_the_trace() {
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let client = here.throughline.client_layer().layer(callee(&there));
    within(&here, client.oneshot(http_request("/traced"))).await.unwrap();
    let root = there.end_of(names::HTTP_REQUEST).await;
    assert_eq!(root.parent_span_id, Some(call_of(&here.events().await).span_id));
}

#[tokio::test]
async fn a_call_in_a_spawned_task_belongs_to_the_context_that_it_is_given() {
    use throughline_core::InContext as _;
    let (here, there) = (Side::new("caller"), Side::new("callee"));
    let origin = serve(callee(&there)).await;
    let client = here.throughline.client_layer().layer(Client::builder(TokioExecutor::new()).build_http());
    let request = http_request(&format!("{origin}/echo"));
    within(&here, async {
        let context = TraceContext::current().unwrap();
        let task = async move { client.oneshot(request).await };
        tokio::spawn(task.in_context(&context)).await.unwrap().unwrap();
    })
    .await;
    let events = here.events().await;
    let root = events.iter().find(|event| event.is_root()).unwrap();
    assert_eq!(call_of(&events).parent_span_id, Some(root.span_id));
}
