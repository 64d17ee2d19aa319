//! What was different in another run.

use serde_json::json;

use super::builder::Story;
use crate::{Diff, DivergenceKind, Style};
use throughline_model::SpanId;

/// A run with these steps, each 10 ms; a step in the second list fails.
fn run(key: &'static str, steps: &[&str], fails: &[&str]) -> (Story, SpanId) {
    let (mut s, root) = Story::started(key);
    for step in steps {
        let span = s.open(root, step);
        s.wait(10);
        if fails.contains(step) {
            s.fail(span, "Error", "no")
        } else {
            s.ok(span)
        };
    }
    if fails.is_empty() {
        s.ok(root)
    } else {
        s.fail(root, "Error", "no")
    };
    (s, root)
}

fn diff(here: &Story, there: &Story) -> Diff {
    here.query().diff(&there.query())
}

#[test]
fn the_same_steps_with_the_same_ends_are_the_same() {
    let here = run("loan-1", &["a:a", "a:b"], &[]).0;
    let there = run("loan-2", &["a:a", "a:b"], &[]).0;
    assert!(diff(&here, &there).is_same());
}

#[test]
fn a_step_that_was_skipped_diverges_before_the_failure_that_follows() {
    let here = run("loan-1", &["a:a", "a:c"], &["a:c"]).0;
    let there = run("loan-2", &["a:a", "a:b", "a:c"], &[]).0;
    let first = diff(&here, &there).first_divergence.unwrap();
    assert_eq!((first.kind, first.span.name.as_str()), (DivergenceKind::OnlyThere, "a:b"));
}

#[test]
fn a_failure_diverges_before_what_it_kept_from_happening() {
    let here = run("loan-1", &["a:a", "a:b"], &["a:b"]).0;
    let there = run("loan-2", &["a:a", "a:b", "a:c"], &[]).0;
    let diff = diff(&here, &there);
    let first = diff.first_divergence.unwrap();
    assert_eq!((first.kind, first.path.as_str()), (DivergenceKind::State, "workflow:loan-approval › a:b"));
    assert_eq!(diff.only_there[0].path, "workflow:loan-approval › a:c");
}

#[test]
fn repeated_steps_are_compared_by_their_number() {
    let here = run("loan-1", &["a:poll", "a:poll", "a:poll"], &[]).0;
    let there = run("loan-2", &["a:poll", "a:poll"], &[]).0;
    let diff = diff(&here, &there);
    assert_eq!(diff.only_here[0].path, "workflow:loan-approval › a:poll#3");
    assert!(diff.only_there.is_empty() && diff.changed.is_empty());
}

#[test]
fn the_span_that_got_slow_is_named_and_not_those_around_it() {
    let (mut here, root) = Story::started("loan-1");
    let step = here.open(root, "a:a");
    here.step(step, "dependency:db", 500);
    here.wait(1).ok(step).ok(root);
    let (mut there, root) = Story::started("loan-2");
    let step = there.open(root, "a:a");
    there.step(step, "dependency:db", 10);
    there.wait(1).ok(step).ok(root);
    let diff = diff(&here, &there);
    assert!(diff.is_same(), "time alone makes no other run");
    let slower: Vec<_> = diff.slower.iter().map(|span| span.path.as_str()).collect();
    assert_eq!(slower, ["workflow:loan-approval › a:a › dependency:db"]);
}

#[test]
fn inputs_are_taken_apart_where_they_differ() {
    let query_of = |key, amount: u32, fails: bool| {
        let (mut s, root) = Story::started(key);
        s.input(json!({"loan": {"amount": amount, "terms": [12, 24]}, "a/b": 1}));
        let step = s.open(root, "a:a");
        s.wait(1);
        if fails {
            s.fail(step, "Error", "no").fail(root, "Error", "no")
        } else {
            s.ok(step).ok(root)
        };
        s
    };
    let diff = diff(&query_of("loan-1", 5, true), &query_of("loan-2", 7, false));
    let inputs: Vec<_> = diff.inputs.iter().map(|input| input.pointer.as_str()).collect();
    assert_eq!(inputs, ["/loan/amount"]);
    insta::assert_snapshot!(diff.render(&Style::plain()));
}

#[test]
fn a_run_without_events_differs_in_everything() {
    let here = run("loan-1", &["a:a"], &[]).0;
    let diff = here.query().diff(&crate::TraceQuery::new(Vec::new()));
    assert_eq!((diff.only_here.len(), diff.only_here[0].below), (1, 1));
    insta::assert_snapshot!(diff.render(&Style::plain()));
}
