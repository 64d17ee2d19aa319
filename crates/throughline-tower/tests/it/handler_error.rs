//! Errors of handlers, which answer by themselves.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use serde_json::{Value, json};
use throughline_core::testing::{Faults, FaultyStore};
use throughline_core::{
    AppendError, Link, MemoryStore, NotRecorded, Relation, Retry, Status, Throughline, TraceEvent, names,
};
use throughline_tower::{HandlerError, LayerExt as _, Traced};
use tower::ServiceExt as _;

use crate::support::Story;

#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error("the score is too low")]
    TooLow,
    #[error("the bureau at {0} did not answer")]
    Bureau(&'static str, #[source] std::io::Error),
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::TooLow => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Bureau(..) => StatusCode::BAD_GATEWAY,
            Self::NotRecorded(error) => return HandlerError::from(error).into_response(),
        };
        HandlerError::new(status, "no offer").caused_by(&self).into_response()
    }
}

async fn ask(answer: Result<u32, ApiError>) -> Result<u32, ApiError> {
    answer
}

async fn step(Traced(ctx): Traced) -> Result<String, ApiError> {
    let score = ctx.trace("stage:score", ask(Ok(712))).await??;
    ctx.event("business:scored", json!({ "score": score })).await?;
    Ok(score.to_string())
}

/// The same with `?` alone.
async fn step_of_any_error(Traced(ctx): Traced) -> Result<String, HandlerError> {
    let score = ctx.trace("stage:score", ask(Ok(712))).await??;
    ctx.event("business:scored", json!({ "score": score })).await?;
    Ok(score.to_string())
}

async fn event(Traced(ctx): Traced) -> Result<(), ApiError> {
    ctx.event("business:seen", ()).await?;
    Ok(())
}

async fn refused() -> Result<(), ApiError> {
    Err(ApiError::TooLow)
}

async fn broken() -> Result<(), ApiError> {
    Err(ApiError::Bureau("10.0.0.7", std::io::Error::other("reset by anna@example.com")))
}

async fn any_error() -> Result<(), HandlerError> {
    Err(ApiError::Bureau("10.0.0.7", std::io::Error::other("reset by anna@example.com")))?
}

async fn wrapped(Traced(ctx): Traced) -> Result<(), HandlerError> {
    #[derive(Debug, thiserror::Error)]
    #[error("the story could not be told")]
    struct Wrapped(#[source] NotRecorded);
    ctx.event("business:seen", ()).await.map_err(Wrapped)?;
    Ok(())
}

fn routes(throughline: &Throughline) -> Router {
    Router::new()
        .route("/step", get(step))
        .route("/any/step", get(step_of_any_error))
        .route("/event", get(event))
        .route("/wrapped", get(wrapped))
        .route("/refused", get(refused))
        .route("/broken", get(broken))
        .route("/any", get(any_error))
        .route("/failing", get(failing_step))
        .layer(throughline.layer())
}

async fn failing_step(Traced(ctx): Traced) -> Result<(), HandlerError> {
    ctx.trace("stage:score", ask(Err(ApiError::Bureau("10.0.0.7", std::io::Error::other("reset")))))
        .await??;
    Ok(())
}

/// An emitter whose store is away.
fn away() -> (Throughline, Faults) {
    let store = FaultyStore::around(MemoryStore::new());
    let faults = store.faults();
    let throughline = Throughline::builder("test").store(store).retry(Retry::attempts(1)).build().unwrap();
    let gone = || AppendError::Unavailable {
        reason: "the disk of 10.0.0.7 is full".to_owned(),
        retry_after: None,
        source: None,
    };
    faults.fail_next(u64::MAX, gone);
    (throughline, faults)
}

struct Answer {
    status: StatusCode,
    kind: Option<String>,
    retry_after: Option<String>,
    body: Value,
}

async fn send(app: &Router, path: &str) -> Answer {
    let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
    let answer = app.clone().oneshot(request).await.unwrap();
    let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    let (status, kind, retry_after) = (answer.status(), header("content-type"), header("retry-after"));
    let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
    Answer { status, kind, retry_after, body: serde_json::from_slice(&body).unwrap_or_default() }
}

#[tokio::test]
async fn what_cannot_be_recorded_answers_503_as_problem_json_and_gives_nothing_away() {
    let (throughline, _faults) = away();
    let app = routes(&throughline);
    for path in ["/step", "/any/step", "/event", "/wrapped"] {
        let answer = send(&app, path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.kind.as_deref(), Some("application/problem+json"), "{path}");
        assert_eq!(answer.retry_after.as_deref(), Some("5"), "{path}");
        let mut body = answer.body;
        assert!(body["trace_id"].take().as_str().is_some_and(|id| id.len() == 32), "{path}");
        let problem = json!({
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "detail": "this service cannot record its work right now",
            "trace_id": null,
        });
        assert_eq!(body, problem, "{path}");
    }
}

#[tokio::test]
async fn after_the_emitter_was_shut_down_another_replica_is_worth_a_try() {
    let (throughline, faults) = away();
    faults.heal();
    throughline.shutdown(std::time::Duration::from_secs(5)).await;
    let answer = send(&routes(&throughline), "/event").await;
    assert_eq!((answer.status, answer.retry_after.as_deref()), (StatusCode::SERVICE_UNAVAILABLE, Some("5")));
}

#[tokio::test]
async fn a_run_that_cannot_be_resumed_is_a_mistake_and_no_outage() {
    let story = Story::new();
    let throughline = story.throughline.clone();
    let resume = async move || -> Result<(), HandlerError> {
        let unknown = throughline_core::TraceId::random();
        throughline.resume(unknown).run(|_| async { Ok::<_, NotRecorded>(()) }).await??;
        Ok(())
    };
    let app = Router::new().route("/", get(resume)).layer(story.throughline.layer());
    let answer = send(&app, "/").await;
    assert_eq!((answer.status, answer.retry_after), (StatusCode::INTERNAL_SERVER_ERROR, None));
}

#[tokio::test]
async fn an_error_of_the_service_is_recorded_as_the_cause_and_not_shown() {
    for (path, status, detail) in [("/broken", 502, json!("no offer")), ("/any", 500, Value::Null)] {
        let story = Story::new();
        let answer = send(&routes(&story.throughline), path).await;
        assert_eq!((answer.status.as_u16(), answer.retry_after), (status, None), "{path}");
        assert_eq!(answer.body["detail"], detail, "{path}");
        let end: TraceEvent = story.request_end().await;
        assert_eq!(answer.body["trace_id"], json!(end.trace_id), "{path}");
        let error = end.error.unwrap();
        assert_eq!((end.status, error.kind.as_str()), (Status::Failed, "ApiError::Bureau"), "{path}");
        assert_eq!(error.message, "the bureau at 10.0.0.7 did not answer", "{path}");
        assert_eq!(error.chain, ["reset by [redacted:email]"], "{path}");
        assert_eq!(end.attrs.get(names::attrs::HTTP_STATUS), Some(status.to_string().as_str()), "{path}");
        assert_eq!(story.measured().await, format!("GET {path} {status} {status}"));
    }
}

#[tokio::test]
async fn a_request_that_fails_with_the_error_of_a_step_names_that() {
    let story = Story::new();
    assert_eq!(send(&routes(&story.throughline), "/failing").await.status.as_u16(), 500);
    let (request, step) = (story.request_end().await, story.end_of("stage:score").await);
    assert_eq!(request.links, [Link::to(Relation::FailedBy, step.span_id)]);
    assert_eq!(step.links, []);
}

#[tokio::test]
async fn a_refusal_with_nothing_recorded_names_no_trace() {
    let story = Story::new();
    let answer = send(&routes(&story.throughline), "/refused").await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
    let problem = json!({ "type": "about:blank", "title": "Unprocessable Entity", "status": 422, "detail": "no offer" });
    assert_eq!(answer.body, problem);
    assert_eq!(story.events().await, []);
}

#[tokio::test]
async fn outside_of_the_layer_it_answers_as_well() {
    let app = Router::new().route("/any", get(any_error));
    let answer = send(&app, "/any").await;
    assert_eq!(
        answer.body,
        json!({ "type": "about:blank", "title": "Internal Server Error", "status": 500 })
    );
}
