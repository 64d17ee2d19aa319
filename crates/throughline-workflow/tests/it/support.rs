//! What the tests of the layers share.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use throughline_core::metrics::Metrics;
use throughline_core::testing::{Faults, FaultyStore, tree};
use throughline_core::{
    AppendError, Durability, Filter, MemoryStore, Page, Redaction, Retry, RunSummary, Status, Throughline,
    ThroughlineBuilder, TraceEvent,
};

/// The latest run under a key.
pub(crate) async fn latest(throughline: &Throughline, key: &str) -> RunSummary {
    let (reader, filter) = (throughline.reader().unwrap(), Filter::new().correlation_id(key.to_owned()));
    reader.runs(&filter, &Page::first(1)).await.unwrap().items.remove(0)
}

/// An emitter with a store that can be told to fail, and a recorder that can be looked into.
pub(crate) struct Bench {
    pub(crate) throughline: Throughline,
    pub(crate) faults: Faults,
    pub(crate) metrics: Metrics,
    store: MemoryStore,
    measured: Snapshotter,
    readings: Mutex<BTreeMap<String, f64>>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::described(|builder| builder)
    }

    /// One whose steps do not wait until their start is durable.
    pub(crate) fn pipelined() -> Self {
        Self::described(|builder| builder.durability(Durability::Pipelined))
    }

    fn described(describe: impl FnOnce(ThroughlineBuilder) -> ThroughlineBuilder) -> Self {
        let (store, recorder) = (MemoryStore::new(), DebuggingRecorder::new());
        let (measured, faulty) = (recorder.snapshotter(), FaultyStore::around(store.clone()));
        let (faults, metrics) = (faulty.faults(), Metrics::to(recorder));
        let throughline = describe(Throughline::builder("test"))
            .store(faulty)
            .metrics(metrics.clone())
            .redaction(Redaction::standard().pseudonym_key("sixteen bytes and more"))
            .retry(Retry::attempts(1))
            .build()
            .unwrap();
        Self { throughline, faults, metrics, store, measured, readings: Mutex::default() }
    }

    /// The store refuses the next event.
    pub(crate) fn fail_next(&self) {
        self.faults
            .fail_next(1, || AppendError::Broken { reason: "the disk is full".to_owned(), source: None });
    }

    /// All events, once the last is delivered.
    pub(crate) async fn events(&self) -> Vec<TraceEvent> {
        self.throughline.flush(Duration::from_secs(10)).await;
        self.store.events()
    }

    /// The latest run under a key.
    pub(crate) async fn run_of(&self, key: &str) -> RunSummary {
        self.throughline.flush(Duration::from_secs(10)).await;
        latest(&self.throughline, key).await
    }

    /// All runs as a tree without ids and times.
    pub(crate) async fn tree(&self) -> String {
        tree(&self.events().await)
    }

    /// What was measured under names that begin like this, and where it stands; of a histogram how often it was
    /// recorded.
    pub(crate) fn readings(&self, prefix: &str) -> String {
        let mut readings = self.readings.lock().unwrap();
        // A snapshot sets everything back to nothing, gauges included.
        for (key, _, _, value) in self.measured.snapshot().into_vec() {
            let labels: Vec<_> = key.key().labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
            let since = match value {
                DebugValue::Counter(count) => count as f64,
                DebugValue::Gauge(value) => value.into_inner(),
                DebugValue::Histogram(values) => values.len() as f64,
            };
            *readings.entry(format!("{}{{{}}}", key.key().name(), labels.join(","))).or_default() += since;
        }
        let readings = readings.iter().filter(|(name, _)| name.starts_with(prefix));
        readings.map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join("\n")
    }

    /// What was measured since one last looked, under names that begin like this after `throughline_`; of a histogram the
    /// values. For what is set rather than added, of which [`Self::readings`] knows nothing.
    pub(crate) fn series(&self, prefix: &str) -> String {
        let series = self.measured.snapshot().into_vec().into_iter().filter_map(|(key, _, _, value)| {
            let name = key.key().name().strip_prefix("throughline_")?;
            let labels: Vec<_> = key.key().labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
            let value = match value {
                DebugValue::Counter(count) => count.to_string(),
                DebugValue::Gauge(value) => value.to_string(),
                DebugValue::Histogram(values) if values.is_empty() => return None,
                DebugValue::Histogram(values) => {
                    format!("{:?}", values.iter().map(|v| v.0).collect::<Vec<_>>())
                }
            };
            let line = format!("{name}{{{}}} {value}", labels.join(", "));
            line.starts_with(prefix).then_some(line)
        });
        let mut series: Vec<_> = series.collect();
        series.sort();
        series.join("\n")
    }
}

/// The start event of the spans of this type, in their order.
pub(crate) fn starts(events: &[TraceEvent], event_type: &str) -> Vec<TraceEvent> {
    let start = |event: &&TraceEvent| event.seq == 0 && event.event_type == event_type;
    events.iter().filter(start).cloned().collect()
}

/// The last event of the only span of this type that ended.
pub(crate) fn ended(events: &[TraceEvent], event_type: &str) -> TraceEvent {
    let mut ends =
        events.iter().filter(|event| event.event_type == event_type && event.status != Status::Pending);
    ends.next_back().unwrap_or_else(|| panic!("{event_type} has no end")).clone()
}

/// An error of a service.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("the bureau did not answer")]
    Timeout(#[source] std::io::Error),
}

impl Trouble {
    pub(crate) fn timeout() -> Self {
        Self::Timeout(std::io::Error::other("connection reset"))
    }
}

/// Longer than a look-up may take.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(5);

/// What a store answers that is away when it is asked.
pub(crate) fn not_read() -> throughline_core::ReadError {
    throughline_core::ReadError::Unavailable { reason: "away".to_owned(), source: None }
}
