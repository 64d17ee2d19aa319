//! The service: takes orders, and puts jobs into the queue.

use apalis::prelude::{TaskBuilder, TaskSink as _};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::json;
use throughline::worker::Carrier;
use throughline::{LayerExt as _, Throughline, Traced};

use crate::queue::{Payout, Queue};

/// The router.
pub(crate) fn app(throughline: &Throughline, queue: Queue) -> Router {
    Router::new().route("/payouts", post(order)).layer(throughline.layer()).with_state(queue)
}

/// Answers at once: the money is on its way.
async fn order(
    Traced(ctx): Traced,
    State(mut queue): State<Queue>,
    Json(payout): Json<Payout>,
) -> Result<Response, Unavailable> {
    let push = async {
        // The call to the queue is the current span: the job will hang on it, wherever it is done.
        let task = TaskBuilder::new(payout).metadata(&Carrier::current());
        queue.push_task(task.build()).await
    };
    ctx.dependency("queue", "payouts", push).await??;
    Ok((StatusCode::ACCEPTED, Json(json!({ "run": ctx.trace_id() }))).into_response())
}

/// The order could not be taken.
struct Unavailable;

impl<E: std::error::Error> From<E> for Unavailable {
    fn from(_: E) -> Self {
        // What went wrong is in the trace.
        Self
    }
}

impl IntoResponse for Unavailable {
    fn into_response(self) -> Response {
        StatusCode::SERVICE_UNAVAILABLE.into_response()
    }
}
