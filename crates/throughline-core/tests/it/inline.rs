//! Stores that append on the thread that emits: no clock and no other thread comes between a step and its record.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use throughline_core::{
    AppendError, AppendInline, BoxFuture, Claim, Instance, MemoryStore, NotRecorded, OpenError, Readers,
    StoreConfig, Throughline, TraceEvent, TraceId, TraceStore,
};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::support::open;

const A_SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn time_limits_hold_under_a_paused_clock() {
    let (throughline, store) = open();
    for _ in 0..50 {
        let run = throughline.workflow("test").run(|ctx| async move {
            timeout(A_SECOND, ctx.trace_infallible("stage:a", async {})).await.expect("no time passes")?;
            timeout(A_SECOND, ctx.event("business:noted", serde_json::json!({}))).await.unwrap().unwrap();
            // What the step itself waits for is found by a clock that jumps, as ever.
            let slow = ctx.trace_infallible("stage:slow", tokio::time::sleep(2 * A_SECOND));
            assert!(timeout(A_SECOND, slow).await.is_err());
            Ok::<_, NotRecorded>(())
        });
        timeout(3 * A_SECOND / 2, run).await.expect("only the slow step takes time").unwrap().unwrap();
        let report = timeout(A_SECOND, throughline.flush(A_SECOND)).await.expect("nothing is pending");
        assert!(report.is_complete(), "{report}");
    }
    assert_eq!(store.events().len(), 50 * 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_event_is_stored_and_counted_once_and_its_place_is_free_again() {
    let store = MemoryStore::new();
    let throughline = Throughline::builder("test").store(store.clone()).queue_capacity(1).build().unwrap();
    let runs: Vec<_> = (0..8)
        .map(|_| {
            tokio::spawn(throughline.workflow("test").run(|ctx| async move {
                for _ in 0..50 {
                    ctx.trace_infallible("stage:a", tokio::task::yield_now()).await?;
                }
                Ok::<_, NotRecorded>(())
            }))
        })
        .collect();
    for run in runs {
        timeout(10 * A_SECOND, run).await.expect("no place is lost").unwrap().unwrap().unwrap();
    }
    let account = &throughline.flush(A_SECOND).await.destinations[0];
    assert_eq!((account.accepted, account.delivered, account.pending), (816, 816, 0));
    assert_eq!(store.events().len(), 816);
}

/// A store that takes events inline unless it is told not to, and remembers in which order they came.
#[derive(Clone)]
struct Toy(Arc<State>);

struct State {
    inner: MemoryStore,
    order: Mutex<Vec<u64>>,
    refuses: AtomicBool,
    panics: AtomicBool,
    held: watch::Sender<bool>,
}

impl Toy {
    fn new() -> Self {
        Self(Arc::new(State {
            inner: MemoryStore::new(),
            order: Mutex::default(),
            refuses: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            held: watch::Sender::new(false),
        }))
    }

    fn order(&self) -> Vec<u64> {
        self.0.order.lock().unwrap().clone()
    }
}

impl StoreConfig for Toy {
    fn open(&self, _: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let store = self.clone();
        Box::pin(async move { Ok(Arc::new(store) as Arc<dyn TraceStore>) })
    }
    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        self.0.inner.open_readers()
    }
}

impl TraceStore for Toy {
    fn name(&self) -> &str {
        "toy"
    }
    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            let _ = self.0.held.subscribe().wait_for(|held| !held).await;
            self.0.order.lock().unwrap().extend(events.iter().map(|event| event.n));
            Ok(())
        })
    }
    fn inline(&self) -> Option<Arc<dyn AppendInline>> {
        Some(Arc::new(self.clone()))
    }
    fn claim(&self, _: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>> {
        Box::pin(std::future::ready(Ok(Claim::Granted)))
    }
    fn release(&self, _: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(std::future::ready(Ok(())))
    }
    fn readers(&self) -> Readers {
        self.0.inner.readers()
    }
    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl AppendInline for Toy {
    fn append_inline(&self, event: &Arc<TraceEvent>) -> bool {
        assert!(!self.0.panics.load(Ordering::Relaxed), "it was told to panic");
        let takes = !self.0.refuses.load(Ordering::Relaxed);
        if takes {
            self.0.order.lock().unwrap().push(event.n);
        }
        takes
    }
}

#[tokio::test]
async fn no_event_overtakes_one_that_waits() {
    let toy = Toy::new();
    let throughline = Throughline::builder("test").store(toy.clone()).build().unwrap();
    toy.0.refuses.store(true, Ordering::Relaxed);
    toy.0.held.send_replace(true);
    let first = tokio::spawn(throughline.workflow("first").run_infallible(|_| async {}));
    let accepted = async |events| {
        while throughline.delivery_report().destinations[0].accepted < events {
            tokio::task::yield_now().await;
        }
    };
    accepted(1).await;
    toy.0.refuses.store(false, Ordering::Relaxed);
    let second = tokio::spawn(throughline.workflow("second").run_infallible(|_| async {}));
    accepted(2).await;
    assert!(toy.order().is_empty(), "the second waits behind the first");
    toy.0.held.send_replace(false);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert_eq!(toy.order(), [0, 1, 2, 3]);
    assert!(throughline.delivery_report().is_complete());
}

#[tokio::test]
async fn an_inline_append_that_panics_is_tried_again_by_the_delivery_thread() {
    let toy = Toy::new();
    let throughline = Throughline::builder("test").store(toy.clone()).build().unwrap();
    toy.0.panics.store(true, Ordering::Relaxed);
    throughline.workflow("test").run_infallible(|_| async {}).await.unwrap();
    assert_eq!(toy.order(), [0, 1]);
    assert!(throughline.delivery_report().is_complete());
}

#[tokio::test]
async fn a_full_memory_store_says_so_as_ever() {
    let store = MemoryStore::new().capacity(2);
    let retry =
        throughline_core::Retry::attempts(2).delays(Duration::from_micros(10), Duration::from_micros(10));
    let throughline = Throughline::builder("test").store(store).retry(retry).build().unwrap();
    let run = throughline.workflow("test").run_infallible(|ctx| async move {
        let refused = ctx.trace_infallible("stage:a", async { unreachable!() }).await.unwrap_err();
        assert!(refused.to_string().contains("after 2 attempt(s)"), "{refused}");
    });
    run.await.unwrap();
    assert_eq!(throughline.delivery_report().destinations[0].dropped(), 1);
}
