//! What was decided, and what came of it.

use serde_json::json;

use super::builder::Story;
use crate::{Basis, DecisionOutcome, Style};
use throughline_model::Relation;
use throughline_model::names::data;

fn names(outcome: &DecisionOutcome) -> Vec<&str> {
    outcome.consequences.iter().map(|consequence| consequence.span.name.as_str()).collect()
}

#[test]
fn without_links_what_followed_is_the_consequence_and_compensations_are_not() {
    let (mut s, root) = Story::started("loan-1");
    s.step(root, "stage:validate", 5);
    s.decision(root, "ai:route", "fast-track");
    let hold = s.compensable(root, "stage:hold", 5, "h-1");
    let pay = s.open(root, "stage:pay");
    s.wait(5).fail(pay, "PayError", "closed");
    let undo = s.undo(root, hold);
    s.wait(1).ok(undo).fail(root, "PayError", "closed");
    let decisions = s.query().decisions();
    let outcome = &decisions.outcomes[0];
    assert_eq!(outcome.basis, Basis::Followed);
    assert_eq!(names(outcome), ["stage:hold", "stage:pay"]);
    assert!(outcome.led_to_cause && outcome.consequences[1].holds_cause);
}

#[test]
fn a_decision_within_a_step_is_followed_by_what_follows_the_step() {
    let (mut s, root) = Story::started("loan-1");
    let route = s.open(root, "stage:route");
    s.decision(route, "ai:route", "fast-track");
    s.wait(1).ok(route);
    s.step(root, "stage:pay", 5);
    s.ok(root);
    let decisions = s.query().decisions();
    assert_eq!(names(&decisions.outcomes[0]), ["stage:pay"]);
    assert!(!decisions.outcomes[0].led_to_cause);
}

#[test]
fn links_count_more_than_what_followed() {
    let (mut s, root) = Story::started("loan-1");
    let route = s.decision(root, "ai:route", "fast-track");
    s.step(root, "stage:log", 5);
    let pay = s.open(root, "stage:pay");
    s.link(Relation::DecidedBy, route);
    s.step(pay, "dependency:db", 1);
    s.ok(pay).ok(root);
    let decisions = s.query().decisions();
    assert_eq!(decisions.outcomes[0].basis, Basis::Linked);
    assert_eq!(names(&decisions.outcomes[0]), ["stage:pay"]);
    assert_eq!(decisions.outcomes[0].consequences[0].spans, 2);
}

#[test]
fn of_very_many_consequences_the_one_with_the_cause_is_kept() {
    let (mut s, root) = Story::started("loan-1");
    s.decision(root, "ai:plan", "poll");
    for _ in 0..200 {
        s.step(root, "stage:poll", 1);
    }
    let pay = s.open(root, "stage:pay");
    s.wait(5).fail(pay, "PayError", "closed").fail(root, "PayError", "closed");
    let decisions = s.query().decisions();
    let outcome = &decisions.outcomes[0];
    assert_eq!(outcome.consequences.len(), DecisionOutcome::CONSEQUENCES);
    assert_eq!(outcome.more, 201 - DecisionOutcome::CONSEQUENCES);
    assert!(outcome.led_to_cause);
    insta::assert_snapshot!(decisions.render(&Style::plain()));
}

#[test]
fn alternatives_are_read_however_they_were_written() {
    let (mut s, root) = Story::started("loan-1");
    s.decision(root, "rules:route", "b");
    s.data(data::ALTERNATIVES, json!(["a", {"name": "b", "score": 1}, {"label": "c"}, 4]));
    s.data(data::CONFIDENCE, json!("high")).ok(root);
    let decisions = s.query().decisions();
    let decision = &decisions.outcomes[0].decision;
    let alternatives: Vec<_> = decision.alternatives.iter().map(|a| (a.name.as_str(), a.chosen)).collect();
    assert_eq!(alternatives, [("a", false), ("b", true), (r#"{"label":"c"}"#, false), ("4", false)]);
    assert_eq!(decision.confidence, None);
    insta::assert_snapshot!(decisions.render(&Style::plain()));
}

#[test]
fn a_run_without_decisions_says_so() {
    let (mut s, root) = Story::started("loan-1");
    s.ok(root);
    insta::assert_snapshot!(s.query().decisions().render(&Style::plain()));
}
