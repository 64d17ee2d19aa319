//! Reads events from JSON lines.

use std::io::{BufRead, Read};

use throughline_core::TraceEvent;

/// The longest line, in bytes.
const MAX_LINE: u64 = 16 << 20;

/// Why JSON lines can't be read on.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub(crate) struct JsonlError {
    pub(crate) line: u64,
    pub(crate) problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("this is not an event: {0}")]
    NoEvent(String),
    #[error("the input ends unexpectedly: {0}")]
    Input(std::io::Error),
    #[error("the line is longer than {} MiB", MAX_LINE >> 20)]
    TooLong,
}

/// Reads events, one a line; blank lines are skipped.
pub(crate) struct JsonlReader<R> {
    input: R,
    buffer: Vec<u8>,
    line: u64,
}

impl<R: BufRead> JsonlReader<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), line: 0 }
    }

    /// The next event; `None` at the end.
    pub(crate) fn next_event(&mut self) -> Result<Option<TraceEvent>, JsonlError> {
        loop {
            self.buffer.clear();
            self.line += 1;
            let read = (&mut self.input).take(MAX_LINE).read_until(b'\n', &mut self.buffer);
            let length = read.map_err(|error| self.error(Problem::Input(error)))?;
            if length == 0 {
                return Ok(None);
            }
            if length as u64 == MAX_LINE && !self.buffer.ends_with(b"\n") {
                return Err(self.error(Problem::TooLong));
            }
            let line = match self.line {
                1 => self.buffer.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&self.buffer),
                _ => &self.buffer,
            };
            if !line.trim_ascii().is_empty() {
                return match serde_json::from_slice(line) {
                    Ok(event) => Ok(Some(event)),
                    Err(error) => Err(self.error(Problem::NoEvent(without_place(&error)))),
                };
            }
        }
    }

    fn error(&self, problem: Problem) -> JsonlError {
        JsonlError { line: self.line, problem }
    }
}

/// What is wrong with a line; that the parser calls it line 1 would mislead.
fn without_place(error: &serde_json::Error) -> String {
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = error.to_string();
    match message.strip_suffix(&place) {
        Some(problem) => format!("{problem} (column {})", error.column()),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (usize, Result<(), String>) {
        let mut reader = JsonlReader::new(text.as_bytes());
        let mut count = 0;
        loop {
            match reader.next_event() {
                Ok(Some(_)) => count += 1,
                Ok(None) => return (count, Ok(())),
                Err(error) => return (count, Err(error.to_string())),
            }
        }
    }

    const EVENT: &str = r#"{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"00f067aa0ba902b7","event_type":"a","timestamp":"2026-01-01T00:00:00Z","service":"s"}"#;

    #[test]
    fn events_are_read_a_line_at_a_time() {
        assert_eq!(read(&format!("\u{FEFF}{EVENT}\n\n  \n{EVENT}")), (2, Ok(())));
        assert_eq!(read(""), (0, Ok(())));
    }

    #[test]
    fn a_broken_line_is_named_after_what_was_sound() {
        let (count, result) = read(&format!("{EVENT}\n{EVENT}\n{{\"trace_id\":7}}\n"));
        assert_eq!(count, 2);
        insta::assert_snapshot!(result.unwrap_err(), @"line 3: this is not an event: invalid type: integer `7`, expected a string (column 13)");
    }

    #[test]
    fn a_line_without_end_is_not_gathered() {
        let (_, result) = read(&"{".repeat(MAX_LINE as usize + 5));
        insta::assert_snapshot!(result.unwrap_err(), @"line 1: the line is longer than 16 MiB");
    }
}
