//! [`Prometheus`], the recorder.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SetRecorderError, SharedString, Unit,
};
use throughline_core::Timestamp;
use throughline_core::metrics::catalogue::Kind;
use throughline_core::metrics::{BucketAdvice, MetricSnapshot, MetricSource, Metrics, Profile};

use crate::buckets::{self, Buckets};
use crate::registry::{Described, Registry};
use crate::{ExpositionFormat, render, snapshot, system};

#[doc = include_str!("prometheus.md")]
#[derive(Clone)]
pub struct Prometheus {
    recorder: Arc<PrometheusRecorder>,
    metrics: Metrics,
}

impl Prometheus {
    /// With the standard names, the advised buckets, and metrics of the process and of the tokio runtime that this is
    /// called in, if any.
    pub fn new() -> Self {
        PrometheusBuilder::default().assemble()
    }

    /// A builder for a different configuration.
    pub fn builder() -> PrometheusBuilder {
        PrometheusBuilder::default()
    }

    /// The current value of every metric, as text. Runs the collectors first; these read from the operating system, so call
    /// it where blocking for a moment is allowed.
    pub fn render(&self, format: ExpositionFormat) -> String {
        self.metrics.collect();
        self.recorder.system.measure(&self.recorder.registry);
        let last = self.recorder.last_size.load(Ordering::Relaxed);
        let page = render::render(&self.recorder.registry, format, last + last / 8);
        self.recorder.last_size.store(page.len(), Ordering::Relaxed);
        page
    }

    /// The recorder alone, for layers of `metrics-util` or [`metrics::with_local_recorder`].
    pub fn recorder(&self) -> Arc<PrometheusRecorder> {
        Arc::clone(&self.recorder)
    }

    /// Makes it the process' recorder, so that what third-party crates measure with the macros of [`metrics`] is seen
    /// too. Nothing in Throughline needs this.
    ///
    /// # Errors
    /// When the process has a recorder already.
    pub fn install_global(&self) -> Result<(), InstallError> {
        metrics::set_global_recorder(self.recorder()).map_err(|_: SetRecorderError<_>| InstallError)
    }
}

impl MetricSource for Prometheus {
    fn snapshot(&self) -> MetricSnapshot {
        self.metrics.collect();
        self.recorder.system.measure(&self.recorder.registry);
        snapshot::snapshot(&self.recorder.registry, self.recorder.since)
    }
}

impl Default for Prometheus {
    fn default() -> Self {
        Self::new()
    }
}

impl From<&Prometheus> for Metrics {
    fn from(prometheus: &Prometheus) -> Self {
        prometheus.metrics.clone()
    }
}

impl fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prometheus").field("metrics", &self.metrics).finish_non_exhaustive()
    }
}

/// The process has a recorder already.
#[derive(Debug, thiserror::Error)]
#[error(
    "the process has a metrics recorder already: install only one, or hand that one to Throughline with Metrics::global()"
)]
pub struct InstallError;

/// Describes a [`Prometheus`].
#[derive(Debug)]
#[must_use = "nothing is measured before build()"]
pub struct PrometheusBuilder {
    profile: Profile,
    label_cap: Option<usize>,
    series_cap: usize,
    buckets: Vec<(String, Vec<f64>)>,
    process: bool,
    runtime: Option<tokio::runtime::Handle>,
}

impl Default for PrometheusBuilder {
    fn default() -> Self {
        Self {
            profile: Profile::default(),
            label_cap: None,
            series_cap: 10_000,
            buckets: Vec::new(),
            process: true,
            runtime: None,
        }
    }
}

impl PrometheusBuilder {
    /// Under which names Throughline's metrics are kept; those of today's conventions by default.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// How many values a label of Throughline's metrics may have, see [`Metrics::label_cap`].
    pub fn label_cap(mut self, values: usize) -> Self {
        self.label_cap = Some(values);
        self
    }

    /// How many series a metric may have, 10,000 by default. What comes after is folded into one series
    /// whose labels all have the value [`OVERFLOW`](throughline_core::metrics::OVERFLOW), and counted.
    pub fn series_cap(mut self, series: usize) -> Self {
        self.series_cap = series;
        self
    }

    /// The upper bounds of the buckets of the histogram of this name, included and in ascending order, without the
    /// infinite one.
    pub fn buckets(mut self, name: impl Into<String>, bounds: impl Into<Vec<f64>>) -> Self {
        self.buckets.push((name.into(), bounds.into()));
        self
    }

    /// Whether the process is measured: CPU, memory, file descriptors, threads. It is by default.
    #[cfg(feature = "process")]
    pub fn process(mut self, measured: bool) -> Self {
        self.process = measured;
        self
    }

    /// The tokio runtime that is measured; the one that [`build`](Self::build) is called in by default.
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Builds it. Nothing is installed, and no port is opened.
    ///
    /// # Errors
    /// When bounds of buckets are not in ascending order, not finite, none, or more than 100, or no series is allowed.
    pub fn build(self) -> Result<Prometheus, PrometheusError> {
        if self.series_cap == 0 {
            return Err(PrometheusError::NoSeries);
        }
        match self.buckets.iter().find(|(_, bounds)| !buckets::is_sound(bounds)) {
            Some((name, bounds)) => {
                Err(PrometheusError::Buckets { name: name.clone(), given: bounds.clone() })
            }
            None => Ok(self.assemble()),
        }
    }

    fn assemble(self) -> Prometheus {
        let mut buckets = Buckets::default();
        for (name, bounds) in self.buckets {
            buckets.ask(name, bounds.into());
        }
        let runtime = self.runtime.or_else(|| tokio::runtime::Handle::try_current().ok());
        let recorder = Arc::new(PrometheusRecorder {
            registry: Registry::new(buckets, self.series_cap),
            system: system::System::new(self.process, runtime, self.profile.clone()),
            since: Timestamp::now(),
            last_size: AtomicUsize::new(4096),
        });
        let mut metrics = Metrics::to_advised(Arc::clone(&recorder)).profile(self.profile);
        if let Some(values) = self.label_cap {
            metrics = metrics.label_cap(values);
        }
        Prometheus { recorder, metrics }
    }
}

/// Why the configuration of a [`Prometheus`] is invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrometheusError {
    /// These can't be the bounds of buckets.
    #[error(
        "`{name}` can't have the buckets {given:?}: use 1 to 100 finite upper bounds in ascending order; infinity is added"
    )]
    Buckets {
        /// The histogram.
        name: String,
        /// What was given.
        given: Vec<f64>,
    },
    /// The limit on series is zero.
    #[error("series_cap must be at least 1")]
    NoSeries,
}

/// What [`Prometheus`] is behind the façade [`metrics`].
pub struct PrometheusRecorder {
    registry: Registry,
    system: system::System,
    since: Timestamp,
    /// How large the last page was, so that the next one grows only once.
    last_size: AtomicUsize,
}

impl PrometheusRecorder {
    fn describe(&self, kind: Kind, name: &KeyName, unit: Option<Unit>, help: SharedString) {
        self.registry.describe(kind, name.as_str(), Described { unit, help });
    }
}

impl Recorder for PrometheusRecorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(Kind::Counter, &key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(Kind::Gauge, &key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.describe(Kind::Histogram, &key, unit, description);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.registry.counter(key).map_or_else(Counter::noop, Counter::from_arc)
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.registry.gauge(key).map_or_else(Gauge::noop, Gauge::from_arc)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.registry.histogram(key).map_or_else(Histogram::noop, Histogram::from_arc)
    }
}

impl BucketAdvice for PrometheusRecorder {
    fn advise(&self, name: &str, bounds: &'static [f64]) {
        self.registry.buckets.advise(name, bounds);
    }
}

impl fmt::Debug for PrometheusRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusRecorder").finish_non_exhaustive()
    }
}
