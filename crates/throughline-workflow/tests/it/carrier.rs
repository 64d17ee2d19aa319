//! The context on its way through a queue.

use proptest::prelude::*;
use serde_json::{Value, json};
use throughline_core::{Propagation, TraceContext};
use throughline_workflow::Carrier;

use crate::support::Bench;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";

async fn carried(bench: &Bench) -> (Carrier, Propagation) {
    let ran = bench.throughline.workflow("test").key("loan-42").run_infallible(|ctx| async move {
        (Carrier::current(), TraceContext::current().unwrap_or(ctx).propagation())
    });
    ran.await.unwrap()
}

#[tokio::test]
async fn a_carrier_takes_the_context_through_every_kind_of_format() {
    let (carrier, sent) = carried(&Bench::new()).await;
    assert!(carrier.enqueued_at().is_some());
    assert_eq!(sent.baggage.get("throughline.correlation_id"), Some("loan-42"));

    let json = serde_json::to_string(&carrier).unwrap();
    let packed = rmp_serde::to_vec(&carrier).unwrap();
    let pairs: Vec<_> = carrier.pairs().collect();
    let pair = |name: &str| pairs.iter().find(|(own, _)| *own == name).map(|(_, text)| text.as_str());
    for read in [
        serde_json::from_str(&json).unwrap(),
        rmp_serde::from_slice(&packed).unwrap(),
        Carrier::from_pairs(pair),
    ] {
        assert_eq!(read, carrier);
        assert_eq!(read.propagation(), sent);
    }
}

#[test]
fn outside_of_every_run_a_carrier_has_the_time_alone() {
    let carrier = Carrier::current();
    assert_eq!(carrier.propagation(), Propagation::default());
    assert!(carrier.enqueued_at().is_some());
    assert_eq!(carrier.pairs().map(|(name, _)| name).collect::<Vec<_>>(), ["enqueued_at"]);
}

#[test]
fn what_is_malformed_in_a_carrier_is_passed_over_and_what_is_sound_is_kept() {
    let parent = |carrier: Value| {
        let read: Carrier = serde_json::from_value(carrier).unwrap();
        let propagation = read.propagation();
        (propagation.traceparent.is_some(), propagation.tracestate.is_some(), propagation.baggage.len())
    };
    let cases = [
        (json!({ "traceparent": TRACEPARENT, "tracestate": "a=1", "baggage": "k=v" }), (true, true, 1)),
        (json!({ "traceparent": TRACEPARENT, "more": { "of": ["it"] } }), (true, false, 0)),
        (json!({ "traceparent": "rubbish", "tracestate": "a=1", "baggage": "k=v" }), (false, false, 1)),
        (json!({ "traceparent": 7, "baggage": ["k=v"] }), (false, false, 0)),
        (json!({ "traceparent": null }), (false, false, 0)),
        (
            json!({ "traceparent": "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }),
            (false, false, 0),
        ),
        (
            json!({ "traceparent": "00-00000000000000000000000000000000-b7ad6b7169203331-01" }),
            (false, false, 0),
        ),
        (json!({ "traceparent": TRACEPARENT, "tracestate": "x".repeat(100_000) }), (true, false, 0)),
        (json!({ "traceparent": TRACEPARENT, "enqueued_at": "yesterday" }), (true, false, 0)),
        (json!(null), (false, false, 0)),
        (json!([TRACEPARENT]), (false, false, 0)),
        (json!(TRACEPARENT), (false, false, 0)),
        (json!(42), (false, false, 0)),
    ];
    for (carrier, expected) in cases {
        let shown: String = carrier.to_string().chars().take(100).collect();
        assert_eq!(parent(carrier), expected, "{shown}");
    }
}

#[test]
fn of_a_field_that_comes_twice_the_last_counts() {
    let read: Carrier =
        serde_json::from_str(&format!(r#"{{"traceparent":"{TRACEPARENT}","traceparent":"rubbish"}}"#))
            .unwrap();
    assert!(read.propagation().traceparent.is_none());
}

#[test]
fn the_debug_of_a_carrier_keeps_the_baggage_to_itself() {
    let carrier = Carrier::from_pairs(|name| (name == "baggage").then_some("iban=DE89370400440532013000"));
    assert!(!format!("{carrier:?}").contains("DE89"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        Just(Value::from(TRACEPARENT)),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let key = prop_oneof![
            Just("traceparent".to_owned()),
            Just("tracestate".to_owned()),
            Just("baggage".to_owned()),
            Just("enqueued_at".to_owned()),
            ".{0,8}",
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..6).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_whatever_keeps_a_job_from_being_read(carrier in any_json()) {
        let read: Carrier = serde_json::from_value(carrier.clone()).unwrap();
        let sound = carrier.get("traceparent").and_then(Value::as_str) == Some(TRACEPARENT);
        prop_assert_eq!(read.propagation().traceparent.is_some(), sound);
        // What was taken from it can be sent on.
        let sent: Carrier = serde_json::from_value(serde_json::to_value(&read).unwrap()).unwrap();
        prop_assert_eq!(sent, read);
    }
}
