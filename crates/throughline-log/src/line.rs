//! What a line says, whatever it is written as.

use serde_json::{Map, Value};
use throughline_core::{ErrorInfo, SpanId, Timestamp, TraceId};
use tracing::Level;

/// One line. Everything in it is redacted.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    pub(crate) at: Timestamp,
    pub(crate) level: Level,
    pub(crate) message: &'a str,
    pub(crate) target: &'a str,
    pub(crate) ids: Ids<'a>,
    pub(crate) error: Option<&'a ErrorInfo>,
    pub(crate) metadata: &'a Map<String, Value>,
    /// The spans of others around it, from the outermost to the innermost.
    pub(crate) spans: &'a [(&'a str, &'a Map<String, Value>)],
}

/// Whose line it is.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Ids<'a> {
    pub(crate) trace: Option<TraceId>,
    pub(crate) span: Option<SpanId>,
    pub(crate) workflow: Option<&'a str>,
    pub(crate) correlation: Option<&'a str>,
    pub(crate) request: Option<&'a str>,
    pub(crate) session: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
}

impl<'a> Ids<'a> {
    /// Those that are known, as they are called in a line.
    pub(crate) fn known(self) -> impl Iterator<Item = (&'static str, Id<'a>)> {
        let of_run = [("trace_id", self.trace.map(Id::Trace)), ("span_id", self.span.map(Id::Span))];
        let others = self.beside_the_run().map(|(name, id)| (name, Id::Text(id)));
        of_run.into_iter().filter_map(|(name, id)| Some((name, id?))).chain(others)
    }

    /// The same without those of the run and the step.
    pub(crate) fn beside_the_run(self) -> impl Iterator<Item = (&'static str, &'a str)> {
        let all = [
            ("workflow", self.workflow),
            ("correlation_id", self.correlation),
            ("request_id", self.request),
            ("session_id", self.session),
            ("user_id", self.user),
        ];
        all.into_iter().filter_map(|(name, id)| Some((name, id?)))
    }
}

/// An id as a line has it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Id<'a> {
    Trace(TraceId),
    Span(SpanId),
    /// What others called it, or a pseudonym of that.
    Text(&'a str),
}

/// The level as lines have it.
pub(crate) fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}
