//! [`LogLine`]: one line of a log file.

use serde::Serialize;
use serde_json::{Map, Value};
use throughline_core::{ErrorInfo, Redactor, SpanId, Timestamp, TraceId};

/// What stands at the beginning of a line before its time, as the layer of Throughline writes it and others do.
const TIME: &[u8] = b"\"timestamp\":\"";
/// How far into a line its time is looked for.
const BEGINNING: usize = 256;
/// Fields that say of which run a line is: who looks at the run knows them.
const KNOWN: [&str; 6] = ["workflow", "correlation_id", "request_id", "session_id", "user_id", "service"];
/// The fields whose names are as good as the line's own.
const TRANSPARENT: [&str; 2] = ["metadata", "fields"];
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// A line. Of one that is not JSON, or another's JSON, what can't be read so stays in its message and fields.
#[derive(Debug, Default, Serialize)]
pub(crate) struct LogLine {
    pub(crate) at: Option<Timestamp>,
    pub(crate) level: Option<&'static str>,
    pub(crate) message: String,
    pub(crate) target: Option<String>,
    pub(crate) span_id: Option<SpanId>,
    pub(crate) error: Option<ErrorInfo>,
    pub(crate) fields: Map<String, Value>,
}

impl LogLine {
    /// The line as it may be shown; `None` if it is of another run, which mentions this one.
    pub(crate) fn of(line: &[u8], run: TraceId, redactor: &Redactor) -> Option<Self> {
        let text = String::from_utf8_lossy(line);
        let Ok(mut fields) = serde_json::from_str::<Map<String, Value>>(&text) else {
            return Some(Self { message: redactor.message(&text).into_owned(), ..Self::default() });
        };
        if let Some(id) = fields.remove("trace_id")
            && id.as_str() != Some(&*run.to_string())
        {
            return None;
        }
        for name in TRANSPARENT {
            match fields.remove(name) {
                // What the line says of itself comes first.
                Some(Value::Object(inner)) => inner.into_iter().for_each(|(name, value)| {
                    fields.entry(name).or_insert(value);
                }),
                Some(other) => drop(fields.insert(name.to_owned(), other)),
                None => {}
            }
        }
        KNOWN.iter().for_each(|name| drop(fields.remove(*name)));
        let mut text = |names: &[&str]| {
            let name = names.iter().find(|name| fields.get(**name).is_some_and(Value::is_string))?;
            fields.remove(*name)?.as_str().map(str::to_owned)
        };
        let mut line = Self {
            at: text(&["timestamp"]).and_then(|at| at.parse().ok()),
            level: text(&["level"])
                .and_then(|level| LEVELS.into_iter().find(|known| known.eq_ignore_ascii_case(&level))),
            message: text(&["message", "msg"])
                .map(|message| redactor.message(&message).into_owned())
                .unwrap_or_default(),
            target: text(&["target"]).map(|target| redactor.name(&target).into_owned()),
            span_id: text(&["span_id"]).and_then(|span| span.parse().ok()),
            error: None,
            fields: Map::new(),
        };
        if let Some(mut error) =
            fields.get("error").and_then(|error| serde_json::from_value::<ErrorInfo>(error.clone()).ok())
        {
            fields.remove("error");
            error.kind = redactor.name(&error.kind).into_owned().into();
            for text in std::iter::once(&mut error.message).chain(&mut error.chain) {
                *text = redactor.message(text).into_owned().into();
            }
            line.error = Some(error);
        }
        redactor.unknown_fields(&mut fields);
        line.fields = fields;
        Some(line)
    }
}

/// When a line was written, if it says so at its beginning.
pub(crate) fn time_of(line: &[u8]) -> Option<Timestamp> {
    let beginning = &line[..line.len().min(BEGINNING)];
    let from = memchr::memmem::find(beginning, TIME)? + TIME.len();
    let time = beginning[from..].split(|byte| *byte == b'"').next()?;
    std::str::from_utf8(time).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use throughline_core::Redaction;

    use super::*;

    fn read(line: &str) -> Option<LogLine> {
        LogLine::of(line.as_bytes(), TraceId::from_key("loan-1"), &Redaction::standard().build().unwrap())
    }

    #[test]
    fn a_line_of_the_layer_says_when_how_bad_what_and_of_which_span() {
        let id = TraceId::from_key("loan-1");
        let line = read(&format!(
            r#"{{"timestamp":"2026-03-01T09:30:00.000125Z","level":"error","message":"no offer","service":"loans","target":"loans::offer",
                "trace_id":"{id}","span_id":"8f2ac41d5e6b7093","correlation_id":"loan-1",
                "error":{{"type":"Unreachable","message":"no answer for ada@example.org","chain":["timed out"]}},
                "metadata":{{"amount":50000,"cardPIN":"1234"}}}}"#
        ))
        .unwrap();
        let expected = json!({
            "at": "2026-03-01T09:30:00.000125Z", "level": "error", "message": "no offer", "target": "loans::offer",
            "span_id": "8f2ac41d5e6b7093",
            "error": { "type": "Unreachable", "message": "no answer for [redacted:email]", "chain": ["timed out"] },
            "fields": { "amount": 50000, "cardPIN": "[redacted]" },
        });
        assert_eq!(serde_json::to_value(&line).unwrap(), expected);
    }

    #[test]
    fn a_line_of_another_run_that_mentions_this_one_is_not_of_it() {
        let (id, other) = (TraceId::from_key("loan-1"), TraceId::from_key("loan-2"));
        assert!(read(&format!(r#"{{"message":"caused by {id}","trace_id":"{other}"}}"#)).is_none());
    }

    #[test]
    fn lines_of_other_programs_are_shown_as_far_as_they_can_be_read_and_without_secrets() {
        let id = TraceId::from_key("loan-1");
        let plain = read(&format!("ERROR {id}: mail to ada@example.org \u{1b}[31m")).unwrap();
        assert_eq!(plain.message, format!("ERROR {id}: mail to [redacted:email] \u{1b}[31m"));
        let other = read(&format!(
            r#"{{"msg":"of pino","level":50,"traceId":"{id}","password":"tulip","timestamp":7}}"#
        ))
        .unwrap();
        assert_eq!((other.message.as_str(), other.at, other.level), ("of pino", None, None));
        assert_eq!(other.fields["password"], "[redacted]");
        for damaged in
            ["{", "[]", "null", "\"text\"", "{\"message\":null}", "{\"error\":7,\"level\":\"LOUD\"}"]
        {
            read(damaged).unwrap();
        }
    }

    #[test]
    fn the_time_of_a_line_is_read_without_reading_the_line() {
        assert_eq!(
            time_of(br#"{"timestamp":"2026-03-01T09:30:00Z","message":"x"}"#),
            Some("2026-03-01T09:30:00Z".parse().unwrap())
        );
        for none in
            [&b""[..], b"plain", br#"{"timestamp":"#, br#"{"timestamp":"soon"}"#, b"{\"timestamp\":\"\xff\"}"]
        {
            assert_eq!(time_of(none), None);
        }
    }
}
