//! Requests to a small router, in process.

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use http_body_util::BodyExt as _;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use throughline_core::metrics::Metrics;
use throughline_core::{MemoryStore, Throughline};
use throughline_metrics::Prometheus;
use throughline_tower::LayerExt as _;
use tower::{Service as _, ServiceExt as _};

/// What is asked for.
pub const PATH: &str = "/loans/42";

/// A router with nothing around it.
pub fn bare() -> Router {
    Router::new().route("/loans/{id}", get(async || "granted"))
}

/// The router with our layer around it, as in service: a store, and metrics.
///
/// # Errors
/// If it can't be built.
pub fn ours() -> anyhow::Result<(Router, Throughline)> {
    let prometheus = Prometheus::new();
    let throughline = Throughline::builder("bench").store(MemoryStore::new()).metrics(&prometheus).build()?;
    Ok((bare().layer(throughline.layer()), throughline))
}

/// The same with the exporter that `axum-prometheus` uses, so that layers are compared and not recorders.
///
/// # Errors
/// If it can't be built.
pub fn ours_with_the_peers_exporter() -> anyhow::Result<(Router, Throughline, PrometheusHandle)> {
    let recorder = PrometheusBuilder::new()
        .set_buckets(&[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])?
        .build_recorder();
    let handle = recorder.handle();
    let builder = Throughline::builder("bench").store(MemoryStore::new());
    let throughline = builder.metrics(Metrics::to(recorder)).build()?;
    Ok((bare().layer(throughline.layer()), throughline, handle))
}

/// Sends so many requests for a path, one after the other, and reads each answer to its end.
///
/// # Errors
/// If one is not answered as it should.
pub async fn serve(router: Router, path: &str, requests: usize) -> anyhow::Result<()> {
    let mut service = router.into_service::<Body>();
    for _ in 0..requests {
        let request = Request::get(path).header("host", "loans.example").header("accept", "*/*");
        let answer = service.ready().await?.call(request.body(Body::empty())?).await?;
        anyhow::ensure!(answer.status() == StatusCode::OK, "answered with {}", answer.status());
        let body = answer.into_body().collect().await.context("the body")?;
        std::hint::black_box(body.to_bytes());
    }
    Ok(())
}
