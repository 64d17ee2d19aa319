//! `docs/event.schema.json` and `TraceEvent` say the same.

use std::collections::BTreeSet;

use jsonschema::Validator;
use proptest::prelude::*;
use serde_json::{Value, json};
use throughline_core::{
    Attrs, ErrorInfo, InstanceId, Link, Relation, SCHEMA_VERSION, SpanId, Status, Timestamp, TraceEvent,
    TraceId,
};

fn schema() -> Value {
    serde_json::from_str(include_str!("../../docs/event.schema.json")).unwrap()
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

fn smallest() -> TraceEvent {
    TraceEvent::new(
        TraceId::from_key("loan-42"),
        SpanId::from_u64(7).unwrap(),
        "stage:credit-check",
        Timestamp::from_micros(1_790_000_000_000_000),
        "loan-service",
    )
}

/// An event with every field set.
fn fullest() -> TraceEvent {
    let mut event = smallest();
    event.seq = 1;
    event.parent_span_id = SpanId::from_u64(8);
    event.parent_trace_id = Some(TraceId::from_key("portfolio-7"));
    event.correlation_id = Some("loan-42".into());
    event.instance = InstanceId::from_u64(u64::MAX);
    event.n = u64::MAX;
    event.status = Status::Failed;
    event.duration_us = Some(u64::MAX);
    event.error = Some(Box::new(ErrorInfo {
        kind: "BureauError::Timeout".into(),
        message: "the bureau did not answer".into(),
        chain: vec!["connection reset".into()],
    }));
    event.attrs = [("tenant", "acme")].into_iter().collect();
    event.data = json!({"input": {"amount": 12_000}, "output": null}).as_object().cloned();
    event.tags = vec!["expensive".into()];
    event.links = [
        Relation::Compensates,
        Relation::DecidedBy,
        Relation::RetryOf,
        Relation::CausedBy,
        Relation::FailedBy,
        Relation::Began,
        Relation::Other("superseded_by".into()),
    ]
    .map(|rel| Link::to(rel, SpanId::from_u64(9).unwrap()))
    .into();
    event.links[0].trace_id = Some(TraceId::from_key("loan-41"));
    event.workflow = Some("loan-approval".into());
    event.attempt = Some(2);
    event.step_index = Some(4);
    event.step_total = Some(10);
    event
}

#[test]
fn the_schema_is_a_valid_schema_of_the_version_that_is_written() {
    jsonschema::meta::validate(&schema()).unwrap();
    assert_eq!(schema()["properties"]["v"]["const"], SCHEMA_VERSION);
}

#[test]
fn the_smallest_and_the_fullest_event_are_valid() {
    for event in [smallest(), fullest()] {
        let json = serde_json::to_value(&event).unwrap();
        let errors: Vec<_> = validator().iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}\nin {json:#}");
    }
}

#[test]
fn what_the_schema_requires_is_enough_to_read_an_event() {
    let required: Vec<String> = serde_json::from_value(schema()["required"].clone()).unwrap();
    let mut json = serde_json::to_value(smallest()).unwrap();
    json.as_object_mut().unwrap().retain(|field, _| required.contains(field));
    assert!(validator().is_valid(&json));
    assert_eq!(serde_json::from_value::<TraceEvent>(json).unwrap(), smallest());
}

#[test]
fn the_defaults_of_the_schema_are_those_of_the_reader() {
    let mut json = serde_json::to_value(smallest()).unwrap();
    for (field, property) in schema()["properties"].as_object().unwrap() {
        if let Some(default) = property.get("default") {
            json[field] = default.clone();
        }
    }
    assert_eq!(serde_json::from_value::<TraceEvent>(json).unwrap(), smallest());
}

#[test]
fn every_field_is_a_property_and_every_property_a_field() {
    let schema = schema();
    let properties: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
    // The event cannot be taken apart here, for it may grow; its `Debug` names every field it has.
    let debug = format!("{:#?}", smallest());
    let fields: BTreeSet<_> = debug
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.split_once(": "))
        .map(|(field, _)| field.to_owned())
        .filter(|field| !field.starts_with(' ') && field != "extra")
        .collect();
    assert_eq!(properties, fields);

    let json = serde_json::to_value(fullest()).unwrap();
    let written = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(written(&json), properties);
    assert_eq!(written(&json["error"]), written(&schema["properties"]["error"]["properties"]));
    assert_eq!(written(&json["links"][0]), written(&schema["properties"]["links"]["items"]["properties"]));
}

#[test]
fn what_is_no_event_is_rejected() {
    let good = serde_json::to_value(fullest()).unwrap();
    let bad = [
        ("/v", json!(2)),
        ("/trace_id", json!("00000000000000000000000000000000")),
        ("/trace_id", json!("0AF7651916CD43DD8448EB211C80319C")),
        ("/span_id", json!("0000000000000000")),
        ("/span_id", json!(7)),
        ("/seq", json!(-1)),
        ("/seq", json!(4_294_967_296_u64)),
        ("/parent_span_id", json!("")),
        ("/event_type", json!(null)),
        ("/timestamp", json!("2026-03-01T09:30:00Z")),
        ("/timestamp", json!("2026-03-01T09:30:00.000000+01:00")),
        ("/instance", json!("here")),
        ("/n", json!(1.5)),
        ("/status", json!("ok")),
        ("/duration_us", json!("12")),
        ("/error", json!("it broke")),
        ("/error/chain", json!([1])),
        ("/attrs", json!({"amount": 12})),
        ("/data", json!([1, 2])),
        ("/tags", json!("expensive")),
        ("/links/0/rel", json!(7)),
        ("/links/0/span_id", json!("x")),
        ("/attempt", json!("2nd")),
    ];
    let validator = validator();
    for (pointer, value) in bad {
        let mut json = good.clone();
        *json.pointer_mut(pointer).unwrap() = value.clone();
        assert!(!validator.is_valid(&json), "{pointer} = {value} should not be valid");
    }
    for field in ["trace_id", "span_id", "event_type", "timestamp", "service"] {
        let mut json = good.clone();
        json.as_object_mut().unwrap().remove(field);
        assert!(!validator.is_valid(&json), "an event without {field} should not be valid");
    }
}

proptest! {
    #[test]
    fn any_event_that_is_written_is_valid(
        trace in any::<[u8; 16]>().prop_filter_map("not all zero", TraceId::from_bytes),
        span in any::<u64>().prop_filter_map("not zero", SpanId::from_u64),
        // From the year 0 to the year 9999, where RFC 3339 ends.
        micros in -62_167_219_200_000_000_i64..253_402_207_200_000_000,
        texts in proptest::collection::vec(any::<String>(), 6),
        number in any::<u64>(),
    ) {
        let mut event = TraceEvent::new(
            trace,
            span,
            texts[0].clone(),
            Timestamp::from_micros(micros),
            texts[1].clone(),
        );
        event.attrs = Attrs::new().with(texts[2].clone(), texts[3].clone());
        event.data = json!({ &texts[4]: number }).as_object().cloned();
        event.tags = vec![texts[5].clone().into()];
        event.n = number;
        let json = serde_json::to_value(&event).unwrap();
        prop_assert!(validator().is_valid(&json), "{json:#}");
    }
}
