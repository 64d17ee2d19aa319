//! What the error of a span says of the failures inside it.

use super::vague::{LONGEST, clauses, may_be_said_of_anything, says_nothing};
use super::words::{self, Word};
use super::{Agreement, Causes, Found, Ground, Suspect, agreement as agreement_of, may_be_chance};
use crate::names::errors;
use crate::{ErrorInfo, Status};

/// Among how many failures it is looked for the one that an error names.
const LOOKED_AT: usize = 256;

/// Whether what an error has of another may be said of anything, and their types do not say that it is the same.
fn is_said_of_anything(error: &ErrorInfo, other: &ErrorInfo) -> bool {
    may_be_said_of_anything(other) && (error.kind != other.kind || !other.kind.contains("::"))
}

/// How many failures are listed that may have ended the work as well.
const LISTED: usize = 8;

impl<'e> Causes<'e> {
    /// The suspect whose error was passed on.
    pub(super) fn passed_on(&self, around: u32, suspects: &[Suspect]) -> Option<(u32, Ground)> {
        let with = |survived: bool, least: Agreement| {
            let agree = suspects.iter().filter(move |suspect| {
                suspect.was_survived == survived && suspect.agreement.is_some_and(|found| found >= least)
            });
            agree.filter_map(|suspect| Some((suspect.agreement?, suspect.span)))
        };
        let first = with(false, Agreement::Phrase).rev().max_by_key(|(agreement, _)| *agreement);
        let found = first.or_else(|| {
            // Of what the work had already put up with a phrase says too little, and a few words may be there by chance if it
            // continued with work that was none of the aftermath. What may be said of anything is most likely
            // said of that after which the work ended.
            let error = self.record.spans[around as usize].error();
            let ended_it = suspects.iter().any(|suspect| !suspect.was_survived);
            let by_chance = |span: u32| {
                let errors = error.zip(self.record.spans[span as usize].error());
                errors.is_none_or(|(error, other)| {
                    may_be_chance(error, other) || ended_it && is_said_of_anything(error, other)
                }) && !self.is_only_aftermath(around, span, u32::MAX)
            };
            let told = || with(true, Agreement::Message).filter(|(_, span)| !by_chance(*span));
            let best = told().map(|(agreement, _)| agreement).max()?;
            let alike = || told().filter(|(agreement, _)| *agreement == best).rev();
            // What was made good later did not end anything.
            let mut made_good = self.made_good();
            alike().find(|(_, span)| !made_good(*span)).or_else(|| alike().next())
        });
        found.map(|(agreement, span)| (span, Ground::SameError(agreement)))
    }

    /// An error that has several others in it reports all of them: what failed first among these, if it is not the culprit.
    pub(super) fn first_told(&self, culprit: u32, suspects: &[Suspect]) -> Option<(u32, Ground)> {
        let told = suspects.iter().find(|suspect| suspect.span == culprit)?;
        let agreement = told.agreement.filter(|agreement| *agreement < Agreement::Whole)?;
        let error = self.record.spans[culprit as usize].error();
        let before = suspects.iter().take_while(|suspect| suspect.span != culprit);
        let first = before.map(|suspect| (suspect.span, suspect.agreement)).find(|(span, agrees)| {
            let other = self.record.spans[*span as usize].error();
            // What the culprit says itself, whatever passed it on says for that reason.
            let is_in_culprit =
                || error.zip(other).is_some_and(|(own, other)| agreement_of(own, other).is_some());
            *agrees >= Some(agreement.max(Agreement::Message)) && other != error && !is_in_culprit()
        });
        first.map(|(span, _)| (span, Ground::SameError(agreement)))
    }

    /// Whether an error says what was done last, and so perhaps not why: the name of the last step, which succeeded, is in it.
    pub(super) fn tells_of_last_step(&self, around: u32, error: &ErrorInfo) -> bool {
        self.last_work_in(around).is_some_and(|last| {
            let facts = &self.record.spans[last as usize];
            facts.status == Status::Success
                && words::names_step(&words::words(&error.message), facts.first.event_type.as_str())
        })
    }

    /// Whether the last step in a span cleaned up, or told somebody.
    pub(super) fn ended_with_aftermath(&self, around: u32) -> bool {
        self.last_work_in(around).is_some_and(|last| self.is_aftermath(around, last))
    }

    /// Whether one step alone was begun in a span after a failure in it.
    pub(super) fn is_last_but_one(&self, around: u32, failure: u32) -> bool {
        self.next_work(around, failure).is_some_and(|next| self.last_work_in(around) == Some(next))
    }

    fn last_work_in(&self, around: u32) -> Option<u32> {
        let mut children = self.record.children(around).iter().rev().copied();
        children.find(|child| {
            let facts = &self.record.spans[*child as usize];
            !facts.undoes && !facts.is_point
        })
    }

    /// The failures in the same place as one that may have ended the work around them as well: they were followed by nothing
    /// either, and are neither attempts at the same thing nor items of one batch.
    pub(super) fn others_as_likely<'s>(
        &'s self,
        failure: u32,
        suspects: &'s [Suspect],
    ) -> impl Iterator<Item = u32> + 's {
        let others = suspects.iter().filter(move |other| other.span != failure && !other.was_survived);
        let others = others.map(|other| other.span);
        others.filter(move |other| !self.are_items(*other, failure) && !self.are_attempts(*other, failure))
    }

    /// The words that the error of a span has of its own, clause by clause: long ones that are not the names of the work around
    /// it. None if it says that there was no more of something that work takes.
    pub(super) fn own_words(&self, span: u32) -> Vec<Vec<Word<'e>>> {
        const LONG: usize = 4;
        const LOOKED_AT: usize = 16;
        let first = &self.record.spans[span as usize].first;
        let error = self.record.spans[span as usize].error();
        let Some(error) = error.filter(|error| !words::speaks_of_a_budget(error)) else { return Vec::new() };
        let workflow = first.workflow.as_deref().unwrap_or_default();
        let names = format!("{} {workflow}", first.span_name());
        let names = words::words(&names);
        let is_own = |word: &Word<'_>| {
            let is_word = word.chars().count() >= LONG && !word.contains(|c: char| c.is_ascii_digit());
            is_word && !names.contains(word) && !words::AREAS.contains(&&**word)
        };
        let telling = clauses(&error.message).take(LOOKED_AT).filter(|clause| clause.len() <= LONGEST);
        let telling = telling.filter(|clause| !says_nothing(clause));
        telling.map(|clause| words::words(clause).into_iter().filter(is_own).collect()).collect()
    }

    /// Whether these words say enough without the name of a failure.
    pub(super) fn say_enough(&self, own: &[Vec<Word<'_>>], failure: u32) -> bool {
        const ENOUGH: usize = 3;
        let name = self.record.spans[failure as usize].first.span_name();
        let name = words::words(&name);
        own.iter().any(|clause| clause.iter().filter(|word| !name.contains(word)).count() >= ENOUGH)
    }

    /// Of a cause that was found as one of several, the origins of the others, in the order in which they ended.
    pub fn as_likely(&self, found: &Found) -> Vec<u32> {
        let Some(at) = found.steps.iter().position(|(_, ground)| *ground == Ground::OneOfSeveral) else {
            return Vec::new();
        };
        let around = at.checked_sub(1).map_or(found.top, |before| found.steps[before].0);
        let others = self.suspects(around);
        let others = self.others_as_likely(found.steps[at].0, &others);
        others.take(LISTED).map(|other| self.descend(other, Status::Failed).cause).collect()
    }

    /// If a cause was found because what ended the work is called as if it cleaned up: the origin of that, which may be the cause
    /// as well.
    pub fn perhaps_cleaned_up(&self, found: &Found) -> Option<u32> {
        let at = found.steps.iter().position(|(_, ground)| *ground == Ground::PerhapsCleanedUp)?;
        let around = at.checked_sub(1).map_or(found.top, |before| found.steps[before].0);
        let (ended_by, _) = self.ended_by(around, &self.suspects(around))?;
        Some(self.descend(ended_by, Status::Failed).cause)
    }

    /// Whether an error calls a span by its name; its words are those of [`said_by`](Self::said_by).
    pub fn is_called_by_name(&self, said: &[Word<'_>], span: u32) -> bool {
        let name = self.record.spans[span as usize].first.event_type.as_str();
        words::names_step(said, name)
    }

    /// Of the failures inside a span, the last that its error calls by its name and that was not made good.
    pub(super) fn named_in(&self, around: u32, suspects: &[Suspect]) -> Option<u32> {
        let (said, mut made_good) = (self.said_by(around), self.made_good());
        let name = |span: u32| self.record.spans[span as usize].first.event_type.as_str();
        let mut spans = suspects.iter().rev().map(|suspect| suspect.span).take(LOOKED_AT);
        spans.find(|span| words::names_step(&said, name(*span)) && !made_good(*span))
    }

    /// The words of the error of a span, in lower case.
    pub fn said_by(&self, span: u32) -> Vec<Word<'e>> {
        let error = self.record.spans[span as usize].error();
        error.map(|error| words::words(&error.message)).unwrap_or_default()
    }

    /// The last failure inside a span that was not made good, and that may have brought it down although neither a link says so
    /// nor its error.
    pub fn may_come_from(&self, span: u32) -> Option<u32> {
        let facts = &self.record.spans[span as usize];
        // What says so was there.
        let is_its_own = |error: &ErrorInfo| {
            [errors::ABANDONED, errors::DEADLINE, errors::PANIC].contains(&error.kind.as_str())
        };
        if !self.failure_below[span as usize]
            || facts.failed_elsewhere
            || facts.error().is_some_and(is_its_own)
        {
            return None;
        }
        let mut made_good = self.made_good();
        self.suspects(span).iter().rev().map(|suspect| suspect.span).find(|inside| !made_good(*inside))
    }
}
