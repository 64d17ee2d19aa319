//! Tests of counts and of durations. `docs/operations.md` names their sources.

/// By how much the median absolute deviation of a normal distribution is smaller than its standard deviation.
const OF_NORMAL: f64 = 1.4826;

/// How probable it is that of so many at least so many fail, after so many of so many failed before: the upper tail of the
/// beta-binomial distribution that follows from Jeffreys' prior. It is exact, and where little is known it is wide.
pub(crate) fn at_least(failed: u64, of: u64, before: u64, of_before: u64) -> f64 {
    let (a, b) = (before as f64 + 0.5, of_before.saturating_sub(before) as f64 + 0.5);
    let n = of as f64;
    // The logarithm of the probability of none, then of one more each time.
    let mut log: f64 = (0..of).map(|i| ((b + i as f64) / (a + b + i as f64)).ln()).sum();
    let mut tail = 0.0;
    for count in 0..=of {
        if count >= failed {
            let term = log.exp();
            tail += term;
            if term < tail * 1e-12 && count as f64 > n * a / (a + b) {
                break;
            }
        }
        let k = count as f64;
        log += ((n - k) / (k + 1.0) * (a + k) / (b + n - k - 1.0)).ln();
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

/// The median, and how far values are from it: an estimate of the standard deviation that up to half of the values, however wrong,
/// can't spoil.
pub(crate) fn robust(values: &mut [f64]) -> (f64, f64) {
    let middle = median(values);
    values.iter_mut().for_each(|value| *value = (*value - middle).abs());
    (middle, OF_NORMAL * median(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_that_of_the_binomial_distribution_where_much_is_known() {
        // 1 - P(X <= 3) of 10 at 0.2; P(X = 10); P(X >= 0).
        let known = |failed| at_least(failed, 10, 20_000_000, 100_000_000);
        assert!((known(4) - 0.120_873_8).abs() < 1e-5, "{}", known(4));
        assert!((known(10) / 1.024e-7 - 1.0).abs() < 1e-4, "{}", known(10));
        assert!((known(0) - 1.0).abs() < 1e-9);
        // 100 of 1,000 at 0.05.
        let tail = at_least(100, 1_000, 5_000_000, 100_000_000);
        assert!((1e-12..1e-9).contains(&tail), "{tail}");
    }

    #[test]
    fn the_tail_is_wide_where_little_is_known() {
        // Nothing is known: any share is as probable as its opposite.
        assert!((at_least(1, 1, 0, 0) - 0.5).abs() < 1e-12);
        assert!(at_least(5, 10, 0, 10) > 100.0 * at_least(5, 10, 0, 1_000));
        assert!((0.0..=1.0).contains(&at_least(60_000, 60_000, 3, 100)));
    }

    #[test]
    fn a_few_values_that_are_wrong_change_no_median_and_no_deviation() {
        let (middle, spread) = robust(&mut [1.0, 2.0, 3.0, 4.0, 1e9]);
        assert_eq!((middle, spread), (3.0, OF_NORMAL));
        assert_eq!((median(&mut [4.0, 1.0]), median(&mut [])), (2.5, 0.0));
    }
}
