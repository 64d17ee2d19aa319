//! Exports in the tools that they are for: Mermaid draws them, speedscope opens them.
//!
//! What Perfetto itself opens traces with is to be had from servers of its own alone; what its documentation demands of a trace is
//! looked at here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::browser::{browser, may_be_left_out, modules};
use super::{RUN, hostile};
use crate::sandbox::Sandbox;

/// What a tool shows of an export.
fn drawn(sandbox: &Sandbox, kind: &str, export: &[&str]) -> Value {
    let (format, file) = if kind == "chart" { ("mermaid", "run.mmd") } else { ("perfetto", "runs.json") };
    let said = sandbox.run(&[&["export", "--format", format, "-o", file], export].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let asked = json!({ "browser": browser(), kind: sandbox.path(file) });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/node_client/drawn.cjs");
    let output = Command::new("node").arg(script).arg(asked.to_string()).env("NODE_PATH", modules()).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["complaints"], json!([]), "{seen}");
    seen
}

/// A store with these events, as they are.
fn with(events: &[Value]) -> Sandbox {
    let sandbox = Sandbox::empty();
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    sandbox.write("run.jsonl", lines);
    let said = sandbox.run(&["import", "run.jsonl", "--redaction", "off"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    sandbox
}

/// An event of the run under the key `odd`, so many microseconds after its start.
fn event(span: u64, seq: u32, parent: Option<u64>, name: &str, at: u64) -> Value {
    let mut event = json!({
        "trace_id": format!("{:032x}", 9), "span_id": format!("{span:016x}"), "seq": seq, "event_type": name,
        "timestamp": format!("2026-03-01T09:{:02}:{:02}.{:06}Z", at / 60_000_000, at / 1_000_000 % 60, at % 1_000_000),
        "status": "success", "service": "batch", "correlation_id": "odd",
    });
    if let Some(parent) = parent {
        event["parent_span_id"] = json!(format!("{parent:016x}"));
    }
    event
}

#[test]
fn mermaid_draws_what_happened_and_marks_the_cause() {
    if may_be_left_out() {
        return;
    }
    let seen = drawn(&Sandbox::with_sagas(), "chart", &["order-7"]);
    assert_eq!(seen["diagramType"], "flowchart-v2");
    assert_eq!(
        seen["nodes"],
        json!([
            "✗ workflow:order 334 ms",
            "✗ saga:order 332 ms",
            "✓ stage:reserve-stock 10 ms",
            "✓ ai:route",
            "✗ stage:charge-card 300 ms",
            "✓ saga:compensating",
            "✗ compensate:reserve-stock 10 ms",
        ])
    );
    assert_eq!(seen["cause"], json!(["✗ stage:charge-card 300 ms"]));
    assert_eq!(seen["edges"], 7);
    assert!(seen["words"].as_array().unwrap().contains(&json!("undoes")), "{seen}");
}

/// Names that mean something to Mermaid, to Markdown or to HTML.
const ODD: [&str; 26] = [
    "1. first step",
    "- dash",
    "# heading",
    "__init__",
    "*bold* _it_",
    "end",
    "a`b",
    "`md`",
    "graph",
    "subgraph end",
    "click me href",
    "%% comment",
    "%%{init: {}}%%",
    "#quot; &amp; &lt;",
    "</script><img src=x onerror=alert(1)>",
    "émile 東京 🎉 עברית",
    "style n0 fill:#f00",
    "classDef a fill:#f00;",
    "javascript:alert(1)",
    "$$x^2$$",
    "fa:fa-car",
    "x:::failed",
    "\"];n9[\"",
    "--> n1",
    "A & B",
    "~~~ ==",
];

#[test]
fn mermaid_draws_every_name_as_it_is() {
    if may_be_left_out() {
        return;
    }
    let mut events = vec![event(1, 0, None, "workflow:started", 0)];
    events.extend((2..).zip(ODD).map(|(at, name)| event(at, 0, Some(1), name, at)));
    let seen = drawn(&with(&events), "chart", &["odd"]);
    let expected: Vec<String> =
        std::iter::once("workflow").chain(ODD).map(|name| format!("✓ {name}")).collect();
    assert_eq!(seen["nodes"], json!(expected));
    assert_eq!(seen["edges"], ODD.len());
    let elements = seen["elements"].as_array().unwrap();
    assert!(!elements.contains(&json!("img")) && !elements.contains(&json!("i")), "{elements:?}");

    let hostile = drawn(&hostile(), "chart", &[RUN]);
    let elements = hostile["elements"].as_array().unwrap();
    for element in ["img", "script", "a"] {
        assert!(!elements.contains(&json!(element)), "{elements:?}");
    }
    assert!(!hostile["nodes"].to_string().contains(['\u{202e}', '\u{1b}']), "{hostile}");
}

#[test]
fn mermaid_draws_a_run_that_is_larger_than_a_chart() {
    if may_be_left_out() {
        return;
    }
    let mut events = vec![event(1, 0, None, "workflow:started", 0)];
    events.extend(
        (2..=2_000).map(|at| event(at, 0, Some(1 + at / 100), "stage:copy a page of the ledger", at)),
    );
    let seen = drawn(&with(&events), "chart", &["odd"]);
    let nodes = seen["nodes"].as_array().unwrap();
    assert!((80..=160).contains(&nodes.len()), "{}", nodes.len());
    assert!(nodes.iter().any(|node| node.as_str().unwrap().ends_with(" more")), "{nodes:?}");
}

/// Numbers that are the same in every run of the test.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// A run of so many spans that begin and end anywhere: beside each other, at the same moment, longer than what encloses them, never,
/// or at once.
fn tangled(spans: u64, seed: u64) -> Sandbox {
    let mut numbers = Numbers(seed);
    let mut starts = vec![0, 0];
    let mut events = vec![event(1, 0, None, "workflow:started", 0)];
    for span in 2..=spans {
        let parent = 1 + numbers.below((span - 1).min(30));
        let start = starts[usize::try_from(parent).unwrap()] + numbers.below(50);
        starts.push(start);
        let name = format!("stage:{}", numbers.below(7));
        let mut begins = event(span, 0, Some(parent), &name, start);
        let kind = numbers.below(10);
        if kind > 0 {
            begins["status"] = json!("pending");
        }
        events.push(begins);
        if kind > 1 {
            let took = numbers.below(1_000) / 10 * numbers.below(20);
            let mut ends = event(span, 1, Some(parent), &name, start + took);
            ends["duration_us"] = json!(took);
            if kind == 2 {
                ends["status"] = json!("failed");
                ends["error"] = json!({ "type": "E", "message": "no \"room\" </script>", "chain": [] });
            }
            events.push(ends);
        }
    }
    with(&events)
}

/// What the [trace event format](https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU) demands of a trace,
/// and [Perfetto](https://perfetto.dev/docs/faq#why-are-overlapping-events-in-json-traces-not-displayed-correctly) of its spans, which
/// must be within each other or apart.
fn check(trace: &Value) -> usize {
    let fields = trace.as_object().unwrap();
    assert!(fields.keys().all(|field| ["displayTimeUnit", "traceEvents"].contains(&&**field)), "{fields:?}");
    assert!(["ms", "ns"].contains(&trace["displayTimeUnit"].as_str().unwrap()));
    let mut lanes: BTreeMap<(u64, u64), Vec<(u64, u64)>> = BTreeMap::new();
    let mut named = Vec::new();
    for event in trace["traceEvents"].as_array().unwrap() {
        let of = |field: &str| &event[field];
        let number = |field: &str| of(field).as_u64().unwrap_or_else(|| panic!("{field} of {event}"));
        let text = |field: &str| of(field).as_str().unwrap_or_else(|| panic!("{field} of {event}"));
        let has = |allowed: &[&str]| {
            let fields = event.as_object().unwrap();
            let all = ["name", "ph", "pid", "tid", "args"].iter().chain(allowed);
            assert!(
                all.clone().all(|field| fields.contains_key(*field)) && fields.len() == all.count(),
                "{event}"
            );
        };
        assert!(!text("name").is_empty() && of("args").is_object(), "{event}");
        // Numbers of processes and threads have 32 bits, and times are read as floating-point numbers.
        assert!(number("pid") > 0 && number("pid").max(number("tid")) < 1 << 31, "{event}");
        match text("ph") {
            "M" => {
                has(&[]);
                assert_eq!(text("name"), "process_name", "{event}");
                assert!(event["args"]["name"].is_string(), "{event}");
                named.push(number("pid"));
                continue;
            }
            "X" => {
                has(&["cat", "ts", "dur"]);
                let lane = lanes.entry((number("pid"), number("tid"))).or_default();
                lane.push((number("ts"), number("ts") + number("dur")));
            }
            "i" => {
                has(&["cat", "ts", "s"]);
                assert!(["g", "p", "t"].contains(&text("s")), "{event}");
            }
            other => panic!("{other} is no phase of a span: {event}"),
        }
        assert!(number("ts") < 1 << 53 && !text("cat").contains(','), "{event}");
        assert_eq!(named.last(), Some(&number("pid")), "a process is named before its spans: {event}");
    }
    let mut once = named.clone();
    once.dedup();
    assert_eq!(named, once, "a process is named once");
    for spans in lanes.values() {
        // Sorted as readers do it: by their starts, those of one moment as they stand.
        let mut sorted = spans.clone();
        sorted.sort_by_key(|(start, _)| *start);
        let mut open: Vec<(u64, u64)> = Vec::new();
        for span @ (start, end) in sorted {
            while open.last().is_some_and(|(_, over)| *over <= start) {
                open.pop();
            }
            let encloses = |(_, over): &(u64, u64)| end <= *over;
            assert!(open.last().is_none_or(encloses), "{span:?} ends after {:?}", open.last());
            open.push(span);
        }
    }
    lanes.values().map(Vec::len).sum()
}

fn trace(sandbox: &Sandbox) -> Value {
    let said = sandbox.run(&["export", "--format", "perfetto"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    serde_json::from_str(&said.stdout).unwrap()
}

#[test]
fn traces_of_runs_of_any_shape_are_as_their_format_demands() {
    for sandbox in [Sandbox::with_sagas(), Sandbox::with_loans(), hostile()] {
        check(&trace(&sandbox));
    }
    for seed in 1..=12 {
        let spans = check(&trace(&tangled(300, seed)));
        assert!(spans > 200, "{spans} of {seed}");
    }
}

#[test]
fn speedscope_opens_a_trace_and_finds_how_long_each_step_took() {
    if may_be_left_out() {
        return;
    }
    let sandbox = Sandbox::with_sagas();
    let runs = drawn(&sandbox, "trace", &[]);
    let threads = runs["threads"].to_string();
    assert!(threads.contains("order order-6 (pid 1, tid 0)4.00ms"), "{threads}");
    assert!(threads.contains("order order-7 (pid 2, tid 0)334.00ms"), "{threads}");
    let run = drawn(&sandbox, "trace", &["order-7"]);
    let mut shown = String::new();
    for span in run["spans"].as_array().unwrap() {
        writeln!(shown, "{}", span.as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" "))
            .unwrap();
    }
    for (name, took) in [
        ("workflow:order", "334.00ms"),
        ("stage:charge-card", "300.00ms"),
        ("compensate:reserve-stock", "10.00ms"),
    ] {
        assert!(shown.lines().any(|line| line.contains(name) && line.starts_with(took)), "{name}: {shown}");
    }
    // Of spans beside each other nothing is lost.
    let seen = drawn(&tangled(300, 1), "trace", &[]);
    assert!(seen["threads"].as_array().unwrap().len() > 3, "{seen}");
}
