//! Credentials that give themselves away: API keys with a known beginning, JSON Web Tokens, private keys, and
//! what follows `Bearer` or `Basic`.

use std::ops::Range;

use memchr::{memchr2_iter, memmem};

use crate::marker;
use crate::prefilter::{LONG_TOKEN, is_in_token};
use crate::scan::Found;

/// What a credential of one issuer looks like.
struct Shape {
    prefix: &'static str,
    body: fn(u8) -> bool,
    /// The least length of the body.
    min: usize,
    /// Whether the prefix is so short that it must stand at a word boundary, and the body must not be words.
    needs_boundary: bool,
}

const fn shape(prefix: &'static str, body: fn(u8) -> bool, min: usize) -> Shape {
    Shape { prefix, body, min, needs_boundary: false }
}

const fn at_boundary(prefix: &'static str, body: fn(u8) -> bool, min: usize) -> Shape {
    Shape { prefix, body, min, needs_boundary: true }
}

/// A JSON Web Token, which a function of its own looks at; all others are API keys.
const JWT: Shape = shape("eyJ", is_base64url, 12);

/// The credentials that are known; there may be any number of them.
const SHAPES: &[Shape] = &[
    JWT,
    // Amazon Web Services: access key ids.
    shape("AKIA", is_upper_digit, 16),
    shape("ASIA", is_upper_digit, 16),
    shape("ABIA", is_upper_digit, 16),
    shape("ACCA", is_upper_digit, 16),
    shape("AROA", is_upper_digit, 16),
    shape("AIDA", is_upper_digit, 16),
    // Google: API keys, OAuth access tokens and client secrets.
    shape("AIza", is_base64url, 30),
    shape("ya29.", is_base64url, 20),
    shape("GOCSPX-", is_base64url, 20),
    // GitHub, GitLab.
    shape("ghp_", is_alphanumeric, 20),
    shape("gho_", is_alphanumeric, 20),
    shape("ghu_", is_alphanumeric, 20),
    shape("ghs_", is_alphanumeric, 20),
    shape("ghr_", is_alphanumeric, 20),
    shape("github_pat_", is_base64url, 20),
    shape("glpat-", is_base64url, 16),
    // Slack: tokens and webhooks.
    shape("xoxa-", is_base64url, 10),
    shape("xoxb-", is_base64url, 10),
    shape("xoxe-", is_base64url, 10),
    shape("xoxo-", is_base64url, 10),
    shape("xoxp-", is_base64url, 10),
    shape("xoxr-", is_base64url, 10),
    shape("xoxs-", is_base64url, 10),
    shape("xapp-", is_base64url, 10),
    shape("hooks.slack.com/services/", is_path, 20),
    shape("discord.com/api/webhooks/", is_path, 20),
    // Stripe.
    shape("sk_live_", is_alphanumeric, 10),
    shape("sk_test_", is_alphanumeric, 10),
    shape("rk_live_", is_alphanumeric, 10),
    shape("rk_test_", is_alphanumeric, 10),
    shape("whsec_", is_base64, 16),
    // OpenAI, Anthropic and those who follow them; Groq, xAI, Hugging Face, Replicate, Perplexity.
    at_boundary("sk-", is_base64url, 16),
    at_boundary("gsk_", is_alphanumeric, 32),
    at_boundary("xai-", is_alphanumeric, 32),
    at_boundary("hf_", is_alphanumeric, 30),
    at_boundary("r8_", is_alphanumeric, 30),
    at_boundary("pplx-", is_alphanumeric, 32),
    // Package registries, hosting, monitoring, mail, vaults.
    at_boundary("npm_", is_alphanumeric, 30),
    shape("pypi-", is_base64url, 50),
    at_boundary("dapi", is_hex, 32),
    shape("dop_v1_", is_hex, 40),
    shape("shpat_", is_hex, 32),
    shape("shpss_", is_hex, 32),
    shape("sbp_", is_hex, 40),
    shape("glsa_", is_base64url, 32),
    shape("NRAK-", is_upper_digit, 20),
    shape("PMAK-", is_base64url, 24),
    at_boundary("SG.", |byte| is_base64url(byte) || byte == b'.', 32),
    shape("hvs.", is_base64url, 20),
    shape("lin_api_", is_alphanumeric, 20),
    shape("AGE-SECRET-KEY-1", is_upper_digit, 30),
];

/// Shapes, and what says at a glance which of them may start at a place.
struct Catalogue<'s> {
    shapes: &'s [Shape],
    /// For each byte, the shapes whose prefix has it as the first and as the second. A shape has one bit, and
    /// shares it with every 64th after it: a set bit may be a false alarm, and the prefix decides.
    starts: [[u64; 256]; 2],
}

static CATALOGUE: Catalogue<'static> = Catalogue::new(SHAPES);

impl<'s> Catalogue<'s> {
    const fn new(shapes: &'s [Shape]) -> Self {
        let mut starts = [[0; 256]; 2];
        let mut shape = 0;
        while shape < shapes.len() {
            let prefix = shapes[shape].prefix.as_bytes();
            let mut at = 0;
            while at < 2 {
                starts[at][prefix[at] as usize] |= 1 << (shape % 64);
                at += 1;
            }
            shape += 1;
        }
        Self { shapes, starts }
    }

    /// The bits of the shapes that may start with these two bytes.
    #[inline]
    fn candidates(&self, [one, two]: [u8; 2]) -> u64 {
        self.starts[0][usize::from(one)] & self.starts[1][usize::from(two)]
    }
}

/// Finds API keys and JSON Web Tokens.
pub(crate) fn find(text: &str, found: &mut Found<'_>) {
    find_of(&CATALOGUE, text, found);
}

fn find_of(catalogue: &Catalogue<'_>, text: &str, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    // Every secret has a long run of token characters, and to see that a run is short not every byte has to be
    // looked at.
    let (mut at, mut done) = (LONG_TOKEN - 1, 0);
    while at < bytes.len() {
        if is_in_token(bytes[at]) {
            let start = run_start(bytes, done, at, is_in_token);
            at = run_end(bytes, at, is_in_token);
            if at - start >= LONG_TOKEN {
                // The prefix may have dots and slashes: `hooks.slack.com/services/`.
                done = find_in_run(catalogue, bytes, run_start(bytes, done, start, is_in_prefix)..at, found);
                at = at.max(done);
            }
        }
        at += LONG_TOKEN;
    }
}

fn is_in_prefix(byte: u8) -> bool {
    is_in_token(byte) || matches!(byte, b'.' | b'/')
}

/// Where the run of such bytes starts that extends to here.
fn run_start(bytes: &[u8], from: usize, end: usize, is_part: impl Fn(u8) -> bool) -> usize {
    bytes[from..end].iter().rposition(|&byte| !is_part(byte)).map_or(from, |before| from + before + 1)
}

/// Finds the secrets that start in a run, and says up to where it has looked.
fn find_in_run(catalogue: &Catalogue<'_>, bytes: &[u8], run: Range<usize>, found: &mut Found<'_>) -> usize {
    let mut done = run.end;
    let mut hit_end = 0;
    let mut no_match_until = Vec::new();
    for (start, first) in (run.start..).zip(bytes[run].windows(2)) {
        let &[one, two] = first else { break };
        let candidates = catalogue.candidates([one, two]);
        if candidates != 0
            && start >= hit_end
            && let Some((end, mark)) = secret_at(catalogue, bytes, start, candidates, &mut no_match_until)
        {
            found.push(start..end, mark);
            hit_end = end;
            done = done.max(end);
        }
    }
    done
}

/// Where the secret ends that starts here, if there is one of these shapes. `no_match_until` says for each shape up
/// to where it is known not to be: what a run of bytes lacks, the rest of the run lacks too, and a run must not be
/// read again and again.
fn secret_at(
    catalogue: &Catalogue<'_>,
    bytes: &[u8],
    start: usize,
    candidates: u64,
    no_match_until: &mut Vec<usize>,
) -> Option<(usize, &'static str)> {
    let mut bits = candidates;
    while bits != 0 {
        let first = bits.trailing_zeros() as usize;
        bits &= bits - 1;
        for at in (first..catalogue.shapes.len()).step_by(u64::BITS as usize) {
            let shape = &catalogue.shapes[at];
            if !bytes[start..].starts_with(shape.prefix.as_bytes()) {
                continue;
            }
            no_match_until.resize(catalogue.shapes.len(), 0);
            if start < no_match_until[at] {
                continue;
            }
            let (end, mark) = if shape.prefix == JWT.prefix {
                (json_web_token(bytes, start), marker::JWT)
            } else {
                (api_key(bytes, start, shape), marker::API_KEY)
            };
            match end {
                Ok(end) => return Some((end, mark)),
                Err(end) => no_match_until[at] = end,
            }
        }
    }
    None
}

/// Where the key ends, or up to where there is none.
fn api_key(bytes: &[u8], start: usize, shape: &Shape) -> Result<usize, usize> {
    if shape.needs_boundary && follows_word(bytes, start) {
        return Err(start + 1);
    }
    let body = start + shape.prefix.len();
    let end = run_end(bytes, body, shape.body);
    let mixed = || bytes[body..end].iter().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    if end - body >= shape.min && (!shape.needs_boundary || mixed()) { Ok(end) } else { Err(end) }
}

/// A header, a payload, and a signature or what encryption adds: parts of base64url with dots between.
fn json_web_token(bytes: &[u8], start: usize) -> Result<usize, usize> {
    let header = run_end(bytes, start, is_base64url);
    let payload = run_end(bytes, header + 1, is_base64url);
    let is_token = header >= start + JWT.prefix.len() + JWT.min
        && bytes.get(header) == Some(&b'.')
        && payload >= header + 1 + 8;
    if !is_token {
        return Err(header);
    }
    let mut end = payload;
    while bytes.get(end) == Some(&b'.') && bytes.get(end + 1).copied().is_some_and(is_base64url) {
        end = run_end(bytes, end + 1, is_base64url);
    }
    Ok(end)
}

/// Finds private keys in PEM form, to their end or, if they were cut, to the end of the text.
pub(crate) fn find_private_keys(text: &str, found: &mut Found<'_>) {
    const DASHES: &[u8] = b"-----";
    const BEGIN: &[u8] = b"-----BEGIN";
    let bytes = text.as_bytes();
    let after = |from: usize, text: &[u8]| Some(memmem::find(&bytes[from..], text)? + from + text.len());
    let mut at = DASHES.len() - 1;
    while at < bytes.len() {
        // Of five dashes in a row one is at such a place.
        let here = at;
        at += DASHES.len();
        if bytes[here] != b'-' {
            continue;
        }
        let mut starts = (0..DASHES.len()).map(|back| here - back);
        let Some(start) = starts.find(|&start| bytes[start..].starts_with(BEGIN)) else { continue };
        let label = &bytes[start..bytes.len().min(start + 80)];
        if memmem::find(label, b"PRIVATE KEY").is_some() {
            let end = after(start, b"-----END").and_then(|last_line| after(last_line, DASHES));
            let end = end.unwrap_or(bytes.len());
            found.push(start..end, marker::PRIVATE_KEY);
            at = end + DASHES.len() - 1;
        }
    }
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
    token.len() >= 16 || (token.len() >= 6 && (inner_upper || token.iter().any(u8::is_ascii_digit)))
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
        && token.iter().any(u8::is_ascii_lowercase);
    token.len() >= 8 && (pair || unlike_words || token.ends_with(b"="))
}

/// Whether a letter or digit stands right before.
pub(crate) fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && bytes[at - 1].is_ascii_alphanumeric()
}

/// Where the run of such bytes ends that starts here.
pub(crate) fn run_end(bytes: &[u8], start: usize, is_part: impl Fn(u8) -> bool) -> usize {
    let start = start.min(bytes.len());
    bytes[start..].iter().position(|&byte| !is_part(byte)).map_or(bytes.len(), |offset| start + offset)
}

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_upper_digit(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'_' | b'-')
}

fn is_path(byte: u8) -> bool {
    is_base64url(byte) || byte == b'/'
}

/// The credentials of RFC 9110, `token68`.
fn is_token68(byte: u8) -> bool {
    is_base64(byte) || matches!(byte, b'.' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::found_in;

    #[test]
    fn every_shape_is_long_enough_for_the_prefilter() {
        for shape in SHAPES {
            let whole = shape.prefix.rsplit(['.', '/']).next().unwrap().len() + shape.min;
            assert!(whole >= LONG_TOKEN, "{}", shape.prefix);
        }
    }

    #[test]
    fn api_keys_are_found_anywhere() {
        for shape in &SHAPES[1..] {
            let body: String = "A1B2C3D4E5F6A7B8".chars().cycle().take(shape.min.max(24)).collect();
            let key = format!("{}{body}", shape.prefix);
            for text in [key.clone(), format!("id ({key})"), format!("x={key}&y"), format!("\"{key}\"")] {
                assert_eq!(found_in(&text, find), [(key.clone(), marker::API_KEY)], "{text}");
            }
        }
    }

    #[test]
    fn more_than_64_shapes_are_found_as_well_as_a_few() {
        let prefixes: Vec<&str> = (0..300).map(|n| &*format!("k{n:03}_").leak()).collect();
        let shapes: Vec<Shape> = prefixes.iter().map(|&prefix| shape(prefix, is_alphanumeric, 16)).collect();
        let catalogue = Catalogue::new(&shapes);
        for prefix in prefixes {
            let key = format!("{prefix}A1B2C3D4E5F6A7B8");
            let found = found_in(&format!("x={key}, y"), |text, found| find_of(&catalogue, text, found));
            assert_eq!(found, [(key, marker::API_KEY)]);
        }
    }

    #[test]
    fn json_web_tokens_and_private_keys_are_found_whole() {
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVPmB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(found_in(&format!("got {jwt}."), find), [(jwt.to_owned(), marker::JWT)]);
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----";
        assert_eq!(
            found_in(&format!("a {pem} b"), find_private_keys),
            [(pem.to_owned(), marker::PRIVATE_KEY)]
        );
        let cut = "-----BEGIN PRIVATE KEY-----\\nMIIEpAIBAAKCAQEA";
        assert_eq!(found_in(cut, find_private_keys), [(cut.to_owned(), marker::PRIVATE_KEY)]);
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
            "-----BEGIN CERTIFICATE-----\nMIIE",
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
