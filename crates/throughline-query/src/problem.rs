//! What is wrong with a record: notes, never errors.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use throughline_model::SpanId;

/// A data problem: something missing or contradictory in the events of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// What is wrong.
    pub kind: ProblemKind,
    /// How often.
    pub count: usize,
    /// Some of the spans concerned, at most [`Problem::EXAMPLES`].
    pub spans: Vec<SpanId>,
}

impl Problem {
    /// How many spans are named as examples.
    pub const EXAMPLES: usize = 3;
}

/// What can be wrong with the events of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// No span is the root of the run: its start was lost, or has not arrived yet. The first span without a parent stands
    /// in.
    NoRoot,
    /// More than one span is a root; the first counts as the root of the run.
    SeveralRoots,
    /// The parent of a span is not among the events; the span is shown at the top.
    Orphan,
    /// Spans are each other's ancestors; the earliest of them is shown at the top.
    Cycle,
    /// A span began before its parent: clocks disagree, or events were lost.
    ChildBeforeParent,
    /// A span ended before it began: clocks disagree, or the times are wrong. How long it took is not known, unless its
    /// emitter measured it.
    EndBeforeStart,
    /// An event is there more than once; it counts once.
    Duplicate,
    /// Two events have the same identity and different content; the first in order is kept.
    Conflict,
    /// The start of a span is missing.
    NoStart,
    /// A span ended more than once; the last end counts.
    SeveralEnds,
    /// An event belongs to another trace and was left out.
    OtherTrace,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count;
        let many = count != 1;
        let spans = if many { "spans" } else { "span" };
        let events = if many { "events" } else { "event" };
        match self.kind {
            ProblemKind::NoRoot => write!(f, "the root of the run is missing; the first span stands in"),
            ProblemKind::SeveralRoots => write!(f, "{count} {spans} besides the first are roots"),
            ProblemKind::Orphan => {
                write!(f, "{count} {spans} whose parent is missing, shown at the top")
            }
            ProblemKind::Cycle => {
                write!(f, "{count} cycle{} of parents, cut at the earliest span", if many { "s" } else { "" })
            }
            ProblemKind::ChildBeforeParent => write!(f, "{count} {spans} started before their parent"),
            ProblemKind::EndBeforeStart => {
                write!(f, "{count} {spans} ended before {} start", if many { "their" } else { "its" })
            }
            ProblemKind::Duplicate => write!(f, "{count} {events} appeared more than once, counted once"),
            ProblemKind::Conflict => {
                write!(f, "{count} {events} with an identity that another event has, ignored")
            }
            ProblemKind::NoStart => write!(f, "{count} {spans} without a start"),
            ProblemKind::SeveralEnds => write!(f, "{count} {spans} ended more than once, the last counts"),
            ProblemKind::OtherTrace => write!(f, "{count} {events} of another trace, ignored"),
        }?;
        let examples: Vec<String> = self.spans.iter().map(SpanId::to_string).collect();
        let more = if count > examples.len() { ", …" } else { "" };
        write!(f, " ({}{more})", examples.join(", "))
    }
}

/// Collects problems by kind.
#[derive(Default)]
pub(super) struct Problems(BTreeMap<ProblemKind, Problem>);

impl Problems {
    pub(super) fn note(&mut self, kind: ProblemKind, span: SpanId) {
        let problem = self.0.entry(kind).or_insert_with(|| Problem { kind, count: 0, spans: Vec::new() });
        problem.count += 1;
        // The least ids are kept, so that the examples do not depend on the order in which they were met.
        if let Err(at) = problem.spans.binary_search(&span) {
            problem.spans.insert(at, span);
            problem.spans.truncate(Problem::EXAMPLES);
        }
    }

    pub(super) fn into_list(self) -> Vec<Problem> {
        self.0.into_values().collect()
    }
}
