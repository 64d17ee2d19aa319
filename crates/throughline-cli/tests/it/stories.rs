//! `export` for people and other tools: Markdown, Mermaid, Perfetto, and pages.

pub(crate) mod browser;
mod drawn;

use serde_json::Value;

use crate::sandbox::Sandbox;

/// What breaks out of things.
const EVIL: &str = "</script><script>alert(1)</script><img src=x onerror=alert(2)> ` `` ``` | \\\\| \\n# h1\\n\\n---\\n[x](javascript:alert(3)) @all \\u202e \\u001b[2J \"];n9[\" &quot; {{x}} INJECTED";

/// A run whose every text is hostile.
fn hostile() -> Sandbox {
    let event = |span: u64, seq: u32, status: &str| {
        let parent = if span > 1 { r#""parent_span_id":"0000000000000001","# } else { "" };
        let error = match status {
            "failed" => format!(r#""error":{{"type":"{EVIL}","message":"{EVIL}","chain":["{EVIL}"]}},"#)
                .replace("\"];n9[\"", "];n9["),
            _ => String::new(),
        };
        let evil = EVIL.replace("\"];n9[\"", "\\\"];n9[\\\"");
        format!(
            r#"{{"trace_id":"{run:032x}","span_id":"{span:016x}","seq":{seq},{parent}{error}"event_type":"{evil}","timestamp":"2026-03-01T09:00:0{span}.{seq:06}Z","status":"{status}","service":"{evil}","workflow":"{evil}","correlation_id":"{evil}","attrs":{{"{evil}":"{evil}","resource":"{evil}"}},"tags":["compensable","decision","{evil}"],"data":{{"input":{{"{evil}":"{evil}"}},"choice":"{evil}","reasoning":"{evil}","alternatives":[{{"name":"{evil}"}},{{"name":"b"}}]}}}}"#,
            run = 1,
        )
    };
    let events = [
        event(1, 0, "pending"),
        event(2, 0, "pending"),
        event(2, 1, "success"),
        event(3, 0, "failed"),
        event(1, 1, "failed"),
    ];
    let sandbox = Sandbox::empty();
    sandbox.write("run.jsonl", events.join("\n"));
    let said = sandbox.run(&["import", "run.jsonl", "--redaction", "off"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    sandbox
}

/// The only run of a sandbox with a hostile one.
const RUN: &str = "00000000000000000000000000000001";

/// The runs of a store, event by event.
fn all(sandbox: &Sandbox) -> Vec<Value> {
    sandbox.run(&["export"]).stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn read_back(page: &str) -> Vec<Value> {
    let other = Sandbox::empty();
    other.write("page.html", page);
    let said = other.run(&["import", "page.html", "--redaction", "off"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    all(&other)
}

#[test]
fn what_a_run_is_compared_with_is_another_run_and_in_a_page() {
    let sandbox = Sandbox::with_sagas();
    for (options, said) in [
        (&["order-7", "--against", "order-7", "--format", "html"][..], "name another one"),
        (&["order-7", "--against", "order-6"], "--against is for --format html; `throughline diff`"),
        (&["order-7", "--against", "order-99", "--format", "html"], "order-99"),
    ] {
        let answer = sandbox.run(&[&["export"], options].concat());
        assert!(answer.code > 0 && answer.stderr.contains(said), "{options:?}: {}", answer.stderr);
        assert_eq!(answer.stdout, "", "{options:?}");
    }
    // Only the run that was asked for is read back from the page.
    let compared = sandbox.run(&["export", "order-7", "--against", "order-6", "--format", "html"]).stdout;
    let asked: Vec<Value> = sandbox
        .run(&["export", "order-7"])
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read_back(&compared), asked);
    // Of several runs each is compared with it, but not the chosen one with itself.
    let both = ["export", "order-6", "order-7", "--against", "order-6", "--format", "html"];
    assert_eq!(sandbox.run(&both).stdout.matches("\"difference\":{\"chosen\":true").count(), 1);
}

#[test]
fn a_run_in_markdown_is_what_an_issue_needs() {
    let sandbox = Sandbox::with_sagas();
    insta::assert_snapshot!("markdown", sandbox.see(&["export", "order-7", "--format", "markdown"]));
}

#[test]
fn no_hostile_text_is_markup_in_markdown() {
    let text = hostile().run(&["export", RUN, "--format", "markdown"]).stdout;
    assert!(text.contains("INJECTED"), "{text}");
    for line in text.lines() {
        // What is left of a line without its code spans is ours.
        let mut rest = line;
        let mut ours = String::new();
        while let Some(at) = rest.find('`') {
            let ticks = rest[at..].len() - rest[at..].trim_start_matches('`').len();
            ours.push_str(&rest[..at]);
            rest = &rest[at + ticks..];
            let mut end = 0;
            loop {
                let from = end + rest[end..].find('`').unwrap_or_else(|| panic!("it has no end: {line}"));
                let run = rest[from..].len() - rest[from..].trim_start_matches('`').len();
                end = from + run;
                if run == ticks {
                    break;
                }
            }
            rest = &rest[end..];
        }
        ours.push_str(rest);
        let ours = ours.trim_start_matches('#');
        assert!(!ours.contains("INJECTED") && !ours.contains(['<', '[', '@', '#']), "{line}");
        if line.starts_with("| `") {
            let cells = line.replace("\\|", "").matches('|').count();
            assert_eq!(cells, 5, "{line}");
        }
    }
}

#[test]
fn a_run_in_mermaid_is_a_flowchart_of_bounded_size() {
    let sandbox = Sandbox::with_sagas();
    insta::assert_snapshot!("mermaid", sandbox.see(&["export", "order-7", "--format", "mermaid"]));
    let several = sandbox.run(&["export", "--format", "mermaid"]);
    assert!(several.code == 2 && several.stderr.contains("a flowchart is of one run"), "{}", several.stderr);

    let many: Vec<String> = (1..=5_000)
        .map(|span| {
            let parent = if span > 1 { r#""parent_span_id":"0000000000000001","# } else { "" };
            format!(
                r#"{{"trace_id":"{:032x}","span_id":"{span:016x}",{parent}"event_type":"stage:a","timestamp":"2026-01-01T00:00:00.00{span:04}Z","status":"success","service":"s","correlation_id":"k"}}"#,
                7
            )
        })
        .collect();
    let sandbox = Sandbox::empty();
    sandbox.write("run.jsonl", many.join("\n"));
    sandbox.run(&["import", "run.jsonl"]);
    let chart = sandbox.run(&["export", "k", "--format", "mermaid"]).stdout;
    assert!(chart.len() < 50_000 && chart.contains("more\"]"), "{} bytes", chart.len());

    let chart = hostile().run(&["export", RUN, "--format", "mermaid"]).stdout;
    for line in chart.lines() {
        let label = line.split('"').nth(1).unwrap_or_default();
        assert!(line.matches('"').count() <= 2 && !label.contains(['<', '`', '[', '&']), "{line}");
    }
}

#[test]
fn runs_in_perfetto_lie_on_lanes_where_they_are_within_each_other_or_apart() {
    let sandbox = Sandbox::with_sagas();
    let trace: Value =
        serde_json::from_str(&sandbox.run(&["export", "--format", "perfetto"]).stdout).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let processes: Vec<_> = events.iter().filter(|event| event["ph"] == "M").collect();
    assert_eq!(processes.len(), 2);
    let mut lanes: std::collections::BTreeMap<(u64, u64), Vec<(i64, i64)>> = Default::default();
    for event in events.iter().filter(|event| event["ph"] != "M") {
        let number = |field: &str| event[field].as_i64().unwrap_or_else(|| panic!("{field} of {event}"));
        assert!(
            event["name"].is_string() && event["cat"].is_string() && event["args"].is_object(),
            "{event}"
        );
        match event["ph"].as_str().unwrap() {
            "X" => {
                assert!(number("dur") >= 0);
                let lane = (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
                lanes.entry(lane).or_default().push((number("ts"), number("ts") + number("dur")));
            }
            "i" => assert!(event["s"] == "t" && number("ts") > 0, "{event}"),
            other => panic!("{other}"),
        }
    }
    for spans in lanes.values() {
        for (at, (start, end)) in spans.iter().enumerate() {
            for (other_start, other_end) in &spans[at + 1..] {
                let apart = other_start >= end || other_end <= start;
                let within =
                    (other_start >= start && other_end <= end) || (other_start <= start && other_end >= end);
                assert!(apart || within, "{spans:?}");
            }
        }
    }
    assert!(events.iter().any(|event| event["args"]["error"].is_string()));
}

#[test]
fn a_page_is_read_back_as_it_was() {
    for sandbox in [Sandbox::with_sagas(), hostile()] {
        let said = sandbox.run(&["export", "--format", "html", "-o", "page.html"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let page = sandbox.read("page.html");
        assert_eq!(read_back(&page), all(&sandbox));
        let data: usize = page.lines().filter(|line| line.starts_with(['{', '['])).map(str::len).sum();
        assert!(page.len() - data < 100 << 10, "{} bytes around the data", page.len() - data);
        // A page that somebody has no file of: from a pipe.
        let other = Sandbox::empty();
        let said = other.json_of_pipe(&["import", "-", "--redaction", "off"], page.as_bytes());
        assert_eq!(said["events_new"], all(&sandbox).len(), "{said}");
    }
}

#[test]
fn a_page_without_events_and_one_that_was_cut_off_are_said_to_be_so() {
    let sandbox = Sandbox::with_sagas();
    let page = sandbox.run(&["export", "--format", "html"]).stdout;
    let other = Sandbox::empty();
    other.write("foreign.html", "<!DOCTYPE HTML>\n<p>hello</p>\n");
    let said = other.run(&["import", "foreign.html"]);
    assert_eq!(said.code, 3);
    assert!(said.stderr.contains("this page has no events"), "{}", said.stderr);
    let (beginning, _) = page.split_at(page.rfind("\n{").unwrap() + 1);
    other.write("cut.html", beginning);
    let said = other.run(&["import", "cut.html"]);
    assert_eq!(said.code, 3);
    assert!(said.stderr.contains("the page was cut off"), "{}", said.stderr);
}

#[test]
fn no_hostile_text_is_markup_in_a_page() {
    let page = hostile().run(&["export", "--format", "html"]).stdout;
    assert!(page.contains("INJECTED"));
    let lower = page.to_ascii_lowercase();
    assert_eq!((lower.matches("<script").count(), lower.matches("</script").count()), (3, 3));
    assert!(!lower.contains("<img"), "{page}");
}

#[test]
fn an_anonymous_export_has_no_key_and_no_tenant_in_any_format() {
    let event = |seq: u32, status: &str, error: &str| {
        format!(
            r#"{{"trace_id":"{:032x}","span_id":"0000000000000001","seq":{seq},{error}"event_type":"workflow:started","timestamp":"2026-03-01T09:00:00.00000{seq}Z","status":"{status}","service":"loans","workflow":"loan","correlation_id":"loan-4711","attrs":{{"tenant":"acme-bank","server.address":"db7.internal"}},"data":{{"input":{{"note":"for loan-4711, call +31 6 12345678 from 203.0.113.9"}}}}}}"#,
            1
        )
    };
    let error = r#""error":{"type":"E","message":"loan-4711 of acme-bank: no answer of https://db7.internal/","chain":[]},"#;
    let sandbox = Sandbox::empty();
    sandbox.write("run.jsonl", [event(0, "pending", ""), event(1, "failed", error)].join("\n"));
    assert_eq!(sandbox.run(&["import", "run.jsonl"]).code, 0);
    for format in ["jsonl", "xes", "markdown", "mermaid", "perfetto", "html"] {
        let export = &["export", "loan-4711", "--format", format];
        let plain = sandbox.run(export).stdout;
        assert!(plain.contains("loan-4711") || format == "mermaid", "{format}: {plain}");
        let said = sandbox.run(&[export, &["--anonymise", "--redact-more"][..]].concat());
        assert_eq!(said.code, 0, "{format}: {}", said.stderr);
        for gone in ["loan-4711", "acme-bank", "db7.internal", "12345678", "203.0.113.9"] {
            assert!(!said.stdout.contains(gone), "{format}: {gone}: {}", said.stdout);
        }
        if format != "mermaid" {
            assert!(said.stdout.contains("pseudonym:"), "{format}: {}", said.stdout);
        }
        let again = sandbox.run(&[export, &["--anonymise", "--redact-more"][..]].concat());
        assert_eq!(again.stdout, said.stdout, "{format}: pseudonyms are stable");
    }
}

#[test]
fn named_runs_are_exported_once_each_in_the_order_of_their_names() {
    let sandbox = Sandbox::with_sagas();
    let said = sandbox.run(&["export", "order-6", "order-7", "order-6"]);
    let keys: Vec<String> = said
        .stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["correlation_id"].as_str().unwrap().to_owned()
        })
        .collect();
    let first = keys.iter().filter(|key| *key == "order-6").count();
    assert_eq!(keys.len(), all(&sandbox).len());
    assert!(keys[..first].iter().all(|key| key == "order-6"), "{keys:?}");
}
