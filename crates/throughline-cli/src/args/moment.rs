//! Moments, durations and sizes as people write them.

use std::time::Duration;

use jiff::{SpanRelativeTo, civil};
use throughline_core::Timestamp;

/// `24h`, `7d`: so long ago; `2026-01-01`: the beginning of that day; or a full timestamp.
pub(crate) fn parse_moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(ago) = parse_duration(text) {
        return Ok(Timestamp::now().minus(ago));
    }
    let midnight = |date: civil::Date| format!("{date}T00:00:00Z").parse().ok();
    text.parse::<civil::Date>()
        .ok()
        .filter(|_| text.len() == 10)
        .and_then(midnight)
        .or_else(|| text.parse().ok())
        .ok_or_else(|| {
            "expected a time ago (24h, 7d), a date (2026-01-01) or a time (2026-01-01T09:30:00Z)".into()
        })
}

/// `90s`, `10m`, `24h`, `7d`, `1h 30m`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let error = || "expected a duration, as in 90s, 10m, 24h or 7d".to_owned();
    let span: jiff::Span = text.parse().map_err(|_| error())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| error())?;
    Duration::try_from(duration).map_err(|_| error())
}

/// `500MB`, `2GB`, `2GiB`, or a number of bytes.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text[number.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => 0,
    };
    let size = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    size.filter(|_| unit > 0).ok_or_else(|| "expected a size, as in 500MB or 2GiB".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_ages_dates_or_timestamps() {
        let day_ago = parse_moment("24h").unwrap();
        assert!(Timestamp::now().since(day_ago) >= Duration::from_secs(86_400));
        assert_eq!(parse_moment("2026-01-01").unwrap().to_string(), "2026-01-01T00:00:00.000000Z");
        assert_eq!(
            parse_moment("2026-01-01T09:30:00+01:00").unwrap().to_string(),
            "2026-01-01T08:30:00.000000Z"
        );
        for bad in ["", "yesterday", "2026-13-01", "-3h", "7"] {
            assert!(parse_moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_know_days_and_weeks() {
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(7 * 86_400)));
        assert_eq!(parse_duration("1w"), parse_duration("7d"));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5_400)));
    }

    #[test]
    fn sizes_are_decimal_or_binary() {
        assert_eq!(parse_size("2GB"), Ok(2_000_000_000));
        assert_eq!(parse_size("2 GiB"), Ok(2 << 30));
        assert_eq!(parse_size("12"), Ok(12));
        for bad in ["", "GB", "2XB", "-1", "99999999999TB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
