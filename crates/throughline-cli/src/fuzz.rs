//! What the command reads of others, on any bytes: XES and JSON lines.

use std::hint::black_box;
use std::sync::LazyLock;

use throughline_core::{Redaction, Redactor};
use throughline_fuzz::{Target, fuzz, growth};

use crate::jsonl::JsonlReader;
use crate::xes::reader::XesReader;
use crate::xes::rules::Rules;
use crate::xes::runs::Converter;

static REDACTOR: LazyLock<Redactor> = LazyLock::new(|| Redaction::standard().build().unwrap());

const XES: Target = Target::new(
    "xes",
    &[
        "<log>",
        "</log>",
        "<trace>",
        "</trace>",
        "<event>",
        "</event>",
        "<event><string key=\"concept:name\" value=\"a\"/></event>",
        "<string key=\"concept:name\" value=\"a\"/>",
        "<string key=\"a\" value=\"b\">",
        "</string>",
        "<date key=\"time:timestamp\" value=\"2026-01-01T00:00:00Z\"/>",
        "<list key=\"l\"><values>",
        "</values></list>",
        "<int key=\"i\" value=\"99999999999999999999\"/>",
        "<x:y z=\"1\">",
        "</x:y>",
        "<",
        ">",
        "/",
        "\"",
        "=",
        " a=\"b\"",
        "&amp;",
        "&#65;",
        "&",
        "<!--",
        "-->",
        "<![CDATA[",
        "]]>",
        "<?",
        "?>",
        "\n",
        "é",
    ],
);

const JSON_LINES: Target = Target::new(
    "json-lines",
    &[
        "{", "}", "[", "]", "\"", "\\", "\\u0041", ":", ",", "\n", "\r", " ", "1", "1e9", "null", "\"a\":1,",
        "{}\n", "[[", "é",
    ],
);

/// Converts the runs up to what can't be read.
fn xes(bytes: &[u8]) -> u64 {
    let rules = Rules {
        workflow: "loans".into(),
        overrides_workflow: false,
        service: "import".into(),
        overrides_service: false,
        failed_when: Vec::new(),
        cancelled_when: Vec::new(),
    };
    let mut converter = Converter::new(rules, "log", REDACTOR.clone());
    let Ok(mut reader) = XesReader::open(bytes) else { return 0 };
    while let Ok(Some(run)) = reader.next_run() {
        black_box(converter.convert(run));
    }
    converter.tally().xes_events
}

/// How many lines are events, and how many are not.
fn json_lines(bytes: &[u8]) -> [usize; 2] {
    let mut reader = JsonlReader::new(bytes);
    let mut lines = [0; 2];
    while let Some(is_event) = reader.next_event().map(|event| event.map(|_| true)).unwrap_or(Some(false)) {
        lines[usize::from(!is_event)] += 1;
    }
    lines
}

#[test]
fn any_log_is_read_or_refused() {
    fuzz!(XES, |bytes: &[u8]| {
        black_box(xes(bytes));
    });
}

#[test]
fn any_json_lines_are_read_or_refused() {
    fuzz!(JSON_LINES, |bytes: &[u8]| {
        black_box(json_lines(bytes));
    });
}

#[test]
fn reading_a_log_takes_time_linear_in_it() {
    for around in [("<log>", "</log>"), ("<log><trace>", "</trace></log>"), ("<log><trace><event>", "")] {
        growth!(XES.between(around.0, around.1), |bytes: &[u8]| {
            black_box(xes(bytes));
        });
    }
}

#[test]
fn reading_json_lines_takes_time_linear_in_them() {
    growth!(JSON_LINES, |bytes: &[u8]| {
        black_box(json_lines(bytes));
    });
    growth!(JSON_LINES.between("{\"data\":{\"a\":\"", ""), |bytes: &[u8]| {
        black_box(json_lines(bytes));
    });
}
