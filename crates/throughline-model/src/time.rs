//! Timestamps, and the clock that never goes back.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A moment in UTC, in microseconds since the Unix epoch.
///
/// Written as [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339) with exactly six fractional digits and `Z`, so
/// that the order of the texts is the order of the moments (for the years 0 to 9999).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Stands for a time that nobody knows: that of what was imported without one. It is the beginning of the year 0,
    /// which RFC 3339 can write and nothing that is recorded happened in; so it comes before all others.
    pub const UNKNOWN: Self = Self(-62_167_219_200_000_000);

    /// Whether it is a time, and not [`UNKNOWN`](Self::UNKNOWN).
    pub const fn is_known(self) -> bool {
        self.0 != Self::UNKNOWN.0
    }

    /// The moment this many microseconds after the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Now, by the process-wide clock that never goes back.
    #[inline]
    pub fn now() -> Self {
        Moment::now().timestamp()
    }

    /// The time from `earlier` to this moment; zero if `earlier` is later.
    #[inline]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This moment less a duration.
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This moment plus a duration.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.6}"),
            // The last day of 9999, which jiff leaves out as its offsets would lead beyond. Of what is far away there is no
            // RFC 3339 text to be had.
            Err(_) => match EPOCH.checked_add(SignedDuration::from_micros(self.0)) {
                Ok(civil) => write!(f, "{civil:.6}Z"),
                Err(_) => write!(f, "{}us", self.0),
            },
        }
    }
}

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
/// The moments of the years 0 to 9999, which are all that RFC 3339 has.
const YEARS: RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a timestamp.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{input}` is not a timestamp: expected RFC 3339, as in 2026-03-01T09:30:00.000000Z")]
pub struct ParseTimestampError {
    input: String,
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;
    /// Reads RFC 3339 with any offset; digits beyond the microsecond are cut off. As in other formats, `24:00:00` is the end
    /// of a day.
    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        let micros = match text.parse::<jiff::Timestamp>() {
            Ok(timestamp) => i64::try_from(timestamp.as_nanosecond().div_euclid(1_000)).ok(),
            Err(_) => parse_unusual(text),
        };
        micros
            .filter(|micros| YEARS.contains(micros))
            .map(Self)
            .ok_or_else(|| ParseTimestampError { input: text.chars().take(64).collect() })
    }
}

/// What jiff does not take for a timestamp: a fraction of more than nine digits, `24:00:00`, and the last day of 9999.
fn parse_unusual(text: &str) -> Option<i64> {
    /// Where the time begins.
    const TIME: usize = "2026-03-01T".len();
    let seconds = text.find(['.', ',']).unwrap_or(text.len());
    let digits = text[seconds..].bytes().skip(1).take_while(u8::is_ascii_digit).count();
    let fraction = seconds..(seconds + 1 + digits).min(text.len());
    let ends_day = text.get(TIME..TIME + 8) == Some("24:00:00")
        && !text[fraction.clone()].contains(|digit| ('1'..='9').contains(&digit));
    let mut plain = text.to_owned();
    if digits > 9 {
        plain.replace_range(fraction.start + 1 + 6..fraction.end, "");
    }
    if ends_day {
        plain.replace_range(TIME..TIME + 2, "00");
    }
    let pieces = Pieces::parse(&plain).ok()?;
    let offset = i64::from(pieces.to_numeric_offset()?.seconds());
    let local = pieces.date().to_datetime(pieces.time()?).duration_since(EPOCH);
    let day = if ends_day { 86_400 } else { 0 };
    let utc = local.checked_add(SignedDuration::from_secs(day - offset))?;
    i64::try_from(utc.as_nanos().div_euclid(1_000)).ok()
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// One reading of the monotonic clock, in nanoseconds since the first one: it gives both the timestamp of an event and, against
/// another reading, a duration, so that a step costs two clock reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Now.
    #[inline]
    pub fn now() -> Self {
        Self(Clock::get().nanos())
    }

    /// The moment by the process-wide clock that never goes back.
    #[inline]
    pub fn timestamp(self) -> Timestamp {
        let clock = Clock::get();
        let elapsed = (self.0 / 1_000) as i64;
        if elapsed >= clock.next_resync.load(Ordering::Relaxed) {
            clock.resync(elapsed);
        }
        Timestamp(clock.offset.load(Ordering::Relaxed) + elapsed)
    }

    /// Microseconds from an earlier reading to this one; zero if that was later.
    #[inline]
    pub fn micros_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000
    }
}

/// Wall time is read once and carried on by the monotonic clock. About once a second of use it is moved
/// forward if the wall clock has run ahead (a sleeping laptop, a corrected clock), never back.
struct Clock {
    anchor: Instant,
    /// Unix microseconds at `anchor`.
    offset: AtomicI64,
    /// Microseconds after `anchor`.
    next_resync: AtomicI64,
}

impl Clock {
    const RESYNC_INTERVAL: i64 = 1_000_000;

    #[inline]
    fn get() -> &'static Self {
        static CLOCK: OnceLock<Clock> = OnceLock::new();
        CLOCK.get_or_init(|| Self {
            anchor: Instant::now(),
            offset: AtomicI64::new(wall_micros()),
            next_resync: AtomicI64::new(Self::RESYNC_INTERVAL),
        })
    }

    #[inline]
    fn nanos(&self) -> u64 {
        let elapsed = self.anchor.elapsed();
        // These are enough for 584 years.
        elapsed.as_secs().wrapping_mul(1_000_000_000).wrapping_add(u64::from(elapsed.subsec_nanos()))
    }

    #[cold]
    fn resync(&self, elapsed: i64) {
        self.next_resync.store(elapsed + Self::RESYNC_INTERVAL, Ordering::Relaxed);
        self.offset.fetch_max(wall_micros() - self.anchor.elapsed().as_micros() as i64, Ordering::Relaxed);
    }
}

fn wall_micros() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_order_is_time_order_and_digits_are_six() {
        let texts: Vec<_> = [0, 1, 999_999, 1_000_000, 1_790_000_000_000_000]
            .map(|us| Timestamp::from_micros(us).to_string())
            .into();
        assert_eq!(texts[0], "1970-01-01T00:00:00.000000Z");
        assert_eq!(texts[1], "1970-01-01T00:00:00.000001Z");
        assert!(texts.is_sorted());
        for text in texts {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_unknown_time_survives_as_text() {
        let text = Timestamp::UNKNOWN.to_string();
        assert_eq!(text, "0000-01-01T00:00:00.000000Z");
        assert!(!text.parse::<Timestamp>().unwrap().is_known());
        assert!(Timestamp::from_micros(0).is_known());
    }

    #[test]
    fn offsets_are_read_and_written_as_utc() {
        let timestamp: Timestamp = "2011-10-01T00:38:44.546+02:00".parse().unwrap();
        assert_eq!(timestamp.to_string(), "2011-09-30T22:38:44.546000Z");
    }

    #[test]
    fn whatever_names_a_moment_of_the_years_0_to_9999_is_read_to_the_microsecond() {
        for (text, read) in [
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000000Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999Z"),
            ("9999-12-31T23:59:59+14:00", "9999-12-31T09:59:59.000000Z"),
            ("9999-12-30T23:59:59.5-05:00", "9999-12-31T04:59:59.500000Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
            ("0001-01-01T00:00:00+01:00", "0000-12-31T23:00:00.000000Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000000Z"),
            ("2026-03-01T09:30:00.123456789012345678901234567890Z", "2026-03-01T09:30:00.123456Z"),
            ("2026-03-01T09:30:00.999999999999999999999999999999+02:00", "2026-03-01T07:30:00.999999Z"),
            ("1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.999999Z"),
            ("0001-01-01T00:00:00.0000009999Z", "0001-01-01T00:00:00.000000Z"),
            ("2026-03-01t09:30:00z", "2026-03-01T09:30:00.000000Z"),
            ("2026-03-01 09:30:00,5Z", "2026-03-01T09:30:00.500000Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.000000Z"),
            ("2026-03-01T09:30:00-00:00", "2026-03-01T09:30:00.000000Z"),
            ("2026-02-28T24:00:00Z", "2026-03-01T00:00:00.000000Z"),
            ("2026-12-31T24:00:00.000000000000+01:00", "2026-12-31T23:00:00.000000Z"),
            ("9999-12-31T24:00:00+01:00", "9999-12-31T23:00:00.000000Z"),
        ] {
            assert_eq!(text.parse::<Timestamp>().map(|time| time.to_string()).unwrap(), read, "{text}");
            assert_eq!(read.parse::<Timestamp>().unwrap().to_string(), read);
        }
    }

    #[test]
    fn what_is_no_timestamp_is_named() {
        let error = "yesterday".parse::<Timestamp>().unwrap_err().to_string();
        assert!(error.contains("`yesterday`") && error.contains("RFC 3339"), "{error}");
        for text in [
            "",
            "2026-03-01",
            "2026-03-01T09:30:00",
            "2026-02-30T09:30:00Z",
            "2026-03-01T24:00:01Z",
            "2026-03-01T24:00:00.5Z",
            "2026-03-01T24:30:00Z",
            "2026-03-01T09:30:00.Z",
            "2026-03-01T09:30:00.12x4567890123Z",
            "9999-12-31T23:59:59-00:01",
            "9999-12-31T24:00:00Z",
            "0000-01-01T00:00:00+00:01",
            "10000-01-01T00:00:00Z",
            "-0001-01-01T00:00:00Z",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_clock_never_goes_back_across_resyncs() {
        let mut last = Timestamp::now();
        for _ in 0..10_000 {
            Clock::get().resync(0);
            let now = Timestamp::now();
            assert!(now >= last);
            last = now;
        }
    }
}
