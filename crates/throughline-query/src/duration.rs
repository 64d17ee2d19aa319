//! Durations as people say them, in headlines and in every rendered answer.

use std::time::Duration;

/// A duration for people to read, as in all answers: `87 µs`, `1.2 ms`, `340 ms`, `4.2 s`, `3 min 12 s`, `2 h 5 min`,
/// `3 d 4 h`. Cut, not rounded.
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(throughline_query::human_duration(Duration::from_millis(4_250)), "4.2 s");
/// ```
pub fn human_duration(duration: Duration) -> String {
    self::duration(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

/// Microseconds as [`human_duration`] shows them.
pub(crate) fn duration(micros: u64) -> String {
    const SECOND: u64 = 1_000_000;
    let tenths = |unit: u64, name: &str| format!("{}.{} {name}", micros / unit, micros % unit * 10 / unit);
    let seconds = micros / SECOND;
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..10_000 => tenths(1_000, "ms"),
        10_000..SECOND => format!("{} ms", micros / 1_000),
        _ if seconds < 60 => tenths(SECOND, "s"),
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
        let cases = [
            (0, "0 µs"),
            (87, "87 µs"),
            (1_250, "1.2 ms"),
            (340_900, "340 ms"),
            (999_999, "999 ms"),
            (1_200_000, "1.2 s"),
            (59_999_999, "59.9 s"),
            (192_000_000, "3 min 12 s"),
            (7_500_000_000, "2 h 5 min"),
            (273_600_000_000, "3 d 4 h"),
        ];
        for (micros, text) in cases {
            assert_eq!(duration(micros), text);
        }
        assert!(duration(u64::MAX).ends_with('h'));
        assert_eq!(human_duration(Duration::MAX), duration(u64::MAX));
    }
}
