//! What is exported and read again is equal, run by run and event by event, whatever the run.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};
use throughline_core::testing::sample_log;
use throughline_core::{
    Attrs, ErrorInfo, InstanceId, Link, Relation, SpanId, Status, Text, Timestamp, TraceEvent, TraceId,
};

use crate::sandbox::Sandbox;

/// The events of a store by their identity.
fn events(sandbox: &Sandbox) -> BTreeMap<String, Value> {
    let lines = sandbox.run(&["export"]).stdout;
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let identity = |event: &Value| format!("{} {} {}", event["trace_id"], event["span_id"], event["seq"]);
    events.map(|event| (identity(&event), event)).collect()
}

/// What a second store holds after all of the first was exported in a format and imported there.
fn through(sandbox: &Sandbox, format: &str) -> BTreeMap<String, Value> {
    let second = Sandbox::empty();
    let written = sandbox.run(&["export", "--format", format, "-o", "export"]);
    assert_eq!(written.code, 0, "{}", written.stderr);
    second.write("import", std::fs::read(sandbox.path("export")).unwrap());
    let read = second.run(&["import", "import"]);
    assert_eq!(read.code, 0, "{}", read.stderr);
    events(&second)
}

fn of_json_lines(events: &[TraceEvent]) -> Sandbox {
    let sandbox = Sandbox::empty();
    let lines: Vec<_> = events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
    sandbox.write("events.jsonl", lines.join("\n"));
    let report = sandbox.json(&["import", "events.jsonl"]);
    assert_eq!(report["bad_lines"]["count"], 0, "{report}");
    sandbox
}

/// A text of all kinds: letters, what XML escapes, what it forbids, what reads as something else.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z]{1,8}",
        1 => "[a-zé漢🦀<>&\"' \t\r\n\u{0}-\u{8}\u{85}\u{2028}\u{FFFE}\u{FFFF}]{0,8}",
        1 => select(vec!["2026-01-01T10:00:00+02:00", "2026-01-01", "true", "1.10", "null", "[cut]", "", " a  b "])
            .prop_map(str::to_owned),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (u64::MAX - 9..u64::MAX).prop_map(Value::from),
        any::<i32>().prop_map(|quarters| Value::from(f64::from(quarters) / 4.0)),
        text().prop_map(Value::from),
    ];
    scalar.prop_recursive(24, 48, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map(text(), inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn object() -> impl Strategy<Value = Map<String, Value>> {
    proptest::collection::btree_map(text(), any_json(), 0..4).prop_map(|fields| fields.into_iter().collect())
}

fn status() -> impl Strategy<Value = Status> {
    select(vec![Status::Pending, Status::Success, Status::Failed, Status::Cancelled])
}

fn name() -> impl Strategy<Value = String> {
    let names = ["workflow:started", "workflow:failed", "activity:a", "activity:", "activity", "stage:b"];
    prop_oneof![3 => select(names.to_vec()).prop_map(str::to_owned), 1 => text()]
}

/// An event of this run, with or without all that an event may have.
fn any_event(trace_id: TraceId) -> impl Strategy<Value = TraceEvent> {
    let who = (1_u64..6, 0_u32..3, select(vec![0, 0, 7, u64::MAX - 1]), 0_u64..40);
    let what =
        (name(), status(), -1_000_000_i64..1_000_000_000_000_000, text(), proptest::option::of(text()));
    let tags = ["synthesised", "untimed", "detached", "compensable", "urgent"].map(Text::literal).to_vec();
    let more = (
        proptest::option::of(object()),
        proptest::option::of((text(), text(), proptest::collection::vec(text(), 0..3))),
        subsequence(tags, 0..3),
        proptest::collection::btree_map("[a-z]{1,3}", text(), 0..3),
        proptest::option::of(1_u64..6),
        proptest::option::of(0..u64::MAX >> 1),
        proptest::option::of(any::<u32>()),
        proptest::collection::btree_map("x[a-z]{2}", any_json(), 0..2),
    );
    (who, what, more).prop_map(move |(who, what, more)| {
        let (span, seq, instance, n) = who;
        let (name, status, micros, service, workflow) = what;
        let (data, error, tags, attrs, parent, duration_us, attempt, extra) = more;
        let span = SpanId::from_u64(span).unwrap();
        let mut event = TraceEvent::new(trace_id, span, name, Timestamp::from_micros(micros), service);
        (event.seq, event.instance, event.n, event.status) = (seq, InstanceId::from_u64(instance), n, status);
        event.correlation_id = workflow.clone().map(Text::from);
        event.workflow = workflow.map(Text::from);
        event.data = data;
        event.error = error.map(|(kind, message, chain)| {
            let chain = chain.into_iter().map(Text::from).collect();
            Box::new(ErrorInfo { kind: kind.into(), message: message.into(), chain })
        });
        event.tags = tags;
        event.attrs = attrs.into_iter().collect::<Attrs>();
        event.parent_span_id = parent.and_then(SpanId::from_u64);
        event.duration_us = duration_us;
        (event.attempt, event.step_index, event.step_total) = (attempt, attempt, attempt);
        if let Some(span) = event.parent_span_id {
            let trace_id = attempt.map(|_| TraceId::from_key("elsewhere"));
            event.parent_trace_id = trace_id;
            event.links = vec![Link { trace_id, ..Link::to(Relation::RetryOf, span) }];
        }
        event.extra = extra.into_iter().collect();
        event
    })
}

fn any_runs() -> impl Strategy<Value = Vec<TraceEvent>> {
    let run = |number: u64| {
        let trace_id = TraceId::from_key(&number.to_string());
        proptest::collection::vec(any_event(trace_id), 1..6)
    };
    (0_u64..6)
        .prop_map(move |runs| (0..=runs).map(run).collect::<Vec<_>>())
        .prop_flat_map(|runs| runs)
        .prop_map(|runs| {
            let mut seen = BTreeSet::new();
            runs.into_iter().flatten().filter(|event| seen.insert(event.id())).collect()
        })
}

/// Each of them starts the command seven times. `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn any_run_is_the_same_after_an_export_and_an_import(runs in any_runs()) {
        let sandbox = of_json_lines(&runs);
        let before = events(&sandbox);
        prop_assert_eq!(before.len(), runs.len());
        for format in ["jsonl", "xes"] {
            let after = through(&sandbox, format);
            for (identity, event) in &before {
                prop_assert_eq!(Some(event), after.get(identity), "{}", format);
            }
            prop_assert_eq!(after.len(), before.len());
        }
    }

    #[test]
    fn any_log_is_the_same_after_an_export_and_an_import(
        traces in proptest::collection::vec(any_trace(), 0..6), names in any::<bool>()
    ) {
        let sandbox = Sandbox::empty();
        let name = if names { "<string key='concept:name' value='loans'/>" } else { "" };
        sandbox.write("loans.xes", format!("<log>{name}{}</log>", traces.concat()));
        let options =
            ["--failed-when", "concept:name=b", "--cancelled-when", "org:resource=2", "--service", "bank"];
        let report = sandbox.json(&[&["import", "loans.xes"], &options[..]].concat());
        prop_assert_eq!(&report["runs"], &json!(traces.len()));
        if traces.is_empty() {
            return Ok(());
        }
        let before = events(&sandbox);
        prop_assert_eq!(before, through(&sandbox, "jsonl"));
        // Runs of one case may change their places, and their ids with them.
        let first = exported_xes(&sandbox);
        let second = Sandbox::empty();
        second.write("loans.xes", &first);
        prop_assert_eq!(&second.json(&["import", "loans.xes"])["runs"], &json!(traces.len()));
        prop_assert_eq!(without_ids(&second), without_ids(&sandbox));
        prop_assert_eq!(exported_xes(&second).len(), first.len());
    }
}

fn exported_xes(sandbox: &Sandbox) -> String {
    sandbox.run(&["export", "--format", "xes"]).stdout
}

/// All events without their ids, sorted.
fn without_ids(sandbox: &Sandbox) -> Vec<String> {
    let mut events: Vec<_> = events(sandbox)
        .into_values()
        .map(|mut event| {
            for id in ["trace_id", "span_id", "parent_span_id"] {
                event.as_object_mut().unwrap().remove(id);
            }
            event.to_string()
        })
        .collect();
    events.sort();
    events
}

/// A trace of a few activities, of cases, times and transitions that repeat.
fn any_trace() -> impl Strategy<Value = String> {
    let attribute = |key: &'static str, values: &[&'static str]| {
        let values = values.to_vec();
        proptest::option::of(
            select(values).prop_map(move |value| format!("<string key='{key}' value='{value}'/>")),
        )
    };
    let times = [
        "2026-01-01T10:00:00+02:00",
        "2026-01-01T10:00:00.5Z",
        " 2026-01-02 ",
        "2025-12-31T24:00:00",
        "never",
    ];
    let event = (
        attribute("concept:name", &["a", "b", "a:c", ""]),
        proptest::option::of(
            select(times.to_vec()).prop_map(|time| format!("<date key='time:timestamp' value='{time}'/>")),
        ),
        attribute(
            "lifecycle:transition",
            &[
                "start",
                "complete",
                "COMPLETE",
                "schedule",
                "suspend",
                "resume",
                "ate_abort",
                "pi_abort",
                "withdraw",
            ],
        ),
        attribute("concept:instance", &["1", "2"]),
        attribute("org:resource", &["1", "2"]),
        attribute("concept:name", &["d"]),
        select(vec![
            "",
            "<float key='cost' value='1.10'/>",
            "<list key='l'><values><int key='i' value='7'/></values></list>",
        ]),
    );
    let event = event.prop_map(|(name, time, transition, instance, resource, second_name, more)| {
        let parts = [name, time, transition, instance, resource, second_name].map(Option::unwrap_or_default);
        format!("<event>{}{more}</event>", parts.concat())
    });
    (attribute("concept:name", &["1", "2", ""]), proptest::collection::vec(event, 0..6))
        .prop_map(|(case, events)| format!("<trace>{}{}</trace>", case.unwrap_or_default(), events.concat()))
}

#[test]
fn what_services_emit_is_the_same_after_an_export_and_an_import() {
    let log = sample_log(7, 120, &[InstanceId::from_u64(3), InstanceId::from_u64(5)]);
    let sandbox = of_json_lines(&log);
    let before = events(&sandbox);
    assert_eq!(before.len(), log.len());
    for format in ["jsonl", "xes"] {
        assert_eq!(through(&sandbox, format), before, "{format}");
    }
    let states = |sandbox: &Sandbox| sandbox.json(&["list", "--limit", "1000"]);
    let again = Sandbox::empty();
    again.write("all.xes", exported_xes(&sandbox));
    again.json(&["import", "all.xes"]);
    assert_eq!(states(&again), states(&sandbox));
}
