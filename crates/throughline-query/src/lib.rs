//! [`TraceQuery`]: queries about one run, answered from its events alone.
//!
//! ```
//! use throughline_query::Style;
//! use throughline_model::{SpanId, Status, Timestamp, TraceEvent, TraceId};
//! use throughline_query::TraceQuery;
//!
//! let (run, root, step) = (TraceId::from_key("loan-42"), SpanId::random(), SpanId::random());
//! let event = |span, seq, kind: &'static str, status, at| {
//!     let mut event = TraceEvent::new(run, span, kind, Timestamp::from_micros(at), "loan-service");
//!     (event.seq, event.status) = (seq, status);
//!     event.parent_span_id = (span != root).then_some(root);
//!     event
//! };
//! let query = TraceQuery::new(vec![
//!     event(root, 0, "workflow:started", Status::Pending, 0),
//!     event(step, 0, "stage:credit-check", Status::Pending, 10),
//!     event(step, 1, "stage:credit-check", Status::Failed, 30),
//!     event(root, 1, "workflow:failed", Status::Failed, 40),
//! ]);
//!
//! assert_eq!(query.failure().map(|span| span.name().into_owned()).as_deref(), Some("stage:credit-check"));
//! println!("{}", query.explain().render(&Style::plain()));
//! ```

mod cause;
mod compare;
mod decisions;
mod diff;
mod duration;
mod explain;
mod index;
mod kind;
mod known;
mod ledger;
mod problem;
#[cfg(feature = "render")]
mod render;
mod span;
mod standing;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

pub use compare::{Comparison, Difference, DifferenceKind, PutUpWith, Usual};
pub use decisions::{Alternative, Basis, Consequence, Decision, DecisionOutcome, Decisions};
pub use diff::{
    AttrChange, ChoiceChange, Diff, Divergence, DivergenceKind, InputChange, SlowerSpan, StateChange,
    UnmatchedSpan,
};
pub use duration::human_duration;
pub use explain::{
    Cascade, CascadeKind, Cause, CauseKind, Certainty, Explanation, FailureOutcome, OtherFailure, PathStep,
    Recorded, Says, Statement, UpstreamDecision, Verdict,
};
pub use ledger::{
    CompensationEntry, CompensationLedger, CompensationState, OrphanedResource, SagaCompensation,
};
pub use problem::{Problem, ProblemKind};
#[cfg(feature = "render")]
pub use render::{Emphasis, Style, elide, escape, is_unsafe};
pub use span::{Span, SpanSummary};
pub use tree::{Timeline, TimelineEntry, Tree, TreeNode};

use index::Index;
use kind::Kind;
use known::Known;
use throughline_model::{
    InstanceId, Liveness, ReadError, RunState, SpanId, Status, TraceEvent, TraceId, TraceReader, TypeMatch,
};

/// The story of one run: a view of its events, whatever order they came in.
///
/// Creating one never fails. Events that are missing, duplicated or contradictory are reconciled as well as possible and
/// reported by [`problems`](Self::problems). No answer depends on the order of the events that were passed in.
pub struct TraceQuery {
    events: Vec<TraceEvent>,
    index: Index,
    kinds: OnceLock<Vec<Kind>>,
    known: Known,
    /// What is known about the owners of open spans, sorted by instance.
    liveness: Vec<(InstanceId, Liveness)>,
}

impl TraceQuery {
    /// A query about one trace, given its events. If they belong to several traces, those of the trace with the most
    /// events are kept.
    pub fn new(events: Vec<TraceEvent>) -> Self {
        Self {
            index: Index::new(&events),
            events,
            kinds: OnceLock::new(),
            known: Known::default(),
            liveness: Vec::new(),
        }
    }

    /// Reads one run from a store, and the liveness of its instances.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn read(reader: &dyn TraceReader, id: TraceId) -> Result<Self, ReadError> {
        let query = Self::new(reader.trace(id).await?);
        let owners = query.owners_of_open();
        let known: HashMap<_, _> = match owners.is_empty() {
            true => HashMap::new(),
            false => owners.iter().copied().zip(reader.liveness(&owners).await?).collect(),
        };
        Ok(query.with_liveness(|instance| known.get(&instance).copied().unwrap_or(Liveness::Dead)))
    }

    /// Sets the liveness of the instances that own open spans, so that each such span is *running*, *interrupted* or
    /// *unfinished*. The owner of a span is the instance of its latest event; the closure is called once for each owner.
    ///
    /// Without it, imported spans are unfinished and all others are assumed to be running, because all that is known is
    /// that no end was recorded.
    #[must_use]
    pub fn with_liveness(mut self, liveness: impl Fn(InstanceId) -> Liveness) -> Self {
        self.known = Known::default();
        self.liveness = self.owners_of_open().into_iter().map(|owner| (owner, liveness(owner))).collect();
        self
    }

    /// The instances that own open spans, in order.
    fn owners_of_open(&self) -> Vec<InstanceId> {
        let mut owners: Vec<InstanceId> = self.pending().map(|span| span.owner()).collect();
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    fn liveness_of(&self, owner: InstanceId) -> Liveness {
        if owner == InstanceId::NOBODY {
            return Liveness::Dead;
        }
        match self.liveness.binary_search_by_key(&owner, |(instance, _)| *instance) {
            Ok(at) => self.liveness[at].1,
            Err(_) if owner == InstanceId::IMPORTED => Liveness::Imported,
            Err(_) => Liveness::Alive,
        }
    }

    /// All spans, in the order in which they began.
    pub fn spans(&self) -> impl ExactSizeIterator<Item = Span<'_>> + DoubleEndedIterator {
        (0..self.index.len()).map(|index| self.at(index))
    }

    /// The span with this id.
    pub fn span(&self, id: SpanId) -> Option<Span<'_>> {
        self.index.find(id).map(|index| self.at(index))
    }

    /// The root span of the run, by which it stands: that of its [root event](throughline_model::fold::root_event). Where it
    /// is missing, the first span without a parent stands in; `None` only where there are no events.
    pub fn root(&self) -> Option<Span<'_>> {
        self.index.root.map(|root| self.at(root)).or_else(|| self.tops().next())
    }

    /// The spans directly below this one, in the order in which they began.
    pub fn children(&self, id: SpanId) -> impl Iterator<Item = Span<'_>> {
        let children = self.index.find(id).map_or(&[][..], |span| self.index.children_of(span));
        children.iter().map(|index| self.at(*index))
    }

    /// The path from a root down to this span, both included; empty if there is no such span.
    pub fn path(&self, id: SpanId) -> Vec<Span<'_>> {
        let mut path: Vec<_> = std::iter::successors(self.span(id), |span| span.parent()).collect();
        path.reverse();
        path
    }

    /// The root cause of what went wrong, as [`explain`](Self::explain) finds it; `None` if nothing did.
    pub fn failure(&self) -> Option<Span<'_>> {
        self.find_cause().map(|found| self.at(found.cause))
    }

    /// Spans and point events that succeeded, in the order in which they began.
    pub fn successes(&self) -> impl Iterator<Item = Span<'_>> {
        self.spans().filter(|span| span.status() == Status::Success)
    }

    /// Spans that have not ended, in the order in which they began.
    pub fn pending(&self) -> impl Iterator<Item = Span<'_>> {
        self.spans().filter(|span| span.status() == Status::Pending)
    }

    /// Spans with an event of this type, or of all types with a prefix: `stage:*`.
    pub fn find_by_type(&self, pattern: &str) -> impl Iterator<Item = Span<'_>> {
        let wanted = TypeMatch::parse(pattern);
        self.spans().filter(move |span| span.events().any(|event| wanted.matches(&event.event_type)))
    }

    /// Spans with an event that carries this tag.
    pub fn find_by_tag<'q>(&'q self, tag: &str) -> impl Iterator<Item = Span<'q>> {
        self.spans().filter(move |span| span.has_tag(tag))
    }

    /// Spans that undo others, in the order in which they began. The
    /// [compensation ledger](Self::compensation_ledger) says whether they succeeded.
    pub fn compensations(&self) -> impl Iterator<Item = Span<'_>> {
        self.spans().filter(Span::is_compensation)
    }

    /// The time from the first event to the last.
    pub fn duration(&self) -> Duration {
        match (self.index.timeline.first(), self.index.timeline.last()) {
            (Some(first), Some(last)) => {
                self.events[*last as usize].timestamp.since(self.events[*first as usize].timestamp)
            }
            _ => Duration::ZERO,
        }
    }

    /// The data problems of the run; empty if the record is sound.
    pub fn problems(&self) -> &[Problem] {
        &self.index.problems
    }

    /// The event at a place of the timeline.
    fn event_at(&self, place: u32) -> &TraceEvent {
        &self.events[self.index.timeline[place as usize] as usize]
    }

    fn ordered_events(&self) -> impl Iterator<Item = &TraceEvent> {
        self.index.timeline.iter().map(|at| &self.events[*at as usize])
    }

    /// Microseconds from the first event of the run.
    fn offset_us(&self, event: &TraceEvent) -> u64 {
        let since = event.timestamp.since(self.event_at(0).timestamp);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// What kind of span each is.
    fn kinds(&self) -> &[Kind] {
        self.kinds.get_or_init(|| self.spans().map(|span| Kind::of(span.events())).collect())
    }

    fn at(&self, index: u32) -> Span<'_> {
        Span { query: self, index }
    }

    fn tops(&self) -> impl Iterator<Item = Span<'_>> + Clone {
        self.index.tops.iter().map(|index| self.at(*index))
    }

    /// Whether a span runs, was interrupted or is unfinished.
    fn open_state(&self, owner: InstanceId) -> RunState {
        RunState::of(Status::Pending, self.liveness_of(owner))
    }
}

impl fmt::Debug for TraceQuery {
    /// The run and its size; the events themselves would fill screens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceQuery")
            .field("trace_id", &self.index.timeline.first().map(|at| self.events[*at as usize].trace_id))
            .field("events", &self.index.timeline.len())
            .field("spans", &self.index.len())
            .finish_non_exhaustive()
    }
}

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
