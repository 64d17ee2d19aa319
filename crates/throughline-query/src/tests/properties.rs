//! What holds for any events whatever.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use crate::Style;
use crate::TraceQuery;
use throughline_model::fold::{Spans, by_span};
use throughline_model::names::{self, data, tags};
use throughline_model::{
    ErrorInfo, EventId, InstanceId, Link, Liveness, Relation, RunState, RunSummary, SpanId, Status,
    Timestamp, TraceEvent, TraceId,
};

/// Any event of a small world, in which ids meet, parents go in circles and times disagree.
fn event() -> impl Strategy<Value = TraceEvent> {
    let types = prop::sample::select(vec![
        names::WORKFLOW_STARTED,
        names::WORKFLOW_FAILED,
        names::WORKFLOW_RESUMED,
        names::SAGA_STARTED,
        names::SAGA_COMPENSATING,
        names::SAGA_FAILED,
        "compensate:a",
        "stage:a",
        "stage:b",
        "ai:route",
    ]);
    let statuses =
        prop::sample::select(vec![Status::Pending, Status::Success, Status::Failed, Status::Cancelled]);
    let tag = prop::option::of(prop::sample::select(vec![
        tags::COMPENSABLE,
        tags::COMPENSATION,
        tags::DECISION,
        tags::REMOTE_PARENT,
        tags::DETACHED,
    ]));
    let rels = vec![
        Relation::Compensates,
        Relation::DecidedBy,
        Relation::RetryOf,
        Relation::CausedBy,
        Relation::FailedBy,
    ];
    let link = prop::option::of((prop::sample::select(rels), 1_u64..12));
    let place = (1_u64..12, 0_u32..3, prop::option::of(1_u64..14), 0_i64..30, 0_u64..3, 0_u64..4);
    (place, types, statuses, tag, link, prop::option::of(".{0,12}"), any::<bool>()).prop_map(
        |((span, seq, parent, at, instance, n), event_type, status, tag, link, text, elsewhere)| {
            let trace = TraceId::from_key(if elsewhere && n == 3 { "other" } else { "loan" });
            let span = SpanId::from_u64(span).unwrap();
            let mut event = TraceEvent::new(trace, span, event_type, Timestamp::from_micros(at), "s");
            (event.seq, event.status, event.n) = (seq, status, n);
            event.instance = InstanceId::from_u64(instance);
            event.parent_span_id = parent.and_then(SpanId::from_u64);
            event.tags.extend(tag.map(Into::into));
            event.links.extend(link.map(|(rel, to)| Link::to(rel, SpanId::from_u64(to).unwrap())));
            if let Some(text) = text {
                let error = ErrorInfo {
                    kind: text.clone().into(),
                    message: text.clone().into(),
                    chain: vec![text.clone().into()],
                };
                event.error = (status == Status::Failed).then(|| Box::new(error));
                event.data = serde_json::json!({ data::CHOICE: text, data::ALTERNATIVES: [text] })
                    .as_object()
                    .cloned();
            }
            event
        },
    )
}

fn soup() -> impl Strategy<Value = Vec<TraceEvent>> {
    prop::collection::vec(event(), 0..40)
}

fn query(events: Vec<TraceEvent>) -> TraceQuery {
    TraceQuery::new(events).with_liveness(liveness)
}

fn liveness(instance: InstanceId) -> Liveness {
    match instance.to_u64() {
        0 => Liveness::Imported,
        1 => Liveness::Alive,
        _ => Liveness::Dead,
    }
}

/// Every answer as JSON and as text.
fn answers(query: &TraceQuery, other: &TraceQuery) -> Vec<String> {
    let style = Style::plain().width(72).rows(8);
    macro_rules! both {
        ($($answer:expr),*) => { vec![$({
            let answer = $answer;
            serde_json::to_string(&answer).unwrap() + &answer.render(&style)
        }),*] };
    }
    both![
        query.explain(),
        query.tree(),
        query.timeline(),
        query.compensation_ledger(),
        query.decisions(),
        query.diff(other)
    ]
}

proptest! {
    #[test]
    fn the_order_of_the_input_does_not_matter(
        (events, shuffled) in soup().prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle())),
        other in soup(),
    ) {
        let other = query(other);
        prop_assert_eq!(answers(&query(events), &other), answers(&query(shuffled), &other));
    }

    #[test]
    fn spans_are_those_that_the_fold_makes_of_the_same_events(
        (events, seed) in (soup(), any::<prop::sample::Index>()),
    ) {
        let query = query(events);
        let mut kept: Vec<&TraceEvent> = query.ordered_events().collect();
        let middle = seed.index(kept.len() + 1);
        kept.rotate_left(middle);
        let spans: Spans<&TraceEvent> = kept.iter().copied().collect();
        let grouped: HashMap<SpanId, Vec<&TraceEvent>> =
            by_span(kept).into_iter().map(|events| (events[0].span_id, events)).collect();
        prop_assert_eq!(spans.len(), query.spans().len());
        prop_assert_eq!(spans.open(), query.pending().count());
        for span in query.spans() {
            let folded = spans.get(span.id()).unwrap();
            prop_assert_eq!((*folded.first(), *folded.last()), (span.first_event(), span.last_event()));
            prop_assert_eq!((folded.status(), folded.owner()), (span.status(), span.owner()));
            prop_assert_eq!(span.events().collect::<Vec<_>>(), &*grouped[&span.id()]);
        }
    }

    #[test]
    fn a_run_stands_as_the_fold_says_if_its_root_is_known(events in soup()) {
        let query = query(events);
        let Some(listed) = RunSummary::of(query.ordered_events(), liveness) else { return Ok(()) };
        if let Some(root) = &listed.root {
            prop_assert_eq!(query.root().map(|span| span.id()), Some(root.span_id));
            let mut queried = query.summary().unwrap();
            // A query works out what was not measured.
            queried.duration_us = listed.duration_us.and(queried.duration_us);
            prop_assert_eq!(queried, listed);
        }
    }

    #[test]
    fn every_event_is_in_the_timeline_once(events in soup()) {
        let query = query(events.clone());
        let Some(trace) = query.summary().map(|run| run.trace_id) else { return Ok(()) };
        let wanted: HashSet<EventId> =
            events.iter().filter(|event| event.trace_id == trace).map(TraceEvent::id).collect();
        let timeline = query.timeline();
        let found: HashSet<EventId> = timeline
            .entries
            .iter()
            .map(|entry| EventId { trace_id: trace, span_id: entry.span_id, seq: entry.seq })
            .collect();
        prop_assert_eq!(timeline.entries.len(), found.len());
        prop_assert_eq!(found, wanted);
        prop_assert!(timeline.entries.is_sorted_by_key(|entry| entry.at));
    }

    #[test]
    fn children_parents_paths_and_the_tree_agree(events in soup()) {
        let query = query(events);
        for span in query.spans() {
            for child in query.children(span.id()) {
                prop_assert_eq!(child.parent(), Some(span));
                let mut path = query.path(span.id());
                path.push(child);
                prop_assert_eq!(query.path(child.id()), path);
            }
            prop_assert_eq!(query.path(span.id()).len(), span.depth() + 1);
            prop_assert_eq!(query.span(span.id()), Some(span));
        }
        let rows: HashSet<SpanId> = query.tree().nodes.iter().map(|node| node.span.span_id).collect();
        prop_assert_eq!(rows.len(), query.spans().len());
        prop_assert_eq!(query.tree().nodes.len(), rows.len());
    }

    #[test]
    fn no_line_is_wider_than_the_page(events in soup(), width in 40_usize..120) {
        use unicode_width::UnicodeWidthStr;
        let query = query(events);
        let style = Style::plain().width(width);
        for text in [
            query.explain().render(&style),
            query.tree().render(&style),
            query.timeline().render(&style),
            query.compensation_ledger().render(&style),
            query.decisions().render(&style),
            query.diff(&query).render(&style),
        ] {
            for line in text.lines() {
                prop_assert!(line.width() <= width, "{} > {width}: {line}", line.width());
            }
        }
    }

    #[test]
    fn a_run_is_the_same_as_itself(events in soup()) {
        let query = query(events);
        prop_assert!(query.diff(&query).is_same());
    }

    #[test]
    fn a_clean_ledger_leaves_nothing_behind(events in soup()) {
        let ledger = query(events).compensation_ledger();
        let left = ledger.orphaned().count() + ledger.standing().count() + ledger.in_doubt().count();
        prop_assert!(!ledger.is_clean() || left == 0);
    }

    #[test]
    fn what_is_in_doubt_did_not_succeed_is_not_under_way_and_nobody_tried_to_undo_it(events in soup()) {
        let ledger = query(events).compensation_ledger();
        for entry in ledger.in_doubt() {
            prop_assert!(!matches!(entry.step.state, RunState::Succeeded | RunState::Running));
            prop_assert_eq!((&entry.compensation, entry.attempts), (&None, 0));
            prop_assert!(ledger.orphaned().all(|orphan| orphan.step != entry.step.span_id));
        }
        for entry in ledger.standing() {
            prop_assert_eq!((entry.step.state, &entry.compensation), (RunState::Succeeded, &None));
        }
    }
}
