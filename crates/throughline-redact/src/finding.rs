//! [`Finding`]: what would be hidden, and why.

use std::ops::Range;

use crate::{families, marker};

/// Something in a text that must not be seen. See [`Redactor::findings`](crate::Redactor::findings).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Where it stands in the text, in bytes.
    pub range: Range<usize>,
    /// What it is, as marks and [`Redactor::marks`](crate::Redactor::marks) say: `email`, `api-key`, `key` for what stands under
    /// a sensitive key, or the name of a [pattern](crate::Redaction::pattern).
    pub kind: String,
    /// What gave it away, for people to read.
    pub because: String,
}

impl Finding {
    pub(crate) fn new(text: &str, range: Range<usize>, mark: &str) -> Self {
        let kind = marker::kind(mark.trim_matches(['"', '\\'])).to_owned();
        let because = match kind.as_str() {
            "key" => match name_before(&text[..range.start]) {
                Some(name) => format!("the value of `{name}`"),
                None => "the value of a sensitive name".to_owned(),
            },
            "api-key" => match families::known().issuer_of(&text[range.clone()]) {
                Some(issuer) => format!("the form of a token of {issuer}"),
                None => "the form of a token".to_owned(),
            },
            "password" => "a password in a URL".to_owned(),
            "card" | "iban" | "national-id" => "its check digits".to_owned(),
            "bearer" | "basic" => format!("it follows `{kind}`"),
            _ => format!("the form of: {kind}"),
        };
        Self { range, kind, because }
    }
}

/// The name that stands before a value.
fn name_before(text: &str) -> Option<&str> {
    let is_in_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    let end = text.trim_end_matches(|c: char| !is_in_name(c)).len();
    let start = text[..end].rfind(|c: char| !is_in_name(c)).map_or(0, |at| text.ceil_char_boundary(at + 1));
    Some(&text[start..end]).filter(|name| (1..=64).contains(&name.len()))
}
