//! [`tree`], a canonical text of what happened.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use crate::fold::{Position, by_span};
use crate::names::WORKFLOW_RESUMED;
use crate::{Link, SpanId, Status, Text, TraceEvent, TraceId};

/// Renders the events of one run, or of several, as a tree without ids, times and durations: made to be kept
/// as a snapshot.
///
/// ```text
/// workflow:started > workflow:failed failed [Refused]
///   stage:reserve-funds success #compensable
///   stage:sign failed attempt 1 [Timeout]
///   stage:sign failed attempt 2 [Refused]
///   - saga:compensating
///   compensate:reserve-funds success #compensation (compensates stage:reserve-funds)
/// ```
///
/// One line for each span, indented below its parent: its event types, the status, the attempt, the kind of the
/// error, tags, and what it links to by name. A dash marks a point event, whose status is shown if it is not
/// `success`. A child workflow stands below the step that called it, if the events of both runs are given.
///
/// Siblings stand in the order of their starts. Those that overlap in time stand in the order of their names,
/// for which of two concurrent steps starts first changes from run to run. That also goes for steps of which
/// one merely might have overlapped the other, and did in this run: give concurrent steps names that differ
/// and something to wait for.
///
/// Broken events are shown for what they are: a span whose parent is missing stands at the left with
/// `(parent unknown)`, spans that are each other's parents begin at the earliest with `(parents form a cycle)`.
pub fn tree(events: &[TraceEvent]) -> String {
    let mut spans = spans_of(events);
    cut_cycles(&mut spans);
    let tops = arrange(&mut spans);
    render(&spans, tops)
}

/// Deeper levels are not indented further, or the text of a long chain would be quadratic.
const DEEPEST_INDENT: usize = 100;

type Key = (TraceId, SpanId);

struct Span<'a> {
    /// By place in the span; never empty.
    events: Vec<&'a TraceEvent>,
    start: Option<Position>,
    /// `None` while the span is open.
    end: Option<Position>,
    parent: Option<usize>,
    children: Vec<usize>,
    label: String,
    /// Stands for the label and all that is below, so that siblings of one label have an order of their own.
    signature: u64,
}

fn spans_of(events: &[TraceEvent]) -> Vec<Span<'_>> {
    let mut by_key: HashMap<Key, usize> = HashMap::new();
    let mut spans: Vec<Span<'_>> = Vec::new();
    for (at, events) in by_span(events).into_iter().enumerate() {
        by_key.insert((events[0].trace_id, events[0].span_id), at);
        spans.push(Span {
            events,
            start: None,
            end: None,
            parent: None,
            children: Vec::new(),
            label: String::new(),
            signature: 0,
        });
    }
    let resumptions = resumptions(events);
    for span in &mut spans {
        span.start = span.events.iter().map(|event| Position::of(event)).min();
        span.end = span.events.last().and_then(|last| match last.status {
            // What a dead process left open has ended, at the latest, when its run was taken up again.
            Status::Pending => resumptions
                .get(&last.trace_id)
                .and_then(|moments| moments.iter().find(|moment| **moment > Position::of(last)).copied()),
            _ => Some(Position::of(last)),
        });
    }
    let names: Vec<Text> = spans.iter().map(|span| span.events[0].event_type.clone()).collect();
    let name_of = |trace, span| by_key.get(&(trace, span)).map(|at| names[*at].as_str());
    for span in &mut spans {
        let parent = span.events.iter().find_map(|event| {
            event.parent_span_id.map(|parent| (event.parent_trace_id.unwrap_or(event.trace_id), parent))
        });
        span.parent = parent.and_then(|parent| by_key.get(&parent).copied());
        span.label = label(&span.events, name_of);
        if parent.is_some() && span.parent.is_none() && !span.events[0].is_root() {
            span.label.push_str(" (parent unknown)");
        }
    }
    spans
}

/// When each run was resumed, the earliest first.
fn resumptions(events: &[TraceEvent]) -> HashMap<TraceId, Vec<Position>> {
    let mut by_trace: HashMap<TraceId, Vec<Position>> = HashMap::new();
    for event in events.iter().filter(|event| event.event_type == WORKFLOW_RESUMED) {
        by_trace.entry(event.trace_id).or_default().push(Position::of(event));
    }
    by_trace.values_mut().for_each(|moments| moments.sort());
    by_trace
}

fn label<'a>(events: &[&TraceEvent], name_of: impl Fn(TraceId, SpanId) -> Option<&'a str>) -> String {
    let (Some(first), Some(last)) = (events.first(), events.last()) else { return String::new() };
    let is_point = events.len() == 1 && last.status != Status::Pending && last.duration_us.is_none();
    let mut label = String::from(if is_point { "- " } else { "" });
    push_name(&mut label, &first.event_type);
    for pair in events.windows(2).filter(|pair| pair[0].event_type != pair[1].event_type) {
        label.push_str(" > ");
        push_name(&mut label, &pair[1].event_type);
    }
    if !is_point || last.status != Status::Success {
        label.push(' ');
        label.push_str(last.status.as_str());
    }
    if let Some(attempt) = last.attempt.or(first.attempt) {
        let _ = write!(label, " attempt {attempt}");
    }
    if let Some(error) = &last.error {
        label.push_str(" [");
        push_name(&mut label, &error.kind);
        label.push(']');
    }
    for tag in distinct(events.iter().flat_map(|event| &event.tags)) {
        label.push_str(" #");
        push_name(&mut label, tag);
    }
    for link in distinct(events.iter().flat_map(|event| &event.links)) {
        let Link { rel, trace_id, span_id } = link;
        let _ = write!(label, " ({} ", rel.as_str());
        match name_of(trace_id.unwrap_or(first.trace_id), *span_id) {
            Some(name) => push_name(&mut label, name),
            None if trace_id.is_some_and(|trace| trace != first.trace_id) => label.push_str("another run"),
            None => label.push_str("an unknown span"),
        }
        label.push(')');
    }
    label
}

fn distinct<'a, T: PartialEq>(items: impl Iterator<Item = &'a T>) -> Vec<&'a T> {
    let mut kept = Vec::new();
    for item in items {
        if !kept.contains(&item) {
            kept.push(item);
        }
    }
    kept
}

/// A name with a line break in it would look like a span of its own.
fn push_name(label: &mut String, name: &str) {
    for c in name.chars() {
        match c.is_control() {
            true => label.extend(c.escape_default()),
            false => label.push(c),
        }
    }
}

/// Makes the earliest span of every cycle of parents a top.
fn cut_cycles(spans: &mut [Span<'_>]) {
    const ON_THE_WAY: usize = usize::MAX;
    // Which walk has passed a span; 0 is none.
    let mut passed = vec![0; spans.len()];
    for start in 0..spans.len() {
        let mut path = Vec::new();
        let mut at = Some(start);
        while let Some(here) = at.filter(|here| passed[*here] == 0) {
            passed[here] = ON_THE_WAY;
            path.push(here);
            at = spans[here].parent;
        }
        if let Some(again) = at.filter(|here| passed[*here] == ON_THE_WAY) {
            let cycle = path.iter().copied().skip_while(|here| *here != again);
            if let Some(earliest) = cycle.min_by_key(|here| spans[*here].start) {
                spans[earliest].parent = None;
                spans[earliest].label.push_str(" (parents form a cycle)");
            }
        }
        path.into_iter().for_each(|here| passed[here] = 1);
    }
}

/// Fills in the children, in their order; gives the spans without a parent.
fn arrange(spans: &mut [Span<'_>]) -> Vec<usize> {
    let mut tops = Vec::new();
    for at in 0..spans.len() {
        match spans[at].parent {
            Some(parent) => spans[parent].children.push(at),
            None => tops.push(at),
        }
    }
    // Parents come before their children in `order`, so that backwards every child is done before its parent.
    let mut order = tops.clone();
    let mut next = 0;
    while let Some(at) = order.get(next).copied() {
        order.extend_from_slice(&spans[at].children);
        next += 1;
    }
    for at in order.into_iter().rev() {
        let mut children = std::mem::take(&mut spans[at].children);
        sort_siblings(spans, &mut children);
        let mut hasher = FxHasher::default();
        spans[at].label.hash(&mut hasher);
        children.iter().for_each(|child| spans[*child].signature.hash(&mut hasher));
        spans[at].signature = hasher.finish();
        spans[at].children = children;
    }
    sort_siblings(spans, &mut tops);
    tops
}

/// Sorts by start, then every stretch of siblings that overlap by name.
fn sort_siblings(spans: &[Span<'_>], siblings: &mut [usize]) {
    siblings.sort_by_key(|at| spans[*at].start);
    let mut from = 0;
    while from < siblings.len() {
        let mut end = spans[siblings[from]].end;
        let mut to = from + 1;
        while to < siblings.len() && end.is_none_or(|end| spans[siblings[to]].start < Some(end)) {
            end = end.and_then(|end| spans[siblings[to]].end.map(|other| other.max(end)));
            to += 1;
        }
        siblings[from..to].sort_by_cached_key(|at| {
            let span = &spans[*at];
            let first = span.events.first();
            (
                first.map(|event| event.event_type.clone()),
                first.and_then(|event| event.attempt),
                span.label.clone(),
                span.signature,
            )
        });
        from = to;
    }
}

fn render(spans: &[Span<'_>], tops: Vec<usize>) -> String {
    let mut text = String::new();
    let mut rest: Vec<(usize, usize)> = tops.into_iter().rev().map(|top| (top, 0)).collect();
    while let Some((at, depth)) = rest.pop() {
        let span = &spans[at];
        let _ = writeln!(text, "{:indent$}{}", "", span.label, indent = 2 * depth.min(DEEPEST_INDENT));
        rest.extend(span.children.iter().rev().map(|child| (*child, depth + 1)));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::{run, sample_log};
    use crate::{Link, Relation, Timestamp};

    #[test]
    fn a_tree_shows_every_kind_of_span() {
        let mut loan = run("loan-approval").key("loan-42");
        let reserve = loan.begin("stage:reserve-funds");
        loan.edit(|event| event.tags.push("compensable".into()));
        loan.point_in(reserve, "business:reserved");
        loan.succeed(reserve);
        loan.point("ai:route");
        loan.edit(|event| event.tags.push("decision".into()));
        for attempt in 1..=2 {
            let sign = loan.begin("stage:sign");
            loan.edit(|event| event.attempt = Some(attempt));
            loan.fail(sign, ["Timeout", "Refused"][attempt as usize - 1], "no");
        }
        let undo = loan.begin("compensate:reserve-funds");
        loan.edit(|event| {
            event.tags.push("compensation".into());
            event.links.push(Link::to(Relation::Compensates, reserve));
            event.links.push(Link::to(Relation::DecidedBy, SpanId::from_u64(99).unwrap()));
            let other = Some(TraceId::from_key("other"));
            event.links.push(Link { rel: Relation::CausedBy, trace_id: other, span_id: reserve });
        });
        loan.succeed(undo);
        loan.begin("stage:archive");
        loan.resume(crate::InstanceId::IMPORTED);
        loan.fail_run("Refused", "no");
        insta::assert_snapshot!(tree(&loan.events()), @"
        workflow:started > workflow:resumed > workflow:failed failed [Refused]
          stage:reserve-funds success #compensable
            - business:reserved
          - ai:route #decision
          stage:sign failed attempt 1 [Timeout]
          stage:sign failed attempt 2 [Refused]
          compensate:reserve-funds success #compensation (compensates stage:reserve-funds) (decided_by an unknown span) (caused_by another run)
          stage:archive pending
        ");
    }

    #[test]
    fn a_child_workflow_stands_below_the_step_that_called_it() {
        let mut outer = run("outer").key("outer");
        let call = outer.begin("stage:call");
        let mut inner = run("inner").key("inner");
        inner.root();
        inner.edit(|event| {
            event.parent_span_id = Some(call);
            event.parent_trace_id = Some(TraceId::from_key("outer"));
        });
        inner.complete_run();
        outer.succeed(call);
        outer.complete_run();
        insta::assert_snapshot!(tree(&[inner.events(), outer.events()].concat()), @"
        workflow:started > workflow:completed success
          stage:call success
            workflow:started > workflow:completed success
        ");
        assert_eq!(tree(&inner.events()), "workflow:started > workflow:completed success\n");
    }

    /// Concurrent steps, then one that comes after them.
    fn concurrent(names: &[&str]) -> Vec<TraceEvent> {
        let mut loan = run("loan-approval").key("loan-1");
        let spans: Vec<_> = names.iter().map(|name| loan.begin(name)).collect();
        for (span, name) in spans.iter().zip(names) {
            // Steps of one name differ in what is below them.
            loan.point_in(*span, if *name == "stage:b" { "business:b" } else { "business:a" });
        }
        spans.into_iter().for_each(|span| loan.succeed(span));
        let last = loan.begin("stage:a-last");
        loan.succeed(last);
        loan.complete_run();
        loan.events()
    }

    #[test]
    fn concurrent_siblings_stand_in_one_order_whichever_starts_first() {
        let one = tree(&concurrent(&["stage:b", "stage:c", "stage:a"]));
        assert_eq!(one, tree(&concurrent(&["stage:a", "stage:b", "stage:c"])));
        insta::assert_snapshot!(one, @"
        workflow:started > workflow:completed success
          stage:a success
            - business:a
          stage:b success
            - business:b
          stage:c success
            - business:a
          stage:a-last success
        ");
    }

    #[test]
    fn concurrent_siblings_of_one_name_stand_in_the_order_of_what_is_below() {
        let with_leaf = |leaves: [&str; 2]| {
            let mut loan = run("loan-approval").key("loan-1");
            let spans = [loan.begin("stage:same"), loan.begin("stage:same")];
            spans.into_iter().zip(leaves).for_each(|(span, leaf)| {
                loan.point_in(span, leaf);
            });
            tree(&loan.events())
        };
        assert_eq!(with_leaf(["business:a", "business:b"]), with_leaf(["business:b", "business:a"]));
    }

    #[test]
    fn what_a_dead_process_left_open_stands_before_what_its_successor_did() {
        let mut loan = run("loan-approval").key("loan-1");
        loan.begin("stage:z");
        loan.resume(crate::InstanceId::from_u64(1));
        for name in ["stage:z", "stage:b", "stage:a"] {
            let span = loan.begin(name);
            loan.succeed(span);
        }
        insta::assert_snapshot!(tree(&loan.events()), @"
        workflow:started > workflow:resumed pending
          stage:z pending
          stage:z success
          stage:b success
          stage:a success
        ");
    }

    #[test]
    fn broken_parents_are_shown_for_what_they_are() {
        let mut loan = run("loan-approval").key("loan-1");
        let [a, b] = [loan.begin("stage:a"), loan.begin("stage:b")];
        let own = loan.begin("stage:its-own-parent");
        let orphan = loan.begin("stage:orphan\nof two lines");
        loan.begin_in(a, "stage:below-a");
        let mut events = loan.events();
        for event in &mut events {
            match event.span_id {
                span if span == a => event.parent_span_id = Some(b),
                span if span == b => event.parent_span_id = Some(a),
                span if span == own => event.parent_span_id = Some(own),
                span if span == orphan => event.parent_span_id = SpanId::from_u64(99),
                _ => {}
            }
        }
        insta::assert_snapshot!(tree(&events), @r"
        stage:a pending (parents form a cycle)
          stage:b pending
          stage:below-a pending
        stage:its-own-parent pending (parents form a cycle)
        stage:orphan\nof two lines pending (parent unknown)
        workflow:started pending
        ");
        assert_eq!(tree(&[]), "");
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_spans_is_rendered() {
        let mut loan = run("deep").key("deep");
        let mut parent = loan.root();
        for _ in 0..100_000 {
            parent = loan.begin_in(parent, "stage:deeper");
        }
        assert_eq!(tree(&loan.events()).lines().count(), 100_001);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_parents_give_each_span_one_line_in_any_order_of_arrival(
            parents in prop::collection::vec(0_u64..30, 1..25),
            seed in any::<u64>(),
        ) {
            let mut events: Vec<_> = parents
                .iter()
                .enumerate()
                .map(|(at, parent)| {
                    let mut event = TraceEvent::new(
                        TraceId::from_key("loan-1"),
                        SpanId::from_u64(at as u64 + 1).unwrap(),
                        "stage:any",
                        Timestamp::from_micros(0).plus(Duration::from_millis(at as u64)),
                        "s",
                    );
                    event.parent_span_id = SpanId::from_u64(*parent);
                    event
                })
                .collect();
            let text = tree(&events);
            prop_assert_eq!(text.lines().count(), events.len());
            shuffle(&mut events, seed);
            prop_assert_eq!(tree(&events), text);
        }

        #[test]
        fn a_log_gives_one_tree_in_any_order_of_arrival(seed in any::<u64>()) {
            let mut log = sample_log(seed, 4, &[]);
            let text = tree(&log);
            shuffle(&mut log, seed);
            prop_assert_eq!(tree(&log), text);
        }
    }

    fn shuffle(events: &mut [TraceEvent], seed: u64) {
        use rand::SeedableRng;
        use rand::seq::SliceRandom;
        events.shuffle(&mut rand::rngs::StdRng::seed_from_u64(seed));
    }
}
