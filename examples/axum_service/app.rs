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
use serde_json::{Value, json};
use throughline::{HandlerError, LayerExt as _, NotRecorded, Throughline, Traced};

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
) -> Result<Json<Value>, OfferError> {
    if application.amount > 100_000 {
        return Err(OfferError::TooMuch(application.amount));
    }
    let score = ctx
        .step("stage:credit-check")
        .input(&application)
        .capture_output()
        .run(|_| async move { bureau.score().await.map_err(OfferError::from) })
        .await??;
    let rate = if score > 700 { 3.2 } else { 5.9 };
    ctx.event("business:offered", json!({ "amount": application.amount, "rate": rate })).await?;
    Ok(Json(json!({ "rate_percent": rate, "trace_id": ctx.trace_id() })))
}

/// A long answer: the request lasts until its last byte has gone out.
async fn export(Traced(ctx): Traced) -> Result<Response, HandlerError> {
    let rows = ctx.trace_infallible("stage:prepare-export", async { 1..=5 }).await?;
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
    #[error("the amount must not exceed 100,000, got {0}")]
    TooMuch(u32),
    /// Nobody knows whether the applicant is good for it.
    #[error("the credit bureau cannot be asked")]
    Bureau(#[from] BureauError),
    /// The step never ran, or what was offered could not be recorded and so was not offered.
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
}

/// What went wrong is answered as problem JSON, with the trace to look for. Causes are in the trace, not in the answer.
impl IntoResponse for OfferError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::TooMuch(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Bureau(_) => StatusCode::BAD_GATEWAY,
            Self::NotRecorded(error) => return HandlerError::from(error).into_response(),
        };
        HandlerError::new(status, self.to_string()).caused_by(&self).into_response()
    }
}
