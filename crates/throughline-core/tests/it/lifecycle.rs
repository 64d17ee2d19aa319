//! The beginning and the end of an emitter: builds that fail, handles that are dropped, time limits of any size.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use throughline_core::testing::{FaultyFeed, FaultyStore, MemorySpool, RemoteStore, run};
use throughline_core::{
    AppendError, BoxFuture, EventSink, Filter, Instance, InstanceId, Limits, Liveness, MemoryFeed,
    MemoryStore, NotRecorded, OpenError, Page, Readers, Retry, Spool, SpoolConfig, StoreConfig, Throughline,
    ThroughlineBuilder, TraceEvent, TraceStore,
};
use tokio::time::timeout;

use crate::support::away;

const SOON: Duration = Duration::from_secs(15);

/// Builds until nothing of an earlier attempt is in the way.
async fn built(builder: impl Fn() -> ThroughlineBuilder) -> Throughline {
    let built = async {
        loop {
            match builder().build() {
                Ok(throughline) => return throughline,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    timeout(SOON, built).await.unwrap()
}

#[tokio::test]
async fn a_build_that_fails_at_a_feed_gives_the_store_and_the_spool_back() {
    let spool = MemorySpool::new();
    let feed = FaultyFeed::around(MemoryFeed::new());
    feed.faults().open().fail_next(1, || OpenError::Unavailable {
        store: "feed",
        reason: "away".to_owned(),
        source: None,
    });
    let builder = || Throughline::builder("test").store(MemoryStore::new()).spool(spool.clone());
    assert!(builder().feed(feed).build().is_err());
    built(builder).await;
}

/// A store that can be opened, but whose readers can't.
struct NoReaders(MemoryStore);

impl StoreConfig for NoReaders {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        self.0.open(instance)
    }
    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        let refused = OpenError::Unavailable { store: "test", reason: "no readers".to_owned(), source: None };
        Box::pin(std::future::ready(Err(refused)))
    }
}

#[tokio::test]
async fn a_non_blocking_build_that_fails_at_the_readers_gives_the_store_and_the_spool_back() {
    let spool = MemorySpool::new();
    let builder = Throughline::builder("test").store(NoReaders(MemoryStore::new())).spool(spool.clone());
    assert!(builder.build_async().await.is_err());
    built(|| Throughline::builder("test").store(MemoryStore::new()).spool(spool.clone())).await;
}

/// A sink that is alive as long as its emitter.
struct Alive(#[expect(dead_code, reason = "held for what its drop does")] Arc<()>);

impl EventSink for Alive {
    fn name(&self) -> &str {
        "alive"
    }
    fn on_event(&self, _: &Arc<TraceEvent>) {}
}

#[tokio::test]
async fn a_flush_that_nobody_waits_for_any_more_does_not_keep_the_emitter_alive() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let alive = Arc::new(());
    let throughline = Throughline::builder("test")
        .store(faulty)
        .sink(Alive(Arc::clone(&alive)))
        .retry(Retry::attempts(1))
        .build()
        .unwrap();
    let end = throughline.workflow("test").run_infallible(|_| async { faults.fail_next(u64::MAX, away) });
    end.await.unwrap();
    assert!(timeout(Duration::from_millis(20), throughline.flush(Duration::MAX)).await.is_err());
    drop(throughline);
    let dropped = async {
        while Arc::strong_count(&alive) > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, dropped).await.expect("the last handle is gone");
}

#[tokio::test]
async fn time_limits_may_be_of_any_size() {
    for limit in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let retry = Retry::attempts(0).delays(limit, limit).attempt_timeout(Duration::MAX);
        let store = MemoryStore::new();
        let faulty = FaultyStore::around(store.clone());
        let throughline = Throughline::builder("test").store(faulty).retry(retry).build().unwrap();
        throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
        assert!(throughline.flush(limit).await.is_complete());
        let report = timeout(SOON, throughline.shutdown(limit)).await.expect("nothing is pending");
        assert!(report.is_complete(), "{report}");
        assert_eq!(store.events().len(), 2);
    }
}

#[tokio::test]
async fn a_server_that_asks_for_an_endless_wait_is_asked_again_after_the_longest_wait_of_ours() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::around(store.clone());
    faulty.faults().fail_next(2, || AppendError::Unavailable {
        reason: "throttled".to_owned(),
        retry_after: Some(Duration::MAX),
        source: None,
    });
    let millisecond = Duration::from_millis(1);
    let retry = Retry::default().delays(millisecond, millisecond);
    let throughline = Throughline::builder("test").store(faulty).retry(retry).build().unwrap();
    let run = throughline.workflow("test").run_infallible(|_| async {});
    timeout(SOON, run).await.expect("an answer").unwrap();
    assert_eq!(store.events().len(), 2);
}

#[tokio::test]
async fn a_server_that_asks_for_an_endless_wait_does_not_hold_up_a_shutdown() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let throughline = Throughline::builder("test").store(faulty).build().unwrap();
    faults.fail_next(u64::MAX, || AppendError::Unavailable {
        reason: "throttled".to_owned(),
        retry_after: Some(Duration::MAX),
        source: None,
    });
    let run = tokio::spawn(throughline.workflow("test").run_infallible(|_| async {}));
    faults.attempted(1).await;
    let report = throughline.shutdown(Duration::from_millis(200)).await;
    assert!(report.destinations[0].balances() && report.destinations[0].dropped() == 1, "{report}");
    assert!(timeout(SOON, run).await.expect("an answer").unwrap().is_err());
}

#[tokio::test]
async fn events_from_elsewhere_are_taken_no_faster_than_the_store_takes_them() {
    let faulty = FaultyStore::around(MemoryStore::new());
    faulty.faults().fail_next(u64::MAX, away);
    let throughline = Throughline::builder("test")
        .store(faulty)
        .retry(Retry::attempts(1))
        .queue_capacity(16)
        .build()
        .unwrap();
    let mut import = run("import").key("import").instance(InstanceId::from_u64(7));
    import.root();
    let event = import.events().remove(0);
    let taken = Arc::new(AtomicU64::new(0));
    let events = std::iter::repeat_with(|| {
        taken.fetch_add(1, Ordering::Relaxed);
        event.clone()
    });
    let error = throughline.ingest(events.take(200_000)).await.unwrap_err();
    assert!(matches!(error, NotRecorded::Store { .. }), "{error}");
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken < 10_000, "{taken} events were taken before the first error was noticed");
    assert!(throughline.flush(SOON).await.destinations[0].balances());
}

#[test]
fn an_emitter_is_built_used_and_dropped_on_a_current_thread_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = MemoryStore::new();
    runtime.block_on(async {
        let builder =
            Throughline::builder("test").store(FaultyStore::around(store.clone())).feed(MemoryFeed::new());
        let throughline = builder.build_async().await.unwrap();
        throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
        throughline.flush(SOON).await;
        drop(throughline);
    });
    assert_eq!(store.events().len(), 2);
}

fn absent() -> OpenError {
    OpenError::Unavailable { store: "remote", reason: "connection refused".to_owned(), source: None }
}

/// A store with the limits of a far one that cannot be opened so many times, and what it holds.
fn opened_late(attempts: u64) -> (RemoteStore, FaultyStore) {
    let store = RemoteStore::new().limits(Limits::new().events(3).by_trace(2));
    let faulty = FaultyStore::around(store.clone());
    faulty.faults().open().fail_next(attempts, absent);
    (store, faulty)
}

#[tokio::test]
async fn a_service_starts_without_its_store_where_a_spool_takes_what_there_is() {
    let (store, faulty) = opened_late(2);
    let spool = MemorySpool::new();
    let throughline = Throughline::builder("test").store(faulty).spool(spool.clone()).build().unwrap();
    let mut traces = Vec::new();
    for _ in 0..5 {
        let run = throughline.workflow("test").run_infallible(async |ctx| {
            ctx.trace_infallible("stage:a", async {}).await.unwrap();
            ctx.trace_id()
        });
        traces.push(timeout(SOON, run).await.expect("nobody waits for the store").unwrap());
    }
    assert_eq!(store.events().len(), 0);
    assert_eq!(spool.events().len(), 20);
    let events = throughline.reader().unwrap().trace(traces[0]).await.unwrap();
    assert_eq!(events.len(), 4, "a run explains itself while the store is away");

    assert!(throughline.flush(SOON).await.is_complete());
    assert_eq!((store.events().len(), spool.events().len()), (20, 0));
    assert_eq!(store.violations(), Vec::<String>::new());
    let runs = throughline.reader().unwrap();
    let runs = runs.runs(&Filter::new(), &Page::first(10)).await.unwrap();
    assert_eq!(runs.items.len(), 5);
    let report = throughline.shutdown(SOON).await;
    assert!(report.is_complete() && report.destinations[0].balances(), "{report}");
    assert_eq!(report.destinations[0].delivered, 20, "{report}");
}

#[tokio::test]
async fn a_service_whose_store_stays_away_leaves_all_in_the_spool_for_the_next() {
    let (store, faulty) = opened_late(u64::MAX);
    let spool = MemorySpool::new();
    let earlier =
        Throughline::builder("test").store(faulty).spool(spool.clone()).build_async().await.unwrap();
    let run = earlier.workflow("test").run_infallible(async |ctx| ctx.trace_id()).await.unwrap();
    assert_eq!(earlier.reader().unwrap().trace(run).await.unwrap().len(), 2);
    let report = earlier.shutdown(SOON).await;
    assert_eq!((report.destinations[0].pending, report.destinations[0].dropped()), (2, 0), "{report}");

    let later = Throughline::builder("test").store(store.clone()).spool(spool).build().unwrap();
    assert!(later.flush(SOON).await.is_complete());
    assert_eq!(store.events().len(), 2);
}

#[tokio::test]
async fn a_store_that_cannot_be_used_or_has_no_spool_beside_it_stops_the_build() {
    let (_, faulty) = opened_late(u64::MAX);
    assert!(Throughline::builder("test").store(faulty).build().is_err());
    let faulty = FaultyStore::around(RemoteStore::new());
    faulty.faults().open().fail_next(1, || OpenError::Unusable {
        store: "remote",
        reason: "it is of a newer version".to_owned(),
        source: None,
    });
    assert!(Throughline::builder("test").store(faulty).spool(MemorySpool::new()).build().is_err());
}

#[tokio::test]
async fn a_store_that_is_not_open_in_time_is_away() {
    let store = RemoteStore::new();
    let faulty = FaultyStore::around(store.clone());
    let opening = faulty.faults().open().clone();
    opening.hold();
    let builder = Throughline::builder("test").store(faulty).spool(MemorySpool::new());
    let throughline = builder.open_timeout(Duration::from_millis(1)).build_async().await.unwrap();
    let run = throughline.workflow("test").run_infallible(async |ctx| ctx.trace_id());
    let trace = timeout(SOON, run).await.expect("nobody waits for the store").unwrap();
    assert_eq!(throughline.reader().unwrap().trace(trace).await.unwrap().len(), 2);
    opening.release();
    let report = throughline.flush(SOON).await;
    assert!(report.is_complete() && report.destinations[0].name == "remote", "{report}");
    assert_eq!((opening.attempts(), store.events().len()), (1, 2), "what is under way is not begun again");
}

/// Opens at once, but has readers only after an hour.
struct SlowReaders(MemoryStore);

impl StoreConfig for SlowReaders {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        self.0.open(instance)
    }
    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        Box::pin(std::future::pending())
    }
}

/// A spool that does not open.
struct NeverOpen;

impl SpoolConfig for NeverOpen {
    fn open(&self, _: Instance) -> BoxFuture<'static, Result<Arc<dyn Spool>, OpenError>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn a_build_waits_for_what_does_not_open_no_longer_than_it_may() {
    let (store, feed) = (FaultyStore::around(MemoryStore::new()), FaultyFeed::around(MemoryFeed::new()));
    store.faults().open().hold();
    feed.faults().open().hold();
    let builder = || Throughline::builder("test").open_timeout(Duration::from_millis(1));
    let builds = [
        builder().store(store).build_async(),
        builder().feed(feed).build_async(),
        builder().store(SlowReaders(MemoryStore::new())).build_async(),
        builder().store(MemoryStore::new()).spool(NeverOpen).build_async(),
    ];
    for build in builds {
        let error = timeout(SOON, build).await.expect("an answer").map(drop).unwrap_err();
        assert!(error.to_string().contains("raise open_timeout"), "{error}");
    }
}

/// A store whose opening hangs when the lease has been taken out, until it is let go.
struct HalfOpen(RemoteStore, tokio::sync::watch::Sender<bool>);

impl StoreConfig for HalfOpen {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let (opening, mut let_go) = (self.0.open(instance), self.1.subscribe());
        Box::pin(async move {
            let store = opening.await?;
            let _ = let_go.wait_for(|is| *is).await;
            Ok(store)
        })
    }
    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        self.0.open_readers()
    }
}

#[tokio::test]
async fn a_shutdown_gives_back_the_lease_of_a_store_that_is_half_open() {
    let (store, let_go) = (RemoteStore::new(), tokio::sync::watch::Sender::new(false));
    let spool = MemorySpool::new();
    let builder = Throughline::builder("test").store(HalfOpen(store.clone(), let_go.clone()));
    let builder = builder.spool(spool.clone()).open_timeout(Duration::from_millis(1));
    let throughline = builder.build_async().await.unwrap();
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    let instance = spool.events()[0].instance;
    let reader = store.open_readers().await.unwrap().reader;
    assert_eq!(reader.liveness(&[instance]).await.unwrap(), [Liveness::Alive]);
    let mut shutdown = Box::pin(throughline.shutdown(SOON));
    assert!(timeout(Duration::ZERO, &mut shutdown).await.is_err());
    let_go.send_replace(true);
    shutdown.await;
    assert_eq!(reader.liveness(&[instance]).await.unwrap(), [Liveness::Dead]);
}

#[tokio::test]
async fn a_store_that_stays_half_open_holds_up_no_shutdown() {
    let let_go = tokio::sync::watch::Sender::new(false);
    let builder = Throughline::builder("test").store(HalfOpen(RemoteStore::new(), let_go));
    let builder = builder.spool(MemorySpool::new()).open_timeout(Duration::from_millis(1));
    let throughline = builder.build_async().await.unwrap();
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    let report = timeout(SOON, throughline.shutdown(Duration::from_millis(50))).await.expect("it ends");
    assert_eq!((report.destinations[0].pending, report.destinations[0].dropped()), (2, 0), "{report}");
}

#[tokio::test]
async fn a_store_that_panics_when_it_is_opened_late_is_opened_again() {
    let (store, faulty) = opened_late(1);
    faulty.faults().open().panic_next(1);
    let builder = Throughline::builder("test").store(faulty).spool(MemorySpool::new());
    let throughline = builder.build_async().await.unwrap();
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    assert!(throughline.flush(SOON).await.is_complete());
    assert_eq!(store.events().len(), 2);
}

#[tokio::test]
async fn readers_of_a_non_blocking_build_show_what_waits_in_the_spool() {
    let faulty = FaultyStore::around(MemoryStore::new());
    let faults = faulty.faults();
    let throughline =
        Throughline::builder("test").store(faulty).spool(MemorySpool::new()).build_async().await.unwrap();
    faults.fail_next(u64::MAX, away);
    let run = throughline.workflow("test").run_infallible(async |ctx| ctx.trace_id()).await.unwrap();
    assert_eq!(throughline.reader().unwrap().trace(run).await.unwrap().len(), 2);
}
