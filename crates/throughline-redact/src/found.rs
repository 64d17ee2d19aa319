//! What was found in a text: where it stands, the mark that is to stand for it, and what gave it away.

use std::ops::Range;

/// What gave something away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Clue {
    /// Its form; the mark says which.
    Form,
    /// Its form, which is that of the tokens of this issuer.
    Issuer(&'static str),
    /// The name that stands here, whatever the value is.
    Name(Range<usize>),
}

/// Something that is to be hidden.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit<'s> {
    pub(crate) range: Range<usize>,
    /// What is to stand for it.
    pub(crate) mark: &'s str,
    pub(crate) clue: Clue,
}

impl Hit<'_> {
    /// The same in a text in which all places are others.
    pub(crate) fn moved(self, to: impl Fn(Range<usize>) -> Range<usize>) -> Self {
        let clue = match self.clue {
            Clue::Name(name) => Clue::Name(to(name)),
            other => other,
        };
        Self { range: to(self.range), clue, ..self }
    }
}

/// What was found in a text.
#[derive(Debug, Default)]
pub(crate) struct Found<'s> {
    hits: Vec<Hit<'s>>,
}

impl<'s> Found<'s> {
    pub(crate) fn add(&mut self, hit: Hit<'s>) {
        self.hits.push(hit);
    }

    /// Notes what its form gave away, and the mark that is to stand for it.
    pub(crate) fn push(&mut self, range: Range<usize>, mark: &'s str) {
        self.add(Hit { range, mark, clue: Clue::Form });
    }

    /// Notes the value of a name, which stands elsewhere in the text.
    pub(crate) fn push_value(&mut self, range: Range<usize>, mark: &'s str, name: Range<usize>) {
        self.add(Hit { range, mark, clue: Clue::Name(name) });
    }

    /// The hits in order, those that overlap made one under the mark of the first.
    pub(crate) fn merged(mut self) -> Vec<Hit<'s>> {
        if self.hits.len() < 2 {
            return self.hits;
        }
        self.hits.sort_by_key(|hit| (hit.range.start, std::cmp::Reverse(hit.range.end)));
        self.hits.dedup_by(|later, kept| {
            let overlaps = later.range.start < kept.range.end;
            if overlaps {
                kept.range.end = kept.range.end.max(later.range.end);
            }
            overlaps
        });
        self.hits
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
    found.merged().into_iter().map(|hit| (text[hit.range].to_owned(), hit.mark)).collect()
}
