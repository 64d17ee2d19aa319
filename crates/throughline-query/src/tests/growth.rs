//! Explaining takes time in proportion to the run, whatever its shape.

use std::time::{Duration, Instant};

use super::builder::Story;
use throughline_model::{Relation, SpanId};

/// The time that an explanation takes: the least of several.
fn took(story: &Story) -> Duration {
    let query = story.query();
    let once = || {
        let began = Instant::now();
        std::hint::black_box(query.explain());
        began.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap()
}

/// Each failure is put up with; the last one is not.
fn wide(spans: usize) -> Story {
    let (mut s, root) = Story::started("order-1");
    for _ in 0..spans {
        let span = s.open(root, "tool:grep");
        s.fail(span, "Exit", "exit status 1");
    }
    s.fail(root, "Exit", "exit status 1");
    s
}

/// Each step fails because of the one inside it.
fn deep(spans: usize) -> Story {
    let (mut s, root) = Story::started("order-1");
    let mut open = vec![root];
    for _ in 0..spans {
        let span = s.open(open[open.len() - 1], "stage:inner");
        open.push(span);
    }
    while let Some(span) = open.pop() {
        s.fail(span, "Error", "no answer");
    }
    s
}

/// Each failure cleans up after the one before it, and all say the same as the run.
fn cleaning(spans: usize) -> Story {
    let (mut s, root) = Story::started("order-1");
    for _ in 0..spans {
        let span = s.open(root, "stage:cleanup");
        s.fail(span, "Error", "no answer");
    }
    s.fail(root, "Error", "no answer");
    s
}

/// Each span says that it was brought down by the innermost one.
fn linked(spans: usize) -> Story {
    let mut s = deep(spans);
    let inner = SpanId::from_u64(0xa1 + spans as u64).unwrap();
    for event in &mut s.events {
        if event.seq > 0 && event.span_id != inner {
            event.links.push(throughline_model::Link::to(Relation::FailedBy, inner));
        }
    }
    s
}

#[test]
fn explaining_takes_time_in_proportion_to_the_run() {
    for (name, shape) in
        [("wide", wide as fn(usize) -> Story), ("deep", deep), ("cleaning", cleaning), ("linked", linked)]
    {
        let (small, large) = (took(&shape(1_500)), took(&shape(6_000)));
        // Four times as much takes four times as long, and sixteen times if it is quadratic.
        assert!(large < small * 10, "{name}: {small:?} and {large:?}");
    }
}
