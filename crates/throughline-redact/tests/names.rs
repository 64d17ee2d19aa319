//! Names of fields, in many languages: `tests/data/names.txt`. Under a telling name the value goes, in a payload and in a text; under all
//! others it stays.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of tests may fail a test too")]

use std::path::Path;

use serde_json::{Map, Value};
use throughline_redact::{Redaction, Redactor, pii};

/// Names of one kind, with a value as may stand under them.
struct Group {
    kind: String,
    value: String,
    names: Vec<String>,
}

fn groups() -> Vec<Group> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/names.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let mut groups = Vec::new();
    for paragraph in text.split("\n\n").skip(1) {
        let (title, names) = paragraph.split_once('\n').expect("a title and names");
        let (kind, value) = title.trim_start_matches("# ").split_once(": ").expect("a kind and a value");
        let names = names.split_whitespace().map(str::to_owned).collect();
        groups.push(Group { kind: kind.to_owned(), value: value.to_owned(), names });
    }
    groups
}

fn redacted(redactor: &Redactor, name: &str, value: &str) -> String {
    let mut data = Map::from_iter([(name.to_owned(), Value::from(value))]);
    redactor.payload(&mut data);
    data[name].as_str().unwrap_or_default().to_owned()
}

/// What is left of a text where the value stood.
fn in_text(redactor: &Redactor, name: &str, value: &str) -> String {
    let json = serde_json::json!({ name: value }).to_string();
    redactor.text(&json).into_owned()
}

fn all_of(what: &str, misses: &[String]) {
    assert!(misses.is_empty(), "{} {what}:\n{}", misses.len(), misses.join("\n"));
}

#[test]
fn under_a_telling_name_the_value_goes() {
    let redactor = Redaction::standard().with(pii::EU).with(pii::US).build().unwrap();
    let mut misses = Vec::new();
    for Group { kind, value, names } in groups().into_iter().filter(|group| group.kind != "innocent") {
        for name in &names {
            if redacted(&redactor, name, &value).contains(&value) {
                misses.push(format!("{kind}: {name} in a payload"));
            } else if in_text(&redactor, name, &value).contains(&value) {
                misses.push(format!("{kind}: {name} in a text"));
            }
        }
    }
    all_of("names do not tell", &misses);
}

#[test]
fn under_other_names_the_value_stays() {
    let redactor = Redaction::standard().with(pii::EU).with(pii::US).build().unwrap();
    let mut misses = Vec::new();
    for Group { value, names, .. } in groups().into_iter().filter(|group| group.kind == "innocent") {
        for name in &names {
            if redacted(&redactor, name, &value) != value
                || !in_text(&redactor, name, &value).contains(&value)
            {
                misses.push(name.clone());
            }
        }
    }
    all_of("innocent names tell", &misses);
}

#[test]
fn of_credentials_alone_no_name_of_somebody_tells() {
    let redactor = Redaction::standard().credentials_only().build().unwrap();
    let mut misses = Vec::new();
    for Group { kind, value, names } in groups() {
        let is_credential = kind == "credential" || kind == "card code";
        for name in names.iter().filter(|_| !is_credential) {
            if redacted(&redactor, name, &value) != value {
                misses.push(format!("{kind}: {name}"));
            }
        }
    }
    all_of("names tell", &misses);
}
