//! An emitter and a store in the shape of a distributed database: small calls, one trace each, several at once, leases.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use throughline_core::testing::{FaultyStore, MemorySpool, RemoteStore};
use throughline_core::{
    AppendError, BoxFuture, Instance, Limits, NotRecorded, OpenError, Readers, Retry, RunState, StepError,
    StoreConfig, Throughline, TraceContext, TraceEvent, TraceId, TraceStore, kind,
};

use crate::support::{away, leave_to_inner, left_behind, start_endless};

const SOON: Duration = Duration::from_secs(20);

fn with(store: impl StoreConfig) -> Throughline {
    Throughline::builder("test").store(store).retry(quick(5)).build().unwrap()
}

fn quick(attempts: u32) -> Retry {
    Retry::attempts(attempts).delays(Duration::from_micros(10), Duration::from_micros(10))
}

/// A run whose steps go side by side, so that many of its events wait at once.
async fn wide(ctx: TraceContext, steps: usize) -> Result<(), NotRecorded> {
    let payload = serde_json::json!({ "text": "x".repeat(3_000) });
    join_all((0..steps).map(|_| ctx.step("stage:part").input(&payload).run_infallible(|_| async {}))).await;
    Ok(())
}

async fn run_many(throughline: &Throughline, runs: usize) {
    let runs = (0..runs)
        .map(|number| throughline.workflow("wide").key(format!("run-{number}")).run(|ctx| wide(ctx, 40)));
    for run in join_all(runs).await {
        run.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_store_with_small_limits_gets_each_trace_in_order_and_no_call_that_it_would_refuse() {
    for limits in [
        Limits::new().events(10).bytes(64 * 1024).by_trace(4),
        Limits::new().events(1).by_trace(1),
        Limits::new().events(3).bytes(4_000),
    ] {
        let store = RemoteStore::new().limits(limits);
        let throughline = with(store.clone());
        run_many(&throughline, 12).await;
        assert!(throughline.flush(SOON).await.is_complete());
        assert_eq!(store.violations(), [""; 0], "{limits:?}");
        assert_eq!(store.events().len(), 12 * 2 * 41);
    }
}

#[tokio::test]
async fn several_traces_are_under_way_at_once_and_one_that_hangs_holds_up_no_other() {
    let store = RemoteStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = with(faulty);
    faults.append().hold();
    let runs = tokio::spawn({
        let throughline = throughline.clone();
        async move { run_many(&throughline, 6).await }
    });
    faults.append().attempted(4).await;
    faults.append().release();
    runs.await.unwrap();

    // The next call is done and never answered, as of one partition that hangs.
    faults.append().never_answer_next(1);
    let before = faults.append().attempts();
    let stuck = tokio::spawn(throughline.workflow("stuck").key("stuck").run_infallible(|_| async {}));
    faults.append().attempted(before + 1).await;
    run_many(&throughline, 6).await;
    assert!(!stuck.is_finished());
    stuck.abort();
    assert_eq!(store.violations(), [""; 0]);
}

#[tokio::test]
async fn calls_that_fail_lose_their_answer_or_panic_change_neither_order_nor_content() {
    let store = RemoteStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).retry(quick(50)).build().unwrap();
    let trouble = async {
        for round in 0..30 {
            match round % 3 {
                0 => faults.append().fail_next(2, away),
                1 => faults.append().lose_next(2),
                _ => faults.append().panic_next(1),
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(run_many(&throughline, 8), trouble);
    let report = throughline.flush(SOON).await;
    assert!(report.is_complete() && report.destinations[0].balances(), "{report}");
    assert_eq!(store.violations(), [""; 0]);
    assert_eq!(store.events().len(), 8 * 2 * 41);
}

#[tokio::test]
async fn ends_that_were_not_recorded_go_before_what_the_trace_says_next() {
    let store = RemoteStore::new();
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).retry(quick(1)).build().unwrap();
    let run = throughline.workflow("loan").key("loan-1").run(|ctx| async move {
        let first = ctx.trace_infallible("stage:a", async { faults.append().fail_next(2, away) }).await;
        assert!(first.is_ok(), "the outcome is the caller's");
        let next = ctx.trace_infallible("stage:b", async {}).await;
        assert!(next.is_err(), "what is pending comes first, and the store is away");
        ctx.trace_infallible("stage:c", async {}).await
    });
    run.await.unwrap().unwrap();
    assert!(throughline.flush(SOON).await.destinations[0].pending == 0);
    assert_eq!(store.violations(), [""; 0]);
    let types: Vec<_> = store.events().iter().map(|event| event.event_type.to_string()).collect();
    assert_eq!(types, ["workflow:started", "stage:a", "stage:a", "stage:c", "stage:c", "workflow:completed"]);
}

#[tokio::test]
async fn a_lease_is_renewed_while_appends_hang_are_repeated_and_a_spool_is_drained() {
    let store = RemoteStore::new().lease_interval(Duration::from_millis(5));
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let spool = MemorySpool::new().capacity_bytes(64 << 20);
    let retry = quick(1).attempt_timeout(Duration::from_millis(50));
    let throughline = Throughline::builder("test").store(faulty).spool(spool).retry(retry).build().unwrap();
    let renewed = async |times: u64| {
        let before = faults.heartbeat().attempts();
        faults.heartbeat().attempted(before + times).await;
    };
    faults.append().hold();
    let run = tokio::spawn(throughline.workflow("held").run_infallible(|_| async {}));
    faults.append().attempted(1).await;
    renewed(5).await;
    run.await.unwrap().unwrap();
    faults.append().release();
    faults.append().fail_next(u64::MAX, away);
    for _ in 0..50 {
        throughline.workflow("spooled").run_infallible(|_| async {}).await.unwrap();
    }
    renewed(3).await;
    faults.append().heal();
    assert!(throughline.flush(SOON).await.is_complete());
    renewed(1).await;
}

#[tokio::test]
async fn a_renewal_that_fails_hangs_or_panics_is_tried_again_before_the_lease_expires() {
    let store = RemoteStore::new().lease_interval(Duration::from_millis(100));
    let faulty = FaultyStore::around(store.clone());
    let faults = faulty.faults();
    let throughline = with(faulty);
    faults.heartbeat().fail_next(1, away);
    faults.heartbeat().panic_next(1);
    faults.heartbeat().never_answer_next(1);
    // None of them is waited for longer than an interval.
    tokio::time::timeout(SOON / 2, faults.heartbeat().attempted(6)).await.unwrap();
    throughline.workflow("after").run_infallible(|_| async {}).await.unwrap();
}

#[tokio::test]
async fn an_instance_whose_lease_expired_leaves_interrupted_runs_that_one_of_many_resumes() {
    fn resumed<E: StepError<kind::Plain>>(result: &Result<Result<(), E>, NotRecorded>) -> bool {
        matches!(result, Ok(Ok(())))
    }
    let store = RemoteStore::new();
    let dead = with(FaultyStore::around(store.clone()));
    let mut runs = Vec::new();
    for number in 0..50 {
        runs.push(start_endless(&dead, format!("loan-{number}")).await);
    }
    let instance = store.trace(runs[0])[0].instance;
    store.expire(instance);

    let replicas: Vec<_> = (0..8).map(|_| with(store.clone())).collect();
    let ran: Arc<Vec<AtomicU64>> = Arc::new((0..50).map(|_| AtomicU64::new(0)).collect());
    let storm = replicas.iter().map(|replica| {
        let attempts = runs.iter().enumerate().map(|(number, trace_id)| {
            let ran = Arc::clone(&ran);
            replica.resume(*trace_id).run(move |ctx| async move {
                ran[number].fetch_add(1, Ordering::Relaxed);
                ctx.trace_infallible("stage:again", async {}).await.map_err(|error| error.to_string())
            })
        });
        async move { join_all(attempts).await.iter().filter(|result| resumed(result)).count() }
    });
    let resumed: usize = join_all(storm).await.into_iter().sum();
    assert_eq!(resumed, 50);
    assert!(ran.iter().all(|times| times.load(Ordering::Relaxed) == 1), "{ran:?}");
    let reader = replicas[0].reader().unwrap();
    for trace_id in runs {
        assert_eq!(reader.run(trace_id).await.unwrap().unwrap().state, RunState::Succeeded);
        // Nobody waits for the release of a claim.
        let released = async {
            while store.holder(trace_id).is_some() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, released).await.unwrap();
    }
    assert_eq!(store.violations(), [""; 0]);
}

/// Writes down the order in which a store was given the events that it acknowledged.
struct Recording {
    inner: FaultyStore,
    order: Arc<Mutex<Vec<(TraceId, u64)>>>,
}

struct OpenRecording {
    inner: Arc<dyn TraceStore>,
    order: Arc<Mutex<Vec<(TraceId, u64)>>>,
}

impl StoreConfig for Recording {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let (inner, order) = (self.inner.open(instance), Arc::clone(&self.order));
        Box::pin(
            async move { Ok(Arc::new(OpenRecording { inner: inner.await?, order }) as Arc<dyn TraceStore>) },
        )
    }
    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        self.inner.open_readers()
    }
}

impl TraceStore for OpenRecording {
    fn name(&self) -> &str {
        "recording"
    }
    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            self.inner.append(events).await?;
            self.order.lock().unwrap().extend(events.iter().map(|event| (event.trace_id, event.n)));
            Ok(())
        })
    }
    leave_to_inner!();
}

#[tokio::test]
async fn an_end_that_failed_goes_before_what_arrived_while_it_was_tried() {
    let inner = FaultyStore::around(RemoteStore::new());
    let (faults, order) = (inner.faults(), Arc::new(Mutex::new(Vec::new())));
    let store = Recording { inner, order: Arc::clone(&order) };
    let retry = quick(1).attempt_timeout(Duration::from_millis(200));
    let throughline = Throughline::builder("test").store(store).retry(retry).build().unwrap();
    let other = throughline.clone();
    let run = throughline.workflow("loan").key("loan-1").run_infallible(|ctx| async move {
        let first = ctx.trace_infallible("stage:a", async { faults.append().never_answer_next(1) });
        let beside = async {
            // The end of the first step is under way, and hangs.
            faults.append().attempted(3).await;
            let mut second = pin!(ctx.trace_infallible("stage:b", async {}));
            let begun = futures_util::future::poll_immediate(&mut second).await;
            assert!(begun.is_none());
            // When this is recorded, the start of the second step has left the queue, too.
            other.workflow("other").key("other").run_infallible(|_| async {}).await.unwrap();
            second.await
        };
        let (first, second) = tokio::join!(first, beside);
        (first.is_ok(), second.is_ok())
    });
    assert!(run.await.unwrap().0, "the outcome of the first step is kept");
    assert_eq!(throughline.flush(SOON).await.destinations[0].pending, 0);
    let order = order.lock().unwrap();
    let loan = order[0].0;
    let of_the_loan: Vec<_> = order.iter().filter(|(trace, _)| *trace == loan).collect();
    assert!(of_the_loan.is_sorted(), "{of_the_loan:?}");
}

#[tokio::test]
async fn a_spool_is_drained_trace_beside_trace_and_each_in_one_call_whatever_lies_between_its_events() {
    let store = RemoteStore::new().limits(Limits::new().events(50).by_trace(8));
    let inner = FaultyStore::around(store.clone());
    let (faults, order) = (inner.faults(), Arc::new(Mutex::new(Vec::new())));
    faults.append().hold();
    let spool = left_behind(12).await;
    let recording = Recording { inner, order: Arc::clone(&order) };
    let throughline = Throughline::builder("test").store(recording).spool(spool).build().unwrap();
    let at_once = tokio::time::timeout(SOON, faults.attempted(8)).await;
    at_once.expect("as many at once as the store takes");
    faults.append().release();
    let report = throughline.flush(SOON).await;
    assert!(report.is_complete() && report.destinations[0].delivered == 60, "{report}");
    assert_eq!((faults.attempts(), store.violations()), (12, vec![]));
    let mut order = order.lock().unwrap().clone();
    order.sort_by_key(|(trace, _)| *trace);
    for trace in order.chunk_by(|(a, _), (b, _)| a == b) {
        assert_eq!(trace.iter().map(|(_, n)| *n).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    }
}
