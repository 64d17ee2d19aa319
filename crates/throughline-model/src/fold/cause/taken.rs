//! Failures that took along what ran beside them.

use super::words::{self, Stopped};
use super::{Causes, Suspect};
use crate::names::{DEPENDENCY_PREFIX, errors};

/// How many spans around a failure are looked at.
const DEEPEST: usize = 64;

impl Causes<'_> {
    /// If the error of a span says that it was cancelled, or that something it used was gone: the failure that did that, inside
    /// it or beside it, in the nearest place within `top`.
    ///
    /// That is one that ran at the same time and was not put up with; or, if something was gone, a panic before it, which leaves
    /// locks poisoned and channels closed for good. What cuts a connection is a panic alone: all else answers.
    pub(super) fn taken_along_by(&self, span: u32, top: u32) -> Option<u32> {
        let how = self.stopped(span)?;
        let mut around = Some(span);
        for _ in 0..DEEPEST {
            let at = around?;
            let branch = self.branch(span, at)?;
            let did_it = |suspect: &&Suspect| {
                (at == branch || self.branch(suspect.span, at) != Some(branch))
                    && (!suspect.was_survived || self.is_panic(suspect.span))
                    && self.stopped(suspect.span).is_none()
                    && self.may_have_taken(suspect.span, span, branch, how)
            };
            if let Some(other) = self.suspects(at).iter().find(did_it) {
                return Some(other.span);
            }
            around = self.record.spans[at as usize].parent.filter(|_| at != top);
        }
        None
    }

    /// Whether the error of a span says that it was cancelled, or that something it used was gone, and the cause may have done
    /// that.
    pub fn is_taken_along(&self, span: u32, cause: u32) -> bool {
        let Some(how) = self.stopped(span) else { return false };
        let way = |from| {
            std::iter::successors(Some(from), |at: &u32| self.record.spans[*at as usize].parent).take(DEEPEST)
        };
        let of_cause: Vec<u32> = way(cause).collect();
        let around = way(span).find(|at| of_cause.contains(at));
        let branch = around.and_then(|around| self.branch(span, around));
        branch.is_some_and(|branch| self.may_have_taken(cause, span, branch, how))
    }

    fn stopped(&self, span: u32) -> Option<Stopped> {
        let error = self.record.spans[span as usize].error()?;
        let how = words::stopped(error).filter(|_| !self.in_compensation[span as usize])?;
        // The other end of a connection to a dependency is elsewhere.
        let is_elsewhere = how == Stopped::Cut && self.record.spans[span as usize].is_of(DEPENDENCY_PREFIX);
        (!is_elsewhere).then_some(how)
    }

    /// The part of what is around a span that it is, or lies in.
    fn branch(&self, span: u32, around: u32) -> Option<u32> {
        if span == around { Some(span) } else { self.record.ancestor_below(span, around) }
    }

    pub(super) fn is_panic(&self, span: u32) -> bool {
        self.record.spans[span as usize].error().is_some_and(|error| error.kind == errors::PANIC)
    }

    /// Whether a failure ran at the same time as the branch of a span, or is a panic that left something behind.
    fn may_have_taken(&self, failure: u32, span: u32, branch: u32, how: Stopped) -> bool {
        let [failed, facts, branch] = [failure, span, branch].map(|span| &self.record.spans[span as usize]);
        let was_beside = failed.began < facts.ended && branch.began < failed.ended;
        let is_panic_before = || self.is_panic(failure) && failed.ended < facts.ended;
        match how {
            Stopped::Cancelled => was_beside,
            Stopped::Gone => was_beside || is_panic_before(),
            Stopped::Cut => was_beside && is_panic_before(),
        }
    }
}
