//! Tests of counts and of durations. `docs/operations.md` names their sources.

use std::ops::Range;

/// By how much the median absolute deviation of a normal distribution is smaller than its standard deviation.
const OF_NORMAL: f64 = 1.4826;

/// How probable it is that of so many at least so many fail, after so many of so many failed before: the upper tail of the
/// beta-binomial distribution that follows from Jeffreys' prior. It is exact, and where little is known it is wide.
pub(crate) fn at_least(failed: u64, of: u64, before: f64, of_before: f64) -> f64 {
    let (a, b) = (before + 0.5, (of_before - before).max(0.0) + 0.5);
    let n = of as f64;
    let log_of_none = (0..of).map(|i| ((b + i as f64) / (a + b + i as f64)).ln()).sum();
    let one_more = |k: f64| (n - k) / (k + 1.0) * (a + k) / (b + n - k - 1.0);
    upper_tail(failed..of + 1, log_of_none, one_more, n * a / (a + b))
}

/// The logarithm of how probable it is that nothing ends in a window, after so many ended in so many.
pub(crate) fn log_of_none(before: f64, windows: u64) -> f64 {
    let windows = windows as f64;
    (before + 0.5) * (windows / (windows + 1.0)).ln()
}

/// How probable it is that one more ends than so many, by how probable so many are: of the negative binomial distribution that
/// follows from a Poisson distribution and Jeffreys' prior of its mean.
fn one_more(before: u64, windows: u64) -> impl Fn(f64) -> f64 {
    let (before, windows) = (before as f64 + 0.5, windows as f64);
    move |k| (before + k) / (k + 1.0) / (windows + 1.0)
}

/// How probable it is that at least so many end in a window, after so many ended in so many.
pub(crate) fn at_least_by_rate(count: u64, before: u64, windows: u64) -> f64 {
    let mean = (before as f64 + 0.5) / windows as f64;
    upper_tail(count..u64::MAX, log_of_none(before as f64, windows), one_more(before, windows), mean)
}

/// How probable it is that at most so many do.
pub(crate) fn at_most_by_rate(count: u64, before: u64, windows: u64) -> f64 {
    let (mut log, one_more) = (log_of_none(before as f64, windows), one_more(before, windows));
    let mut tail = 0.0;
    for k in 0..=count {
        tail += log.exp();
        log += one_more(k as f64).ln();
    }
    tail.min(1.0)
}

/// The sum of the probabilities of some numbers, from the logarithm of that of none and by which factor that of one more differs.
fn upper_tail(counts: Range<u64>, log_of_none: f64, one_more: impl Fn(f64) -> f64, mean: f64) -> f64 {
    let mut log = log_of_none + (0..counts.start).map(|k| one_more(k as f64).ln()).sum::<f64>();
    let mut tail = 0.0;
    for count in counts {
        let term = log.exp();
        tail += term;
        if term <= tail * 1e-12 && count as f64 > mean {
            break;
        }
        log += one_more(count as f64).ln();
    }
    tail.min(1.0)
}

/// The median; 0 of nothing. Changes the order.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let (middle, is_odd) = (values.len() / 2, values.len() % 2 == 1);
    let (lower, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if is_odd {
        return *upper;
    }
    f64::midpoint(lower.iter().copied().fold(f64::NEG_INFINITY, f64::max), *upper)
}

/// Where values lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    /// How many there are.
    pub(crate) of: usize,
    /// The median.
    pub(crate) middle: f64,
    /// How far they are from it: an estimate of the standard deviation that up to half of the values, however wrong, can't spoil.
    pub(crate) deviation: f64,
}

impl Spread {
    /// With a deviation that is not smaller.
    pub(crate) fn at_least(self, deviation: f64) -> Self {
        Self { deviation: self.deviation.max(deviation), ..self }
    }
}

/// Where values lie, by the median and the median absolute deviation. Changes the values.
pub(crate) fn robust(values: &mut [f64]) -> Spread {
    let middle = median(values);
    values.iter_mut().for_each(|value| *value = (*value - middle).abs());
    Spread { of: values.len(), middle, deviation: OF_NORMAL * median(values) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_that_of_the_binomial_distribution_where_much_is_known() {
        // 1 - P(X <= 3) of 10 at 0.2; P(X = 10); P(X >= 0).
        let known = |failed| at_least(failed, 10, 2e7, 1e8);
        assert!((known(4) - 0.120_873_8).abs() < 1e-5, "{}", known(4));
        assert!((known(10) / 1.024e-7 - 1.0).abs() < 1e-4, "{}", known(10));
        assert!((known(0) - 1.0).abs() < 1e-9);
        // 100 of 1,000 at 0.05.
        let tail = at_least(100, 1_000, 5e6, 1e8);
        assert!((1e-12..1e-9).contains(&tail), "{tail}");
    }

    #[test]
    fn the_tail_is_wide_where_little_is_known() {
        // Nothing is known: any share is as probable as its opposite.
        assert!((at_least(1, 1, 0.0, 0.0) - 0.5).abs() < 1e-12);
        assert!(at_least(5, 10, 0.0, 10.0) > 100.0 * at_least(5, 10, 0.0, 1_000.0));
        assert!((0.0..=1.0).contains(&at_least(60_000, 60_000, 3.0, 100.0)));
    }

    #[test]
    fn a_few_values_that_are_wrong_change_no_median_and_no_deviation() {
        let Spread { of, middle, deviation } = robust(&mut [1.0, 2.0, 3.0, 4.0, 1e9]);
        assert_eq!((of, middle, deviation), (5, 3.0, OF_NORMAL));
        assert_eq!((median(&mut [4.0, 1.0]), median(&mut [])), (2.5, 0.0));
    }

    #[test]
    fn the_tails_are_those_of_the_poisson_distribution_where_much_is_known() {
        // Of a mean of 10: P(X <= 3), P(X >= 20), P(X = 0).
        let (before, windows) = (100_000_000, 10_000_000);
        let few = at_most_by_rate(3, before, windows);
        assert!((few / 0.010_336_1 - 1.0).abs() < 1e-4, "{few}");
        let many = at_least_by_rate(20, before, windows);
        assert!((many / 0.003_454_3 - 1.0).abs() < 1e-4, "{many}");
        assert!((log_of_none(before as f64, windows) + 10.0).abs() < 1e-4);
        let all = at_most_by_rate(9, before, windows) + at_least_by_rate(10, before, windows);
        assert!((all - 1.0).abs() < 1e-6, "{all}");
    }

    #[test]
    fn the_tails_of_rates_are_wide_where_little_is_known_and_sums_stay_numbers() {
        assert!(at_most_by_rate(0, 12, 1) > 10.0 * at_most_by_rate(0, 1_200, 100));
        assert!(at_least_by_rate(30, 10, 1) > 10.0 * at_least_by_rate(30, 1_000, 100));
        for tail in [at_least_by_rate(500_000, 500, 1_000), at_most_by_rate(0, 500_000_000, 1_000)] {
            assert!((0.0..1e-300).contains(&tail), "{tail}");
        }
    }
}
