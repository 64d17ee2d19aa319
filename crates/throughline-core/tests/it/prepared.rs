//! What a store is told of the group that comes next, while delivery waits for it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use throughline_core::{
    AppendError, BoxFuture, Claim, DeliveryReport, Instance, MemoryStore, NotRecorded, OpenError, Readers,
    StoreConfig, Throughline, TraceEvent, TraceId, TraceStore,
};

use crate::support::{SOON, away, impatient};

/// More than are worth beginning with, so that a part of a group is there before the rest.
const EMITTERS: usize = 64;

/// A store that writes down what it is told.
#[derive(Clone, Default)]
struct Told(Arc<State>);

#[derive(Default)]
struct State {
    inner: MemoryStore,
    prepared: Mutex<Vec<Arc<TraceEvent>>>,
    /// Groups of which some was prepared.
    groups: AtomicUsize,
    /// Events that were prepared and then not the first ones of a group.
    strays: AtomicUsize,
    /// It refuses the group with which this many have been prepared, and then no other.
    refuses_from: AtomicUsize,
    has_refused: AtomicBool,
    panics: AtomicBool,
    panicked: AtomicUsize,
}

impl StoreConfig for Told {
    fn open(&self, _: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let store = self.clone();
        Box::pin(async move { Ok(Arc::new(store) as Arc<dyn TraceStore>) })
    }
    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        self.0.inner.open_readers()
    }
}

impl TraceStore for Told {
    fn name(&self) -> &str {
        "told"
    }
    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        let prepared = std::mem::take(&mut *self.0.prepared.lock().unwrap());
        let is_same = |(told, given): (&Arc<TraceEvent>, &Arc<TraceEvent>)| Arc::ptr_eq(told, given);
        if prepared.len() > events.len() || !prepared.iter().zip(events).all(is_same) {
            self.0.strays.fetch_add(prepared.len(), Ordering::Relaxed);
        }
        let groups = self.0.groups.fetch_add(usize::from(!prepared.is_empty()), Ordering::Relaxed)
            + usize::from(!prepared.is_empty());
        let refuses_from = self.0.refuses_from.load(Ordering::Relaxed);
        let is_refused = refuses_from > 0
            && groups >= refuses_from
            && !prepared.is_empty()
            && !self.0.has_refused.swap(true, Ordering::Relaxed);
        Box::pin(std::future::ready(if is_refused { Err(away()) } else { Ok(()) }))
    }
    fn prepare(&self, events: &[Arc<TraceEvent>]) {
        if self.0.panics.load(Ordering::Relaxed) && !events.is_empty() {
            self.0.panicked.fetch_add(1, Ordering::Relaxed);
            panic!("it was told to panic");
        }
        *self.0.prepared.lock().unwrap() = events.to_vec();
    }
    fn group_commit_delay(&self) -> Duration {
        Duration::from_millis(20)
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

/// Emits until the store has seen what is asked for; answers the report of the end.
async fn emit_until(store: &Told, is_seen: fn(&State) -> bool) -> DeliveryReport {
    let throughline = Throughline::builder("test").store(store.clone()).retry(impatient(3)).build().unwrap();
    let emitters = (0..EMITTERS).map(|_| {
        let state = Arc::clone(&store.0);
        tokio::spawn(throughline.workflow("busy").run(async move |ctx| {
            while !is_seen(&state) {
                ctx.event("stage:item", json!({})).await?;
            }
            Ok::<_, NotRecorded>(())
        }))
    });
    for emitter in emitters.collect::<Vec<_>>() {
        tokio::time::timeout(SOON, emitter).await.unwrap().unwrap().unwrap().unwrap();
    }
    throughline.shutdown(SOON).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_prepared_begins_the_group_that_comes_next() {
    let store = Told::default();
    let report = emit_until(&store, |state| state.groups.load(Ordering::Relaxed) >= 3).await;
    assert_eq!(store.0.strays.load(Ordering::Relaxed), 0);
    assert!(report.is_complete(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_a_group_is_to_forget_what_it_prepared() {
    let store = Told::default();
    store.0.refuses_from.store(3, Ordering::Relaxed);
    let report = emit_until(&store, |state| state.groups.load(Ordering::Relaxed) >= 6).await;
    assert!(store.0.has_refused.load(Ordering::Relaxed), "it refused nothing");
    assert_eq!(store.0.strays.load(Ordering::Relaxed), 0);
    assert!(report.is_complete(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_panics_when_it_prepares_gets_its_groups_all_the_same() {
    let store = Told::default();
    store.0.panics.store(true, Ordering::Relaxed);
    let is_seen = |state: &State| state.panicked.load(Ordering::Relaxed) >= 3;
    let report = emit_until(&store, is_seen).await;
    assert!(report.is_complete() && report.destinations[0].panics >= 3, "{report:?}");
}
