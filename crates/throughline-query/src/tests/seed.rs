//! The whole list of questions that the library was asked for.

use std::time::Duration;

use super::builder::{Story, name};
use super::loan;
use crate::Style;
use crate::TraceQuery;
use throughline_model::SpanId;

fn names<'q>(spans: impl Iterator<Item = crate::Span<'q>>) -> Vec<String> {
    spans.map(name).collect()
}

#[test]
fn the_root_and_its_children() {
    let query = loan::refused().query();
    let root = query.root().unwrap();
    assert_eq!(root.name(), "workflow:loan-approval");
    assert!(root.is_workflow() && root.parent().is_none());
    assert_eq!(names(query.children(root.id())), ["saga:loan-approval"]);
    assert_eq!(query.children(SpanId::from_u64(9).unwrap()).count(), 0);
}

#[test]
fn successes_and_what_is_pending() {
    let (mut s, root) = Story::started("loan-1");
    s.step(root, "stage:a", 1);
    s.open(root, "stage:b");
    let query = s.query();
    assert_eq!(names(query.successes()), ["stage:a"]);
    assert_eq!(names(query.pending()), ["workflow:loan-approval", "stage:b"]);
}

#[test]
fn spans_are_found_by_type_by_prefix_and_by_tag() {
    let query = loan::refused().query();
    assert_eq!(query.find_by_type("stage:credit-check").count(), 2);
    assert_eq!(query.find_by_type("compensate:*").count(), 2);
    assert_eq!(names(query.find_by_type("saga:failed")), ["saga:loan-approval"], "any of its events will do");
    assert_eq!(names(query.find_by_tag("compensable")), ["stage:open-customer-file", "stage:hold-limit"]);
    assert_eq!(query.compensations().count(), 2);
}

#[test]
fn a_span_knows_its_events_times_input_and_output() {
    let query = loan::refused().query();
    let check = query.find_by_type("stage:credit-check").nth(1).unwrap();
    assert_eq!((check.events().count(), check.attempt()), (2, Some(2)));
    assert_eq!(check.duration(), Some(Duration::from_millis(180)));
    assert_eq!(check.input().unwrap()["customer"], "c-901");
    assert_eq!(check.output().unwrap()["score"], 611);
    assert_eq!(check.linked(throughline_model::Relation::RetryOf).count(), 1);
    assert!(check.start().is_some() && check.end().is_some() && !check.is_point());
    assert_eq!(query.find_by_type("ai:route").next().unwrap().duration(), None, "a point takes no time");
}

#[test]
fn the_duration_is_that_of_all_events() {
    assert_eq!(loan::refused().query().duration(), Duration::from_millis(874));
}

#[test]
fn the_summary_is_the_line_of_a_list() {
    let summary = loan::refused().query().summary().unwrap();
    assert_eq!(summary.correlation_id.as_deref(), Some("loan-42"));
    assert_eq!(summary.duration_us, Some(874_000));
    assert_eq!(summary.first_failure.unwrap().event_type, "dependency:http");
}

#[test]
fn no_events_are_no_trouble() {
    let query = TraceQuery::new(Vec::new());
    let style = Style::plain();
    assert!(query.root().is_none() && query.failure().is_none() && query.summary().is_none());
    assert!(query.span(SpanId::from_u64(1).unwrap()).is_none());
    assert_eq!(query.duration(), Duration::ZERO);
    assert!(query.compensation_ledger().is_clean() && query.problems().is_empty());
    for text in [
        query.explain().render(&style),
        query.tree().render(&style),
        query.timeline().render(&style),
        query.compensation_ledger().render(&style),
        query.decisions().render(&style),
    ] {
        assert_eq!(text, "no events\n");
    }
    assert!(query.diff(&query).is_same());
}

#[test]
fn debug_is_a_line_and_not_the_events() {
    assert_eq!(
        format!("{:?}", loan::refused().query()),
        "TraceQuery { trace_id: Some(a74f87c4edc5996be151c8bf95961ad8), events: 28, spans: 15, .. }"
    );
}
