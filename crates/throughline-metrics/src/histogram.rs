//! A histogram of fixed buckets, bounded by construction.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use metrics::HistogramFn;
use throughline_core::Timestamp;
use throughline_core::metrics::Exemplar;

/// Counts values by the bucket they fall into, and keeps one exemplar a bucket. Its size is settled when it is made.
pub(crate) struct Histogram {
    bounds: Arc<[f64]>,
    /// One for each bound, and one for what lies above them all.
    counts: Box<[AtomicU64]>,
    /// The bits of an `f64`.
    sum: AtomicU64,
    /// As many as counts, made with the first: most histograms never have one.
    samples: OnceLock<Box<[Mutex<Option<Sample>>]>>,
}

/// A value, and the run in which it was measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) run: Exemplar,
    pub(crate) value: f64,
    pub(crate) at: Timestamp,
}

/// A bucket as it is exposed.
#[derive(Debug, PartialEq)]
pub(crate) struct Bucket {
    /// The upper bound, included; infinite for the last.
    pub(crate) le: f64,
    /// How many values lie at or under the bound.
    pub(crate) cumulative: u64,
    /// The latest value that fell into it and came from a run.
    pub(crate) exemplar: Option<Sample>,
}

impl Histogram {
    /// `bounds` are upper bounds, included, in ascending order.
    pub(crate) fn new(bounds: Arc<[f64]>) -> Self {
        let counts = std::iter::repeat_with(AtomicU64::default).take(bounds.len() + 1).collect();
        Self { bounds, counts, sum: AtomicU64::new(0), samples: OnceLock::new() }
    }

    /// The buckets, the last of which says how many values there are, and the sum of the values.
    pub(crate) fn read(&self) -> (Vec<Bucket>, f64) {
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed));
        let mut cumulative = 0;
        let samples = self.samples.get();
        let buckets = self.counts.iter().enumerate().map(|(at, count)| {
            cumulative += count.load(Ordering::Relaxed);
            let slot = samples.and_then(|slots| slots.get(at));
            Bucket {
                le: self.bounds.get(at).copied().unwrap_or(f64::INFINITY),
                cumulative,
                exemplar: slot.and_then(|slot| slot.lock().unwrap_or_else(|slot| slot.into_inner()).clone()),
            }
        });
        (buckets.collect(), sum)
    }

    /// Whether it has bounds below zero: its sum may fall.
    pub(crate) fn is_signed(&self) -> bool {
        self.bounds.first().is_some_and(|lowest| *lowest < 0.0)
    }

    fn count(&self, value: f64, times: u64) {
        // One value that is no number would make the sum none for ever.
        if !value.is_finite() || times == 0 {
            return;
        }
        // A sum that falls reads as a restart of the process; only who asks for negative bounds wants that.
        let value = if self.is_signed() { value } else { value.max(0.0) };
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(times, Ordering::Relaxed);
        }
        #[expect(clippy::cast_precision_loss, reason = "a sum is a float whatever is done")]
        let more = value * times as f64;
        let add = |sum| Some((f64::from_bits(sum) + more).to_bits());
        // Cannot fail: the closure always has an answer.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        if let Some(run) = Exemplar::current() {
            let slots = self.samples.get_or_init(|| self.counts.iter().map(|_| Mutex::default()).collect());
            // Never waited for: the thread that holds it writes a sample as good as this one.
            if let Some(mut slot) = slots.get(at).and_then(|slot| slot.try_lock().ok()) {
                *slot = Some(Sample { run, value, at: Timestamp::now() });
            }
        }
    }
}

impl HistogramFn for Histogram {
    fn record(&self, value: f64) {
        self.count(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.count(value, count as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(values: &[f64]) -> (Vec<(f64, u64)>, f64) {
        let histogram = Histogram::new(Arc::from([0.1, 1.0]));
        values.iter().for_each(|value| histogram.record(*value));
        let (buckets, sum) = histogram.read();
        (buckets.iter().map(|bucket| (bucket.le, bucket.cumulative)).collect(), sum)
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let (buckets, sum) = counted(&[0.1, 0.100_001, 1.0, 5.0]);
        assert_eq!(buckets, [(0.1, 1), (1.0, 3), (f64::INFINITY, 4)]);
        assert!((sum - 6.200_001).abs() < 1e-9);
    }

    #[test]
    fn less_than_nothing_is_nothing_unless_there_are_bounds_for_it() {
        let (buckets, sum) = counted(&[-0.5, 0.05]);
        assert_eq!((buckets[0], sum), ((0.1, 2), 0.05));
        let signed = Histogram::new(Arc::from([-1.0, 0.0, 1.0]));
        signed.record(-0.5);
        let (buckets, sum) = signed.read();
        assert_eq!((buckets[0].cumulative, buckets[1].cumulative, sum), (0, 1, -0.5));
    }

    #[test]
    fn what_is_no_number_is_not_counted() {
        let (buckets, sum) = counted(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.5]);
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, 1)));
        assert_eq!(sum, 0.5);
    }

    #[test]
    fn many_at_once_are_as_many() {
        let histogram = Histogram::new(Arc::from([1.0]));
        histogram.record_many(0.5, 1000);
        let (buckets, sum) = histogram.read();
        assert_eq!((buckets[0].cumulative, sum), (1000, 500.0));
    }

    #[test]
    fn threads_lose_nothing() {
        let histogram = Histogram::new(Arc::from([0.5]));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| histogram.record(1.0)));
            }
        });
        let (buckets, sum) = histogram.read();
        assert_eq!((buckets[0].cumulative, buckets[1].cumulative, sum), (0, 40_000, 40_000.0));
    }
}
