//! Runs that were interrupted and resumed: what is said of their lives.

use super::builder::{Story, name};
use crate::{CauseKind, FailureOutcome, Style, TraceQuery, Verdict};
use throughline_model::{InstanceId, Liveness, Relation, SpanId, Status, names};

/// The processes of a run, one after the other; only the last may be alive.
const LIVES: [InstanceId; 6] = [
    InstanceId::from_u64(11),
    InstanceId::from_u64(12),
    InstanceId::from_u64(13),
    InstanceId::from_u64(14),
    InstanceId::from_u64(15),
    InstanceId::from_u64(16),
];

/// A run that has done a step in its first life.
fn first_life() -> (Story, SpanId) {
    let mut s = Story::new("loan-1");
    s.by(LIVES[0]);
    let root = s.open(None, names::WORKFLOW_STARTED);
    s.step(root, "stage:a", 100);
    (s, root)
}

/// The process dies, and another resumes the run after so many milliseconds.
fn resume(s: &mut Story, root: SpanId, life: usize, after: i64) {
    s.wait(after).by(LIVES[life]).more(root, Status::Pending);
}

/// Ends the root as an emitter does: with how long it took in all.
fn end(s: &mut Story, root: SpanId, status: Status) {
    let started = s.events.iter().find(|event| event.span_id == root).map(|event| event.timestamp);
    s.wait(300).more(root, status).last(|event| {
        event.duration_us = started.map(|started| event.timestamp.since(started).as_micros() as u64);
    });
}

/// A query of which every process is dead.
fn over(s: &Story) -> TraceQuery {
    TraceQuery::new(s.events.clone()).with_liveness(|_| Liveness::Dead)
}

#[test]
fn a_run_that_was_resumed_and_succeeded_says_how_often_and_when_and_how_long_it_took_in_all() {
    let (mut s, root) = first_life();
    resume(&mut s, root, 1, 1_900);
    end(&mut s, root, Status::Success);
    let query = over(&s);
    let explanation = query.explain();
    assert_eq!(explanation.verdict, Verdict::Succeeded);
    assert_eq!(
        explanation.headline,
        "loan-approval succeeded after 2.3 s; interrupted once and resumed after 1.9 s"
    );
    assert_eq!((explanation.resumed, &explanation.resumed_after_us[..]), (1, &[1_900_000][..]));
    assert_eq!(query.summary().unwrap().duration_us, Some(2_300_000));
    let text = explanation.render(&Style::plain());
    assert!(text.starts_with("loan-approval · loan-1 · succeeded after 2.3 s\n"), "{text}");
    assert_eq!(text.matches("resumed").count(), 1, "{text}");
}

#[test]
fn of_many_resumptions_the_last_is_told() {
    let (mut s, root) = first_life();
    let mut told = Vec::new();
    for (life, after) in (1..).zip([1_900, 4_000, 60_000, 90_000]) {
        resume(&mut s, root, life, after);
        let mut ended = s.clone();
        end(&mut ended, root, Status::Success);
        let headline = over(&ended).explain().headline;
        told.push(headline.split_once("; ").unwrap().1.to_owned());
    }
    assert_eq!(
        told,
        [
            "interrupted once and resumed after 1.9 s",
            "interrupted twice, resumed after 1.9 s and 4.0 s",
            "interrupted 3 times, resumed after 1.9 s, 4.0 s and 1 min 0 s",
            "interrupted 4 times, the last time resumed after 1 min 30 s",
        ]
    );
}

#[test]
fn a_run_that_did_not_simply_succeed_says_so_first() {
    type Rest = fn(&mut Story, SpanId);
    let cases: [(Rest, Verdict, &str); 5] = [
        (
            |s, root| {
                let step = s.open(root, "stage:b");
                s.fail(step, "Timeout", "too slow").fail(root, "Timeout", "too slow");
            },
            Verdict::Failed,
            "loan-approval failed: stage:b failed with Timeout: too slow",
        ),
        (
            |s, root| {
                s.cancel(root);
            },
            Verdict::Cancelled,
            "loan-approval was cancelled after 2.0 s",
        ),
        (
            |s, root| {
                let step = s.open(root, "stage:b");
                s.fail(step, "Timeout", "too slow").ok(root);
            },
            Verdict::Tolerated,
            "workflow:loan-approval succeeded, but stage:b failed with Timeout: too slow",
        ),
        (
            |s, root| {
                let step = s.open(root, "stage:b");
                s.fail(step, "Timeout", "too slow");
                let again = s.open(root, "stage:b");
                s.link(Relation::RetryOf, step).ok(again).ok(root);
            },
            Verdict::Recovered,
            "loan-approval succeeded after stage:b failed and was retried",
        ),
        (
            |s, root| {
                s.open(root, "stage:b");
            },
            Verdict::Running,
            "loan-approval is running, now at stage:b",
        ),
    ];
    for (rest, verdict, headline) in cases {
        let (mut s, root) = first_life();
        resume(&mut s, root, 1, 1_900);
        rest(&mut s, root);
        let explanation = s.query().explain();
        assert_eq!(explanation.verdict, verdict);
        assert_eq!(explanation.headline, format!("{headline}; interrupted once and resumed after 1.9 s"));
        let text = explanation.render(&Style::plain());
        assert!(!text.contains("resumed 1 time"), "{text}");
    }
}

#[test]
fn a_run_that_was_interrupted_again_says_beside_it_how_often_it_was_resumed() {
    let (mut s, root) = first_life();
    resume(&mut s, root, 1, 1_900);
    s.open(root, "stage:b");
    for (liveness, verdict) in
        [(Liveness::Dead, Verdict::Interrupted), (Liveness::Imported, Verdict::Unfinished)]
    {
        let explanation = TraceQuery::new(s.events.clone()).with_liveness(|_| liveness).explain();
        assert_eq!(explanation.verdict, verdict);
        assert!(!explanation.headline.contains("resumed"), "{}", explanation.headline);
        let text = explanation.render(&Style::plain());
        assert!(text.contains("\n  resumed 1 time\n"), "{text}");
    }
}

#[test]
fn a_step_that_a_later_life_tried_again_is_neither_a_cause_nor_open() {
    let (mut s, root) = first_life();
    let died = s.open(root, "stage:b");
    let call = s.open(died, "dependency:db");
    resume(&mut s, root, 1, 1_900);
    let again = s.open(root, "stage:b");
    s.link(Relation::RetryOf, died).last(|event| event.attempt = Some(2));
    s.wait(100).ok(again);
    let successor = |instance| if instance == LIVES[1] { Liveness::Alive } else { Liveness::Dead };
    let running = TraceQuery::new(s.events.clone()).with_liveness(successor).explain();
    assert_eq!(running.verdict, Verdict::Running);
    let open: Vec<_> = running.open.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(open, ["workflow:loan-approval"]);

    // The process dies between two steps: not in the step of its first life.
    let interrupted = over(&s).explain();
    assert_eq!(interrupted.headline, "loan-approval was interrupted: its process died");
    assert_eq!(interrupted.cause.as_ref().unwrap().span.name, "workflow:loan-approval");

    end(&mut s, root, Status::Success);
    let query = over(&s);
    let explanation = query.explain();
    assert_eq!((explanation.verdict, &explanation.cause), (Verdict::Succeeded, &None));
    assert_eq!(query.failure().map(name), None);
    assert!(explanation.open.is_empty() && explanation.other_failures.is_empty(), "{explanation:#?}");
    assert_eq!(query.span(call).unwrap().status(), Status::Pending, "the record itself is as it was");
    insta::assert_snapshot!(explanation.render(&Style::plain()));
}

#[test]
fn a_step_that_died_in_both_lives_is_the_cause_with_its_attempts() {
    let (mut s, root) = first_life();
    let died = s.open(root, "stage:b");
    resume(&mut s, root, 1, 1_900);
    let again = s.open(root, "stage:b");
    s.link(Relation::RetryOf, died).last(|event| event.attempt = Some(2));
    let explanation = over(&s).explain();
    let cause = explanation.cause.as_ref().unwrap();
    assert_eq!((cause.span.span_id, cause.kind), (again, CauseKind::Interrupted));
    assert_eq!(explanation.attempts.len(), 2);
    assert_eq!(explanation.open.len(), 1);
}

#[test]
fn an_attempt_that_is_still_at_work_is_open_even_if_another_was_begun() {
    let (mut s, root) = Story::started("loan-1");
    let first = s.open(root, "stage:quote");
    let second = s.open(root, "stage:quote");
    s.link(Relation::RetryOf, first);
    let open: Vec<_> = s.query().explain().open.iter().map(|span| span.span_id).collect();
    assert_eq!(open, [first, second]);
}

#[test]
fn a_failure_that_a_later_life_tried_again_was_recovered_from() {
    let (mut s, root) = first_life();
    let failed = s.open(root, "stage:b");
    s.fail(failed, "Timeout", "too slow");
    resume(&mut s, root, 1, 1_900);
    let again = s.open(root, "stage:b");
    s.link(Relation::RetryOf, failed).ok(again);
    end(&mut s, root, Status::Success);
    let explanation = over(&s).explain();
    assert_eq!(explanation.other_failures[0].outcome, FailureOutcome::Recovered);
}

#[test]
fn an_event_of_the_root_by_the_same_process_is_no_resumption() {
    let (mut s, root) = first_life();
    s.wait(1_900).more(root, Status::Pending).last(|event| event.event_type = "workflow:progress".into());
    s.wait(300).ok(root);
    let explanation = over(&s).explain();
    assert_eq!((explanation.resumed, explanation.resumed_after_us.len()), (0, 0));
    assert_eq!(explanation.headline, "loan-approval succeeded on the first try");
}

#[test]
fn an_event_that_leaves_the_run_open_on_purpose_is_no_resumption() {
    let (mut s, root) = first_life();
    s.wait(100).by(InstanceId::from_u64(u64::MAX)).more(root, Status::Pending);
    s.last(|event| event.event_type = "workflow:left".into());
    resume(&mut s, root, 1, 1_900);
    end(&mut s, root, Status::Success);
    assert_eq!(over(&s).explain().resumed_after_us, [1_900_000]);
}

#[test]
fn an_imported_run_that_says_that_it_was_resumed_was() {
    let (mut s, root) = first_life();
    resume(&mut s, root, 1, 1_900);
    end(&mut s, root, Status::Success);
    s.events.iter_mut().for_each(|event| event.instance = InstanceId::IMPORTED);
    assert_eq!(s.query().explain().resumed_after_us, [1_900_000]);
}

#[test]
fn the_gap_begins_with_the_last_event_of_any_process_before_the_one_that_resumed() {
    let (mut s, root) = first_life();
    // A worker of the same run ends its job while the root's process is dead; the one that resumes has been at work, too.
    s.by(LIVES[2]);
    let job = s.open(root, "job:mail");
    s.wait(400).ok(job).by(LIVES[1]);
    s.wait(500).step(root, "job:other", 0);
    resume(&mut s, root, 1, 1_000);
    assert_eq!(s.query().explain().resumed_after_us, [1_500_000]);
}

#[test]
fn a_run_that_was_resumed_and_has_begun_no_step_since_is_running_and_nowhere_yet() {
    let (mut s, root) = first_life();
    s.open(root, "stage:b");
    resume(&mut s, root, 5, 1_900);
    let query = TraceQuery::new(s.events.clone()).with_liveness(|instance| match instance == LIVES[5] {
        true => Liveness::Alive,
        false => Liveness::Dead,
    });
    let explanation = query.explain();
    assert_eq!(explanation.verdict, Verdict::Running);
    assert_eq!(explanation.headline, "loan-approval is running; interrupted once and resumed after 1.9 s");
}
