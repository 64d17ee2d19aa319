//! How far the value of a sensitive key extends in text.

use std::ops::Range;

use crate::keys::SecretKind;
use crate::tokens::run_end;
use crate::words;

/// How a value is assigned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sign {
    /// By a colon rather than by `=`.
    pub(crate) colon: bool,
    /// The key is in quotes, as in JSON.
    pub(crate) quoted: bool,
    /// White space follows the sign.
    pub(crate) spaced: bool,
    /// The key follows a semicolon: so the next one ends the value.
    pub(crate) sectioned: bool,
}

impl Sign {
    /// Whether it may be a sentence: `invalid password: must be longer`.
    pub(crate) fn is_prose(self) -> bool {
        self.colon && self.spaced && !self.quoted
    }
}

/// The value after the sign, without its quotes; `None` if there is none, or nothing that needs hiding.
pub(crate) fn extent(text: &str, after: usize, kind: SecretKind, sign: Sign) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let is_blank = |byte: u8| match byte {
        b' ' | b'\t' => true,
        b'\r' | b'\n' => sign.quoted,
        _ => false,
    };
    let start = run_end(bytes, after, is_blank);
    let value = match bytes.get(start)? {
        b'"' | b'\'' | b'`' | b'\\' if quote(bytes, start).is_some() => quoted(bytes, start)?,
        b'[' | b'{' | b'(' => bracketed(bytes, start),
        _ => bare(text, start, kind, sign)?,
    };
    let said = text[value.clone()].trim_matches(|c: char| c.is_whitespace() || "[](){}".contains(c));
    let is_nothing = ["", "null", "none", "nil", "undefined", "true", "false"]
        .iter()
        .any(|nothing| said.eq_ignore_ascii_case(nothing));
    (!is_nothing).then_some(value)
}

/// Whether a value is a name rather than a secret: words, and nothing else.
pub(crate) fn is_word(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'-' | b'_' | b'.' | b':'))
}

/// The quote that starts here and how many backslashes escape it, as in JSON within JSON.
fn quote(bytes: &[u8], start: usize) -> Option<(u8, usize)> {
    let quote = run_end(bytes, start, |byte| byte == b'\\');
    let kind = *bytes.get(quote).filter(|byte| matches!(byte, b'"' | b'\'' | b'`'))?;
    Some((kind, quote - start))
}

/// What is between this quote and the one that closes it, or the end of the text if it was cut.
fn quoted(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let (kind, escapes) = quote(bytes, start)?;
    let inner = start + escapes + 1;
    let mut backslashes = 0;
    for (offset, &byte) in bytes[inner..].iter().enumerate() {
        match byte {
            b'\\' => backslashes += 1,
            // As many backslashes as the opening quote has close; more of them are a quote within.
            _ if byte == kind && backslashes % (2 * (escapes + 1)) == escapes => {
                return Some(inner..inner + offset - escapes.min(backslashes));
            }
            _ => backslashes = 0,
        }
    }
    Some(inner..bytes.len())
}

/// From this bracket to the one that closes it, or the end of the text if it was cut.
fn bracketed(bytes: &[u8], start: usize) -> Range<usize> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (offset, byte) in bytes[start..].iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' | b'(' if !in_string => depth += 1,
            b']' | b'}' | b')' if !in_string => {
                depth -= 1;
                if depth == 0 {
                    return start..start + offset + 1;
                }
            }
            _ => {}
        }
    }
    start..bytes.len()
}

/// A value without quotes or brackets.
fn bare(text: &str, start: usize, kind: SecretKind, sign: Sign) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    // The token is looked at only where the value ends with it, or white space follows each sign: what is read beyond the
    // value is read again for the next one.
    if sign.is_prose() {
        let word = &text[start..token_end(bytes, start)];
        let about = words::PROSE.iter().any(|prose| word.eq_ignore_ascii_case(prose));
        let looks_secret = word.len() >= 20 || word.bytes().any(|byte| byte.is_ascii_digit());
        if about || (kind == SecretKind::Ambiguous && !looks_secret) {
            return None;
        }
    }
    // A wrapper, as `Debug` writes it: `Some("hunter 2")`.
    let name_end = run_end(bytes, start, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if name_end > start && bytes.get(name_end) == Some(&b'(') {
        return Some(start..bracketed(bytes, name_end).end);
    }
    let end = match kind {
        SecretKind::Header if sign.colon => {
            run_end(bytes, start, |byte| !matches!(byte, b'\r' | b'\n' | b'"'))
        }
        SecretKind::Words | SecretKind::Fact if sign.colon => words_end(bytes, start),
        _ if sign.sectioned && !sign.colon => {
            run_end(bytes, start, |byte| !matches!(byte, b'\r' | b'\n' | b';' | b'"'))
        }
        _ => {
            let token = token_end(bytes, start);
            match scheme(&text[start..token]) {
                Scheme::None => token,
                Scheme::OneToken => token_end(bytes, run_end(bytes, token, |byte| byte == b' ')),
                Scheme::Line => run_end(bytes, start, |byte| !matches!(byte, b'\r' | b'\n')),
            }
        }
    };
    let value = text[start..end].trim_ascii_end();
    (!value.is_empty()).then_some(start..start + value.len())
}

/// Where a value without white space ends.
fn token_end(bytes: &[u8], start: usize) -> usize {
    let mut end = start;
    while let Some(&byte) = bytes.get(end) {
        let next = bytes.get(end + 1);
        let stops = match byte {
            b'&' | b';' | b'<' | b'>' => true,
            b'"' | b'\'' | b'`' => !next.is_some_and(u8::is_ascii_alphanumeric),
            // A comma may be a part of a password, unless another key follows.
            b',' => {
                let name = run_end(bytes, end + 1, |byte| {
                    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
                });
                name == end + 1 || matches!(bytes.get(name), Some(b'=' | b':'))
            }
            _ => byte.is_ascii_whitespace(),
        };
        if stops {
            break;
        }
        end += 1;
    }
    // What closes the text around is no part of the value.
    let kept = bytes[start..end]
        .iter()
        .rposition(|byte| !matches!(byte, b')' | b']' | b'}' | b',' | b'.' | b':' | b'\\'));
    start + kept.map_or(0, |last| last + 1)
}

/// Where a value of several words ends.
fn words_end(bytes: &[u8], start: usize) -> usize {
    let ends = |&at: &usize| match bytes[at] {
        b',' | b';' | b'|' | b'"' | b'<' | b'>' | b'(' | b')' | b'{' | b'}' | b'\t' | b'\r' | b'\n' => true,
        b'.' => bytes.get(at + 1).is_none_or(u8::is_ascii_whitespace),
        _ => false,
    };
    (start..bytes.len()).find(ends).unwrap_or(bytes.len())
}

enum Scheme {
    None,
    OneToken,
    Line,
}

/// What follows the name of an HTTP authentication scheme.
fn scheme(word: &str) -> Scheme {
    let is = |name: &&str| word.eq_ignore_ascii_case(name);
    if ["bearer", "basic", "token", "apikey", "negotiate", "ntlm"].iter().any(is) {
        Scheme::OneToken
    } else if ["digest", "aws4-hmac-sha256", "hawk", "oauth", "signature"].iter().any(is) {
        Scheme::Line
    } else {
        Scheme::None
    }
}
