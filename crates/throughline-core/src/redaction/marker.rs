//! The marks that redaction leaves, and how they are told from what is still to be redacted.

use std::ops::Range;

use memchr::memchr2_iter;

use super::pseudonym;

/// What stands for a value under a telling key.
pub(super) const REDACTED: &str = "[redacted]";
pub(super) const REDACTED_JSON: &str = r#""[redacted]""#;
pub(super) const REDACTED_INNER_JSON: &str = r#"\"[redacted]\""#;
pub(super) const API_KEY: &str = "[redacted:api-key]";
pub(super) const BASIC: &str = "[redacted:basic]";
pub(super) const BEARER: &str = "[redacted:bearer]";
pub(super) const CARD: &str = "[redacted:card]";
pub(super) const EMAIL: &str = "[redacted:email]";
pub(super) const IBAN: &str = "[redacted:iban]";
pub(super) const JWT: &str = "[redacted:jwt]";
pub(super) const PASSWORD: &str = "[redacted:password]";
pub(super) const PRIVATE_KEY: &str = "[redacted:private-key]";
pub(super) const SSN: &str = "[redacted:ssn]";

/// What stands for a value that is nested too deep.
pub(super) const TOO_DEEP: &str = "[cut: nested too deep]";

/// The mark of a pattern with a name.
pub(super) fn of_pattern(name: &str) -> String {
    format!("[redacted:{name}]")
}

/// How long the name of a pattern may be.
pub(super) const LONGEST_NAME: usize = 40;

/// Whether a name can stand in a mark.
pub(super) fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Whether a text is one mark and nothing else.
pub(super) fn is_mark(text: &str) -> bool {
    bracketed_at_start(text).or_else(|| pseudonym::at_start(text)) == Some(text.len())
}

/// The marks in a text, in order.
pub(super) fn marks(text: &str) -> impl Iterator<Item = Range<usize>> {
    memchr2_iter(b'[', b':', text.as_bytes()).filter_map(|at| match text.as_bytes()[at] {
        b'[' => Some(at..at + bracketed_at_start(&text[at..])?),
        _ => {
            let start = at.checked_sub(pseudonym::PREFIX.len() - 1)?;
            Some(start..start + pseudonym::at_start(text.get(start..)?)?)
        }
    })
}

/// How many bytes the mark in brackets at the start of a text takes, if there is one.
fn bracketed_at_start(text: &str) -> Option<usize> {
    if let Some(rest) = text.strip_prefix("[redacted") {
        let name_len = match rest.strip_prefix(':') {
            None => 0,
            Some(rest) => {
                let name = rest.bytes().take(LONGEST_NAME + 1).position(|byte| byte == b']')?;
                is_name(&rest[..name]).then_some(name + 1)?
            }
        };
        return rest[name_len..].starts_with(']').then_some("[redacted]".len() + name_len);
    }
    let inner = text.strip_prefix('[')?;
    let said = inner.strip_prefix("cut: ")?;
    let said = &said[..said.bytes().take(64).position(|byte| byte == b']')?];
    let known = |word: &str| {
        matches!(word, "bytes" | "fields" | "items" | "nested" | "too" | "deep")
            || word.bytes().all(|byte| byte.is_ascii_digit())
    };
    said.split([' ', ',']).all(known).then_some("[cut: ]".len() + said.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_from_what_looks_like_them() {
        for mark in [REDACTED, PRIVATE_KEY, TOO_DEEP, "[cut: 12 bytes]", "[cut: 3 items, 12 bytes]"] {
            assert!(is_mark(mark), "{mark}");
        }
        for text in
            ["", "[redacted", "[redacted:]", "[redacted:a b]", "[redacted] ", "[cut: hunter]", "[cut: ", "x"]
        {
            assert!(!is_mark(text), "{text}");
        }
        let text = "a [redacted:ssn] pp pseudonym:0123456789abcdef0123456789abcdef[redacted]é";
        assert_eq!(marks(text).map(|mark| text[mark].len()).collect::<Vec<_>>(), [14, 42, 10]);
    }
}
