//! The routes of the service, and how its errors are answered.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::json;
use throughline::{LayerExt as _, NotStarted, Throughline, TraceContext, TraceId, Traced};

use crate::bureau::{Bureau, BureauError};

/// The routes, and the one layer around them.
pub(crate) fn router(throughline: &Throughline, bureau: &Bureau) -> Router {
    Router::new()
        .route("/offers", post(offer))
        .route("/offers.csv", get(export))
        .route("/offers/{id}/instalments/{months}", get(instalments))
        .with_state(bureau.clone())
        .layer(throughline.layer())
}

/// What an applicant sends.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Application {
    pub(crate) amount: u32,
    pub(crate) email: String,
    pub(crate) iban: String,
}

/// A step, an outside call within it, an event: each is one line, and `?` twice where two things can go wrong.
async fn offer(
    State(bureau): State<Bureau>,
    Traced(ctx): Traced,
    Json(application): Json<Application>,
) -> Result<Response, Problem> {
    let failed = |error: OfferError| error.at(&ctx);
    if application.amount > 100_000 {
        return Err(failed(OfferError::TooMuch(application.amount)));
    }
    let score = ctx
        .step("stage:credit-check")
        .input(&application)
        .capture_output()
        .run(|_| async move { bureau.score().await.map_err(OfferError::from) })
        .await
        .map_err(|not_started| failed(not_started.into()))?
        .map_err(failed)?;
    let rate = if score > 700 { 3.2 } else { 5.9 };
    let noted = ctx.event("business:offered", json!({ "amount": application.amount, "rate": rate })).await;
    noted.map_err(|_| failed(OfferError::Unrecorded))?;
    Ok(Json(json!({ "rate_percent": rate, "trace_id": ctx.trace_id() })).into_response())
}

/// A long answer: the request lasts until its last byte has gone out.
async fn export(Traced(ctx): Traced) -> Result<Response, Problem> {
    let prepared = ctx.trace_infallible("stage:prepare-export", async { 1..=5 }).await;
    let rows = prepared.map_err(|not_started| OfferError::from(not_started).at(&ctx))?;
    let rows = stream::unfold(rows, |mut rows| async {
        let row = rows.next()?;
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, Infallible>(Bytes::from(format!("offer-{row},{}\n", row * 1000))), rows))
    });
    Ok(([(header::CONTENT_TYPE, "text/csv")], Body::from_stream(rows)).into_response())
}

/// Has a bug: nobody thought of an offer that is paid back at once.
async fn instalments(Path((id, months)): Path<(String, u32)>) -> String {
    format!("{id}: {} a month\n", 12_000 / months)
}

/// Why there is no offer.
#[derive(Debug, thiserror::Error)]
enum OfferError {
    /// More than is lent.
    #[error("the amount must not be above 100,000, and {0} is")]
    TooMuch(u32),
    /// Nobody knows whether the applicant is good for it.
    #[error("the credit bureau cannot be asked")]
    Bureau(#[from] BureauError),
    /// The step never ran.
    #[error(transparent)]
    NotStarted(#[from] NotStarted),
    /// What was offered could not be recorded, so it was not offered.
    #[error("the offer could not be recorded")]
    Unrecorded,
}

impl OfferError {
    fn at(self, ctx: &TraceContext) -> Problem {
        let status = match self {
            Self::TooMuch(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Bureau(_) => StatusCode::BAD_GATEWAY,
            Self::NotStarted(_) | Self::Unrecorded => StatusCode::SERVICE_UNAVAILABLE,
        };
        // A request that was refused before anything happened has no story to look for.
        let told = status.is_server_error() || ctx.is_recorded();
        Problem { status, title: self.to_string(), trace_id: told.then(|| ctx.trace_id()) }
    }
}

/// An answer as [RFC 9457](https://www.rfc-editor.org/rfc/rfc9457) has it: what went wrong, and where the story is. Causes
/// are in the story, not in the answer.
struct Problem {
    status: StatusCode,
    title: String,
    trace_id: Option<TraceId>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, title, trace_id } = self;
        let mut body = json!({ "title": title, "status": status.as_u16() });
        if let Some(trace_id) = trace_id {
            body["trace_id"] = json!(trace_id);
        }
        (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}
