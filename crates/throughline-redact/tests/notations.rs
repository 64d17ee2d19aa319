//! Secrets beside a telling name, in every notation of `tests/data/forms.txt`: of each, many names and values are tried.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests may fail a test too"
)]

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use throughline_redact::{Redaction, Redactor};

/// So many texts are tried of each notation.
const TEXTS: usize = 300;

/// Of a hundred texts so many must lose the secret.
const LEAST: f64 = 99.0;

/// So many of the texts that fail are shown of each notation.
const SHOWN: usize = 20;

/// So many bytes of a secret in a row are a part of it.
const PART: usize = 6;

/// What people keep, and choose themselves.
const PASSWORDS: &[&str] = &[
    "password",
    "db password",
    "admin password",
    "root password",
    "user password",
    "postgres password",
    "mysql root password",
    "redis password",
    "smtp password",
    "ldap bind password",
    "keystore password",
    "truststore password",
    "proxy password",
    "new password",
    "old password",
    "password confirmation",
    "spring datasource password",
    "mail passwd",
    "db passwd",
    "db pwd",
    "ssh passphrase",
    "key passphrase",
    "app passcode",
];

/// What machines make.
const TOKENS: &[&str] = &[
    "api key",
    "x api key",
    "stripe api key",
    "sendgrid api key",
    "secret key",
    "django secret key",
    "client secret",
    "oauth client secret",
    "app secret",
    "consumer secret",
    "shared secret",
    "webhook secret",
    "jwt secret",
    "session secret",
    "cookie secret",
    "access token",
    "refresh token",
    "auth token",
    "twilio auth token",
    "id token",
    "csrf token",
    "github token",
    "slack bot token",
    "npm token",
    "vault token",
    "bearer token",
    "security token",
    "private key",
    "encryption key",
    "signing key",
    "hmac key",
    "master key",
    "access key",
    "aws secret access key",
    "azure storage key",
    "account key",
    "license key",
    "service credentials",
];

fn name() -> impl Strategy<Value = (&'static str, bool)> {
    prop_oneof![
        select(PASSWORDS).prop_map(|name| (name, true)),
        select(TOKENS).prop_map(|name| (name, false)),
    ]
}

/// Texts that a regular expression describes, which is read once.
fn like(pattern: &str) -> BoxedStrategy<String> {
    proptest::string::string_regex(pattern).unwrap().boxed()
}

/// What machines make: digits and letters, in several alphabets.
fn random() -> BoxedStrategy<String> {
    prop_oneof![
        like("[0-9][a-zA-Z0-9]{10,38}[a-z]"),
        like("[a-z][a-zA-Z0-9]{4,8}[0-9][A-Z]"),
        like("[0-9a-f]{31}[a-f][0-9]"),
        like("[0-9a-f]{40}"),
        like("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}"),
        like("[A-Z][A-Za-z0-9+/]{40}[0-9]="),
        like("[a-z][A-Za-z0-9_-]{20,40}[0-9]"),
        like("[A-Z2-7]{12}[0-9]{3}[A-Z]"),
    ]
    .boxed()
}

/// What people choose, in one word that a shell reads as it is.
fn chosen() -> BoxedStrategy<String> {
    let word = || {
        like("(hunter|dragon|Summer|tr0ub4dor|Monkey|sunshine|Winter|letmein|secure|Berlin|qwerty|welcome)")
    };
    prop_oneof![
        (word(), like("[0-9]{1,4}[!]?")).prop_map(|(word, end)| word + &end),
        (word(), like("[-_.+@%^~]"), word(), like("[0-9]{0,2}")).prop_map(|(a, b, c, d)| a + &b + &c + &d),
        like("[a-z]{3}[A-Z]{2}[@^+=~][0-9]{2}[a-z]{2}"),
        like("[A-Z][a-z]{2}[0-9][@^+~!][A-Z][a-z]{3}[!@]"),
        like("(correct-horse-battery|swordfish-tulip)"),
        like("(pässw[öo]rd|geh[éè]im|密码|пароль)[0-9]{2,4}"),
        like("[0-9]{6,10}[a-z]"),
    ]
    .boxed()
}

/// What people choose where quotes are around it.
fn quoted() -> BoxedStrategy<String> {
    prop_oneof![
        4 => chosen(),
        1 => like("(swordfish|tulip|changeme|letmein)"),
        1 => like("(correct|tulip|purple) (horse|monkey|river) (battery|window|garden)( staple)?"),
        1 => like("[a-z]{4}[\"'][a-z0-9]{3}[0-9]"),
        1 => like("[a-z]{3}[&;,#|()<>$*?][A-Z0-9]{4}[!&;,#|]"),
        1 => like("[A-Z][a-z]{3}\\\\[a-z0-9]{4}[0-9]"),
        1 => like("[a-z0-9]{3} [A-Z0-9]{4}"),
    ]
    .boxed()
}

/// A name, and whether people choose what stands beside it; values of each kind, and which of them it is to be.
type Parts = ((&'static str, bool), String, String, String, u32);

/// A line of the file.
struct Form {
    encoding: String,
    template: String,
}

fn forms() -> Vec<Form> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/forms.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (encoding, template) = line.split_once(' ').expect("an encoding and a text");
            let template = template.replace('⏎', "\n").replace('␍', "\r").replace('⇥', "\t");
            Form { encoding: encoding.to_owned(), template }
        })
        .collect()
}

/// A name in the spelling that a form asks for.
fn spelled(name: &str, spelling: &str) -> String {
    let words: Vec<&str> = name.split(' ').collect();
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    let capitals = || words.iter().map(|word| capital(word)).collect::<Vec<_>>();
    match spelling {
        "snake" => words.join("_"),
        "UPPER" => words.join("_").to_uppercase(),
        "kebab" => words.join("-"),
        "dotted" => words.join("."),
        "Train" => capitals().join("-"),
        "Pascal" => capitals().concat(),
        "camel" => words[0].to_owned() + &capitals()[1..].concat(),
        "words" => words.join(" "),
        _ => panic!("{spelling} is no spelling"),
    }
}

fn percent(value: &str, blank: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    value.bytes().fold(String::new(), |text, byte| match byte {
        b' ' => text + blank,
        byte if plain(byte) => text + &char::from(byte).to_string(),
        byte => text + &format!("%{byte:02X}"),
    })
}

fn base64(value: &str) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letters = value.as_bytes().chunks(3).map(|three| {
        let bits =
            (0..3).fold(0_usize, |bits, at| bits << 8 | usize::from(three.get(at).copied().unwrap_or(0)));
        let four = (0..4)
            .map(|at| if at > three.len() { '=' } else { char::from(LETTERS[bits >> (18 - 6 * at) & 63]) });
        four.collect::<String>()
    });
    letters.collect()
}

fn json(value: &str) -> String {
    let text = serde_json::to_string(value).unwrap();
    text[1..text.len() - 1].to_owned()
}

impl Form {
    fn encoded(&self, value: &str) -> String {
        match &*self.encoding {
            "word" | "token" => value.to_owned(),
            "raw" => value.replace(['"', '\'', '`', '<'], "_"),
            "double" => value.replace('\\', r"\\").replace('"', "\\\"").replace('$', "_"),
            "single" => value.replace('\\', r"\\").replace('\'', r"\'"),
            "doubled" => value.replace('\'', "''"),
            "cell" => value.replace('"', "\"\""),
            "json" => json(value),
            "inner" => json(&json(value)),
            "xml" => value
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#39;"),
            "url" => percent(value, "%20"),
            "form" => percent(value, "+"),
            "base64" => base64(value),
            "braced" => value.replace('}', "}}"),
            encoding => panic!("{encoding} is no encoding"),
        }
    }

    /// A text, the secret in it, and what stands before and behind it.
    fn text(&self, parts: Parts) -> (String, String, [String; 2]) {
        let ((name, is_password), chosen, quoted, random, kind) = parts;
        let value = match (&*self.encoding, is_password, kind) {
            ("token", ..) | (_, false, _) | (_, _, 0) => random,
            ("word", ..) => chosen,
            _ => quoted,
        };
        let value = self.encoded(&value);
        let mut filled = self.template.clone();
        for spelling in ["snake", "UPPER", "camel", "Pascal", "kebab", "Train", "dotted", "words"] {
            filled = filled.replace(&format!("⟨{spelling}⟩"), &spelled(name, spelling));
        }
        let (before, after) = filled.split_once("⟨value⟩").expect("a place for the value");
        (format!("{before}{value}{after}"), value, [before.to_owned(), after.to_owned()])
    }
}

/// Whether a part of a secret is still there.
fn is_left(redacted: &str, secret: &str, around: &[String; 2]) -> bool {
    let letters: Vec<char> = secret.chars().collect();
    let len = PART.min(letters.len());
    letters.windows(len).any(|part| {
        let part: String = part.iter().collect();
        redacted.contains(&part) && !around.iter().any(|text| text.contains(&part))
    })
}

/// Whether what stands around a secret has lost more than the scheme before it.
fn is_damaged(redacted: &str, [before, after]: &[String; 2]) -> bool {
    let tail: String = after.trim_start_matches(|c: char| !c.is_alphanumeric()).to_owned();
    let head = before.len() / 4;
    let head = &before[..before.floor_char_boundary(head)];
    !redacted.starts_with(head) || (tail.len() > 3 && !redacted.contains(tail.trim_end()))
}

#[test]
fn in_every_notation_99_of_100_secrets_are_hidden() {
    let redactor: Redactor = Redaction::standard().build().unwrap();
    let mut runner = TestRunner::deterministic();
    let parts = (name(), chosen(), quoted(), random(), 0..5_u32);
    let mut failures = Vec::new();
    for form in forms() {
        let (mut left, mut damaged, mut shown) = (0, 0, Vec::new());
        for _ in 0..TEXTS {
            let (text, secret, around) = form.text(parts.new_tree(&mut runner).unwrap().current());
            let redacted = redactor.text(&text);
            let is_left = is_left(&redacted, &secret, &around);
            let is_damaged = !is_left && is_damaged(&redacted, &around);
            left += usize::from(is_left);
            damaged += usize::from(is_damaged);
            if (is_left || is_damaged) && shown.len() < SHOWN {
                shown.push(format!("    {text:?}\n      {redacted:?}"));
            }
        }
        let hidden = 100.0 * (1.0 - left as f64 / TEXTS as f64);
        if hidden < LEAST || damaged * 100 > TEXTS {
            failures.push(format!(
                "{hidden:.1} % hidden, {damaged} of {TEXTS} lose more: {:?}\n{}",
                form.template,
                shown.join("\n")
            ));
        }
    }
    assert!(failures.is_empty(), "{} notations:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_letter_of_another_alphabet_anywhere_in_a_notation_harms_nothing() {
    let redactor = Redaction::standard().build().unwrap();
    let forms = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/forms.txt"));
    for form in forms.unwrap().lines() {
        for (at, old) in form.char_indices() {
            for letter in ["’", "é", "密"] {
                let odd = [&form[..at], letter, &form[at + old.len_utf8()..], "\n", form].concat();
                let once = redactor.text(&odd);
                assert_eq!(redactor.text(&once), once, "of {odd}");
            }
        }
    }
}
