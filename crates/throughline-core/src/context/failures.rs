//! [`Failures`]: what failed in a span, for as long as its error may be on the way up.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::current::{Turn, last_turn};
use throughline_model::fold::{Agreement, agreement};
use throughline_model::{ErrorInfo, Link, Moment, Text, names::errors};

/// How many are kept of a span. Only those can be so many that fail beside each other.
const KEPT: usize = 32;

/// Where in memory the future of a step is.
#[derive(Debug, Clone, Default)]
pub(super) struct Place(Range<usize>);

impl Place {
    /// That of a future which is pinned.
    pub(super) fn of<T>(pinned: &T) -> Self {
        let start = std::ptr::from_ref(pinned).addr();
        Self(start..start.saturating_add(size_of::<T>()))
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.0.start < other.0.end && other.0.start < self.0.end
    }

    /// Whether another one is a part of this one, as far as that is known.
    fn may_hold(&self, other: &Self) -> bool {
        self.0.is_empty() || self.0.start <= other.0.start && other.0.end <= self.0.end
    }
}

/// What failed in a span and may still bring it down. Nothing is done here as long as nothing fails.
///
/// Code that continues after a failure has tolerated it. To tell that from what runs beside the failed step, as in a `join!`,
/// the places of their futures are compared: a branch keeps its place for as long as the others run, while the next step of
/// the same code takes the place that the failed one left. So a failure is forgotten when something begins in its place.
/// Boxes are anywhere: what a task begins in one, or after one failed, counts as the same code.
#[derive(Default)]
pub(super) struct Failures {
    any: AtomicBool,
    list: Mutex<Vec<Failure>>,
}

/// The failure of what ran in a span.
pub(super) struct Failure {
    pub(super) link: Link,
    pub(super) name: Text,
    /// Whether it failed by itself, was cancelled by a time limit, or was given up for an unknown reason.
    pub(super) how: How,
    pub(super) error: ErrorInfo,
    pub(super) started: Moment,
    pub(super) ended: Moment,
    pub(super) place: Place,
    /// The task that it happened in.
    pub(super) task: Option<tokio::task::Id>,
    /// During which poll it happened, if it was in one.
    pub(super) turn: Option<Turn>,
    /// Whether it was to undo something: that is no further attempt at what failed before.
    pub(super) undoes: bool,
    /// Whether something began later, perhaps beside it.
    pub(super) is_followed: bool,
}

/// How something ended that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Failed,
    TimedOut,
    GivenUp,
}

impl Failures {
    fn list(&self) -> MutexGuard<'_, Vec<Failure>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// Something begins in the span, which is `around` it, at this place.
    pub(super) fn begun(&self, place: &Place, around: &Place) {
        if self.has_any() {
            let task = tokio::task::try_id();
            let mut list = self.list();
            list.retain(|failure| {
                let is_inline = around.may_hold(place) && around.may_hold(&failure.place);
                !failure.place.overlaps(place) && (is_inline || failure.task != task)
            });
            list.iter_mut().for_each(|failure| failure.is_followed = true);
            self.any.store(!list.is_empty(), Ordering::Relaxed);
        }
    }

    /// Something failed in the span.
    pub(super) fn add(&self, failure: Failure) {
        let mut list = self.list();
        if list.len() >= KEPT {
            // The first ones and the last ones are those whose errors are given back.
            list.remove(KEPT / 2);
        }
        list.push(failure);
        self.any.store(true, Ordering::Relaxed);
    }

    /// The code says that it continues without what failed like this.
    pub(super) fn tolerated(&self, error: &ErrorInfo) {
        if self.has_any() {
            self.list().retain(|failure| agreement(error, &failure.error).is_none());
        }
    }

    /// What brought the span down that ends with this error, if it is known. Whatever was known of the error down there and
    /// is hidden up here is added to it.
    pub(super) fn explain(&self, error: &mut ErrorInfo) -> Option<Link> {
        if !self.has_any() {
            return None;
        }
        let list = self.list();
        let (agreement, cause) = cause_in(&list, error)?;
        let known = &cause.error;
        // Its type, where the span got it in a box; where it panicked, if it was carried here from another thread.
        let is_the_variant = known.kind.strip_suffix(&*error.kind).is_some_and(|of| of.ends_with("::"));
        if is_the_variant || error.kind == errors::ERROR && agreement == Agreement::Whole {
            error.kind.clone_from(&known.kind);
        }
        if error.kind == errors::PANIC && known.kind == errors::PANIC {
            error.message.clone_from(&known.message);
        }
        Some(cause.link.clone())
    }

    /// What failed in the span beside what began at this moment: in this poll, or at any time if it is not known in which.
    pub(super) fn beside(&self, started: Moment, turn: Option<&Turn>) -> Option<Text> {
        if !self.has_any() {
            return None;
        }
        let list = self.list();
        let is_beside = |failure: &&Failure| {
            let is_now = turn.is_none_or(|turn| failure.turn.as_ref() == Some(turn));
            failure.how == How::Failed && started <= failure.ended && is_now
        };
        list.iter().rfind(is_beside).map(|failure| failure.name.clone())
    }
}

/// The failure whose error this one is, on its way up.
fn cause_in<'f>(list: &'f [Failure], error: &ErrorInfo) -> Option<(Agreement, &'f Failure)> {
    let now = last_turn();
    let mut best: Option<(Agreement, &Failure)> = None;
    for failure in list {
        let Some(agreement) = agreement(error, &failure.error) else { continue };
        // What is behind an error is behind others too: its own text has to be there, if other work began since.
        if failure.is_followed && agreement == Agreement::Innermost && !failure.error.chain.is_empty() {
            continue;
        }
        // Whatever gave it up has said so at once.
        if failure.how == How::GivenUp && failure.turn.as_ref() != Some(&now) {
            continue;
        }
        let is_better = best.is_none_or(|(known, before)| {
            // Of those that failed beside each other the first one counts, of attempts the last one. Where the error reports
            // several different ones, they are no attempts at the same thing.
            let is_alike = failure.error.message == before.error.message || failure.name == before.name;
            let is_attempt = is_alike && !failure.undoes && failure.started >= before.ended;
            agreement > known || agreement == known && is_attempt
        });
        if is_better {
            best = Some((agreement, failure));
        }
    }
    best
}
