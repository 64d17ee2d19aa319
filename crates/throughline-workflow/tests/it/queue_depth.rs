//! How the depth of a queue is asked for.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use throughline_workflow::QueueDepth;
use tokio::runtime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::logs::logs;
use crate::support::Bench;

enum Answer {
    Depth(u64),
    Error(&'static str),
    Silence,
    Panic,
}
use Answer::*;

/// A queue that gives these answers and then none, and tells when it is asked. On a runtime of one thread an answer has
/// been noted when the test hears of the question, for the task that asks goes on until it has to wait; on others when
/// the test hears of the next.
fn queue(answers: impl IntoIterator<Item = Answer>) -> (impl Ask, mpsc::UnboundedReceiver<Instant>) {
    let mut answers = answers.into_iter().collect::<Vec<_>>().into_iter();
    let (asked, was_asked) = mpsc::unbounded_channel();
    let ask = move || -> BoxFuture<'static, Result<u64, &'static str>> {
        asked.send(Instant::now()).unwrap();
        match answers.next().unwrap_or(Silence) {
            Depth(depth) => Box::pin(async move { Ok(depth) }),
            Error(error) => Box::pin(async move { Err(error) }),
            Silence => Box::pin(pending()),
            Panic => panic!("the client is broken"),
        }
    };
    (ask, was_asked)
}

trait Ask: FnMut() -> BoxFuture<'static, Result<u64, &'static str>> + Send + 'static {}
impl<F: FnMut() -> BoxFuture<'static, Result<u64, &'static str>> + Send + 'static> Ask for F {}

#[tokio::test(start_paused = true)]
async fn a_queue_is_asked_at_once_and_then_at_the_interval_after_each_answer() {
    let bench = Bench::new();
    let (ask, mut was_asked) = queue([Depth(3), Depth(5), Silence, Depth(8)]);
    let begun = Instant::now();
    let minute = Duration::from_secs(60);
    let depth = QueueDepth::of("emails", ask).every(minute).start(&bench.throughline).unwrap();
    let mut asked_after = Vec::new();
    for latest in [Some(3), Some(5), Some(5), Some(8), Some(8)] {
        let asked = was_asked.recv().await.unwrap();
        asked_after.push((asked - begun).as_secs());
        assert_eq!(depth.latest(), latest);
    }
    // The third answer was waited for for five seconds.
    assert_eq!(asked_after, [0, 60, 120, 185, 245]);
    assert_eq!(bench.series("queue_depth{"), "queue_depth{queue=emails} 8");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_does_not_answer_is_logged_once_a_change_and_counted() {
    let bench = Bench::new();
    let (logs, _guard) = logs();
    let (ask, mut was_asked) = queue([
        Depth(3),
        Error("no route to amqp://ada:hunter2@broker"),
        Error("no route to amqp://ada:hunter2@broker"),
        Depth(4),
        Error("gone"),
        Panic,
        Silence,
        Silence,
        Depth(5),
    ]);
    let timeout = Duration::from_millis(1500);
    let depth = QueueDepth::of("emails", ask).timeout(timeout).start(&bench.throughline).unwrap();
    for _ in 0..3 {
        was_asked.recv().await.unwrap();
    }
    assert_eq!(depth.error().unwrap(), "no route to amqp://ada:[redacted:password]@broker");
    for _ in 0..7 {
        was_asked.recv().await.unwrap();
    }
    assert_eq!((depth.latest(), depth.failures(), depth.error()), (Some(5), 6, None));
    insta::assert_snapshot!(logs.text(), @r#"
     WARN the depth of a queue is unknown queue=emails reason="error" error=no route to amqp://ada:[redacted:password]@broker
     INFO the depth of a queue is known again queue=emails depth=4
     WARN the depth of a queue is unknown queue=emails reason="error" error=gone
     WARN the depth of a queue is unknown queue=emails reason="panic" error=the closure panicked
     WARN the depth of a queue is unknown queue=emails reason="timeout" error=no answer within 1.5s
     INFO the depth of a queue is known again queue=emails depth=5
    "#);
    insta::assert_snapshot!(bench.series("queue_depth"), @"
    queue_depth_failures_total{queue=emails, reason=error} 3
    queue_depth_failures_total{queue=emails, reason=panic} 1
    queue_depth_failures_total{queue=emails, reason=timeout} 2
    queue_depth{queue=emails} 5
    ");
}

#[tokio::test(start_paused = true)]
async fn after_three_failures_in_a_row_nobody_knows_the_depth() {
    let bench = Bench::new();
    let (ask, mut was_asked) = queue([Depth(3), Error("a"), Error("b"), Error("c"), Depth(4)]);
    let depth = QueueDepth::of("emails", ask).start(&bench.throughline).unwrap();
    for latest in [Some(3), Some(3), Some(3), None] {
        was_asked.recv().await.unwrap();
        assert_eq!(depth.latest(), latest);
    }
    assert_eq!(bench.series("queue_depth{"), "queue_depth{queue=emails} NaN");
    was_asked.recv().await.unwrap();
    assert_eq!(depth.latest(), Some(4));
}

#[tokio::test(start_paused = true)]
async fn when_the_guard_is_dropped_the_task_is_gone_and_nobody_knows_the_depth() {
    let bench = Bench::new();
    let (ask, mut was_asked) = queue([Depth(3)]);
    let depth = QueueDepth::of("emails", ask).start(&bench.throughline).unwrap();
    was_asked.recv().await.unwrap();
    assert_eq!(depth.latest(), Some(3));
    drop(depth);
    // The closure holds the other end: it is dropped with the task.
    assert_eq!(was_asked.recv().await, None);
    assert_eq!(bench.series("queue_depth{"), "queue_depth{queue=emails} NaN");
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_is_replaced_leaves_the_gauge_to_the_one_that_replaces_it() {
    let bench = Bench::new();
    let (ask, mut first_was_asked) = queue([Depth(3)]);
    let first = QueueDepth::of("emails", ask).start(&bench.throughline).unwrap();
    first_was_asked.recv().await.unwrap();
    let (ask, mut second_was_asked) = queue([Depth(4), Error("a"), Error("b"), Error("c")]);
    let second = QueueDepth::of("emails", ask).start(&bench.throughline).unwrap();
    second_was_asked.recv().await.unwrap();
    drop(first);
    assert_eq!(first_was_asked.recv().await, None);
    assert_eq!(bench.series("queue_depth{"), "queue_depth{queue=emails} 4");
    for _ in 0..4 {
        second_was_asked.recv().await.unwrap();
    }
    assert_eq!(bench.series("queue_depth{"), "queue_depth{queue=emails} NaN");

    // The same for those that are asked when somebody looks, and for another emitter all is its own.
    let depth = |depth| QueueDepth::on_collect(&bench.throughline, "letters", move || depth);
    let letters = depth(Some(3));
    let other = Bench::new();
    let others = QueueDepth::on_collect(&other.throughline, "letters", || Some(9));
    let again = depth(Some(4));
    bench.metrics.collect();
    drop(letters);
    assert_eq!(bench.series("queue_depth{queue=letters"), "queue_depth{queue=letters} 4");
    other.metrics.collect();
    drop(others);
    assert_eq!(other.series("queue_depth"), "queue_depth{queue=letters} NaN");
    drop((again, second));
    assert_eq!(bench.series("queue_depth{queue=letters"), "queue_depth{queue=letters} NaN");
}

#[test]
fn without_a_runtime_it_says_what_to_do() {
    let bench = Bench::new();
    let (ask, _) = queue([]);
    let refused = QueueDepth::of("emails", ask).start(&bench.throughline).unwrap_err();
    insta::assert_snapshot!(refused, @"a tokio task asks for the depth of the queue `emails`, and there is no runtime here: call start() within one, or pass one with .on(handle)");
}

#[test]
fn a_runtime_that_is_given_asks_and_its_end_harms_nobody() {
    let bench = Bench::new();
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let (ask, mut was_asked) = queue([Depth(3)]);
    let depth = QueueDepth::of("emails", ask).on(runtime.handle().clone());
    let depth = depth.every(Duration::ZERO).start(&bench.throughline).unwrap();
    was_asked.blocking_recv().unwrap();
    was_asked.blocking_recv().unwrap();
    assert_eq!(depth.latest(), Some(3));
    drop(runtime);
    assert_eq!(was_asked.blocking_recv(), None);
    assert_eq!(depth.latest(), None);
}

#[test]
fn a_runtime_without_timers_is_told_what_it_lacks() {
    let bench = Bench::new();
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let (ask, mut was_asked) = queue([Depth(3)]);
    let depth = QueueDepth::of("emails", ask).on(runtime.handle().clone()).start(&bench.throughline).unwrap();
    assert_eq!(was_asked.blocking_recv(), None);
    assert_eq!(depth.error().unwrap(), "the runtime has no timers: build it with enable_time()");
    let failures = bench.series("queue_depth_failures");
    assert_eq!(failures, "queue_depth_failures_total{queue=emails, reason=no_timers} 1");
}

#[tokio::test(start_paused = true)]
async fn an_error_that_cannot_even_be_printed_harms_nobody() {
    struct Unprintable;
    impl std::fmt::Display for Unprintable {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("no text");
        }
    }
    let bench = Bench::new();
    let (asked, mut was_asked) = mpsc::unbounded_channel();
    let ask = move || {
        asked.send(()).unwrap();
        async { Err::<u64, _>(Unprintable) }
    };
    let depth = QueueDepth::of("emails", ask).start(&bench.throughline).unwrap();
    was_asked.recv().await.unwrap();
    was_asked.recv().await.unwrap();
    assert_eq!((depth.failures(), depth.error().unwrap()), (2, "the closure panicked".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn without_metrics_the_depth_is_known_all_the_same() {
    let throughline = throughline_core::Throughline::builder("test").disabled(true).build().unwrap();
    let (ask, mut was_asked) = queue([Depth(3)]);
    let depth = QueueDepth::of("emails", ask).start(&throughline).unwrap();
    was_asked.recv().await.unwrap();
    assert_eq!(depth.latest(), Some(3));
}

#[test]
fn a_queue_in_memory_is_asked_when_somebody_looks_until_its_guard_is_dropped() {
    let bench = Bench::new();
    let queue = Arc::new(Mutex::new(vec!["to ada", "to bob"]));
    let weak = Arc::downgrade(&queue);
    let depth = QueueDepth::on_collect(&bench.throughline, "emails", move || {
        Some(weak.upgrade()?.lock().unwrap().len() as u64)
    });
    let looked_at = || {
        bench.metrics.collect();
        bench.series("queue_depth")
    };
    assert_eq!(looked_at(), "queue_depth{queue=emails} 2");
    queue.lock().unwrap().pop();
    assert_eq!(looked_at(), "queue_depth{queue=emails} 1");
    drop(depth);
    assert_eq!(looked_at(), "queue_depth{queue=emails} NaN");
}

#[test]
fn a_queue_in_memory_that_is_gone_has_no_depth() {
    let bench = Bench::new();
    let _depth = QueueDepth::on_collect(&bench.throughline, "emails", || None);
    bench.metrics.collect();
    assert_eq!(bench.series("queue_depth"), "queue_depth{queue=emails} NaN");
}
