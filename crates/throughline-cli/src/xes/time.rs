//! When something happened, in the ways that logs say it.

use jiff::civil::Date;
use throughline_core::Timestamp;

const YEAR_10000: Timestamp = Timestamp::from_micros(253_402_300_800_000_000);

/// The instant that a text names: `xs:dateTime` and `xs:date` as XML Schema has them, a date for its first moment, and
/// what else [`Timestamp`] reads. A time without an offset is taken for UTC, which is as good a guess as any. Digits
/// below the microsecond are cut.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    // XML Schema takes blanks around a date for nothing.
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    let instant = xml_schema(text).or_else(|| text.parse().ok()).or_else(|| format!("{text}Z").parse().ok());
    // RFC 3339, in which events are written, has the years 0 to 9999.
    instant.filter(|instant| (Timestamp::UNKNOWN..YEAR_10000).contains(instant))
}

fn xml_schema(text: &str) -> Option<Timestamp> {
    let (date, rest) = date(text)?;
    let (micros, rest) = match rest.strip_prefix('T') {
        Some(time) => time_of_day(time)?,
        None => (0, rest),
    };
    let days = date.duration_since(Date::constant(1970, 1, 1)).as_secs().checked_mul(1_000_000)?;
    Some(Timestamp::from_micros(days.checked_add(micros)?.checked_sub(offset(rest)?)?))
}

/// `2026-01-01`, and what follows it.
fn date(text: &str) -> Option<(Date, &str)> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (-1, unsigned),
        None => (1, text),
    };
    let (year, rest) = unsigned.split_once('-').filter(|(year, _)| year.len() >= 4)?;
    let (month, rest) = two_digits(rest)?;
    let (day, rest) = two_digits(rest.strip_prefix('-')?)?;
    let year = sign * digits(year)?.parse::<i16>().ok()?;
    Some((Date::new(year, month, day).ok()?, rest))
}

/// `10:00:00.123` in microseconds, and what follows it.
fn time_of_day(text: &str) -> Option<(i64, &str)> {
    let (hour, rest) = two_digits(text)?;
    let (minute, rest) = two_digits(rest.strip_prefix(':')?)?;
    let (second, mut rest) = two_digits(rest.strip_prefix(':')?)?;
    let mut micros = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if length == 0 {
            return None;
        }
        micros = format!("{:0<6.6}", &fraction[..length]).parse().ok()?;
        rest = &fraction[length..];
    }
    let is_midnight = (hour, minute, second, micros) == (24, 0, 0, 0);
    if !is_midnight && (hour > 23 || minute > 59 || second > 59) {
        return None;
    }
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some((seconds * 1_000_000 + micros, rest))
}

/// How far a place is ahead of UTC, in microseconds: `Z`, `+02:00`, or nothing.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z") {
        return Some(0);
    }
    let (sign, unsigned) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = two_digits(unsigned)?;
    let (minutes, rest) = two_digits(rest.strip_prefix(':')?)?;
    let is_valid = rest.is_empty() && minutes < 60 && (hours < 14 || (hours, minutes) == (14, 0));
    is_valid.then(|| sign * (i64::from(hours) * 60 + i64::from(minutes)) * 60_000_000)
}

fn two_digits(text: &str) -> Option<(i8, &str)> {
    let (number, rest) = text.split_at_checked(2)?;
    Some((digits(number)?.parse().ok()?, rest))
}

fn digits(text: &str) -> Option<&str> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn utc(text: &str) -> String {
        instant(text).map_or_else(|| "no time".to_owned(), |instant| instant.to_string())
    }

    #[test]
    fn a_time_is_what_xml_schema_says_it_is() {
        let ten = "2026-01-01T10:00:00.000000Z";
        for text in [
            "2026-01-01T10:00:00Z",
            " \n2026-01-01T10:00:00Z\t",
            "2026-01-01T10:00:00",
            "2026-01-01T10:00:00.0000000009Z",
            "2026-01-01T15:30:00.000+05:30",
            "2026-01-01T10:00:00-00:00",
            "2025-12-31T20:00:00-14:00",
            // Not XML Schema, but other programs write it.
            "2026-01-01 10:00:00",
            "2026-01-01T10:00Z",
            "2026-01-01T12:00:00+0200",
        ] {
            assert_eq!(utc(text), ten, "{text}");
        }
        assert_eq!(utc("2026-01-01T24:00:00Z"), "2026-01-02T00:00:00.000000Z");
        assert_eq!(utc("2026-12-31T24:00:00.000+01:00"), "2026-12-31T23:00:00.000000Z");
        assert_eq!(utc("2026-01-01T10:00:00.123456789Z"), "2026-01-01T10:00:00.123456Z");
        assert_eq!(utc("1969-12-31T23:59:59.9999999Z"), "1969-12-31T23:59:59.999999Z");
        assert_eq!(instant("9999-12-31T23:59:59Z").unwrap().as_micros(), 253_402_300_799_000_000);
    }

    #[test]
    fn a_date_alone_is_that_day() {
        assert_eq!(utc("2026-01-09"), "2026-01-09T00:00:00.000000Z");
        assert_eq!(utc("2026-01-09Z"), "2026-01-09T00:00:00.000000Z");
        assert_eq!(utc(" 2026-01-09+02:00 "), "2026-01-08T22:00:00.000000Z");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "T",
            "2026",
            "2026-01",
            "2026-02-30",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:01Z",
            "2026-01-01T10:60:00Z",
            "2026-01-01T10:00:00.Z",
            "12026-01-01T10:00:00Z",
            "9999-12-31T24:00:00Z",
            "-0044-03-15T10:00:00Z",
            "01.01.2026 10:00",
            "1767261600000",
            "Thu Jan 01 10:00:00 CET 2026",
            "２０２６-01-01",
        ] {
            assert_eq!(utc(text), "no time", "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_time_or_none(text in "[-0-9T:.+Z é]{0,32}") {
            instant(&text);
        }

        #[test]
        fn what_a_timestamp_writes_is_read_as_that_instant(micros in -62_000_000_000_000_000_i64..250_000_000_000_000_000) {
            let timestamp = Timestamp::from_micros(micros);
            prop_assert_eq!(xml_schema(&timestamp.to_string()), Some(timestamp));
        }
    }
}
