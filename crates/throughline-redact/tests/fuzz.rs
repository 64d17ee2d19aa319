//! Redaction of texts and of payloads, with any text.

#![expect(clippy::unwrap_used, reason = "a test that cannot continue says so best by failing at that place")]

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Map, Value};
use throughline_fuzz::{SECRETS, Target, fuzz, growth, slowest};
use throughline_redact::{Redaction, Redactor};

const TEXT: Target = Target::new("redaction", SECRETS);

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
        // JSON stays JSON, also where it is in a string of JSON, and whatever white space it begins with.
        let is_json = |text: &str| {
            let value = serde_json::from_str::<Value>(text);
            value.is_ok_and(|value| value.is_object() || value.is_array() || value.is_string())
        };
        let inner = Value::from(one_field("body", &*text)).to_string();
        let outer = Value::from(one_field("body", &*inner)).to_string();
        let string = Value::from(&*text).to_string();
        let list = Value::from(vec![Value::from(&*text), Value::from(4_111_111_111_111_111_u64)]).to_string();
        let spaced = [format!("\t{inner}"), format!("\r\n{list}"), format!(" {string}\n")];
        for json in [inner, outer, list, string].iter().chain(&spaced) {
            assert!(is_json(&REDACTOR.text(json)), "{json}");
        }
        if is_json(&text) {
            assert!(is_json(&once), "{text}");
        }
        for data in [one_field("note", &*text), one_field(&text, 1), deep(&text), wide(&text)] {
            let once = payload(&data);
            assert_eq!(payload(&once), once);
        }
        let findings: Vec<_> = REDACTOR.findings(&text).collect();
        for name in findings.iter().filter_map(|finding| finding.because.strip_prefix("the value of `")) {
            let chars: Vec<char> = name.chars().collect();
            let repeats =
                |hidden: &str| chars.windows(4).any(|part| hidden.contains(&String::from_iter(part)));
            assert!(!findings.iter().any(|finding| repeats(&text[finding.range.clone()])), "{name}: {text}");
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

/// With `cargo test --release -p throughline-redact --test fuzz -- nanoseconds`.
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
