//! Which buckets a histogram has.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use metrics::Unit;
use throughline_core::metrics::catalogue;

/// More would be most of a scrape.
const MOST: usize = 100;

/// Times of anything from a quick request to a slow job, in seconds: the buckets that the
/// [OTel conventions](https://opentelemetry.io/docs/specs/semconv/http/http-metrics/) advise for HTTP, and two more.
const SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0];
/// From a short message to a large file.
const BYTES: &[f64] = &[
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
/// Shares of a whole.
const RATIO: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0];
/// The defaults of [OTel's SDK](https://opentelemetry.io/docs/specs/otel/metrics/sdk/#explicit-bucket-histogram-aggregation)
/// for what has no unit.
const COUNT: &[f64] =
    &[0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10_000.0];

/// Which buckets a histogram has: those that the host asked for, else those that its author advised, else those of the
/// catalogue, else what suits its unit.
#[derive(Default)]
pub(crate) struct Buckets {
    asked: HashMap<String, Arc<[f64]>>,
    advised: RwLock<HashMap<String, &'static [f64]>>,
}

impl Buckets {
    /// The host wants these for the histogram of this name.
    pub(crate) fn ask(&mut self, name: String, bounds: Arc<[f64]>) {
        self.asked.insert(name, bounds);
    }

    /// The author of the histogram of this name advises these.
    pub(crate) fn advise(&self, name: &str, bounds: &'static [f64]) {
        if is_sound(bounds) {
            let mut advised = self.advised.write().unwrap_or_else(PoisonError::into_inner);
            advised.insert(name.to_owned(), bounds);
        }
    }

    pub(crate) fn of(&self, name: &str, unit: Option<Unit>) -> Arc<[f64]> {
        if let Some(asked) = self.asked.get(name) {
            return Arc::clone(asked);
        }
        if let Some(advised) = self.advised.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::from(*advised);
        }
        // Who hands the global recorder to Throughline cannot pass the advice on.
        if let Some((_, metric)) =
            catalogue::all().find(|(_, metric)| metric.name == name && is_sound(metric.buckets))
        {
            return Arc::from(metric.buckets);
        }
        let unit = unit.filter(|unit| *unit != Unit::Count);
        let suffix =
            unit.map_or_else(|| name.rsplit(['_', '.']).next().unwrap_or_default(), |unit| unit.as_str());
        let scaled = |by: f64| SECONDS.iter().map(|bound| bound * by).collect();
        match suffix {
            "seconds" | "duration" | "latency" => Arc::from(SECONDS),
            "milliseconds" | "millis" | "ms" => scaled(1e3),
            "microseconds" | "micros" | "us" => scaled(1e6),
            "nanoseconds" | "nanos" | "ns" => scaled(1e9),
            "bytes" | "size" => Arc::from(BYTES),
            "ratio" => Arc::from(RATIO),
            _ => Arc::from(COUNT),
        }
    }
}

/// Whether a histogram can have these bounds.
pub(crate) fn is_sound(bounds: &[f64]) -> bool {
    let finite = bounds.iter().all(|bound| bound.is_finite());
    finite && !bounds.is_empty() && bounds.len() <= MOST && bounds.is_sorted_by(|a, b| a < b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_asked_first_then_the_author_then_the_catalogue_then_the_unit() {
        let mut buckets = Buckets::default();
        buckets.ask("a_seconds".into(), Arc::from([1.0]));
        buckets.advise("a_seconds", &[2.0]);
        buckets.advise("b_seconds", &[2.0]);
        buckets.advise("c_seconds", &[2.0, 1.0]);
        assert_eq!(*buckets.of("a_seconds", None), [1.0]);
        assert_eq!(*buckets.of("b_seconds", Some(Unit::Bytes)), [2.0]);
        assert_eq!(*buckets.of("c_seconds", None), *SECONDS);
        assert_eq!(*buckets.of("d", Some(Unit::Bytes)), *BYTES);
        assert_eq!(buckets.of("query_ms", Some(Unit::Count))[0], 5.0);
        assert_eq!(*buckets.of("items", None), *COUNT);
        let of_the_catalogue = catalogue::WORKFLOW_DURATION.description();
        assert_eq!(*buckets.of(of_the_catalogue.name, None), *of_the_catalogue.buckets);
    }

    #[test]
    fn every_default_is_sound() {
        for bounds in [SECONDS, BYTES, RATIO, COUNT] {
            assert!(is_sound(bounds));
        }
        assert!(!is_sound(&[]) && !is_sound(&[1.0, 1.0]) && !is_sound(&[f64::INFINITY]));
    }
}
