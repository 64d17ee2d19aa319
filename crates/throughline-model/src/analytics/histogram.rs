//! A histogram of durations with buckets of bounded relative width.

use std::collections::BTreeMap;

/// Counts durations in log-linear buckets: 32 to each power of two, so that a value read back is at most 1/32
/// below or above what was recorded. Stores keep its buckets as rows and add them up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: BTreeMap<u16, u64>,
    total: u64,
}

impl Histogram {
    /// Linear buckets within a power of two, as a number of bits.
    const BITS: u32 = 5;

    /// The bucket that a number of microseconds falls into.
    pub fn bucket(micros: u64) -> u16 {
        let exponent = micros.checked_ilog2().unwrap_or(0);
        if exponent < Self::BITS {
            return micros as u16;
        }
        let shift = exponent - Self::BITS;
        // `micros >> shift` lies in 32..64: its low five bits say where within the power of two.
        ((shift << Self::BITS) + (micros >> shift) as u32) as u16
    }

    /// The greatest number of microseconds that falls into a bucket.
    pub fn upper_bound(bucket: u16) -> u64 {
        let bucket = u64::from(bucket);
        let (linear, shift) = (1 << Self::BITS, bucket >> Self::BITS);
        if shift <= 1 {
            return bucket;
        }
        let mantissa = (bucket & (linear - 1)) + linear;
        (mantissa << (shift - 1)) | ((1 << (shift - 1)) - 1)
    }

    /// Adds one duration.
    pub fn record(&mut self, micros: u64) {
        self.add(Self::bucket(micros), 1);
    }

    /// Adds so many durations to a bucket.
    pub fn add(&mut self, bucket: u16, count: u64) {
        *self.counts.entry(bucket).or_default() += count;
        self.total += count;
    }

    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The buckets that hold anything, with their counts, the shortest first.
    pub fn buckets(&self) -> impl Iterator<Item = (u16, u64)> + '_ {
        self.counts.iter().map(|(bucket, count)| (*bucket, *count))
    }

    /// The duration in microseconds that this part of all (0 to 1) do not exceed; 0 of nothing.
    pub fn quantile(&self, part: f64) -> u64 {
        let rank = ((self.total as f64 * part).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (bucket, count) in &self.counts {
            seen += count;
            if seen >= rank {
                return Self::upper_bound(*bucket);
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_holds_its_values_and_is_no_wider_than_a_thirty_second(micros in 0_u64..=u64::MAX >> 1) {
            let bucket = Histogram::bucket(micros);
            let upper = Histogram::upper_bound(bucket);
            prop_assert!(upper >= micros);
            prop_assert!(upper - micros <= micros / 32);
            prop_assert_eq!(Histogram::bucket(upper), bucket);
            prop_assert_eq!(Histogram::bucket(upper + 1), bucket + 1);
        }
    }

    #[test]
    fn quantiles_of_a_thousand_are_within_a_thirty_second() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|micros| histogram.record(micros));
        for (part, want) in [(0.5, 500), (0.95, 950), (0.99, 990), (1.0, 1000)] {
            let got = histogram.quantile(part);
            assert!(got >= want && got - want <= want / 32, "{part}: {got}");
        }
        assert_eq!(Histogram::default().quantile(0.5), 0);
    }
}
