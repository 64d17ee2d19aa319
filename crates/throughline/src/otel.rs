//! Export over OTLP: what a service records, as traces in what a team has open already, with the same ids.
//!
//! ```
//! use throughline::otel::Otlp;
//! use throughline::{MemoryStore, Throughline};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let throughline = Throughline::builder("loan-service")
//!     .store(MemoryStore::new())
//!     // Reads `OTEL_EXPORTER_OTLP_ENDPOINT` and its kin.
//!     .sink(Otlp::from_env()?)
//!     .build()?;
//! # drop(throughline);
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "otel-sdk")]
pub use throughline_otel::bridge;
pub use throughline_otel::{Exceptions, OpenSpans, Otlp, OtlpLogs, OtlpMetrics, Protocol, Sampler};
