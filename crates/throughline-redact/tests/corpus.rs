//! Texts of our own making, each with what must be left of it: `tests/data/`. The table of `docs/redaction.md` is made from them,
//! by `cargo xtask redaction-report`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the helpers of tests may fail a test too")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value};
use throughline_redact::{Redaction, Redactor};

/// One line of a file.
struct Case {
    kind: String,
    input: String,
    expected: String,
    /// What must not be seen again.
    secrets: Vec<String>,
}

fn redactor() -> Redactor {
    Redaction::standard().build().unwrap()
}

/// The cases of a file, by the titles in it.
fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut kind = String::new();
    let mut cases = Vec::new();
    for (number, line) in text.lines().enumerate() {
        match line.strip_prefix("# ") {
            Some(title) => title.clone_into(&mut kind),
            None if line.is_empty() => {}
            None => cases.push(Case::of(&kind, line, number)),
        }
    }
    cases
}

impl Case {
    fn of(kind: &str, line: &str, number: usize) -> Self {
        let line = line.replace('⏎', "\n").replace('␍', "\r").replace('⇥', "\t");
        let line = generated(&line, number);
        let (mut input, mut expected, mut secrets) = (String::new(), String::new(), Vec::new());
        let mut rest = line.as_str();
        while let Some((before, after)) = rest.split_once('⟪') {
            let (secret, after) = after.split_once('⟫').expect("what opens closes");
            let (mark, secret) = match secret.split_once(':') {
                Some(("json", secret)) => ("\"[redacted]\"".to_owned(), secret),
                Some((kind, secret)) if is_kind(kind) => (format!("[redacted:{kind}]"), secret),
                _ => ("[redacted]".to_owned(), secret),
            };
            input.extend([before, secret]);
            expected.extend([before, &mark]);
            secrets.push(secret.to_owned());
            rest = after;
        }
        input.push_str(rest);
        expected.push_str(rest);
        Self { kind: kind.to_owned(), input, expected, secrets }
    }
}

fn is_kind(kind: &str) -> bool {
    ["api-key", "basic", "bearer", "card", "email", "iban", "jwt", "password", "private-key", "ssn"]
        .contains(&kind)
}

/// The line with characters of its class in place of each `‹w:20›`.
fn generated(line: &str, number: usize) -> String {
    let mut text = String::new();
    let mut rest = line;
    let mut seed = number as u32 + 1;
    while let Some((before, after)) = rest.split_once('‹') {
        let (run, after) = after.split_once('›').expect("what opens closes");
        let (class, len) = run.split_once(':').expect("a class and a length");
        let letters: Vec<char> = match class {
            "d" => ('0'..='9').collect(),
            "x" | "X" => ('0'..='9').chain('a'..='f').collect(),
            "a" | "k" => ('0'..='9').chain('a'..='z').collect(),
            "A" => ('2'..='7').chain('A'..='Z').collect(),
            _ => ('0'..='9').chain('a'..='z').chain('A'..='Z').collect(),
        };
        text.push_str(before);
        for place in 0..len.parse::<usize>().expect("a length") {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // Every third is a digit, so that no token is a word by chance.
            let among = if place % 3 == 1 { letters.len().min(6) } else { letters.len() };
            text.push(letters[(seed >> 16) as usize % among]);
        }
        rest = after;
    }
    text.push_str(rest);
    text
}

/// What is to be lost, and what is to be kept.
fn losing() -> Vec<Case> {
    [cases("families.txt"), cases("notations.txt")].into_iter().flatten().collect()
}

fn keeping() -> Vec<Case> {
    cases("innocent.txt")
}

fn all_of(failures: &[String]) {
    assert!(failures.is_empty(), "{} of the cases fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn there_are_at_least_600_texts_that_lose_something_and_600_that_lose_nothing() {
    let (losing, keeping) = (losing(), keeping());
    assert!(losing.len() >= 600 && keeping.len() >= 600, "{} and {}", losing.len(), keeping.len());
    assert!(losing.iter().all(|case| !case.secrets.is_empty()));
    assert!(keeping.iter().all(|case| case.secrets.is_empty()));
}

#[test]
fn every_text_is_redacted_as_expected_and_then_stays_as_it_is() {
    let redactor = redactor();
    let mut failures = Vec::new();
    for case in losing().into_iter().chain(keeping()) {
        let once = redactor.text(&case.input).into_owned();
        if once != case.expected {
            failures.push(format!("{}: {:?}\n  is {once:?}", case.kind, case.input));
        }
        assert_eq!(redactor.text(&once), once);
    }
    all_of(&failures);
}

#[test]
fn in_a_payload_every_text_is_redacted_as_it_is_alone() {
    let redactor = redactor();
    let mut failures = Vec::new();
    for case in losing().into_iter().chain(keeping()) {
        let mut data = Map::from_iter([("note".to_owned(), Value::from(case.input.clone()))]);
        redactor.payload(&mut data);
        if data["note"] != case.expected {
            failures.push(format!("{}: {:?}\n  is {}", case.kind, case.input, data["note"]));
        }
    }
    all_of(&failures);
}

#[test]
fn in_texts_of_50_lines_no_secret_stays_and_no_innocent_line_changes() {
    let redactor = redactor();
    let mut failures = Vec::new();
    for cases in losing().chunks(50) {
        let text: Vec<_> = cases.iter().map(|case| case.input.as_str()).collect();
        let redacted = redactor.text(&text.join("\n")).into_owned();
        for case in cases {
            let left =
                case.secrets.iter().find(|secret| secret.len() > 5 && redacted.contains(secret.as_str()));
            failures.extend(left.map(|left| format!("{}: {left:?} of {:?}", case.kind, case.input)));
        }
    }
    for cases in keeping().chunks(50) {
        let text: Vec<_> = cases.iter().map(|case| case.input.as_str()).collect();
        let text = text.join("\n");
        let redacted = redactor.text(&text).into_owned();
        let lines = text.lines().zip(redacted.lines());
        failures.extend(
            lines.filter(|(line, kept)| line != kept).map(|(line, kept)| format!("{line:?}\n  is {kept:?}")),
        );
    }
    all_of(&failures);
}

#[test]
fn inside_a_json_string_no_secret_stays_and_json_stays_json() {
    let redactor = redactor();
    let mut failures = Vec::new();
    for case in losing().into_iter().chain(keeping()) {
        let json = serde_json::json!({ "id": 7, "body": case.input, "end": "x" }).to_string();
        let redacted = redactor.text(&json).into_owned();
        match serde_json::from_str::<Value>(&redacted) {
            Err(error) => failures.push(format!("{}: {json}\n  is no JSON: {error}: {redacted}", case.kind)),
            Ok(value) => {
                let body = value["body"].as_str().unwrap_or_default();
                let left =
                    case.secrets.iter().find(|secret| secret.len() > 5 && body.contains(secret.as_str()));
                if left.is_some() || (case.secrets.is_empty() && body != case.input) || value["end"] != "x" {
                    failures.push(format!("{}: {json}\n  is {redacted}", case.kind));
                }
            }
        }
    }
    all_of(&failures);
}

/// Whether one of these texts has four characters in a row in common with another.
fn share_a_part(one: &str, other: &str) -> bool {
    let chars: Vec<char> = one.chars().collect();
    chars.windows(4).any(|part| other.contains(&String::from_iter(part)))
}

#[test]
fn no_explanation_repeats_a_part_of_what_would_be_hidden() {
    let redactor = redactor();
    let mut failures = Vec::new();
    let alone: Vec<String> = losing().into_iter().map(|case| case.input).collect();
    let together: Vec<String> = alone.chunks(50).map(|texts| texts.join("\n")).collect();
    for text in alone.into_iter().chain(together) {
        let findings: Vec<_> = redactor.findings(&text).collect();
        for finding in &findings {
            // All else is ours.
            let name = finding.because.strip_prefix("the value of `");
            let repeats =
                |name: &str| findings.iter().any(|other| share_a_part(name, &text[other.range.clone()]));
            if name.is_some_and(repeats) {
                failures.push(format!("{}: {text:?}", finding.because));
            }
        }
    }
    all_of(&failures);
}

#[test]
fn what_is_said_of_a_payload_is_what_would_be_hidden_in_it() {
    let mut failures = Vec::new();
    for case in losing().into_iter().chain(keeping()) {
        let redactor = redactor();
        let mut data = match serde_json::from_str(&case.input) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::from_iter([("note".to_owned(), Value::from(case.input.clone()))]),
        };
        let mut said: BTreeMap<String, u64> = BTreeMap::new();
        for finding in redactor.payload_findings(&data) {
            *said.entry(finding.kind).or_default() += 1;
        }
        assert!(redactor.counts().is_empty(), "nothing was hidden yet");
        redactor.payload(&mut data);
        if said != redactor.counts() {
            failures.push(format!("{}: {:?}: {said:?} and {:?}", case.kind, case.input, redactor.counts()));
        }
    }
    all_of(&failures);
}

/// The rows of the table: for each kind how many texts there are, and one of them.
fn report() -> String {
    let redactor = redactor();
    let mut table =
        String::from("| kind | texts | as expected | for example | becomes |\n|---|---|---|---|---|\n");
    for (title, cases) in [("must lose something", losing()), ("must stay", keeping())] {
        let mut kinds: BTreeMap<String, Vec<Case>> = BTreeMap::new();
        for case in cases {
            kinds.entry(case.kind.clone()).or_default().push(case);
        }
        let total: usize = kinds.values().map(Vec::len).sum();
        let _ = writeln!(table, "| **{title}** | {total} | | | |");
        for (kind, cases) in kinds {
            let right = cases.iter().filter(|case| redactor.text(&case.input) == case.expected).count();
            let shown =
                |text: &str| format!("`{}`", text.replace(['\n', '\r', '\t'], " ").replace('|', "\\|"));
            let short =
                cases.iter().filter(|case| !case.input.contains('`')).min_by_key(|case| case.input.len());
            let (before, after) =
                short.map(|case| (shown(&case.input), shown(&case.expected))).unwrap_or_default();
            // No token is written out where a scanner would take it for a real one.
            let before = if after.contains("api-key") { "a token of the form".to_owned() } else { before };
            let after = if before == after { "the same".to_owned() } else { after };
            let _ = writeln!(table, "| {kind} | {} | {right} | {before} | {after} |", cases.len());
        }
    }
    table
}

#[test]
fn the_table_in_the_docs_is_current() {
    const BEGIN: &str = "<!-- BEGIN: made by cargo xtask redaction-report -->\n";
    const END: &str = "<!-- END -->";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/redaction.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("a mark where the table begins");
    let (_, after) = rest.split_once(END).expect("a mark where the table ends");
    let current = format!("{before}{BEGIN}\n{}\n{END}{after}", report());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text == current, "docs/redaction.md is not current: run `cargo xtask redaction-report`");
}
