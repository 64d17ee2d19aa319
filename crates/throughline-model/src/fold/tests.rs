//! What holds for any events whatever.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use proptest::prelude::*;

use super::{
    Change, History, Mark, Placed, Position, RootMarks, RunFold, RunMarks, Spans, by_span, cause_of_span,
    place_in_span, rank,
};
use crate::RootSummary;
use crate::names::{SAGA_COMPENSATING, tags};
use crate::testing::{run, sample_log};
use crate::{
    InstanceId, Link, Liveness, Relation, RunState, RunSummary, SpanId, Status, Text, Timestamp, TraceEvent,
    TraceId,
};

/// Any event of a small world, in which parents go in circles, times disagree, and roots are many or none.
fn event() -> impl Strategy<Value = TraceEvent> {
    let statuses =
        prop::sample::select(vec![Status::Pending, Status::Success, Status::Failed, Status::Cancelled]);
    let types = prop::sample::select(vec!["workflow:started", "stage:a", "job:b", SAGA_COMPENSATING]);
    let tags = prop::sample::subsequence(vec![tags::REMOTE_PARENT, tags::DETACHED, tags::COMPENSATION], 0..3);
    let names = prop::option::of(prop::sample::select(vec!["a", "b"]));
    let place = (1_u64..9, 0_u32..4, prop::option::weighted(0.9, 1_u64..11), 0_i64..30, 0_u64..3, 0_u64..4);
    (place, types, statuses, tags, prop::option::of(1_u64..9), (names.clone(), names, any::<bool>()))
        .prop_map(
            |(
                (span, seq, parent, at, instance, n),
                event_type,
                status,
                tags,
                retried,
                (workflow, key, b),
            )| {
                let span = SpanId::from_u64(span).unwrap();
                let service = if b { "b" } else { "a" };
                let mut event = TraceEvent::new(
                    TraceId::from_key("loan"),
                    span,
                    event_type,
                    Timestamp::from_micros(at),
                    service,
                );
                (event.seq, event.status, event.n) = (seq, status, n);
                event.instance = InstanceId::from_u64(instance);
                event.parent_span_id = parent.and_then(SpanId::from_u64);
                event.tags = tags.into_iter().map(Text::from).collect();
                event.workflow = workflow.map(Text::from);
                event.correlation_id = key.map(Text::from);
                event.duration_us = (status != Status::Pending).then_some(at as u64);
                event
                    .links
                    .extend(retried.map(|span| Link::to(Relation::RetryOf, SpanId::from_u64(span).unwrap())));
                event
            },
        )
}

/// The events of one run, no two of one identity.
fn events() -> impl Strategy<Value = Vec<TraceEvent>> {
    let broken = prop::collection::vec(event(), 0..30).prop_map(|mut events| {
        let mut ids = HashSet::new();
        events.retain(|event| ids.insert(event.id()));
        events
    });
    let sound = any::<u64>().prop_map(|seed| sample_log(seed, 1, &[1, 2, 0].map(InstanceId::from_u64)));
    prop_oneof![3 => broken, 1 => sound]
}

/// The events of a run, and the same once more: in another order, some of them again.
fn twice() -> impl Strategy<Value = (Vec<TraceEvent>, Vec<TraceEvent>)> {
    events().prop_flat_map(|events| {
        let again = prop::sample::subsequence(events.clone(), 0..=events.len());
        let arrived = again.prop_flat_map({
            let events = events.clone();
            move |again| Just([events.clone(), again].concat()).prop_shuffle()
        });
        (Just(events), arrived)
    })
}

fn liveness(instance: InstanceId) -> Liveness {
    match instance.to_u64() {
        0 => Liveness::Imported,
        1 => Liveness::Alive,
        _ => Liveness::Dead,
    }
}

fn marks_of(events: &[TraceEvent], span: SpanId) -> Vec<Mark<&TraceEvent>> {
    events.iter().filter(|event| event.span_id == span).map(|event| Mark::of(event, event)).collect()
}

/// Adds the events that arrive at these places, as a store does.
fn add<'e>(fold: &mut RunFold<&'e TraceEvent>, arrived: &'e [TraceEvent], from: usize) {
    for (at, event) in arrived.iter().enumerate().skip(from) {
        if let Some(span) = fold.add(event, event).missing_span {
            fold.add_missing(marks_of(&arrived[..=at], span));
        }
    }
}

/// The definition of a summary, word by word.
fn by_the_book(events: &[TraceEvent]) -> Option<RunSummary> {
    let mut ordered: Vec<_> = events.iter().collect();
    ordered.sort_by_key(|event| Position::of(event));
    let mut spans: BTreeMap<SpanId, Vec<&TraceEvent>> = BTreeMap::new();
    ordered.iter().for_each(|event| spans.entry(event.span_id).or_default().push(event));
    spans.values_mut().for_each(|span| span.sort_by_key(|event| place_in_span(event)));
    let earliest = *ordered.first()?;
    let roots = || ordered.iter().filter(|event| event.is_root());
    let root = roots().find(|event| !event.has_remote_parent()).or_else(|| roots().next());
    let root = root.map(|root| &spans[&root.span_id]);
    let last_of = |span: &SpanId| *spans[span].last().unwrap();
    let detached: BTreeSet<SpanId> =
        events.iter().filter(|event| event.is_detached()).map(|event| event.span_id).collect();
    let retried: BTreeSet<SpanId> =
        events.iter().filter(|event| event.is_detached()).flat_map(TraceEvent::retried).collect();
    let mut deciding = detached.clone();
    deciding.extend(root.map(|root| root[0].span_id));
    deciding.retain(|span| !retried.contains(span));
    if let Some(root) = root.filter(|_| deciding.is_empty()) {
        deciding.insert(root[0].span_id);
    }
    let lasts: Vec<_> = match root {
        Some(_) => deciding.iter().map(last_of).collect(),
        None => spans.keys().map(last_of).collect(),
    };
    let status_of = |last: &TraceEvent| match last.status {
        Status::Failed | Status::Cancelled
            if root.is_some() && detached.contains(&last.span_id) && !last.is_root() =>
        {
            Status::Success
        }
        status => status,
    };
    let latest_of = |status| {
        lasts.iter().copied().filter(|last| status_of(last) == status).max_by_key(|last| Position::of(last))
    };
    let failed = ordered.iter().find(|event| event.status == Status::Failed);
    let state = if let Some(open) = latest_of(Status::Pending) {
        RunState::of(Status::Pending, liveness(open.instance))
    } else if root.map_or(failed.is_some(), |_| latest_of(Status::Failed).is_some()) {
        RunState::Failed
    } else if latest_of(Status::Cancelled).is_some() {
        RunState::Cancelled
    } else {
        RunState::Succeeded
    };
    let head = root.map_or(earliest, |root| root[0]);
    let root_summary = root.map(|root| RootSummary {
        span_id: head.span_id,
        event_type: head.event_type.clone(),
        name: head.event_type.clone(),
        attempt: head.attempt,
        is_resumable: head.workflow.is_some()
            && !head.is_detached()
            && [Status::Pending, Status::Cancelled].contains(&root[root.len() - 1].status),
    });
    let mut summary = RunSummary::new(head.trace_id, state, head.service.clone(), earliest.timestamp);
    summary.root = root_summary;
    let by_head = [head].into_iter().chain(ordered.iter().copied());
    summary.workflow = by_head.clone().find_map(|event| event.workflow.clone());
    summary.correlation_id = by_head.clone().find_map(|event| event.correlation_id.clone());
    summary.first_failure = failed.map(|failed| crate::FailureSummary {
        span_id: failed.span_id,
        name: failed.span_name().into_owned().into(),
        event_type: failed.event_type.clone(),
        error: failed.error.as_deref().cloned(),
        step_index: failed.step_index,
        step_total: failed.step_total,
    });
    summary.cause = super::cause_of_run(&RunFold::of(ordered.iter().copied()), ordered.iter().copied())
        .map(|cause| crate::FailureSummary::among(cause, ordered.iter().copied()));
    if let Some(root) = root.filter(|_| latest_of(Status::Pending).is_none()) {
        summary.ended = lasts.iter().map(|last| last.timestamp).max();
        summary.duration_us = match (detached.is_empty(), summary.ended) {
            (false, Some(ended)) => Some(ended.since(summary.started).as_micros() as u64),
            _ => root.last()?.duration_us,
        };
    }
    Some(summary)
}

/// What of a row does not change with the course of a run.
fn what_it_is(fold: &RunFold<&TraceEvent>) -> String {
    let marks = [fold.root(), fold.head(), fold.names_workflow(), fold.names_correlation_id()];
    let marks = marks.map(|mark| mark.map(|mark| (mark.position, &mark.service)));
    format!("{:?}", (marks, fold.started(), fold.workflow(), fold.correlation_id()))
}

/// The rest of the row.
fn how_it_goes(fold: &RunFold<&TraceEvent>) -> String {
    let marks = [fold.last(), fold.first_failure()].map(|mark| mark.map(|mark| mark.position));
    let flags = (fold.is_open(), fold.is_compensating(), fold.has_detached());
    format!("{:?}", (marks, flags, fold.standing(), fold.ended(), fold.duration_us()))
}

proptest! {
    #[test]
    fn a_summary_is_what_its_definition_says_in_any_order_and_with_repeats((events, arrived) in twice()) {
        let wanted = by_the_book(&events);
        prop_assert_eq!(&RunSummary::of(&events, liveness), &wanted);
        prop_assert_eq!(&RunSummary::of(&arrived, liveness), &wanted);
    }

    #[test]
    fn an_event_at_a_time_gives_what_all_at_once_give((events, arrived) in twice()) {
        let mut fold = RunFold::new();
        add(&mut fold, &arrived, 0);
        prop_assert_eq!(&fold, &RunFold::of(&events));
        prop_assert_eq!(fold.is_open(), fold.standing().is_some_and(|standing| standing.status == Status::Pending));
    }

    #[test]
    fn what_comes_again_changes_nothing((events, again) in twice()) {
        let mut fold = RunFold::of(&events);
        for event in &again {
            let added = fold.add(event, event);
            prop_assert_eq!((added.change, added.missing_span), (Change::Nothing, None));
        }
        prop_assert_eq!(fold, RunFold::of(&events));
    }

    #[test]
    fn a_row_that_is_written_when_the_fold_says_so_is_never_out_of_date((_, arrived) in twice()) {
        let mut fold = RunFold::new();
        let (mut is, mut goes) = (what_it_is(&fold), how_it_goes(&fold));
        for (at, event) in arrived.iter().enumerate() {
            let added = fold.add(event, event);
            if let Some(span) = added.missing_span {
                fold.add_missing(marks_of(&arrived[..=at], span));
            }
            if added.change == Change::Everything {
                is = what_it_is(&fold);
            }
            if added.change >= Change::Course {
                goes = how_it_goes(&fold);
            }
            prop_assert_eq!(&is, &what_it_is(&fold));
            prop_assert_eq!(&goes, &how_it_goes(&fold));
        }
    }

    #[test]
    fn a_fold_that_is_restored_goes_on_as_if_it_had_stayed((_, arrived) in twice(), part in any::<prop::sample::Index>()) {
        let before = part.index(arrived.len() + 1);
        let known = &arrived[..before];
        let mut fold = RunFold::new();
        add(&mut fold, known, 0);
        if let Some(started) = fold.started() {
            let detached: Vec<_> = known.iter().filter(|event| event.is_detached()).collect();
            let root = || Some((fold.root()?, fold.head()?, fold.last()?));
            let restored = RunFold::restore(RunMarks {
                started,
                root: root().map(|(root, head, last)| RootMarks {
                    root: root.clone(),
                    head: head.clone(),
                    last: last.clone(),
                }),
                rootless: known.iter().filter(|_| root().is_none()).map(|event| Mark::of(event, event)).collect(),
                detached: detached.iter().flat_map(|event| marks_of(known, event.span_id)).collect(),
                retried: detached.iter().flat_map(|event| event.retried()).collect(),
                names_workflow: fold.names_workflow().cloned(),
                names_correlation_id: fold.names_correlation_id().cloned(),
                first_failure: fold.first_failure().cloned(),
                is_compensating: fold.is_compensating(),
            });
            prop_assert_eq!(&restored, &fold);
            fold = restored;
        }
        add(&mut fold, &arrived, before);
        prop_assert_eq!(fold, RunFold::of(&arrived));
    }

    #[test]
    fn spans_an_event_at_a_time_are_the_spans_of_all_at_once((events, arrived) in twice()) {
        let spans: Spans<&TraceEvent> = arrived.iter().collect();
        let grouped = by_span(&events);
        prop_assert_eq!(spans.len(), grouped.len());
        prop_assert!(grouped.is_sorted_by_key(|span| Position::of(span[0])));
        prop_assert_eq!(grouped.iter().map(Vec::len).sum::<usize>(), events.len());
        for events in &grouped {
            let span = spans.get(events[0].span_id).unwrap();
            let last = events[events.len() - 1];
            prop_assert!(events.is_sorted_by_key(|event| place_in_span(event)));
            prop_assert_eq!((*span.first(), *span.last()), (events[0], last));
            prop_assert_eq!((span.status(), span.owner(), span.next_seq()), (last.status, last.instance, last.seq + 1));
        }
        prop_assert_eq!(spans.open(), spans.iter().filter(|span| span.is_open()).count());
        prop_assert_eq!(by_span(&arrived), grouped);
    }

    #[test]
    fn a_history_does_not_depend_on_the_order_in_which_it_is_read((events, arrived) in twice()) {
        let shown = |history: &History| format!("{:?}", history.spans().collect::<Vec<_>>());
        let (history, again) = (History::of(&events), History::of(&arrived));
        prop_assert_eq!(shown(&history), shown(&again));
        for span in history.spans() {
            let last = by_span(&events).into_iter().find(|events| events[0].span_id == span.id).unwrap().pop().unwrap();
            prop_assert_eq!((span.status, span.next_seq), (last.status, last.seq + 1));
            prop_assert_eq!(span.ended, (last.status != Status::Pending).then(|| last.position()));
            prop_assert_eq!(history.span(span.id).map(|span| span.id), Some(span.id));
            // Broken parents lead nowhere, and into no endless loop.
            history.steps(span.id, "a");
        }
    }
}

#[test]
fn what_is_open_ranks_before_what_failed_and_that_before_what_was_cancelled() {
    let mut statuses = [Status::Cancelled, Status::Pending, Status::Success, Status::Failed];
    statuses.sort_by_key(|status| std::cmp::Reverse(rank(*status)));
    assert_eq!(statuses, [Status::Pending, Status::Failed, Status::Cancelled, Status::Success]);
}

#[test]
fn a_hundred_thousand_roots_that_come_last_to_first_are_summed_up() {
    let event = |at: u64| {
        let at_time = Timestamp::from_micros(0).plus(Duration::from_micros(at));
        TraceEvent::new(TraceId::from_key("loan"), SpanId::from_u64(at).unwrap(), "stage:a", at_time, "s")
    };
    let events: Vec<_> = (1..=100_000).rev().map(event).collect();
    let fold = RunFold::of(&events);
    assert_eq!(fold.root().map(|root| root.key), events.last());
}

#[test]
fn what_brought_a_span_down_is_what_failed_in_it_and_an_origin_has_nothing_below() {
    let mut loan = run("loan");
    loan.root();
    let pay = loan.begin("stage:pay");
    let call = loan.begin_in(pay, "dependency:bank");
    loan.fail(call, "Timeout", "no answer from the bank");
    loan.fail(pay, "Timeout", "no answer from the bank");
    let events = loan.events();
    let cause = cause_of_span(pay, &events).map(|event| event.span_id);
    assert_eq!(cause, Some(call));
    assert_eq!(cause_of_span(call, &events), None);
    assert_eq!(cause_of_span(SpanId::from_u64(99).unwrap(), &events), None);
}
