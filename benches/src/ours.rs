//! Our side of the comparisons.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::bail;
use throughline_core::{
    AppendError, BoxFuture, Claim, EventSink, Instance, Lease, Limits, OpenError, Readers, StoreConfig,
    Throughline, TraceContext, TraceEvent, TraceId, TraceStore,
};

use crate::load::{EVENTS_OF_A_RUN, Meter, payload};

struct Dropping;

impl EventSink for Dropping {
    fn name(&self) -> &str {
        "dropping"
    }
    fn on_event(&self, event: &Arc<TraceEvent>) {
        std::hint::black_box(event);
    }
}

/// With a sink that drops what it is given, and nothing else.
///
/// # Errors
/// If it can't be built.
pub fn in_process() -> anyhow::Result<Throughline> {
    Ok(Throughline::builder("bench").sink(Dropping).build()?)
}

/// With everything off.
///
/// # Errors
/// If it can't be built.
pub fn off() -> anyhow::Result<Throughline> {
    Ok(Throughline::builder("bench").disabled(true).build()?)
}

/// One run with so many steps in it, each with two attributes.
///
/// # Errors
/// If a step can't be recorded.
pub async fn run_of(throughline: &Throughline, steps: usize) -> anyhow::Result<()> {
    let workflow = throughline.workflow("bench").attr("tenant", "acme").attr("execution", "e-1");
    workflow.run(|ctx| steps_in(ctx, steps)).await?
}

/// So many steps in a context.
///
/// # Errors
/// If a step can't be recorded.
pub async fn steps_in(ctx: TraceContext, steps: usize) -> anyhow::Result<()> {
    for step in 0..steps {
        let step = async move { Ok::<_, fmt::Error>(std::hint::black_box(step)) };
        std::hint::black_box(ctx.trace("stage:x", step).await??);
    }
    Ok(())
}

/// Emits runs of 15 events until the meter is full: a start, 13 events with a payload, an end, each durable before
/// the next begins.
///
/// # Errors
/// If an event can't be recorded.
pub async fn emit_runs(throughline: Throughline, mut meter: Meter) -> anyhow::Result<Meter> {
    let payload = Arc::new(payload());
    while meter.wants_more() {
        let workflow = throughline.workflow("loan-approval").attr("tenant", "acme");
        meter = workflow
            .run(|ctx| {
                let payload = Arc::clone(&payload);
                async move {
                    for _ in 0..EVENTS_OF_A_RUN - 2 {
                        meter
                            .measure(async {
                                Ok(ctx
                                    .event("business:approved", serde_json::Map::clone(&payload))
                                    .await
                                    .map(drop)?)
                            })
                            .await?;
                    }
                    anyhow::Ok(meter)
                }
            })
            .await??;
        meter.count(2);
    }
    Ok(meter)
}

/// Waits until everything is delivered and the lease is released.
///
/// # Errors
/// If an event was lost or is still pending.
pub async fn shutdown(throughline: &Throughline) -> anyhow::Result<()> {
    let report = throughline.shutdown(Duration::from_secs(30)).await;
    if !report.is_complete() {
        bail!("events were lost or are pending: {report:?}");
    }
    Ok(())
}

/// The groups in which a store was given events.
#[derive(Debug, Clone, Default)]
pub struct Groups(Arc<Mutex<Vec<Vec<Arc<TraceEvent>>>>>);

impl Groups {
    /// The groups so far, leaving none.
    pub fn take(&self) -> Vec<Vec<Arc<TraceEvent>>> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A store that remembers the groups it was given, so that a peer can be given the same.
#[derive(Debug)]
pub struct Remembering<S> {
    store: S,
    groups: Groups,
}

impl<S> Remembering<S> {
    /// A store in front of another.
    pub fn new(store: S) -> (Self, Groups) {
        let groups = Groups::default();
        (Self { store, groups: groups.clone() }, groups)
    }
}

impl<S: StoreConfig> StoreConfig for Remembering<S> {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let (opening, groups) = (self.store.open(instance), self.groups.clone());
        Box::pin(async move {
            let store = opening.await?;
            Ok(Arc::new(Open { store, groups }) as Arc<dyn TraceStore>)
        })
    }
    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        self.store.open_readers()
    }
}

struct Open {
    store: Arc<dyn TraceStore>,
    groups: Groups,
}

impl TraceStore for Open {
    fn name(&self) -> &str {
        self.store.name()
    }
    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        self.groups.0.lock().unwrap_or_else(PoisonError::into_inner).push(events.to_vec());
        self.store.append(events)
    }
    fn prepare(&self, events: &[Arc<TraceEvent>]) {
        self.store.prepare(events);
    }
    fn limits(&self) -> Limits {
        self.store.limits()
    }
    fn group_commit_delay(&self) -> Duration {
        self.store.group_commit_delay()
    }
    fn lease(&self) -> Lease {
        self.store.lease()
    }
    fn heartbeat(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.store.heartbeat()
    }
    fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>> {
        self.store.claim(trace)
    }
    fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
        self.store.release(trace)
    }
    fn readers(&self) -> Readers {
        self.store.readers()
    }
    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.store.close()
    }
}
