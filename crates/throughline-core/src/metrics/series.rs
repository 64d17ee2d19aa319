//! Series: what is recorded into.

use std::fmt;
use std::sync::Arc;

use ::metrics::Key;

use super::Measured;
use super::catalogue::Kind;

/// Adds up. Cheap to clone.
#[derive(Clone, Default)]
pub struct Counter(Option<Arc<[::metrics::Counter]>>);

/// Goes up and down. Cheap to clone.
#[derive(Clone, Default)]
pub struct Gauge(Option<Arc<[::metrics::Gauge]>>);

/// Counts values by size. Cheap to clone.
#[derive(Clone, Default)]
pub struct Histogram(Option<Arc<Recorded>>);

#[derive(Default)]
struct Recorded {
    histograms: Vec<::metrics::Histogram>,
    /// Counters under other names that count how often something was recorded.
    counters: Vec<::metrics::Counter>,
}

impl Counter {
    /// Adds.
    pub fn increment(&self, by: u64) {
        self.0.iter().flat_map(|series| series.iter()).for_each(|series| series.increment(by));
    }

    /// Sets the counter to a sum that is kept elsewhere; it never goes back.
    pub fn absolute(&self, sum: u64) {
        self.0.iter().flat_map(|series| series.iter()).for_each(|series| series.absolute(sum));
    }
}

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: f64) {
        self.0.iter().flat_map(|series| series.iter()).for_each(|series| series.set(value));
    }

    /// Adds.
    pub fn increment(&self, by: f64) {
        self.0.iter().flat_map(|series| series.iter()).for_each(|series| series.increment(by));
    }

    /// Takes away.
    pub fn decrement(&self, by: f64) {
        self.0.iter().flat_map(|series| series.iter()).for_each(|series| series.decrement(by));
    }

    /// Counts one more until the guard is dropped, be it by a panic or because a future was dropped.
    pub fn hold(&self) -> GaugeGuard {
        self.increment(1.0);
        GaugeGuard(self.clone())
    }
}

/// One that a [`Gauge`] counts as long as this lives.
#[must_use = "dropped, it is not counted any more"]
pub struct GaugeGuard(Gauge);

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

impl Histogram {
    /// Records a value, in the metric's unit.
    pub fn record(&self, value: f64) {
        let Some(series) = &self.0 else { return };
        series.histograms.iter().for_each(|series| series.record(value));
        series.counters.iter().for_each(|series| series.increment(1));
    }

    /// Records a time, in seconds.
    pub fn record_duration(&self, time: std::time::Duration) {
        self.record(time.as_secs_f64());
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counter").finish_non_exhaustive()
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauge").finish_non_exhaustive()
    }
}

impl fmt::Debug for GaugeGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GaugeGuard").finish_non_exhaustive()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram").finish_non_exhaustive()
    }
}

/// What can be recorded into: [`Counter`], [`Gauge`] and [`Histogram`].
pub trait Instrument: sealed::Sealed + Clone + Default + Send + Sync + 'static {}

impl Instrument for Counter {}
impl Instrument for Gauge {}
impl Instrument for Histogram {}

pub(super) mod sealed {
    use super::{Key, Kind, Measured};

    pub trait Sealed {
        /// Registers a series under each of its names.
        #[expect(private_interfaces, reason = "the trait is sealed, nobody outside can call it")]
        fn register(measured: &Measured, keys: &[(Kind, Key)]) -> Self;
    }
}

impl sealed::Sealed for Counter {
    #[expect(private_interfaces, reason = "the trait is sealed, nobody outside can call it")]
    fn register(measured: &Measured, keys: &[(Kind, Key)]) -> Self {
        let recorder = &measured.metrics.recorder;
        Self(Some(keys.iter().map(|(_, key)| recorder.register_counter(key, &Measured::METADATA)).collect()))
    }
}

impl sealed::Sealed for Gauge {
    #[expect(private_interfaces, reason = "the trait is sealed, nobody outside can call it")]
    fn register(measured: &Measured, keys: &[(Kind, Key)]) -> Self {
        let recorder = &measured.metrics.recorder;
        Self(Some(keys.iter().map(|(_, key)| recorder.register_gauge(key, &Measured::METADATA)).collect()))
    }
}

impl sealed::Sealed for Histogram {
    #[expect(private_interfaces, reason = "the trait is sealed, nobody outside can call it")]
    fn register(measured: &Measured, keys: &[(Kind, Key)]) -> Self {
        let recorder = &measured.metrics.recorder;
        let mut recorded = Recorded::default();
        for (kind, key) in keys {
            match kind {
                Kind::Counter => {
                    recorded.counters.push(recorder.register_counter(key, &Measured::METADATA));
                }
                Kind::Histogram | Kind::Gauge => {
                    recorded.histograms.push(recorder.register_histogram(key, &Measured::METADATA));
                }
            }
        }
        Self(Some(Arc::new(recorded)))
    }
}
