//! What the server layer records, answers and measures.

use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Extension, Router};
use throughline_core::{Status, names};
use throughline_tower::{RequestId, ServerLayer, Traced, inject};
use tokio::net::TcpListener;

use crate::support::Server;

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";

#[tokio::test]
async fn a_traced_request_continues_the_callers_trace_and_passes_it_on() {
    let server = Server::start(|router| {
        router.route(
            "/loans/{id}",
            get(|Traced(ctx): Traced, Extension(id): Extension<RequestId>| async move {
                let mut headers = http::HeaderMap::new();
                ctx.trace_infallible("stage:call", async {
                    inject(&throughline_core::TraceContext::current().unwrap(), &mut headers);
                })
                .await
                .unwrap();
                format!("{id} {}", headers["traceparent"].to_str().unwrap())
            }),
        )
    })
    .await;
    let request = crate::support::http().get(server.url("/loans/42"));
    let answer = request.header("traceparent", CALLER).header("x-request-id", "req-7").send().await.unwrap();
    assert_eq!(answer.headers()["x-request-id"], "req-7");
    let text = answer.text().await.unwrap();

    let end = server.request_end().await;
    let events = server.events().await;
    let step = events.iter().find(|event| event.event_type == "stage:call").unwrap();
    assert_eq!(text, format!("req-7 00-0af7651916cd43dd8448eb211c80319c-{}-03", step.span_id));
    assert_eq!(end.trace_id.to_string(), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(end.parent_span_id.unwrap().to_string(), "b7ad6b7169203331");
    assert!(end.is_root() && end.has_tag(names::tags::REMOTE_PARENT));
    assert_eq!((end.status, step.parent_span_id), (Status::Success, Some(end.span_id)));
    let attr = |key| end.attrs.get(key).unwrap();
    assert_eq!(attr(names::attrs::REQUEST_ID), "req-7");
    assert_eq!((attr(names::attrs::HTTP_ROUTE), attr(names::attrs::HTTP_STATUS)), ("/loans/{id}", "200"));
}

#[tokio::test]
async fn what_stands_in_place_of_a_telling_parameter_is_not_recorded() {
    let server = Server::start(|router| {
        let answer =
            |Traced(ctx): Traced| async move { ctx.trace_infallible("stage:reset", async {}).await.unwrap() };
        router.route("/users/{id}/password-reset/{token}", get(answer))
    })
    .await;
    server.get("/users/7/password-reset/tulip").await;
    let end = server.request_end().await;
    let start =
        server.events().await.into_iter().find(|event| event.span_id == end.span_id && event.seq == 0);
    let data = start.unwrap().data.unwrap();
    assert_eq!(data["input"]["path"], "/users/7/password-reset/[redacted]");
}

#[tokio::test]
async fn a_scanner_leaves_no_trace_and_is_still_given_a_request_id() {
    let server = Server::start(|router| router.route("/", get(|| async { "hello" }))).await;
    let answer = server.get("/wp-login.php").await;
    assert_eq!((answer.status(), answer.headers()["x-request-id"].len()), (StatusCode::NOT_FOUND, 36));
    assert_eq!(server.get("/").await.text().await.unwrap(), "hello");
    assert_eq!(server.events().await, []);
}

#[tokio::test]
async fn a_panic_becomes_an_answer_and_a_failed_event() {
    async fn fail() -> &'static str {
        panic!("the score is out of range")
    }
    let server = Server::start(|router| router.route("/", get(fail))).await;
    let answer = server.get("/").await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    let request_id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
    let problem: serde_json::Value = answer.json().await.unwrap();
    let end = server.request_end().await;
    assert_eq!(problem["request_id"], request_id);
    assert_eq!(problem["trace_id"], end.trace_id.to_string());
    assert!(!problem.to_string().contains("out of range"), "nothing internal: {problem}");
    let error = end.error.unwrap();
    assert_eq!((error.kind.as_str(), error.message.as_str()), ("panic", "the score is out of range"));
}

#[tokio::test]
async fn a_server_error_is_recorded_even_if_nothing_was_traced() {
    let server = Server::start(|router| router.route("/", get(|| async { StatusCode::BAD_GATEWAY }))).await;
    assert_eq!(server.get("/").await.status(), StatusCode::BAD_GATEWAY);
    let end = server.request_end().await;
    assert_eq!((end.status, end.error.unwrap().kind.as_str()), (Status::Failed, "http:502"));
}

#[tokio::test]
async fn a_handler_without_the_layer_is_told_where_to_put_it() {
    let app = Router::new().route("/", get(|Traced(_): Traced| async {}));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    assert_eq!(
        crate::support::http().get(url).send().await.unwrap().status(),
        StatusCode::INTERNAL_SERVER_ERROR
    );
    insta::assert_snapshot!(
        throughline_tower::NoTraceContext,
        @"no trace context: put `.layer(throughline.layer())` around the router whose handler takes `Traced`"
    );
}

#[tokio::test]
async fn requests_are_served_after_the_emitter_was_shut_down() {
    let server = Server::start(|router| router.route("/", get(|| async { "still here" }))).await;
    server.throughline.shutdown(Duration::from_secs(5)).await;
    let answer = server.get("/").await;
    assert!(answer.headers().contains_key("x-request-id"));
    assert_eq!(answer.text().await.unwrap(), "still here");
}

#[tokio::test]
async fn a_client_that_does_not_trace_is_told_which_trace_and_span_served_it_if_that_is_wanted() {
    let routes = |router: Router| {
        let answer =
            |Traced(ctx): Traced| async move { ctx.trace_infallible("stage:one", async {}).await.unwrap() };
        router.route("/", get(answer))
    };
    let told = |answer: reqwest::Response| {
        let values = answer.headers().get_all("server-timing").iter();
        values
            .filter_map(|value| value.to_str().ok()?.strip_prefix("trace;desc=").map(str::to_owned))
            .collect()
    };
    let telling = Server::start_with(routes, ServerLayer::trace_in_response).await;
    let told_by_one: Vec<String> = told(telling.get("/").await);
    let end = telling.request_end().await;
    assert_eq!(told_by_one, [format!("00-{}-{}-03", end.trace_id, end.span_id)]);
    let silent = Server::start(routes).await;
    assert_eq!(told(silent.get("/").await), Vec::<String>::new());
}
