//! The HTTP layer from today's parts: request ids, tracing and the panic guard of `tower-http`, metrics of
//! `axum-prometheus`.

use axum::Router;
use axum_prometheus::metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use axum_prometheus::{
    AXUM_HTTP_REQUESTS_DURATION_SECONDS, PrometheusMetricLayer, PrometheusMetricLayerBuilder,
    utils::SECONDS_DURATION_BUCKETS,
};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::TraceLayer;

/// Puts the stack around a router, as one layer. It installs the recorder of the process: once only. The exporter's
/// upkeep is the caller's to do.
///
/// # Errors
/// If there is a recorder already.
pub fn around(router: Router) -> anyhow::Result<(Router, PrometheusHandle)> {
    let (metrics, handle) = metrics()?;
    let stack = ServiceBuilder::new()
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(TraceLayer::new_for_http())
        .layer(metrics)
        .layer(CatchPanicLayer::new());
    Ok((router.layer(stack), handle))
}

/// The layer of `axum-prometheus`, as the recorder of the process: once only.
///
/// # Errors
/// If there is a recorder already.
pub fn metrics() -> anyhow::Result<(PrometheusMetricLayer<'static>, PrometheusHandle)> {
    // What `PrometheusMetricLayer::pair` does, but for its task for the upkeep, which wants a runtime of its own.
    let duration = Matcher::Full(AXUM_HTTP_REQUESTS_DURATION_SECONDS.to_owned());
    let exporter = PrometheusBuilder::new().set_buckets_for_metric(duration, SECONDS_DURATION_BUCKETS)?;
    let handle = exporter.install_recorder()?;
    let kept = handle.clone();
    let (metrics, _) = PrometheusMetricLayerBuilder::new().with_metrics_from_fn(move || kept).build_pair();
    Ok((metrics, handle))
}
