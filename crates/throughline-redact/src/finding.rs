//! [`Finding`]: what would be hidden, and why.

use std::ops::Range;

use rustc_hash::FxHashSet;

use crate::found::{Clue, Hit};
use crate::marker;

/// So many characters of a secret in a row give a part of it away.
const PART: usize = 4;

/// A longer name is none that anybody wants to read.
const LONGEST_NAME: usize = 64;

/// Something in a text that must not be seen. See [`Redactor::findings`](crate::Redactor::findings).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Where it stands in the text, in bytes.
    pub range: Range<usize>,
    /// What it is, as marks and [`Redactor::marks`](crate::Redactor::marks) say: `email`, `api-key`, `key` for what stands under
    /// a sensitive key, or the name of a [pattern](crate::Redaction::pattern).
    pub kind: String,
    /// What gave it away, for people to read. It repeats nothing of what would be hidden: a name that has four characters in a
    /// row in common with any of it is left out.
    pub because: String,
}

/// Something in a payload that must not be seen. See [`Redactor::payload_findings`](crate::Redactor::payload_findings).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PayloadFinding {
    /// Where it stands, as a [JSON pointer](https://www.rfc-editor.org/rfc/rfc6901): `/applicant/pin`. Keys with secrets in them
    /// are redacted.
    pub pointer: String,
    /// What it is, as in a [`Finding`]; `cut` for what is nested too deep.
    pub kind: String,
    /// What gave it away, as in a [`Finding`].
    pub because: String,
}

/// Why something would be hidden.
#[derive(Debug)]
pub(crate) enum Reason {
    /// It is the value of this name.
    Name(String),
    /// What it is says it, or what holds it.
    Other(String),
}

impl Reason {
    /// What gave a hit in a text away.
    pub(crate) fn of(text: &str, hit: &Hit<'_>) -> Self {
        let kind = kind(hit.mark);
        let said = match (kind, &hit.clue) {
            (_, Clue::Name(name)) => {
                return Self::Name(text.get(name.clone()).unwrap_or_default().to_owned());
            }
            (_, Clue::Issuer(issuer)) => format!("the form of a token of {issuer}"),
            ("password", _) => "a password in a URL".to_owned(),
            ("card" | "iban" | "national-id", _) => "its check digits".to_owned(),
            ("bearer" | "basic", _) => format!("it follows `{kind}`"),
            _ => format!("the form of: {kind}"),
        };
        Self::Other(said)
    }

    /// The reason in words, in which no part of what is hidden is repeated.
    pub(crate) fn in_words(self, hidden: &Hidden<'_>) -> String {
        match self {
            Self::Name(name) if hidden.may_show(&name) => format!("the value of `{name}`"),
            Self::Name(_) => "the value of a sensitive name".to_owned(),
            Self::Other(said) => said,
        }
    }
}

/// What a mark says of what it stands for.
pub(crate) fn kind(mark: &str) -> &str {
    marker::kind(mark.trim_matches(['"', '\\']))
}

/// The hits in a text, which are in order and apart, with what gave them away.
pub(crate) fn explained(text: &str, hits: &[Hit<'_>]) -> Vec<Finding> {
    let hidden = Hidden::of(hits.iter().map(|hit| &text[hit.range.clone()]));
    let finding = |hit: &Hit<'_>| Finding {
        range: hit.range.clone(),
        kind: kind(hit.mark).to_owned(),
        because: Reason::of(text, hit).in_words(&hidden),
    };
    hits.iter().map(finding).collect()
}

/// All that must not be seen, and its parts.
pub(crate) struct Hidden<'t> {
    texts: FxHashSet<&'t str>,
    parts: FxHashSet<&'t str>,
}

impl<'t> Hidden<'t> {
    pub(crate) fn of(texts: impl Iterator<Item = &'t str> + Clone) -> Self {
        Self { texts: texts.clone().collect(), parts: texts.flat_map(parts).collect() }
    }

    /// Whether a name is one, and says nothing of what is hidden.
    fn may_show(&self, name: &str) -> bool {
        let is_name = (1..=LONGEST_NAME).contains(&name.len()) && !name.contains(char::is_control);
        is_name && !self.texts.contains(name) && !parts(name).any(|part| self.parts.contains(part))
    }
}

/// All that has so many characters and stands in a text, one after the other.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let starts = text.char_indices().map(|(at, _)| at);
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8()).skip(PART - 1);
    starts.zip(ends).map(|(start, end)| &text[start..end])
}
