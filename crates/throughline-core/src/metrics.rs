//! Metrics: the [catalogue], and where measurements go.
//!
//! A service says once, with [`ThroughlineBuilder::metrics`](crate::ThroughlineBuilder::metrics), which
//! [`metrics::Recorder`] takes its measurements. Middleware and hooks ask the [`Meter`] for the series of a metric of
//! the catalogue and record into them; nobody can invent a name, and label values are redacted and bounded on their
//! way.

pub mod catalogue;
mod collect;
mod delivery;
mod events;
mod exemplar;
mod family;
mod naming;
mod profile;
mod runs;
mod series;
mod snapshot;

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex};

use ::metrics::{Key, KeyName, Label, Level, Metadata, Recorder, SharedString};

pub use collect::CollectorGuard;
pub use exemplar::Exemplar;
pub use family::{CounterFamily, Family, GaugeFamily, HistogramFamily, OVERFLOW};
pub use profile::{Profile, ProfileError};
pub use series::{Counter, Gauge, GaugeGuard, Histogram, Instrument};
pub use snapshot::{
    MetricBuckets, MetricExample, MetricFamily, MetricSeries, MetricSnapshot, MetricSource, MetricValue,
};

use rustc_hash::FxHashMap;
use throughline_redact::Redactor;

use catalogue::{Description, Kind, Metric};
use collect::Collectors;

pub(crate) use delivery::measure_delivery;
pub(crate) use events::EventMetrics;
pub(crate) use runs::measure_runs;

/// The target under which a recorder sees the metrics of the catalogue: `Metadata::target`.
pub const TARGET: &str = "throughline";

/// A recorder that can be told which buckets a histogram should have.
pub trait BucketAdvice: Send + Sync {
    /// The upper bounds for the histogram of this name; comes before its first series is registered.
    fn advise(&self, name: &str, bounds: &'static [f64]);
}

/// Where measurements go, and under which names.
///
/// ```
/// use throughline_core::metrics::{Metrics, Profile};
/// use throughline_core::{MemoryStore, Throughline};
///
/// let metrics = Metrics::to(metrics::NoopRecorder).profile(Profile::both("acme")).label_cap(100);
/// let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).metrics(metrics).build()?;
/// # Ok::<(), throughline_core::BuildError>(())
/// ```
#[derive(Clone)]
#[must_use = "nothing is measured before it is given to the builder"]
pub struct Metrics {
    recorder: Arc<dyn Recorder + Send + Sync>,
    advice: Option<Arc<dyn BucketAdvice>>,
    profile: Profile,
    label_cap: usize,
    collectors: Arc<Collectors>,
}

impl Metrics {
    /// To a recorder of the [`metrics`] façade.
    pub fn to(recorder: impl Recorder + Send + Sync + 'static) -> Self {
        Self {
            recorder: Arc::new(recorder),
            advice: None,
            profile: Profile::default(),
            label_cap: 200,
            collectors: Arc::default(),
        }
    }

    /// To a recorder that can be told which buckets a histogram should have.
    pub fn to_advised<R: Recorder + BucketAdvice + 'static>(recorder: Arc<R>) -> Self {
        Self { advice: Some(Arc::<R>::clone(&recorder)), ..Self::to(recorder) }
    }

    /// To the recorder that the process has installed for the [`metrics`] façade's macros. It must be there before the
    /// first measurement.
    pub fn global() -> Self {
        Self::to(Global)
    }

    /// Under which names; those of today's conventions by default.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// How many different values a label may have, 200 by default; further ones are folded into
    /// [`OVERFLOW`] and counted.
    pub fn label_cap(mut self, values: usize) -> Self {
        self.label_cap = values;
        self
    }

    /// Brings up to date what is measured only when somebody looks: the ledger, depths of queues. A recorder that is
    /// scraped calls it before each scrape.
    pub fn collect(&self) {
        self.collectors.run();
    }

    pub(crate) fn into_meter(self, redactor: Redactor) -> Result<Meter, MetricsError> {
        if self.label_cap == 0 {
            return Err(MetricsError::NoLabelValues);
        }
        self.profile.check()?;
        let measured = Arc::new(Measured { metrics: self, redactor });
        Ok(Meter(Some(Arc::new(Instruments { measured, families: Mutex::default() }))))
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("profile", &self.profile)
            .field("label_cap", &self.label_cap)
            .finish_non_exhaustive()
    }
}

/// Why the configuration of metrics is invalid.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    /// A label needs at least one value.
    #[error("label_cap must be at least 1")]
    NoLabelValues,
    /// The names would not be valid.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}

/// Where middleware and hooks get the series of metrics from; cheap to clone. Without
/// [metrics](crate::ThroughlineBuilder::metrics) nothing is measured, at hardly any cost.
#[derive(Clone)]
pub struct Meter(Option<Arc<Instruments>>);

struct Instruments {
    measured: Arc<Measured>,
    /// The series of each metric, by its name: all users share them, and their limits.
    families: Mutex<FxHashMap<&'static str, Arc<dyn Any + Send + Sync>>>,
}

struct Measured {
    metrics: Metrics,
    redactor: Redactor,
}

impl Meter {
    pub(crate) fn off() -> Self {
        Self(None)
    }

    /// Whether anything is measured.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The series of a counter, by the values of its labels. Make it once and keep it.
    pub fn counter<const N: usize>(&self, metric: &'static Metric<Counter, N>) -> CounterFamily<N> {
        Family::new(self, metric)
    }

    /// The series of a gauge, by the values of its labels. Make it once and keep it.
    pub fn gauge<const N: usize>(&self, metric: &'static Metric<Gauge, N>) -> GaugeFamily<N> {
        Family::new(self, metric)
    }

    /// The series of a histogram, by the values of its labels. Make it once and keep it.
    pub fn histogram<const N: usize>(&self, metric: &'static Metric<Histogram, N>) -> HistogramFamily<N> {
        Family::new(self, metric)
    }

    /// Has something measured only when somebody looks, see [`Metrics::collect`]; until the guard is dropped.
    pub fn on_collect(&self, measure: impl Fn() + Send + Sync + 'static) -> CollectorGuard {
        match &self.0 {
            Some(instruments) => Collectors::add(&instruments.measured.metrics.collectors, Arc::new(measure)),
            None => CollectorGuard::default(),
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Meter")
            .field(&self.0.as_ref().map(|instruments| &instruments.measured.metrics))
            .finish()
    }
}

impl Measured {
    const METADATA: Metadata<'static> = Metadata::new(TARGET, Level::INFO, None);

    /// Announces a name and its meaning; comes before its series.
    fn describe(&self, name: &str, kind: Kind, description: &Description) {
        let (key, unit) = (KeyName::from(name.to_owned()), Some(description.unit.of_facade()));
        let help = SharedString::const_str(description.help);
        let recorder = &self.metrics.recorder;
        match kind {
            Kind::Counter => recorder.describe_counter(key, unit, help),
            Kind::Gauge => recorder.describe_gauge(key, unit, help),
            Kind::Histogram => {
                if let Some(advice) = &self.metrics.advice {
                    advice.advise(name, description.buckets);
                }
                recorder.describe_histogram(key, unit, help);
            }
        }
    }

    fn key(name: String, labels: impl Iterator<Item = (&'static str, String)>) -> Key {
        // A label without a value is the same as none.
        let labels = labels.filter(|(_, value)| !value.is_empty());
        Key::from_parts(name, labels.map(|(name, value)| Label::new(name, value)).collect::<Vec<_>>())
    }
}

/// The recorder of the process.
struct Global;

impl Recorder for Global {
    fn describe_counter(&self, key: KeyName, unit: Option<::metrics::Unit>, description: SharedString) {
        ::metrics::with_recorder(|recorder| recorder.describe_counter(key, unit, description));
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<::metrics::Unit>, description: SharedString) {
        ::metrics::with_recorder(|recorder| recorder.describe_gauge(key, unit, description));
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<::metrics::Unit>, description: SharedString) {
        ::metrics::with_recorder(|recorder| recorder.describe_histogram(key, unit, description));
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> ::metrics::Counter {
        ::metrics::with_recorder(|recorder| recorder.register_counter(key, metadata))
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> ::metrics::Gauge {
        ::metrics::with_recorder(|recorder| recorder.register_gauge(key, metadata))
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> ::metrics::Histogram {
        ::metrics::with_recorder(|recorder| recorder.register_histogram(key, metadata))
    }
}

#[cfg(test)]
mod tests;
