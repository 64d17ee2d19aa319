//! What was done several times: attempts at one thing, and the same with one thing after the other.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::record::SpanFacts;
use super::vague::LONGEST;
use super::{Causes, Suspect, words};
use crate::names::{DEPENDENCY_PREFIX, HTTP_REQUEST, data};
use crate::{ErrorInfo, Status};

/// How many steps there are at most between an attempt and the next.
const ROUND: usize = 8;
/// How many spans before another are looked at.
const NEAR: usize = 256;

impl<'e> Causes<'e> {
    fn name(&self, span: u32) -> Cow<'e, str> {
        self.record.spans[span as usize].first.span_name()
    }

    /// The work in the same place that began shortly before a span, the last first.
    fn work_before(&self, span: u32) -> impl Iterator<Item = u32> {
        let parent = self.record.spans[span as usize].parent;
        let siblings = parent.map_or(&[][..], |parent| self.record.children(parent));
        let earlier = &siblings[..siblings.partition_point(|sibling| *sibling < span)];
        earlier.iter().rev().take(NEAR).copied().filter(|at| is_work(&self.record.spans[*at as usize]))
    }

    /// Whether it was tried several times, and always failed: by links that say so, one time after the other, or each time with
    /// the same other work in between. A dependency that only differs by a number is tried in its place: another replica.
    pub(super) fn never_succeeded(&self, span: u32) -> bool {
        let facts = &self.record.spans[span as usize];
        if !facts.retries().is_empty() {
            return true;
        }
        let Some(parent) = facts.parent else { return false };
        let tried = tried_in(self.name(span));
        let mut earlier = self.work_before(span);
        // The names of what came between an attempt and the one before it, if there is one.
        let mut since_the_last = |later: u32| {
            let mut between = Vec::new();
            for before in earlier.by_ref().take(ROUND) {
                let name = self.name(before);
                if tried_in(name.clone()) == tried {
                    let [before_it, it] = [before, later].map(|span| &self.record.spans[span as usize]);
                    return (before_it.ended < it.began).then_some((before, between));
                }
                between.push(name);
            }
            None
        };
        let Some((before, between)) = since_the_last(span) else { return false };
        (between.is_empty() || since_the_last(before).is_some_and(|(_, others)| others == between))
            && self.record.children(parent).iter().all(|other| {
                let facts = &self.record.spans[*other as usize];
                let ended_badly = matches!(facts.status, Status::Failed | Status::Cancelled);
                !is_work(facts) || ended_badly || tried_in(self.name(*other)) != tried
            })
    }

    /// Whether code needs a span to succeed: the caller of a saga or a workflow needs its result, a call to a dependency its
    /// answer, code that tries again that of the step, and a panic is what nobody expects.
    pub(super) fn is_needed(&self, span: u32) -> bool {
        let facts = &self.record.spans[span as usize];
        let is_of_kind =
            facts.is_of("saga:") || facts.is_of("workflow:") || self.is_answer(span) || self.is_panic(span);
        is_of_kind || self.never_succeeded(span)
    }

    /// Whether it is what a service did for a call to it.
    fn is_answer(&self, span: u32) -> bool {
        let facts = &self.record.spans[span as usize];
        let is_called = |caller: u32| self.record.spans[caller as usize].is_of(DEPENDENCY_PREFIX);
        facts.first.event_type == HTTP_REQUEST && facts.parent.is_some_and(is_called)
    }

    /// Tells whether a step of the same name in the same place succeeded after one, and not because that was done with one thing
    /// after the other.
    pub(super) fn made_good(&self) -> impl FnMut(u32) -> bool {
        // For each place the last success of each name.
        let mut last_of_all: HashMap<u32, HashMap<Cow<'e, str>, u32>> = HashMap::new();
        move |span| {
            let Some(parent) = self.record.spans[span as usize].parent else { return false };
            let last = last_of_all.entry(parent).or_insert_with(|| {
                let succeeded = |child: &&u32| self.record.spans[**child as usize].status == Status::Success;
                let children = self.record.children(parent).iter().filter(succeeded);
                children.map(|child| (self.name(*child), *child)).collect()
            });
            let later = last.get(&self.name(span)).filter(|last| **last > span);
            later.is_some_and(|later| !self.are_given_others(*later, span)) && !self.is_next_item(span)
        }
    }

    /// Whether the work directly before it is of the same name and succeeded: what is done with one thing after the other is not
    /// tried again.
    fn is_next_item(&self, span: u32) -> bool {
        self.work_before(span).next().is_some_and(|before| {
            self.record.spans[before as usize].status == Status::Success
                && self.name(before) == self.name(span)
        })
    }

    /// Whether it was recorded what two steps were given, and that is not the same thing. A model that calls a tool tries again
    /// with something else.
    fn are_given_others(&self, one: u32, other: u32) -> bool {
        let input = |span: u32| {
            let facts = &self.record.spans[span as usize];
            facts.first.data.as_ref().filter(|_| !facts.is_of("tool:"))?.get(data::INPUT)
        };
        input(one).zip(input(other)).is_some_and(|(one, other)| one != other)
    }

    /// Whether two failures are of one kind, but of different things: the items of a batch. Replicas of a dependency are one
    /// thing.
    pub fn are_items(&self, one: u32, other: u32) -> bool {
        let [one_name, other_name] = [one, other].map(|span| tried_in(self.name(span)));
        let parent = self.record.spans[one as usize].parent;
        parent == self.record.spans[other as usize].parent
            && match kind_of(&one_name) == kind_of(&other_name) {
                true => {
                    one_name != other_name
                        || self.is_next_item(one.max(other))
                        || self.are_given_others(one, other)
                }
                false => {
                    area_of(&one_name) == area_of(&other_name)
                        && parent.is_some_and(|parent| self.counts_what_failed(parent))
                }
            }
    }

    /// Whether the error of a span has the number of the failures directly inside it in it, and another that is not smaller: `2 of
    /// 3 exports failed`, `2/2 exports failed`.
    fn counts_what_failed(&self, around: u32) -> bool {
        let failed = self.failed_inside[around as usize];
        let error = self.record.spans[around as usize].error();
        let message = error.map_or("", |error| error.message.as_str());
        failed > 1 && message.len() <= LONGEST && {
            let numbers =
                || message.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok());
            let said = |number: &u32| *number == failed;
            numbers().any(|number| said(&number))
                && (numbers().filter(said).nth(1).is_some() || numbers().any(|number| number > failed))
        }
    }

    /// Whether two failures are attempts at one thing.
    pub(super) fn are_attempts(&self, one: u32, other: u32) -> bool {
        let [one_name, other_name] = [one, other].map(|span| tried_in(self.name(span)));
        self.record.spans[one as usize].parent == self.record.spans[other as usize].parent
            && one_name == other_name
    }

    /// If the error of a span says that there was no more of something that its work took, such as attempts, time or money: what
    /// that was spent on. A step was tried at least three times and never succeeded, and that was a good part of the work since.
    pub(super) fn spent_on(&self, around: u32, error: &ErrorInfo, suspects: &[Suspect]) -> Option<u32> {
        const TIMES: usize = 3;
        const PART: usize = 4;
        if !words::speaks_of_a_budget(error) {
            return None;
        }
        // For each step that failed how often it did, and how much work there was before it.
        let mut attempts: HashMap<Cow<'e, str>, (usize, usize)> = HashMap::new();
        let mut succeeded: HashSet<Cow<'e, str>> = HashSet::new();
        let mut work = 0;
        for child in self.record.children(around).iter().copied() {
            let facts = &self.record.spans[child as usize];
            let name = tried_in(self.name(child));
            match facts.status {
                _ if !is_work(facts) => continue,
                Status::Failed | Status::Cancelled => attempts.entry(name).or_insert((0, work)).0 += 1,
                _ => drop(succeeded.insert(name)),
            }
            work += 1;
        }
        let spent = |name: &Cow<'e, str>| {
            let (times, before) = attempts.get(name)?;
            let is_good_part = *times >= TIMES && times * PART >= work - before;
            (is_good_part && !succeeded.contains(name)).then_some(*times)
        };
        let failed = suspects.iter().map(|suspect| suspect.span);
        let failed = failed.filter_map(|span| Some((spent(&tried_in(self.name(span)))?, span)));
        // What was tried most, and of the attempts the last.
        failed.max_by_key(|(times, _)| *times).map(|(_, span)| span)
    }

    /// Of the failures that are items as this one is, the first that was not made good.
    pub(super) fn first_of_its_kind(&self, span: u32, suspects: &[Suspect]) -> u32 {
        let mut made_good = self.made_good();
        let mut spans = suspects.iter().map(|suspect| suspect.span);
        let first = spans.find(|other| *other == span || self.are_items(*other, span) && !made_good(*other));
        first.unwrap_or(span)
    }
}

pub(super) fn is_work(facts: &SpanFacts<'_>) -> bool {
    !facts.is_point && !facts.undoes
}

/// What kind of step it is by its name: `export` of `export:orders`.
fn area_of(name: &str) -> &str {
    name.split(':').next().unwrap_or_default()
}

/// The name of a step without the numbers and ids in it: `item:` of `item:7`, `message:` of `message:7f3a`.
fn kind_of(name: &str) -> String {
    let parts = name.split_inclusive(|c: char| !c.is_alphanumeric());
    let kind = parts.map(|part| {
        let word = part.trim_end_matches(|c: char| !c.is_alphanumeric());
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        match word.contains(|c: char| c.is_ascii_digit()) && is_id(word, letters) {
            true => part[word.len()..].to_owned(),
            false => part.replace(|c: char| c.is_ascii_digit(), ""),
        }
    });
    kind.collect()
}

/// Whether a word with digits in it is an id: it has digits before letters, or is a long hexadecimal number. In others, as in
/// `worker7`, something is numbered.
fn is_id(word: &str, letters: &str) -> bool {
    /// Shorter ones may be names of something, as `db1` is.
    const LONG_ENOUGH: usize = 4;
    let is_hexadecimal = || word.len() >= LONG_ENOUGH && word.bytes().all(|c| c.is_ascii_hexdigit());
    letters.contains(|c: char| c.is_ascii_digit()) || is_hexadecimal()
}

/// The name of what is tried in a step: of a call to one of several replicas, that of all of them.
fn tried_in(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.starts_with(DEPENDENCY_PREFIX) { kind_of(&name).into() } else { name }
}
