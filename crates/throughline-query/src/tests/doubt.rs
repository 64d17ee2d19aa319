//! What may have had its effect, and what stands because its saga was left.

use super::builder::{DEAD, Story};
use crate::{CompensationLedger, CompensationState, Style};
use CompensationState::{Compensated, Failed, InDoubt, Interrupted, Missing, Running, Standing, Waiting};
use throughline_model::names::{self, attrs, tags};
use throughline_model::{InstanceId, Liveness, Relation, RunState, SpanId, Status};

/// The instance of the process that resumes a run; it lives.
const SUCCESSOR: InstanceId = InstanceId::from_u64(3);
/// A saga in which `stage:reserve` is done and `stage:charge`, which can be undone too, has begun.
fn charging(instance: InstanceId) -> (Story, SpanId, SpanId, [SpanId; 2]) {
    let mut s = Story::new("loan-1");
    s.by(instance);
    let root = s.open(None, names::WORKFLOW_STARTED);
    let saga = s.saga(root, "loan");
    let reserve = s.compensable(saga, "stage:reserve", 5, "reservation r-1");
    s.wait(1);
    let charge = begin_charge(&mut s, saga);
    s.wait(5);
    (s, root, saga, [reserve, charge])
}

fn begin_charge(s: &mut Story, saga: SpanId) -> SpanId {
    let charge = s.open(saga, "stage:charge");
    s.tag(tags::COMPENSABLE).attr(attrs::RESOURCE, "charge c-9");
    charge
}

fn undo(s: &mut Story, saga: SpanId, step: SpanId) {
    let span = s.undo(saga, step);
    s.wait(2).ok(span);
}

fn end(s: &mut Story, saga: SpanId, root: SpanId) -> CompensationLedger {
    s.wait(1).fail(saga, "Error", "no").fail(root, "Error", "no");
    s.query().compensation_ledger()
}

fn states(ledger: &CompensationLedger) -> Vec<(&str, CompensationState)> {
    let entries = ledger.sagas.iter().flat_map(|saga| &saga.entries);
    entries.map(|entry| (entry.step.name.as_str(), entry.state)).collect()
}

/// The lines of a ledger below its head.
fn lines(ledger: &CompensationLedger) -> String {
    ledger.render(&Style::plain()).lines().skip(3).map(|line| line.to_owned() + "\n").collect()
}

#[test]
fn a_step_that_failed_timed_out_or_was_dropped_may_have_had_its_effect() {
    type End = fn(&mut Story, SpanId);
    let ends: [End; 2] = [
        |s, charge| {
            s.fail(charge, "Timeout", "no answer within 5 s");
        },
        |s, charge| {
            s.cancel(charge);
        },
    ];
    for end_charge in ends {
        let (mut s, root, saga, [reserve, charge]) = charging(super::builder::ALIVE);
        end_charge(&mut s, charge);
        s.point(saga, names::SAGA_COMPENSATING);
        undo(&mut s, saga, reserve);
        let ledger = end(&mut s, saga, root);
        assert_eq!(states(&ledger), [("stage:charge", InDoubt), ("stage:reserve", Compensated)]);
        assert!(!ledger.is_clean() && !ledger.is_empty());
        assert_eq!(ledger.orphaned().count(), 0, "nobody knows whether it left anything");
        assert_eq!(ledger.in_doubt().next().unwrap().resource.as_deref(), Some("charge c-9"));
        insta::assert_snapshot!("doubt_beside_what_was_undone", lines(&ledger));
    }
}

#[test]
fn a_ledger_of_doubt_alone_does_not_speak_of_undoing() {
    let (mut s, root) = Story::started("loan-1");
    let saga = s.saga(root, "loan");
    let charge = begin_charge(&mut s, saga);
    s.wait(5).fail(charge, "Timeout", "no answer within 5 s");
    let ledger = end(&mut s, saga, root);
    assert_eq!(states(&ledger), [("stage:charge", InDoubt)]);
    insta::assert_snapshot!(lines(&ledger));
    let explanation = s.query().explain().render(&Style::plain());
    assert!(explanation.contains("? saga:loan: 1 step in doubt\n"), "{explanation}");
}

#[test]
fn what_is_in_doubt_is_not_counted_among_the_steps_that_were_or_were_not_undone() {
    let (mut s, root, saga, [_, charge]) = charging(super::builder::ALIVE);
    s.fail(charge, "Timeout", "no answer within 5 s");
    let text = lines(&end(&mut s, saga, root));
    assert!(text.starts_with("✗ saga:loan: 1 step not undone, 1 in doubt\n"), "{text}");
}

#[test]
fn a_step_in_which_the_process_died_is_in_doubt_and_what_was_done_before_it_stands() {
    let (s, ..) = charging(DEAD);
    let ledger = s.query().compensation_ledger();
    assert_eq!(states(&ledger), [("stage:charge", InDoubt), ("stage:reserve", Standing)]);
    assert!(!ledger.is_clean());
    assert_eq!((ledger.orphaned().count(), ledger.standing().count()), (0, 1));
    insta::assert_snapshot!(lines(&ledger));
    let imported = crate::TraceQuery::new(s.events).with_liveness(|_| Liveness::Imported);
    assert_eq!(states(&imported.compensation_ledger()), states(&ledger));
}

#[test]
fn a_step_that_is_under_way_is_not_in_doubt() {
    let (s, ..) = charging(super::builder::ALIVE);
    assert!(s.query().compensation_ledger().is_clean());
    // Nor is one that goes on after its saga has ended, as work does that was handed to a task of its own.
    let (mut s, root, saga, [reserve, charge]) = charging(super::builder::ALIVE);
    undo(&mut s, saga, reserve);
    // Nor is one of which one attempt failed, as long as another goes on.
    let again = begin_charge(&mut s, saga);
    s.link(Relation::RetryOf, charge).wait(1).fail(again, "Timeout", "no answer within 5 s");
    assert_eq!(states(&end(&mut s, saga, root)), [("stage:reserve", Compensated)]);
}

#[test]
fn a_saga_that_is_undoing_itself_has_no_doubts_yet() {
    let (mut s, _, saga, [_, charge]) = charging(super::builder::ALIVE);
    s.fail(charge, "Timeout", "no answer within 5 s");
    s.point(saga, names::SAGA_COMPENSATING);
    assert_eq!(states(&s.query().compensation_ledger()), [("stage:reserve", Waiting)]);
}

#[test]
fn an_attempt_that_succeeded_leaves_no_doubt_whichever_it_was() {
    for succeeds in [0, 1, 2] {
        let (mut s, root) = Story::started("loan-1");
        let saga = s.saga(root, "loan");
        let mut attempts = Vec::new();
        for attempt in 0..3 {
            let charge = begin_charge(&mut s, saga);
            if let Some(first) = attempts.first() {
                s.link(Relation::RetryOf, *first);
            }
            s.wait(5);
            match attempt == succeeds {
                true => s.ok(charge),
                false => s.fail(charge, "Timeout", "no answer within 5 s"),
            };
            attempts.push(charge);
        }
        let ledger = end(&mut s, saga, root);
        assert_eq!(states(&ledger), [("stage:charge", Missing)], "attempt {succeeds}");
        assert_eq!(ledger.sagas[0].entries[0].step.span_id, attempts[succeeds]);
    }
}

#[test]
fn of_attempts_none_of_which_succeeded_there_is_one_doubt() {
    let (mut s, root, saga, [reserve, charge]) = charging(DEAD);
    s.by(SUCCESSOR).more(root, Status::Pending).more(saga, Status::Pending);
    let again = begin_charge(&mut s, saga);
    s.link(Relation::RetryOf, charge).wait(5).fail(again, "Timeout", "no answer within 5 s");
    undo(&mut s, saga, reserve);
    let ledger = end(&mut s, saga, root);
    assert_eq!(states(&ledger), [("stage:charge", InDoubt), ("stage:reserve", Compensated)]);
    assert_eq!(ledger.sagas[0].entries[0].step.span_id, again);
}

#[test]
fn a_later_attempt_at_what_was_undone_is_in_doubt_again() {
    let (mut s, root) = Story::started("loan-1");
    let saga = s.saga(root, "loan");
    let first = s.compensable(saga, "stage:charge", 5, "charge c-8");
    undo(&mut s, saga, first);
    let again = begin_charge(&mut s, saga);
    s.link(Relation::RetryOf, first).wait(5).fail(again, "Timeout", "no answer within 5 s");
    let ledger = end(&mut s, saga, root);
    assert_eq!(states(&ledger), [("stage:charge", InDoubt)]);
    assert_eq!(ledger.in_doubt().next().unwrap().resource.as_deref(), Some("charge c-9"));
}

#[test]
fn a_doubtful_step_whose_compensation_was_tried_is_as_that_ended() {
    for (succeeds, state) in [(true, Compensated), (false, Failed)] {
        let (mut s, root, saga, [reserve, charge]) = charging(super::builder::ALIVE);
        s.fail(charge, "Timeout", "no answer within 5 s");
        let tried = s.undo(saga, charge);
        match succeeds {
            true => s.wait(2).ok(tried),
            false => s.wait(2).fail(tried, "CardError", "no such charge"),
        };
        undo(&mut s, saga, reserve);
        let ledger = end(&mut s, saga, root);
        assert_eq!(states(&ledger), [("stage:charge", state), ("stage:reserve", Compensated)]);
        assert_eq!((ledger.is_clean(), ledger.orphaned().count()), (succeeds, usize::from(!succeeds)));
    }
}

#[test]
fn a_step_that_never_ended_overlapped_what_began_after_it() {
    let (mut s, root, saga, [reserve, charge]) = charging(DEAD);
    let notify = s.compensable(saga, "stage:notify", 5, "mail m-1");
    s.by(SUCCESSOR).more(root, Status::Pending).more(saga, Status::Pending);
    for step in [charge, notify, reserve] {
        undo(&mut s, saga, step);
    }
    assert!(end(&mut s, saga, root).is_clean());
}

#[test]
fn the_latest_thing_that_happened_to_a_doubtful_step_is_its_place_among_the_others() {
    let (mut s, root) = Story::started("loan-1");
    let saga = s.saga(root, "loan");
    let charge = begin_charge(&mut s, saga);
    s.wait(1);
    s.compensable(saga, "stage:notify", 5, "mail m-1");
    s.wait(1).fail(charge, "Timeout", "no answer within 5 s");
    let hold = s.open(saga, "stage:hold");
    s.tag(tags::COMPENSABLE).wait(1);
    s.compensable(saga, "stage:sign", 5, "signature s-1");
    s.events.iter_mut().filter(|event| event.span_id == hold).for_each(|event| event.instance = DEAD);
    let expected = [
        ("stage:sign", Missing),
        ("stage:hold", InDoubt),
        ("stage:charge", InDoubt),
        ("stage:notify", Missing),
    ];
    assert_eq!(states(&end(&mut s, saga, root)), expected);
}

#[test]
fn what_a_saga_did_stands_if_its_process_died_before_it_was_undone() {
    let (mut s, _, saga, [_, charge]) = charging(DEAD);
    s.ok(charge);
    s.open(saga, "stage:sign");
    let ledger = s.query().compensation_ledger();
    assert_eq!(states(&ledger), [("stage:charge", Standing), ("stage:reserve", Standing)]);
    assert!(!ledger.is_clean());
    assert_eq!((ledger.orphaned().count(), ledger.standing().count()), (0, 2));
    insta::assert_snapshot!(lines(&ledger));
}

#[test]
fn what_stands_of_a_run_that_has_ended_can_only_be_undone() {
    let (mut s, root, saga, [_, charge]) = charging(DEAD);
    s.ok(charge).by(SUCCESSOR).more(root, Status::Pending).wait(1).ok(root);
    let query = s.query();
    assert_eq!(query.span(saga).unwrap().state(), RunState::Interrupted);
    let text = lines(&query.compensation_ledger());
    assert!(text.contains("\n  2 steps stand: undo\n"), "{text}");
    let explanation = query.explain().render(&Style::plain());
    assert!(explanation.contains("\n  2 steps stand: undo\n"), "{explanation}");
}

#[test]
fn where_the_process_died_while_undoing_the_steps_not_yet_reached_stand() {
    let (mut s, _, saga, [_, charge]) = charging(DEAD);
    s.ok(charge);
    s.point(saga, names::SAGA_COMPENSATING);
    s.undo(saga, charge);
    let ledger = s.query().compensation_ledger();
    assert_eq!(states(&ledger), [("stage:charge", Interrupted), ("stage:reserve", Standing)]);
    assert_eq!((ledger.orphaned().count(), ledger.standing().count()), (1, 1));
    insta::assert_snapshot!(lines(&ledger));
}

#[test]
fn a_workflow_without_a_saga_is_resumed_and_nothing_of_it_stands_before_it_is_undone() {
    let mut s = Story::new("loan-1");
    s.by(DEAD);
    let root = s.open(None, names::WORKFLOW_STARTED);
    s.compensable(root, "stage:reserve", 5, "reservation r-1");
    begin_charge(&mut s, root);
    assert!(s.query().compensation_ledger().is_empty());
    s.point(root, names::SAGA_COMPENSATING);
    let expected = [("stage:charge", InDoubt), ("stage:reserve", Standing)];
    assert_eq!(states(&s.query().compensation_ledger()), expected);
}

#[test]
fn a_resumed_run_that_has_not_come_to_its_saga_yet_leaves_nothing_standing() {
    let (mut s, root, saga, [reserve, _]) = charging(DEAD);
    s.wait(100).by(SUCCESSOR).more(root, Status::Pending);
    assert!(s.query().compensation_ledger().is_empty());
    s.more(saga, Status::Pending);
    assert!(s.query().compensation_ledger().is_empty());
    undo(&mut s, saga, reserve);
    assert_eq!(states(&s.query().compensation_ledger()), [("stage:reserve", Compensated)]);
}

#[test]
fn a_run_that_was_killed_while_undoing_and_resumed_waits_for_its_undoing() {
    let (mut s, root, saga, [_, charge]) = charging(DEAD);
    s.ok(charge);
    s.point(saga, names::SAGA_COMPENSATING);
    s.undo(saga, charge);
    s.wait(100).by(SUCCESSOR).more(root, Status::Pending);
    let expected = [("stage:charge", Interrupted), ("stage:reserve", Waiting)];
    assert_eq!(states(&s.query().compensation_ledger()), expected);
}

/// Continues a saga's span with an event that says that its caller is gone.
fn detach(s: &mut Story, saga: SpanId, event_type: &'static str) {
    s.more(saga, Status::Pending).tag(tags::DETACHED).last(|event| event.event_type = event_type.into());
}

#[test]
fn a_saga_that_goes_on_without_its_caller_is_at_work_until_it_ends() {
    let (mut s, root, saga, [reserve, charge]) = charging(super::builder::ALIVE);
    s.cancel(charge);
    s.point(saga, names::SAGA_COMPENSATING);
    detach(&mut s, saga, names::SAGA_DETACHED);
    s.cancel(root).wait(1);
    let undoing = s.undo(saga, reserve);
    let query = s.query();
    assert_eq!(query.span(saga).unwrap().state(), RunState::Running);
    assert_eq!(query.summary().unwrap().state, RunState::Running);
    assert_eq!(states(&query.compensation_ledger()), [("stage:reserve", Running)]);
    let explanation = query.explain();
    assert_eq!(explanation.headline, "loan-approval is running, now at compensate:reserve");
    assert!(query.problems().is_empty(), "{:?}", query.problems());

    // The same with the process dead.
    let mut dead = s.events.clone();
    dead.iter_mut().for_each(|event| event.instance = DEAD);
    let dead = crate::TraceQuery::new(dead).with_liveness(|_| Liveness::Dead).compensation_ledger();
    assert_eq!(states(&dead), [("stage:charge", InDoubt), ("stage:reserve", Interrupted)]);

    s.wait(2).ok(undoing).wait(1).cancel(saga);
    let query = s.query();
    let ended = query.compensation_ledger();
    assert_eq!(states(&ended), [("stage:charge", InDoubt), ("stage:reserve", Compensated)]);
    assert_eq!(query.explain().headline, "loan-approval was cancelled after 15 ms in stage:charge");
    assert!(query.problems().is_empty(), "{:?}", query.problems());
}

#[test]
fn a_saga_that_was_left_open_on_purpose_has_nobody_at_work() {
    let (mut s, root, saga, [_, charge]) = charging(super::builder::ALIVE);
    s.cancel(charge).by(InstanceId::NOBODY);
    detach(&mut s, saga, names::SAGA_LEFT_OPEN);
    s.by(super::builder::ALIVE).cancel(root);
    // Also where nothing is known of the instances: nobody ever has that one.
    for query in [s.query(), crate::TraceQuery::new(s.events.clone())] {
        let ledger = query.compensation_ledger();
        assert_eq!(query.span(saga).unwrap().state(), RunState::Interrupted);
        assert_eq!(states(&ledger), [("stage:charge", InDoubt), ("stage:reserve", Standing)]);
        assert!(lines(&ledger).contains("\n  1 step stands: resume or undo\n"), "{}", lines(&ledger));
    }
}

#[test]
fn a_saga_that_was_left_in_a_run_that_goes_on_stands_be_the_run_resumed_or_not() {
    for is_resumed in [false, true] {
        let (mut s, root, saga, [_, charge]) = charging(super::builder::ALIVE);
        s.ok(charge);
        if is_resumed {
            s.by(SUCCESSOR).more(root, Status::Pending).more(saga, Status::Pending).wait(1);
        }
        s.by(InstanceId::NOBODY);
        detach(&mut s, saga, names::SAGA_LEFT_OPEN);
        let ledger = s.query().compensation_ledger();
        assert_eq!(states(&ledger), [("stage:charge", Standing), ("stage:reserve", Standing)]);
        assert!(lines(&ledger).contains("\n  2 steps stand: undo\n"), "{}", lines(&ledger));
    }
}

#[test]
fn a_saga_whose_start_was_lost_is_known_by_its_other_events() {
    for event_type in [names::SAGA_DETACHED, names::SAGA_LEFT_OPEN] {
        let (mut s, _, saga, _) = charging(super::builder::ALIVE);
        detach(&mut s, saga, event_type);
        s.events.retain(|event| event.span_id != saga || event.seq > 0);
        assert!(s.query().span(saga).unwrap().is_saga());
    }
}

#[test]
fn a_saga_that_began_to_undo_can_only_be_undone() {
    let (mut s, _, saga, [_, charge]) = charging(DEAD);
    s.ok(charge);
    let before = s.query().compensation_ledger();
    assert!(before.sagas[0].can_be_resumed);
    assert!(lines(&before).contains("\n  2 steps stand: resume or undo\n"), "{}", lines(&before));
    s.point(saga, names::SAGA_COMPENSATING);
    let begun = s.query().compensation_ledger();
    assert!(!begun.sagas[0].can_be_resumed);
    assert!(lines(&begun).contains("\n  2 steps stand: undo\n"), "{}", lines(&begun));
}

#[test]
fn a_saga_that_was_left_open_is_not_said_to_be_where_a_process_died() {
    let (mut s, root, saga, [_, charge]) = charging(super::builder::ALIVE);
    s.cancel(charge).by(InstanceId::NOBODY);
    detach(&mut s, saga, names::SAGA_LEFT_OPEN);
    s.by(super::builder::ALIVE).cancel(root);
    let explanation = s.query().explain();
    assert_eq!(explanation.headline, "loan-approval was left open at saga:loan: resume or undo it");
    assert_eq!(explanation.cause.unwrap().kind, crate::CauseKind::LeftOpen);
    // Where its undoing was begun, or its run has ended otherwise, resuming is refused.
    s.by(InstanceId::NOBODY).point(saga, names::SAGA_COMPENSATING);
    let headline = s.query().explain().headline;
    assert_eq!(headline, "loan-approval was left open at saga:loan: undo it");
}

#[test]
fn a_run_whose_process_died_after_it_had_left_a_saga_open_was_interrupted() {
    let (mut s, _, saga, [_, charge]) = charging(DEAD);
    s.cancel(charge).by(InstanceId::NOBODY);
    detach(&mut s, saga, names::SAGA_LEFT_OPEN);
    let headline = s.query().explain().headline;
    assert_eq!(headline, "loan-approval was interrupted: its process died");
}

#[test]
fn an_abandoned_run_whose_saga_was_undone_later_tells_why_it_was_abandoned() {
    type EndSaga = fn(&mut Story, SpanId);
    let ends: [EndSaga; 2] = [
        |s, saga| {
            s.cancel(saga);
        },
        // As earlier versions recorded it.
        |s, saga| {
            s.fail(saga, "interrupted", "the process died before the saga ended");
        },
    ];
    for end_saga in ends {
        let (mut s, root, saga, [reserve, charge]) = charging(DEAD);
        s.fail(charge, "Timeout", "no answer within 5 s").wait(100).by(super::builder::ALIVE);
        s.fail(root, "abandoned", "the customer withdrew").wait(100).by(SUCCESSOR);
        let abandoned = s.query().explain().headline;
        assert_eq!(abandoned, "workflow:loan-approval failed with abandoned: the customer withdrew");
        s.more(saga, Status::Pending).tag(tags::DETACHED).point(saga, names::SAGA_COMPENSATING);
        undo(&mut s, saga, reserve);
        undo(&mut s, saga, charge);
        end_saga(&mut s, saga);
        let query = s.query();
        assert_eq!(query.explain().headline, abandoned);
        assert!(query.compensation_ledger().is_clean());
    }
}
