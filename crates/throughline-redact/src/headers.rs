//! The values of HTTP headers in text: `Authorization: Bearer x`, `Cookie: a=b; c=d`.

use std::ops::Range;

use memchr::memchr3;

use crate::judge::{self, Clause};
use crate::keys::Named;
use crate::tokens::run_end;
use crate::values::{next_line, token_end};

/// As much of a line says whether it is one.
const NEAR: usize = 120;

/// The value of a header, of which the first word ends at `token`: after the name of a scheme what follows it, otherwise the rest of
/// the line.
pub(crate) fn value(text: &str, start: usize, token: usize, named: Named) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    // Only as much of the line is read as says whether it is one.
    let near = &bytes[..text.floor_char_boundary(start + NEAR)];
    let mut end = line_end(near, start);
    let is_prose = |from: usize, token: usize| {
        let follows = &text[token..text.floor_char_boundary(token + NEAR)];
        matches!(judge::clause(&text[start..end], &text[from..token], follows, named), Clause::Prose)
    };
    let word_end = run_end(bytes, start, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let word = &text[start..word_end];
    let rest = run_end(bytes, word_end, |byte| byte == b' ');
    let scheme = scheme(word);
    if rest > word_end && rest < end {
        let list = &bytes[rest..end.min(rest + NEAR)];
        let is_list = list.contains(&b'=') && list.contains(&b',');
        if matches!(scheme, Scheme::Line) {
            return Some(start..run_end(bytes, start, |byte| !matches!(byte, b'\r' | b'\n')));
        }
        if !is_list {
            let token = token_end(bytes, rest);
            let is_prose = matches!(scheme, Scheme::None)
                && is_prose(rest, token)
                && (token != end || (judge::is_word(&text[rest..token]) && token - rest > 3));
            return (!is_prose && !judge::is_placeholder(&text[rest..token])).then_some(start..token);
        }
    } else if !matches!(scheme, Scheme::None) {
        // What follows the scheme may be folded.
        let is_whole = matches!(bytes.get(end), Some(b'\r' | b'\n'));
        let next = is_whole.then(|| next_line(bytes, end)).flatten()?;
        if !matches!(bytes.get(next), Some(b' ' | b'\t')) {
            return None;
        }
        let folded = run_end(bytes, next, |byte| matches!(byte, b' ' | b'\t'));
        let token = token_end(bytes, folded);
        let is_value =
            bytes[word_end..end].trim_ascii().is_empty() && judge::looks_secret(&text[folded..token]);
        return is_value.then_some(start..token);
    } else {
        let is_pair = text[start..token].contains('=');
        if !is_pair && is_prose(start, token) {
            return None;
        }
    }
    end = line_end(bytes, end);
    // What is folded continues in the next line, which starts with a blank.
    while !matches!(bytes.get(end), Some(b'"')) {
        match next_line(bytes, end) {
            Some(next) if matches!(bytes.get(next), Some(b' ' | b'\t')) => {
                end = line_end(bytes, next);
            }
            _ => break,
        }
    }
    Some(start..end)
}

/// Where the line ends, or the string that it is in.
fn line_end(bytes: &[u8], start: usize) -> usize {
    memchr3(b'\r', b'\n', b'"', &bytes[start..]).map_or(bytes.len(), |offset| start + offset)
}

/// What follows the name of a scheme.
pub(crate) enum Scheme {
    None,
    OneToken,
    Line,
}

/// What follows the name of an HTTP authentication scheme.
pub(crate) fn scheme(word: &str) -> Scheme {
    let mut lower = [0; "aws4-hmac-sha256".len()];
    let Some(lower) = lower.get_mut(..word.len()) else { return Scheme::None };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    match &*lower {
        b"bearer" | b"basic" | b"token" | b"apikey" | b"negotiate" | b"ntlm" | b"ssws" | b"geniekey"
        | b"bot" | b"splunk" | b"key" | b"jwt" | b"bearer:" => Scheme::OneToken,
        b"digest" | b"aws4-hmac-sha256" | b"hawk" | b"oauth" | b"signature" => Scheme::Line,
        _ => Scheme::None,
    }
}
