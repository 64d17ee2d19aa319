//! The service: a router with one layer around it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use throughline::{LayerExt as _, Throughline, Traced};
use tokio::sync::{Notify, watch};

use crate::agent::{Agent, RuleBased};
use crate::application::{Application, LoanError};
use crate::saga::approve;

#[derive(Clone)]
struct Service {
    throughline: Throughline,
    agent: Arc<dyn Agent>,
    desk: Desk,
}

/// The people and the post office around the service.
#[derive(Clone, Default)]
pub(crate) struct Desk {
    decided: Arc<watch::Sender<bool>>,
    /// Told when an application has come to the desk.
    pub(crate) waiting: Arc<Notify>,
    /// Told when a notice is on its way that will take for ever.
    pub(crate) slow_notice: Arc<Notify>,
}

impl Desk {
    /// Waits until somebody has looked at the application. For all but one of them that is at once.
    pub(crate) async fn wait(&self, loan: &str) {
        if loan != crate::clients::UNDECIDED {
            return;
        }
        self.waiting.notify_one();
        let _ = self.decided.subscribe().wait_for(|decided| *decided).await;
    }

    /// Grants all that waits.
    pub(crate) fn decide_all(&self) {
        self.decided.send_replace(true);
    }

    /// Sends the applicant a notice. One of them lives where no post goes.
    pub(crate) async fn deliver_notice(&self, loan: &str) {
        if loan == crate::clients::IMPATIENT {
            self.slow_notice.notify_one();
            std::future::pending::<()>().await;
        }
    }
}

/// The router, and the desk that its loans pass over.
pub(crate) fn app(throughline: &Throughline) -> (Router, Desk) {
    let desk = Desk::default();
    let service =
        Service { throughline: throughline.clone(), agent: Arc::new(RuleBased), desk: desk.clone() };
    let router = Router::new()
        .route("/loans", post(apply))
        .route("/health", get(|| async { "ok" }))
        .with_state(service)
        .layer(throughline.layer());
    (router, desk)
}

/// Every application is a run of its own, found by its key: the loan.
async fn apply(
    State(service): State<Service>,
    Traced(ctx): Traced,
    Json(application): Json<Application>,
) -> Response {
    let Service { throughline, agent, desk } = service;
    let id = application.id.clone();
    let mut trace_id = None;
    let run =
        throughline.workflow("loan-approval").key(id.clone()).attr("channel", "web").input(&application).run(
            |ctx| {
                trace_id = Some(ctx.trace_id());
                approve(ctx, application, agent, desk)
            },
        );
    let (status, mut body) = match run.await {
        Ok(Ok(offer)) => (StatusCode::OK, json!(offer)),
        Ok(Err(failed)) => {
            let status = match failed.error {
                LoanError::NotRecorded(_) => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            (status, json!({ "refused": failed.error.to_string(), "undone": failed.is_undone() }))
        }
        Err(not_started) => (StatusCode::SERVICE_UNAVAILABLE, json!({ "refused": not_started.to_string() })),
    };
    body["trace_id"] = json!(trace_id);
    body["request_trace_id"] = json!(ctx.trace_id());
    (status, Json(body)).into_response()
}
