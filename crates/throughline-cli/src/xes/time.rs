//! When something happened, in the ways that logs say it.

use throughline_core::Timestamp;

/// The instant that a text names: `xs:dateTime` and `xs:date` as XML Schema has them, a date for its first moment, and
/// what else [`Timestamp`] reads. A time without an offset is taken for UTC, which is as good a guess as any.
pub(crate) fn instant(text: &str) -> Option<Timestamp> {
    // XML Schema takes blanks around a date for nothing.
    let text = text.trim_matches([' ', '\t', '\n', '\r']);
    let read = |text: &str| text.parse().or_else(|_| format!("{text}Z").parse()).ok();
    read(text).or_else(|| {
        let (date, offset) = text.split_at_checked("2026-01-01".len())?;
        read(&format!("{date}T00:00:00{offset}"))
    })
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
            prop_assert_eq!(instant(&timestamp.to_string()), Some(timestamp));
        }
    }
}
