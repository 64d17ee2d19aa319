//! Moments and durations as people read them.

use std::time::Duration;

use throughline_core::Timestamp;

/// A moment in UTC, to the second: `2026-03-01 09:30:00`.
pub(crate) fn moment(timestamp: Timestamp) -> String {
    let text = timestamp.to_string();
    match text.get(..19) {
        Some(seconds) => seconds.replace('T', " "),
        None => text,
    }
}

/// Microseconds as [`duration`] shows them.
pub(crate) fn micros(micros: u64) -> String {
    duration(Duration::from_micros(micros))
}

/// A duration to two or three digits: `850 µs`, `12.3 ms`, `2.31 s`, `4 m 12 s`, `3 h 05 m`, `13 d 04 h`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let of = |value: f64, unit: &str| {
        let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
        format!("{value:.digits$} {unit}")
    };
    match duration.as_micros() {
        micros @ ..1_000 => format!("{micros} µs"),
        ..1_000_000 => of(duration.as_secs_f64() * 1e3, "ms"),
        _ if seconds < 60 => of(duration.as_secs_f64(), "s"),
        _ if seconds < 3_600 => format!("{} m {:02} s", seconds / 60, seconds % 60),
        _ if seconds < 86_400 => format!("{} h {:02} m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_keep_the_digits_that_matter() {
        let shown = [0, 850, 12_345, 2_311_000, 59_990_000, 252_000_000, 11_100_000_000, 1_137_600_000_000]
            .map(micros)
            .join(", ");
        assert_eq!(shown, "0 µs, 850 µs, 12.3 ms, 2.31 s, 60.0 s, 4 m 12 s, 3 h 05 m, 13 d 04 h");
    }

    #[test]
    fn moments_are_shown_to_the_second() {
        assert_eq!(moment(Timestamp::from_micros(1_790_000_000_123_456)), "2026-09-21 14:13:20");
    }
}
