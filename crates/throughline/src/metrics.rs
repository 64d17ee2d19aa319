//! Metrics: the [catalogue] of what is measured, and the recorder for Prometheus.
//!
//! ```
//! use axum::{Router, routing::get};
//! use throughline::metrics::Prometheus;
//! use throughline::{LayerExt as _, MemoryStore, Throughline};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let prometheus = Prometheus::new();
//! let throughline =
//!     Throughline::builder("loan-service").store(MemoryStore::new()).metrics(&prometheus).build()?;
//! let app = Router::new().route("/offer", get(|| async { "granted" })).layer(throughline.layer());
//! // `/metrics`, with exemplars that link to runs.
//! let app: Router = prometheus.add_to(app);
//! # Ok(())
//! # }
//! ```
//!
//! Without the feature `metrics`, any recorder of the crate `metrics` will do: see [`Metrics::to`].

pub use throughline_core::metrics::{
    BucketAdvice, CollectorGuard, Counter, CounterFamily, Exemplar, Family, Gauge, GaugeFamily, GaugeGuard,
    Histogram, HistogramFamily, Instrument, Meter, MetricBuckets, MetricExample, MetricFamily, MetricSeries,
    MetricSnapshot, MetricSource, MetricValue, Metrics, MetricsError, OVERFLOW, Profile, ProfileError,
    TARGET, catalogue,
};
#[cfg(feature = "metrics")]
pub use throughline_metrics::{
    ExpositionFormat, InstallError, Prometheus, PrometheusBuilder, PrometheusError, PrometheusRecorder,
};
#[cfg(all(feature = "metrics", feature = "axum"))]
pub use throughline_metrics::{MetricsServer, ServeError};
