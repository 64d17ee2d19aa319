//! What events amount to: how a span stands, how a run stands, what a run did so far.
//!
//! These rules exist here and nowhere else, so that every store, every query and every resumption means the same by
//! them. All of them take events in any order, and an event that comes again changes nothing. (Two *different* events
//! of one [identity](EventId) are another matter: a store keeps the one that came first.)
//!
//! - [`Position`] is the place of an event among all events, [`place_in_span`] the one within its span.
//! - [`SpanFold`] is one span, [`Spans`] all spans of a run, an event at a time; [`by_span`] groups all events at once.
//! - [`root_event`] says which span is the root of a run.
//! - [`RunFold`] is how a run stands, in the few marks that a store keeps in the row of a run. Begin with its
//!   documentation if you write a store; [`RunSummary::of`](crate::RunSummary::of) is the definition it follows. [`RunRow`]
//!   is what a store keeps of it that keeps JSON.
//! - [`Causes`] says which failure brought a run down, [`cause_of_run`] what that is in a line, [`cause_of_span`] the same
//!   of one span.
//! - [`History`] is what a run did so far, for those that resume it or try a part of it again.

mod cause;
mod detached;
mod group;
mod history;
mod mark;
mod root;
mod row;
mod run;
mod sagas;
mod span;
mod standing;
mod summary;
#[cfg(test)]
mod tests;

pub use cause::{
    Agreement, Causes, Found, Ground, SpanFacts, agreement, cause_of_run, cause_of_span, is_time_out,
    may_be_chance, says_why,
};
pub use group::by_span;
pub use history::{History, PastSpan};
pub use mark::{Mark, Placed};
pub use root::root_event;
pub use row::{RowCause, RowFold, RunRow, outline};
pub use run::{Added, Change, RootMarks, RunFold, RunMarks, RunStanding};
pub use sagas::PastSagaStep;
pub use span::{SpanFold, Spans};
pub use summary::run_matches;

use crate::{EventId, InstanceId, Status, Timestamp, TraceEvent};

/// The place of an event among all events: by (timestamp, instance, n), and where these are equal by identity,
/// so that a start stands before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// When it happened.
    pub timestamp: Timestamp,
    /// Who emitted it.
    pub instance: InstanceId,
    /// Its place within its instance.
    pub n: u64,
    /// Which event it is.
    pub id: EventId,
}

impl Position {
    /// The place of an event.
    pub fn of(event: &TraceEvent) -> Self {
        Self { timestamp: event.timestamp, instance: event.instance, n: event.n, id: event.id() }
    }

    /// The place of the event within its span, see [`place_in_span`].
    pub fn in_span(&self) -> (u32, Self) {
        (self.id.seq, *self)
    }
}

/// The order of the events of one span: `seq` comes first, for the clocks of two instances may differ.
pub fn place_in_span(event: &TraceEvent) -> (u32, Position) {
    Position::of(event).in_span()
}

/// Of the spans that decide how a run stands, those of the greatest rank do: what is open, else what failed, else
/// what was cancelled.
pub const fn rank(status: Status) -> u8 {
    match status {
        Status::Pending => 3,
        Status::Failed => 2,
        Status::Cancelled => 1,
        Status::Success => 0,
    }
}
