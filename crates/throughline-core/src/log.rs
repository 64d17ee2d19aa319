//! Lines of logs, as those who write them hand them to exporters.

use serde_json::{Map, Value};
use throughline_model::{ErrorInfo, SpanId, Timestamp, TraceId};

/// A line of a log. All of it is redacted.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// When it was logged.
    pub at: Timestamp,
    /// How much it matters.
    pub level: tracing::Level,
    /// What it says.
    pub message: String,
    /// What part of the program it comes from.
    pub target: String,
    /// The run that it belongs to.
    pub trace: Option<TraceId>,
    /// The span in it.
    pub span: Option<SpanId>,
    /// Other ids, as they are called in a line: `workflow`, `request_id`, `user_id`.
    pub ids: Vec<(&'static str, String)>,
    /// The error that the line reports.
    pub error: Option<ErrorInfo>,
    /// Its other fields.
    pub metadata: Map<String, Value>,
}

/// Takes lines of logs, to send them elsewhere.
pub trait LogLineSink: Send + Sync + 'static {
    /// Called with each line that is written, on the thread that logs it. It must be quick and must not block. If
    /// it logs something itself, it is called again with that line.
    fn on_line(&self, line: LogLine);
}
