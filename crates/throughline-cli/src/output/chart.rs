//! Little bar charts.

use throughline_core::{Bucket, Rate, Timestamp};

/// How many bars a chart has at most.
const MAX_BARS: usize = 24;

/// A bar of this part (0 to 1) of so many columns, to an eighth of a column.
pub(crate) fn bar(part: f64, columns: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (part.clamp(0.0, 1.0) * columns as f64 * 8.0).round() as usize;
    "█".repeat(eighths / 8) + EIGHTHS[eighths % 8]
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
    fn a_bar_is_as_long_as_its_part() {
        assert_eq!(bar(0.0, 4), "");
        assert_eq!(bar(0.5, 4), "██");
        assert_eq!(bar(0.28, 4), "█▏");
        assert_eq!(bar(7.0, 2), "██");
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
