use super::*;

/// Lines of several loggers, and one that is no JSON.
const LINES: [&str; 10] = [
    r#"{"timestamp":"2026-02-21T13:42:01.250000Z","level":"info","message":"app ready","service":"loans","target":"loans","metadata":{"port":8080}}"#,
    r#"{"timestamp":"2026-02-21T13:42:05.000000Z","level":"error","message":"stage:score failed: no answer","service":"loans","target":"throughline::story","trace_id":"01980000000000000000000000000001","span_id":"00000000000000a1","workflow":"loan-approval","correlation_id":"loan-42","error":{"type":"Timeout","message":"no answer","chain":["no answer","timed out"]},"metadata":{"event_type":"stage:score","duration_us":5000000}}"#,
    r#"{"timestamp":"2026-02-21T13:42:06Z","level":"WARN","fields":{"message":"a tracing line","left":3},"target":"x","span":{"name":"inner"},"spans":[{"name":"outer"},{"name":"inner"}]}"#,
    r#"{"level":30,"time":1771681327000,"pid":7,"msg":"a line of pino"}"#,
    r#"{"ts":1771681327.5,"severity":"CRITICAL","msg":"zap says","ok":true,"none":null,"empty":"","list":[1,2]}"#,
    r#"{"event":"structlog","time":"21/Feb/2026","log":{"level":"debug"}}"#,
    r#"{"message":"control \u001b[31m \u009b and \u202e","key\u001b":"a\u0007 b"}"#,
    "thread 'main' panicked at src/main.rs:1:1:\tboom \u{1b}[2J",
    r#"["no", "object"]"#,
    r#"{"msg":"digits","id":12345678901234567890123,"exact":0.10,"half":"\ud800","deep":{"b":{"z":1,"a":[]}}}"#,
];

fn shown(style: LogStyle) -> String {
    let show = |line: &&str| match Record::read(line.as_bytes()) {
        Some(record) => style.record(&record, None),
        None => style.malformed(line, 0, None),
    };
    LINES.iter().map(show).collect::<Vec<_>>().join("\n")
}

#[test]
fn lines_of_any_logger_are_shown_alike() {
    insta::assert_snapshot!(shown(LogStyle::default()));
}

#[test]
fn fields_that_do_not_fit_continue_below() {
    for columns in [80, 120] {
        let text = shown(LogStyle { has_colour: false, width: Some(columns) });
        insta::assert_snapshot!(format!("lines_at_{columns}_columns"), text);
    }
}

#[test]
fn levels_have_colours_and_nothing_else_of_a_line_has_any() {
    let text = shown(LogStyle { has_colour: true, width: None });
    insta::assert_snapshot!(text.replace('\u{1b}', "^"));
    for line in text.lines().filter(|line| line.contains("control")) {
        assert!(!line.contains("\u{1b}[31m "), "{line}");
    }
}

#[test]
fn a_line_says_from_which_file_it_is_and_how_much_of_it_is_missing() {
    let style = LogStyle::default();
    assert_eq!(style.malformed("torn", 12, Some("a.log")), "a.log  torn… [12 bytes more]");
    let record = Record::read(br#"{"message":"m"}"#).unwrap();
    assert_eq!(style.record(&record, Some("a\u{1b}.log")), r"a\u{1b}.log         m");
}
