//! What is imported may be endless, or broken in the middle.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::process::{Child, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::sandbox::{Sandbox, data_file};

/// An event of one run per number, as a line of JSON.
fn line(number: u32) -> String {
    format!(
        r#"{{"trace_id":"{number:032x}","span_id":"{number:016x}","event_type":"a","timestamp":"2026-01-01T00:00:00Z","service":"s"}}"#
    )
}

/// Starts an import of the standard input.
fn start(sandbox: &Sandbox) -> Child {
    let mut command = sandbox.command(&["import", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Feeds an import for as long as it reads: it must stop of its own accord.
fn feed_for_ever(sandbox: &Sandbox, head: &[u8], rest: &[u8]) -> Output {
    let mut import = start(sandbox);
    let mut stdin = import.stdin.take().unwrap();
    let written = stdin.write_all(head).and_then(|()| {
        loop {
            stdin.write_all(rest)?;
        }
    });
    let written: io::Result<()> = written;
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    import.wait_with_output().unwrap()
}

#[test]
fn what_has_no_end_is_read_until_its_head_tells_that_it_is_not_events() {
    let sandbox = Sandbox::empty();
    insta::assert_snapshot!(sandbox.see(&["import", "/dev/zero"]), @r"
    throughline: /dev/zero: it is neither JSON lines (a line begins with `{`) nor XES (an XML file with a <log>)
    [exit code 3]
    ");
    let gzip = {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&vec![0; 1 << 20]).unwrap();
        gzip.finish().unwrap()
    };
    for (head, rest) in [
        (&b""[..], &[b'x'; 4096][..]),
        (b"", &[b' '; 4096]),
        (b"\xEF\xBB\xBF", &[b'\n'; 4096]),
        (b"", &gzip),
        (b"<html>", b"<p/>"),
    ] {
        let output = feed_for_ever(&sandbox, head, rest);
        assert_eq!(output.status.code(), Some(3), "{output:?}");
    }
    assert!(!sandbox.path("traces.db").exists(), "nothing was imported, so no store is made");
}

#[test]
fn json_lines_without_an_event_are_given_up_and_what_came_before_is_kept() {
    for (name, rest) in [("bad lines", "{}\n"), ("blank lines", "\n"), ("a line without an end", "{")] {
        let sandbox = Sandbox::empty();
        let head = format!("{}\n{}\n", line(1), line(2));
        let output = feed_for_ever(&sandbox, head.as_bytes(), rest.repeat(4096).as_bytes());
        assert_eq!(output.status.code(), Some(3), "{name}: {output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("no event"), "{name}: {said}");
        assert_eq!(sandbox.json(&["list"])["runs"].as_array().unwrap().len(), 2, "{name}");
    }
}

#[test]
fn events_from_a_pipe_are_read_as_they_come() {
    let sandbox = Sandbox::empty();
    let mut import = start(&sandbox);
    let mut stdin = import.stdin.take().unwrap();
    // The first byte alone, then more than a batch: what was written is there before the pipe ends.
    let lines = (1..=20_000).fold(String::new(), |mut lines, number| {
        writeln!(lines, "{}", line(number)).unwrap();
        lines
    });
    stdin.write_all(&lines.as_bytes()[..1]).unwrap();
    stdin.flush().unwrap();
    stdin.write_all(&lines.as_bytes()[1..]).unwrap();
    drop(stdin);
    let output = import.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said, "- → sqlite:traces.db: 20,000 new events, 0 already there\n");
}

#[test]
fn an_event_log_from_a_pipe_is_the_log_of_the_file() {
    let sandbox = Sandbox::empty();
    let file = data_file("loans.xes");
    let from_file = sandbox.json(&["import", file.to_str().unwrap()]);
    let log = std::fs::read(&file).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&log).unwrap();
    for bytes in [log, gzip.finish().unwrap()] {
        let report = sandbox.json_of_pipe(&["import", "-"], &bytes);
        assert_eq!((&report["log"], &report["events_new"]), (&from_file["log"], &0.into()));
    }
}

#[test]
fn lines_around_a_bad_one_are_read_and_the_bad_one_is_named() {
    let sandbox = Sandbox::empty();
    let (first, last) = (line(1), line(2));
    sandbox.write("some.jsonl", format!("{first}\n{{\"trace_id\":7}}\nnot even JSON\n\u{FEFF}{last}"));
    insta::assert_snapshot!(sandbox.see(&["import", "some.jsonl"]), @r"
    some.jsonl → sqlite:traces.db: 2 new events, 0 already there
    throughline: some.jsonl: 2 lines are not events; all others are imported
      line 2: this is not an event: invalid type: integer `7`, expected a string (column 13)
      line 3: this is not an event: expected ident (column 2)
    [exit code 3]
    ");
    let report = sandbox.json(&["import", "some.jsonl"]);
    insta::assert_json_snapshot!(report, @r#"
    {
      "bad_lines": {
        "count": 2,
        "first": [
          {
            "line": 2,
            "problem": "this is not an event: invalid type: integer `7`, expected a string (column 13)"
          },
          {
            "line": 3,
            "problem": "this is not an event: expected ident (column 2)"
          }
        ]
      },
      "broke_off": null,
      "cut_timestamps": 0,
      "events_known": 2,
      "events_new": 0,
      "format": "jsonl",
      "redacted": {}
    }
    "#);
}

#[test]
fn of_many_bad_lines_the_first_are_named_and_the_rest_are_counted() {
    let sandbox = Sandbox::empty();
    let bad = "{\"trace_id\":7}\n".repeat(1_000);
    sandbox.write("some.jsonl", format!("{}\n{bad}{}\n{bad}", line(1), line(2)));
    let said = sandbox.run(&["import", "some.jsonl"]);
    assert_eq!(said.code, 3);
    let named: Vec<_> = said.stderr.lines().filter(|line| line.trim_start().starts_with("line ")).collect();
    assert_eq!(named.len(), 20, "{}", said.stderr);
    assert!(named[0].contains("line 2:") && named[19].contains("line 21:"), "{named:?}");
    assert!(said.stderr.contains("1,980 more"), "{}", said.stderr);
    let report = sandbox.json(&["import", "some.jsonl"]);
    assert_eq!((&report["bad_lines"]["count"], &report["events_known"]), (&2_000.into(), &2.into()));
    assert_eq!(report["bad_lines"]["first"].as_array().unwrap().len(), 20);
}

#[test]
fn a_line_that_is_too_long_is_a_bad_line() {
    let sandbox = Sandbox::empty();
    let long = "x".repeat((16 << 20) + 5);
    sandbox.write("some.jsonl", format!("{}\n{{\"a\":\"{long}\"}}\n{}\n", line(1), line(2)));
    let said = sandbox.run(&["import", "some.jsonl"]);
    assert!(
        said.code == 3 && said.stderr.contains("line 2: the line is longer than 16 MiB"),
        "{}",
        said.stderr
    );
    assert_eq!(sandbox.json(&["list"])["runs"].as_array().unwrap().len(), 2);
}

#[test]
fn a_file_in_which_no_line_is_an_event_makes_no_store() {
    let sandbox = Sandbox::empty();
    sandbox.write("package.json", "{\n  \"name\": \"shop\",\n  \"private\": true\n}\n");
    let said = sandbox.run(&["import", "package.json"]);
    assert!(said.code == 3 && said.stderr.contains("4 lines are not events"), "{}", said.stderr);
    assert!(!sandbox.path("traces.db").exists());
}

#[test]
fn moments_of_all_years_and_of_any_precision_are_read_and_a_cut_is_said_once() {
    let sandbox = Sandbox::empty();
    let at = |number, moment: &str| line(number).replace("2026-01-01T00:00:00Z", moment);
    sandbox.write(
        "some.jsonl",
        [
            at(1, "0001-01-01T00:00:00Z"),
            at(2, "2026-01-01T00:00:00.123456789012345678901234567890+02:00"),
            at(3, "2026-01-01T00:00:00.1234560000Z"),
            at(4, "2026-01-01T24:00:00,1Z"),
            at(5, "2026-01-01t24:00:00.0000000000z"),
            at(6, "9999-12-31T23:59:59.9999999Z"),
        ]
        .join("\n"),
    );
    insta::assert_snapshot!(sandbox.see(&["import", "some.jsonl"]), @r"
    some.jsonl → sqlite:traces.db: 5 new events, 0 already there
    2 timestamps are finer than a microsecond, and cut to that
    throughline: some.jsonl: 1 line is not an event; all others are imported
      line 4: this is not an event: `2026-01-01T24:00:00,1Z` is not a timestamp: expected RFC 3339, as in 2026-03-01T09:30:00.000000Z (column 129)
    [exit code 3]
    ");
    assert_eq!(sandbox.json(&["import", "some.jsonl"])["cut_timestamps"], 2);
    insta::assert_snapshot!(sandbox.see(&["list"]), @r"
    ID                WORKFLOW  STATE      STARTED
    0000000000000000  a         succeeded  9999-12-31 23:59:59
    0000000000000000  a         succeeded  2026-01-02 00:00:00
    0000000000000000  a         succeeded  2026-01-01 00:00:00
    0000000000000000  a         succeeded  2025-12-31 22:00:00
    0000000000000000  a         succeeded  0001-01-01 00:00:00
    ");
    let exported = sandbox.run(&["export"]).stdout;
    sandbox.write("exported.jsonl", &exported);
    let again = Sandbox::empty();
    again.write("exported.jsonl", &exported);
    assert_eq!(again.json(&["import", "exported.jsonl"])["cut_timestamps"], 0);
    assert_eq!(again.run(&["export"]).stdout, exported);
    for command in
        [&["stats"][..], &["export", "--format", "xes"], &["running"], &["list", "--since", "9999-01-01"]]
    {
        assert!(sandbox.run(command).code < 2, "{command:?}");
    }
}

#[test]
fn what_is_redacted_is_counted_by_kind_and_can_be_kept() {
    let data = r#""attrs":{"user":"ada@example.org"},"data":{"gender":true,"phoneType":"T2","phone":"020 7946 0018","pin":1234,"note":"ada@example.org, bob@example.org","amount":0.5,"done":false,"card":[4111111111111111],"was":"[redacted:email]"}"#;
    let event = line(1).replace("\"service\"", &format!("{data},\"service\""));
    let sandbox = Sandbox::empty();
    sandbox.write("some.jsonl", &event);
    insta::assert_snapshot!(sandbox.see(&["import", "some.jsonl"]), @r"
    some.jsonl → sqlite:traces.db: 1 new event, 0 already there
    6 values redacted or cut (email 2, key 3, pseudonym 1); --redaction off keeps them
    ");
    let kept: serde_json::Value = serde_json::from_str(&sandbox.run(&["export"]).stdout).unwrap();
    insta::assert_json_snapshot!(kept["data"], @r#"
    {
      "amount": 0.5,
      "card": "[redacted]",
      "done": false,
      "gender": true,
      "note": "[redacted:email], [redacted:email]",
      "phone": "[redacted]",
      "phoneType": "T2",
      "pin": "[redacted]",
      "was": "[redacted:email]"
    }
    "#);
    insta::assert_json_snapshot!(sandbox.json(&["import", "some.jsonl"])["redacted"], @r#"
    {
      "email": 2,
      "key": 3,
      "pseudonym": 1
    }
    "#);

    let sandbox = Sandbox::empty();
    sandbox.write("some.jsonl", &event);
    let report = sandbox.json(&["import", "some.jsonl", "--redaction", "off"]);
    assert_eq!((&report["events_new"], &report["redacted"]), (&1.into(), &serde_json::json!({})));
    let kept: serde_json::Value = serde_json::from_str(&sandbox.run(&["export"]).stdout).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&event).unwrap();
    assert_eq!((&kept["data"], &kept["attrs"]), (&whole["data"], &whole["attrs"]));
}

#[test]
fn an_event_log_is_redacted_and_counted_in_the_same_way() {
    let log = "<log><trace><string key='concept:name' value='1'/><boolean key='gender' value='true'/>\
               <int key='phone' value='2079460018'/><string key='phoneType' value='T2'/>\
               <event><string key='concept:name' value='pay'/><string key='to' value='ada@example.org'/></event>\
               </trace></log>";
    let sandbox = Sandbox::empty();
    sandbox.write("log.xes", log);
    assert_eq!(sandbox.json(&["import", "log.xes"])["redacted"], serde_json::json!({"email": 1, "key": 1}));
    let exported = sandbox.run(&["export", "--format", "xes"]).stdout;
    assert!(exported.contains("<boolean key=\"gender\" value=\"true\"/>"), "{exported}");
    assert!(exported.contains("value=\"T2\"") && !exported.contains("2079460018"), "{exported}");
    // With other options it would be another import.
    assert_eq!(sandbox.run(&["import", "log.xes", "--redaction", "off"]).code, 3);

    let sandbox = Sandbox::empty();
    sandbox.write("log.xes", log);
    assert_eq!(sandbox.json(&["import", "log.xes", "--redaction", "off"])["redacted"], serde_json::json!({}));
    let exported = sandbox.run(&["export", "--format", "xes"]).stdout;
    assert!(exported.contains("2079460018") && exported.contains("ada@example.org"), "{exported}");
}

#[test]
fn numbers_come_out_with_the_digits_that_came_in() {
    let long = [
        "123456789012345678901234567890",
        "-170141183460469231731687303715884105729",
        "18446744073709551616",
        "0.1234567890123456789012345678901234567891",
        "1e400",
    ];
    let short = ["18446744073709551615", "-9223372036854775808", "0.30000000000000004", "1.1", "-7"];
    let (list, same) = (long.join(","), short.join(","));
    let event = line(1).replace(
        "\"service\"",
        &format!(
            "\"data\":{{\"list\":[{list},{same}],\"one\":{}}},\"later\":{},\"service\"",
            long[0], long[1]
        ),
    );
    let sandbox = Sandbox::empty();
    sandbox.write("some.jsonl", &event);
    let said = sandbox.run(&["import", "some.jsonl"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let exported = sandbox.run(&["export"]).stdout;
    let texts = long.map(|number| format!("\"{number}\""));
    let written = format!("\"data\":{{\"list\":[{},{same}],\"one\":{}}}", texts.join(","), texts[0]);
    assert!(exported.contains(&written), "{exported}");
    assert!(exported.contains(&format!("\"later\":{}", texts[1])), "{exported}");
    let again = Sandbox::empty();
    again.write("exported.jsonl", &exported);
    assert_eq!(again.run(&["import", "exported.jsonl"]).code, 0);
    assert_eq!(again.run(&["export"]).stdout, exported);
    let xes = sandbox.run(&["export", "--format", "xes"]).stdout;
    assert!(long.iter().all(|number| xes.contains(&format!("value=\"{number}\""))), "{xes}");
}
