//! Lines of logs as people read them.

use std::borrow::Cow;
use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use serde::Deserialize;
use throughline_query::{escape, is_unsafe};
use unicode_width::UnicodeWidthStr;

use crate::level::LogLevel;
use crate::record::{LogTime, LogValue, Record};

/// What continues a line that is too long for the terminal.
const INDENT: &str = "    ";

/// How lines are shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogStyle {
    /// Whether in colours.
    pub has_colour: bool,
    /// How many columns there are; `None` puts everything on one line.
    pub width: Option<usize>,
}

impl LogStyle {
    /// What a line says, after the name of its file if several are followed. What a terminal might obey is escaped.
    pub fn record(&self, record: &Record, file: Option<&str>) -> String {
        let mut text = Text { style: *self, written: String::with_capacity(256), column: 0 };
        if let Some(file) = file {
            text.piece(&escape(file), AnsiColor::Magenta.on_default());
        }
        match &record.time {
            Some(LogTime::Moment(at)) => text.piece(&moment(*at), dim()),
            Some(LogTime::Text(at)) => text.piece(&escape(at), dim()),
            None => {}
        }
        match record.level {
            Some(level) => text.piece(name_of(level), colour_of(level)),
            None => text.piece("     ", Style::new()),
        }
        if !record.message.is_empty() {
            let is_failure = record.level == Some(LogLevel::Error);
            let style = if is_failure { Style::new().bold() } else { Style::new() };
            text.piece(&escape(&record.message), style);
        }
        for (name, value) in &record.fields {
            let field = format!("{}={}", escape(name), shown(name, value));
            let is_error = name == "error" || name.starts_with("error.");
            text.piece(&field, if is_error { AnsiColor::Red.on_default() } else { dim() });
        }
        text.written
    }

    /// A line that is no JSON, as it is.
    pub fn malformed(&self, line: &str, cut: u64, file: Option<&str>) -> String {
        let mut text = Text { style: *self, written: String::new(), column: 0 };
        if let Some(file) = file {
            text.piece(&escape(file), AnsiColor::Magenta.on_default());
        }
        let line: Cow<'_, str> = match cut {
            0 => escape(line),
            cut => format!("{}… [{cut} bytes more]", escape(line)).into(),
        };
        text.written.push_str(if text.written.is_empty() { "" } else { "  " });
        text.written.push_str(&line);
        text.written
    }
}

struct Text {
    style: LogStyle,
    written: String,
    column: usize,
}

impl Text {
    fn piece(&mut self, text: &str, style: Style) {
        let width = text.width();
        if self.column > 0 {
            let is_too_long = self.style.width.is_some_and(|columns| self.column + 2 + width > columns);
            let gap = if is_too_long { INDENT } else { "  " };
            if is_too_long {
                self.written.push('\n');
                self.column = 0;
            }
            self.written.push_str(gap);
            self.column += gap.len();
        }
        self.column += width;
        // Writing to memory does not fail.
        let _ = match self.style.has_colour {
            true => write!(self.written, "{style}{text}{style:#}"),
            false => write!(self.written, "{text}"),
        };
    }
}

/// `2026-03-01 09:30:00.123Z`, in UTC.
fn moment(at: jiff::Timestamp) -> String {
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let (date, time) = (at.date(), at.time());
    format!("{date} {:02}:{:02}:{:02}.{:03}Z", time.hour(), time.minute(), time.second(), time.millisecond())
}

fn name_of(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "TRACE",
        LogLevel::Debug => "DEBUG",
        LogLevel::Info => "INFO ",
        LogLevel::Warn => "WARN ",
        LogLevel::Error => "ERROR",
    }
}

fn colour_of(level: LogLevel) -> Style {
    match level {
        LogLevel::Trace => dim(),
        LogLevel::Debug => AnsiColor::Blue.on_default(),
        LogLevel::Info => AnsiColor::Green.on_default(),
        LogLevel::Warn => AnsiColor::Yellow.on_default(),
        LogLevel::Error => AnsiColor::Red.on_default().bold(),
    }
}

fn dim() -> Style {
    Style::new().dimmed()
}

/// A value: a word as it is, all else as JSON has it.
fn shown(name: &str, value: &LogValue) -> String {
    match value {
        LogValue::Text(text) if is_word(text) => text.clone(),
        LogValue::Text(text) => escape(&serde_json::Value::from(text.as_str()).to_string()).into_owned(),
        LogValue::Json(json) if name == "spans" => names(json).unwrap_or_else(|| escape(json).into_owned()),
        LogValue::Json(json) => escape(json).into_owned(),
    }
}

/// Spans are what a line is within, outermost first.
fn names(json: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Span {
        name: String,
    }
    if !json.starts_with('[') {
        return None;
    }
    let spans: Vec<Span> = serde_json::from_str(json).ok()?;
    let names: Vec<_> = spans.into_iter().map(|span| span.name).collect();
    Some(escape(&names.join(":")).into_owned()).filter(|names| !names.is_empty())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '"' || c == '=' || is_unsafe(c))
}

#[cfg(test)]
mod tests;
