//! [`HandlerError`], the error of a handler that answers by itself.

use std::borrow::Cow;
use std::error::Error;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::json;
use throughline_core::{ErrorInfo, NotRecorded, StepError, TraceContext};

/// How many seconds a client should wait before it retries what could not be recorded.
const TRY_AGAIN_AFTER: &str = "5";

/// The error of an axum handler. It answers as problem JSON ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)).
///
/// `?` makes one of any error. Where that is, or was caused by, a [`NotRecorded`] that may pass, the response is 503
/// (Service Unavailable), with `Retry-After` if it pays to try again. If another run under its key is at work or has
/// succeeded, it is 409 (Conflict), and the detail has the id of that run. Else it is 500. The error itself is not shown to
/// the client: [`ServerLayer`](crate::ServerLayer) records it as what made the request fail, redacted like everything
/// else, and the response has the `trace_id` to look for.
///
/// ```
/// use axum::Json;
/// use http::StatusCode;
/// use serde_json::{Value, json};
/// use throughline_tower::{HandlerError, Traced};
///
/// # async fn ask_bureau() -> Result<u32, std::io::Error> { Ok(712) }
/// async fn apply(Traced(ctx): Traced) -> Result<Json<Value>, HandlerError> {
///     let score = ctx.trace("stage:credit-check", ask_bureau()).await??;
///     if score < 500 {
///         return Err(HandlerError::new(StatusCode::UNPROCESSABLE_ENTITY, "the score is too low"));
///     }
///     ctx.event("business:offered", json!({ "score": score })).await?;
///     Ok(Json(json!({ "rate_percent": 3.2 })))
/// }
/// ```
///
/// A service with an error type of its own needs one variant for what Throughline says, and decides about its own:
///
/// ```
/// use axum::response::{IntoResponse, Response};
/// use http::StatusCode;
/// use throughline_core::NotRecorded;
/// use throughline_tower::HandlerError;
///
/// #[derive(Debug, thiserror::Error)]
/// enum ApiError {
///     #[error("the score is too low")]
///     TooLow,
///     #[error("the credit bureau did not answer")]
///     Bureau(#[from] std::io::Error),
///     #[error(transparent)]
///     NotRecorded(#[from] NotRecorded),
/// }
///
/// impl IntoResponse for ApiError {
///     fn into_response(self) -> Response {
///         let status = match self {
///             Self::TooLow => StatusCode::UNPROCESSABLE_ENTITY,
///             Self::Bureau(_) => StatusCode::BAD_GATEWAY,
///             Self::NotRecorded(error) => return HandlerError::from(error).into_response(),
///         };
///         HandlerError::new(status, self.to_string()).caused_by(&self).into_response()
///     }
/// }
/// ```
///
/// It is no [`std::error::Error`] itself: otherwise `?` could not make one of any other.
#[derive(Debug)]
pub struct HandlerError {
    status: StatusCode,
    detail: Option<Cow<'static, str>>,
    retry: bool,
    cause: Option<ErrorInfo>,
}

/// What made a handler fail, on its way to the layer.
#[derive(Debug, Clone)]
pub(crate) struct Cause(pub(crate) ErrorInfo);

impl HandlerError {
    /// A response with this status. The detail is for the client: what went wrong this time, and perhaps how to fix it.
    pub fn new(status: StatusCode, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: Some(detail.into()), retry: false, cause: None }
    }

    /// What made the request fail, for the trace and not for the client; recorded where the status is a server error.
    #[must_use = "it returns the error"]
    pub fn caused_by<E: Error + 'static>(mut self, cause: &E) -> Self {
        self.cause = Some(cause.describe());
        self
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for HandlerError {
    fn from(error: E) -> Self {
        let failed = match not_recorded_in(&error) {
            Some(refused @ (NotRecorded::AtWork { .. } | NotRecorded::HasSucceeded { .. })) => {
                Self { retry: refused.is_retryable(), ..Self::new(StatusCode::CONFLICT, refused.to_string()) }
            }
            Some(not_recorded) if may_pass(not_recorded) => Self {
                retry: not_recorded.is_retryable() || matches!(not_recorded, NotRecorded::ShutDown),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "this service cannot record its work right now")
            },
            _ => Self { status: StatusCode::INTERNAL_SERVER_ERROR, detail: None, retry: false, cause: None },
        };
        failed.caused_by(&error)
    }
}

fn not_recorded_in<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e NotRecorded> {
    // No chain is that long, but one may go round in a circle.
    let chain = std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| (*error).source());
    chain.take(16).find_map(|error| error.downcast_ref())
}

/// Whether it is about the state of the service. The others are mistakes: they fail next time as well.
fn may_pass(not_recorded: &NotRecorded) -> bool {
    use NotRecorded::{NotRead, QueueFull, ShutDown, Store};
    matches!(not_recorded, Store { .. } | QueueFull { .. } | ShutDown | NotRead(_))
}

impl IntoResponse for HandlerError {
    fn into_response(self) -> Response {
        let Self { status, detail, retry, cause } = self;
        let mut problem = json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Unknown"),
            "status": status.as_u16(),
        });
        if let Some(detail) = detail {
            problem["detail"] = detail.into();
        }
        // Without a failure, and with nothing recorded, there is nothing to look for.
        let context = TraceContext::current();
        if let Some(context) = context.filter(|context| status.is_server_error() || context.is_recorded()) {
            problem["trace_id"] = json!(context.trace_id());
        }
        let fields = [(CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, fields, problem.to_string()).into_response();
        if retry {
            response.headers_mut().insert(RETRY_AFTER, http::HeaderValue::from_static(TRY_AGAIN_AFTER));
        }
        if let Some(cause) = cause {
            response.extensions_mut().insert(Cause(cause));
        }
        response
    }
}
