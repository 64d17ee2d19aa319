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
    ("credentials", &["bearer ", "basic "], r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}"),
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
    ("password", &["://"], r"://[^/\s:@]*:([^\s@/]+)@"),
];

const EMAIL: &str = r"[\w.%+'-]+@[\w-]+(?:\.[\w-]+)*\.\p{L}{2,}";

/// Shorter than this no text holds a literal and what must follow it.
const SHORTEST_PATTERN: usize = 12;

/// The patterns above, compiled once: their Unicode classes take a while.
static STANDARD: LazyLock<Standard> = LazyLock::new(Standard::new);

struct Standard {
    literals: Option<AhoCorasick>,
    /// For each literal, the pattern it announces.
    announced: Vec<usize>,
    patterns: Vec<(&'static str, Regex)>,
    email: Option<Regex>,
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
        Self { literals, announced, patterns, email: Regex::new(EMAIL).ok() }
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
        if seen.at
            && let Some(email) = &self.standard.email
        {
            email.find_iter(text).for_each(|found| hit(Hit::new(found.range(), "email")));
        }
        if text.len() >= SHORTEST_PATTERN {
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

/// What a first look at the bytes tells: most texts need no second.
#[derive(Default)]
struct Seen {
    digits: usize,
    at: bool,
    assigns: bool,
}

impl Seen {
    fn of(bytes: &[u8]) -> Self {
        // Plain folds over bytes: the compiler makes vector code of them.
        let (mut digits, mut at, mut assigns) = (0_u32, 0_u8, 0_u8);
        for &byte in bytes {
            // Full-width digits begin with 0xEF; each has one.
            digits += u32::from(byte.wrapping_sub(b'0') < 10) + u32::from(byte == 0xEF);
            at |= u8::from(byte == b'@');
            assigns |= u8::from(byte == b'=') | u8::from(byte == b':');
        }
        Self { digits: digits as usize, at: at != 0, assigns: assigns != 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standard_pattern_is_a_regular_expression() {
        assert_eq!(STANDARD.patterns.len(), PATTERNS.len());
        assert!(STANDARD.email.is_some() && STANDARD.literals.is_some());
    }
}
