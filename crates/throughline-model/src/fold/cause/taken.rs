//! Failures that took along what ran beside them.

use super::words::{self, Stopped};
use super::{Causes, Suspect};
use crate::names::errors;

/// How many spans around a failure are looked at.
const DEEPEST: usize = 64;

impl Causes<'_> {
    /// If the error of a span says that it was cancelled, or that something it used was gone: the failure that did that, inside
    /// it or beside it, in the nearest place within `top`.
    ///
    /// That is one that ran at the same time and was not put up with; or, if something was gone, a panic before it, which leaves
    /// locks poisoned and channels closed for good.
    pub fn taken_along_by(&self, span: u32, top: u32) -> Option<u32> {
        let facts = &self.record.spans[span as usize];
        let how = facts.error().and_then(words::stopped).filter(|_| !self.in_compensation[span as usize])?;
        let mut around = Some(span);
        for _ in 0..DEEPEST {
            let at = around?;
            if let Some(other) = self.stopped_by(span, at, how) {
                return Some(other);
            }
            around = self.record.spans[at as usize].parent.filter(|_| at != top);
        }
        None
    }

    fn stopped_by(&self, span: u32, around: u32, how: Stopped) -> Option<u32> {
        let facts = &self.record.spans[span as usize];
        let branch = if span == around { span } else { self.record.ancestor_below(span, around)? };
        let began = self.record.spans[branch as usize].began;
        let did_it = |suspect: &&Suspect| {
            let other = &self.record.spans[suspect.span as usize];
            let is_elsewhere =
                span == around || self.record.ancestor_below(suspect.span, around) != Some(branch);
            let is_beside = other.began < facts.ended && began < other.ended;
            let is_panic = other.error().is_some_and(|error| error.kind == errors::PANIC);
            is_elsewhere
                && (is_beside && !suspect.was_survived
                    || is_panic && how == Stopped::Gone && other.ended < facts.ended)
                && other.error().is_none_or(|error| words::stopped(error).is_none())
        };
        self.suspects(around).iter().find(did_it).map(|suspect| suspect.span)
    }
}
