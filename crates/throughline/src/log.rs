//! Structured logs: a JSON object a line, redacted, with the ids of the run that it belongs to.
//!
//! ```
//! use throughline::Throughline;
//! use throughline::log::{Logs, Output};
//! use tracing_subscriber::layer::SubscriberExt as _;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let logs = Logs::builder("loan-service").output(Output::stderr()).build()?;
//! let _flush = logs.flush_on_drop(std::time::Duration::from_secs(5));
//! let throughline = Throughline::builder("loan-service").sink(logs.story()).build()?;
//! // Beside the layers that are there already.
//! let subscriber = tracing_subscriber::registry().with(logs.layer(throughline.redactor()));
//! # let _guard = tracing::subscriber::set_default(subscriber);
//! # Ok(())
//! # }
//! ```

pub use throughline_core::log::{LogLine, LogLineSink};
#[cfg(feature = "log-files")]
pub use throughline_log::Rolling;
pub use throughline_log::{
    FlushOnDrop, Format, Levels, LevelsAnswer, LogDropReason, LogReport, Logs, LogsBuilder, LogsError,
    Output, ParseLevelsError,
};
