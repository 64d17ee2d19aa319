//! What was done because something had failed: cleaning up, undoing, telling somebody.

use super::record::SpanFacts;
use super::{Agreement, Causes, Ground, Suspect, agreement, words};

/// How many steps the aftermath of a failure has at most.
const AFTERMATH: usize = 8;

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
    pub(super) fn before_clean_up(&self, around: u32, culprit: u32, suspects: &[Suspect]) -> Option<u32> {
        let cleaning = self.record.ancestor_below(culprit, around)?;
        let SpanFacts { began, first, .. } = &self.record.spans[cleaning as usize];
        let (began, name) = (*began, first.event_type.as_str());
        let is_named = self.is_aftermath(around, cleaning) && !words::may_be_good_news(name);
        let is_said = || self.record.spans[around as usize].error().is_some_and(words::speaks_of_cleaning_up);
        if !is_named && !is_said() {
            return None;
        }
        let earlier = suspects.iter().filter(|suspect| {
            suspect.span != culprit && self.record.spans[suspect.span as usize].ended < began
        });
        earlier.map(|suspect| suspect.span).find(|first| {
            self.is_only_aftermath(around, *first, began)
                || (!is_named && self.next_work(around, *first) == Some(cleaning))
        })
    }

    /// The work that was begun next in a span after a failure in it.
    fn next_work(&self, around: u32, failure: u32) -> Option<u32> {
        let failed = self.record.spans[failure as usize].ended;
        let children = self.record.children(around);
        let later = children.partition_point(|child| self.record.spans[*child as usize].began <= failed);
        children[later..].iter().copied().find(|child| {
            let facts = &self.record.spans[*child as usize];
            !facts.undoes && !facts.is_point
        })
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
        later.peek().is_some()
            && later.enumerate().all(|(at, child)| at < AFTERMATH && self.is_aftermath(around, child))
    }

    /// Whether its name says that it puts something right, or tells somebody, after something has gone wrong.
    pub fn is_named_as_aftermath(&self, span: u32) -> bool {
        self.record.spans[span as usize].parent.is_some_and(|parent| self.is_aftermath(parent, span))
    }

    pub(super) fn is_aftermath(&self, around: u32, span: u32) -> bool {
        let name = |span: &u32| self.record.spans[*span as usize].first.event_type.as_str();
        let before = self.record.children(around).iter().take_while(|other| **other < span).map(name);
        let work = &self.record.spans[around as usize];
        let work = work.first.workflow.as_deref().filter(|_| work.is_of("workflow:"));
        words::is_aftermath(name(&span), work.unwrap_or(name(&around)), before)
    }
}
