//! [`Record`]: what a line of JSON says, whichever logger wrote it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Steps within a function.
    Trace,
    /// Details for developers.
    Debug,
    /// What happens as it should.
    Info,
    /// What may become a failure.
    Warn,
    /// A failure.
    Error,
}

impl LogLevel {
    /// All of them, the least first.
    pub const ALL: [Self; 5] = [Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// Its name, as `warn`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LogLevel {
    type Err = String;

    /// Reads the names that loggers and syslog have for levels, in any case.
    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name.trim().to_ascii_lowercase().as_str() {
            "trace" | "finest" | "silly" => Self::Trace,
            "debug" | "dbg" | "fine" | "verbose" => Self::Debug,
            "info" | "inf" | "information" | "informational" | "notice" | "default" => Self::Info,
            "warn" | "warning" | "wrn" => Self::Warn,
            "error" | "err" | "severe" | "fatal" | "critical" | "crit" | "alert" | "emerg" | "emergency"
            | "panic" | "dpanic" => Self::Error,
            _ => return Err("expected trace, debug, info, warn or error".to_owned()),
        })
    }
}

/// The names of fields that say when, how much it matters, and what; those that come first win.
const TIMES: [&str; 8] = ["timestamp", "@timestamp", "time", "ts", "datetime", "asctime", "date", "t"];
const LEVELS: [&str; 7] = ["level", "severity", "lvl", "levelname", "log.level", "loglevel", "level_name"];
const MESSAGES: [&str; 6] = ["message", "msg", "event", "body", "text", "short_message"];
/// Objects whose fields are as good as the line's own.
const TRANSPARENT: [&str; 2] = ["fields", "metadata"];
/// How deep objects are taken apart; what is deeper stays as it was written.
const DEEPEST: usize = 8;
/// What names of fields that say which run it is end with, in any spelling.
const IDS: [&str; 5] = ["traceid", "correlationid", "requestid", "runid", "executionid"];

/// What a line of JSON says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Record {
    /// When, as the line has it.
    pub time: Option<LogTime>,
    /// How much it matters.
    pub level: Option<LogLevel>,
    /// What happened; empty if the line does not say.
    pub message: String,
    /// All else, by name and as it was written; objects in it are taken apart, as in `error.type`.
    pub fields: Vec<(String, LogValue)>,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogValue {
    /// A text.
    Text(String),
    /// A number, a truth, `null` or an array, as it was written: a number keeps its digits.
    Json(String),
}

impl LogValue {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Json(_) => None,
        }
    }
}

/// When a line was written.
#[derive(Debug, Clone, PartialEq)]
pub enum LogTime {
    /// A moment.
    Moment(Timestamp),
    /// A text that is no moment that we can read.
    Text(String),
}

/// An object with its fields in the order in which they were written.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Object<'de>, M::Error> {
                let mut fields = Vec::with_capacity(12);
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl Record {
    /// Reads a line; `None` if it is no JSON object.
    pub fn read(line: &[u8]) -> Option<Self> {
        let Object(written) = serde_json::from_slice(line).ok()?;
        let mut fields = Vec::with_capacity(written.len());
        // What the line says of itself comes before what its fields are called.
        let is_own = |(name, _): &(String, _)| !TRANSPARENT.contains(&name.as_str());
        let (own, inner): (Vec<_>, Vec<_>) = written.into_iter().partition(is_own);
        for (name, value) in own.into_iter().chain(inner) {
            take_apart(name, value.get(), DEEPEST, &mut fields);
        }
        let time = take(&mut fields, &TIMES, time);
        let level = take(&mut fields, &LEVELS, level);
        let message = take(&mut fields, &MESSAGES, |value| value.as_text().map(str::to_owned));
        Some(Self { time, level, message: message.unwrap_or_default(), fields })
    }

    /// The values that say of which run it is: ids of traces, requests and executions, and keys.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let ids = self.fields.iter().filter(|(name, _)| is_id(name));
        ids.filter_map(|(_, value)| value.as_text())
    }

    /// The error of the line, if it has one.
    pub fn error(&self) -> Option<&str> {
        ["error.message", "error", "err", "err.message", "exception", "exception.message", "reason"]
            .iter()
            .find_map(|of_error| self.fields.iter().find(|(name, _)| name == of_error))
            .and_then(|(_, value)| value.as_text())
    }
}

fn is_id(name: &str) -> bool {
    // The name itself, without what it is in: `trace.id` and `request.trace_id` are both one.
    let mut plain = String::with_capacity(name.len());
    plain.extend(name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()));
    IDS.iter().any(|id| plain.ends_with(id)) && !plain.contains("parent")
}

fn take_apart(name: String, value: &str, depth: usize, fields: &mut Vec<(String, LogValue)>) {
    if depth > 0
        && value.starts_with('{')
        && let Ok(Object(object)) = serde_json::from_str(value)
    {
        let is_transparent = TRANSPARENT.contains(&name.as_str());
        for (inner, value) in object {
            let inner = if is_transparent { inner } else { format!("{name}.{inner}") };
            take_apart(inner, value.get(), depth - 1, fields);
        }
        return;
    }
    let text = if value.starts_with('"') { serde_json::from_str(value).ok() } else { None };
    fields.push((name, text.map_or_else(|| LogValue::Json(value.to_owned()), LogValue::Text)));
}

/// Takes out the first of these fields that can be read so.
fn take<T>(
    fields: &mut Vec<(String, LogValue)>,
    names: &[&str],
    read: impl Fn(&LogValue) -> Option<T>,
) -> Option<T> {
    names.iter().find_map(|wanted| {
        let named = fields.iter().enumerate().filter(|(_, (name, _))| name == wanted);
        let (at, found) = { named }.find_map(|(at, (_, value))| Some((at, read(value)?)))?;
        fields.remove(at);
        Some(found)
    })
}

fn time(value: &LogValue) -> Option<LogTime> {
    match value {
        LogValue::Text(text) => Some(match text.parse() {
            Ok(moment) => LogTime::Moment(moment),
            Err(_) => LogTime::Text(text.clone()),
        }),
        LogValue::Json(number) => since_the_epoch(number.parse().ok()?).map(LogTime::Moment),
    }
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970: whichever is nearest to our century.
fn since_the_epoch(number: f64) -> Option<Timestamp> {
    let per_second = match number.abs() {
        ..1e11 => 1.0,
        ..1e14 => 1e3,
        ..1e17 => 1e6,
        _ => 1e9,
    };
    let micros = (number / per_second * 1e6).round();
    // Out of range it saturates, and jiff refuses it.
    #[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates")]
    Timestamp::from_microsecond(micros as i64).ok()
}

fn level(value: &LogValue) -> Option<LogLevel> {
    match value {
        LogValue::Text(name) => name.parse().ok(),
        // Up to 7 as syslog and GELF have it, from 10 on as Bunyan and Pino.
        LogValue::Json(number) => Some(match number.parse::<u64>().ok()? {
            0..=3 => LogLevel::Error,
            4 => LogLevel::Warn,
            5..=6 => LogLevel::Info,
            7 => LogLevel::Debug,
            8..=10 => LogLevel::Trace,
            11..=20 => LogLevel::Debug,
            21..=30 => LogLevel::Info,
            31..=40 => LogLevel::Warn,
            _ => LogLevel::Error,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_of_any_depth_is_read() {
        let depth = 100_000;
        let line = format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        let record = Record::read(line.as_bytes()).unwrap();
        assert_eq!(record.fields.len(), 1);
        assert_eq!(record.fields[0].0, ["a"; DEEPEST + 1].join("."));
    }

    #[test]
    fn what_a_line_says_of_itself_comes_before_its_fields_of_that_name() {
        for line in [
            r#"{"fields":{"message":"inner","level":"debug"},"level":"error","message":"outer"}"#,
            r#"{"level":7.5,"level":"ERROR","message":"outer","metadata":{"level":"info","message":"inner"}}"#,
        ] {
            let record = Record::read(line.as_bytes()).unwrap();
            assert_eq!((record.level, record.message.as_str()), (Some(LogLevel::Error), "outer"), "{line}");
        }
    }

    #[test]
    fn levels_have_the_names_of_all_loggers() {
        for (written, level) in [
            ("\"WARNING\"", Some(LogLevel::Warn)),
            ("\"Information\"", Some(LogLevel::Info)),
            ("\"crit\"", Some(LogLevel::Error)),
            ("60", Some(LogLevel::Error)),
            ("20", Some(LogLevel::Debug)),
            ("3", Some(LogLevel::Error)),
            ("4", Some(LogLevel::Warn)),
            ("6", Some(LogLevel::Info)),
            ("7", Some(LogLevel::Debug)),
            ("\"loud\"", None),
            ("null", None),
        ] {
            let record = Record::read(format!("{{\"level\":{written}}}").as_bytes()).unwrap();
            assert_eq!(record.level, level, "{written}");
        }
    }

    #[test]
    fn a_number_is_a_moment_in_whichever_unit_it_is_of_our_century() {
        let moment = Some(LogTime::Moment("2026-02-21T13:42:07Z".parse().unwrap()));
        for written in
            ["1771681327", "1771681327000", "1771681327000000", "1771681327000000000", "1771681327.0"]
        {
            let record = Record::read(format!("{{\"ts\":{written}}}").as_bytes()).unwrap();
            assert_eq!(record.time, moment, "{written}");
        }
    }
}
