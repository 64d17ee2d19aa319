//! The catalogue of broken records: all are answered, and said to be broken.

use super::builder::{Story, name};
use crate::TraceQuery;
use crate::{Problem, ProblemKind, Style};
use throughline_model::names;
use throughline_model::{Liveness, RunSummary, SpanId, Status, TraceEvent, TraceId};

fn kinds(query: &TraceQuery) -> Vec<(ProblemKind, usize)> {
    query.problems().iter().map(|problem| (problem.kind, problem.count)).collect()
}

/// A sound run: a root, a step and a call in it.
fn sound() -> (Vec<TraceEvent>, [SpanId; 3]) {
    let (mut s, root) = Story::started("loan-1");
    let step = s.wait(1).open(root, "stage:a");
    let call = s.wait(1).open(step, "dependency:db");
    s.wait(1).ok(call).wait(1).ok(step).wait(1).ok(root);
    (s.events, [root, step, call])
}

/// Asks everything; nothing may fail.
fn ask_all(query: &TraceQuery) {
    let style = Style::plain().rows(50);
    let texts = [
        query.explain().render(&style),
        query.tree().render(&style),
        query.timeline().render(&style),
        query.compensation_ledger().render(&style),
        query.decisions().render(&style),
        query.diff(query).render(&style),
    ];
    assert!(texts.iter().all(|text| text.lines().count() < 150), "one screen or two");
}

#[test]
fn a_sound_record_has_no_problems() {
    assert!(TraceQuery::new(sound().0).problems().is_empty());
}

#[test]
fn without_a_root_the_first_at_the_top_stands_in() {
    let (mut events, [root, step, _]) = sound();
    events.retain(|event| event.span_id != root);
    let query = TraceQuery::new(events);
    assert_eq!(query.root().unwrap().id(), step);
    assert_eq!(kinds(&query), [(ProblemKind::NoRoot, 1), (ProblemKind::Orphan, 1)]);
    ask_all(&query);
}

#[test]
fn of_several_roots_the_first_is_the_root() {
    let (mut events, [root, ..]) = sound();
    let mut other = events[0].clone();
    other.span_id = SpanId::from_u64(77).unwrap();
    other.timestamp = events[3].timestamp;
    events.push(other);
    let query = TraceQuery::new(events);
    assert_eq!(query.root().unwrap().id(), root);
    assert_eq!(kinds(&query), [(ProblemKind::SeveralRoots, 1)]);
    ask_all(&query);
}

#[test]
fn an_orphan_stands_at_the_top() {
    let (mut events, [_, step, call]) = sound();
    events.retain(|event| event.span_id != step);
    let query = TraceQuery::new(events);
    assert!(query.span(call).unwrap().parent().is_none());
    assert_eq!(kinds(&query), [(ProblemKind::Orphan, 1)]);
    insta::assert_snapshot!(query.tree().render(&Style::plain()));
}

#[test]
fn a_circle_of_parents_is_cut_at_the_earliest_span() {
    let (mut events, [root, step, call]) = sound();
    for event in events.iter_mut().filter(|event| event.span_id == step) {
        event.parent_span_id = Some(call);
    }
    let query = TraceQuery::new(events);
    let path: Vec<_> = query.path(call).iter().map(|span| span.id()).collect();
    assert_eq!(path, [step, call]);
    assert!(query.children(root).next().is_none());
    assert!(kinds(&query).contains(&(ProblemKind::Cycle, 1)));
    ask_all(&query);
}

#[test]
fn a_span_that_is_its_own_parent_stands_at_the_top() {
    let (mut events, [_, step, _]) = sound();
    for event in events.iter_mut().filter(|event| event.span_id == step) {
        event.parent_span_id = Some(step);
    }
    let query = TraceQuery::new(events);
    assert!(query.span(step).unwrap().parent().is_none());
    assert_eq!(kinds(&query), [(ProblemKind::Cycle, 1)]);
    ask_all(&query);
}

#[test]
fn a_child_that_began_before_its_parent_stays_its_child() {
    let (mut events, [root, step, _]) = sound();
    let early = throughline_model::Timestamp::from_micros(events[0].timestamp.as_micros() - 5_000);
    events.iter_mut().find(|event| event.span_id == step && event.seq == 0).unwrap().timestamp = early;
    let query = TraceQuery::new(events);
    assert_eq!(query.span(step).unwrap().parent().unwrap().id(), root);
    assert_eq!(query.root().unwrap().id(), root);
    assert_eq!(kinds(&query), [(ProblemKind::ChildBeforeParent, 1)]);
    ask_all(&query);
}

#[test]
fn a_span_that_ended_before_it_began_took_nobody_knows_how_long() {
    let (mut events, [_, step, _]) = sound();
    let early = events[0].timestamp;
    let end = events.iter_mut().find(|event| event.span_id == step && event.seq == 1).unwrap();
    (end.timestamp, end.duration_us) = (early, None);
    let query = TraceQuery::new(events.clone());
    assert_eq!(query.span(step).unwrap().duration(), None);
    assert_eq!(kinds(&query), [(ProblemKind::EndBeforeStart, 1)]);
    ask_all(&query);

    // What its emitter measured is true whatever the wall clock did.
    events.iter_mut().find(|event| event.span_id == step && event.seq == 1).unwrap().duration_us = Some(7);
    let query = TraceQuery::new(events);
    assert_eq!(query.span(step).unwrap().duration(), Some(std::time::Duration::from_micros(7)));
    assert_eq!(kinds(&query), [(ProblemKind::EndBeforeStart, 1)]);
}

#[test]
fn an_event_that_came_twice_counts_once() {
    let (mut events, _) = sound();
    let all = events.len();
    events.extend(events.clone());
    let query = TraceQuery::new(events);
    assert_eq!(query.timeline().entries.len(), all);
    assert_eq!(kinds(&query), [(ProblemKind::Duplicate, all)]);
}

#[test]
fn of_two_events_with_one_identity_the_first_in_order_is_kept_whichever_came_first() {
    let (mut events, [_, step, _]) = sound();
    let mut other = events.iter().find(|event| event.span_id == step && event.seq == 1).unwrap().clone();
    other.timestamp = other.timestamp.plus(std::time::Duration::from_secs(1));
    other.status = Status::Failed;
    events.push(other);
    let query = TraceQuery::new(events.clone());
    assert_eq!(query.span(step).unwrap().status(), Status::Success);
    assert_eq!(kinds(&query), [(ProblemKind::Conflict, 1)]);
    events.reverse();
    assert_eq!(TraceQuery::new(events).explain(), query.explain());
}

#[test]
fn an_end_without_a_start_is_a_span_that_ended() {
    let (mut events, [_, step, _]) = sound();
    events.retain(|event| event.span_id != step || event.seq != 0);
    let query = TraceQuery::new(events);
    let span = query.span(step).unwrap();
    assert!(span.start().is_none() && span.end().is_some());
    assert_eq!(span.duration(), Some(std::time::Duration::from_millis(3)), "the end knows how long it took");
    assert_eq!(kinds(&query), [(ProblemKind::ChildBeforeParent, 1), (ProblemKind::NoStart, 1)]);
    ask_all(&query);
}

#[test]
fn of_two_ends_the_last_counts() {
    let (mut events, [_, step, _]) = sound();
    let mut other = events.iter().find(|event| event.span_id == step && event.seq == 1).unwrap().clone();
    (other.seq, other.status) = (2, Status::Failed);
    events.push(other);
    let query = TraceQuery::new(events);
    assert_eq!(query.span(step).unwrap().status(), Status::Failed);
    assert_eq!(kinds(&query), [(ProblemKind::SeveralEnds, 1)]);
}

#[test]
fn events_of_other_traces_are_left_out() {
    let (mut events, _) = sound();
    let mut stranger = events[0].clone();
    stranger.trace_id = TraceId::from_key("another");
    events.insert(0, stranger);
    let query = TraceQuery::new(events);
    assert_eq!(query.summary().unwrap().trace_id, TraceId::from_key("loan-1"));
    assert_eq!(kinds(&query), [(ProblemKind::OtherTrace, 1)]);
}

#[test]
fn a_parent_in_another_trace_makes_a_root_and_no_problem() {
    let (mut events, [root, ..]) = sound();
    for event in events.iter_mut().filter(|event| event.span_id == root) {
        event.parent_span_id = SpanId::from_u64(5);
        event.parent_trace_id = Some(TraceId::from_key("the caller"));
    }
    let query = TraceQuery::new(events);
    assert_eq!(query.root().unwrap().id(), root);
    assert!(query.problems().is_empty());
}

#[test]
fn a_remote_parent_that_is_not_here_makes_a_root_and_one_that_is_here_a_child() {
    let (mut events, [root, step, _]) = sound();
    for event in &mut events {
        match event.span_id {
            id if id == root => {
                event.parent_span_id = SpanId::from_u64(5);
                event.tags.push(names::tags::REMOTE_PARENT.into());
            }
            id if id == step => event.tags.push(names::tags::REMOTE_PARENT.into()),
            _ => {}
        }
    }
    let query = TraceQuery::new(events);
    assert_eq!(query.root().unwrap().id(), root);
    assert_eq!(query.span(step).unwrap().parent().unwrap().id(), root);
    assert!(query.problems().is_empty());
}

#[test]
fn a_run_stands_by_the_same_span_in_lists_and_on_its_page_where_a_caller_is_recorded_too() {
    let stand_alike = |events: &[TraceEvent], root: SpanId| {
        let listed = RunSummary::of(events, |_| Liveness::Dead).unwrap();
        let query = TraceQuery::new(events.to_vec()).with_liveness(|_| Liveness::Dead);
        assert_eq!(query.root().unwrap().id(), root);
        assert_eq!(listed.root.as_ref().unwrap().span_id, root);
        let shown = query.summary().unwrap();
        assert_eq!(
            (shown.state, &shown.cause, &shown.workflow),
            (listed.state, &listed.cause, &listed.workflow)
        );
    };
    let mut s = Story::new("loan-1");
    let caller = s.wait(100).open(None, names::HTTP_REQUEST);
    let call = s.wait(1).open(caller, "dependency:http");
    // The clock of the service that is called is behind.
    let callee = s.wait(-50).open(call, names::HTTP_REQUEST);
    s.last(|event| event.tags.push(names::tags::REMOTE_PARENT.into()));
    let lost = s.wait(1).open(callee, "stage:look-up");
    s.wait(1).fail(lost, "NotFound", "no such loan");
    s.wait(1).fail(callee, "NotFound", "no such loan");
    s.last(|event| event.tags.push(names::tags::REMOTE_PARENT.into()));
    s.wait(50).ok(call).wait(1).ok(caller);
    stand_alike(&s.events, caller);
    // Of the caller nothing but the call itself was recorded.
    let mut events = s.events;
    events.retain(|event| event.span_id != caller);
    stand_alike(&events, callee);
}

/// Spans that are parents as `parent` says, each with a start and an end.
fn many(spans: u64, parent: impl Fn(u64) -> Option<u64>) -> Vec<TraceEvent> {
    let mut s = Story::new("loan-1");
    let mut ids = Vec::new();
    for span in 0..spans {
        let parent = parent(span).map(|parent| ids[parent as usize]);
        ids.push(s.wait(1).open(parent, if span == 0 { names::WORKFLOW_STARTED } else { "stage:a" }));
    }
    let mut events = s.events;
    for end in (0..spans as usize).rev() {
        let mut event = events[end].clone();
        (event.seq, event.status) = (1, if end % 1_000 == 999 { Status::Failed } else { Status::Success });
        events.push(event);
    }
    events
}

#[test]
fn a_chain_of_a_hundred_thousand_is_answered() {
    let events = many(100_000, |span| span.checked_sub(1));
    let query = TraceQuery::new(events);
    let deepest = query.spans().next_back().unwrap();
    assert_eq!(deepest.depth(), 99_999);
    assert_eq!(query.path(deepest.id()).len(), 100_000);
    ask_all(&query);
    assert!(serde_json::to_string(&query.tree()).is_ok());
}

#[test]
fn a_hundred_thousand_events_of_siblings_are_answered() {
    let query = TraceQuery::new(many(50_000, |span| (span > 0).then_some(0)));
    assert_eq!(query.children(query.root().unwrap().id()).count(), 49_999);
    ask_all(&query);
}

#[test]
fn a_circle_of_ten_thousand_is_cut_once() {
    let mut events = many(10_000, |span| span.checked_sub(1));
    let last = SpanId::from_u64(0xa0 + 10_000).unwrap();
    events.iter_mut().filter(|event| event.parent_span_id.is_none()).for_each(|event| {
        event.parent_span_id = Some(last);
    });
    let query = TraceQuery::new(events);
    assert!(kinds(&query).contains(&(ProblemKind::Cycle, 1)));
    assert_eq!(query.path(last).len(), 10_000);
}

#[test]
fn of_many_problems_of_a_kind_a_few_are_named() {
    let mut events = many(100, |span| (span > 0).then_some(0));
    events.retain(|event| event.parent_span_id.is_some());
    let query = TraceQuery::new(events);
    let orphans = query.problems().iter().find(|problem| problem.kind == ProblemKind::Orphan).unwrap();
    assert_eq!((orphans.count, orphans.spans.len()), (99, Problem::EXAMPLES));
    insta::assert_snapshot!(orphans);
}

#[test]
fn no_text_of_an_event_reaches_a_terminal_as_it_is() {
    let evil = "\u{1b}]0;owned\u{7}\u{9b}31m\r\n\u{202e}evil";
    let (mut s, root) = Story::started("loan-1");
    let step = s.open(root, evil);
    s.input(serde_json::json!({"\u{1b}[2J": evil}));
    s.tag(names::tags::COMPENSABLE);
    s.ok(step).last(|event| event.attrs = event.attrs.with(names::attrs::RESOURCE, evil.to_owned()));
    s.decision(root, evil, evil);
    s.data(names::data::REASONING, evil.into()).data(names::data::DECIDER, evil.into());
    s.data(names::data::ALTERNATIVES, serde_json::json!([{"name": evil, "reason": evil}]));
    let failing = s.open(root, evil);
    s.fail(failing, "Evil\u{1b}[31m", "evil \u{1b}[31m").chain(&["\u{1b}[0m"]);
    s.fail(root, "Evil\u{1b}[31m", "evil \u{1b}[31m");
    for event in &mut s.events {
        event.workflow = Some(evil.to_owned().into());
        event.service = evil.to_owned().into();
        event.correlation_id = Some(evil.to_owned().into());
    }
    let query = s.query();
    let other = TraceQuery::new(Vec::new());
    let style = Style::plain();
    for text in [
        query.explain().render(&style),
        query.tree().render(&style),
        query.timeline().render(&style),
        query.compensation_ledger().render(&style),
        query.decisions().render(&style),
        query.diff(&other).render(&style),
        other.diff(&query).render(&style),
    ] {
        let bad = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
        assert_eq!(bad, None, "{text}");
    }
    assert_eq!(query.failure().map(name).as_deref(), Some(evil), "the data itself is as it was");
}
