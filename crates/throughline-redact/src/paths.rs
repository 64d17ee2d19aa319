//! Secrets in the paths of URLs: `/password-reset/Zq9x…`, invitations and links that sign somebody in.

use std::ops::Range;

use memchr::memchr_iter;

use crate::families::looks_random;
use crate::found::Found;
use crate::judge;
use crate::keys::Keys;
use crate::marker;
use crate::names::{self, List};
use crate::prefilter::is_uuid;
use crate::tokens::run_end;
use crate::values::of_bytes;

/// The least that a secret in a path has.
const LEAST: usize = 12;

/// Finds the segments that follow a telling one and are no words.
pub(crate) fn find(text: &str, keys: &Keys, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let mut segment = 0;
    for slash in memchr_iter(b'/', bytes) {
        let before = std::mem::replace(&mut segment, slash + 1);
        // Most segments are shorter, and that is seen at a few of their bytes.
        let is_long_to = |ahead: usize| bytes.get(slash + ahead).is_some_and(|byte| is_in_segment(*byte));
        let may_be_long = is_long_to(LEAST) && is_long_to(LEAST / 2) && is_long_to(LEAST / 4);
        if !may_be_long || !(3..=40).contains(&(slash - before)) {
            continue;
        }
        let end = run_end(&bytes[..bytes.len().min(slash + 512)], slash + 1, is_in_segment);
        if end - slash <= LEAST {
            continue;
        }
        let is_sign = |byte: &u8| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_');
        let name = bytes[before..slash].iter().rposition(is_sign).map_or(before, |sign| before + sign + 1);
        let value = &bytes[slash + 1..end];
        let is_secret = || looks_random(value) && !is_uuid(value) && !value.contains(&b'.');
        if tells(&text[name..slash], keys) && is_secret() {
            found.push_value(slash + 1..end, marker::REDACTED, name..slash);
        }
    }
}

/// Finds the segments of a path that stand in place of a telling parameter of its route: `/password-reset/{token}`.
pub(crate) fn find_by_route(route: &str, path: &str, keys: &Keys) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for part in route.split('/') {
        let Some(rest) = path.get(start..) else { break };
        let parameter = part.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        let parameter = parameter.or_else(|| part.strip_prefix(':')).unwrap_or_default();
        let name = parameter.trim_start_matches('*');
        let before = path[..start].trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        // A parameter with an asterisk stands for all that follows.
        let len = if name.len() < parameter.len() { None } else { rest.find('/') };
        let end = start + len.unwrap_or(rest.len());
        if start < end && is_secret_of(name, before, &path[start..end], keys) {
            found.push(start..end);
        }
        start = end + 1;
    }
    found
}

/// Whether a segment is the secret that a parameter names. Behind a telling segment a short code is one, too.
fn is_secret_of(parameter: &str, before: &str, segment: &str, keys: &Keys) -> bool {
    let named = keys.classify_name(parameter).filter(|named| named.is_head);
    let is_parameter =
        || names::table().lists.has_in_any_case(List::Parameters, parameter) && !keys.keeps(parameter);
    let is_code = || segment.len() >= 4 && judge::looks_secret(segment) && tells(before, keys);
    named.is_some_and(|named| judge::looks_the_part(segment, named))
        || (is_parameter() && !is_uuid(segment.as_bytes()) && (looks_random(segment.as_bytes()) || is_code()))
}

fn tells(name: &str, keys: &Keys) -> bool {
    let last = name.rsplit(['-', '_']).next().unwrap_or(name);
    names::table().lists.has_in_any_case(List::Segments, last)
        || names::table().lists.has_in_any_case(List::Segments, name)
        || keys
            .classify_name(name)
            .is_some_and(|named| named.kind.is_credential() && named.is_head && !named.is_weak)
}

fn is_in_segment(byte: u8) -> bool {
    IN_SEGMENT[usize::from(byte)]
}

const IN_SEGMENT: [bool; 256] = {
    let mut in_segment = of_bytes(b"-_~=.%");
    let mut byte = 0;
    while byte < 256 {
        in_segment[byte] |= (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    in_segment
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::found_in;

    #[test]
    fn what_stands_in_place_of_a_telling_parameter_is_found() {
        let keys = Keys::new(Default::default(), &[]).unwrap();
        let find = |route, path: &str| -> Vec<String> {
            find_by_route(route, path, &keys).into_iter().map(|segment| path[segment].to_owned()).collect()
        };
        for (route, path, secret) in [
            ("/password-reset/{token}", "/password-reset/plain", "plain"),
            ("/users/{id}/pin/{pin}/x", "/users/7/pin/1234/x", "1234"),
            ("/in/:secret", "/in/abc", "abc"),
            ("/s/{*token}", "/s/a/b/c", "a/b/c"),
            ("/oauth/{code}", "/oauth/Zq9xT4mB7wLk2", "Zq9xT4mB7wLk2"),
            ("/verify/{code}", "/verify/482913", "482913"),
            ("/users/{id}/confirm/{key}", "/users/7/confirm/a1b2", "a1b2"),
        ] {
            assert_eq!(find(route, path), [secret], "{route}");
        }
        for (route, path) in [
            ("/loans/{id}", "/loans/42"),
            ("/countries/{code}", "/countries/NL"),
            ("/errors/{code}", "/errors/40012"),
            ("/verify/{code}", "/verify/email"),
            ("/runs/{key}", "/runs/loan-2026-42"),
            ("/verify/{ticket}", "/verify/550e8400-e29b-41d4-a716-446655440000"),
            ("/token/{kind}", "/token/refresh"),
            ("/password-reset/{token}", "/password-reset/"),
            ("/a/{token}/b", "/a"),
            ("", "/x"),
        ] {
            assert!(find(route, path).is_empty(), "{route}");
        }
    }

    #[test]
    fn what_follows_a_telling_segment_is_hidden_if_it_is_no_word() {
        let keys = Keys::new(Default::default(), &[]).unwrap();
        let find = |text: &str| found_in(text, |text, found| find(text, &keys, found));
        for text in [
            "/password-reset/Zq9xT4mB7wLk2",
            "https://x.example/invite/a1b2c3d4e5f6g7h8?x=1",
            "/users/7/verify/Q2hhbmdlTWUx8f3K",
        ] {
            assert_eq!(find(text).len(), 1, "{text}");
        }
        for text in [
            "/password-reset/confirmation",
            "/loans/Zq9xT4mB7wLk2",
            "/verify/550e8400-e29b-41d4-a716-446655440000",
            "/reset/style-2026-main.css",
            "/tokens/README.md",
            "src/token/scanner_state_1.rs",
        ] {
            assert!(find(text).is_empty(), "{text}");
        }
    }
}
