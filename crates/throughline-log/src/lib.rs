//! Structured logs of Throughline: a JSON object a line, redacted, with the ids of the run that it belongs to.
//!
//! [`Logs`] is the handle. Its [layer](Logs::layer) writes what is logged with `tracing`, by this service and by the
//! libraries that it uses; its [sink](Logs::story) writes what happens in runs. Both write to one [`Output`] from a
//! thread of its own, with a bound: whatever the output does, the service neither waits nor stops, and each line that is not
//! written is counted in a [`LogReport`].

mod fields;
mod json;
mod layer;
mod levels;
mod limits;
mod line;
mod logs;
mod ours;
mod output;
mod queue;
mod report;
#[cfg(feature = "files")]
mod rolling;
mod shared;
mod story;
mod text;

pub use levels::{Levels, ParseLevelsError};
pub use logs::{FlushOnDrop, Format, LevelsAnswer, Logs, LogsBuilder, LogsError};
pub use output::Output;
pub use report::{LogDropReason, LogReport};
#[cfg(feature = "files")]
pub use rolling::Rolling;

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
