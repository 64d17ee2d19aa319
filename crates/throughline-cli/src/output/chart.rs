//! Little bar charts.

use throughline_core::{Bucket, Rate, Timestamp};

/// How many bars a chart has at most.
const MAX_BARS: usize = 24;

/// A bar for this many failed runs of so many, on a scale on which `most` runs take all columns: what failed is dark, the rest
/// light.
pub(crate) fn stacked(rate: Rate, most: u64, columns: usize) -> String {
    let scaled = |runs: u64| {
        let exact = u128::from(runs) * columns as u128 / u128::from(most.max(1));
        // A few of very many are still seen.
        usize::try_from(exact).unwrap_or(columns).clamp(usize::from(runs > 0), columns)
    };
    let failed = scaled(rate.hits);
    format!("{}{}", "█".repeat(failed), "░".repeat(scaled(rate.total).saturating_sub(failed)))
}

/// Buckets taken together by twos, threes…, until there are few enough for a chart.
pub(crate) fn bars(buckets: &[Bucket]) -> Vec<(Timestamp, Rate)> {
    let together = buckets.len().div_ceil(MAX_BARS).max(1);
    buckets
        .chunks(together)
        .filter_map(|chunk| {
            let sum = |part: fn(&Bucket) -> u64| chunk.iter().map(part).sum();
            let rate = Rate::new(sum(|bucket| bucket.failed.hits), sum(|bucket| bucket.failed.total));
            chunk.first().map(|first| (first.start, rate))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bars_of_a_chart_are_on_one_scale() {
        assert_eq!(stacked(Rate::new(0, 0), 8, 4), "");
        assert_eq!(stacked(Rate::new(8, 8), 8, 4), "████");
        assert_eq!(stacked(Rate::new(2, 8), 8, 4), "█░░░");
        assert_eq!(stacked(Rate::new(1, 2), 8, 4), "█");
        assert_eq!(stacked(Rate::new(1, 1_000_000), 1_000_000, 4), "█░░░");
    }

    #[test]
    fn many_buckets_are_taken_together_and_none_is_lost() {
        let buckets: Vec<Bucket> = (0..100)
            .map(|day| Bucket {
                start: Timestamp::from_micros(day * 86_400_000_000),
                failed: Rate::new(1, 2),
            })
            .collect();
        let bars = bars(&buckets);
        assert!(bars.len() <= MAX_BARS);
        assert_eq!(bars.iter().map(|(_, rate)| rate.hits).sum::<u64>(), 100);
        assert_eq!(bars[1].0, buckets[5].start);
    }
}
