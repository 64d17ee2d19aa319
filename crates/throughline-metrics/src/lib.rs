#![doc = include_str!("lib.md")]

mod buckets;
mod family;
mod format;
mod histogram;
#[cfg(feature = "axum")]
mod http;
mod name;
mod prometheus;
mod registry;
mod render;
mod snapshot;
mod system;

pub use format::ExpositionFormat;
#[cfg(feature = "axum")]
pub use http::{MetricsServer, ServeError};
pub use prometheus::{InstallError, Prometheus, PrometheusBuilder, PrometheusError, PrometheusRecorder};

/// The code of the README, as a doc test.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;
