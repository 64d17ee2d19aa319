//! What was different in good runs.

use serde_json::json;

use super::builder::{DEAD, Story};
use crate::{Comparison, DifferenceKind, Says, Style, TraceQuery};
use throughline_model::{Timestamp, names};

/// A run with these steps, each so many milliseconds; the last fails, if any does.
fn run(key: &'static str, steps: &[(&'static str, i64)], flag: &'static str, fails: bool) -> Story {
    let (mut s, root) = Story::started(key);
    s.attr("flag.new-pricing", flag).attr("order_id", key).input(json!({"country": "DE", "order": key}));
    for (at, (step, millis)) in steps.iter().enumerate() {
        let span = s.open(root, step);
        s.wait(*millis);
        match fails && at + 1 == steps.len() {
            true => s.fail(span, "PriceError", "no price list"),
            false => s.ok(span),
        };
    }
    if fails {
        s.fail(root, "PriceError", "no price list")
    } else {
        s.ok(root)
    };
    s
}

const STEPS: [(&str, i64); 3] = [("stage:load", 10), ("stage:check", 10), ("stage:price", 10)];

fn good() -> Vec<TraceQuery> {
    ["order-3", "order-2", "order-1"].map(|key| run(key, &STEPS, "off", false).query()).into()
}

fn compare(here: &Story) -> Comparison {
    here.query().compare(&good(), Timestamp::from_micros(0)).unwrap()
}

fn names(comparison: &Comparison) -> Vec<(DifferenceKind, &str)> {
    comparison.differences.iter().map(|difference| (difference.kind, difference.name.as_str())).collect()
}

#[test]
fn an_attribute_that_all_good_runs_share_is_told_and_an_id_is_not() {
    let here = run("order-4", &STEPS, "on", true);
    let comparison = compare(&here);
    assert_eq!(names(&comparison), [(DifferenceKind::Attribute, "flag.new-pricing")]);
    assert_eq!(comparison.runs, 3);
    let mut explanation = here.query().explain();
    explanation.add_comparison(&comparison);
    let page = explanation.render(&Style::plain());
    assert!(page.contains("flag.new-pricing off → on since the last 3 good runs (by comparison)"), "{page}");
    let statement = explanation.statements.iter().find(|statement| statement.says == Says::Differs).unwrap();
    assert_eq!(statement.events.len(), 4, "the starts of this run and of the good ones");
}

#[test]
fn beside_one_good_run_values_that_look_like_ids_are_not_told() {
    let one = [run("order-3", &STEPS, "off", false).query()];
    let comparison = run("order-4", &STEPS, "on", true).query().compare(&one, Timestamp::from_micros(0));
    assert_eq!(names(&comparison.unwrap()), [(DifferenceKind::Attribute, "flag.new-pricing")]);
}

#[test]
fn steps_that_are_missing_before_the_cause_and_steps_that_are_new_are_told() {
    let here =
        run("order-4", &[("stage:load", 10), ("stage:discount", 10), ("stage:price", 10)], "off", true);
    let comparison = compare(&here);
    assert_eq!(
        names(&comparison),
        [(DifferenceKind::MissingStep, "stage:check"), (DifferenceKind::NewStep, "stage:discount")]
    );
    let divergence = comparison.first_divergence.unwrap();
    assert_eq!(divergence.span.name, "stage:check");
    // What would have come after the cause is not missing.
    let here = run("order-4", &STEPS[..2], "off", true);
    assert_eq!(names(&compare(&here)), []);
}

#[test]
fn a_value_of_the_input_that_all_good_runs_share_is_told() {
    let mut here = run("order-4", &STEPS, "off", true);
    here.events[0].data = json!({"input": {"country": "CH", "order": "order-4"}}).as_object().cloned();
    let comparison = compare(&here);
    assert_eq!(names(&comparison), [(DifferenceKind::Input, "/country")]);
}

#[test]
fn a_step_that_takes_much_longer_than_usual_is_told_also_while_it_is_open() {
    let slow =
        run("order-4", &[("stage:load", 10), ("stage:check", 6_000), ("stage:price", 10)], "off", true);
    let comparison = compare(&slow);
    let usual: Vec<_> = comparison.slow.iter().map(|slow| (slow.name.as_str(), slow.open)).collect();
    assert_eq!(usual, [("stage:check", false)], "and not the run, which it explains");
    let mut explanation = slow.query().explain();
    explanation.add_comparison(&comparison);
    assert!(explanation.render(&Style::plain()).contains("stage:check: 10 ms usually, 6.0 s now"));

    let mut open = Story::new("order-4");
    open.by(DEAD);
    let root = open.open(None, names::WORKFLOW_STARTED);
    open.open(root, "stage:check");
    open.wait(6_000);
    let until = open.events[0].timestamp.plus(std::time::Duration::from_secs(6));
    let comparison = open.query().compare(&good(), until).unwrap();
    assert!(comparison.slow.iter().any(|slow| slow.open && slow.name == "stage:check"), "{comparison:?}");
}

#[test]
fn what_a_run_did_not_reach_and_what_its_failure_recorded_is_no_difference() {
    let of_items = |key: &'static str, shards: &[&'static str], fails: bool| {
        let (mut s, root) = Story::started(key);
        for shard in shards {
            let item = s.open(root, "stage:item");
            s.attr("shard", shard).tag("batch");
            if fails && Some(shard) == shards.last() {
                s.fail(item, "ItemError", "no price").attr("error.code", "17");
            } else {
                s.ok(item).attr("rows", "9").output(json!({"rows": 9}));
            }
        }
        if fails {
            s.fail(root, "ItemError", "no price").attr("outcome", "lost");
        } else {
            let total = s.open(root, "stage:total");
            s.attr("currency", "EUR").input(json!({"items": 3})).ok(total).output(json!({"sum": 7}));
            s.point(root, "order:counted");
            s.data("items", json!(3)).ok(root).attr("checked", "yes");
        }
        s
    };
    let good = ["order-1", "order-2", "order-3"].map(|key| of_items(key, &["a", "b", "c"], false).query());
    for shards in [&["a", "b"][..], &["a"]] {
        let here = of_items("order-4", shards, true).query();
        let comparison = here.compare(&good, Timestamp::from_micros(0)).unwrap();
        assert_eq!(names(&comparison), [], "{shards:?}");
    }
    let here = of_items("order-4", &["a", "d"], true).query();
    let comparison = here.compare(&good, Timestamp::from_micros(0)).unwrap();
    assert_eq!(names(&comparison), [(DifferenceKind::Attribute, "shard")]);
}

#[test]
fn where_a_run_first_left_the_way_of_a_good_one_is_told() {
    let decided = |key: &'static str, choice: &str, fails: bool| {
        let (mut s, root) = Story::started(key);
        s.decision(root, "ai:route", choice);
        let step = s.open(root, "stage:ship");
        if fails {
            s.fail(step, "ShipError", "refused").fail(root, "ShipError", "refused")
        } else {
            s.ok(step).ok(root)
        };
        s
    };
    let good = [decided("order-1", "post", false).query()];
    let here = decided("order-2", "express", true);
    let mut explanation = here.query().explain();
    explanation.add_comparison(&here.query().compare(&good, Timestamp::from_micros(0)).unwrap());
    let page = explanation.render(&Style::plain());
    assert!(
        page.contains("choice ai:route: post → express since the last good run (by comparison)"),
        "{page}"
    );
}

#[test]
fn without_good_runs_there_is_nothing_to_compare_with() {
    assert_eq!(run("order-4", &STEPS, "on", true).query().compare(&[], Timestamp::from_micros(0)), None);
}
