//! [`Record`]: what a line of JSON says, whichever logger wrote it.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::level::LogLevel;
use crate::lines::{BYTE_ORDER_MARK, LONGEST};

/// The names of fields that say when, how much it matters, and what, as [`is_called`] compares them; those that come first win.
const TIMES: [&str; 13] = [
    "timestamp",
    "@timestamp",
    "time",
    "ts",
    "@t",
    "datetime",
    "asctime",
    "date",
    "t",
    "timeunixnano",
    "timemillis",
    "realtimetimestamp",
    "observedtimeunixnano",
];
const LEVELS: [&str; 7] = ["level", "severity", "severitytext", "lvl", "levelname", "loglevel", "@l"];
/// The number that OpenTelemetry has for a level.
const SEVERITY: [&str; 1] = ["severitynumber"];
/// The level in the journal of systemd. Others have priorities that are no levels, and write them otherwise.
const OF_JOURNAL: &str = "PRIORITY";
const MESSAGES: [&str; 8] =
    ["message", "msg", "@m", "renderedmessage", "event", "body", "text", "shortmessage"];
/// Messages in which names of fields stand for their values, as Serilog writes them.
const TEMPLATES: [&str; 2] = ["@mt", "messagetemplate"];
/// In how many holes of a template values are looked for, and how long the name of one is at most, in bytes.
const MOST_HOLES: usize = 64;
const LONGEST_HOLE: usize = 200;
const ERRORS: [&str; 9] = [
    "errormessage",
    "error",
    "err",
    "errmessage",
    "exceptionmessage",
    "attributesexceptionmessage",
    "exception",
    "@x",
    "reason",
];
/// Objects whose fields are as good as the line's own.
const TRANSPARENT: [&str; 2] = ["fields", "metadata"];
/// What the protocol of OpenTelemetry wraps a value in.
const OF_PROTOCOL: [&str; 4] = ["stringValue", "intValue", "doubleValue", "boolValue"];
/// How deep objects are taken apart; what is deeper stays as it was written.
const DEEPEST: usize = 8;
/// How many bytes the names may have that come of taking a line's objects apart: so many, and so many for each of the line's own.
/// Each field of an object gets the name of the object in front of its own, and a line may have many of them in a long one.
const NAMES: usize = 16 * 1024;
const NAMES_PER_BYTE: usize = 4;
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

impl LogTime {
    /// The moment, if it is known; that of a text without a zone as if it were of UTC.
    pub fn moment(&self) -> Option<Timestamp> {
        match self {
            Self::Moment(at) => Some(*at),
            Self::Text(text) => {
                text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
            }
        }
    }
}

/// An attribute, as the protocol of OpenTelemetry has it.
#[derive(Deserialize)]
struct Attribute<'a> {
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
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
        let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
        // A text in another encoding is no reason to lose the rest of the line.
        let line = String::from_utf8_lossy(line);
        let Object(written) = serde_json::from_str(&line).ok()?;
        let mut fields = Vec::with_capacity(written.len());
        // What the line says of itself comes before what its fields are called.
        let is_own = |(name, _): &(String, _)| !TRANSPARENT.contains(&name.as_str());
        let (own, inner): (Vec<_>, Vec<_>) = written.into_iter().partition(is_own);
        let mut left = line.len().saturating_mul(NAMES_PER_BYTE).saturating_add(NAMES);
        for (name, value) in own.into_iter().chain(inner) {
            take_apart(name, value.get(), DEEPEST, &mut left, &mut fields);
        }
        // Serilog leaves out the level that is the most frequent one.
        let implied = fields.iter().any(|(name, _)| name == "@t").then_some(LogLevel::Info);
        let time = take(&mut fields, &TIMES, time);
        let level = take(&mut fields, &LEVELS, level)
            .or_else(|| take(&mut fields, &SEVERITY, severity))
            .or_else(|| take(&mut fields, &[OF_JOURNAL], level))
            .or(implied);
        let message = take(&mut fields, &MESSAGES, message).or_else(|| {
            let template = take(&mut fields, &TEMPLATES, message)?;
            Some(filled_in(&template, &fields))
        });
        Some(Self { time, level, message: message.unwrap_or_default(), fields })
    }

    /// The values that say of which run it is: ids of traces, requests and executions, and keys.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let ids = self.fields.iter().filter(|(name, _)| is_id(name));
        // Python writes the ids of OpenTelemetry as it writes numbers.
        ids.filter_map(|(_, value)| value.as_text()).map(|id| id.strip_prefix("0x").unwrap_or(id))
    }

    /// The error of the line, if it has one.
    pub fn error(&self) -> Option<&str> {
        ERRORS
            .iter()
            .find_map(|of_error| self.fields.iter().find(|(name, _)| is_called(name, of_error)))
            .and_then(|(_, value)| value.as_text())
    }
}

/// Whether a field is called so, in whatever spelling: `LogLevel`, `log_level` and `log.level` are one.
fn is_called(name: &str, wanted: &str) -> bool {
    let letters = name.bytes().filter(|byte| !matches!(byte, b'_' | b'-' | b'.'));
    letters.map(|byte| byte.to_ascii_lowercase()).eq(wanted.bytes()) || name == wanted
}

fn is_id(name: &str) -> bool {
    // The name itself, without what it is in: `trace.id` and `request.trace_id` are both one.
    let mut plain = String::with_capacity(name.len());
    plain.extend(name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()));
    // Serilog has a short name for the id of a trace.
    name == "@tr" || (IDS.iter().any(|id| plain.ends_with(id)) && !plain.contains("parent"))
}

/// Adds a field, or those of its object. An object whose fields would have longer names together than what is `left` stays as it was
/// written.
fn take_apart(
    name: String,
    value: &str,
    depth: usize,
    left: &mut usize,
    fields: &mut Vec<(String, LogValue)>,
) {
    if depth > 0
        && value.starts_with('{')
        && let Ok(Object(object)) = serde_json::from_str(value)
    {
        if let [(kind, inner)] = &*object
            && OF_PROTOCOL.contains(&kind.as_str())
        {
            return take_apart(name, inner.get(), depth - 1, left, fields);
        }
        let is_transparent = TRANSPARENT.contains(&name.as_str());
        if is_transparent || is_within(left, &name, object.iter().map(|(inner, _)| inner.len())) {
            for (inner, value) in object {
                let inner = if is_transparent { inner } else { format!("{name}.{inner}") };
                take_apart(inner, value.get(), depth - 1, left, fields);
            }
            return;
        }
    }
    if depth > 0
        && value.starts_with('[')
        && is_called(&name, "attributes")
        && let Ok(attributes) = serde_json::from_str::<Vec<Attribute<'_>>>(value)
        && is_within(left, &name, attributes.iter().map(|attribute| attribute.key.len()))
    {
        for Attribute { key, value } in attributes {
            take_apart(format!("{name}.{key}"), value.get(), depth - 1, left, fields);
        }
        return;
    }
    let text = if value.starts_with('"') { serde_json::from_str(value).ok() } else { None };
    fields.push((name, text.map_or_else(|| LogValue::Json(value.to_owned()), LogValue::Text)));
}

/// Whether the names of what is in an object of this name take no more than what is left for them, which they then do.
fn is_within(left: &mut usize, name: &str, mut inner: impl Iterator<Item = usize>) -> bool {
    let after = inner.try_fold(*left, |left, length| left.checked_sub(name.len() + 1 + length));
    *left = after.unwrap_or(*left);
    after.is_some()
}

/// Takes out the first of these fields that can be read so.
fn take<T>(
    fields: &mut Vec<(String, LogValue)>,
    names: &[&str],
    read: impl Fn(&LogValue) -> Option<T>,
) -> Option<T> {
    names.iter().find_map(|wanted| {
        let named = fields.iter().enumerate().filter(|(_, (name, _))| is_called(name, wanted));
        let (at, found) = { named }.find_map(|(at, (_, value))| Some((at, read(value)?)))?;
        fields.remove(at);
        Some(found)
    })
}

fn time(value: &LogValue) -> Option<LogTime> {
    match value {
        LogValue::Text(text) => Some(match text.parse() {
            Ok(moment) => LogTime::Moment(moment),
            // Fewer digits may be a date.
            Err(_) => match text.parse::<u64>().is_ok().then(|| text.parse().ok()).flatten() {
                Some(number) if text.len() >= 10 => since_the_epoch(number).map(LogTime::Moment)?,
                _ => LogTime::Text(text.clone()),
            },
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
        LogValue::Json(number) => number.parse().ok().map(LogLevel::of_number),
    }
}

fn severity(value: &LogValue) -> Option<LogLevel> {
    let (LogValue::Text(number) | LogValue::Json(number)) = value;
    number.parse().ok().and_then(LogLevel::of_severity)
}

/// A text, or its bytes, which the journal of systemd writes where they are no text.
fn message(value: &LogValue) -> Option<String> {
    match value {
        LogValue::Text(text) => Some(text.clone()),
        LogValue::Json(bytes) => {
            let bytes: Vec<u8> = serde_json::from_str(bytes).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        }
    }
}

/// A template with the values of fields in the places of `{Name}`, `{@Name}` or `{Name,10:format}`; `{{` is a brace. What is beyond
/// any message that a person would write stays as it is.
fn filled_in(template: &str, fields: &[(String, LogValue)]) -> String {
    let mut message = String::new();
    let (mut rest, mut holes) = (template, 0);
    while holes < MOST_HOLES
        && message.len() < LONGEST
        && let Some(at) = rest.find(['{', '}'])
    {
        message.push_str(&rest[..at]);
        let (brace, after) = rest[at..].split_at(1);
        rest = after;
        if let Some(after) = after.strip_prefix(brace) {
            message.push_str(brace);
            rest = after;
            continue;
        }
        let near = &after[..after.floor_char_boundary(LONGEST_HOLE)];
        let end = (brace == "{").then(|| near.find('}')).flatten();
        holes += usize::from(end.is_some());
        let value = end.and_then(|end| {
            let name = near[..end].split([',', ':']).next().unwrap_or_default();
            let name = name.trim_start_matches(['@', '$']);
            fields.iter().find(|(field, _)| field.strip_prefix("Properties.").unwrap_or(field) == name)
        });
        match (value, end) {
            (Some((_, LogValue::Text(value) | LogValue::Json(value))), Some(end)) => {
                message.push_str(value);
                rest = &after[end + 1..];
            }
            _ => message.push_str(brace),
        }
    }
    message.push_str(rest);
    message
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
    fn what_a_line_takes_grows_as_it_does_however_long_its_names_are() {
        let taken = |fields: usize| {
            let inner: Vec<_> = (0..fields).map(|at| format!("\"{at}\":0")).collect();
            let line = format!("{{\"{}\":{{{}}}}}", "n".repeat(fields * 6), inner.join(","));
            let record = Record::read(line.as_bytes()).unwrap();
            let value = |value: &LogValue| match value {
                LogValue::Text(text) | LogValue::Json(text) => text.len(),
            };
            let sizes = record.fields.iter().map(|(name, of_it)| name.len() + value(of_it));
            (sizes.sum::<usize>(), line.len())
        };
        for fields in [10, 100, 1_000, 2_000, 4_000] {
            let (taken, written) = taken(fields);
            assert!(taken <= (NAMES_PER_BYTE + 2) * written + NAMES, "{taken} of {written}");
        }
        let usual = r#"{"kubernetes":{"pod":{"labels":{"app":"loans","tier":"back"},"name":"loans-1"}}}"#;
        let record = Record::read(usual.as_bytes()).unwrap();
        let names: Vec<_> = record.fields.iter().map(|(name, _)| name.as_str()).collect();
        let expected = ["kubernetes.pod.labels.app", "kubernetes.pod.labels.tier", "kubernetes.pod.name"];
        assert_eq!(names, expected);
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

    /// Level, message, time, the first of its ids and its error, as other programs' lines have them.
    #[test]
    fn lines_of_other_ecosystems_say_when_how_bad_what_and_of_which_run() {
        let lines = [
            // .NET: the JSON console, and Serilog compact and plain.
            r#"{"EventId":7,"LogLevel":"Critical","Category":"Shop.Orders","Message":"no stock","Exception":"System.Exception: x","Timestamp":"2026-02-21T13:42:07Z","State":{"Message":"no stock","OrderId":42,"{OriginalFormat}":"no stock"}}"#,
            r#"{"@t":"2026-02-21T13:42:07.1000000Z","@mt":"Order {OrderId:000} of {@Customer,-10} {{kept}} {Missing}","@l":"Verbose","@x":"System.Exception: x","@tr":"0198c0ffee0000000000000000000001","OrderId":42,"Customer":"acme"}"#,
            r#"{"@t":"2026-02-21T13:42:07Z","@m":"started"}"#,
            r#"{"Timestamp":"2026-02-21T14:42:07.0000000+01:00","Level":"Fatal","MessageTemplate":"Order {OrderId}","RenderedMessage":"Order 42","Properties":{"OrderId":42,"RequestId":"req-1"}}"#,
            // journald.
            r#"{"__REALTIME_TIMESTAMP":"1771681327000000","PRIORITY":"3","MESSAGE":"disk is full","_SYSTEMD_UNIT":"app.service"}"#,
            r#"{"__REALTIME_TIMESTAMP":"1771681327000000","PRIORITY":"7","MESSAGE":[104,105,255]}"#,
            // OpenTelemetry: its data model, its protocol in JSON, and what an SDK prints.
            r#"{"Timestamp":"1771681327000000000","SeverityText":"","SeverityNumber":17,"Body":"no answer","TraceId":"0198c0ffee0000000000000000000001"}"#,
            r#"{"timeUnixNano":"1771681327000000000","severityNumber":13,"severityText":"Warning","body":{"stringValue":"slow"},"attributes":[{"key":"request.id","value":{"stringValue":"req-1"}},{"key":"tries","value":{"intValue":"3"}}]}"#,
            r#"{"body":"begins","severity_number":"<SeverityNumber.INFO: 9>","severity_text":"INFO","timestamp":"2026-02-21T13:42:07Z","trace_id":"0x0198c0ffee0000000000000000000001"}"#,
            // Go's slog and zap, Java's loggers, Python's.
            r#"{"time":"2026-02-21T13:42:07Z","level":"ERROR+2","msg":"slog"}"#,
            r#"{"time":"2026-02-21T13:42:07Z","level":"DEBUG-4","msg":"slog"}"#,
            r#"{"timeMillis":1771681327000,"level":"FATAL","message":"log4j"}"#,
            r#"{"date":"2026-02-21T13:42:07Z","level":"CONFIG","message":"java.util.logging"}"#,
            r#"{"asctime":"2026-02-21 13:42:07,250","levelname":"CRITICAL","message":"Python","exc_info":"Traceback"}"#,
            // A number that is a text, and a priority that is none of a log.
            r#"{"level":"50","msg":"pino"}"#,
            r#"{"priority":2,"msg":"a job's own priority"}"#,
        ];
        let told = lines.map(|line| {
            let record = Record::read(line.as_bytes()).unwrap();
            let time = match &record.time {
                Some(LogTime::Moment(at)) => at.to_string(),
                Some(LogTime::Text(text)) => format!("{text:?}"),
                None => "-".to_owned(),
            };
            let level = record.level.map_or("-", LogLevel::as_str);
            let (id, error) = (record.ids().next().unwrap_or("-"), record.error().unwrap_or("-"));
            format!("{level} | {} | {time} | {id} | {error}", record.message)
        });
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn a_template_makes_no_message_that_is_much_longer_than_the_line() {
        let value = "x".repeat(100_000);
        for template in ["{a}".repeat(1_000), "{ ".repeat(100_000), format!("{}}}", "{".repeat(99_999))] {
            let line = format!("{{\"@mt\":\"{template}\",\"a\":\"{value}\"}}");
            let message = Record::read(line.as_bytes()).unwrap().message;
            assert!(message.len() <= LONGEST + value.len() + template.len(), "{}", message.len());
        }
    }

    #[test]
    fn a_mark_of_byte_order_and_bytes_that_are_no_text_keep_nobody_from_reading_a_line() {
        let record = Record::read(b"\xef\xbb\xbf{\"level\":\"warn\",\"msg\":\"caf\xe9\"}").unwrap();
        assert_eq!((record.level, &*record.message), (Some(LogLevel::Warn), "caf\u{fffd}"));
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
