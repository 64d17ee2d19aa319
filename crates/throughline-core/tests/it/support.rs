//! What the tests of contexts, sagas and delivery share.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use throughline_core::testing::MemorySpool;
use throughline_core::{
    AppendError, Instance, InstanceId, MemoryStore, Retry, SpanId, SpoolConfig, Status, Throughline,
    Timestamp, TraceEvent, TraceId,
};

/// Longer than anything here takes.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Retries that do not make a test wait, each with little time.
pub(crate) fn impatient(attempts: u32) -> Retry {
    Retry::attempts(attempts)
        .delays(Duration::from_micros(10), Duration::from_micros(10))
        .attempt_timeout(Duration::from_millis(20))
}

/// The answer of a store that is away.
pub(crate) fn away() -> AppendError {
    AppendError::Unavailable { reason: "away".to_owned(), retry_after: None, source: None }
}

/// An emitter with a memory store.
pub(crate) fn open() -> (Throughline, MemoryStore) {
    let store = MemoryStore::new();
    (Throughline::builder("test").store(store.clone()).build().unwrap(), store)
}

/// Starts a run that never ends by itself.
pub(crate) async fn start_endless(throughline: &Throughline, key: impl Into<String>) -> TraceId {
    let (tx, rx) = tokio::sync::oneshot::channel();
    tokio::spawn(throughline.workflow("loan").key(key.into()).run_infallible(|ctx| async move {
        let _ = tx.send(ctx.trace_id());
        std::future::pending::<()>().await;
    }));
    rx.await.unwrap()
}

/// A spool in which an earlier process left five events of each of so many traces, each behind those of the others.
pub(crate) async fn left_behind(traces: u64) -> MemorySpool {
    let spool = MemorySpool::new();
    let open = spool.open(Instance::new(InstanceId::from_u64(7), "test")).await.unwrap();
    let mut events = Vec::new();
    for n in 0..5 {
        for trace in 1..=traces {
            let trace = TraceId::from_key(&format!("trace-{trace}"));
            let (span, at) = (SpanId::from_u64(n + 1).unwrap(), Timestamp::from_micros(n as i64));
            let mut event = TraceEvent::new(trace, span, "note", at, "test");
            event.n = n;
            events.push(Arc::new(event));
        }
    }
    open.push(&events).await.unwrap();
    open.close().await.unwrap();
    spool
}

/// The methods of `TraceStore` that a store in a test leaves to the one in its field `inner`.
macro_rules! leave_to_inner {
    () => {
        fn limits(&self) -> throughline_core::Limits {
            self.inner.limits()
        }
        fn lease(&self) -> throughline_core::Lease {
            self.inner.lease()
        }
        fn heartbeat(&self) -> BoxFuture<'_, Result<(), AppendError>> {
            self.inner.heartbeat()
        }
        fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<throughline_core::Claim, AppendError>> {
            self.inner.claim(trace)
        }
        fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
            self.inner.release(trace)
        }
        fn readers(&self) -> Readers {
            self.inner.readers()
        }
        fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
            self.inner.close()
        }
    };
}
pub(crate) use leave_to_inner;

/// The trace of the latest run under a key.
pub(crate) fn trace_of(store: &MemoryStore, key: &str) -> TraceId {
    let events = store.events();
    let mut of_key =
        events.iter().filter(|event| event.correlation_id.as_deref() == Some(key) && event.is_root());
    of_key.rfind(|event| event.seq == 0).unwrap_or_else(|| panic!("{key}")).trace_id
}

/// The first event of this type.
pub(crate) fn started(events: &[TraceEvent], event_type: &str) -> TraceEvent {
    events
        .iter()
        .find(|event| event.event_type == event_type)
        .unwrap_or_else(|| panic!("{event_type}"))
        .clone()
}

/// The last event of this type that ended something.
pub(crate) fn ended(events: &[TraceEvent], event_type: &str) -> TraceEvent {
    let mut ends =
        events.iter().filter(|event| event.event_type == event_type && event.status != Status::Pending);
    ends.next_back().unwrap_or_else(|| panic!("{event_type}")).clone()
}

/// The parent of each span by event type.
pub(crate) fn parents(events: &[TraceEvent]) -> HashMap<String, String> {
    let name = |id| events.iter().find(|event| event.span_id == id).map(|event| event.event_type.to_string());
    let starts = events.iter().filter(|event| event.seq == 0);
    starts.filter_map(|event| Some((event.event_type.to_string(), name(event.parent_span_id?)?))).collect()
}
