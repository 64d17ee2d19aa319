//! Redaction: of texts, of payloads, and of whole events.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Map, Value};
use throughline::Redaction;
use throughline::redact::Redactor;
use throughline_core::{Text, TraceEvent, redact_event};
use throughline_fuzz::{Target, fuzz, growth, slowest};

/// What starts one detector or another, or ends what it looks for.
const WORDS: &[&str] = &[
    "-",
    "--",
    "-----",
    "-----BEGIN",
    "-----END",
    "PRIVATE KEY",
    " ",
    "\n",
    "\t",
    "eyJ",
    ".",
    "://",
    "http",
    "@",
    "a",
    "Z",
    "s",
    "4",
    "1",
    "0",
    "ab",
    "git@",
    "a.b",
    "%40",
    "\\u0040",
    "\\",
    "\"",
    "'",
    "`",
    "\\\"",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "<",
    ">",
    "</",
    "/",
    ":",
    "=",
    "pin",
    "pin=",
    "pin:",
    "password: ",
    "\"pin\":",
    "token",
    "email",
    "secret",
    "secretion",
    "count",
    "null",
    "Some(",
    "Bearer ",
    "Basic ",
    "sk-",
    "SG.",
    "AKIA",
    "ghp_",
    "xoxb-",
    "whsec_",
    "hooks.slack.com/services/",
    "dapi",
    "NO",
    "NL91",
    "MT",
    "4111",
    "4111 1111 1111 1111",
    "078-05-1120",
    "[redacted]",
    "[redacted:",
    "[cut: ",
    "pseudonym:",
    "é",
    "\u{200b}",
    "\u{ff11}",
    "–",
    "_",
    "A",
    ",",
    ";",
    "&",
    "=>",
    "!",
    "?",
    "#",
    "xn--",
    "name",
    "card number",
    "Cookie: ",
    "550e8400-e29b-41d4-a716-446655440000",
    "-----BEGIN PRIVATE KEY-----",
    "https://",
    "Authorization: ",
    "Authorization: Digest ",
    "Authorization: Foo ",
    "Set-Cookie: ",
    "X-Api-Key: ",
    "auth: ",
    "password",
    "password=",
    "password = ",
    "password=>",
    "password -> ",
    "PASSWORD:",
    "\"password\":",
    "\"password\": \"",
    "'password': '",
    "password: \"",
    "password: '",
    "password: |\n",
    "password:\n - ",
    "  password: >\n",
    "password=(",
    "password: [",
    "password={",
    "password: {",
    "passphrase: ",
    "address: ",
    "name: ",
    "first_name: ",
    "diagnosis: ",
    "user: ",
    "auth=",
    "auth:",
    "token: ",
    "token:",
    "?code=",
    "&sig=",
    "?token=",
    ";pwd=",
    "; Password={",
    "Key (ssn)=(",
    "(ssn)=(",
    "\"name\":\"password\",\"value\":\"",
    "\"name\":",
    "\"value\":\"",
    "name=\"password\"",
    "value: ",
    "key: password ",
    "name=\"password\"\r\n\r\n",
    "<password>",
    "</password>",
    "<name>password</name><value>",
    "<add key=\"Password\" value=\"",
    "<password",
    "<!--",
    "[\"Authorization\",",
    "(\"token\", \"",
    "\"password\",",
    "\"--password\",\"",
    "--password ",
    "--password",
    "Password(",
    "Password(\"",
    "Token(1",
    "setProperty(\"password\",",
    "curl -u ",
    "curl ",
    "mysql -p",
    "mysql ",
    "wget --user ",
    "IDENTIFIED BY '",
    "WITH PASSWORD '",
    "login ",
    "machine x login a password ",
    "INSERT INTO t (password) VALUES ('",
    "insert into t(",
    "insert into ",
    "VALUES (",
    "jdbc:oracle:thin:",
    "jdbc:oracle:thin:@",
    "jdbc:oracle:thin:a/",
    "ENV X_PASSWORD ",
    "your code is 1234",
    "password is 1234",
    " is ",
    "1234",
    "| password | x |\n",
    "| password |",
    "|",
    "password\t",
    "a,password\n",
    "password,x\n",
    "password;",
    "/reset/",
    "/password-reset/",
    "/token/Zq9xT4mB7wLk2",
    "aB3dE5fG7hJ9k",
    "{\"a\":\"",
    "{\"a\":\"password\\\":",
    "\\n",
    "\\\\",
    "!!str ",
    "&x ",
    "::=",
    "let password: String = \"",
    "var token string = ",
    "password: Option<String> = ",
    "data['password'] = ",
    "Private-Lines:",
    "Private-MAC:",
    "user:pass@",
    "x://u:p@",
    "postgres://",
    "%s",
    "${",
    "{{",
    "$1",
    "***",
    "xxxx",
    "Some(\"",
    "Secret { inner: ",
    "пароль: ",
    "密码:",
    "密码",
    "→",
    "４",
    "field is required",
    "required ",
    "failed",
    "if ",
    "string | null",
    "password reset failed: ",
    "the card number: ",
    "social security number: ",
    "api key ",
    "{User:ada Password:",
    "Password:",
];

const TEXT: Target = Target::new("redaction", WORDS);
const EVENT: Target = Target::new("event", WORDS);

static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| {
    Redaction::standard().pseudonym_key("sixteen bytes at least").payload_limit(2_000).build().unwrap()
});

fn payload(data: &Map<String, Value>) -> Map<String, Value> {
    let mut data = data.clone();
    REDACTOR.payload(&mut data);
    data
}

fn one_field(key: &str, value: impl Into<Value>) -> Map<String, Value> {
    Map::from_iter([(key.to_owned(), value.into())])
}

/// A payload that is as deep as may be, with something of the text on every level.
fn deep(text: &str) -> Map<String, Value> {
    let part = text.ceil_char_boundary(text.len() / 64);
    let mut rest = text;
    let mut value = Value::Null;
    for level in 0..64 {
        let (here, after) = rest.split_at(rest.ceil_char_boundary(part.min(rest.len())));
        rest = after;
        value = if level % 2 == 0 {
            Value::from(vec![value, here.into()])
        } else {
            one_field(here, value).into()
        };
    }
    one_field("deep", value)
}

/// A payload with many keys.
fn wide(text: &str) -> Map<String, Value> {
    let chars: Vec<char> = text.chars().collect();
    chars
        .chunks(24)
        .enumerate()
        .map(|(n, key)| (format!("{}{n}", String::from_iter(key)), n.into()))
        .collect()
}

#[test]
fn any_text_is_redacted_and_then_stays_as_it_is() {
    fuzz!(TEXT, |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let once = REDACTOR.text(&text).into_owned();
        assert_eq!(REDACTOR.text(&once), once);
        // JSON stays JSON, also where it is in a string of JSON.
        let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object());
        let inner = Value::from(one_field("body", &*text)).to_string();
        let outer = Value::from(one_field("body", &*inner)).to_string();
        for json in [inner, outer] {
            assert!(is_json(&REDACTOR.text(&json)), "{json}");
        }
        if is_json(&text) {
            assert!(is_json(&once), "{text}");
        }
        for data in [one_field("note", &*text), one_field(&text, 1), deep(&text), wide(&text)] {
            let once = payload(&data);
            assert_eq!(payload(&once), once);
        }
    });
}

#[test]
fn redacting_a_text_takes_time_linear_in_it() {
    growth!(TEXT, |bytes: &[u8]| drop(REDACTOR.text(&String::from_utf8_lossy(bytes))));
}

#[test]
fn redacting_and_cutting_a_text_takes_time_linear_in_it() {
    growth!(TEXT, |bytes: &[u8]| drop(payload(&one_field("note", String::from_utf8_lossy(bytes)))));
}

#[test]
fn classifying_a_key_takes_time_linear_in_it() {
    growth!(TEXT, |bytes: &[u8]| drop(REDACTOR.findable(Some(&String::from_utf8_lossy(bytes)), "x")));
}

#[test]
fn redacting_a_payload_takes_time_linear_in_it_however_deep_or_wide_it_is() {
    growth!(TEXT, |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        drop((payload(&deep(&text)), payload(&wide(&text))));
    });
}

#[test]
fn any_event_is_redacted_and_then_stays_as_it_is() {
    fuzz!(EVENT, |bytes: &[u8]| {
        let Ok(mut event) = serde_json::from_slice::<TraceEvent>(bytes) else { return };
        redact_event(&REDACTOR, &mut event);
        let once = event.clone();
        redact_event(&REDACTOR, &mut event);
        assert_eq!(event, once);
    });
}

#[test]
fn redacting_an_event_takes_time_linear_in_it() {
    let seed = EVENT.seeds().remove(0).1;
    let event: TraceEvent = serde_json::from_slice(&seed).unwrap();
    growth!(EVENT, |bytes: &[u8]| {
        let whole = String::from_utf8_lossy(bytes);
        let text = |text: &str| Text::from(text.to_owned());
        let parts = || whole.split_inclusive(' ').map(text);
        let mut event = event.clone();
        event.event_type = text(&whole);
        event.correlation_id = Some(text(&whole));
        event.tags = parts().collect();
        event.attrs = parts().map(|part| (part.clone(), part)).collect();
        if let Some(error) = &mut event.error {
            error.kind = text(&whole);
            error.message = text(&whole);
            error.chain = parts().collect();
        }
        redact_event(&REDACTOR, &mut event);
    });
}

/// With `cargo test --release --test fuzz -- nanoseconds`.
#[test]
#[cfg_attr(debug_assertions, ignore = "it measures a release build")]
fn no_text_takes_more_than_100_nanoseconds_a_byte() {
    const SEARCH: Duration = Duration::from_secs(20);
    let in_payloads = |text: &str| drop(payload(&one_field("note", text)));
    let as_keys = |text: &str| drop(payload(&one_field(text, 1)));
    let nested = |text: &str| drop(payload(&deep(text)));
    let many = |text: &str| drop(payload(&wide(text)));
    let searched = |work: &dyn Fn(&str)| {
        slowest(&TEXT, SEARCH, 1, &|bytes| work(std::str::from_utf8(bytes).unwrap_or_default()))
    };
    for (place, work) in [
        ("value", &in_payloads as &dyn Fn(&str)),
        ("key", &as_keys),
        ("nested values", &nested),
        ("keys", &many),
    ] {
        let (nanoseconds, words) = searched(work);
        assert!(!words.is_empty(), "{place}: nothing was measured");
        println!("{place}: {nanoseconds:.0} ns a byte: {words:?}");
        assert!(nanoseconds <= 100.0, "{place}: {nanoseconds} ns a byte: {words:?}");
    }
}
