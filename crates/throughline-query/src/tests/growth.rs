//! Explaining takes time in proportion to the run, whatever its shape.

use std::time::{Duration, Instant};

use super::builder::Story;
use throughline_model::names::errors;
use throughline_model::{Relation, SpanId};

/// The time that an explanation takes: the least of several.
/// The least time that two runs take to be explained, by turns: at least five times each, and again for as long as it seems to be
/// out of proportion, for a busy machine may be in the way of one of them.
fn took(
    small: &Story,
    large: &Story,
    is_in_proportion: impl Fn(Duration, Duration) -> bool,
) -> (Duration, Duration) {
    const LEAST: usize = 5;
    const MOST: usize = 50;
    let queries = [small.query(), large.query()];
    let mut least = [Duration::MAX; 2];
    for round in 1..=MOST {
        for (query, least) in queries.iter().zip(&mut least) {
            let began = Instant::now();
            std::hint::black_box(query.explain());
            *least = began.elapsed().min(*least);
        }
        if round >= LEAST && is_in_proportion(least[0], least[1]) {
            break;
        }
    }
    (least[0], least[1])
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

/// One fails beside many others, which say that they were cancelled, and so does the run.
fn stopped(spans: usize) -> Story {
    let (mut s, root) = Story::started("order-1");
    let workers: Vec<SpanId> = (0..spans).map(|_| s.open(root, "stage:worker")).collect();
    for (at, worker) in workers.into_iter().enumerate() {
        let message = if at == 0 { "bad checksum" } else { "the operation was cancelled" };
        s.fail(worker, "Error", message);
    }
    s.fail(root, "Error", "the operation was cancelled");
    s
}

/// Each step is given up within one that ends well.
fn given_up(spans: usize) -> Story {
    let (mut s, root) = Story::started("order-1");
    for _ in 0..spans / 2 {
        let step = s.open(root, "stage:price");
        let call = s.open(step, "dependency:http");
        s.cancel(call).ok(step);
    }
    let last = s.open(root, "stage:total");
    s.fail(last, "Error", "no price").fail(root, "Error", "no price");
    s
}

/// All failed beside each other in ways that code does not put up with, and the error around them says enough by itself.
fn panics(spans: usize) -> Story {
    let (mut s, root) = Story::started("order-1");
    let workers: Vec<SpanId> = (0..spans).map(|_| s.open(root, "stage:worker")).collect();
    for worker in workers {
        s.fail(worker, errors::PANIC, "index out of bounds");
    }
    s.fail(root, "Error", "the card was declined by its issuer");
    s
}

/// Each was given something else, and the message of the failure before it.
fn given(spans: usize) -> Story {
    let (mut s, root) = Story::started("order-1");
    for at in 0..spans {
        let span = s.open(root, "stage:process");
        s.input(serde_json::json!({"order": at, "before": "no such order"})).fail(
            span,
            "Error",
            "no such order",
        );
    }
    s.fail(root, "Error", "batch failed");
    s
}

/// Each item fails, and goes well when it is tried again; but for the last one, in the name of all of which the run fails.
fn items(spans: usize) -> Story {
    let (mut s, root) = Story::started("order-1");
    for at in 0..spans / 2 {
        let name = format!("item:{at}");
        let first = s.open(root, &name);
        s.fail(first, "Error", "locked");
        let second = s.open(root, &name);
        if at + 1 == spans / 2 {
            s.fail(second, "Error", "locked")
        } else {
            s.ok(second)
        };
    }
    s.fail(root, "Error", "import failed");
    s
}

#[test]
fn explaining_takes_time_in_proportion_to_the_run() {
    for (name, shape) in [
        ("wide", wide as fn(usize) -> Story),
        ("deep", deep),
        ("cleaning", cleaning),
        ("linked", linked),
        ("stopped", stopped),
        ("given up", given_up),
        ("items", items),
        ("panics", panics),
        ("given", given),
    ] {
        // Four times as much takes four times as long, and sixteen times if it is quadratic.
        let is_in_proportion = |small: Duration, large: Duration| large < small * 10;
        let (small, large) = took(&shape(1_500), &shape(6_000), is_in_proportion);
        assert!(is_in_proportion(small, large), "{name}: {small:?} and {large:?}");
    }
}
