//! A store that was away and comes back: nothing is forgotten, nobody waits for ever, and no trace starves another.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use throughline_core::testing::{FaultyStore, MemorySpool, RemoteStore, run};
use throughline_core::{
    AppendError, BoxFuture, DropReason, Instance, InstanceId, Limits, MemoryStore, OpenError, Page, Readers,
    Retry, Spool, SpoolConfig, SpoolReader, SpoolUsage, Spooled, StoreConfig, Throughline, TraceEvent,
    TraceId, TraceStore,
};
use tokio::sync::{Barrier, Semaphore};
use tokio::time::timeout;

use crate::support::{away, leave_to_inner, left_behind};

const SOON: Duration = Duration::from_secs(15);

fn quick(attempts: u32) -> Retry {
    Retry::attempts(attempts).delays(Duration::from_micros(10), Duration::from_micros(10))
}

/// Runs that are open at the same time, and end while the store is away.
async fn end_while_away(throughline: &Throughline, runs: usize, leave: impl AsyncFnOnce()) {
    let (all_open, end) = (Arc::new(Barrier::new(runs + 1)), Arc::new(Semaphore::new(0)));
    let runs: Vec<_> = (0..runs)
        .map(|number| {
            let (all_open, end) = (Arc::clone(&all_open), Arc::clone(&end));
            let run =
                throughline.workflow("loan").key(format!("run-{number}")).run_infallible(|_| async move {
                    all_open.wait().await;
                    let _ = end.acquire().await;
                });
            tokio::spawn(run)
        })
        .collect();
    all_open.wait().await;
    leave().await;
    end.add_permits(runs.len());
    for run in runs {
        timeout(SOON, run).await.unwrap().unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_ends_than_a_group_holds_are_delivered_when_the_store_is_back() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).retry(quick(1)).build().unwrap();
    end_while_away(&throughline, 600, async || faults.fail_next(u64::MAX, away)).await;
    assert_eq!(throughline.delivery_report().destinations[0].pending, 600);

    let late = timeout(SOON, throughline.workflow("late").run_infallible(|_| async {})).await;
    assert!(late.expect("it is told that the store is away").is_err());
    faults.heal();
    let next = timeout(SOON, throughline.workflow("next").run_infallible(|_| async {})).await;
    next.expect("delivery lives").unwrap();
    let report = throughline.flush(SOON).await;
    assert!(report.destinations[0].pending == 0 && report.destinations[0].balances(), "{report}");
    assert_eq!(store.events().len(), 2 * 601);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_ends_than_a_group_holds_that_a_full_spool_refuses_do_not_stop_its_draining() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let spool = MemorySpool::new().capacity_bytes(1_200);
    let throughline =
        Throughline::builder("test").store(faulty).spool(spool.clone()).retry(quick(1)).build().unwrap();
    end_while_away(&throughline, 600, async || {
        faults.fail_next(u64::MAX, away);
        // Its start goes into the spool, which has no room for all that follows.
        throughline.workflow("next").run_infallible(|_| async {}).await.unwrap();
    })
    .await;
    assert!(!spool.events().is_empty());
    faults.heal();
    let report = throughline.flush(SOON).await;
    assert!(report.destinations[0].pending == 0 && report.destinations[0].balances(), "{report}");
}

#[tokio::test]
async fn all_traces_of_a_distributed_store_recover_as_soon_as_it_is_back() {
    let store = RemoteStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).retry(quick(1)).build().unwrap();
    end_while_away(&throughline, 400, async || faults.fail_next(u64::MAX, away)).await;
    faults.heal();
    let report = throughline.flush(Duration::from_secs(5)).await;
    assert!(report.is_complete() && report.destinations[0].balances(), "{report}");
    assert_eq!(store.violations(), [""; 0]);
}

#[tokio::test]
async fn a_store_that_stays_away_is_asked_a_few_times_a_second_however_many_traces_wait_for_it() {
    let faulty = FaultyStore::around(RemoteStore::new());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).retry(quick(1)).build().unwrap();
    end_while_away(&throughline, 400, async || faults.fail_next(u64::MAX, away)).await;
    let before = faults.attempts();
    let report = throughline.flush(Duration::from_millis(1_600)).await;
    let asked = faults.attempts() - before;
    assert!((1..=20).contains(&asked), "{asked} attempts; {report}");
}

/// A store in which some partitions are away, and whose calls may block their thread.
#[derive(Clone)]
struct Partitioned(Arc<Shared>);

struct Shared {
    inner: RemoteStore,
    away: Mutex<HashSet<TraceId>>,
    blocks_for: Mutex<Duration>,
    panics: AtomicBool,
    refuses_readers: AtomicBool,
}

struct OpenPartitioned {
    inner: Arc<dyn TraceStore>,
    shared: Arc<Shared>,
}

impl Partitioned {
    fn around(inner: RemoteStore) -> Self {
        Self(Arc::new(Shared {
            inner,
            away: Mutex::default(),
            blocks_for: Mutex::default(),
            panics: AtomicBool::new(false),
            refuses_readers: AtomicBool::new(false),
        }))
    }
}

impl StoreConfig for Partitioned {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let (inner, shared) = (self.0.inner.open(instance), Arc::clone(&self.0));
        Box::pin(async move {
            let inner = inner.await?;
            Ok(Arc::new(OpenPartitioned { inner, shared }) as Arc<dyn TraceStore>)
        })
    }
    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        if self.0.refuses_readers.load(Ordering::Relaxed) {
            let refused =
                OpenError::Unavailable { store: "test", reason: "no readers".to_owned(), source: None };
            return Box::pin(std::future::ready(Err(refused)));
        }
        self.0.inner.open_readers()
    }
}

impl TraceStore for OpenPartitioned {
    fn name(&self) -> &str {
        "partitioned"
    }
    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        if self.shared.away.lock().unwrap().contains(&events[0].trace_id) {
            return Box::pin(std::future::ready(Err(away())));
        }
        let blocks_for = *self.shared.blocks_for.lock().unwrap();
        if blocks_for.is_zero() {
            return self.inner.append(events);
        }
        // As a local file does: the thread waits for the disk.
        std::thread::sleep(blocks_for);
        Box::pin(std::future::ready(Ok(())))
    }
    fn group_commit_delay(&self) -> Duration {
        assert!(!self.shared.panics.load(Ordering::Relaxed), "a store that panics where nobody expects it");
        Duration::ZERO
    }
    leave_to_inner!();
}

#[tokio::test]
async fn partitions_that_stay_away_keep_no_other_from_recovering() {
    let store = RemoteStore::new();
    let partitioned = Partitioned::around(store.clone());
    let throughline =
        Throughline::builder("test").store(partitioned.clone()).retry(quick(1)).build().unwrap();
    let reader = throughline.reader().unwrap();
    let mut all = Vec::new();
    end_while_away(&throughline, 100, async || {
        let open = reader.open_summaries(&Page::first(100)).await.unwrap().items;
        all.extend(open.into_iter().map(|open| open.summary.trace_id));
        *partitioned.0.away.lock().unwrap() = all.iter().copied().collect();
    })
    .await;
    let stay_away: HashSet<_> = all[..10].iter().copied().collect();
    *partitioned.0.away.lock().unwrap() = stay_away;
    let begun = Instant::now();
    while throughline.delivery_report().destinations[0].pending > 10 {
        assert!(begun.elapsed() < SOON, "{:?}", throughline.delivery_report());
        tokio::task::yield_now().await;
    }
    partitioned.0.away.lock().unwrap().clear();
    assert!(throughline.flush(SOON).await.is_complete());
}

/// A spool that takes its time, and refuses what is odd.
#[derive(Clone)]
struct Slow(MemorySpool);

struct OpenSlow(Arc<dyn Spool>);

impl SpoolConfig for Slow {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn Spool>, OpenError>> {
        let inner = self.0.open(instance);
        Box::pin(async move { Ok(Arc::new(OpenSlow(inner.await?)) as Arc<dyn Spool>) })
    }
}

impl Spool for OpenSlow {
    fn name(&self) -> &str {
        "slow"
    }
    fn push<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async {
            if let Some(index) = events.iter().position(|event| event.event_type == "stage:odd") {
                return Err(AppendError::Rejected { index, reason: "too odd".to_owned() });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            self.0.push(events).await
        })
    }
    fn peek(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Spooled>, AppendError>> {
        self.0.peek(limit)
    }
    fn remove_through(&self, position: u64) -> BoxFuture<'_, Result<(), AppendError>> {
        self.0.remove_through(position)
    }
    fn set_aside<'a>(&'a self, position: u64, reason: &'a str) -> BoxFuture<'a, Result<(), AppendError>> {
        self.0.set_aside(position, reason)
    }
    fn usage(&self) -> BoxFuture<'_, Result<SpoolUsage, AppendError>> {
        self.0.usage()
    }
    fn reader(&self) -> Arc<dyn SpoolReader> {
        self.0.reader()
    }
    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.0.close()
    }
}

/// The events of a long run that was recorded elsewhere.
fn long_run(steps: usize) -> Vec<TraceEvent> {
    let mut run = run("import").key("long").instance(InstanceId::from_u64(7));
    for _ in 0..steps {
        let step = run.begin("stage:score");
        run.succeed(step);
    }
    run.complete_run();
    run.events()
}

/// The start of a run that was recorded elsewhere.
fn begun(key: &str) -> TraceEvent {
    let mut run = run("import").key(key).instance(InstanceId::from_u64(7));
    run.root();
    run.events().remove(0)
}

#[tokio::test]
async fn a_trace_that_can_not_be_moved_out_of_a_spool_holds_up_no_other_and_none_is_moved_twice() {
    let store = RemoteStore::new();
    let partitioned = Partitioned::around(store.clone());
    let faulty = FaultyStore::around(partitioned.clone());
    let faults = faulty.faults();
    partitioned.0.away.lock().unwrap().insert(TraceId::from_key("trace-1"));
    let spool = left_behind(4).await;
    let throughline = Throughline::builder("test").store(faulty).spool(spool).build().unwrap();
    // Twice in vain.
    timeout(SOON, faults.attempted(5)).await.expect("it is tried again");
    let report = throughline.delivery_report();
    assert_eq!(store.events().len(), 15, "{report}");
    assert!(report.destinations[0].balances() && report.destinations[0].pending == 20, "{report}");
    partitioned.0.away.lock().unwrap().clear();
    let report = throughline.flush(SOON).await;
    assert!(report.is_complete() && report.destinations[0].delivered == 20, "{report}");
    let in_vain = faults.attempts() - 4;
    assert!((1..10).contains(&in_vain), "{in_vain} calls more than there are traces");
}

#[tokio::test]
async fn a_store_that_is_away_is_not_asked_for_each_trace_that_waits_in_a_spool() {
    let busy = || AppendError::Unavailable {
        reason: "busy".to_owned(),
        retry_after: Some(Duration::from_secs(3600)),
        source: None,
    };
    for (error, at_most) in [(away as fn() -> AppendError, 100), (busy, 10)] {
        let store = RemoteStore::new();
        let faulty = FaultyStore::around(store.clone());
        let faults = faulty.faults();
        faults.fail_next(u64::MAX, error);
        let throughline =
            Throughline::builder("test").store(faulty).spool(left_behind(400).await).build().unwrap();
        timeout(SOON, faults.attempted(1)).await.expect("it is tried");
        throughline.flush(Duration::from_millis(400)).await;
        let asked = faults.attempts();
        assert!(asked <= at_most, "{asked} attempts: {}", error());
        faults.heal();
        let report = throughline.flush(SOON).await;
        assert!(report.is_complete() && store.violations().is_empty(), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_is_drained_under_traffic_that_never_pauses() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let spool = Slow(MemorySpool::new().capacity_bytes(1 << 30));
    let throughline = Throughline::builder("test")
        .store(faulty)
        .spool(spool)
        .retry(quick(1))
        .queue_capacity(2_000)
        .build()
        .unwrap();
    faults.fail_next(1, away);
    let events = long_run(10_000);
    let traffic = throughline.ingest(events);
    tokio::select! {
        biased;
        ended = traffic => panic!("the store was not asked again before the traffic ended: {ended:?}"),
        () = faults.attempted(3) => {}
    }
}

#[tokio::test]
async fn a_store_that_hangs_does_not_hold_up_what_goes_into_the_spool() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let spool = MemorySpool::new();
    let retry = quick(1).attempt_timeout(Duration::from_secs(3600));
    let throughline = Throughline::builder("test").store(faulty).spool(spool).retry(retry).build().unwrap();
    faults.fail_next(1, away);
    throughline.workflow("first").run_infallible(|_| async {}).await.unwrap();
    faults.hold();
    // The drain is tried, and not answered.
    timeout(SOON, faults.attempted(2)).await.expect("it is tried again");
    for _ in 0..5 {
        let run = timeout(SOON, throughline.workflow("next").run_infallible(|_| async {})).await;
        run.expect("the spool has room").unwrap();
    }
    faults.release();
    assert!(throughline.flush(SOON).await.is_complete());
    assert_eq!(store.events().iter().map(|event| event.n).collect::<Vec<_>>(), (0..12).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_partition_that_hangs_does_not_keep_the_others_out_of_the_spool() {
    let store = RemoteStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let retry = quick(1).attempt_timeout(Duration::from_secs(3600));
    let spool = MemorySpool::new();
    let throughline = Throughline::builder("test").store(faulty).spool(spool).retry(retry).build().unwrap();
    faults.append().never_answer_next(1);
    let stuck = tokio::spawn(throughline.workflow("stuck").key("stuck").run_infallible(|_| async {}));
    faults.attempted(1).await;
    faults.fail_next(u64::MAX, away);
    for number in 0..5 {
        let run = throughline.workflow("next").key(format!("next-{number}")).run_infallible(|_| async {});
        timeout(SOON, run).await.expect("the spool has room").unwrap();
    }
    assert!(!stuck.is_finished());
    faults.heal();
    let delivered = async {
        while store.events().len() < 11 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, delivered).await.expect("the spool is drained beside the call that hangs");
    stuck.abort();
    let report = throughline.shutdown(Duration::from_secs(1)).await;
    assert!(report.destinations[0].balances(), "{report}");
    assert_eq!(store.violations(), [""; 0]);
}

#[tokio::test]
async fn several_refused_events_in_a_spool_hold_nothing_up() {
    let store = RemoteStore::new().limits(Limits::new().events(100));
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline =
        Throughline::builder("test").store(faulty).spool(MemorySpool::new()).retry(quick(1)).build().unwrap();
    let events: Vec<_> = [("a", 1, false), ("b", 2, false), ("b", 3, true), ("a", 4, true), ("a", 5, false)]
        .into_iter()
        .map(|(trace, span, is_refused)| {
            let mut loan = begun(trace);
            loan.span_id = throughline_core::SpanId::from_u64(span).unwrap();
            if is_refused {
                loan.event_type = "x".repeat(RemoteStore::LONGEST_TYPE + 1).into();
            }
            loan
        })
        .collect();
    faults.fail_next(u64::MAX, away);
    throughline.ingest(events).await.unwrap();
    faults.heal();
    let report = throughline.flush(SOON).await;
    let account = &report.destinations[0];
    assert_eq!((account.delivered, account.pending, account.balances()), (3, 0, true), "{report}");
    assert_eq!(account.dropped, [(DropReason::Rejected, 2)]);
}

#[tokio::test]
async fn an_event_that_the_spool_refuses_is_dropped_alone() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test")
        .store(faulty)
        .spool(Slow(MemorySpool::new()))
        .retry(quick(1))
        .build()
        .unwrap();
    let away_from_now_on = faults.clone();
    let run = throughline.workflow("test").run(|ctx| async move {
        ctx.trace_infallible("stage:odd", async { away_from_now_on.fail_next(u64::MAX, away) }).await?;
        ctx.trace_infallible("stage:next", async {}).await
    });
    run.await.unwrap().unwrap();
    faults.heal();
    let report = throughline.flush(SOON).await;
    let account = &report.destinations[0];
    assert_eq!(account.dropped, [(DropReason::Rejected, 1)], "{report}");
    assert_eq!((account.delivered, account.pending, account.balances()), (5, 0, true), "{report}");
}

#[tokio::test]
async fn what_a_hanging_store_did_not_take_before_a_shutdown_is_safe_in_the_spool() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let spool = MemorySpool::new();
    let throughline = Throughline::builder("test").store(faulty).spool(spool.clone()).build().unwrap();
    let (held, in_flight) = (faults.clone(), faults.clone());
    let run = tokio::spawn(throughline.workflow("loan").run_infallible(|_| async move { held.hold() }));
    in_flight.attempted(2).await;
    let report = throughline.shutdown(Duration::from_millis(500)).await;
    let account = &report.destinations[0];
    assert_eq!((account.pending, account.dropped(), account.balances()), (1, 0, true), "{report}");
    assert_eq!(spool.events().len(), 1);
    run.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_ends_during_a_shutdown_is_delivered_whatever_the_delays_between_retries_are() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let retry = Retry::attempts(1).delays(Duration::MAX, Duration::MAX);
    let throughline = Throughline::builder("test").store(faulty).retry(retry).build().unwrap();
    let (started, end) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let slow = tokio::spawn({
        let (started, end) = (Arc::clone(&started), Arc::clone(&end));
        throughline.workflow("slow").run_infallible(|_| async move {
            started.add_permits(1);
            let _ = end.acquire().await;
        })
    });
    let _ = started.acquire().await;
    end_while_away(&throughline, 1, async || faults.fail_next(u64::MAX, away)).await;
    let attempts = faults.attempts();
    let shutdown = tokio::spawn({
        let throughline = throughline.clone();
        async move { throughline.shutdown(SOON).await }
    });
    timeout(SOON, faults.attempted(attempts + 1)).await.expect("it is tried again at once");
    faults.heal();
    end.add_permits(1);
    let report = shutdown.await.unwrap();
    assert!(report.is_complete(), "{report}");
    timeout(SOON, slow).await.expect("an answer").unwrap().unwrap();
    assert_eq!(store.events().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_is_renewed_and_runs_are_claimed_while_a_store_that_blocks_is_never_idle() {
    let store = RemoteStore::new().lease_interval(Duration::from_millis(50));
    let partitioned = Partitioned::around(store.clone());
    let faulty = FaultyStore::around(partitioned.clone());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).queue_capacity(4_000).build().unwrap();
    *partitioned.0.blocks_for.lock().unwrap() = Duration::from_millis(1);
    // Traces enough that there is always a call to make.
    let traffic: Vec<_> = (0..2_000).map(|number| begun(&format!("run-{number}"))).collect();
    tokio::select! {
        biased;
        ended = throughline.ingest(traffic) => panic!("nothing was renewed before the traffic ended: {ended:?}"),
        () = faults.heartbeat().attempted(5) => {}
    }
}

#[tokio::test]
async fn a_delivery_thread_that_dies_of_other_peoples_code_leaves_nobody_waiting() {
    let partitioned = Partitioned::around(RemoteStore::new());
    partitioned.0.panics.store(true, Ordering::Relaxed);
    let build = Throughline::builder("test").store(partitioned.clone()).retry(quick(1)).build();
    // It may be refused at once, or live on; what it must not do is to hang.
    let Ok(throughline) = build else { return };
    for _ in 0..2 {
        let run = throughline.workflow("test").run_infallible(|_| async {});
        let _ = timeout(SOON, run).await.expect("an answer");
    }
    let report = throughline.flush(SOON).await;
    assert!(report.destinations[0].balances() && report.destinations[0].pending == 0, "{report}");
}
