//! [`Causes`]: which failure brought a run down.
//!
//! The rules, in the order in which they are applied to a failed span; `docs/explain.md` has an example of each:
//!
//! 1. What was abandoned failed for the reason that was given.
//! 2. If its own time ran out, it failed for that, whatever else had before; in cleaning up, what it cleaned up after counts.
//! 3. A `failed_by` link names the span whose error this one ended with.
//! 4. Of the failures inside, one was passed on whose error [agrees](Agreement). Those after which the work ended come
//!    before those after which it continued; of equal ones the first counts where the work ended, else the last. An error
//!    that has several different ones in it reports all of them, and the first counts, unless another has its text, too.
//! 5. If none agrees, a failure after which no other work began was the reason if the error is vague or missing; if work
//!    beside it was cancelled because of it; if the error [echoes](echoes) it; or, unless the error
//!    [says enough](Causes::say_enough) by itself, if that names the step, or if the failure is that of a saga or a workflow,
//!    of what a service did for a call to it, a panic, or of what was tried several times and never succeeded. A vague error
//!    that names a failed step means that one; if only the aftermath of another failure failed last, it means the other one;
//!    else the first of several is found, and the others are [as likely](Causes::as_likely).
//! 6. A failure is looked for inside a child whose end was not recorded.
//! 7. If the error is vague, or says what was done afterwards, so was a failure after which there was only aftermath: cleaning
//!    up, telling somebody; else the last failure that was not made good by a step of the same name. Of several things that
//!    the same was done with, as with the items of a batch, the first that failed. What was tried several times and never
//!    succeeded is the reason whatever the error says, if only aftermath followed, or one step of which the error speaks; or if
//!    the error is about a budget of which that was a good part. So is what was [taken back](Causes::was_rolled_back) next, unless
//!    the error says enough.
//! 8. What failed while it cleaned up after another failure, or undid something because of it, is not the reason: that
//!    other failure is. If only a name says so, [it may be](Causes::perhaps_cleaned_up) all the same.
//! 9. Where the way ends at an error that says that it was cancelled, or that something it used was gone, and not why, it
//!    continues at the failure that ran beside it, or at the panic before it.
//!
//! A link to a failure of another run ends the way: nothing in this run is the reason then.
//!
//! A failed attempt that was tried again stands for nothing, the last attempt speaks for all; nothing that undoes another
//! span is a cause, nor is a point event within a span that has an error of its own.

mod aftermath;
mod agreement;
mod attempts;
mod clean_up;
mod dropped;
mod record;
mod taken;
mod told;
mod vague;
mod words;

use agreement::echoes;
pub use agreement::{Agreement, agreement, may_be_chance};
use attempts::is_work;
pub use record::SpanFacts;
pub use vague::says_why;
pub use words::is_time_out;

use std::cell::LazyCell;
use std::collections::HashSet;

use record::Record;

use super::{Position, RunFold, by_span};
use crate::names::errors;
use crate::{SpanId, Status, TraceEvent};

/// Why a span is said to have brought another down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ground {
    /// A link says so.
    Linked,
    /// Their errors agree.
    SameError(Agreement),
    /// Nothing was begun after it failed, and the error around it does not say why.
    NothingAfter,
    /// It was followed by nothing but aftermath, and the error around it does not say why.
    OnlyAftermath,
    /// It is the first of several that failed in the same place and were followed by nothing: any of them may have done it, for
    /// the error around them does not say why.
    OneOfSeveral,
    /// It was tried again and again, until the error around it says that there was no more of what that took.
    Spent,
    /// It was the last that failed and was not made good, and the error around it does not say why.
    LastFailure,
    /// What ended the span around it had only cleaned up after it.
    BeforeCleanUp,
    /// What ended the span around it is called as if it had only cleaned up after it, and may have failed for a reason of its own.
    PerhapsCleanedUp,
    /// The error of what ran beside it says that something it used was gone.
    TakenAlong,
    /// It is inside a span whose end was not recorded.
    EndMissing,
    /// It was dropped first.
    DroppedFirst,
}

/// What went wrong in a run, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The span whose end is explained: the one by which the run stands, or what failed within a run that did not.
    pub top: u32,
    /// The span that is the cause.
    pub cause: u32,
    /// How the cause was found: from span to span, downwards, and why.
    pub steps: Vec<(u32, Ground)>,
}

impl Found {
    /// A cause that was found in another way than by the rules about failures.
    pub fn at(top: u32, cause: u32) -> Self {
        Self { top, cause, steps: Vec::new() }
    }
}

/// Facts about every span of a run, each worked out once for all. Spans are numbered in the order of their first events.
pub struct Causes<'e> {
    record: Record<'e>,
    retried_by: Vec<Option<u32>>,
    last_attempt: Vec<u32>,
    in_compensation: Vec<bool>,
    within_retried: Vec<Option<u32>>,
    /// When the span last began work of its own: the start of its last child that is neither a point nor a compensation.
    last_work: Vec<u32>,
    /// Whether something below failed, or was cancelled, that is neither compensation nor a retried attempt.
    failure_below: Vec<bool>,
    cancellation_below: Vec<bool>,
    /// How many of the steps directly inside failed.
    failed_inside: Vec<u32>,
    /// Whether any span says that it began beside one that had failed.
    has_any_beside: bool,
}

/// Among how many of the last failures it is looked for one that only aftermath followed, if the error around it says why.
const LATEST: usize = 16;

/// A failure inside a span that may have brought it down.
#[derive(Clone, Copy)]
struct Suspect {
    span: u32,
    /// Whether the work around it continued: other work was begun, or a step that holds it ended well.
    was_survived: bool,
    agreement: Option<Agreement>,
}

impl<'e> Causes<'e> {
    /// The facts about these spans, which stand in the order of their first events.
    pub fn new(spans: Vec<SpanFacts<'e>>) -> Self {
        let record = Record::new(spans);
        let len = record.spans.len();
        let mut causes = Self {
            retried_by: vec![None; len],
            last_attempt: (0..len as u32).collect(),
            in_compensation: vec![false; len],
            within_retried: vec![None; len],
            last_work: vec![0; len],
            failure_below: vec![false; len],
            cancellation_below: vec![false; len],
            failed_inside: vec![0; len],
            has_any_beside: record.spans.iter().any(|span| !span.beside().is_empty()),
            record,
        };
        causes.follow_retries();
        causes.look_down();
        causes.look_up();
        causes
    }

    /// Whether it was tried again.
    pub fn is_retried(&self, span: u32) -> bool {
        self.retried_by[span as usize].is_some()
    }

    /// The last attempt at the same thing: the span itself where it was not tried again.
    pub fn last_attempt(&self, span: u32) -> u32 {
        self.last_attempt[span as usize]
    }

    /// Whether it is a compensation or part of one.
    pub fn is_in_compensation(&self, span: u32) -> bool {
        self.in_compensation[span as usize]
    }

    /// The innermost span around it, or itself, that was tried again.
    pub fn within_retried(&self, span: u32) -> Option<u32> {
        self.within_retried[span as usize]
    }

    /// Whether the span around it began other work after this one had ended.
    pub fn is_tolerated(&self, span: u32) -> bool {
        let facts = &self.record.spans[span as usize];
        let Some(parent) = facts.parent else { return false };
        if self.last_work[parent as usize] <= facts.ended {
            return false;
        }
        // What ran beside it was not begun because of what came of it.
        !self.has_any_beside
            || self
                .work_since(parent, span)
                .any(|later| !self.record.spans[later as usize].beside().contains(&span))
    }

    /// The work that was begun in a span after something in it had ended, the last first.
    fn work_since(&self, around: u32, inside: u32) -> impl Iterator<Item = u32> {
        let ended = self.record.spans[inside as usize].ended;
        let children = self.record.children(around).iter().rev().copied();
        children
            .take_while(move |child| self.record.spans[*child as usize].began > ended)
            .filter(|child| is_work(&self.record.spans[*child as usize]))
    }

    fn follow_retries(&mut self) {
        // For each attempt the first at the same thing, and for each first one the last so far: several attempts may
        // name the same attempt before them.
        let mut first: Vec<u32> = self.last_attempt.clone();
        let mut last = first.clone();
        for (retry, facts) in (0_u32..).zip(&self.record.spans) {
            // A retry begins after what it retries: links that say otherwise could go in circles.
            for original in facts.retries().iter().copied().filter(|original| *original < retry) {
                let chain = first[original as usize];
                let before = std::mem::replace(&mut last[chain as usize], retry);
                if before != retry {
                    self.retried_by[before as usize] = Some(retry);
                }
                first[retry as usize] = chain;
            }
        }
        for span in (0..self.retried_by.len()).rev() {
            if let Some(next) = self.retried_by[span] {
                self.last_attempt[span] = self.last_attempt[next as usize];
            }
        }
    }

    /// What a span takes from the spans around it.
    fn look_down(&mut self) {
        for &index in &self.record.rows {
            let (at, facts) = (index as usize, &self.record.spans[index as usize]);
            let parent = facts.parent.map(|parent| parent as usize);
            self.in_compensation[at] =
                facts.undoes || parent.is_some_and(|parent| self.in_compensation[parent]);
            self.within_retried[at] = match parent {
                _ if self.retried_by[at].is_some() => Some(index),
                Some(parent) => self.within_retried[parent],
                None => None,
            };
            if let Some(parent) = parent.filter(|_| !facts.undoes && !facts.is_point) {
                self.last_work[parent] = self.last_work[parent].max(facts.began);
            }
        }
    }

    /// What a span takes from the spans below it.
    fn look_up(&mut self) {
        for &index in self.record.rows.iter().rev() {
            let (at, facts) = (index as usize, &self.record.spans[index as usize]);
            if !self.in_compensation[at]
                && self.retried_by[at].is_none()
                && let Some(parent) = facts.parent
            {
                let (parent, status) = (parent as usize, facts.status);
                self.failure_below[parent] |= self.failure_below[at] || status == Status::Failed;
                self.failed_inside[parent] += u32::from(status == Status::Failed && is_work(facts));
                self.cancellation_below[parent] |= self.cancellation_below[at] || status == Status::Cancelled;
            }
        }
    }

    /// In a run that did not fail, the failure that matters most: of a workflow rather than of a saga, of a saga
    /// rather than of a step, of a step rather than of a point event, and the first of these.
    pub fn failed_top(&self) -> Option<u32> {
        let rank = |span: &u32| {
            let facts = &self.record.spans[*span as usize];
            (!facts.is_of("workflow:"), !facts.is_of("saga:"), facts.is_point, *span)
        };
        (0..self.last_attempt.len() as u32).filter(|span| self.is_loose_failure(*span)).min_by_key(rank)
    }

    /// A failure that is not part of a greater one, nor was made good by trying again.
    fn is_loose_failure(&self, span: u32) -> bool {
        let facts = &self.record.spans[span as usize];
        facts.status == Status::Failed
            && !self.in_compensation[span as usize]
            && self.within_retried[span as usize].is_none()
            && facts.parent.is_none_or(|parent| self.record.spans[parent as usize].status != Status::Failed)
    }

    /// Where the way from a span leads that ended with this status: from culprit to culprit.
    pub fn descend(&self, top: u32, status: Status) -> Found {
        let (mut at, mut found) = (top, Found::at(top, top));
        // In broken records a link may lead back to where the way has been.
        let mut seen = HashSet::from([top]);
        let next = |at| {
            let taken_along = || Some((self.taken_along_by(at, top)?, Ground::TakenAlong));
            self.culprit(at, status).or_else(|| taken_along().filter(|_| status == Status::Failed))
        };
        while let Some((culprit, ground)) = next(at).filter(|(culprit, _)| seen.insert(*culprit)) {
            found.steps.push((culprit, ground));
            at = culprit;
            // A span whose end was not recorded is on the way to a cause, never the cause itself.
            if self.record.spans[at as usize].status == status {
                found.cause = at;
            }
        }
        found
    }

    /// The span that brought another down, and how that is known.
    pub fn culprit(&self, span: u32, status: Status) -> Option<(u32, Ground)> {
        if status != Status::Failed {
            return self.dropped_first(span, status);
        }
        let facts = &self.record.spans[span as usize];
        if !self.failure_below[span as usize] && facts.failed_by.is_none() {
            return None;
        }
        let error = facts.error();
        // Somebody closed it and said why, whatever had happened in it before or was undone since.
        if error.is_some_and(|error| error.kind == errors::ABANDONED) {
            return None;
        }
        let suspects = self.suspects(span);
        // Its own time ran out, whatever else had before; if that was while it cleaned up, what it cleaned up after counts.
        if let Some(dropped) = self.given_up_by(span, &suspects) {
            return self.before_clean_up(span, dropped, &suspects);
        }
        let ended_by = self.ended_by(span, &suspects);
        // It was another run that brought it down, whatever failed in here.
        if facts.failed_elsewhere && ended_by.is_none() {
            return None;
        }
        if let Some((culprit, ground)) = ended_by {
            return self.before_clean_up(span, culprit, &suspects).or(Some((culprit, ground)));
        }
        let said_last = error.is_some_and(|error| self.tells_of_last_step(span, error));
        let says_why = error.is_some_and(says_why) && !(said_last && self.ended_with_aftermath(span));
        let said = LazyCell::new(|| self.said_by(span));
        let own = LazyCell::new(|| self.own_words(span));
        let ended_it = |suspect: &&Suspect| {
            let facts = &self.record.spans[suspect.span as usize];
            // What was tried in vain may have been done without, if the error says enough by itself.
            let says_enough = || self.say_enough(&own, suspect.span);
            let is_needed = || self.is_needed(suspect.span);
            let is_told = || {
                self.cancelled_others(span, suspect.span)
                    || error.zip(facts.error()).is_some_and(|(error, other)| echoes(error, other))
            };
            let is_named = || self.is_called_by_name(&said, suspect.span);
            !suspect.was_survived && (!says_why || is_told() || (is_needed() || is_named()) && !says_enough())
        };
        if let Some(last) = suspects.iter().find(ended_it) {
            if says_why {
                return Some((last.span, Ground::NothingAfter));
            }
            let named = self.named_in(span, &suspects);
            if named.is_none()
                && let Some(other) = self.before_the_last(span, last.span, &suspects)
            {
                return Some((other, Ground::LastFailure));
            }
            let first = self.first_of_its_kind(named.unwrap_or(last.span), &suspects);
            let is_one_of_several =
                named.is_none() && self.others_as_likely(first, &suspects).next().is_some();
            let ground = if is_one_of_several { Ground::OneOfSeveral } else { Ground::NothingAfter };
            return Some((first, ground));
        }
        if let Some(open) = self.unended_with(span, &self.failure_below) {
            return Some((open, Ground::EndMissing));
        }
        let is_followed_by_aftermath =
            |suspect: &&Suspect| self.is_only_aftermath(span, suspect.span, u32::MAX);
        let of_aftermath = |suspect: &Suspect| (suspect.span, Ground::OnlyAftermath);
        if says_why {
            let last = suspects.iter().rev().take(LATEST);
            let is_rolled_back =
                |failure: u32| self.was_rolled_back(span, failure) && !self.say_enough(&own, failure);
            let mut needed =
                last.filter(|suspect| self.never_succeeded(suspect.span) || is_rolled_back(suspect.span));
            let is_followed = |suspect: &&Suspect| {
                is_followed_by_aftermath(suspect) || said_last && self.is_last_but_one(span, suspect.span)
            };
            let spent = || self.spent_on(span, error?, &suspects);
            return needed.find(is_followed).map(of_aftermath).or_else(|| Some((spent()?, Ground::Spent)));
        }
        let aftermath = suspects.iter().find(is_followed_by_aftermath).map(of_aftermath);
        // An error that says nothing is no origin while something failed that was not made good; least of all what it names.
        let first_of_its_kind = |last| (self.first_of_its_kind(last, &suspects), Ground::LastFailure);
        let named = self.named_in(span, &suspects).map(first_of_its_kind);
        named.or(aftermath).or_else(|| {
            let mut made_good = self.made_good();
            let last = suspects.iter().rev().find(|suspect| !made_good(suspect.span))?;
            Some(first_of_its_kind(last.span))
        })
    }

    /// The failure whose error a span ended with, as a link says or the errors do.
    fn ended_by(&self, span: u32, suspects: &[Suspect]) -> Option<(u32, Ground)> {
        let linked = self.linked_failure(span).or_else(|| self.undone_first(span, suspects));
        let is_from_here = !self.record.spans[span as usize].failed_elsewhere;
        let passed_on = || self.passed_on(span, suspects).filter(|_| is_from_here);
        let (culprit, ground) = linked.or_else(passed_on)?;
        self.first_told(culprit, suspects).or(Some((culprit, ground)))
    }

    /// The failures inside a span that are not part of another inside it, in the order in which they ended.
    fn suspects(&self, span: u32) -> Vec<Suspect> {
        let own = &self.record.spans[span as usize];
        let error = own.error();
        let mut suspects = Vec::new();
        let mut open = vec![(span, false)];
        while let Some((around, is_covered)) = open.pop() {
            for &child in self.record.children(around) {
                let (at, facts) = (child as usize, &self.record.spans[child as usize]);
                if self.in_compensation[at] || self.retried_by[at].is_some() {
                    continue;
                }
                // What a process saw fail later did not bring this down; the clocks of two processes may disagree.
                let has_ended = own.status != Status::Pending;
                if has_ended && facts.ended > own.ended && facts.last.instance == own.last.instance {
                    continue;
                }
                let was_survived = is_covered || self.is_tolerated(child);
                match facts.status {
                    Status::Failed => {
                        let agreement =
                            error.zip(facts.error()).and_then(|(own, other)| agreement(own, other));
                        // What was recorded on the way to an error of the span's own is a fact about that error.
                        if agreement.is_some() || error.is_none() || !facts.is_point {
                            suspects.push(Suspect { span: child, was_survived, agreement });
                        }
                    }
                    // What continued or ended well had coped with what failed in it, unless somebody took that error from it;
                    // and what was dropped was dropped from outside.
                    _ if self.failure_below[at] => open.push((child, true)),
                    _ => {}
                }
            }
        }
        suspects.sort_by_key(|suspect| self.record.spans[suspect.span as usize].ended);
        suspects
    }

    /// Whether work that ran beside a failure in a span was cancelled because of it.
    fn cancelled_others(&self, around: u32, failure: u32) -> bool {
        let failed = self.record.spans[failure as usize].ended;
        self.record.children(around).iter().any(|child| {
            let facts = &self.record.spans[*child as usize];
            facts.status == Status::Cancelled
                && facts.began < failed
                && facts.ended > failed
                && facts.error().is_some_and(|error| error.kind == errors::SIBLING_FAILED)
        })
    }

    /// What a link names as the failure that brought a span down.
    fn linked_failure(&self, span: u32) -> Option<(u32, Ground)> {
        let linked = self.record.spans[span as usize].failed_by.filter(|linked| *linked != span)?;
        let (own, other) = (&self.record.spans[span as usize], &self.record.spans[linked as usize]);
        let is_cause = self.in_compensation[span as usize] || !self.in_compensation[linked as usize];
        (is_cause && other.status == Status::Failed && other.ended < own.ended)
            .then_some((linked, Ground::Linked))
    }
}

/// The last event of the span that brought another one of its run down, as far as that is known when the other has just
/// ended; `None` if it failed by itself. What [`cause_of_run`] says of a run this says of one of its spans.
pub fn cause_of_span<'e>(
    span: SpanId,
    events: impl IntoIterator<Item = &'e TraceEvent>,
) -> Option<&'e TraceEvent> {
    let mut spans = by_span(events);
    spans.sort_by_cached_key(|events| events.iter().map(|event| Position::of(event)).min());
    let causes = Causes::new(SpanFacts::of_spans(&spans));
    let top = u32::try_from(spans.iter().position(|events| events[0].span_id == span)?).ok()?;
    let cause = causes.descend(top, Status::Failed).cause;
    (cause != top).then(|| causes.record.spans[cause as usize].last)
}

/// The last event of the span that is the cause of how a run ended, given all its events and their fold. `None` while
/// the run is open, if it has no root, and if nothing in it went wrong for good.
pub fn cause_of_run<'e, K: Clone>(
    fold: &RunFold<K>,
    events: impl IntoIterator<Item = &'e TraceEvent>,
) -> Option<&'e TraceEvent> {
    let decided_by = fold.decided_by().filter(|_| fold.may_have_cause())?;
    let mut spans = by_span(events);
    // By what happened first, which of records with clocks that disagree need not be the start.
    spans.sort_by_cached_key(|events| events.iter().map(|event| Position::of(event)).min());
    let causes = Causes::new(SpanFacts::of_spans(&spans));
    let standing = || spans.iter().position(|events| events[0].span_id == decided_by.span_id());
    let (top, status) = match decided_by.status {
        Status::Success => (causes.failed_top()?, Status::Failed),
        status => (u32::try_from(standing()?).ok()?, status),
    };
    let cause = causes.descend(top, status).cause;
    Some(causes.record.spans[cause as usize].last)
}
