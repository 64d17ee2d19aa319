//! What had to be undone, and whether it was.

use super::builder::{DEAD, Story};
use crate::{CompensationLedger, CompensationState, Style};
use CompensationState::{Compensated, Failed, Interrupted, Missing, OutOfOrder, Running, Standing, Waiting};
use throughline_model::names;
use throughline_model::{Relation, SpanId, Status};

/// A saga of two steps, `stage:a` before `stage:b`, that has just failed.
fn failed_saga() -> (Story, SpanId, SpanId, [SpanId; 2]) {
    let (mut s, root) = Story::started("loan-1");
    let saga = s.saga(root, "loan");
    let a = s.compensable(saga, "stage:a", 5, "a-1");
    s.wait(1);
    let b = s.compensable(saga, "stage:b", 5, "b-1");
    s.wait(1);
    let step = s.open(saga, "stage:c");
    s.wait(5).fail(step, "Error", "no");
    s.point(saga, names::SAGA_COMPENSATING);
    s.wait(1);
    (s, root, saga, [a, b])
}

fn end(s: &mut Story, saga: SpanId, root: SpanId) -> CompensationLedger {
    s.wait(1).fail(saga, "Error", "no").fail(root, "Error", "no");
    s.query().compensation_ledger()
}

fn states(ledger: &CompensationLedger) -> Vec<(&str, CompensationState)> {
    let entries = ledger.sagas.iter().flat_map(|saga| &saga.entries);
    entries.map(|entry| (entry.step.name.as_str(), entry.state)).collect()
}

fn undo(s: &mut Story, saga: SpanId, step: SpanId) {
    let span = s.undo(saga, step);
    s.wait(2).ok(span);
}

#[test]
fn undone_in_reverse_order_is_clean() {
    let (mut s, root, saga, [a, b]) = failed_saga();
    undo(&mut s, saga, b);
    undo(&mut s, saga, a);
    let ledger = end(&mut s, saga, root);
    assert!(ledger.is_clean());
    assert_eq!(states(&ledger), [("stage:b", Compensated), ("stage:a", Compensated)]);
    assert_eq!(ledger.sagas[0].took_us, Some(5_000));
}

#[test]
fn undone_in_the_order_of_completion_is_out_of_order() {
    let (mut s, root, saga, [a, b]) = failed_saga();
    undo(&mut s, saga, a);
    undo(&mut s, saga, b);
    let ledger = end(&mut s, saga, root);
    assert_eq!(states(&ledger), [("stage:b", Compensated), ("stage:a", OutOfOrder)]);
    assert!(!ledger.is_clean());
    assert_eq!(ledger.orphaned().count(), 0);
    insta::assert_snapshot!(ledger.render(&Style::plain()));
}

#[test]
fn what_was_tried_out_of_order_and_not_undone_is_not_called_undone() {
    let (mut s, root, saga, [a, b]) = failed_saga();
    let first = s.undo(saga, a);
    s.wait(2).fail(first, "LimitError", "locked");
    undo(&mut s, saga, b);
    let ledger = end(&mut s, saga, root);
    assert_eq!(states(&ledger), [("stage:b", Compensated), ("stage:a", Failed)]);
    let text = ledger.render(&Style::plain());
    assert!(text.contains("tried before stage:b, which ran after it"), "{text}");
    assert!(!text.contains("undone before"), "{text}");
}

#[test]
fn the_errors_behind_the_error_of_a_compensation_are_shown() {
    let (mut s, root, saga, [a, b]) = failed_saga();
    let first = s.undo(saga, b);
    s.wait(2).fail(first, "LimitError", "not released").chain(&["the ledger refused", "locked by x-7"]);
    undo(&mut s, saga, a);
    let ledger = end(&mut s, saga, root);
    let text = ledger.render(&Style::plain());
    insta::assert_snapshot!(text);
    let explanation = s.query().explain().render(&Style::plain());
    assert!(explanation.contains("because: the ledger refused\n"), "{explanation}");
}

#[test]
fn parallel_steps_may_be_undone_in_any_order() {
    let (mut s, root) = Story::started("loan-1");
    let saga = s.saga(root, "loan");
    let a = s.open(saga, "stage:a");
    s.tag(names::tags::COMPENSABLE);
    let b = s.open(saga, "stage:b");
    s.tag(names::tags::COMPENSABLE);
    s.wait(5).ok(a).wait(5).ok(b);
    undo(&mut s, saga, a);
    undo(&mut s, saga, b);
    assert!(end(&mut s, saga, root).is_clean());
}

#[test]
fn what_nobody_undid_is_missing_and_orphaned() {
    let (mut s, root, saga, [_, b]) = failed_saga();
    undo(&mut s, saga, b);
    let ledger = end(&mut s, saga, root);
    assert_eq!(states(&ledger), [("stage:b", Compensated), ("stage:a", Missing)]);
    assert_eq!(ledger.orphaned().next().unwrap().resource.as_deref(), Some("a-1"));
}

#[test]
fn a_saga_at_work_undoes_one_and_has_the_other_waiting() {
    let (mut s, _, saga, [_, b]) = failed_saga();
    s.undo(saga, b);
    let ledger = s.query().compensation_ledger();
    assert_eq!(states(&ledger), [("stage:b", Running), ("stage:a", Waiting)]);
    assert_eq!(ledger.orphaned().count(), 0, "there is hope");
    insta::assert_snapshot!(ledger.render(&Style::plain()));
}

#[test]
fn a_process_that_died_while_undoing_leaves_an_interruption() {
    let (mut s, _, saga, [_, b]) = failed_saga();
    s.undo(saga, b);
    s.events.iter_mut().for_each(|event| event.instance = DEAD);
    let ledger = s.query().compensation_ledger();
    assert_eq!(states(&ledger), [("stage:b", Interrupted), ("stage:a", Standing)]);
    assert_eq!(ledger.orphaned().count(), 1);
}

#[test]
fn a_compensation_that_went_well_at_the_second_try_is_done() {
    let (mut s, root, saga, [a, b]) = failed_saga();
    let first = s.undo(saga, b);
    s.wait(2).fail(first, "LimitError", "locked").wait(10);
    let second = s.undo(saga, b);
    s.link(Relation::RetryOf, first).wait(2).ok(second);
    let third = s.undo(saga, a);
    s.wait(2).fail(third, "LimitError", "gone");
    let ledger = end(&mut s, saga, root);
    assert_eq!(states(&ledger), [("stage:b", Compensated), ("stage:a", Failed)]);
    assert_eq!(ledger.sagas[0].entries[0].attempts, 2);
    insta::assert_snapshot!(ledger.render(&Style::plain().width(80)));
}

#[test]
fn a_saga_that_succeeded_has_nothing_to_undo() {
    let (mut s, root) = Story::started("loan-1");
    let saga = s.saga(root, "loan");
    s.compensable(saga, "stage:a", 5, "a-1");
    s.ok(saga).ok(root);
    let ledger = s.query().compensation_ledger();
    assert!(ledger.is_clean() && ledger.is_empty());
}

#[test]
fn a_cancelled_saga_owes_what_it_did() {
    let (mut s, root) = Story::started("loan-1");
    let saga = s.saga(root, "loan");
    s.compensable(saga, "stage:a", 5, "a-1");
    s.cancel(saga).cancel(root);
    assert_eq!(states(&s.query().compensation_ledger()), [("stage:a", Missing)]);
}

#[test]
fn compensations_without_a_saga_belong_to_their_workflow() {
    let (mut s, root) = Story::started("loan-1");
    let a = s.step(root, "stage:a", 5);
    s.compensable(root, "stage:b", 5, "b-1");
    let step = s.open(root, "stage:c");
    s.wait(5).fail(step, "Error", "no");
    undo(&mut s, root, a);
    s.fail(root, "Error", "no");
    let ledger = s.query().compensation_ledger();
    assert_eq!(ledger.sagas[0].saga.as_ref().unwrap().name, "workflow:loan-approval");
    assert_eq!(states(&ledger), [("stage:b", Missing), ("stage:a", Compensated)]);
}

#[test]
fn a_compensation_of_nothing_known_is_unmatched() {
    let (mut s, root) = Story::started("loan-1");
    let span = s.open(root, "compensate:a");
    s.tag(names::tags::COMPENSATION).link(Relation::Compensates, SpanId::from_u64(9).unwrap());
    s.wait(1).fail(span, "LimitError", "not released").chain(&["locked"]).ok(root);
    let ledger = s.query().compensation_ledger();
    assert!(!ledger.is_clean() && !ledger.is_empty());
    assert_eq!(ledger.unmatched[0].name, "compensate:a");
    insta::assert_snapshot!(ledger.render(&Style::plain()));
}

#[test]
fn undoing_one_attempt_undoes_the_step() {
    let (mut s, root) = Story::started("loan-1");
    let saga = s.saga(root, "loan");
    let first = s.open(saga, "stage:a");
    s.wait(1).fail(first, "Error", "busy");
    let second = s.compensable(saga, "stage:a", 5, "a-1");
    s.events.iter_mut().filter(|event| event.span_id == second).for_each(|event| {
        event.links.push(throughline_model::Link::to(Relation::RetryOf, first));
    });
    let step = s.open(saga, "stage:b");
    s.wait(1).fail(step, "Error", "no");
    undo(&mut s, saga, first);
    assert!(end(&mut s, saga, root).is_clean());
}

#[test]
fn a_step_that_a_later_life_ran_again_is_one_step() {
    let (mut s, root) = Story::started("loan-1");
    let saga = s.saga(root, "loan");
    let first = s.compensable(saga, "stage:a", 5, "a-1");
    s.more(root, Status::Pending).more(saga, Status::Pending);
    let second = s.open(saga, "stage:a");
    s.tag(names::tags::COMPENSABLE).link(Relation::RetryOf, first).wait(5).ok(second);
    let step = s.open(saga, "stage:b");
    s.wait(1).fail(step, "Error", "no");
    let span = s.undo(saga, second);
    s.link(Relation::Compensates, first).wait(1).ok(span);
    let ledger = end(&mut s, saga, root);
    assert_eq!(states(&ledger), [("stage:a", Compensated)]);
    assert_eq!(ledger.sagas[0].entries[0].step.span_id, second);
}

#[test]
fn what_undid_an_earlier_life_does_not_undo_the_later_one() {
    let (mut s, root) = Story::started("loan-1");
    let saga = s.saga(root, "loan");
    let first = s.compensable(saga, "stage:a", 5, "a-1");
    undo(&mut s, saga, first);
    let second = s.compensable(saga, "stage:a", 5, "a-2");
    for event in s.events.iter_mut().filter(|event| event.span_id == second) {
        event.links.push(throughline_model::Link::to(Relation::RetryOf, first));
    }
    let ledger = end(&mut s, saga, root);
    assert_eq!(states(&ledger), [("stage:a", Missing)]);
    assert_eq!(ledger.orphaned().next().unwrap().resource.as_deref(), Some("a-2"));
}

#[test]
fn what_was_tried_in_order_and_undone_by_a_later_process_is_in_order() {
    let (mut s, root, saga, [a, b]) = failed_saga();
    let failed = s.undo(saga, b);
    s.wait(2).fail(failed, "LimitError", "locked");
    undo(&mut s, saga, a);
    s.wait(1).fail(saga, "Error", "no").fail(root, "Error", "no").wait(100);
    undo(&mut s, saga, b);
    let ledger = s.query().compensation_ledger();
    assert_eq!(states(&ledger), [("stage:b", Compensated), ("stage:a", Compensated)]);
    assert!(ledger.is_clean());
}

#[test]
fn what_was_tried_too_early_and_undone_after_what_ran_later_is_in_order() {
    let (mut s, root, saga, [a, b]) = failed_saga();
    let failed = s.undo(saga, a);
    s.wait(2).fail(failed, "LimitError", "locked");
    undo(&mut s, saga, b);
    undo(&mut s, saga, a);
    assert!(end(&mut s, saga, root).is_clean());
}

#[test]
fn a_step_that_never_succeeded_has_no_place_in_the_order() {
    let (mut s, root) = Story::started("loan-1");
    let saga = s.saga(root, "loan");
    let a = s.compensable(saga, "stage:a", 5, "a-1");
    s.wait(1);
    let doubtful = s.open(saga, "stage:b");
    s.tag(names::tags::COMPENSABLE).wait(5).fail(doubtful, "Timeout", "no answer").wait(1);
    let c = s.compensable(saga, "stage:c", 5, "c-1");
    s.wait(1);
    let last = s.open(saga, "stage:d");
    s.tag(names::tags::COMPENSABLE).wait(5).fail(last, "Timeout", "no answer").wait(1);
    for step in [c, doubtful, a, last] {
        undo(&mut s, saga, step);
    }
    let ledger = end(&mut s, saga, root);
    assert!(ledger.is_clean(), "{:?}", states(&ledger));
    // Neither as the earlier one.
    let (mut s, root) = Story::started("loan-1");
    let saga = s.saga(root, "loan");
    let doubtful = s.open(saga, "stage:a");
    s.tag(names::tags::COMPENSABLE).wait(5).fail(doubtful, "Timeout", "no answer").wait(1);
    let b = s.compensable(saga, "stage:b", 5, "b-1");
    for step in [doubtful, b] {
        undo(&mut s, saga, step);
    }
    let ledger = end(&mut s, saga, root);
    assert!(ledger.is_clean(), "{:?}", states(&ledger));
}

#[test]
fn a_single_step_is_not_counted_as_one_of_one() {
    let (mut s, root) = Story::started("loan-1");
    let saga = s.saga(root, "loan");
    let a = s.compensable(saga, "stage:a", 5, "a-1");
    let doubtful = s.open(saga, "stage:b");
    s.tag(names::tags::COMPENSABLE).wait(5).fail(doubtful, "Timeout", "no answer");
    let mut undone = s.clone();
    undo(&mut undone, saga, a);
    let text = end(&mut undone, saga, root).render(&Style::plain());
    assert!(text.contains("saga:loan: 1 step undone, 1 in doubt"), "{text}");
    let text = end(&mut s, saga, root).render(&Style::plain());
    assert!(text.contains("saga:loan: 1 step not undone, 1 in doubt"), "{text}");
}

#[test]
fn what_stands_is_all_that_was_done_and_is_not_undone_for_whatever_reason() {
    let (mut s, _, saga, [_, b]) = failed_saga();
    let failed = s.undo(saga, b);
    s.wait(2).fail(failed, "LimitError", "locked");
    s.events.iter_mut().for_each(|event| event.instance = DEAD);
    let ledger = s.query().compensation_ledger();
    assert_eq!(states(&ledger), [("stage:b", Failed), ("stage:a", Standing)]);
    assert_eq!((ledger.standing().count(), ledger.all_that_stands().count()), (1, 2));
}
