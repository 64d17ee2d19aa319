use std::time::Duration;

use axum::{Json, Router, routing::post};
use serde::{Deserialize, Serialize};
use throughline::{HandlerError, LayerExt as _, SqliteStore, Throughline, Traced};
use tokio::net::TcpListener;

#[derive(Deserialize)]
struct Application {
    income: u32,
    amount: u32,
}

#[derive(Serialize)]
struct Offer {
    rate_percent: f64,
}

#[derive(Debug, thiserror::Error)]
#[error("the credit bureau answered with status {status}")]
struct BureauError {
    status: u16,
}

// `?` converts any error into a `HandlerError`, which responds with problem JSON and the id of the trace to look up.
async fn apply(
    Traced(ctx): Traced,
    Json(application): Json<Application>,
) -> Result<Json<Offer>, HandlerError> {
    // The first `?` is for a step that never ran, the second for the step's own error.
    let rate_percent = ctx.trace("stage:credit-check", credit_check(&application)).await??;
    Ok(Json(Offer { rate_percent }))
}

/// Stands in for a credit bureau, which fails for anyone without an income.
async fn credit_check(application: &Application) -> Result<f64, BureauError> {
    match application {
        Application { income: 0, .. } => Err(BureauError { status: 500 }),
        Application { income, amount } => Ok(if amount > income { 5.9 } else { 3.2 }),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let throughline = Throughline::builder("loan-service").store(SqliteStore::new("traces.db")).build()?;
    let app = Router::new().route("/loans", post(apply)).layer(throughline.layer());

    let address = std::env::var("ADDRESS").unwrap_or_else(|_| "127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;

    println!("{}", throughline.shutdown(Duration::from_secs(5)).await);
    Ok(())
}
