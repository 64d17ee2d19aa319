//! [`Tree`] and [`Timeline`]: what happened, by structure and by time.

use serde::Serialize;

use super::{Decision, Problem, Span, SpanSummary, TraceQuery};
use throughline_model::{RunSummary, SpanId, Status, Text, Timestamp, TraceEvent};

/// The spans of a run as a tree, row by row: a span's children follow it, one level deeper. Returned by
/// [`TraceQuery::tree`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Tree {
    /// The run; `None` if there are no events.
    pub run: Option<RunSummary>,
    /// The spans, parents before their children, siblings in the order in which they began.
    pub nodes: Vec<TreeNode>,
    /// Data problems: what is missing or contradictory in the events.
    pub problems: Vec<Problem>,
}

/// A span of a [`Tree`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct TreeNode {
    /// How many spans enclose it.
    pub depth: usize,
    /// The span.
    pub span: SpanSummary,
    /// What was chosen, if it is a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choice: Option<Text>,
}

/// The events of a run in the order of time. Returned by [`TraceQuery::timeline`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Timeline {
    /// The run; `None` if there are no events.
    pub run: Option<RunSummary>,
    /// Microseconds from the first event to the last.
    pub duration_us: u64,
    /// The events, each once.
    pub entries: Vec<TimelineEntry>,
    /// The spans that they belong to, in the order in which they began.
    pub spans: Vec<TreeNode>,
    /// Data problems: what is missing or contradictory in the events.
    pub problems: Vec<Problem>,
}

/// An event of a [`Timeline`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TimelineEntry {
    /// When it happened.
    pub at: Timestamp,
    /// The same, in microseconds from the first event.
    pub offset_us: u64,
    /// Its span.
    pub span_id: SpanId,
    /// Its position within the span.
    pub seq: u32,
    /// What happened.
    pub event_type: Text,
    /// Its status.
    pub status: Status,
}

impl TraceQuery {
    /// The spans as a tree. It contains every span, even of a broken record: spans without a parent are at the top.
    pub fn tree(&self) -> Tree {
        Tree {
            run: self.summary(),
            nodes: self.index.outline().rows.iter().map(|index| node(self.at(*index))).collect(),
            problems: self.problems().to_vec(),
        }
    }

    /// All events in the order of time, each once.
    pub fn timeline(&self) -> Timeline {
        let entry = |event: &TraceEvent| TimelineEntry {
            at: event.timestamp,
            offset_us: self.offset_us(event),
            span_id: event.span_id,
            seq: event.seq,
            event_type: event.event_type.clone(),
            status: event.status,
        };
        Timeline {
            run: self.summary(),
            duration_us: u64::try_from(self.duration().as_micros()).unwrap_or(u64::MAX),
            entries: self.ordered_events().map(entry).collect(),
            spans: self.spans().map(node).collect(),
            problems: self.problems().to_vec(),
        }
    }
}

fn node(span: Span<'_>) -> TreeNode {
    TreeNode {
        depth: span.depth(),
        choice: span.is_decision().then(|| Decision::of(span).choice).flatten(),
        span: span.summary(),
    }
}
