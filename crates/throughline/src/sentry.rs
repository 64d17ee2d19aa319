//! Failures and panics as reports to Sentry: each once, with its trace and what led to it, redacted.
//!
//! ```no_run
//! use throughline::Throughline;
//! use throughline::sentry::Sentry;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let sentry = Sentry::from_env()?.story_url("https://traces.example.org/runs").report_panics().build()?;
//! let _guard = sentry.init();
//! let throughline = Throughline::builder("loan-service").sink(sentry).build()?;
//! # Ok(())
//! # }
//! ```

pub use throughline_sentry::{Sentry, SentryBuilder, SentryError, SentryGuard, SentryLayer};
