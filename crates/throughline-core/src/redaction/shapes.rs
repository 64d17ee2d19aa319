//! Which texts are telling by their shape, whatever key they stand under.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use regex::Regex;

use super::keys::Keys;
use super::{MARKER, RedactionError};

mod assignments;
mod numbers;

/// A part of a text that must go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    range: Range<usize>,
    /// What it is; empty where the key before it says so.
    what: Cow<'static, str>,
}

impl Hit {
    fn new(range: Range<usize>, what: &'static str) -> Self {
        Self { range, what: Cow::Borrowed(what) }
    }
}

/// The patterns of what is no number and no assignment, and the literals one of which each of their matches holds:
/// without one the pattern is not tried.
const PATTERNS: &[(&str, &[&str], &str)] = &[
    ("jwt", &["eyj"], r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?"),
    ("aws-key", &["akia", "asia"], r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("github-token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], r"\bgh[pousr]_[A-Za-z0-9]{20,}"),
    ("github-token", &["github_pat_"], r"\bgithub_pat_[A-Za-z0-9_]{20,}"),
    ("gitlab-token", &["glpat-"], r"\bglpat-[A-Za-z0-9_-]{16,}"),
    ("slack-token", &["xox", "xapp-"], r"\b(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,}"),
    ("stripe-key", &["_live_", "_test_"], r"\b(?:sk|rk|pk|whsec)_(?:live|test)_[A-Za-z0-9]{10,}"),
    ("api-key", &["sk-"], r"\bsk-[A-Za-z0-9_-]{16,}"),
    ("google-key", &["aiza"], r"\bAIza[A-Za-z0-9_-]{30,}"),
    ("npm-token", &["npm_"], r"\bnpm_[A-Za-z0-9]{20,}"),
    (
        "private-key",
        &["private key"],
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
    ),
];

const EMAIL: &str = r"[\w.%+'-]+@[\w-]+(?:\.[\w-]+)*\.\p{L}{2,}";

const URL_PASSWORD: &str = r"://[^/\s:@]*:([^\s@/]+)@";
const CREDENTIALS: &str = r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}";

/// Each of the patterns holds a run of at least so many letters, digits and the like.
const LONG_RUN: usize = 16;

/// The patterns above, compiled once: their Unicode classes take a while.
static STANDARD: LazyLock<Standard> = LazyLock::new(Standard::new);

struct Standard {
    literals: Option<AhoCorasick>,
    /// For each literal, the pattern it announces.
    announced: Vec<usize>,
    patterns: Vec<(&'static str, Regex)>,
    email: Option<Regex>,
    url_password: Option<Regex>,
    credentials: Option<Regex>,
}

impl Standard {
    fn new() -> Self {
        let (mut literals, mut announced, mut patterns) = (Vec::new(), Vec::new(), Vec::new());
        for (name, announcements, pattern) in PATTERNS {
            // A test holds every one of them to be a regular expression.
            let Ok(pattern) = Regex::new(pattern) else { continue };
            literals.extend_from_slice(announcements);
            announced.extend(std::iter::repeat_n(patterns.len(), announcements.len()));
            patterns.push((*name, pattern));
        }
        let literals = AhoCorasick::builder().ascii_case_insensitive(true).build(literals).ok();
        let [email, url_password, credentials] =
            [EMAIL, URL_PASSWORD, CREDENTIALS].map(|pattern| Regex::new(pattern).ok());
        Self { literals, announced, patterns, email, url_password, credentials }
    }
}

pub(super) struct Shapes {
    standard: &'static Standard,
    own: Vec<(String, Regex)>,
}

impl Shapes {
    pub(super) fn new(own: &[(String, String)]) -> Result<Self, RedactionError> {
        let compile = |(name, pattern): &(String, String)| match Regex::new(pattern) {
            Ok(regex) => Ok((name.clone(), regex)),
            Err(source) => Err(RedactionError::Pattern { name: name.clone(), source: Box::new(source) }),
        };
        Ok(Self { standard: &STANDARD, own: own.iter().map(compile).collect::<Result<_, _>>()? })
    }

    pub(super) fn hits(&self, text: &str, keys: &Keys) -> bool {
        let mut hit = false;
        self.find(text, keys, &mut |_| hit = true);
        hit
    }

    pub(super) fn redact<'a>(&self, text: &'a str, keys: &Keys) -> Cow<'a, str> {
        let mut hits = Vec::new();
        self.find(text, keys, &mut |hit| hits.push(hit));
        if hits.is_empty() {
            return Cow::Borrowed(text);
        }
        // Of hits that overlap one marker remains, named by the first.
        hits.sort_by_key(|hit| (hit.range.start, std::cmp::Reverse(hit.range.end)));
        let mut redacted = String::with_capacity(text.len());
        let mut end = 0;
        for hit in hits {
            if hit.range.start >= end {
                redacted.push_str(&text[end..hit.range.start]);
                match &*hit.what {
                    "" => redacted.push_str(MARKER),
                    what => {
                        redacted.push_str("[redacted:");
                        redacted.push_str(what);
                        redacted.push(']');
                    }
                }
            }
            end = end.max(hit.range.end);
        }
        redacted.push_str(&text[end..]);
        Cow::Owned(redacted)
    }

    fn find(&self, text: &str, keys: &Keys, hit: &mut dyn FnMut(Hit)) {
        let seen = Seen::of(text.as_bytes());
        if seen.digits >= numbers::FEWEST_DIGITS {
            numbers::find(text, hit);
        }
        if seen.assigns {
            assignments::find(text, keys, hit);
        }
        let standard = self.standard;
        let mut try_one = |regex: &Option<Regex>, what| {
            for found in regex.iter().flat_map(|regex| regex.captures_iter(text)) {
                // Where a part of the match is the secret, that part is a group.
                if let Some(secret) = found.get(1).or_else(|| found.get(0)) {
                    hit(Hit::new(secret.range(), what));
                }
            }
        };
        if seen.at {
            try_one(&standard.email, "email");
            if seen.assigns {
                try_one(&standard.url_password, "password");
            }
        }
        if seen.b && names_a_scheme(text.as_bytes()) {
            try_one(&standard.credentials, "credentials");
        }
        if has_long_run(text.as_bytes()) {
            self.find_patterns(text, hit);
        }
        for (name, pattern) in &self.own {
            for found in pattern.find_iter(text).filter(|found| !found.is_empty()) {
                hit(Hit { range: found.range(), what: Cow::Owned(name.clone()) });
            }
        }
    }

    fn find_patterns(&self, text: &str, hit: &mut dyn FnMut(Hit)) {
        let mut tried = 0_u32;
        let Some(literals) = &self.standard.literals else { return };
        for literal in literals.find_overlapping_iter(text) {
            let index = self.standard.announced[literal.pattern().as_usize()];
            if tried & (1 << index) != 0 {
                continue;
            }
            tried |= 1 << index;
            let (name, pattern) = &self.standard.patterns[index];
            for found in pattern.captures_iter(text) {
                // Where a part of the match is the secret, that part is a group.
                if let Some(secret) = found.get(1).or_else(|| found.get(0)) {
                    hit(Hit::new(secret.range(), name));
                }
            }
        }
    }
}

/// Whether a word begins with `bearer` or `basic`, and a space follows it.
fn names_a_scheme(text: &[u8]) -> bool {
    memchr::memchr2_iter(b'b', b'B', text).any(|at| {
        let begins_with = |word: &[u8]| {
            text.len() > at + word.len() && text[at..at + word.len()].eq_ignore_ascii_case(word)
        };
        begins_with(b"bearer ") || begins_with(b"basic ")
    })
}

/// Whether the text holds [`LONG_RUN`] bytes in a row of what keys and tokens are made of. Such a run covers a multiple of
/// its length: only there is it looked for.
fn has_long_run(text: &[u8]) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.+/".contains(byte);
    (LONG_RUN - 1..text.len()).step_by(LONG_RUN).any(|at| {
        if !is_part(&text[at]) {
            return false;
        }
        let before = text[..at].iter().rev().take(LONG_RUN).take_while(|byte| is_part(byte)).count();
        let after = text[at + 1..].iter().take(LONG_RUN).take_while(|byte| is_part(byte)).count();
        before + 1 + after >= LONG_RUN
    })
}

/// What a first look at the bytes tells: most texts need no second.
#[derive(Default)]
struct Seen {
    digits: usize,
    at: bool,
    assigns: bool,
    b: bool,
}

impl Seen {
    fn of(bytes: &[u8]) -> Self {
        let mut seen = Self::default();
        // Folds of single bytes, for the compiler to make vector code of: a chunk is short enough for a byte to count it.
        for chunk in bytes.chunks(128) {
            let (mut digits, mut at, mut assigns, mut b) = (0_u8, 0_u8, 0_u8, 0_u8);
            for &byte in chunk {
                // A full-width digit begins with 0xEF.
                digits += u8::from(byte.wrapping_sub(b'0') < 10) | u8::from(byte == 0xEF);
                at |= u8::from(byte == b'@');
                assigns |= u8::from(byte == b'=') | u8::from(byte == b':');
                b |= u8::from(byte | 0x20 == b'b');
            }
            seen.digits += usize::from(digits);
            seen.at |= at != 0;
            seen.assigns |= assigns != 0;
            seen.b |= b != 0;
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standard_pattern_is_a_regular_expression() {
        assert_eq!(STANDARD.patterns.len(), PATTERNS.len());
        assert!(STANDARD.literals.is_some());
        for pattern in [&STANDARD.email, &STANDARD.url_password, &STANDARD.credentials] {
            assert!(pattern.is_some());
        }
    }
}
