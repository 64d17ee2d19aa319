//! [`Failures`]: what failed in a span, for as long as its error may be on the way up.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use super::current::{Turn, last_turn};
use throughline_model::fold::{Agreement, agreement as agreement_with};
use throughline_model::{ErrorInfo, Link, Moment, Relation, StepError, Text, names::errors};

/// How many are kept of a span. Only those can be so many that fail beside each other.
const KEPT: usize = 32;

/// How many of those that were tolerated are kept, in case that they were not.
const OVER: usize = 4;

/// Beside how many failures at most a step says that it began.
const NAMED_BESIDE: usize = 4;

/// How many steps of this process have failed.
static FAILED: AtomicU64 = AtomicU64::new(0);

/// When the future of a step was made: how many had failed by then. Code that continues after a failure makes its next step
/// after it, as a rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made(u64);

impl Made {
    pub(super) fn now() -> Self {
        Self(FAILED.load(Ordering::Relaxed))
    }
}

impl Default for Made {
    /// After whatever has failed, for that is what is assumed.
    fn default() -> Self {
        Self(u64::MAX)
    }
}

/// Where the future of a step is: where in memory, and who is woken for it, which each in a set of futures has for itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    memory: Range<usize>,
    /// Zero if that is not known.
    woken: usize,
    made: Made,
}

impl Place {
    /// That of a future which is pinned.
    pub(super) fn of<T>(pinned: &T, waker: &Waker) -> Self {
        Self { memory: memory_of(pinned), woken: waker.data().addr(), made: Made::default() }
    }

    pub(super) fn made(self, made: Made) -> Self {
        Self { made, ..self }
    }

    fn overlaps(&self, other: &Self) -> bool {
        overlap(&self.memory, &other.memory)
    }

    /// Whether it is known that somebody else is woken for it.
    fn is_woken_beside(&self, other: &Self) -> bool {
        self.woken != other.woken && self.woken != 0 && other.woken != 0
    }

    /// Whether another one is a part of this one, as far as that is known.
    fn may_hold(&self, other: &Self) -> bool {
        let (own, other) = (&self.memory, &other.memory);
        own.is_empty() || own.start <= other.start && other.end <= own.end
    }
}

fn memory_of<T: ?Sized>(value: &T) -> Range<usize> {
    let start = std::ptr::from_ref(value).addr();
    start..start.saturating_add(size_of_val(value))
}

fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// Which error it is, if that can be told: where in memory the innermost of its errors is. In a box an error stays where it is on
/// its way up, whatever is put around it; one that moves with its owner is not told from others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity(Option<usize>);

impl Identity {
    pub(crate) const UNKNOWN: Self = Self(None);

    fn of<E: StepError<K>, K>(error: &E) -> Self {
        // A chain may go round in a circle.
        const LONGEST: usize = 256;
        let all = std::iter::successors(error.as_error(), |error| error.source()).take(LONGEST);
        let innermost = all.last().map(|innermost| {
            let boxed = innermost.downcast_ref().and_then(std::io::Error::get_ref);
            boxed.map_or_else(|| memory_of(innermost), memory_of)
        });
        let is_elsewhere = |memory: &Range<usize>| !memory.is_empty() && !overlap(memory, &memory_of(error));
        Self(innermost.filter(is_elsewhere).map(|memory| memory.start))
    }

    fn is(self, other: Self) -> bool {
        self.is_known() && self.0 == other.0
    }

    fn is_known(self) -> bool {
        self.0.is_some()
    }
}

/// An error that a step ended with.
pub(crate) struct Caught {
    pub(super) info: ErrorInfo,
    pub(super) identity: Identity,
}

impl Caught {
    pub(super) fn of<E: StepError<K>, K>(error: &E) -> Self {
        Self { info: error.describe(), identity: Identity::of(error) }
    }
}

impl From<ErrorInfo> for Caught {
    fn from(info: ErrorInfo) -> Self {
        Self { info, identity: Identity::UNKNOWN }
    }
}

/// What failed in a span and may still bring it down. Nothing is done here as long as nothing fails.
///
/// Code that continues after a failure has tolerated it. To tell that from what runs beside the failed step, as in a `join!`,
/// the places of their futures are compared: a branch keeps its place for as long as the others run, while the next step of
/// the same code takes the place that the failed one left. So a failure is forgotten when something begins in its place.
/// Boxes are anywhere: what a task begins in one, or after one failed, counts as the same code, unless its future was made before
/// the failure or is woken by itself, as each of a set is. A failure that was forgotten is remembered by the very same error.
#[derive(Default)]
pub(super) struct Failures {
    any: AtomicBool,
    list: Mutex<Vec<Failure>>,
}

/// The failure of what ran in a span.
pub(super) struct Failure {
    pub(super) link: Link,
    pub(super) name: Text,
    /// If it is a run of its own: its workflow and its key.
    pub(super) of: Option<(Option<Text>, Option<Text>)>,
    /// Whether it failed by itself, was cancelled by a time limit, or was given up for an unknown reason.
    pub(super) how: How,
    pub(super) error: ErrorInfo,
    pub(super) identity: Identity,
    pub(super) started: Moment,
    pub(super) ended: Moment,
    pub(super) place: Place,
    /// How many had failed before.
    pub(super) nth: u64,
    /// The task that it happened in.
    pub(super) task: Option<tokio::task::Id>,
    /// During which poll it happened, if it was in one.
    pub(super) turn: Option<Turn>,
    /// Whether it was to undo something: that is no further attempt at what failed before.
    pub(super) undoes: bool,
    /// How much began later, perhaps beside it, and how much of that has failed.
    pub(super) begun_since: u32,
    pub(super) failed_since: u32,
    /// Whether the code seems to have continued after it.
    pub(super) is_over: bool,
}

impl Failure {
    fn is_called_as(&self, other: &Self) -> bool {
        self.name == other.name && self.of == other.of
    }

    /// Counts a step that has just failed, and says how many had before.
    pub(super) fn count() -> u64 {
        FAILED.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether it is known that something which began later ran beside it, as branches of a `join!` do that fail at once.
    fn was_beside(&self, place: &Place, task: Option<tokio::task::Id>) -> bool {
        let was_made_before = place.made.0 <= self.nth;
        let is_in_a_set = self.task == task && self.place.is_woken_beside(place);
        (was_made_before || is_in_a_set) && !self.place.overlaps(place)
    }
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

    /// Something begins in the span, which is `around` it, at this place. What is known to have failed beside it is linked, if
    /// that is not too much to say.
    pub(super) fn begun(&self, place: &Place, around: &Place) -> Vec<Link> {
        let mut beside = Vec::new();
        if self.has_any() {
            let task = tokio::task::try_id();
            let mut list = self.list();
            for failure in list.iter_mut() {
                let was_beside = failure.was_beside(place, task);
                let is_inline = around.may_hold(place) && around.may_hold(&failure.place);
                let is_same_code = !is_inline && failure.task == task && !was_beside;
                failure.is_over |= failure.place.overlaps(place) || is_same_code;
                failure.begun_since = failure.begun_since.saturating_add(1);
                if was_beside && !failure.is_over && failure.how == How::Failed {
                    beside.push(Link { rel: Relation::Beside, ..failure.link.clone() });
                }
            }
            let over = list.iter().filter(|failure| failure.is_over).count();
            let mut too_many = over.saturating_sub(OVER);
            list.retain(|failure| {
                let is_one_too_many = failure.is_over && too_many > 0;
                too_many -= usize::from(is_one_too_many);
                !is_one_too_many && (!failure.is_over || failure.identity.is_known())
            });
            self.any.store(!list.is_empty(), Ordering::Relaxed);
            if beside.len() > NAMED_BESIDE {
                beside.clear();
            }
        }
        beside
    }

    /// Something failed in the span.
    pub(super) fn add(&self, failure: Failure) {
        let mut list = self.list();
        for before in list.iter_mut().filter(|before| before.ended <= failure.started) {
            before.failed_since = before.failed_since.saturating_add(1);
        }
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
            self.list().retain(|failure| agreement_with(error, &failure.error).is_none());
        }
    }

    /// What brought the span down that ends with this error, if it is known; the span's own future is `around`. Whatever was known
    /// of the error down there and is hidden up here is added to it.
    pub(super) fn explain(&self, error: &mut ErrorInfo, identity: Identity, around: &Place) -> Option<Link> {
        if !self.has_any() {
            return None;
        }
        let list = self.list();
        let (agreement, cause) = cause_in(&list, error, identity)?;
        let known = &cause.error;
        // Its type, where the span got it in a box; where it panicked, if it was carried here from another thread.
        let is_the_variant = known.kind.strip_suffix(&*error.kind).is_some_and(|of| of.ends_with("::"));
        if is_the_variant || error.kind == errors::ERROR && agreement == Agreement::Whole {
            error.kind.clone_from(&known.kind);
        }
        if error.kind == errors::PANIC && known.kind == errors::PANIC {
            error.message.clone_from(&known.message);
        }
        // Memory that was freed is used again. So the place of an error only tells what was put up with from others that say the
        // same; by itself it says no more than the text, if something went well since. Of a set of futures each takes the memory of
        // one before it, which says nothing of what became of that.
        let says_the_same =
            |other: &Failure| !other.is_called_as(cause) && agreement_with(error, &other.error).is_some();
        let nothing_went_well = cause.begun_since == cause.failed_since;
        let is_known = || {
            !cause.is_over
                || nothing_went_well
                || cause.place.is_woken_beside(around)
                || list.iter().any(says_the_same)
        };
        is_known().then(|| cause.link.clone())
    }

    /// What failed in the span beside what began at this moment: in this poll, or at any time if it is not known in which.
    pub(super) fn beside(&self, started: Moment, turn: Option<&Turn>) -> Option<Text> {
        if !self.has_any() {
            return None;
        }
        let list = self.list();
        let is_beside = |failure: &&Failure| {
            let is_now = turn.is_none_or(|turn| failure.turn.as_ref() == Some(turn));
            failure.how == How::Failed && started <= failure.ended && is_now && !failure.is_over
        };
        list.iter().rfind(is_beside).map(|failure| failure.name.clone())
    }
}

/// The failure whose error this one is, on its way up.
fn cause_in<'f>(
    list: &'f [Failure],
    error: &ErrorInfo,
    identity: Identity,
) -> Option<(Agreement, &'f Failure)> {
    fn innermost(error: &ErrorInfo) -> &Text {
        error.chain.last().unwrap_or(&error.message)
    }
    let now = last_turn();
    let is_the_same =
        |failure: &Failure| failure.identity.is(identity) && innermost(&failure.error) == innermost(error);
    let mut best: Option<(Agreement, &Failure)> = None;
    for failure in list.iter().filter(|failure| !failure.is_over || is_the_same(failure)) {
        let Some(agreement) = agreement_with(error, &failure.error) else { continue };
        // What is behind an error is behind others too: its own text has to be there, if other work began since.
        if failure.begun_since > 0 && agreement == Agreement::Innermost && !failure.error.chain.is_empty() {
            continue;
        }
        // Whatever gave it up has said so at once.
        if failure.how == How::GivenUp && failure.turn.as_ref() != Some(&now) {
            continue;
        }
        let is_better = best.is_none_or(|(known, before)| {
            // Of those that failed beside each other the first one counts, of attempts the last one. Where the error reports
            // several different ones, they are no attempts at the same thing.
            let is_alike = failure.of == before.of
                && (failure.error.message == before.error.message || failure.name == before.name);
            let is_later =
                failure.started >= before.ended && !before.was_beside(&failure.place, failure.task);
            let is_attempt = is_alike && !failure.undoes && is_later;
            // Of what is called the same any may be the one that counts; else it is the very same error, if that is there.
            let [is_it, was_it] = [failure, before].map(is_the_same);
            // Memory that was freed may be used again: what was not put up with is likelier to be it, unless it is known to be another.
            let is_forgotten = failure.is_over != before.is_over;
            let are_known = failure.identity.is_known() && before.identity.is_known();
            if is_it != was_it && !failure.is_called_as(before) && (are_known || !is_forgotten) {
                is_it
            } else {
                let is_preferred = if is_forgotten { before.is_over } else { is_attempt };
                agreement > known || agreement == known && is_preferred
            }
        });
        if is_better {
            best = Some((agreement, failure));
        }
    }
    best
}
