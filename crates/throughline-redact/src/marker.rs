//! The marks that redaction leaves, and how they are recognised among what is still to be redacted.

use std::ops::Range;

use crate::places::{any_in_row, places};
use crate::pseudonym;

/// What stands for a value under a sensitive key.
pub(crate) const REDACTED: &str = "[redacted]";
pub(crate) const REDACTED_JSON: &str = r#""[redacted]""#;
pub(crate) const REDACTED_INNER_JSON: &str = r#"\"[redacted]\""#;
pub(crate) const API_KEY: &str = "[redacted:api-key]";
pub(crate) const BASIC: &str = "[redacted:basic]";
pub(crate) const BEARER: &str = "[redacted:bearer]";
pub(crate) const CARD: &str = "[redacted:card]";
pub(crate) const EMAIL: &str = "[redacted:email]";
pub(crate) const IBAN: &str = "[redacted:iban]";
pub(crate) const JWT: &str = "[redacted:jwt]";
pub(crate) const ADDRESS: &str = "[redacted:address]";
pub(crate) const NATIONAL_ID: &str = "[redacted:national-id]";
pub(crate) const PHONE: &str = "[redacted:phone]";
pub(crate) const PASSWORD: &str = "[redacted:password]";
pub(crate) const PRIVATE_KEY: &str = "[redacted:private-key]";
pub(crate) const SSN: &str = "[redacted:ssn]";

/// What stands for a value that is nested too deep.
pub(crate) const TOO_DEEP: &str = "[cut: nested too deep]";

/// The mark of a pattern with a name.
pub(crate) fn of_pattern(name: &str) -> String {
    format!("[redacted:{name}]")
}

/// What a mark says of what it stands for.
pub(crate) fn kind(mark: &str) -> &str {
    match mark.trim_start_matches('[').split_once([':', ']']) {
        Some(("redacted", name)) => name.strip_suffix(']').unwrap_or("key"),
        Some((kind, _)) => kind,
        None => mark,
    }
}

/// How long the name of a pattern may be.
pub(crate) const LONGEST_NAME: usize = 40;

/// Whether a name can stand in a mark.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// The marks in brackets, but for those of patterns and of cuts.
pub(crate) const STANDARD: &[&str] = &[
    REDACTED,
    ADDRESS,
    API_KEY,
    BASIC,
    BEARER,
    CARD,
    EMAIL,
    IBAN,
    JWT,
    NATIONAL_ID,
    PASSWORD,
    PHONE,
    PRIVATE_KEY,
    SSN,
    TOO_DEEP,
];

/// Knows a mark when it sees one. Only the marks that are really given are known, so that nobody hides a secret in
/// what looks like one.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// The marks of patterns.
    pub(crate) own: Vec<String>,
    /// All marks in quotes, as they stand for a number of JSON.
    quoted: Vec<String>,
}

impl Marks {
    /// The marks that everybody has, and these of patterns.
    pub(crate) fn of(own: Vec<String>) -> Self {
        let all = STANDARD.iter().copied().chain(own.iter().map(String::as_str));
        let quoted = all.map(|mark| format!("\"{mark}\"")).collect();
        Self { own, quoted }
    }

    /// A mark in quotes, in which it may be already.
    pub(crate) fn quoted(&self, mark: &str) -> &str {
        let is_it = |quoted: &&String| quoted.trim_matches('"') == mark.trim_matches('"');
        self.quoted.iter().find(is_it).map_or(REDACTED_JSON, String::as_str)
    }

    /// Whether a text is one mark and nothing else.
    pub(crate) fn is_mark(&self, text: &str) -> bool {
        self.bracketed_at_start(text).or_else(|| pseudonym::at_start(text)) == Some(text.len())
    }

    /// Whether there is a mark in a text.
    pub(crate) fn any_in(&self, text: &str) -> bool {
        // Most texts have not even the beginning of one.
        let may_be = any_in_row::<3, 34>(text.as_bytes(), |[one, two, three]| {
            let bracketed =
                (one == b'[') & (((two == b'r') & (three == b'e')) | ((two == b'c') & (three == b'u')));
            bracketed | ((one == b'y') & (two == b'm') & (three == b':'))
        });
        may_be && self.in_text(text).next().is_some()
    }

    /// The marks in a text, in order.
    pub(crate) fn in_text(&self, text: &str) -> impl Iterator<Item = Range<usize>> {
        places(text.as_bytes(), |byte| (byte == b'[') | (byte == b':')).filter_map(|at| {
            match text.as_bytes()[at] {
                b'[' => Some(at..at + self.bracketed_at_start(&text[at..])?),
                _ => {
                    let start = at.checked_sub(pseudonym::PREFIX.len() - 1)?;
                    Some(start..start + pseudonym::at_start(text.get(start..)?)?)
                }
            }
        })
    }

    /// How many bytes the mark in brackets at the start of a text takes, if there is one.
    fn bracketed_at_start(&self, text: &str) -> Option<usize> {
        // Most brackets are none of these, and that is seen at their second byte.
        if !text.starts_with("[redacted") && !text.starts_with(TOO_DEEP) {
            return cut_at_start(text);
        }
        let standard = STANDARD.iter().copied();
        standard.chain(self.own.iter().map(String::as_str)).find(|mark| text.starts_with(mark)).map(str::len)
    }
}

/// How many bytes the mark of a cut at the start of a text takes: `[cut: 3 items, 120 bytes]`.
fn cut_at_start(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("[cut: ")?;
    let said = &inner[..inner.bytes().take(64).position(|byte| byte == b']')?];
    // A count has fewer digits than a card.
    let is_count =
        |word: &str| (1..=11).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
    let bytes = said.strip_suffix(" bytes")?;
    let is_said = match bytes.split_once(", ") {
        None => is_count(bytes),
        Some((values, bytes)) => {
            let count = values.strip_suffix(" items").or_else(|| values.strip_suffix(" fields"))?;
            is_count(count) && is_count(bytes)
        }
    };
    is_said.then_some("[cut: ]".len() + said.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_not_confused_with_what_looks_like_them() {
        let marks = Marks::of(vec![of_pattern("loan-number")]);
        for mark in STANDARD.iter().copied().chain([
            "[cut: 12 bytes]",
            "[cut: 3 items, 12 bytes]",
            "[cut: 3 fields, 12 bytes]",
            "[redacted:loan-number]",
            "pseudonym:0123456789abcdef0123456789abcdef",
        ]) {
            assert!(marks.is_mark(mark), "{mark}");
        }
        for text in [
            "",
            "x",
            "[redacted",
            "[redacted:]",
            "[redacted] ",
            "[redacted:4111111111111111]",
            "[redacted:other]",
            "[cut: hunter]",
            "[cut: ",
            "[cut: 4111111111111111 bytes]",
            "[cut: 1 2 3 bytes]",
        ] {
            assert!(!marks.is_mark(text), "{text}");
        }
        let text = "a [redacted:ssn] pp pseudonym:0123456789abcdef0123456789abcdef[redacted]é";
        assert_eq!(marks.in_text(text).map(|mark| text[mark].len()).collect::<Vec<_>>(), [14, 42, 10]);
    }

    #[test]
    fn a_mark_says_what_it_stands_for() {
        for (mark, said) in [
            (REDACTED, "key"),
            (EMAIL, "email"),
            (PRIVATE_KEY, "private-key"),
            (TOO_DEEP, "cut"),
            ("[cut: 3 items, 12 bytes]", "cut"),
            ("[redacted:loan-number]", "loan-number"),
            ("pseudonym:0123456789abcdef0123456789abcdef", "pseudonym"),
        ] {
            assert_eq!(kind(mark), said, "{mark}");
        }
    }
}
