//! The main example: a loan of twelve steps that fails at the fifth, and what every answer says of it.

use serde_json::json;

use super::builder::{Story, name};
use crate::{CauseKind, CompensationState, FailureOutcome, Style, Verdict};
use throughline_model::Relation;
use throughline_model::names::{self, attrs, data, tags};

/// Steps 1 to 4 go well, the agent takes the fast track because of step 3, step 5 fails twice; two of three
/// compensations go well.
pub(super) fn refused() -> Story {
    let (mut s, root) = Story::started("loan-42");
    s.input(json!({"loan": "loan-42", "amount": 25_000, "currency": "EUR"}));
    s.wait(2);
    let saga = s.saga(root, "loan-approval");
    s.wait(1);
    let validate = s.open(saga, "stage:validate");
    s.step_of(1, 12).input(json!({"amount": 25_000}));
    s.wait(3).ok(validate).output(json!({"valid": true}));
    let customer = s.open(saga, "stage:open-customer-file");
    s.step_of(2, 12).tag(tags::COMPENSABLE);
    s.wait(42).ok(customer).attr(attrs::RESOURCE, "customer-file c-901");
    let check = s.open(saga, "stage:credit-check");
    s.step_of(3, 12).input(json!({"customer": "c-901"}));
    s.wait(1);
    let call = s.open(check, "dependency:http");
    s.wait(310).fail(call, "BureauError::Timeout", "no answer within 300 ms");
    s.wait(5).fail(check, "BureauError::Timeout", "no answer within 300 ms");
    s.wait(100);
    let check_again = s.open(saga, "stage:credit-check");
    s.step_of(3, 12).link(Relation::RetryOf, check).input(json!({"customer": "c-901"}));
    s.last(|event| event.attempt = Some(2));
    s.wait(180).ok(check_again).output(json!({"score": 611, "bureau": "north"}));
    s.wait(4);
    let route = s.decision(saga, "ai:route", "fast-track");
    s.data(
        data::ALTERNATIVES,
        json!([
            {"name": "fast-track", "score": 0.62, "reason": "the score is above 600"},
            {"name": "manual-review", "score": 0.31, "reason": "the amount is above 20,000"},
            {"name": "reject", "score": 0.07},
        ]),
    );
    s.data(
        data::REASONING,
        json!("A score of 611 is above the threshold of 600, and the customer has no defaults."),
    );
    s.data(data::CONFIDENCE, json!(0.62)).data(data::DECIDER, json!("loan-scorer-v3"));
    s.wait(1);
    let limit = s.open(saga, "stage:hold-limit");
    s.step_of(4, 12).tag(tags::COMPENSABLE).link(Relation::DecidedBy, route);
    s.wait(95).ok(limit).attr(attrs::RESOURCE, "limit-hold h-17");
    let reserve = s.open(saga, "stage:reserve-funds");
    s.step_of(5, 12).link(Relation::DecidedBy, route).input(json!({"account": "4711", "amount": 25_000}));
    let notify = s.open(saga, "stage:prepare-documents");
    s.step_of(6, 12);
    s.wait(1);
    let ledger = s.open(reserve, "dependency:db");
    s.wait(27).ok(ledger);
    s.wait(2).fail(reserve, "LedgerError::Insufficient", "account 4711 holds 1,200.00 of 25,000.00");
    s.wait(1).cancel(notify);
    s.wait(1);
    s.point(saga, names::SAGA_COMPENSATING);
    s.wait(2);
    let undo = s.undo(saga, limit);
    s.wait(60).fail(undo, "LimitError::Locked", "hold h-17 is locked by another session");
    s.wait(1);
    let undo = s.undo(saga, customer);
    s.wait(33).ok(undo);
    s.wait(1).fail(saga, "SagaError", "step 5 failed").chain(&["account 4711 holds 1,200.00 of 25,000.00"]);
    s.wait(1)
        .fail(root, "LoanError", "loan refused")
        .chain(&["step 5 failed", "account 4711 holds 1,200.00 of 25,000.00"]);
    s
}

/// The same loan on a better day.
pub(super) fn granted() -> Story {
    let (mut s, root) = Story::started("loan-41");
    s.input(json!({"loan": "loan-41", "amount": 900, "currency": "EUR"}));
    s.wait(2);
    let saga = s.saga(root, "loan-approval");
    s.wait(1);
    s.step(saga, "stage:validate", 3);
    s.compensable(saga, "stage:open-customer-file", 12, "customer-file c-900");
    let check = s.open(saga, "stage:credit-check");
    s.input(json!({"customer": "c-900"}));
    s.step(check, "dependency:http", 118);
    s.wait(2).ok(check);
    s.decision(saga, "ai:route", "manual-review");
    s.data(data::REASONING, json!("A person looks at small loans."));
    s.compensable(saga, "stage:hold-limit", 20, "limit-hold h-16");
    let reserve = s.open(saga, "stage:reserve-funds");
    s.input(json!({"account": "4700", "amount": 900}));
    s.step(reserve, "dependency:db", 28);
    s.wait(2).ok(reserve);
    s.step(saga, "stage:prepare-documents", 55);
    s.step(saga, "stage:pay-out", 20);
    s.ok(saga).wait(1).ok(root);
    s
}

#[test]
fn the_explanation_finds_step_five_and_tells_the_story_around_it() {
    let explanation = refused().query().explain();
    assert_eq!(explanation.verdict, Verdict::Failed);
    let cause = explanation.cause.as_ref().unwrap();
    assert_eq!((cause.span.name.as_str(), cause.kind), ("stage:reserve-funds", CauseKind::Error));
    assert!(explanation.decisions[0].linked);
    assert_eq!(explanation.other_failures[0].outcome, FailureOutcome::Recovered);
    insta::assert_snapshot!(explanation.render(&Style::plain()));
}

#[test]
fn the_explanation_keeps_to_a_narrow_page() {
    let text = refused().query().explain().render(&Style::plain().width(60));
    insta::assert_snapshot!(text);
}

#[test]
fn the_explanation_as_json() {
    insta::assert_json_snapshot!(refused().query().explain());
}

#[test]
fn the_tree_of_a_refused_loan() {
    insta::assert_snapshot!(refused().query().tree().render(&Style::plain()));
}

#[test]
fn the_tree_in_colour() {
    let text = refused().query().tree().render(&Style::ansi());
    insta::assert_snapshot!(text.replace('\u{1b}', "␛"));
}

#[test]
fn the_timeline_of_a_refused_loan() {
    insta::assert_snapshot!(refused().query().timeline().render(&Style::plain()));
}

#[test]
fn the_ledger_of_a_refused_loan_names_what_was_left_behind() {
    let ledger = refused().query().compensation_ledger();
    assert!(!ledger.is_clean());
    let states: Vec<_> = ledger.sagas[0].entries.iter().map(|entry| entry.state).collect();
    assert_eq!(states, [CompensationState::Failed, CompensationState::Compensated]);
    assert_eq!(ledger.orphaned().next().unwrap().resource.as_deref(), Some("limit-hold h-17"));
    insta::assert_snapshot!(ledger.render(&Style::plain()));
}

#[test]
fn the_decision_and_what_it_led_to() {
    insta::assert_snapshot!(refused().query().decisions().render(&Style::plain()));
}

#[test]
fn the_diff_against_the_last_good_run() {
    let diff = refused().query().diff(&granted().query());
    assert!(!diff.is_same());
    insta::assert_snapshot!(diff.render(&Style::plain()));
}

#[test]
fn a_good_run_says_so() {
    let query = granted().query();
    assert!(query.failure().is_none());
    insta::assert_snapshot!(query.explain().render(&Style::plain()));
    insta::assert_snapshot!(query.compensation_ledger().render(&Style::plain()));
    insta::assert_snapshot!(query.diff(&granted().query()).render(&Style::plain()));
}

#[test]
fn the_path_to_the_failure_begins_at_the_root() {
    let query = refused().query();
    let failure = query.failure().unwrap();
    let path: Vec<_> = query.path(failure.id()).into_iter().map(name).collect();
    assert_eq!(path, ["workflow:loan-approval", "saga:loan-approval", "stage:reserve-funds"]);
}
