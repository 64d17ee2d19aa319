//! Reads events from JSON lines.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use memchr::memmem;
use serde::Deserialize;
use throughline_core::TraceEvent;

/// The longest line, in bytes.
const MAX_LINE: u64 = 16 << 20;
/// How much is read of a stream without an event, in bytes.
const PATIENCE: u64 = 64 << 20;
/// What a line counts at least, so that a million of the shortest exhaust the patience.
const LEAST_LINE: u64 = 64;

/// Why there is no event where one was expected.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub(crate) struct JsonlError {
    pub(crate) line: u64,
    pub(crate) problem: Problem,
}

/// What is wrong with a line, or with the input.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("this is not an event: {}", without_place(.0))]
    NoEvent(serde_json::Error),
    #[error("the line is longer than {} MiB", MAX_LINE >> 20)]
    TooLong,
    #[error("the input ends unexpectedly: {0}")]
    Input(io::Error),
    #[error("no event in the last {} MiB or million lines, and no end to be seen", PATIENCE >> 20)]
    Endless,
}

impl Problem {
    /// Whether this is about one line, and the next one can be read.
    pub(crate) fn is_of_line(&self) -> bool {
        matches!(self, Self::NoEvent(_) | Self::TooLong)
    }
}

/// Reads events, one a line; blank lines are skipped.
pub(crate) struct JsonlReader<R> {
    input: R,
    buffer: Vec<u8>,
    line: u64,
    /// How much may be read without an event, in all and from here.
    patience: u64,
    left: u64,
    cut_timestamps: u64,
}

impl<R: BufRead> JsonlReader<R> {
    /// Reads all there is.
    pub(crate) fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), line: 0, patience: u64::MAX, left: u64::MAX, cut_timestamps: 0 }
    }

    /// Reads what may have no end, and stops where no more events are to be expected.
    pub(crate) fn of_stream(input: R) -> Self {
        Self { patience: PATIENCE, left: PATIENCE, ..Self::new(input) }
    }

    /// How many events so far had a timestamp with digits beyond the microsecond.
    pub(crate) fn cut_timestamps(&self) -> u64 {
        self.cut_timestamps
    }

    /// The next event; `None` at the end. After an error that [is of one line](Problem::is_of_line) there may be more.
    pub(crate) fn next_event(&mut self) -> Result<Option<TraceEvent>, JsonlError> {
        loop {
            self.buffer.clear();
            self.line += 1;
            let read = (&mut self.input).take(MAX_LINE).read_until(b'\n', &mut self.buffer);
            let length = read.map_err(|error| self.error(Problem::Input(error)))? as u64;
            if length == 0 {
                return Ok(None);
            }
            self.count(length)?;
            if length == MAX_LINE && !self.buffer.ends_with(b"\n") {
                self.skip_line()?;
                return Err(self.error(Problem::TooLong));
            }
            // Files with such a mark may have been put together.
            let line = self.buffer.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&self.buffer);
            if !line.trim_ascii().is_empty() {
                return match TraceEvent::from_json(line) {
                    Ok(event) => {
                        self.left = self.patience;
                        self.cut_timestamps += u64::from(is_cut(line, &event));
                        Ok(Some(event))
                    }
                    Err(error) => Err(self.error(Problem::NoEvent(error))),
                };
            }
        }
    }

    fn skip_line(&mut self) -> Result<(), JsonlError> {
        loop {
            self.buffer.clear();
            let read = (&mut self.input).take(MAX_LINE).read_until(b'\n', &mut self.buffer);
            let length = read.map_err(|error| self.error(Problem::Input(error)))?;
            if length == 0 || self.buffer.ends_with(b"\n") {
                return Ok(());
            }
            self.count(length as u64)?;
        }
    }

    fn count(&mut self, length: u64) -> Result<(), JsonlError> {
        self.left = self.left.saturating_sub(length.max(LEAST_LINE));
        if self.left == 0 { Err(self.error(Problem::Endless)) } else { Ok(()) }
    }

    fn error(&self, problem: Problem) -> JsonlError {
        JsonlError { line: self.line, problem }
    }
}

/// Whether the timestamp in a line is finer than that of its event.
fn is_cut(line: &[u8], event: &TraceEvent) -> bool {
    #[derive(Deserialize)]
    struct Written<'a> {
        #[serde(borrow)]
        timestamp: Cow<'a, str>,
    }
    // Most often it is written as it is read, which spares a second look at the line.
    if memmem::find(line, event.timestamp.to_string().as_bytes()).is_some() {
        return false;
    }
    let written = serde_json::from_slice::<Written<'_>>(line);
    written.is_ok_and(|Written { timestamp }| {
        let (_, fraction) = timestamp.split_once(['.', ',']).unwrap_or_default();
        let digits = fraction.bytes().take_while(u8::is_ascii_digit);
        digits.skip(6).any(|digit| digit != b'0')
    })
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

    fn read(text: &str) -> (usize, Vec<String>) {
        let mut reader = JsonlReader::new(text.as_bytes());
        let (mut count, mut problems) = (0, Vec::new());
        loop {
            match reader.next_event() {
                Ok(Some(_)) => count += 1,
                Ok(None) => return (count, problems),
                Err(error) => problems.push(error.to_string()),
            }
        }
    }

    const EVENT: &str = r#"{"trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"00f067aa0ba902b7","event_type":"a","timestamp":"2026-01-01T00:00:00Z","service":"s"}"#;

    #[test]
    fn events_are_read_a_line_at_a_time() {
        assert_eq!(read(&format!("\u{FEFF}{EVENT}\n\n  \n{EVENT}\r\n\u{FEFF}{EVENT}")), (3, vec![]));
        assert_eq!(read(""), (0, vec![]));
    }

    #[test]
    fn a_bad_line_is_named_and_those_around_it_are_read() {
        let (count, problems) = read(&format!("{EVENT}\n{{\"trace_id\":7}}\n{EVENT}\n"));
        assert_eq!(count, 2);
        insta::assert_snapshot!(problems.join("\n"), @"line 2: this is not an event: invalid type: integer `7`, expected a string (column 13)");
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_not_gathered() {
        for long in
            [MAX_LINE as usize, MAX_LINE as usize + 5, 2 * MAX_LINE as usize, 2 * MAX_LINE as usize + 1]
        {
            let (count, problems) = read(&format!("{EVENT}\n{}\n{EVENT}", "{".repeat(long)));
            assert_eq!(
                (count, &*problems.join("\n")),
                (2, "line 2: the line is longer than 16 MiB"),
                "{long}"
            );
        }
    }
}
