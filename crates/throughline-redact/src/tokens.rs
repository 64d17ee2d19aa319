//! Credentials that give themselves away: API keys of known [families](crate::families), JSON Web Tokens, and what
//! follows `Bearer` or `Basic`.

use std::ops::Range;

use memchr::memchr2_iter;

use crate::families::{self, Runs};
use crate::found::{Clue, Found, Hit};
use crate::marker;
use crate::places::{LONG_RUN, long_runs};
use crate::prefilter::is_in_token;

/// Fewer characters than this have no token that is known by something in its middle.
const LONGEST_WORD: usize = 30;

/// Finds API keys and JSON Web Tokens.
pub(crate) fn find(text: &str, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let mut runs = Runs::new();
    let (mut done, mut hit_end) = (0, 0);
    // Every secret has a long run of token characters.
    for start in long_runs(bytes, is_in_token_of_many) {
        let end = run_end(bytes, start + LONG_RUN, is_in_token);
        let start = start.max(done);
        if end >= start + LONG_RUN {
            // The beginning may have dots and slashes: `hooks.slack.com/services/`.
            let run = run_start(bytes, done, start, is_in_prefix)..end;
            hit_end = find_in_run(bytes, run, hit_end, &mut runs, found);
            done = end.max(hit_end);
        }
    }
}

/// Whether a byte is a token character, without a table and without a branch, for many bytes at once.
#[inline]
fn is_in_token_of_many(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | (byte == b'_') | (byte == b'-') | (byte == b'+')
}

fn is_in_prefix(byte: u8) -> bool {
    is_in_token(byte) || matches!(byte, b'.' | b'/' | b':' | b'~' | b'=' | b'?' | b'$' | b'!' | b'|')
}

/// Where the run of such bytes starts that extends to here.
fn run_start(bytes: &[u8], from: usize, end: usize, is_part: impl Fn(u8) -> bool) -> usize {
    bytes[from..end].iter().rposition(|&byte| !is_part(byte)).map_or(from, |before| from + before + 1)
}

/// Finds the secrets whose beginning or anchor is in a run, and says where the last one ends. A secret may begin before the
/// run, but not in the one before it.
fn find_in_run(
    bytes: &[u8],
    run: Range<usize>,
    hit_end: usize,
    runs: &mut Runs,
    found: &mut Found<'_>,
) -> usize {
    let families = families::known();
    // Only long tokens are known by something in their middle.
    if run.len() >= LONGEST_WORD {
        find_at(families.may_be_in(bytes, run), bytes, hit_end, runs, found)
    } else {
        let starts = families::starts_in(bytes, run).filter(|at| families.may_be_at(bytes, *at));
        find_at(starts, bytes, hit_end, runs, found)
    }
}

/// Finds the secrets whose beginning or anchor is at one of these places.
fn find_at(
    places: impl Iterator<Item = usize>,
    bytes: &[u8],
    mut hit_end: usize,
    runs: &mut Runs,
    found: &mut Found<'_>,
) -> usize {
    for at in places {
        if at < hit_end {
            continue;
        }
        let starts_token = at >= runs.no_web_token_until && bytes[at..].starts_with(families::JSON_WEB_TOKEN);
        let hit = if starts_token && !follows_word(bytes, at) {
            json_web_token(bytes, at).map_err(|end| runs.no_web_token_until = end).ok().map(|end| Hit {
                range: at..end,
                mark: marker::JWT,
                clue: Clue::Form,
            })
        } else {
            None
        };
        let hit = hit.or_else(|| {
            let (range, issuer) = families::known().at(bytes, at, runs)?;
            let mark = families::mark_of(issuer);
            if mark == marker::PRIVATE_KEY {
                return Some(Hit { range: range.start..wrapped_end(bytes, range), mark, clue: Clue::Form });
            }
            Some(Hit { range, mark, clue: Clue::Issuer(issuer) })
        });
        if let Some(hit) = hit.filter(|hit| hit.range.start >= hit_end) {
            hit_end = hit.range.end;
            found.add(hit);
        }
    }
    hit_end
}

/// Where base64 ends that goes on in the lines below, as programs break it.
fn wrapped_end(bytes: &[u8], first: Range<usize>) -> usize {
    /// Programs break it no sooner.
    const LINE: usize = 60;
    let (mut len, mut end) = (first.len(), first.end);
    loop {
        let next = run_end(bytes, end, |byte| matches!(byte, b'\r' | b'\n' | b' ' | b'\t'));
        let next_end = run_end(bytes, next, is_base64);
        let goes_on = len >= LINE && bytes[end..next].contains(&b'\n') && next_end - next <= len;
        if !goes_on || next_end == next || !matches!(bytes.get(next_end), None | Some(b'\r' | b'\n' | b'"')) {
            return end;
        }
        (len, end) = (next_end - next, next_end);
    }
}

/// Where the token ends, or up to where there is none: a header, a payload, and a signature or what encryption adds, with
/// dots between. The payload is missing where it is sent apart, the key where it is agreed on.
fn json_web_token(bytes: &[u8], start: usize) -> Result<usize, usize> {
    const HEADER: usize = 15;
    let is_part = |byte: u8| is_base64url(byte) || byte == b'=';
    let header = run_end(bytes, start, is_part);
    if header < start + HEADER {
        return Err(header);
    }
    // `header . payload`, as some print it.
    let dot = run_end(bytes, header, |byte| byte == b' ');
    if bytes.get(dot) != Some(&b'.') {
        return Err(header);
    }
    let payload = run_end(bytes, dot + 1, |byte| byte == b' ');
    let is_spaced = payload > dot + 1 && bytes[payload..].starts_with(b"eyJ");
    let payload = if is_spaced { payload } else { dot + 1 };
    let mut end = run_end(bytes, payload, is_part);
    let mut longest = end - payload;
    loop {
        let space = if is_spaced { run_end(bytes, end, |byte| byte == b' ') } else { end };
        let next = match bytes.get(space) {
            Some(b'.') if is_spaced => run_end(bytes, space + 1, |byte| byte == b' '),
            Some(b'.') => space + 1,
            _ => break,
        };
        let next_end = run_end(bytes, next, is_part);
        if next_end == next && bytes.get(next) != Some(&b'.') {
            break;
        }
        longest = longest.max(next_end - next);
        end = next_end;
    }
    if longest >= 8 { Ok(end) } else { Err(header) }
}

/// Finds what follows `Bearer` or `Basic`.
pub(crate) fn find_schemes(text: &str, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for start in memchr2_iter(b'b', b'B', bytes) {
        if start < done || follows_word(bytes, start) {
            continue;
        }
        let named = |name: &[u8]| {
            bytes.get(start..start + name.len()).is_some_and(|word| word.eq_ignore_ascii_case(name))
        };
        let (name, mark, is_credential): (_, _, fn(&[u8]) -> bool) = if named(b"bearer") {
            ("bearer", marker::BEARER, is_bearer_token)
        } else if named(b"basic") {
            ("basic", marker::BASIC, is_user_and_password)
        } else {
            continue;
        };
        let after = start + name.len();
        let token = run_end(bytes, after, |byte| byte == b' ' || byte == b'\t');
        let end = run_end(bytes, token, is_token68);
        if token > after && is_credential(&bytes[token..end]) {
            found.push(token..end, mark);
            done = end;
        }
    }
}

/// A word such as `token` or `authentication` is none.
fn is_bearer_token(token: &[u8]) -> bool {
    let inner_upper =
        token.iter().skip(1).any(u8::is_ascii_uppercase) && token.iter().any(u8::is_ascii_lowercase);
    let is_hyphenated = token.iter().any(|byte| matches!(byte, b'-' | b'_' | b'.'))
        && token.iter().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'-' | b'_' | b'.'));
    (token.len() >= 16 && !is_hyphenated)
        || (token.len() >= 6 && (inner_upper || token.iter().any(u8::is_ascii_digit)))
}

/// Base64 differs from a word such as `authentication` by its padding, or by the colon in what it stands for.
fn is_user_and_password(token: &[u8]) -> bool {
    let mut decoded = Vec::with_capacity(token.len());
    let (mut bits, mut count) = (0_u32, 0);
    for &byte in token.iter().filter(|byte| **byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return false,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count) as u8);
        }
    }
    let pair = decoded.contains(&b':') && !decoded.iter().any(u8::is_ascii_control);
    let unlike_words = token.len() >= 16
        && token.iter().any(u8::is_ascii_digit)
        && token.iter().any(u8::is_ascii_uppercase)
        && token.iter().any(u8::is_ascii_lowercase)
        && families::looks_random(token);
    token.len() >= 8 && (pair || unlike_words || token.ends_with(b"="))
}

/// Whether a letter or digit stands right before, other than that of an escape such as `\n`.
#[inline]
pub(crate) fn follows_word(bytes: &[u8], at: usize) -> bool {
    let before = &bytes[..at];
    let is_escape = || matches!(before, [.., b'\\', b'n' | b'r' | b't']);
    before.last().is_some_and(u8::is_ascii_alphanumeric) && !is_escape()
}

/// Where the run of such bytes ends that starts here.
pub(crate) fn run_end(bytes: &[u8], start: usize, is_part: impl Fn(u8) -> bool) -> usize {
    let start = start.min(bytes.len());
    bytes[start..].iter().position(|&byte| !is_part(byte)).map_or(bytes.len(), |offset| start + offset)
}

/// Whether a word is one of a list, in any case. Most are none of it, which their length and first letter say.
#[inline]
pub(crate) fn is_one_of(word: &str, list: &[&str]) -> bool {
    let first = |word: &str| word.as_bytes().first().map(u8::to_ascii_lowercase);
    let first_of_word = first(word);
    list.iter().any(|known| {
        known.len() == word.len() && first(known) == first_of_word && known.eq_ignore_ascii_case(word)
    })
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-')
}

/// The credentials of RFC 9110, `token68`.
fn is_token68(byte: u8) -> bool {
    is_base64(byte) || matches!(byte, b'.' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::found_in;

    #[test]
    fn json_web_tokens_are_found_whole() {
        let header = "eyJhbGciOiJIUzI1NiJ9";
        for token in [
            format!("{header}.eyJzdWIiOiIxIn0.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            format!("{header}.eyJzdWIiOiIxIn0."),
            format!("{header}..dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            format!("{header}..dBjftJeZ4CVPmB92.K27uhbUJU1p1r_wW1gFWFOEjXk.wW1gFWFOEjXk"),
            format!("{header}=.eyJzdWIiOiIxIn0=.dBjftJeZ4CVPmB92K27uhb="),
            format!("{header} . eyJzdWIiOiIxIn0 . dBjftJeZ4CVPmB92"),
        ] {
            let shown = token.trim_end_matches('.').to_owned();
            assert_eq!(found_in(&format!("got {token}, so"), find), [(shown, marker::JWT)], "{token}");
        }
    }

    #[test]
    fn a_token_is_found_by_its_end_after_a_long_beginning_with_slashes() {
        let key = format!("{}/{}+AStx7Rq2L==", "aB3dE5fG7h".repeat(4), "x9Zq2Wk7Lm".repeat(4));
        for key in [&key[5..], "aB3dE5fG7hI9jK1lM3nO5p==:x9Zq2Wk7Lmx9Zq2Wk7Lmx9Zq2Wk7Lm12"] {
            assert_eq!(found_in(&format!("at {key} so"), find), [(key.to_owned(), marker::API_KEY)], "{key}");
        }
    }

    #[test]
    fn what_follows_a_scheme_is_found() {
        for (text, token, mark) in [
            ("Bearer abc.def-123", "abc.def-123", marker::BEARER),
            ("'authorization: BEARER  abcdefghijklmnop'", "abcdefghijklmnop", marker::BEARER),
            ("Basic dXNlcjpwYXNz", "dXNlcjpwYXNz", marker::BASIC),
            ("basic dXNlcjpwYXNzdw==,", "dXNlcjpwYXNzdw==", marker::BASIC),
        ] {
            assert_eq!(found_in(text, find_schemes), [(token.to_owned(), mark)], "{text}");
        }
    }

    #[test]
    fn words_and_ids_are_left_alone() {
        for text in [
            "eyJhbGciOiJIUzI1NiJ9",
            "risk-adjusted-return-on-capital",
            "sk-learn-extra-something",
            "task-2026-03-01-abcdefgh",
            "550e8400-e29b-41d4-a716-446655440000",
            "npm_config_registry",
            "pk_live_0123456789abcdef",
        ] {
            assert!(found_in(text, find).is_empty(), "{text}");
        }
        for text in [
            "bearer of bad news",
            "Bearer token",
            "basic information",
            "Basic Authentication",
            "BASIC AUTH",
            "Basic",
            "basic package-2026",
            "basic VERIFICATION",
        ] {
            assert!(found_in(text, find_schemes).is_empty(), "{text}");
        }
    }
}
