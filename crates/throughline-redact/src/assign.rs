//! Secrets that are named in text: `password=hunter2`, `"pin": 1234`, `card number: 4111…`.

use memchr::memchr2_iter;

use crate::keys::{Keys, SecretKind};
use crate::marker;
use crate::scan::{Found, Reading};
use crate::values::{self, Sign};
use crate::words;

/// The longest key that is looked at; of a longer one, its end.
const LONGEST_KEY: usize = 64;
/// The most words that a key has in prose: `social security card number`.
const PHRASE_WORDS: usize = 4;

/// Finds the values of sensitive keys before `=` or `:`.
pub(crate) fn find(text: &str, keys: &Keys, reading: Reading, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for at in memchr2_iter(b'=', b':', bytes) {
        if at < done {
            continue;
        }
        let Some(after) = sign_end(bytes, at) else { continue };
        let Some(key) = Key::before(text, done, at) else { continue };
        let sign = Sign {
            colon: bytes[at] == b':',
            quoted: key.quote.is_some(),
            spaced: bytes.get(after).is_some_and(u8::is_ascii_whitespace),
            sectioned: key.sectioned,
        };
        let Some(kind) = key.classify(keys, sign) else { continue };
        let Some(value) = values::extent(text, after, kind, sign) else { continue };
        // `password:reset-requested` is the name of an event, not a password.
        done = value.end;
        let may_be_name = reading == Reading::Name && sign.colon && !sign.quoted;
        if !(may_be_name && values::is_word(&text[value.clone()])) {
            let is_quoted = matches!(bytes[value.start - 1], b'"' | b'\'' | b'`');
            let mark = match key.quote {
                // JSON stays JSON.
                Some("\"") if !is_quoted => marker::REDACTED_JSON,
                Some("\\\"") if !is_quoted => marker::REDACTED_INNER_JSON,
                _ => marker::REDACTED,
            };
            found.push(value, mark);
        }
    }
}

/// Where the sign ends that starts here, if it may assign: `=`, `:`, `:=`, `=>`, `==`, but no `::`, `://`, `!=`.
fn sign_end(bytes: &[u8], at: usize) -> Option<usize> {
    if at > 0 && matches!(bytes[at - 1], b':' | b'=' | b'!' | b'<' | b'>') {
        return None;
    }
    match &bytes[at..] {
        [b':', b':', ..] | [b':', b'/', b'/', ..] => None,
        [b'=', b'=', b'=', ..] => Some(at + 3),
        [b':', b'=', ..] | [b'=', b'=' | b'>', ..] => Some(at + 2),
        _ => Some(at + 1),
    }
}

/// What stands before the sign.
struct Key<'t> {
    /// The name next to the sign.
    name: &'t str,
    /// The name and the words before it; empty if the name is quoted.
    phrase: &'t str,
    /// The quote behind the name, with what escapes it.
    quote: Option<&'t str>,
    /// Whether a semicolon stands before, as in connection strings: `Server=db;Password=a b;`.
    sectioned: bool,
}

impl<'t> Key<'t> {
    fn before(text: &'t str, from: usize, sign: usize) -> Option<Self> {
        let bytes = text.as_bytes();
        let blank =
            bytes[from..sign].iter().rev().take(4).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let mut end = sign - blank;
        // data['password'] = …
        if let [.., b'"' | b'\'', b']'] = &bytes[from..end] {
            end -= 1;
        }
        if let [.., b'"' | b'\'' | b'`'] = &bytes[from..end] {
            let quote_end = end;
            end -= 1;
            end -= bytes[from..end].iter().rev().take_while(|byte| **byte == b'\\').count();
            let quote = Some(&text[end..quote_end]);
            let start = back_while(text, from, end, |byte| !matches!(byte, b'"' | b'\'' | b'`' | b'\n'));
            return Some(Self { name: &text[start..end], phrase: "", quote, sectioned: false });
        }
        let start = back_while(text, from, end, is_in_name);
        let name = &text[start..end];
        // No sensitive key has a single letter; hours and minutes have none.
        name.bytes().filter(|byte| byte.is_ascii_alphabetic() || !byte.is_ascii()).nth(1)?;
        let mut phrase = start;
        for _ in 1..PHRASE_WORDS {
            match &bytes[from..phrase] {
                [.., before, b' '] if is_in_name(*before) => {
                    phrase = back_while(text, from, phrase - 1, is_in_name);
                }
                _ => break,
            }
        }
        let sectioned = bytes[from..phrase].trim_ascii_end().last() == Some(&b';');
        Some(Self { name, phrase: &text[phrase..end], quote: None, sectioned })
    }

    fn classify(&self, keys: &Keys, sign: Sign) -> Option<SecretKind> {
        let by_phrase =
            || (self.phrase.len() > self.name.len()).then(|| keys.classify_phrase(self.phrase)).flatten();
        let kind = keys.classify_name(self.name).or_else(by_phrase)?;
        // `PasswordResetError: connection refused` names an error, not a password.
        let ends_with = |outcome: &&str| {
            let name = self.name.as_bytes();
            name.len() >= outcome.len()
                && name[name.len() - outcome.len()..].eq_ignore_ascii_case(outcome.as_bytes())
        };
        (!sign.is_prose() || !words::OUTCOMES.iter().any(ends_with)).then_some(kind)
    }
}

fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'$')
        || !byte.is_ascii()
}

/// The start of the run of such bytes that ends here.
fn back_while(text: &str, from: usize, end: usize, is_part: impl Fn(u8) -> bool) -> usize {
    let earliest = from.max(end.saturating_sub(LONGEST_KEY));
    let run = text.as_bytes()[earliest..end].iter().rev().take_while(|byte| is_part(**byte)).count();
    text.ceil_char_boundary(end - run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::found_in;

    fn values(text: &str, reading: Reading) -> Vec<String> {
        let keys = Keys::new(&[]).unwrap();
        let found = found_in(text, |text, found| find(text, &keys, reading, found));
        found.into_iter().map(|(value, _)| value).collect()
    }

    #[test]
    fn named_secrets_are_found_in_every_notation() {
        for (text, value) in [
            ("password=hunter2", "hunter2"),
            ("DB_PASSWORD=hunter2 NEXT=1", "hunter2"),
            ("?user=u&password=a%20b&x=1", "a%20b"),
            ("user[password]=x1", "x1"),
            ("password = hunter2", "hunter2"),
            ("password:hunter2", "hunter2"),
            ("password: hunter2", "hunter2"),
            ("login with password: hunter2, retry", "hunter2"),
            ("(password: hunter2).", "hunter2"),
            ("Password=my secret;Server=db", "my"),
            ("Server=db;Password=my secret pw;Pooling=false", "my secret pw"),
            ("Endpoint=x;AccountKey=ab+c/d==;Suffix=y", "ab+c/d=="),
            (r#"{"password": "hun\"ter2", "x": 1}"#, r#"hun\"ter2"#),
            (r#"{"pin":1234,"x":1}"#, "1234"),
            (r#"{"pin": 1234}"#, "1234"),
            (r#"{"secrets": ["a", {"b": "]"}], "x": 1}"#, r#"["a", {"b": "]"}]"#),
            (r#"{"credit_card" : {"no": "41"}}"#, r#"{"no": "41"}"#),
            (r#"{\"password\":\"hun\\\"ter2\",\"x\":1}"#, r#"hun\\\"ter2"#),
            (r#"{"password":"cut in the midd"#, "cut in the midd"),
            (r#"Config { password: "hunter 2", port: 1 }"#, "hunter 2"),
            (r#"Config { password: Some("hunter 2"), port: 1 }"#, r#"Some("hunter 2")"#),
            ("{:password=>'hunter 2'}", "hunter 2"),
            ("data['password'] = 'x y'", "x y"),
            ("token: 0123abcd", "0123abcd"),
            ("Authorization: Bearer abc def", "Bearer abc"),
            (
                "authorization: Digest username=\"u\", response=\"r\"\nHost: x",
                "Digest username=\"u\", response=\"r\"",
            ),
            ("Cookie: a=b; c=d\r\nHost: x", "a=b; c=d"),
            ("Date of birth: 1 May 1980, city: x", "1 May 1980"),
            ("your card number: 4111", "4111"),
            ("Last name: van der Berg", "van der Berg"),
            ("passphrase: correct horse battery", "correct horse battery"),
            ("contraseña=ñandú1", "ñandú1"),
            ("password := x1", "x1"),
            ("if password == 'x y'", "x y"),
            ("ssn_last4: 1120", "1120"),
            ("password=a,b&c", "a,b"),
            ("password=a, b", "a"),
            ("'password=ab'", "ab"),
        ] {
            assert_eq!(values(text, Reading::Prose), [value], "{text}");
        }
    }

    #[test]
    fn prose_about_secrets_stays_readable() {
        for text in [
            "invalid password: must have a digit",
            "unexpected token: foo",
            "password reset failed: timeout",
            "PasswordResetError: connection refused",
            "authorization: denied",
            "at 10:30:00 and 2026-03-01T10:00Z",
            "std::env::var: token::Error",
            "https://example.com:443/path",
            "key: value",
            "a=b",
            "x: y: z",
            "password=",
            "password: null",
            "\"password\": null",
            "secret: \"\"",
            "token_count=12",
            "x != password",
            "InvalidTokenException: bad",
            "author: Ann",
            "::",
            "==",
            "=",
            ":",
            "\": 1",
            "shipping: express",
        ] {
            assert!(values(text, Reading::Prose).is_empty(), "{text}: {:?}", values(text, Reading::Prose));
        }
    }

    #[test]
    fn names_of_events_stay_whole_and_secrets_in_them_do_not() {
        for text in
            ["password:reset-requested", "token:refresh", "iban:validated", "auth:failed", "pin:check.ok"]
        {
            assert!(values(text, Reading::Name).is_empty(), "{text}");
        }
        assert_eq!(values("login password=hunter", Reading::Name), ["hunter"]);
        assert_eq!(values("pin:1234", Reading::Name), ["1234"]);
    }
}
