//! What was done because something had failed: cleaning up, undoing, telling somebody.

use serde_json::Value;

use super::{Agreement, Causes, Ground, Suspect, agreement, clean_up};
use crate::names::data;

/// How many steps the aftermath of a failure has at most.
const AFTERMATH: usize = 8;
/// How many steps before a failure are looked at for one that is a part of the work.
const NEAR: usize = 64;

impl Causes<'_> {
    /// If a span ended with the error of what should have undone something: the failure for which that was done.
    pub(super) fn undone_first(&self, span: u32, suspects: &[Suspect]) -> Option<(u32, Ground)> {
        let own = &self.record.spans[span as usize];
        if self.in_compensation[span as usize] {
            return None;
        }
        let passed_on = |child: &u32| {
            let errors = own.error().zip(self.record.spans[*child as usize].error());
            errors.and_then(|(own, other)| agreement(own, other)) >= Some(Agreement::Message)
        };
        let undoes = |other: &u32| self.in_compensation[*other as usize];
        let undone = match own.failed_by {
            Some(linked) => Some(linked).filter(undoes)?,
            None => {
                let children = self.record.children(span).iter().rev().copied();
                children.filter(undoes).find(passed_on)?
            }
        };
        let began = self.record.spans[undone as usize].began;
        let mut before = suspects.iter().rev().map(|suspect| suspect.span);
        let first = before.find(|suspect| self.record.spans[*suspect as usize].ended < began)?;
        Some((first, Ground::BeforeCleanUp))
    }

    /// If a span failed while it cleaned up after another failure in the same place, that failure.
    pub(super) fn before_clean_up(
        &self,
        around: u32,
        culprit: u32,
        suspects: &[Suspect],
    ) -> Option<(u32, Ground)> {
        let cleaning = self.record.ancestor_below(culprit, around)?;
        let began = self.record.spans[cleaning as usize].began;
        let mut earlier = suspects
            .iter()
            .map(|suspect| suspect.span)
            .filter(|suspect| *suspect != culprit && self.record.spans[*suspect as usize].ended < began);
        let mut latest = earlier.clone().rev().take(AFTERMATH).peekable();
        latest.peek()?;
        let is_next = |first: u32| self.next_work(around, first) == Some(cleaning);
        // A model is told of everything, whatever it is asked.
        let is_model = self.record.spans[cleaning as usize].is_of("ai:");
        let did_something_about_it = |first: &u32| {
            !is_model
                && self.was_told(cleaning, *first)
                && !self.was_done_before(cleaning, *first)
                && (is_next(*first) || self.is_only_aftermath(around, *first, began))
        };
        if let Some(told) = latest.find(did_something_about_it) {
            return Some((told, Ground::BeforeCleanUp));
        }
        let is_named = self.is_named_so(around, cleaning, clean_up::cleans_up);
        let is_said = self.record.spans[around as usize].error().is_some_and(clean_up::is_said_by);
        if !is_named && !is_said {
            return None;
        }
        let first = earlier
            .find(|first| self.is_only_aftermath(around, *first, began) || !is_named && is_next(*first))?;
        Some((first, if is_said { Ground::BeforeCleanUp } else { Ground::PerhapsCleanedUp }))
    }

    /// If an error that says nothing was preceded by a failure that nobody needed: one shortly before that of which that was only
    /// the aftermath, or the saga or the workflow directly before it, whose result code needs.
    pub(super) fn before_the_last(&self, around: u32, last: u32, suspects: &[Suspect]) -> Option<u32> {
        let is_needed = |span: u32| {
            let facts = &self.record.spans[span as usize];
            facts.is_of("saga:") || facts.is_of("workflow:")
        };
        if is_needed(last) {
            return None;
        }
        let mut made_good = self.made_good();
        let branch = self.record.ancestor_below(last, around).unwrap_or(last);
        let is_aftermath = self.is_aftermath(around, branch);
        let began = self.record.spans[branch as usize].began;
        let before = suspects.iter().rev().map(|suspect| suspect.span);
        let before = before.filter(|span| *span != last && self.record.spans[*span as usize].ended < began);
        before.take(AFTERMATH).find(|span| {
            let is_it = is_aftermath && !self.is_aftermath(around, *span)
                || is_needed(*span) && self.next_work(around, *span) == Some(branch);
            is_it && !made_good(*span)
        })
    }

    /// The work that was begun next in a span after a failure in it.
    pub(super) fn next_work(&self, around: u32, failure: u32) -> Option<u32> {
        let failed = self.record.spans[failure as usize].ended;
        let children = self.record.children(around);
        let later = children.partition_point(|child| self.record.spans[*child as usize].began <= failed);
        children[later..].iter().copied().find(|child| {
            let facts = &self.record.spans[*child as usize];
            !facts.undoes && !facts.is_point
        })
    }

    /// Whether the next step after a failure has a name which says that it took back what had been done: nobody does that because
    /// of what can be done without.
    pub(super) fn was_rolled_back(&self, around: u32, failure: u32) -> bool {
        let next = self.next_work(around, failure);
        next.is_some_and(|next| self.is_named_so(around, next, clean_up::takes_back))
    }

    /// Whether all work that was begun in a span after a failure in it, and not after another place, is aftermath; there
    /// is some, and not much.
    pub(super) fn is_only_aftermath(&self, around: u32, failure: u32, until: u32) -> bool {
        let failed = self.record.spans[failure as usize].ended;
        let mut later = self
            .record
            .children(around)
            .iter()
            .rev()
            .copied()
            .take_while(|child| self.record.spans[*child as usize].began > failed)
            .filter(|child| {
                let facts = &self.record.spans[*child as usize];
                facts.began <= until && !facts.undoes && !facts.is_point
            })
            .take(AFTERMATH + 1)
            .peekable();
        let was_told = |child| self.was_told(child, failure) && !self.was_done_before(child, failure);
        let is_aftermath = |child| self.is_aftermath(around, child) || was_told(child);
        later.peek().is_some() && later.enumerate().all(|(at, child)| at < AFTERMATH && is_aftermath(child))
    }

    /// Whether a step of the same name had been begun in the same place shortly before a failure: then it is a part of the work.
    fn was_done_before(&self, step: u32, failure: u32) -> bool {
        let name = |span: u32| &self.record.spans[span as usize].first.event_type;
        let parent = self.record.spans[step as usize].parent;
        let siblings = parent.map_or(&[][..], |parent| self.record.children(parent));
        let before = &siblings[..siblings.partition_point(|other| *other < failure)];
        before.iter().rev().take(NEAR).any(|other| name(*other) == name(step))
    }

    /// Whether a step was given the message of a failure: it does something about that, or tells somebody.
    fn was_told(&self, step: u32, failure: u32) -> bool {
        /// A shorter message may be in a value by chance.
        const LONG_ENOUGH: usize = 8;
        /// In how many values it is looked for.
        const LOOKED_AT: usize = 64;
        let [step, failure] = [step, failure].map(|span| &self.record.spans[span as usize]);
        let message = failure.error().map(|error| error.message_without_place().trim());
        let Some(message) = message.filter(|message| message.len() >= LONG_ENOUGH) else { return false };
        let Some(input) = step.first.data.as_ref().and_then(|data| data.get(data::INPUT)) else {
            return false;
        };
        let mut open = vec![input];
        let mut left = LOOKED_AT;
        while let Some(value) = open.pop().filter(|_| left > 0) {
            left -= 1;
            match value {
                Value::String(text) if text.contains(message) => return true,
                Value::Array(items) => open.extend(items.iter().take(left)),
                Value::Object(fields) => open.extend(fields.values().take(left)),
                _ => {}
            }
        }
        false
    }

    /// Whether its name says that it puts something right, or tells somebody, after something has gone wrong.
    pub fn is_named_as_aftermath(&self, span: u32) -> bool {
        self.record.spans[span as usize].parent.is_some_and(|parent| self.is_aftermath(parent, span))
    }

    pub(super) fn is_aftermath(&self, around: u32, span: u32) -> bool {
        self.is_named_so(around, span, clean_up::is_aftermath)
    }

    fn is_named_so(
        &self,
        around: u32,
        span: u32,
        is_so: fn(&str, &str, &mut dyn Iterator<Item = &str>) -> bool,
    ) -> bool {
        let name = |span: &u32| self.record.spans[*span as usize].first.event_type.as_str();
        let mut before = self.record.children(around).iter().take_while(|other| **other < span).map(name);
        let work = &self.record.spans[around as usize];
        let work = work.first.workflow.as_deref().filter(|_| work.is_of("workflow:"));
        is_so(name(&span), work.unwrap_or(name(&around)), &mut before)
    }
}
