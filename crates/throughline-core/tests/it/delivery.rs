//! The rules of delivery: what a failing store, a slow feed and a panicking sink do to a workflow, and that the report
//! balances through all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use throughline_core::testing::{FaultyStore, MemorySpool};
use throughline_core::{
    AppendError, BoxFuture, DropReason, Durability, EventSink, FeedConfig, InContext as _, Instance,
    LiveFeed, MemoryFeed, MemoryStore, NotRecorded, OpenError, Redaction, Retry, SinkAccount, Status,
    StreamItem, Throughline, ThroughlineBuilder, Timestamp, TraceEvent, TraceStream, WatchRequest, names,
    panics_are_recorded_here,
};

use crate::support::{away, ended, started};

/// Retries that do not make a test wait.
fn quick(attempts: u32) -> Retry {
    Retry::attempts(attempts).delays(Duration::from_micros(10), Duration::from_micros(10))
}

fn with(store: FaultyStore) -> ThroughlineBuilder {
    Throughline::builder("test").store(store).retry(quick(3))
}

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_store_that_comes_back_in_time_is_not_noticed() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = with(faulty).build().unwrap();
    faults.fail_next(2, away);
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    assert_eq!(store.events().len(), 2);
    assert!(throughline.delivery_report().is_complete());
}

#[tokio::test]
async fn a_step_whose_start_cannot_be_recorded_never_runs() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = with(faulty).build().unwrap();
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        faults.fail_next(3, away);
        let error = ctx.trace_infallible("stage:a", async { unreachable!() }).await.unwrap_err();
        assert!(error.is_retryable());
        assert!(error.to_string().contains("`memory` did not accept it after 3 attempt(s)"), "{error}");
        // The store is back: the next step runs.
        ctx.trace_infallible("stage:b", async {}).await.unwrap();
    });
    run.await.unwrap();
    let events = store.events();
    assert!(!events.iter().any(|event| event.event_type == "stage:a"));
    let account = &throughline.delivery_report().destinations[0];
    assert_eq!((account.accepted, account.delivered), (5, 4));
    assert_eq!(account.dropped, [(DropReason::Unavailable, 1)]);
    assert!(account.balances());
}

#[tokio::test]
async fn an_outcome_is_kept_when_its_end_cannot_be_recorded_and_the_next_step_is_what_fails() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = with(faulty).build().unwrap();
    let observer = throughline.clone();
    let run = throughline.workflow("test").run(|ctx| async move {
        let score = ctx
            .trace("stage:a", async {
                faults.fail_next(u64::MAX, away);
                Ok::<_, NotRecorded>(712)
            })
            .await;
        assert_eq!(score.unwrap().unwrap(), 712, "the outcome is the caller's");
        let account = &observer.delivery_report().destinations[0];
        assert_eq!((account.pending, account.dropped.len(), account.balances()), (1, 0, true));
        let next = ctx.trace_infallible("stage:b", async { unreachable!() }).await;
        assert!(matches!(next, Err(NotRecorded::Store { .. })));
        faults.heal();
        Ok::<_, NotRecorded>(())
    });
    run.await.unwrap().unwrap();
    assert_eq!(throughline.flush(SOON).await.destinations[0].pending, 0);
    let events = store.events();
    assert_eq!(ended(&events, "stage:a").status, Status::Success);
    assert_eq!(ended(&events, names::WORKFLOW_COMPLETED).status, Status::Success);
}

#[tokio::test]
async fn an_event_that_is_refused_for_good_is_dropped_alone() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = with(faulty).build().unwrap();
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        faults.fail_next(1, || AppendError::Rejected { index: 0, reason: "too large".to_owned() });
        let error = ctx.event("business:large", serde_json::json!({})).await.unwrap_err();
        assert!(!error.is_retryable() && error.to_string().contains("too large"), "{error}");
    });
    run.await.unwrap();
    assert_eq!(throughline.delivery_report().destinations[0].dropped, [(DropReason::Rejected, 1)]);
    assert_eq!(store.events().len(), 2);
}

#[tokio::test]
async fn a_pipelined_step_begins_before_its_start_is_durable_and_ends_after() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let throughline = with(faulty).durability(Durability::Pipelined).build().unwrap();
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        faults.hold();
        let began = Arc::new(tokio::sync::Notify::new());
        let notify = Arc::clone(&began);
        let step = tokio::spawn(ctx.trace_infallible("stage:a", async move { notify.notify_one() }));
        began.notified().await;
        assert!(!step.is_finished(), "its start is not durable yet");
        faults.release();
        step.await.unwrap().unwrap();
    });
    run.await.unwrap();
    assert!(throughline.delivery_report().is_complete());
}

#[tokio::test]
async fn a_coalesced_step_returns_before_its_end_is_durable_and_what_comes_next_is_not_recorded_before() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = with(faulty).durability(Durability::Coalesced).build().unwrap();
    let (held, stored) = (faults.clone(), store.clone());
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        // It is in a step now, whose start is stored.
        ctx.trace_infallible("stage:a", async { held.hold() }).await.unwrap();
        assert_eq!(stored.events().len(), 2, "the start of the run and that of the step");
        let attempts = held.attempts();
        let next = tokio::spawn(ctx.event("business:next", serde_json::json!({})).into_future());
        held.attempted(attempts + 1).await;
        assert!(!next.is_finished());
        held.release();
        next.await.unwrap().unwrap();
        let stored: Vec<_> =
            stored.events().iter().skip(2).map(|event| event.event_type.to_string()).collect();
        assert_eq!(stored, ["stage:a", "business:next"]);
    });
    run.await.unwrap();
    assert!(throughline.delivery_report().is_complete());
}

#[tokio::test]
async fn settled_waits_for_the_ends_of_steps_that_have_returned() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = with(faulty).durability(Durability::Coalesced).build().unwrap();
    let (held, stored) = (faults.clone(), store.clone());
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        ctx.settled().await.expect("nothing has to be recorded");
        ctx.trace_infallible("stage:a", async { held.hold() }).await.unwrap();
        let attempts = held.attempts();
        let settled = [tokio::spawn(ctx.settled()), tokio::spawn(ctx.settled())];
        held.attempted(attempts + 1).await;
        assert!(settled.iter().all(|settled| !settled.is_finished()));
        held.release();
        for settled in settled {
            settled.await.unwrap().unwrap();
        }
        assert_eq!(stored.events().len(), 3);

        // What can't be recorded is said, and stays pending.
        let faults = held.clone();
        let fail = async move { faults.fail_next(u64::MAX, away) };
        ctx.trace_infallible("stage:b", fail).await.unwrap();
        let error = ctx.settled().await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        held.heal();
        ctx.trace_infallible("stage:c", async {}).await.unwrap();
        ctx.settled().await.unwrap();
    });
    run.await.unwrap();
    assert!(throughline.delivery_report().is_complete());
    assert_eq!(store.events().len(), 8);
}

#[tokio::test]
async fn an_end_that_nothing_follows_is_stored_by_itself() {
    let store = MemoryStore::new();
    let throughline =
        with(FaultyStore::around(store.clone())).durability(Durability::Coalesced).build().unwrap();
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        ctx.trace_infallible("stage:a", async {}).await.unwrap();
        let stored = tokio::task::spawn_blocking(move || {
            while store.events().len() < 3 {
                std::thread::yield_now();
            }
        });
        stored.await.unwrap();
    });
    run.await.unwrap();
}

#[tokio::test]
async fn steps_wait_for_room_and_none_is_lost() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = with(faulty).queue_capacity(4).build().unwrap();
    faults.hold();
    let runs: Vec<_> =
        (0..50).map(|_| tokio::spawn(throughline.workflow("test").run_infallible(|_| async {}))).collect();
    faults.attempted(1).await;
    assert!(throughline.delivery_report().destinations[0].pending <= 4, "bounded");
    faults.release();
    for run in runs {
        run.await.unwrap().unwrap();
    }
    assert_eq!(store.events().len(), 100);
    assert!(throughline.delivery_report().is_complete());
}

#[tokio::test]
async fn steps_that_nest_never_wait_for_each_others_room() {
    let store = MemoryStore::new();
    let throughline = with(FaultyStore::around(store.clone())).queue_capacity(2).build().unwrap();
    let all_open = Arc::new(tokio::sync::Barrier::new(16));
    let runs: Vec<_> = (0..16)
        .map(|_| {
            let all_open = Arc::clone(&all_open);
            tokio::spawn(throughline.workflow("test").run_infallible(|ctx| async move {
                all_open.wait().await;
                ctx.trace_infallible("stage:a", async {}).await.unwrap();
            }))
        })
        .collect();
    for run in runs {
        tokio::time::timeout(SOON, run).await.expect("no deadlock").unwrap().unwrap();
    }
    assert_eq!(store.events().len(), 64);
}

#[tokio::test]
async fn cancelled_steps_find_room_in_a_full_queue() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = with(faulty).queue_capacity(1).build().unwrap();
    let running = Arc::new(tokio::sync::Notify::new());
    let notify = Arc::clone(&running);
    let run = tokio::spawn(throughline.workflow("test").run_infallible(|ctx| async move {
        let hang = async move {
            notify.notify_one();
            std::future::pending::<()>().await;
        };
        ctx.trace_infallible("stage:a", hang).await.unwrap();
    }));
    running.notified().await;
    faults.hold();
    // The only place is held by the start of another.
    let waiting = tokio::spawn(throughline.workflow("other").run_infallible(|_| async {}));
    faults.attempted(3).await;
    run.abort();
    assert!(run.await.is_err());
    faults.release();
    waiting.await.unwrap().unwrap();
    assert!(throughline.flush(SOON).await.is_complete());
    let cancelled = store.events().iter().filter(|event| event.status == Status::Cancelled).count();
    assert_eq!(cancelled, 2);
}

#[tokio::test]
async fn shutdown_returns_in_time_whatever_the_store_does_and_tells_the_truth() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let throughline = with(faulty).build().unwrap();
    faults.hold();
    let run = tokio::spawn(throughline.workflow("test").run_infallible(|_| async {}));
    faults.attempted(1).await;
    let begun = Instant::now();
    let report = throughline.shutdown(Duration::from_millis(500)).await;
    assert!(begun.elapsed() < SOON);
    assert!(!report.is_complete());
    assert_eq!(report.destinations[0].dropped, [(DropReason::Shutdown, 1)], "{report}");
    assert!(report.destinations[0].balances());
    let late = throughline.workflow("late").run_infallible(|_| async {}).await;
    assert!(matches!(late, Err(NotRecorded::ShutDown)));
    faults.release();
    let _ = run.await.unwrap();
}

#[tokio::test]
async fn what_a_failing_store_never_took_is_counted_as_lost_at_shutdown() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let throughline = with(faulty).build().unwrap();
    let run = throughline.workflow("test").run_infallible(|_| async { faults.fail_next(u64::MAX, away) });
    run.await.unwrap();
    let report = throughline.shutdown(Duration::from_secs(2)).await;
    assert_eq!(report.destinations[0].dropped, [(DropReason::Shutdown, 1)], "{report}");
    assert!(report.destinations[0].balances());
}

#[tokio::test]
async fn with_a_spool_the_workflow_goes_on_and_the_store_gets_everything_in_order() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let (faults, spool) = (faulty.faults(), MemorySpool::default());
    let throughline = with(faulty).spool(spool.clone()).build().unwrap();
    let observer = throughline.clone();
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        faults.fail_next(u64::MAX, away);
        for step in ["stage:a", "stage:b", "stage:c"] {
            ctx.trace_infallible(step, async {}).await.unwrap();
        }
        let account = &observer.delivery_report().destinations[0];
        assert_eq!((account.delivered, account.pending, account.balances()), (1, 6, true));
        let queue = account.queue.unwrap();
        assert!((queue.waiting, queue.capacity) < (7, 8_193), "{queue:?}");
        let failure = account.last_failure.clone().expect("the store was away");
        assert!(failure.reason.contains("away") && failure.at <= Timestamp::now(), "{failure:?}");
        let waiting = observer.outbox().unwrap().usage().await.unwrap();
        assert!((1..=6).contains(&waiting.events), "{waiting:?}");
        faults.heal();
    });
    run.await.unwrap();
    assert!(throughline.flush(SOON).await.is_complete());
    assert!(spool.events().is_empty());
    let order: Vec<_> = store.events().iter().map(|event| event.n).collect();
    assert_eq!(order, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn what_an_earlier_process_left_in_the_spool_is_delivered() {
    let spool = MemorySpool::default();
    let faulty = FaultyStore::around(MemoryStore::new());
    faulty.faults().fail_next(u64::MAX, away);
    let earlier = with(faulty).spool(spool.clone()).build().unwrap();
    earlier.workflow("test").run_infallible(|_| async {}).await.unwrap();
    let report = earlier.shutdown(SOON).await;
    assert_eq!(
        (report.destinations[0].pending, report.destinations[0].dropped()),
        (2, 0),
        "safe in the spool: {report}"
    );

    let store = MemoryStore::new();
    let later = Throughline::builder("test").store(store.clone()).spool(spool).build().unwrap();
    assert!(later.flush(SOON).await.is_complete());
    assert_eq!(store.events().len(), 2);
}

struct Counting(Arc<AtomicU64>);

impl EventSink for Counting {
    fn name(&self) -> &str {
        "counting"
    }
    fn on_event(&self, event: &Arc<TraceEvent>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        assert!(event.event_type != "stage:bad", "this sink panics on it");
    }
}

#[tokio::test]
async fn a_sink_that_panics_harms_nobody_and_is_counted() {
    let seen = Arc::new(AtomicU64::new(0));
    let throughline = Throughline::builder("test").sink(Counting(Arc::clone(&seen))).build().unwrap();
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        ctx.trace_infallible("stage:bad", async {}).await.unwrap();
        ctx.trace_infallible("stage:good", async {}).await.unwrap();
    });
    run.await.unwrap();
    let account = &throughline.delivery_report().destinations[0];
    assert_eq!((account.accepted, account.delivered), (6, 4));
    assert_eq!(account.dropped, [(DropReason::Panicked, 2)]);
    assert_eq!(seen.load(Ordering::Relaxed), 6);
}

/// A sink that sends on by itself, and panics on one event.
struct Sending;

impl EventSink for Sending {
    fn name(&self) -> &str {
        "sending"
    }
    fn on_event(&self, event: &Arc<TraceEvent>) {
        assert!(event.event_type != "stage:bad" || event.seq > 0, "this sink panics on it");
    }
    fn account(&self) -> Option<SinkAccount> {
        let dropped = [(DropReason::RateLimited, 2), (DropReason::Panicked, 1)].into();
        Some(SinkAccount { accepted: 10, delivered: 4, dropped })
    }
}

#[tokio::test]
async fn a_sink_that_sends_on_by_itself_says_what_became_of_that_and_its_panics_are_added() {
    let throughline = Throughline::builder("test").sink(Sending).build().unwrap();
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        ctx.trace_infallible("stage:bad", async {}).await.unwrap();
    });
    run.await.unwrap();
    let account = &throughline.delivery_report().destinations[0];
    assert_eq!((account.accepted, account.delivered, account.pending), (11, 4, 3));
    assert_eq!(account.dropped, [(DropReason::Panicked, 2), (DropReason::RateLimited, 2)]);
    assert!(account.balances());
}

#[tokio::test]
async fn code_is_told_whether_its_panic_would_be_recorded() {
    let throughline = Throughline::builder("test").store(MemoryStore::new()).build().unwrap();
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        let here = panics_are_recorded_here();
        let of_a_task = tokio::spawn(async { panics_are_recorded_here() }.in_context(&ctx)).await.unwrap();
        (here, of_a_task)
    });
    assert_eq!(run.await.unwrap(), (true, false));
    assert!(!panics_are_recorded_here());
}

/// A feed that takes nothing until it is let.
#[derive(Clone)]
struct Stuck(Arc<tokio::sync::Semaphore>);

impl FeedConfig for Stuck {
    fn open(&self, _: Instance) -> BoxFuture<'static, Result<Arc<dyn LiveFeed>, OpenError>> {
        let feed = self.clone();
        Box::pin(async move { Ok(Arc::new(feed) as Arc<dyn LiveFeed>) })
    }
    fn open_stream(&self) -> BoxFuture<'static, Result<Option<Arc<dyn TraceStream>>, OpenError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

impl LiveFeed for Stuck {
    fn name(&self) -> &str {
        "stuck"
    }
    fn publish<'a>(&'a self, _events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async {
            let _ = self.0.acquire().await;
            Ok(())
        })
    }
    fn stream(&self) -> Option<Arc<dyn TraceStream>> {
        None
    }
}

#[tokio::test]
async fn a_stuck_feed_is_never_waited_for_and_what_it_misses_is_counted() {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let throughline =
        Throughline::builder("test").feed(Stuck(Arc::clone(&gate))).queue_capacity(8).build().unwrap();
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        for _ in 0..100 {
            ctx.trace_infallible("stage:a", async {}).await.unwrap();
        }
    });
    run.await.unwrap();
    let account = &throughline.delivery_report().destinations[0];
    assert_eq!((account.accepted, account.pending), (202, 8));
    assert!(account.balances());
    gate.add_permits(1000);
    let account = &throughline.shutdown(SOON).await.destinations[0];
    assert_eq!((account.delivered, account.pending), (8, 0));
    assert_eq!(account.dropped, [(DropReason::QueueFull, 194)]);
}

#[tokio::test]
async fn a_watcher_of_the_feed_sees_a_run_as_it_happens() {
    let throughline = Throughline::builder("test").feed(MemoryFeed::new()).build().unwrap();
    let mut watch = throughline.stream().unwrap().watch(WatchRequest::new()).await.unwrap();
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    for expected in [names::WORKFLOW_STARTED, names::WORKFLOW_COMPLETED] {
        let StreamItem::Event { event, .. } = watch.next().await.unwrap().unwrap() else {
            panic!("nothing was missed")
        };
        assert_eq!(event.event_type, expected);
    }
}

#[tokio::test]
async fn an_emitter_that_is_shut_down_gives_its_lease_back() {
    let store = MemoryStore::new();
    let throughline = Throughline::builder("test").store(store.clone()).build().unwrap();
    let reader = throughline.reader().unwrap();
    let run =
        Box::pin(throughline.workflow("test").key("k").run_infallible(|_| std::future::pending::<()>()));
    let mut run = std::mem::ManuallyDrop::new(run);
    let pending = std::future::poll_fn(|cx| std::task::Poll::Ready(run.as_mut().poll(cx).is_pending()));
    assert!(pending.await);
    while store.events().is_empty() {
        tokio::task::yield_now().await;
    }
    let instance = started(&store.events(), names::WORKFLOW_STARTED).instance;
    throughline.shutdown(SOON).await;
    let liveness = reader.liveness(&[instance]).await.unwrap();
    assert_eq!(liveness, [throughline_core::Liveness::Dead]);
}

#[tokio::test]
async fn a_key_that_looks_like_personal_data_is_kept_as_a_pseudonym() {
    let mail = "ada@example.org";
    let store = MemoryStore::new();
    let redaction = Redaction::standard().pseudonym_key("a secret of this test");
    let with = Throughline::builder("test").store(store.clone()).redaction(redaction).build().unwrap();
    with.workflow("test").key(mail).attr("user", mail).run_infallible(|_| async {}).await.unwrap();
    let event = started(&store.events(), names::WORKFLOW_STARTED);
    let pseudonym = with.findable(mail);
    assert_eq!(event.correlation_id.as_ref(), Some(&pseudonym));
    assert_eq!(event.attrs.get("user"), Some(pseudonym.as_str()));
    assert_ne!(pseudonym, mail);
}
