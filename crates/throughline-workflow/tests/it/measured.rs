//! An emitter whose events, measurements and logs can be looked into.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use throughline_core::metrics::Metrics;
use throughline_core::testing::{Faults, FaultyStore, tree};
use throughline_core::{MemoryStore, Redaction, Retry, Throughline, TraceEvent};
use tracing_subscriber::fmt::MakeWriter;

pub(crate) struct Measured {
    pub(crate) throughline: Throughline,
    pub(crate) faults: Faults,
    pub(crate) metrics: Metrics,
    store: MemoryStore,
    snapshotter: Snapshotter,
}

impl Measured {
    pub(crate) fn new() -> Self {
        let (store, recorder) = (MemoryStore::new(), DebuggingRecorder::new());
        let snapshotter = recorder.snapshotter();
        let faulty = FaultyStore::around(store.clone());
        let faults = faulty.faults();
        let metrics = Metrics::to(recorder);
        let throughline = Throughline::builder("test")
            .store(faulty)
            .retry(Retry::attempts(1))
            .redaction(Redaction::standard().pseudonym_key("sixteen bytes and more"))
            .metrics(metrics.clone())
            .build()
            .unwrap();
        Self { throughline, faults, metrics, store, snapshotter }
    }

    /// All events, once the last is delivered.
    pub(crate) async fn events(&self) -> Vec<TraceEvent> {
        self.throughline.flush(Duration::from_secs(10)).await;
        self.store.events()
    }

    /// All runs as a tree without ids and times.
    pub(crate) async fn tree(&self) -> String {
        tree(&self.events().await)
    }

    /// The series that begin so after `throughline_`, a line each: `name{label=value} 3`. All begin anew with each look;
    /// of a histogram the values are shown.
    pub(crate) fn series(&self, prefix: &str) -> String {
        let series = self.snapshotter.snapshot().into_vec().into_iter().filter_map(|(key, _, _, value)| {
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

/// What is logged by this thread as long as the guard lives, a line each, without times.
pub(crate) fn logs() -> (Logs, tracing::subscriber::DefaultGuard) {
    let logs = Logs::default();
    let subscriber = tracing_subscriber::fmt()
        .without_time()
        .with_ansi(false)
        .with_target(false)
        .with_max_level(tracing::Level::INFO)
        .with_writer(logs.clone())
        .finish();
    (logs, tracing::subscriber::set_default(subscriber))
}

#[derive(Clone, Default)]
pub(crate) struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Logs {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
