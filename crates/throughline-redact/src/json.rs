//! JSON as text: what is in one of its strings stays in it, and is read as it is without its escapes, so that JSON stays JSON.

use std::ops::Range;

use serde::de::IgnoredAny;

use crate::fold::Folded;
use crate::marker;
use crate::places::places;

/// Whether a text may be JSON, as far as its beginning and its end say.
#[inline]
pub(crate) fn may_be_json(text: &str) -> bool {
    matches!(trimmed(text).as_bytes(), [b'{' | b'[', .., b'}' | b']'] | [b'"', .., b'"'])
}

/// Whether a text is one or more objects or lists of JSON, or a single string.
pub(crate) fn is_json(text: &str) -> bool {
    let trimmed = trimmed(text);
    match trimmed.as_bytes() {
        [b'{' | b'[', .., b'}' | b']'] => {
            serde_json::Deserializer::from_str(trimmed).into_iter::<IgnoredAny>().all(|value| value.is_ok())
        }
        [b'"', .., b'"'] => is_value(trimmed),
        _ => false,
    }
}

/// A text without the white space around it and its byte order mark, which readers of JSON may ignore.
fn trimmed(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii()
}

/// Whether a part of JSON is a whole value.
pub(crate) fn is_value(part: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(part).is_ok()
}

/// A string of JSON, without its quotes.
pub(crate) struct Literal {
    pub(crate) inner: Range<usize>,
    pub(crate) has_escapes: bool,
}

/// The strings of a JSON text, in order.
pub(crate) fn literals(text: &str) -> Vec<Literal> {
    let bytes = text.as_bytes();
    let (mut literals, mut open, mut has_escapes, mut escaped_until) = (Vec::new(), None, false, 0);
    for at in places(bytes, |byte| (byte == b'"') | (byte == b'\\') | (byte == b'|')) {
        if at < escaped_until {
            continue;
        }
        match (bytes[at], open) {
            (b'\\', _) => {
                has_escapes = true;
                escaped_until = at + 2;
            }
            // A table has lines, and this may be one.
            (b'|', _) => has_escapes = true,
            (_, None) => {
                open = Some(at + 1);
                has_escapes = false;
            }
            (_, Some(start)) => {
                literals.push(Literal { inner: start..at, has_escapes });
                open = None;
            }
        }
    }
    literals
}

/// A JSON text with a mark in place of each string that overlaps one of these parts, which are in order and apart.
pub(crate) fn without_strings<'h>(text: &str, parts: impl Iterator<Item = &'h Range<usize>>) -> String {
    let mut parts = parts.peekable();
    let (mut hidden, mut done) = (String::with_capacity(text.len()), 0);
    for literal in literals(text) {
        while parts.next_if(|part| part.end <= literal.inner.start).is_some() {}
        if parts.peek().is_some_and(|part| part.start < literal.inner.end) {
            hidden.push_str(&text[done..literal.inner.start]);
            hidden.push_str(marker::REDACTED);
            done = literal.inner.end;
        }
    }
    hidden.push_str(&text[done..]);
    hidden
}

/// The mark as it stands in a string of JSON.
pub(crate) fn escaped(mark: &str) -> &str {
    match mark.as_bytes().first() {
        Some(b'"') => marker::REDACTED_INNER_JSON,
        // Deeper than that nobody reads what it is.
        Some(b'\\') => marker::REDACTED,
        _ => mark,
    }
}

/// A string of JSON without its escapes.
pub(crate) fn unescaped(literal: &str) -> Folded {
    let mut plain = Folded::start(literal.len());
    let mut at = 0;
    while let Some(offset) = literal[at..].find('\\') {
        let escape = at + offset;
        plain.copy(&literal[at..escape], at);
        let rest = &literal.as_bytes()[escape..];
        let (c, len) = match rest {
            [_, b'n', ..] => (Some('\n'), 2),
            [_, b'r', ..] => (Some('\r'), 2),
            [_, b't', ..] => (Some('\t'), 2),
            [_, b'b' | b'f', ..] => (Some(' '), 2),
            [_, b'u', digits @ ..] => {
                let code = digits.get(..4).and_then(|digits| std::str::from_utf8(digits).ok());
                let c = code.and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32);
                (c.or(Some(' ')), 6.min(rest.len()))
            }
            [_, other, ..] if other.is_ascii() => (Some(char::from(*other)), 2),
            _ => (None, 1),
        };
        plain.replace(c, escape);
        at = escape + len;
    }
    plain.copy(&literal[at..], at);
    plain
}
