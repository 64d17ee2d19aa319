//! The scanner: finds in any text what is to be hidden, and puts marks in its place.

use std::borrow::Cow;
use std::sync::Arc;

use memchr::memchr2;
use regex::Regex;

use crate::counts::Counts;
use crate::fold::{self, Folded};
use crate::found::{Found, Hit};
use crate::keys::{Choice, Keys};
use crate::marker::Marks;
use crate::prefilter::{Prefilter, is_id_or_moment};
use crate::{
    addresses, armour, assign, elements, json, marker, numbers, pairs, paths, programs, shapes, tables,
    tokens,
};

/// How often a text is looked at again, because a mark beside it may have made it readable in a new way. What
/// is still not clean then is hidden altogether.
const ROUNDS: usize = 2;

/// A hit that is found only beside marks is rare. Where there are more than one in so many bytes, somebody plays with the
/// scanner, and the text is hidden altogether rather than looked at again and again.
const BYTES_PER_LATE_HIT: usize = 512;
/// So many of them are let through in a text of any length.
const LATE_HITS: usize = 8;

/// How deep JSON is read that stands in strings of JSON: each level is read once more.
const LEVELS: usize = 3;

/// How a text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As anything that people or programs write.
    Prose,
    /// As a name of the form `area:what`: an event type, a tag.
    Name,
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
    pub(crate) keys: Arc<Keys>,
    pub(crate) patterns: Vec<Pattern>,
    pub(crate) marks: Marks,
    pub(crate) counts: Counts,
    choice: Choice,
    /// Whether nothing is looked for.
    pub(crate) is_off: bool,
}

impl Scanner {
    pub(crate) fn new(keys: Arc<Keys>, patterns: Vec<Pattern>, choice: Choice, is_off: bool) -> Self {
        let marks = Marks::of(patterns.iter().map(|pattern| pattern.mark.clone()).collect());
        let counts = Counts::of(&marks.own);
        Self { keys, patterns, marks, counts, choice, is_off }
    }

    /// Whether there is more to look for than the standard: patterns, or shapes by choice.
    fn has_more(&self) -> bool {
        !self.patterns.is_empty() || self.choice.has_shapes()
    }

    /// Whether personal data is left alone.
    pub(crate) fn is_for_credentials(&self) -> bool {
        self.choice.credentials_only
    }

    /// Whether there is anything to hide in a text.
    #[inline]
    pub(crate) fn hits(&self, text: &str, reading: Reading) -> bool {
        let prefilter = Prefilter::of(text);
        !self.is_clean(text, prefilter) && !self.find(text, prefilter, reading, 0).is_empty()
    }

    /// All that is to be hidden in a text, with the marks that are to stand for it.
    pub(crate) fn hits_in(&self, text: &str, reading: Reading) -> Vec<Hit<'_>> {
        let prefilter = Prefilter::of(text);
        if self.is_clean(text, prefilter) {
            return Vec::new();
        }
        self.find(text, prefilter, reading, 0)
    }

    /// The text with marks in place of what is to be hidden.
    #[inline]
    pub(crate) fn clean<'a>(&self, text: &'a str, reading: Reading) -> Cow<'a, str> {
        let prefilter = Prefilter::of(text);
        if self.is_clean(text, prefilter) {
            Cow::Borrowed(text)
        } else {
            self.replace(text, prefilter, reading, Some(&self.counts))
        }
    }

    /// The same where nothing is really hidden: it does not count.
    pub(crate) fn clean_uncounted<'a>(&self, text: &'a str, reading: Reading) -> Cow<'a, str> {
        self.replace(text, Prefilter::of(text), reading, None)
    }

    /// Whether a text is clean at a glance.
    #[inline]
    fn is_clean(&self, text: &str, prefilter: Prefilter) -> bool {
        self.is_off || ((prefilter.is_clean() || is_id_or_moment(text)) && !self.has_more())
    }

    fn replace<'a>(
        &self,
        text: &'a str,
        prefilter: Prefilter,
        reading: Reading,
        counts: Option<&Counts>,
    ) -> Cow<'a, str> {
        let count = |mark: &str| counts.iter().for_each(|counts| counts.add(mark));
        let mut cleaned = Cow::Borrowed(text);
        let mut hits = self.find(text, prefilter, reading, 0);
        for round in 0..ROUNDS {
            if hits.is_empty() {
                return cleaned;
            }
            if round > 0 && hits.len() > LATE_HITS + text.len() / BYTES_PER_LATE_HIT {
                break;
            }
            let mut marked = String::with_capacity(cleaned.len() + 16 * hits.len());
            let mut done = 0;
            for Hit { range, mark, .. } in hits {
                count(mark);
                marked.push_str(&cleaned[done..range.start]);
                marked.push_str(mark);
                done = range.end;
            }
            marked.push_str(&cleaned[done..]);
            hits = self.confined(&marked, self.find_between_marks(&marked, reading), reading, 0);
            cleaned = Cow::Owned(marked);
        }
        if hits.is_empty() {
            return cleaned;
        }
        count(marker::REDACTED);
        if !json::is_json(text) {
            return Cow::Borrowed(marker::REDACTED);
        }
        // JSON stays JSON, and its strings go altogether that still have something in them.
        let hidden = json::without_strings(&cleaned, hits.iter().map(|hit| &hit.range));
        let is_clean = json::is_json(&hidden) && !self.hits(&hidden, reading);
        if is_clean { Cow::Owned(hidden) } else { Cow::Borrowed(marker::REDACTED_JSON) }
    }

    /// The hits in a text, in order and apart; so many levels of JSON are around it.
    fn find(&self, text: &str, prefilter: Prefilter, reading: Reading, level: usize) -> Vec<Hit<'_>> {
        let hits = if prefilter.marks() && self.marks.any_in(text) {
            self.find_between_marks(text, reading)
        } else {
            self.find_between(text, prefilter, reading)
        };
        self.confined(text, hits, reading, level)
    }

    /// The hits as they are where a text is not JSON, and otherwise confined to its strings.
    #[inline]
    fn confined<'s>(
        &'s self,
        text: &str,
        hits: Vec<Hit<'s>>,
        reading: Reading,
        level: usize,
    ) -> Vec<Hit<'s>> {
        let may_be_json = level < LEVELS && json::may_be_json(text);
        let may_matter = || !hits.is_empty() || memchr2(b'\\', b'|', text.as_bytes()).is_some();
        if may_be_json && may_matter() && json::is_json(text) {
            self.find_in_json(text, hits, reading, level + 1)
        } else {
            hits
        }
    }

    /// The hits in JSON: of those found so far, what is within one string or around whole ones; and what is found in strings
    /// without their escapes.
    fn find_in_json<'s>(
        &'s self,
        text: &str,
        hits: Vec<Hit<'s>>,
        reading: Reading,
        level: usize,
    ) -> Vec<Hit<'s>> {
        let literals = json::literals(text);
        let literal_at = |at: usize| {
            let next = literals.partition_point(|literal| literal.inner.end < at);
            literals.get(next).filter(|literal| literal.inner.start <= at)
        };
        let mut found = Found::default();
        for hit in hits {
            match literal_at(hit.range.start) {
                Some(literal) if literal.has_escapes && hit.range != literal.inner => {}
                Some(literal) => {
                    let range = hit.range.start..hit.range.end.min(literal.inner.end);
                    found.add(Hit { range, ..hit });
                }
                // Between strings there is nothing to hide but a whole value: the quote that a value seemed to begin with may end
                // the string before.
                None if literal_at(hit.range.end).is_none() && json::is_value(&text[hit.range.clone()]) => {
                    found.add(Hit { mark: self.marks.quoted(hit.mark), ..hit });
                }
                None => {}
            }
        }
        for literal in literals.iter().filter(|literal| literal.has_escapes) {
            let plain = json::unescaped(&text[literal.inner.clone()]);
            let start = literal.inner.start;
            for hit in self.find(&plain.text, Prefilter::of(&plain.text), reading, level) {
                let mark = json::escaped(hit.mark);
                let hit = hit.moved(|part| {
                    let part = plain.origin(part);
                    start + part.start..start + part.end
                });
                found.add(Hit { mark, ..hit });
            }
        }
        found.merged()
    }

    /// The hits in a text with marks: these are no text.
    fn find_between_marks(&self, text: &str, reading: Reading) -> Vec<Hit<'_>> {
        let mut all = Vec::new();
        let mut from = 0;
        for mark in self.marks.in_text(text).chain(std::iter::once(text.len()..text.len())) {
            let between = &text[from..mark.start];
            let prefilter = Prefilter::of(between);
            if !self.is_clean(between, prefilter) {
                let hits = self.find_between(between, prefilter, reading).into_iter();
                all.extend(hits.map(|hit| hit.moved(|part| part.start + from..part.end + from)));
            }
            from = mark.end;
        }
        all
    }

    fn find_between(&self, text: &str, prefilter: Prefilter, reading: Reading) -> Vec<Hit<'_>> {
        match prefilter.disguises().then(|| Folded::of(text)).flatten() {
            None => self.find_in_plain(text, prefilter, reading),
            Some(folded) => {
                let mut found = Found::default();
                let behind =
                    if prefilter.emails() { addresses::find_in_urls(text, &mut found) } else { Vec::new() };
                for hit in self.find_in_plain(&folded.text, Prefilter::of(&folded.text), reading) {
                    let mut hit = hit.moved(|part| folded.origin(part));
                    // An escape in a password hides that the `@` is behind one.
                    if hit.mark == marker::EMAIL && behind.iter().any(|at| hit.range.contains(at)) {
                        continue;
                    }
                    if hit.mark == marker::REDACTED {
                        hit.range = fold::whole(text.as_bytes(), hit.range);
                    }
                    found.add(hit);
                }
                found.merged()
            }
        }
    }

    fn find_in_plain(&self, text: &str, prefilter: Prefilter, reading: Reading) -> Vec<Hit<'_>> {
        let mut found = Found::default();
        let personal = !self.choice.credentials_only;
        if prefilter.numbers() && personal {
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
            if personal {
                addresses::find_emails(text, &behind_passwords, &mut found);
            }
        }
        if prefilter.assignments() {
            assign::find(text, &self.keys, reading, &mut found);
        }
        if prefilter.has_rare() || self.has_more() {
            self.find_rare(text, prefilter, &mut found);
        }
        found.merged()
    }

    /// Finds what few texts may have.
    fn find_rare<'s>(&'s self, text: &str, prefilter: Prefilter, found: &mut Found<'s>) {
        if prefilter.putty() {
            armour::find_putty(text, found);
        }
        if prefilter.elements() {
            elements::find(text, &self.keys, found);
            pairs::find_elements(text, &self.keys, found);
        }
        if prefilter.dashes() {
            armour::find(text, found);
        }
        if prefilter.flags() {
            elements::find_flags(text, &self.keys, found);
        }
        if prefilter.quotes() {
            pairs::find_beside(text, &self.keys, found);
        }
        if prefilter.tuples() {
            pairs::find_tuples(text, &self.keys, found);
        }
        if prefilter.calls() {
            pairs::find_debug(text, &self.keys, found);
        }
        if prefilter.tables() {
            tables::find(text, &self.keys, found);
        }
        if prefilter.passwords() {
            programs::find_passwords(text, found);
        }
        if prefilter.codes() {
            programs::find_said(text, &self.keys, found);
        }
        if prefilter.commands() {
            programs::find(text, &self.keys, found);
        }
        if prefilter.paths() {
            paths::find(text, &self.keys, found);
        }
        if self.choice.has_shapes() {
            shapes::find(text, self.choice, found);
        }
        for pattern in &self.patterns {
            for hit in pattern.regex.find_iter(text).filter(|hit| !hit.is_empty()) {
                found.push(hit.range(), &pattern.mark);
            }
        }
    }
}
