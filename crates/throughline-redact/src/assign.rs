//! Secrets that are named in text: `password=hunter2`, `"pin": 1234`, `card number: 4111…`.

mod columns;
mod key;

use std::ops::Range;

use self::key::{Glance, Key, Operator, glance};
use crate::found::Found;
use crate::judge;
use crate::keys::{Keys, Named};
use crate::marker;
use crate::pairs::Pair;
use crate::places::places;
use crate::scan::Reading;
use crate::tokens::run_end;
use crate::values::{self, Sign, Tokens};

/// Finds the values of sensitive keys before `=`, `:` or `->`.
pub(crate) fn find(text: &str, keys: &Keys, reading: Reading, found: &mut Found<'_>) {
    let bytes = text.as_bytes();
    let (mut done, mut pair, mut tokens) = (0, Pair::default(), Tokens::default());
    for at in places(bytes, |byte| (byte == b'=') | (byte == b':') | (byte == b'>')) {
        if at < done {
            continue;
        }
        // A value may end within a sign.
        let Some(operator) = Operator::at(bytes, at).filter(|sign| sign.start >= done) else { continue };
        let key = match glance(text, done, &operator, keys) {
            Glance::Nothing => continue,
            Glance::Plain(key) => key,
            Glance::Unsure => {
                if let Some(end) = columns::find(text, done, operator.start..operator.end, keys, found) {
                    done = end;
                    continue;
                }
                let Some(key) = Key::before(text, done, operator.start, keys) else { continue };
                key
            }
        };
        let sign = key.sign(text, &operator);
        // In a phrase the word is no key of a pair: `secret key: x`.
        let is_of_phrase = operator.is_colon && key.quote.is_none() && key.follows_letter(bytes);
        let of_pair =
            key.said.holder.filter(|_| !is_of_phrase).and_then(|holder| {
                pair.value(text, keys, (holder, key.name), operator.end, sign, &mut tokens)
            });
        if let Some((value, name)) = of_pair {
            done = value.end.max(at);
            found.push_value(value.clone(), key.mark(bytes, &value), name);
            continue;
        }
        let classified = key.classify(text, keys, sign);
        let Some((named, name)) = classified.or_else(|| key.declared(text, keys, &operator)) else {
            continue;
        };
        // `read('Password:', x)`: the quote closes what the name stands in.
        let opened = key.start.checked_sub(1).map(|at| bytes[at]).filter(|byte| matches!(byte, b'"' | b'\''));
        if opened.is_some() && !sign.quoted && opened == bytes.get(operator.end).copied() {
            continue;
        }
        if let Some(value) = key.expansion(text, &operator).filter(|_| named.is_head && !named.is_weak) {
            done = value.end;
            found.push_value(value, marker::REDACTED, name);
            continue;
        }
        if (sign.colon && is_in_address(key.name, &bytes[operator.end..]))
            || (named.is_weak && is_in_descriptor(&bytes[..key.start]))
        {
            continue;
        }
        let is_tight = sign.colon && !sign.spaced && !sign.quoted;
        let digits = is_number(key.name);
        let sectioned = key.quote.is_none() && !operator.is_colon && key.is_sectioned(text);
        let sign = Sign { field: is_tight && key.is_field(bytes), digits, sectioned, ..sign };
        let Some(value) = value_of(text, keys, &key, &operator, named, sign, &mut tokens) else { continue };
        // `password:reset-requested` is the name of an event, not a password.
        done = value.end;
        let may_be_name = reading == Reading::Name && sign.colon && !sign.quoted;
        if !(may_be_name && judge::is_word(&text[value.clone()])) {
            found.push_value(value.clone(), key.mark(bytes, &value), name);
        }
    }
}

/// The value, unless it is the name of another secret, as in `password = user_password`.
fn value_of(
    text: &str,
    keys: &Keys,
    key: &Key<'_>,
    operator: &Operator,
    named: Named,
    sign: Sign,
    tokens: &mut Tokens,
) -> Option<Range<usize>> {
    let value = values::extent(text, operator.end, named, sign, tokens)?;
    let said = &text[value.clone()];
    let names_another = !sign.quoted
        && !sign.parameter
        && (judge::is_name_of_another(said, keys) || judge::is_field_named(said, key.name));
    (!names_another).then_some(value)
}

/// Whether a name and what follows the colon are parts of the address of a network card or of IPv6: `cc:f0:b8:8c:5a:4a`.
fn is_in_address(name: &str, after: &[u8]) -> bool {
    const LONGEST: usize = 4;
    let next = run_end(&after[..after.len().min(LONGEST + 1)], 0, |byte| byte.is_ascii_hexdigit());
    let is_part = name.len() <= LONGEST && name.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_part && next > 0 && after.get(next) == Some(&b':')
}

/// Whether a name is a part of how a database is found: `(CONNECT_DATA=(SERVER=DEDICATED)(SID=ORCL1))`.
fn is_in_descriptor(before: &[u8]) -> bool {
    before.ends_with(b"=(") || before.ends_with(b")(")
}

/// Whether what the key names is a short number.
fn is_number(name: &str) -> bool {
    let name = name.trim_end_matches(|c: char| c.is_ascii_digit()).as_bytes();
    match name.last_chunk().map(|end: &[u8; 3]| end.map(|byte| byte.to_ascii_lowercase())).as_ref() {
        Some(b"pin" | b"otp" | b"cvv" | b"cvc" | b"2fa" | b"nip" | b"tan") => true,
        Some(b"ode") => matches!(name, [.., b'c' | b'C', _, _, _]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::found::found_in;

    fn values(text: &str, reading: Reading) -> Vec<String> {
        let keys = Keys::new(Default::default(), &[]).unwrap();
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
            ("Config { pin: Some(1234), port: 1 }", "Some(1234)"),
            ("Config { otp: Ok(482913) }", "Ok(482913)"),
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
            ("password = letmein ; of the desk", "letmein"),
            ("password = letmein  # of the desk", "letmein"),
            ("map[user:ada password:hunter2]", "hunter2"),
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
            "pin: Some(12)",
            "read('Password:', creds.password)",
            "pub frag_token: __u32,",
            "pins: Some(count)",
        ] {
            assert!(values(text, Reading::Prose).is_empty(), "{text}: {:?}", values(text, Reading::Prose));
        }
    }

    #[test]
    fn in_a_line_the_secret_is_the_head_of_its_name() {
        assert!(values("PasswordDialog: a1b2c3d4e5", Reading::Prose).is_empty());
        assert_eq!(values("DialogPassword: a1b2c3d4e5", Reading::Prose), ["a1b2c3d4e5"]);
        assert_eq!(values("password_old: a1b2c3d4e5", Reading::Prose), ["a1b2c3d4e5"]);
        // A setting has nothing else in it.
        assert_eq!(values("PASSWORD_DIALOG=a1b2c3d4e5", Reading::Prose), ["a1b2c3d4e5"]);
    }

    #[test]
    fn a_value_of_more_than_128_bytes_is_judged_by_its_beginning() {
        let secret = "x1!".repeat(60);
        assert_eq!(values(&format!("password={secret}"), Reading::Prose), [secret.as_str()]);
        assert_eq!(values(&format!("password:{secret},"), Reading::Prose), [secret.as_str()]);
        let code = format!("n.token=function(e){{return{}}}", "t.next,".repeat(30));
        assert!(values(&code, Reading::Prose).is_empty());
    }

    #[test]
    fn what_stays_of_a_value_is_looked_through_for_the_next_key() {
        assert_eq!(values("auth:ok&pin:4711x", Reading::Prose), ["4711x"]);
        assert_eq!(values("token:a,pin=1x2,cvv=345", Reading::Prose), ["1x2", "345"]);
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
