//! The scanner: finds in any text what is to be hidden, and puts marks in its place.

use std::borrow::Cow;
use std::ops::Range;

use regex::Regex;

use crate::fold::Folded;
use crate::keys::Keys;
use crate::marker::Marks;
use crate::prefilter::{Prefilter, is_id_or_moment};
use crate::{addresses, assign, elements, marker, numbers, tokens};

/// How often a text is looked at again, because a mark beside it may have made it readable in a new way. What
/// is still not clean then is hidden altogether.
const ROUNDS: usize = 4;

/// How a text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As anything that people or programs write.
    Prose,
    /// As a name of the form `area:what`: an event type, a tag.
    Name,
}

/// What was found in a text.
#[derive(Debug, Default)]
pub(crate) struct Found<'s> {
    hits: Vec<(Range<usize>, &'s str)>,
}

impl<'s> Found<'s> {
    /// Notes a hit and the mark that is to stand for it.
    pub(crate) fn push(&mut self, hit: Range<usize>, mark: &'s str) {
        self.hits.push((hit, mark));
    }

    /// The hits in order, those that overlap made one under the mark of the first.
    fn merged(mut self) -> Vec<(Range<usize>, &'s str)> {
        self.hits.sort_by_key(|(hit, _)| (hit.start, std::cmp::Reverse(hit.end)));
        self.hits.dedup_by(|(later, _), (kept, _)| {
            let overlaps = later.start < kept.end;
            if overlaps {
                kept.end = kept.end.max(later.end);
            }
            overlaps
        });
        self.hits
    }
}

/// A pattern of the user's own.
#[derive(Debug)]
pub(crate) struct Pattern {
    pub(crate) regex: Regex,
    pub(crate) mark: String,
}

/// The scanner of text.
#[derive(Debug)]
pub(crate) struct Scanner {
    pub(crate) keys: Keys,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) marks: Marks,
    /// Whether nothing is looked for.
    pub(crate) is_off: bool,
}

impl Scanner {
    pub(crate) fn new(keys: Keys, patterns: Vec<Pattern>, is_off: bool) -> Self {
        let marks = Marks { own: patterns.iter().map(|pattern| pattern.mark.clone()).collect() };
        Self { keys, patterns, marks, is_off }
    }

    /// Whether there is anything to hide in a text.
    #[inline]
    pub(crate) fn hits(&self, text: &str, reading: Reading) -> bool {
        let prefilter = Prefilter::of(text);
        !self.is_clean(text, prefilter) && !self.find(text, prefilter, reading).is_empty()
    }

    /// The text with marks in place of what is to be hidden.
    #[inline]
    pub(crate) fn clean<'a>(&self, text: &'a str, reading: Reading) -> Cow<'a, str> {
        let prefilter = Prefilter::of(text);
        if self.is_clean(text, prefilter) {
            Cow::Borrowed(text)
        } else {
            self.replace(text, prefilter, reading)
        }
    }

    /// Whether a text is clean at a glance.
    #[inline]
    fn is_clean(&self, text: &str, prefilter: Prefilter) -> bool {
        self.is_off || ((prefilter.is_clean() || is_id_or_moment(text)) && self.patterns.is_empty())
    }

    fn replace<'a>(&self, text: &'a str, prefilter: Prefilter, reading: Reading) -> Cow<'a, str> {
        let mut cleaned = Cow::Borrowed(text);
        let mut hits = self.find(text, prefilter, reading);
        for _ in 0..ROUNDS {
            if hits.is_empty() {
                return cleaned;
            }
            let mut marked = String::with_capacity(cleaned.len() + 16 * hits.len());
            let mut done = 0;
            for (hit, mark) in hits {
                marked.push_str(&cleaned[done..hit.start]);
                marked.push_str(mark);
                done = hit.end;
            }
            marked.push_str(&cleaned[done..]);
            hits = self.find_between_marks(&marked, reading);
            cleaned = Cow::Owned(marked);
        }
        if hits.is_empty() { cleaned } else { Cow::Borrowed(marker::REDACTED) }
    }

    /// The hits in a text, in order and apart.
    fn find(&self, text: &str, prefilter: Prefilter, reading: Reading) -> Vec<(Range<usize>, &str)> {
        if prefilter.marks() && self.marks.in_text(text).next().is_some() {
            self.find_between_marks(text, reading)
        } else {
            self.find_between(text, prefilter, reading)
        }
    }

    /// The hits in a text with marks: these are no text.
    fn find_between_marks(&self, text: &str, reading: Reading) -> Vec<(Range<usize>, &str)> {
        let mut all = Vec::new();
        let mut from = 0;
        for mark in self.marks.in_text(text).chain(std::iter::once(text.len()..text.len())) {
            let between = &text[from..mark.start];
            let prefilter = Prefilter::of(between);
            if !self.is_clean(between, prefilter) {
                let hits = self.find_between(between, prefilter, reading);
                all.extend(hits.into_iter().map(|(hit, mark)| (hit.start + from..hit.end + from, mark)));
            }
            from = mark.end;
        }
        all
    }

    fn find_between(&self, text: &str, prefilter: Prefilter, reading: Reading) -> Vec<(Range<usize>, &str)> {
        match prefilter.disguises().then(|| Folded::of(text)).flatten() {
            None => self.find_in_plain(text, prefilter, reading),
            Some(folded) => {
                let mut hits = self.find_in_plain(&folded.text, Prefilter::of(&folded.text), reading);
                for (hit, _) in &mut hits {
                    *hit = folded.origin(hit.clone());
                }
                hits
            }
        }
    }

    fn find_in_plain(&self, text: &str, prefilter: Prefilter, reading: Reading) -> Vec<(Range<usize>, &str)> {
        let mut found = Found::default();
        if prefilter.numbers() {
            numbers::find(text, &mut found);
        }
        if prefilter.tokens() {
            tokens::find(text, &mut found);
        }
        if prefilter.schemes() {
            tokens::find_schemes(text, &mut found);
        }
        if prefilter.emails() {
            let behind_passwords = addresses::find_in_urls(text, &mut found);
            addresses::find_emails(text, &behind_passwords, &mut found);
        }
        if prefilter.assignments() {
            assign::find(text, &self.keys, reading, &mut found);
        }
        if prefilter.elements() {
            elements::find(text, &self.keys, &mut found);
        }
        if prefilter.dashes() {
            tokens::find_private_keys(text, &mut found);
            elements::find_flags(text, &self.keys, &mut found);
        }
        for pattern in &self.patterns {
            for hit in pattern.regex.find_iter(text).filter(|hit| !hit.is_empty()) {
                found.push(hit.range(), &pattern.mark);
            }
        }
        found.merged()
    }
}

/// What one detector finds in a text, for tests.
#[cfg(test)]
pub(crate) fn found_in<'s>(
    text: &str,
    detector: impl FnOnce(&str, &mut Found<'s>),
) -> Vec<(String, &'s str)> {
    let mut found = Found::default();
    detector(text, &mut found);
    found.merged().into_iter().map(|(hit, mark)| (text[hit].to_owned(), mark)).collect()
}
