//! What became of the lines, as figures.

use std::collections::BTreeMap;

/// What became of the lines so far: accepted = written + pending + dropped.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogReport {
    /// Lines that were logged at a level that is on.
    pub accepted: u64,
    /// Lines that the output took.
    pub written: u64,
    /// Lines that wait for the output.
    pub pending: u64,
    /// Lines that were not written, by reason.
    pub dropped: BTreeMap<LogDropReason, u64>,
    /// What the output said when it failed last, if it has not worked since.
    pub failing: Option<String>,
}

/// Why a line was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogDropReason {
    /// The output is slower than what is logged, and the buffer is full.
    Full,
    /// The output failed: a full disk, a closed pipe.
    Failed,
    /// Its target logs more than its [limit](crate::LogsBuilder::limit) allows.
    RateLimited,
    /// Of its target only one in so many is [wanted](crate::LogsBuilder::sample).
    SampledOut,
}

impl LogDropReason {
    /// The reason in a word, as in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Failed => "failed",
            Self::RateLimited => "rate_limited",
            Self::SampledOut => "sampled_out",
        }
    }
}
