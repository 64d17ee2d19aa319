//! Which span is the cause: one test for each way in which a run can go wrong, or not.

use super::builder::{DEAD, Story, name};
use crate::{CascadeKind, CauseKind, Explanation, FailureOutcome, Style, Verdict};
use throughline_model::names::{self, errors};
use throughline_model::{InstanceId, Liveness, Relation, RunState, Status};

fn cause(explanation: &Explanation) -> (&str, CauseKind) {
    let cause = explanation.cause.as_ref().unwrap();
    (cause.span.name.as_str(), cause.kind)
}

fn outcomes(explanation: &Explanation) -> Vec<(&str, FailureOutcome)> {
    explanation.other_failures.iter().map(|failure| (failure.span.name.as_str(), failure.outcome)).collect()
}

#[test]
fn a_recovered_attempt_is_no_cause() {
    let (mut s, root) = Story::started("loan-1");
    let first = s.open(root, "stage:score");
    s.wait(5).fail(first, "Timeout", "too slow");
    s.wait(10);
    let second = s.open(root, "stage:score");
    s.link(Relation::RetryOf, first).last(|event| event.attempt = Some(2));
    s.wait(5).ok(second).wait(1).ok(root);
    let explanation = s.query().explain();
    assert_eq!(explanation.verdict, Verdict::Recovered);
    assert_eq!(explanation.cause, None);
    assert_eq!(outcomes(&explanation), [("stage:score", FailureOutcome::Recovered)]);
    insta::assert_snapshot!(explanation.render(&Style::plain()));
}

#[test]
fn a_run_that_succeeded_at_a_later_attempt_says_at_which() {
    let (mut s, root) = Story::started("loan-1");
    s.last(|event| event.attempt = Some(3)).wait(1).ok(root);
    let explanation = s.query().explain();
    assert_eq!(explanation.headline, "loan-approval succeeded at attempt 3");
    assert!(
        explanation.render(&Style::plain()).starts_with("loan-approval · loan-1 · attempt 3 · succeeded")
    );
}

#[test]
fn a_run_without_a_workflow_is_called_by_the_type_of_its_root() {
    let mut s = Story::new("loan-1");
    let root = s.open(None, names::HTTP_REQUEST);
    s.wait(1).ok(root);
    for event in &mut s.events {
        (event.workflow, event.correlation_id) = (None, None);
    }
    let query = s.query();
    let text = query.explain().render(&Style::plain());
    assert!(text.starts_with("http:request · succeeded after 1.0 ms\n"), "{text}");
    let text = query.diff(&query).render(&Style::plain());
    assert!(text.starts_with("- http:request · succeeded after 1.0 ms\n"), "{text}");
}

#[test]
fn attempts_that_name_the_same_attempt_before_them_follow_each_other() {
    let (mut s, root) = Story::started("loan-1");
    let first = s.open(root, "stage:score");
    s.wait(5).fail(first, "Timeout", "too slow");
    let second = s.open(root, "stage:score");
    s.link(Relation::RetryOf, first).wait(5).fail(second, "Timeout", "too slow");
    let third = s.open(root, "stage:score");
    s.link(Relation::RetryOf, first).wait(5).ok(third).wait(1).ok(root);
    let explanation = s.query().explain();
    assert_eq!(explanation.verdict, Verdict::Recovered);
    assert_eq!(outcomes(&explanation), [("stage:score", FailureOutcome::Recovered); 2]);
}

#[test]
fn of_attempts_that_all_failed_the_last_is_the_cause_and_all_are_told() {
    let (mut s, root) = Story::started("loan-1");
    let mut before = None;
    for attempt in 1..=3 {
        let span = s.open(root, "stage:score");
        s.last(|event| event.attempt = Some(attempt));
        if let Some(before) = before {
            s.link(Relation::RetryOf, before);
        }
        s.wait(5).fail(span, "Timeout", "too slow").wait(20);
        before = Some(span);
    }
    s.fail(root, "Timeout", "too slow");
    let explanation = s.query().explain();
    assert_eq!(cause(&explanation), ("stage:score", CauseKind::Error));
    assert_eq!(explanation.cause.as_ref().unwrap().span.attempt, Some(3));
    assert_eq!(explanation.attempts.len(), 3);
    assert!(explanation.other_failures.is_empty(), "the attempts speak for themselves");
    insta::assert_snapshot!(explanation.render(&Style::plain()));
}

#[test]
fn a_panic_is_called_a_panic() {
    let (mut s, root) = Story::started("loan-1");
    let step = s.open(root, "stage:score");
    s.wait(5).fail(step, errors::PANIC, "index out of bounds: the len is 3 but the index is 7");
    s.fail(root, errors::PANIC, "index out of bounds: the len is 3 but the index is 7");
    let explanation = s.query().explain();
    assert_eq!(cause(&explanation), ("stage:score", CauseKind::Panic));
    assert_eq!(
        explanation.headline,
        "loan-approval failed: stage:score panicked: index out of bounds: the len is 3 but the index is 7"
    );
}

#[test]
fn branches_that_are_cancelled_with_a_failed_sibling_are_cascades() {
    let (mut s, root) = Story::started("loan-1");
    let fork = s.open(root, "stage:checks");
    let kyc = s.open(fork, "stage:kyc");
    let fraud = s.open(fork, "stage:fraud");
    let lookup = s.open(fraud, "dependency:db");
    s.wait(5).fail(kyc, "KycError", "passport expired");
    s.cancel(lookup).cancel(fraud);
    s.fail(fork, "KycError", "passport expired").fail(root, "KycError", "passport expired");
    let explanation = s.query().explain();
    assert_eq!(cause(&explanation).0, "stage:kyc");
    let cascades: Vec<_> = explanation.cascades.iter().map(|c| (c.span.name.as_str(), c.kind)).collect();
    assert_eq!(
        cascades,
        [
            ("stage:checks", CascadeKind::Propagated),
            ("workflow:loan-approval", CascadeKind::Propagated),
            ("stage:fraud", CascadeKind::Cancelled),
        ]
    );
}

#[test]
fn a_parent_that_went_on_and_then_failed_by_itself_is_the_cause() {
    let (mut s, root) = Story::started("loan-1");
    let extra = s.open(root, "stage:enrich");
    s.wait(5).fail(extra, "EnrichError", "no such customer");
    s.step(root, "stage:score", 5);
    s.wait(1).fail(root, "ScoreError", "score below threshold");
    let explanation = s.query().explain();
    assert_eq!(cause(&explanation).0, "workflow:loan-approval");
    assert_eq!(explanation.cause.as_ref().unwrap().last_inside.as_ref().unwrap().name, "stage:score");
    assert_eq!(outcomes(&explanation), [("stage:enrich", FailureOutcome::Tolerated)]);
    insta::assert_snapshot!(explanation.render(&Style::plain()));
}

#[test]
fn an_error_of_another_type_still_points_to_the_step_after_which_nothing_was_begun() {
    let (mut s, root) = Story::started("loan-1");
    s.step(root, "stage:validate", 5);
    let step = s.open(root, "stage:score");
    s.wait(5).fail(step, "BureauError", "connection reset");
    s.wait(1).fail(root, "ApiError::BadGateway", "upstream failed");
    assert_eq!(cause(&s.query().explain()).0, "stage:score");
}

#[test]
fn of_two_failed_branches_the_one_whose_error_the_parent_has_is_the_cause() {
    let (mut s, root) = Story::started("loan-1");
    let (kyc, fraud) = (s.open(root, "stage:kyc"), s.open(root, "stage:fraud"));
    s.wait(5).fail(kyc, "KycError", "passport expired");
    s.wait(5).fail(fraud, "FraudError", "three chargebacks");
    s.fail(root, "LoanError", "refused").chain(&["three chargebacks"]);
    let explanation = s.query().explain();
    assert_eq!(cause(&explanation).0, "stage:fraud");
    assert_eq!(outcomes(&explanation), [("stage:kyc", FailureOutcome::Independent)]);
}

#[test]
fn of_failures_with_one_error_that_were_all_put_up_with_the_last_is_the_cause() {
    let (mut s, root) = Story::started("loan-1");
    for step in ["stage:primary", "stage:secondary"] {
        let span = s.open(root, step);
        s.wait(5).fail(span, "Timeout", "no answer");
    }
    s.step(root, "stage:log", 5);
    s.fail(root, "Timeout", "no answer");
    assert_eq!(cause(&s.query().explain()).0, "stage:secondary");
}

#[test]
fn a_failed_clean_up_is_not_the_cause_even_if_its_error_is_handed_on() {
    let (mut s, root) = Story::started("loan-1");
    let step = s.open(root, "stage:import");
    s.wait(5).fail(step, "RowError", "row 7 has no date");
    let clean = s.open(root, "stage:cleanup");
    s.wait(5).fail(clean, "IoError", "directory not empty").fail(root, "IoError", "directory not empty");
    let explanation = s.query().explain();
    assert_eq!(cause(&explanation).0, "stage:import");
    assert_eq!(outcomes(&explanation), [("stage:cleanup", FailureOutcome::Aftermath)]);
}

#[test]
fn an_error_that_only_the_errors_behind_the_parents_contain_was_passed_on() {
    let behind: [&'static [&'static str]; 2] =
        [&["three chargebacks", "no answer"], &["step 2 failed: three chargebacks"]];
    for behind in behind {
        let (mut s, root) = Story::started("loan-1");
        let saga = s.saga(root, "loan");
        let (kyc, fraud) = (s.open(saga, "stage:kyc"), s.open(saga, "stage:fraud"));
        s.wait(5).fail(kyc, "KycError", "passport expired");
        s.wait(5).fail(fraud, "FraudError", "three chargebacks");
        let failed = "the saga failed; 1 of 2 steps were undone";
        s.fail(saga, "FraudError", failed).chain(behind);
        s.fail(root, "FraudError", failed).chain(behind);
        assert_eq!(cause(&s.query().explain()).0, "stage:fraud", "{behind:?}");
    }
}

#[test]
fn a_workflow_that_fails_within_a_request_that_was_answered_is_explained() {
    let mut s = Story::new("loan-1");
    let request = s.open(None, names::HTTP_REQUEST);
    s.attr(names::attrs::HTTP_METHOD, "POST").attr(names::attrs::HTTP_ROUTE, "/loans");
    let workflow = s.open(request, names::WORKFLOW_STARTED);
    let step = s.open(workflow, "stage:score");
    s.wait(5).fail(step, "ScoreError", "score below threshold");
    s.fail(workflow, "ScoreError", "score below threshold").ok(request);
    let explanation = s.query().explain();
    assert_eq!(explanation.verdict, Verdict::Tolerated);
    assert_eq!(cause(&explanation).0, "stage:score");
    assert_eq!(
        explanation.headline,
        "POST /loans succeeded, but stage:score failed with ScoreError: score below threshold"
    );
    assert_eq!(explanation.path.len(), 3);
}

#[test]
fn a_cancelled_run_names_who_was_cancelled_first() {
    let (mut s, root) = Story::started("loan-1");
    let race = s.open(root, "stage:fast-quote");
    s.wait(2).cancel(race);
    let step = s.open(root, "stage:score");
    let call = s.open(step, "dependency:http");
    s.wait(30).cancel(call).cancel(step).cancel(root);
    let explanation = s.query().explain();
    assert_eq!(explanation.verdict, Verdict::Cancelled);
    assert_eq!(cause(&explanation), ("dependency:http", CauseKind::Cancelled), "the lost race is not it");
    insta::assert_snapshot!(explanation.render(&Style::plain()));
}

#[test]
fn an_interrupted_run_names_the_step_it_died_in() {
    let mut s = Story::new("loan-1");
    s.by(DEAD);
    let root = s.open(None, names::WORKFLOW_STARTED);
    s.step(root, "stage:validate", 5);
    let step = s.open(root, "stage:score");
    s.wait(3);
    s.open(step, "dependency:http");
    let explanation = s.query().explain();
    assert_eq!(explanation.verdict, Verdict::Interrupted);
    assert_eq!(cause(&explanation), ("dependency:http", CauseKind::Interrupted));
    insta::assert_snapshot!(explanation.render(&Style::plain()));
}

#[test]
fn a_resumed_run_runs_on_and_keeps_the_step_that_was_interrupted() {
    let mut s = Story::new("loan-1");
    s.by(DEAD);
    let root = s.open(None, names::WORKFLOW_STARTED);
    s.wait(1);
    let died = s.open(root, "stage:score");
    s.wait(60_000).by(InstanceId::from_u64(3)).more(root, Status::Pending);
    s.wait(1);
    let again = s.open(root, "stage:score");
    s.step_of(4, 10);
    let query = s.query();
    assert_eq!(query.span(died).unwrap().state(), RunState::Interrupted);
    assert_eq!(query.span(again).unwrap().state(), RunState::Running);
    let explanation = query.explain();
    assert_eq!((explanation.verdict, explanation.resumed), (Verdict::Running, 1));
    insta::assert_snapshot!(explanation.render(&Style::plain()));
    insta::assert_snapshot!(query.timeline().render(&Style::plain()));
}

#[test]
fn without_leases_an_open_span_is_running_and_an_imported_one_unfinished() {
    let (mut s, root) = Story::started("loan-1");
    s.open(root, "stage:score");
    let running = crate::TraceQuery::new(s.events.clone());
    assert_eq!(running.explain().verdict, Verdict::Running);
    for event in &mut s.events {
        event.instance = InstanceId::IMPORTED;
    }
    let imported = crate::TraceQuery::new(s.events.clone());
    assert_eq!(imported.explain().verdict, Verdict::Unfinished);
    // Also of one that has been asked before.
    for query in [crate::TraceQuery::new(s.events), imported] {
        let known = query.with_liveness(|_| Liveness::Dead);
        let explanation = known.explain();
        assert_eq!((explanation.verdict, cause(&explanation).0), (Verdict::Interrupted, "stage:score"));
        assert_eq!(known.summary().unwrap().state, RunState::Interrupted);
    }
}

#[test]
fn a_failure_is_found_through_a_step_whose_end_was_lost() {
    let (mut s, root) = Story::started("loan-1");
    let step = s.open(root, "stage:score");
    let call = s.open(step, "dependency:http");
    s.wait(5).fail(call, "Timeout", "too slow");
    s.wait(1).fail(root, "LoanError", "refused");
    let explanation = s.query().explain();
    assert_eq!(cause(&explanation).0, "dependency:http");
}

#[test]
fn a_failed_compensation_is_a_consequence() {
    let (mut s, root) = Story::started("loan-1");
    let saga = s.saga(root, "loan");
    let hold = s.compensable(saga, "stage:hold", 5, "hold h-1");
    let step = s.open(saga, "stage:pay");
    s.wait(5).fail(step, "PayError", "account closed");
    let undo = s.undo(saga, hold);
    s.wait(5).fail(undo, "LimitError", "locked");
    s.fail(saga, "LimitError", "locked").fail(root, "LimitError", "locked");
    let explanation = s.query().explain();
    assert_eq!(cause(&explanation).0, "stage:pay", "even where the saga hands on the compensation's error");
    assert!(explanation.other_failures.is_empty());
}

#[test]
fn a_run_that_was_cancelled_by_a_deadline_says_what_it_was_waiting_for() {
    let (mut s, root) = Story::started("loan-1");
    let step = s.open(root, "stage:score");
    s.wait(5_000).cancel(step).fail(root, "Elapsed", "deadline has elapsed");
    let explanation = s.query().explain();
    assert_eq!(cause(&explanation).0, "workflow:loan-approval");
    assert_eq!(explanation.cause.as_ref().unwrap().waiting_for.as_ref().unwrap().name, "stage:score");
    assert_eq!(
        explanation.headline,
        "workflow:loan-approval failed with Elapsed: deadline has elapsed while it waited for stage:score"
    );
}

#[test]
fn a_retried_saga_that_recovered_leaves_no_failure() {
    let (mut s, root) = Story::started("loan-1");
    let first = s.saga(root, "loan");
    let pay = s.open(first, "stage:pay");
    s.wait(5).fail(pay, "PayError", "busy").fail(first, "PayError", "busy");
    let second = s.saga(root, "loan");
    s.link(Relation::RetryOf, first);
    s.step(second, "stage:pay", 5);
    s.ok(second).ok(root);
    let query = s.query();
    assert_eq!(query.failure().map(name), None);
    assert_eq!(outcomes(&query.explain()), [("stage:pay", FailureOutcome::Recovered)]);
}
