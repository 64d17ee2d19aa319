//! What happened in runs, written for other tools and for people who have no store: [`markdown`], [`mermaid`], [`perfetto`],
//! and [`page`], a file that a browser shows.

pub(crate) mod anonymous;
pub(crate) mod markdown;
pub(crate) mod mermaid;
pub(crate) mod page;
pub(crate) mod perfetto;

use throughline_core::query::{SpanSummary, TraceQuery};
use throughline_core::{RunState, RunSummary};

use crate::output::{kind_of, name_of};

/// A run to be told of.
pub(crate) struct Story {
    pub(crate) run: RunSummary,
    pub(crate) query: TraceQuery,
    /// The last good run of the workflow, if this one did not end well and no run was chosen.
    pub(crate) good: Option<Box<Story>>,
}

impl Story {
    /// The story of these events of one run; `None` if there are none.
    pub(crate) fn of(query: TraceQuery) -> Option<Self> {
        query.summary().map(|run| Self { run, query, good: None })
    }

    /// What the run is called: its kind and its key.
    pub(crate) fn title(&self) -> String {
        let (kind, name) = (kind_of(&self.run), name_of(&self.run));
        if self.run.correlation_id.is_some() && !kind.is_empty() { format!("{kind} {name}") } else { name }
    }
}

/// The sign of a state.
fn sign(state: RunState) -> &'static str {
    match state {
        RunState::Succeeded => "✓",
        RunState::Failed => "✗",
        RunState::Cancelled => "⊘",
        RunState::Interrupted => "!",
        RunState::Running => "●",
        RunState::Unfinished => "?",
    }
}

/// Why a span failed, in a line.
fn error_of(span: &SpanSummary) -> Option<String> {
    span.error.as_ref().map(|error| format!("{}: {}", error.kind, error.message))
}
