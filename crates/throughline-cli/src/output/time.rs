//! Moments and durations as people read them.

use std::time::Duration;

use throughline_core::Timestamp;
use throughline_core::query::human_duration;

/// A moment in UTC, to the second: `2026-03-01 09:30:00`; `no time` if nobody knows it.
pub(crate) fn moment(timestamp: Timestamp) -> String {
    cut(timestamp, 19)
}

/// A moment in UTC, to the millisecond: `2026-03-01 09:30:00.123`.
pub(crate) fn millis(timestamp: Timestamp) -> String {
    cut(timestamp, 23)
}

fn cut(timestamp: Timestamp, length: usize) -> String {
    if !timestamp.is_known() {
        return "no time".to_owned();
    }
    let text = timestamp.to_string();
    match text.get(..length) {
        Some(beginning) => beginning.replace('T', " "),
        None => text,
    }
}

/// How long ago a moment was; blank if nobody knows.
pub(crate) fn ago(now: Timestamp, moment: Timestamp) -> String {
    if moment.is_known() { human_duration(now.since(moment)) } else { String::new() }
}

/// Microseconds as [`human_duration`] shows them.
pub(crate) fn micros(micros: u64) -> String {
    human_duration(Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_to_the_second() {
        assert_eq!(moment(Timestamp::from_micros(1_790_000_000_123_456)), "2026-09-21 14:13:20");
    }
}
