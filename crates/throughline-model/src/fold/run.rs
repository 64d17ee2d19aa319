//! [`RunFold`]: how a run stands.

use std::collections::HashSet;

use super::detached::Detached;
use super::root::Root;
use super::{Mark, Position, SpanFold};
use crate::names::{SAGA_COMPENSATING, tags};
use crate::{InstanceId, SpanId, Status, Timestamp, TraceEvent};

/// How a run stands, an event at a time, in whatever order they come: [`RunSummary::of`](crate::RunSummary::of) for
/// those that do not want to read all events of a run again with each new one.
///
/// Of the events it keeps a handful of [marks](Mark), in which a store finds them again by a key of its own: the number
/// of a row, the id of a document, the event itself.
///
/// # How a store keeps the row of a run
///
/// 1. [`add`](Self::add) each event that is new to the store. Adding an event twice changes nothing.
/// 2. Where the answer names a [missing span](Added::missing_span), read all events of that span from the store and
///    hand their marks to [`add_missing`](Self::add_missing). This is rare: the root span is another one from now on,
///    or a span turns out to be detached from the run.
/// 3. Where the answer is a [`Change`], write the row: [`started`](Self::started), [`head`](Self::head) (the service),
///    [`workflow`](Self::workflow), [`correlation_id`](Self::correlation_id), [`standing`](Self::standing),
///    [`ended`](Self::ended), [`duration_us`](Self::duration_us), [`is_compensating`](Self::is_compensating) and
///    [`has_detached`](Self::has_detached); and, as keys, the marks that [`RunMarks`] wants back: [`root`](Self::root),
///    `head`, [`last`](Self::last), [`first_failure`](Self::first_failure), [`names_workflow`](Self::names_workflow)
///    and [`names_correlation_id`](Self::names_correlation_id).
/// 4. A fold that is no longer in memory is [restored](Self::restore) from the row.
///
/// A list of runs is then a list of rows. The state of a run is
/// [`RunState::of`](crate::RunState::of) its status and the liveness of its owner.
///
/// ```
/// use throughline_model::fold::{Change, RunFold};
/// use throughline_model::{SpanId, Status, Timestamp, TraceEvent, TraceId};
///
/// let (run, root) = (TraceId::from_key("loan-42"), SpanId::from_u64(1).ok_or("a span id is not zero")?);
/// let event = |seq, status, at| {
///     let mut event = TraceEvent::new(run, root, "workflow:started", Timestamp::from_micros(at), "loan-service");
///     (event.seq, event.status) = (seq, status);
///     event
/// };
/// let mut fold = RunFold::new();
/// assert_eq!(fold.add(1, &event(1, Status::Success, 30)).change, Change::Everything);
/// assert_eq!(fold.add(2, &event(0, Status::Pending, 10)).change, Change::Everything);
/// assert_eq!(fold.add(2, &event(0, Status::Pending, 10)).change, Change::Nothing);
/// assert_eq!(fold.ended(), Some(Timestamp::from_micros(30)));
/// assert_eq!(fold.head().map(|mark| mark.key), Some(2));
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFold<K> {
    pub(super) started: Option<Timestamp>,
    pub(super) root: Root<K>,
    pub(super) names_workflow: Option<Mark<K>>,
    pub(super) names_correlation_id: Option<Mark<K>>,
    pub(super) first_failure: Option<Mark<K>>,
    pub(super) detached: Detached<K>,
    pub(super) is_compensating: bool,
}

/// What of a run is different after an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Change {
    /// Nothing.
    #[default]
    Nothing,
    /// How it goes: standing, end, duration, first failure, whether it is being undone, what is detached.
    Course,
    /// What it is, too: anything may be different.
    Everything,
}

/// What [`RunFold::add`] answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "the events of a missing span are still to be added"]
pub struct Added {
    /// What of the run is different.
    pub change: Change,
    /// A span that the state of the run depends on from now on. The fold has not kept the events of it that came
    /// before: hand the marks of all of them to [`RunFold::add_missing`].
    pub missing_span: Option<SpanId>,
}

/// How a run stands, and in whose hand it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunStanding {
    /// `pending` while the run is open.
    pub status: Status,
    /// The instance that has it in hand; its liveness says how an open run stands.
    pub owner: InstanceId,
}

/// What a store hands to [`RunFold::restore`]: what it kept in the row of a run.
#[derive(Debug, Clone)]
pub struct RunMarks<K> {
    /// When its earliest event happened.
    pub started: Timestamp,
    /// What was known of the root span; `None` if there was no root.
    pub root: Option<RootMarks<K>>,
    /// If there was no root, all events of the run.
    pub rootless: Vec<Mark<K>>,
    /// If anything was [detached](RunFold::has_detached), the last event (or all) of each span of which an event
    /// [is detached](TraceEvent::is_detached).
    pub detached: Vec<Mark<K>>,
    /// What those events that are detached [tried again](TraceEvent::retried).
    pub retried: HashSet<SpanId>,
    /// What [`RunFold::names_workflow`] was.
    pub names_workflow: Option<Mark<K>>,
    /// What [`RunFold::names_correlation_id`] was.
    pub names_correlation_id: Option<Mark<K>>,
    /// What [`RunFold::first_failure`] was.
    pub first_failure: Option<Mark<K>>,
    /// What [`RunFold::is_compensating`] was.
    pub is_compensating: bool,
}

/// The root span of a run, in what a store kept of it.
#[derive(Debug, Clone)]
pub struct RootMarks<K> {
    /// What [`RunFold::root`] was.
    pub root: Mark<K>,
    /// What [`RunFold::head`] was.
    pub head: Mark<K>,
    /// What [`RunFold::last`] was.
    pub last: Mark<K>,
}

impl<K> Default for RunFold<K> {
    fn default() -> Self {
        Self {
            started: None,
            root: Root::default(),
            names_workflow: None,
            names_correlation_id: None,
            first_failure: None,
            detached: Detached::default(),
            is_compensating: false,
        }
    }
}

impl<K: Clone> RunFold<K> {
    /// A run of which no event has come.
    pub fn new() -> Self {
        Self::default()
    }

    /// The fold that a store kept these marks of.
    pub fn restore(marks: RunMarks<K>) -> Self {
        let mut fold = Self {
            started: Some(marks.started),
            names_workflow: marks.names_workflow,
            names_correlation_id: marks.names_correlation_id,
            first_failure: marks.first_failure,
            is_compensating: marks.is_compensating,
            ..Self::default()
        };
        match marks.root {
            Some(root) => fold.root = Root::of_marks(root),
            None => marks.rootless.into_iter().for_each(|mark| fold.root.add_rootless(mark)),
        }
        for span in marks.retried {
            fold.detached.retry(span);
        }
        for mark in marks.detached {
            fold.detached.keep_last(mark);
        }
        fold
    }

    /// Records an event, which will be found again by this key.
    pub fn add(&mut self, key: K, event: &TraceEvent) -> Added {
        let at = Position::of(event);
        let mark = || Mark::of(key.clone(), event);
        let mut change = Change::Nothing;
        if self.started.is_none_or(|started| event.timestamp < started) {
            self.started = Some(event.timestamp);
            change = Change::Everything;
        }
        if keep_earliest(&mut self.names_workflow, at, event.workflow.is_some(), mark)
            | keep_earliest(&mut self.names_correlation_id, at, event.correlation_id.is_some(), mark)
        {
            change = Change::Everything;
        }
        if keep_earliest(&mut self.first_failure, at, event.status == Status::Failed, mark) {
            change = change.max(Change::Course);
        }
        let compensates = || event.event_type == SAGA_COMPENSATING || event.has_tag(tags::COMPENSATION);
        if !self.is_compensating && compensates() {
            self.is_compensating = true;
            change = change.max(Change::Course);
        }
        let (of_root, is_new_root) = self.root.add(at, event, mark);
        let (of_detached, is_new_detached) = self.add_detached(event, mark);
        Added {
            change: change.max(of_root).max(of_detached),
            missing_span: (is_new_root || is_new_detached).then_some(event.span_id),
        }
    }

    /// Adds an event to the detached spans if it belongs to one; says whether this span was not known to be detached,
    /// and earlier events of it were not kept.
    fn add_detached(&mut self, event: &TraceEvent, mark: impl Fn() -> Mark<K>) -> (Change, bool) {
        let is_detached = event.is_detached();
        let mut changed = false;
        if is_detached {
            for span in event.retried() {
                changed |= self.detached.retry(span);
            }
        } else if !self.detached.contains(event.span_id) {
            return (Change::Nothing, false);
        }
        let is_new = !self.detached.contains(event.span_id);
        let of_root = self.root.span_of(event.span_id).map(SpanFold::last);
        let is_incomplete = is_new && of_root.is_none();
        changed |= self.detached.keep_last(of_root.cloned().unwrap_or_else(mark));
        (if changed { Change::Course } else { Change::Nothing }, is_incomplete)
    }

    /// Adds the events of a [missing span](Added::missing_span), all that there are of it.
    pub fn add_missing(&mut self, marks: impl IntoIterator<Item = Mark<K>>) {
        for mark in marks {
            if self.detached.contains(mark.span_id()) {
                self.detached.keep_last(mark.clone());
            }
            self.root.add_missing(mark);
        }
    }
}

/// Keeps the earlier of two events; says whether the one that was kept was replaced.
fn keep_earliest<K>(
    kept: &mut Option<Mark<K>>,
    at: Position,
    counts: bool,
    mark: impl FnOnce() -> Mark<K>,
) -> bool {
    let replace = counts && kept.as_ref().is_none_or(|kept| at < kept.position);
    if replace {
        *kept = Some(mark());
    }
    replace
}
