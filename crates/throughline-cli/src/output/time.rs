//! Moments and durations as people read them.

use std::time::Duration;

use throughline_core::Timestamp;

/// A moment in UTC, to the second: `2026-03-01 09:30:00`.
pub(crate) fn moment(timestamp: Timestamp) -> String {
    cut(timestamp, 19)
}

/// A moment in UTC, to the millisecond: `2026-03-01 09:30:00.123`.
pub(crate) fn millis(timestamp: Timestamp) -> String {
    cut(timestamp, 23)
}

fn cut(timestamp: Timestamp, length: usize) -> String {
    let text = timestamp.to_string();
    match text.get(..length) {
        Some(beginning) => beginning.replace('T', " "),
        None => text,
    }
}

/// Microseconds as [`duration`] shows them.
pub(crate) fn micros(micros: u64) -> String {
    duration(Duration::from_micros(micros))
}

/// A duration as the renderings of [`TraceQuery`](throughline_core::TraceQuery) have it: `850 µs`, `1.2 ms`,
/// `4.2 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn duration(duration: Duration) -> String {
    let (seconds, micros) = (duration.as_secs(), duration.as_micros());
    let tenths = |unit: u128, name: &str| format!("{}.{} {name}", micros / unit, micros % unit * 10 / unit);
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => tenths(1_000, "ms"),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ if seconds < 60 => tenths(1_000_000, "s"),
        _ if seconds < 3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ if seconds < 86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let shown = [0, 850, 12_345, 2_311_000, 59_990_000, 252_000_000, 11_100_000_000, 1_137_600_000_000]
            .map(micros)
            .join(", ");
        assert_eq!(shown, "0 µs, 850 µs, 12 ms, 2.3 s, 59.9 s, 4 min 12 s, 3 h 5 min, 13 d 4 h");
    }

    #[test]
    fn moments_are_shown_to_the_second() {
        assert_eq!(moment(Timestamp::from_micros(1_790_000_000_123_456)), "2026-09-21 14:13:20");
    }
}
