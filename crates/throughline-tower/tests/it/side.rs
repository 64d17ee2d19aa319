//! One side of a call: a service with a store and a recorder of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use throughline_core::metrics::Metrics;
use throughline_core::{MemoryStore, Throughline, TraceEvent};
use tokio::net::TcpListener;

pub(crate) struct Side {
    pub(crate) throughline: Throughline,
    store: MemoryStore,
    snapshotter: Snapshotter,
}

impl Side {
    pub(crate) fn new(service: &'static str) -> Self {
        let (store, recorder) = (MemoryStore::new(), DebuggingRecorder::new());
        let snapshotter = recorder.snapshotter();
        let throughline = Throughline::builder(service)
            .store(store.clone())
            .metrics(Metrics::to(recorder))
            .build()
            .unwrap();
        Self { throughline, store, snapshotter }
    }

    pub(crate) async fn events(&self) -> Vec<TraceEvent> {
        assert!(self.throughline.flush(Duration::from_secs(10)).await.is_complete());
        self.store.events()
    }

    /// The event that ends a span of this type, once it is there.
    pub(crate) async fn end_of(&self, event_type: &str) -> TraceEvent {
        let found = async {
            loop {
                let mut events = self.events().await.into_iter();
                if let Some(end) = events.find(|event| event.event_type == event_type && event.seq == 1) {
                    return end;
                }
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(20), found).await;
        assert!(found.is_ok(), "no {event_type} has ended");
        found.unwrap()
    }

    /// The values that were recorded since the last time, by `name{label=value}`, of metrics whose name holds `part`.
    pub(crate) fn recorded(&self, part: &str) -> BTreeMap<String, Vec<f64>> {
        let series = self.snapshotter.snapshot().into_vec().into_iter();
        let series = series.filter(|(key, ..)| key.key().name().contains(part));
        series
            .map(|(key, _, _, value)| {
                let labels: Vec<_> =
                    key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
                let values = match value {
                    DebugValue::Counter(count) => vec![count as f64],
                    DebugValue::Gauge(value) => vec![value.into_inner()],
                    DebugValue::Histogram(values) => values.into_iter().map(f64::from).collect(),
                };
                (format!("{}{{{}}}", key.key().name(), labels.join(",")), values)
            })
            .collect()
    }
}

/// Serves a router on loopback; returns its origin.
pub(crate) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}

/// An origin where nobody listens.
#[cfg(any(feature = "reqwest", feature = "transports"))]
pub(crate) async fn dead_origin() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}
