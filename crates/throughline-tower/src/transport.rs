//! Calls to functions over HTTP, over a Unix socket and in process, and where their time goes.
//!
//! A [`Caller`] calls functions by name and measures each call from outside: what it did itself (serialising, reading
//! the response) by its own clock, and what the callee did by the callee's, which reports it in `Server-Timing`. The rest
//! of the round trip was the transport. No two clocks are compared.
//!
//! A [`Profiler`] collects calls into a [`ProfileReport`], an [`Analyzer`] says what the report means and what to do, and
//! an [`Inspector`] shows single calls while you develop.

mod analyzer;
mod call;
mod caller;
mod connect;
mod error;
mod inspector;
mod measure;
mod printer;
mod profiler;
mod record;
mod report;
mod writer;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use analyzer::{Analysis, Analyzer, Finding, FindingKind};
pub use caller::{Call, Caller, CallerError};
pub use error::{CallError, Callee, Problem};
pub use inspector::{InspectedMessage, Inspection, Inspector};
pub use profiler::Profiler;
pub use record::{CallOutcome, CallRecord, CallTimes, CalleeTimes, Part};
pub use report::{FunctionProfile, PartProfile, Percentiles, ProfileReport, Sizes};

/// How a callee is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// HTTP over TCP.
    Http,
    /// HTTP over a Unix domain socket.
    Ipc,
    /// In the same process: no socket at all.
    Direct,
}

impl Transport {
    /// `http`, `ipc` or `direct`, as in labels and attributes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Ipc => "ipc",
            Self::Direct => "direct",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
