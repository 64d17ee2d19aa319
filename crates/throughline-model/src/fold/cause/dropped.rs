//! What was dropped or given up, and what has no end in the record.

use super::attempts::is_work;
use super::{Causes, Ground, Suspect, is_time_out};
use crate::Status;

impl Causes<'_> {
    /// Of the spans in one that ended like it, the first.
    pub(super) fn dropped_first(&self, span: u32, status: Status) -> Option<(u32, Ground)> {
        let counts = |child: &&u32| {
            !self.in_compensation[**child as usize] && self.retried_by[**child as usize].is_none()
        };
        let children = self.record.children(span).iter().filter(counts);
        let same_end = children.filter(|child| {
            self.record.spans[**child as usize].status == status && !self.is_tolerated(**child)
        });
        same_end
            .min_by_key(|child| self.record.spans[**child as usize].ended)
            .map(|child| (*child, Ground::DroppedFirst))
            .or_else(|| Some((self.unended_with(span, &self.cancellation_below)?, Ground::EndMissing)))
    }

    /// The child whose end was not recorded, or that continues without its parent, in which something ended so.
    pub(super) fn unended_with(&self, span: u32, below: &[bool]) -> Option<u32> {
        let counts = |child: &u32| {
            let at = *child as usize;
            !self.in_compensation[at]
                && self.retried_by[at].is_none()
                && self.record.spans[at].status == Status::Pending
                && below[at]
        };
        let children = self.record.children(span).iter().copied().filter(counts);
        children.min_by_key(|child| self.record.spans[*child as usize].ended)
    }

    /// What a span was waiting for when it gave that up and failed for it: a link says so; or it says that time ran out as
    /// nothing inside it does that ended it, and what it had begun last was dropped.
    pub(super) fn given_up_by(&self, span: u32, suspects: &[Suspect]) -> Option<u32> {
        let facts = &self.record.spans[span as usize];
        let was_dropped = |other: &u32| self.record.spans[*other as usize].status == Status::Cancelled;
        if facts.failed_by.is_some() {
            return facts.failed_by.filter(was_dropped);
        }
        let is_told = |suspect: &Suspect| !suspect.was_survived && suspect.agreement.is_some();
        let mut last = self.record.children(span).iter().rev().copied();
        let last = last.find(|child| is_work(&self.record.spans[*child as usize])).filter(was_dropped)?;
        // What an error says takes longest to find out.
        (!suspects.iter().any(is_told) && facts.error().is_some_and(is_time_out)).then_some(last)
    }
}
