//! Destinations that hang, panic and lose their answers, and what an emitter makes of that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use throughline_core::testing::{FaultyFeed, FaultySpool, FaultyStore, MemorySpool, run};
use throughline_core::{
    BoxFuture, DropReason, Durability, EventSink, Filter, Instance, InstanceId, MemoryFeed, MemoryStore,
    NotRecorded, OpenError, Page, Readers, SinkAccount, Throughline, TraceEvent,
};

use crate::support::{SOON, away, impatient, start_endless};

#[tokio::test]
async fn a_store_that_hangs_is_given_up_after_its_deadline() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let retry = impatient(2).attempt_timeout(Duration::from_millis(250));
    let throughline = Throughline::builder("test").store(faulty).retry(retry).build().unwrap();
    faults.append().hold();
    let run = throughline.workflow("test").run_infallible(|_| async {});
    let error = run.await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("did not respond within 250ms"), "{error}");
    assert_eq!(faults.append().attempts(), 2);
    let account = &throughline.delivery_report().destinations[0];
    assert_eq!((account.balances(), &*account.dropped), (true, &[(DropReason::Unavailable, 1)][..]));
}

#[tokio::test]
async fn an_append_that_was_not_answered_in_time_is_repeated_and_stored_once() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).retry(impatient(3)).build().unwrap();
    faults.append().never_answer_next(1);
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    assert_eq!(store.events().len(), 2);
    assert!(throughline.flush(SOON).await.is_complete());
}

#[tokio::test]
async fn a_store_that_panics_is_asked_again_and_one_that_always_panics_is_an_error() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).retry(impatient(3)).build().unwrap();
    faults.append().panic_next(2);
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    assert_eq!(store.events().len(), 2);

    faults.append().panic_next(u64::MAX);
    let error = throughline.workflow("test").run_infallible(|_| async {}).await.unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    faults.append().heal();
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    assert!(throughline.shutdown(SOON).await.destinations[0].balances());
}

#[tokio::test]
async fn a_store_that_hangs_when_it_is_closed_does_not_hold_up_the_shutdown() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).build().unwrap();
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    faults.close().hold();
    let begun = Instant::now();
    let report = throughline.shutdown(Duration::from_millis(100)).await;
    assert!(begun.elapsed() < SOON && report.is_complete(), "{report}");
}

#[tokio::test]
async fn a_feed_that_hangs_or_panics_harms_nobody() {
    let faulty = FaultyFeed::around(MemoryFeed::new());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").feed(faulty).build().unwrap();
    faults.publish().panic_next(1);
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    faults.publish().attempted(1).await;
    throughline.flush(SOON).await;
    faults.publish().hold();
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    let begun = Instant::now();
    let report = throughline.shutdown(Duration::from_millis(100)).await;
    assert!(begun.elapsed() < SOON && report.destinations[0].balances(), "{report}");
    assert!(report.destinations[0].dropped() > 0, "{report}");
}

#[tokio::test]
async fn what_a_spool_removed_without_saying_so_is_counted_once() {
    let (store, spool) = (MemoryStore::new(), MemorySpool::new());
    let (faulty, faulty_spool) = (FaultyStore::around(store.clone()), FaultySpool::around(spool.clone()));
    let (faults, spool_faults) = (faulty.faults(), faulty_spool.faults());
    let throughline =
        Throughline::builder("test").store(faulty).spool(faulty_spool).retry(impatient(1)).build().unwrap();
    faults.append().fail_next(3, away);
    spool_faults.remove_through().lose_next(1);
    for _ in 0..3 {
        throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    }
    let report = throughline.flush(SOON).await;
    assert!(report.is_complete() && report.destinations[0].balances(), "{report}");
    assert_eq!((store.events().len(), report.destinations[0].delivered), (6, 6));
    assert!(spool.events().is_empty());
}

#[tokio::test]
async fn a_spool_is_drained_beside_new_work() {
    let (store, spool) = (MemoryStore::new(), MemorySpool::new().capacity_bytes(64 << 20));
    let faulty = FaultyStore::around(MemoryStore::new());
    faulty.faults().append().fail_next(u64::MAX, away);
    let earlier =
        Throughline::builder("test").store(faulty).spool(spool.clone()).retry(impatient(1)).build().unwrap();
    for _ in 0..2_000 {
        earlier.workflow("test").run_infallible(|_| async {}).await.unwrap();
    }
    earlier.shutdown(SOON).await;

    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    faults.append().hold();
    let later = Throughline::builder("test").store(faulty).spool(spool.clone()).build().unwrap();
    faults.append().attempted(1).await;
    faults.append().release();
    // Behind what waits in the spool, and safe in it: the workflow does not wait for the drain.
    later.workflow("test").run_infallible(|_| async {}).await.unwrap();
    let report = later.flush(SOON).await;
    assert!(report.is_complete(), "{report}");
    assert_eq!(store.events().len(), 4_002);
    assert!(spool.events().is_empty());
}

#[tokio::test]
async fn events_from_elsewhere_are_redacted_counted_and_stored_once_however_many_there_are() {
    let store = MemoryStore::new();
    let throughline = Throughline::builder("test").store(store.clone()).queue_capacity(4).build().unwrap();
    let mut loan = run("loan-approval").key("loan-42").instance(InstanceId::from_u64(7));
    for number in 0..50 {
        let step = loan.begin("stage:score");
        loan.edit(|event| event.tags.push(format!("ada{number}@example.org").into()));
        loan.succeed(step);
    }
    loan.complete_run();
    throughline.ingest(loan.events()).await.unwrap();
    throughline.ingest(loan.events()).await.unwrap();
    let stored = store.events();
    assert_eq!(stored.len(), loan.events().len());
    assert!(stored.iter().all(|event| event.instance == InstanceId::from_u64(7)));
    assert!(stored.iter().flat_map(|event| &event.tags).all(|tag| !tag.contains("example.org")));
    let account = &throughline.delivery_report().destinations[0];
    assert_eq!((account.accepted, account.balances()), (2 * stored.len() as u64, true));

    throughline.shutdown(SOON).await;
    let late = throughline.ingest(loan.events()).await;
    assert!(matches!(late, Err(NotRecorded::ShutDown)), "{late:?}");
}

#[tokio::test]
async fn what_was_built_without_blocking_answers_questions_after_the_shutdown() {
    let feed = MemoryFeed::new();
    let builder = Throughline::builder("test").store(MemoryStore::new()).feed(feed);
    let throughline = builder.build_async().await.unwrap();
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    let reader = throughline.reader().unwrap();
    assert!(throughline.stream().is_some());
    throughline.shutdown(SOON).await;
    drop(throughline);
    assert_eq!(reader.runs(&Filter::new(), &Page::first(10)).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_configuration_that_makes_no_sense_is_refused_by_the_non_blocking_build_as_well() {
    let error = Throughline::builder("test").build_async().await.unwrap_err();
    assert!(error.to_string().contains("nothing would be recorded"), "{error}");
}

struct Sending {
    seen: AtomicU64,
    sent: Arc<AtomicU64>,
}

impl EventSink for Sending {
    fn name(&self) -> &str {
        "sending"
    }
    fn on_event(&self, _: &Arc<TraceEvent>) {
        self.seen.fetch_add(1, Ordering::Relaxed);
    }
    fn flush(&self, _: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async { self.sent.store(self.seen.load(Ordering::Relaxed), Ordering::Relaxed) })
    }
}

/// A sink whose flush never ends, or panics.
struct Bad;

impl EventSink for Bad {
    fn name(&self) -> &str {
        "bad"
    }
    fn on_event(&self, _: &Arc<TraceEvent>) {}
    fn flush(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        assert!(timeout > Duration::from_secs(1), "this sink panics when it is in a hurry");
        Box::pin(std::future::pending())
    }
}

/// A sink that sends on half of what it gets, and drops the rest when it is closed.
#[derive(Default)]
struct Halving {
    seen: AtomicU64,
    sent: AtomicU64,
    dropped: AtomicU64,
    /// How long it had to close.
    had: Arc<std::sync::Mutex<Option<Duration>>>,
}

impl EventSink for Halving {
    fn name(&self) -> &str {
        "halving"
    }
    fn on_event(&self, _: &Arc<TraceEvent>) {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        self.sent.store(seen / 2, Ordering::Relaxed);
    }
    fn close(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        *self.had.lock().unwrap() = Some(timeout);
        let left = self.seen.load(Ordering::Relaxed) - self.sent.load(Ordering::Relaxed);
        self.dropped.store(left, Ordering::Relaxed);
        Box::pin(std::future::ready(()))
    }
    fn account(&self) -> Option<SinkAccount> {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let dropped = [(DropReason::Shutdown, of(&self.dropped))].into();
        Some(SinkAccount { accepted: of(&self.seen), delivered: of(&self.sent), dropped })
    }
}

#[tokio::test]
async fn a_sink_says_itself_what_became_of_events_that_it_sends_on() {
    let throughline = Throughline::builder("test").sink(Halving::default()).build().unwrap();
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    let report = throughline.flush(SOON).await;
    let account = &report.destinations[0];
    assert_eq!((account.accepted, account.delivered, account.pending), (2, 1, 1), "{report}");
    let report = throughline.shutdown(SOON).await;
    let account = &report.destinations[0];
    assert!(account.balances() && account.pending == 0, "{report}");
    assert_eq!(account.dropped, [(DropReason::Shutdown, 1)], "{report}");
}

#[tokio::test]
async fn a_store_that_hangs_leaves_a_sink_the_time_to_close() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let sink = Halving::default();
    let had = Arc::clone(&sink.had);
    let builder = Throughline::builder("test").store(faulty).durability(Durability::Pipelined);
    let throughline = builder.sink(sink).build().unwrap();
    faults.append().hold();
    let run = tokio::spawn(throughline.workflow("test").run_infallible(|_| async {}));
    faults.append().attempted(1).await;
    throughline.shutdown(Duration::from_secs(2)).await;
    run.abort();
    let had = had.lock().unwrap().unwrap();
    assert!(had > Duration::from_secs(1), "it had {had:?}");
}

#[test]
fn a_sink_that_cannot_be_opened_fails_the_build() {
    struct Unusable;
    impl EventSink for Unusable {
        fn name(&self) -> &str {
            "unusable"
        }
        fn on_event(&self, _: &Arc<TraceEvent>) {}
        fn open(&self, instance: &Instance, readers: Option<&Readers>) -> Result<(), OpenError> {
            assert_eq!((&*instance.service, readers.is_some()), ("test", true));
            let reason = "it has no address".to_owned();
            Err(OpenError::Unusable { store: "unusable", reason, source: None })
        }
    }
    let error = Throughline::builder("test").store(MemoryStore::new()).sink(Unusable).build().unwrap_err();
    assert_eq!(error.to_string(), "unusable cannot be used: it has no address");
}

#[tokio::test]
async fn sinks_send_on_what_they_kept_when_they_are_flushed_and_a_bad_one_holds_nobody_up() {
    let sent = Arc::new(AtomicU64::new(0));
    let sending = Sending { seen: AtomicU64::new(0), sent: Arc::clone(&sent) };
    let throughline = Throughline::builder("test").sink(sending).sink(Bad).build().unwrap();
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    throughline.flush(Duration::from_millis(50)).await;
    assert_eq!(sent.load(Ordering::Relaxed), 2);
    let begun = Instant::now();
    throughline.shutdown(Duration::from_millis(1100)).await;
    assert!(begun.elapsed() < SOON);
}

#[tokio::test]
async fn of_many_that_resume_a_run_at_once_one_does() {
    let store = MemoryStore::new();
    let dead = Throughline::builder("test").store(store.clone()).build().unwrap();
    let trace_id = start_endless(&dead, "loan-42").await;
    let instance = store.trace(trace_id)[0].instance;
    store.abandon(instance);

    let ran = Arc::new(AtomicU64::new(0));
    let replicas: Vec<_> =
        (0..4).map(|_| Throughline::builder("test").store(store.clone()).build().unwrap()).collect();
    // Two tasks of each of four processes' emitters.
    let attempts = replicas.iter().chain(&replicas).map(|replica| {
        let ran = Arc::clone(&ran);
        replica.resume(trace_id).run(move |_| async move {
            tokio::task::yield_now().await;
            ran.fetch_add(1, Ordering::Relaxed);
            Ok::<_, String>(())
        })
    });
    let results = futures_util::future::join_all(attempts).await;
    assert_eq!(ran.load(Ordering::Relaxed), 1);
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let refused = |result: &Result<_, NotRecorded>| {
        matches!(result, Err(NotRecorded::AtWork { .. } | NotRecorded::HasEnded { .. }) | Ok(Ok(())))
    };
    assert!(results.iter().all(refused), "{results:?}");
}

#[tokio::test]
async fn of_two_tasks_of_one_process_that_resume_a_run_one_does_however_slow_the_store_is() {
    let store = MemoryStore::new();
    let dead = Throughline::builder("test").store(store.clone()).build().unwrap();
    let trace_id = start_endless(&dead, "loan-42").await;
    store.abandon(store.trace(trace_id)[0].instance);

    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).build().unwrap();
    faults.append().hold();
    let ran = Arc::new(AtomicU64::new(0));
    let resume = || {
        let ran = Arc::clone(&ran);
        tokio::spawn(throughline.resume(trace_id).run(move |_| async move {
            ran.fetch_add(1, Ordering::Relaxed);
            Ok::<_, String>(())
        }))
    };
    let first = resume();
    // The first has claimed the run, and waits until the store has recorded that it resumes it.
    faults.append().attempted(1).await;
    let second = resume().await.unwrap();
    assert!(matches!(second, Err(NotRecorded::AtWork { .. })), "{second:?}");
    faults.append().release();
    first.await.unwrap().unwrap().unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_store_that_keeps_panicking_is_broken_and_steps_fail_with_that_until_it_works_again() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).retry(impatient(9)).build().unwrap();
    faults.append().panic_next(u64::MAX);
    let error = throughline.workflow("test").run_infallible(|_| async {}).await.unwrap_err();
    assert!(
        !error.is_retryable() && error.to_string().contains("the store has failed: it panicked"),
        "{error}"
    );
    let account = &throughline.delivery_report().destinations[0];
    assert_eq!((account.panics, account.balances()), (3, true));
    assert!(
        account.broken.as_deref().is_some_and(|reason| reason.contains("3 times in a row")),
        "{account:?}"
    );
    faults.append().heal();
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    let account = &throughline.delivery_report().destinations[0];
    assert_eq!((account.panics, &account.broken), (3, &None));
}

#[tokio::test]
async fn a_feed_and_a_sink_that_keep_panicking_are_reported_as_broken() {
    struct Panicking;
    impl EventSink for Panicking {
        fn name(&self) -> &str {
            "panicking"
        }
        fn on_event(&self, _: &Arc<TraceEvent>) {
            std::panic::resume_unwind(Box::new("ouch"));
        }
    }
    let faulty = FaultyFeed::around(MemoryFeed::new());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").feed(faulty).sink(Panicking).build().unwrap();
    faults.publish().panic_next(u64::MAX);
    for attempt in 1..=3 {
        throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
        faults.publish().attempted(attempt).await;
        throughline.flush(SOON).await;
    }
    let report = throughline.delivery_report();
    for account in &report.destinations {
        assert!(account.panics >= 3 && account.balances(), "{account:?}");
        assert!(
            account.broken.as_deref().is_some_and(|reason| reason.starts_with("it panicked")),
            "{account:?}"
        );
    }
    assert!(report.to_string().contains("panics, broken: it panicked: "), "{report}");
}

#[tokio::test]
async fn what_the_spool_took_without_saying_so_is_acknowledged_and_delivered_once() {
    let (store, spool) = (MemoryStore::new(), MemorySpool::new());
    let (faulty, faulty_spool) = (FaultyStore::around(store.clone()), FaultySpool::around(spool.clone()));
    let (faults, spool_faults) = (faulty.faults(), faulty_spool.faults());
    let throughline =
        Throughline::builder("test").store(faulty).spool(faulty_spool).retry(impatient(1)).build().unwrap();
    faults.append().fail_next(1, away);
    spool_faults.push().lose_next(1);
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    let report = throughline.flush(SOON).await;
    assert!(report.is_complete() && report.destinations[0].delivered == 2, "{report}");
    assert_eq!(store.events().len(), 2);
}
