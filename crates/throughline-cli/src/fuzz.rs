//! What the command reads of others, on any bytes: XES, JSON lines, lines of logs, pages of metrics.

use std::hint::black_box;
use std::sync::LazyLock;

use throughline_core::{Redaction, Redactor};
use throughline_fuzz::{Target, fuzz, growth};
use throughline_sidecar::{LogFilter, LogStyle, LogTally, Record, Scraper, Snapshot};

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

const LOG_LINE: Target = Target::new(
    "log-line",
    &[
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        "\\u001b",
        ":",
        ",",
        "\"a\":{",
        "\"msg\":\"m\",",
        "\"level\":\"warn\",",
        "\"ts\":1e30,",
        "\"trace_id\":\"0198\",",
        "\"fields\":{",
        "'",
        "1",
        "-",
        " ",
        "\u{1b}",
        "\0",
        "é",
    ],
);

const PAGE: Target = Target::new(
    "metrics-page",
    &[
        "# TYPE ",
        "# HELP ",
        "# EOF",
        " counter\n",
        " histogram\n",
        " summary\n",
        "a_total",
        "a_bucket",
        "a_count",
        "a_created",
        "{",
        "}",
        "le=\"1\"",
        "le=\"+Inf\"",
        "quantile=\"0.5\"",
        "status=\"500\"",
        "\"",
        "\\",
        "\\n",
        "=",
        ",",
        " ",
        "\t",
        "\n",
        "1",
        "-1e308",
        "NaN",
        "+Inf",
        " # {trace_id=\"a\"} 1",
        "process_start_time_seconds 1\n",
        "é",
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

/// Reads, filters, shows and counts a line.
fn log_line(bytes: &[u8]) -> usize {
    let text = String::from_utf8_lossy(bytes);
    let record = Record::read(bytes);
    let mut filter = LogFilter::new().text("m").run(["0198".to_owned()]);
    black_box(filter.matches(&text, record.as_ref()));
    let style = LogStyle { has_colour: false, width: Some(80) };
    let shown = match &record {
        Some(record) => style.record(record, None),
        None => style.malformed(&text, 0, None),
    };
    assert!(!shown.contains(['\u{1b}', '\0', '\r']), "{shown:?}");
    let mut tally = LogTally::new();
    tally.add(bytes);
    black_box(tally.summary(10));
    shown.len()
}

/// Scrapes a page twice, so that it is compared with itself.
fn page(bytes: &[u8]) -> u64 {
    let mut scraper = Scraper::new("http://localhost/metrics", std::time::Duration::from_secs(1));
    let first = scraper.read(bytes);
    let second = scraper.read(bytes);
    assert!(first.up == second.up && first.series == second.series);
    // What has a sample is a page.
    assert!(first.up || (first.series == 0 && first.error.is_some()));
    // What is stored is read back.
    let stored = serde_json::to_string(&second).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&stored).unwrap().families.len(), second.families.len());
    second.series
}

#[test]
fn any_line_of_a_log_is_read_and_harmless() {
    fuzz!(LOG_LINE, |bytes: &[u8]| {
        black_box(log_line(bytes));
    });
}

#[test]
fn any_page_of_metrics_is_read() {
    fuzz!(PAGE, |bytes: &[u8]| {
        black_box(page(bytes));
    });
}

#[test]
fn reading_a_line_of_a_log_takes_time_linear_in_it() {
    for around in [("", ""), ("{\"a\":\"", "\"}"), ("{\"a\":[", "]}"), ("{\"a\":{\"b\":", "}}")] {
        growth!(LOG_LINE.between(around.0, around.1), |bytes: &[u8]| {
            black_box(log_line(bytes));
        });
    }
}

#[test]
fn reading_a_page_of_metrics_takes_time_linear_in_it() {
    for around in [("", ""), ("a{", "} 1\n"), ("a{b=\"", "\"} 1\n")] {
        growth!(PAGE.between(around.0, around.1), |bytes: &[u8]| {
            black_box(page(bytes));
        });
    }
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
