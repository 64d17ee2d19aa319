//! [`LogTally`]: what is in logs, counted.

use jiff::Timestamp;
use rustc_hash::FxHashMap;
use serde::Serialize;

use crate::level::LogLevel;
use crate::record::{LogTime, Record};

/// How many shapes of messages are told apart. When there are more, the half that is rarest is counted together: what is there
/// most often stays, whenever it comes.
const MOST_SHAPES: usize = 10_000;
/// How much of a message makes its shape, in bytes.
const LONGEST_SHAPE: usize = 200;
/// How much of a text is quoted, in bytes.
const LONGEST_QUOTE: usize = 2_000;

/// What is in logs, counted.
#[derive(Debug, Default)]
pub struct LogTally {
    lines: u64,
    malformed: u64,
    levels: [u64; LogLevel::ALL.len()],
    shapes: FxHashMap<String, Shape>,
    others: u64,
    /// The latest ones, in the order of time.
    errors: Vec<(Option<Timestamp>, LoggedError)>,
    /// When the line before was written: a line without a time follows it.
    now: Option<Timestamp>,
    first: Option<(Option<Timestamp>, String)>,
    last: Option<(Option<Timestamp>, String)>,
}

/// What the logs of a service say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LogSummary {
    /// How many lines there are.
    pub lines: u64,
    /// How many of them are no JSON objects.
    pub malformed: u64,
    /// How many have each level, the worst first; those without one are not among them.
    pub levels: Vec<LevelCount>,
    /// The messages that are there most often, taken together by their shape.
    pub messages: Vec<MessageCount>,
    /// How many lines have messages of other shapes.
    pub others: u64,
    /// The last errors of all files, oldest first.
    pub errors: Vec<LoggedError>,
    /// When the earliest line was written, as it has it.
    pub first: Option<String>,
    /// When the latest one was.
    pub last: Option<String>,
}

/// How many lines have a level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LevelCount {
    /// The level.
    pub level: &'static str,
    /// How many lines have it.
    pub count: u64,
}

/// How many lines have messages of one shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageCount {
    /// The message, with `*` in the place of what differs: numbers, ids and what is in quotes.
    pub message: String,
    /// How many lines have it. Among very many shapes, some that came before it was frequent may be missing.
    pub count: u64,
    /// The worst level that it was logged with.
    pub level: Option<&'static str>,
}

/// An error that was logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedError {
    /// When, as the line has it.
    pub at: Option<String>,
    /// What happened.
    pub message: String,
    /// What was wrong, where the line says it apart.
    pub error: Option<String>,
    /// Of which run it is: its key, or the id of its trace or request.
    pub run: Option<String>,
}

#[derive(Debug, Default, Clone)]
struct Shape {
    count: u64,
    level: Option<LogLevel>,
}

impl LogTally {
    /// How many errors are kept.
    pub const ERRORS: usize = 10;

    /// An empty tally.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts a line.
    pub fn add(&mut self, line: &[u8]) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        self.lines += 1;
        let Some(record) = Record::read(line) else {
            self.malformed += 1;
            let text = String::from_utf8_lossy(&line[..line.len().min(LONGEST_QUOTE)]);
            self.count(&text, None);
            return;
        };
        let at = record.time.as_ref().map(said);
        self.now = record.time.as_ref().and_then(LogTime::moment).or(self.now);
        if let Some(at) = &at {
            if self.first.as_ref().is_none_or(|(first, _)| self.now < *first) {
                self.first = Some((self.now, at.clone()));
            }
            if self.last.as_ref().is_none_or(|(last, _)| self.now >= *last) {
                self.last = Some((self.now, at.clone()));
            }
        }
        if let Some(level) = record.level {
            self.levels[level as usize] += 1;
        }
        self.count(&record.message, record.level);
        if record.level == Some(LogLevel::Error) {
            let place = self.errors.partition_point(|(at, _)| *at <= self.now);
            if place > 0 || self.errors.len() < Self::ERRORS {
                let run = record.ids().min_by_key(|id| id.len()).map(quote);
                let error = record.error().filter(|error| !record.message.contains(error)).map(quote);
                let message = quote(&record.message);
                self.errors.insert(place, (self.now, LoggedError { at, message, error, run }));
                let too_many = self.errors.len().saturating_sub(Self::ERRORS);
                self.errors.drain(..too_many);
            }
        }
    }

    fn count(&mut self, message: &str, level: Option<LogLevel>) {
        let shape = shape(message);
        if self.shapes.len() >= MOST_SHAPES && !self.shapes.contains_key(&shape) {
            self.forget_the_rarest();
        }
        let counted = self.shapes.entry(shape).or_default();
        counted.count += 1;
        counted.level = counted.level.max(level);
    }

    fn forget_the_rarest(&mut self) {
        let mut counts: Vec<_> = self.shapes.values().map(|shape| shape.count).collect();
        let (rarer, median, _) = counts.select_nth_unstable(MOST_SHAPES / 2);
        // Of those that are as rare as each other, only as many as make a half.
        let mut as_rare = rarer.iter().filter(|count| **count == *median).count();
        let (median, others) = (*median, &mut self.others);
        self.shapes.retain(|_, shape| {
            let is_surplus = shape.count == median && as_rare > 0;
            as_rare -= usize::from(is_surplus);
            let stays = shape.count >= median && !is_surplus;
            *others += if stays { 0 } else { shape.count };
            stays
        });
    }

    /// What was counted, with the so many messages that are there most often.
    pub fn summary(self, most: usize) -> LogSummary {
        let levels = LogLevel::ALL
            .iter()
            .rev()
            .map(|level| LevelCount { level: level.as_str(), count: self.levels[*level as usize] });
        let mut messages: Vec<_> = self
            .shapes
            .into_iter()
            .map(|(message, Shape { count, level })| MessageCount {
                message,
                count,
                level: level.map(LogLevel::as_str),
            })
            .collect();
        messages.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.message.cmp(&b.message)));
        let left_out: u64 = messages.iter().skip(most).map(|message| message.count).sum();
        messages.truncate(most);
        LogSummary {
            lines: self.lines,
            malformed: self.malformed,
            levels: levels.filter(|level| level.count > 0).collect(),
            messages,
            others: self.others + left_out,
            errors: self.errors.into_iter().map(|(_, error)| error).collect(),
            first: self.first.map(|(_, at)| at),
            last: self.last.map(|(_, at)| at),
        }
    }
}

fn said(time: &LogTime) -> String {
    match time {
        LogTime::Moment(at) => format!("{at:.3}"),
        LogTime::Text(text) => quote(text),
    }
}

fn quote(text: &str) -> String {
    cut(text, LONGEST_QUOTE).to_owned()
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// A message with `*` in the place of what differs between messages of one kind: words with digits, and what is in quotes.
fn shape(message: &str) -> String {
    let mut shape = String::new();
    let mut rest = cut(message.trim(), LONGEST_SHAPE);
    while let Some(first) = rest.chars().next() {
        let is_quote = matches!(first, '"' | '\'' | '`');
        // An apostrophe is within a word.
        let closing = rest[first.len_utf8()..].find(first).filter(|_| is_quote);
        if let Some(closing) = closing {
            shape.extend([first, '*', first]);
            rest = &rest[closing + 2 * first.len_utf8()..];
            continue;
        }
        let length = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
        if length == 0 {
            shape.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let word = &rest[..length];
        shape.push_str(if word.contains(|c: char| c.is_ascii_digit()) { "*" } else { word });
        rest = &rest[length..];
    }
    shape
}

fn is_of_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '-' | '_' | '.' | '\'')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_differ_in_numbers_ids_and_quotes_have_one_shape() {
        for (message, expected) in [
            ("task 17 took 1.5s", "task * took *"),
            ("run 0198c0ffee-a1 of loan-42 failed (attempt 2)", "run * of * failed (attempt *)"),
            ("no file 'a b.txt': it doesn't exist", "no file '*': it doesn't exist"),
            ("GET /loans/42/offers", "GET /loans/*/offers"),
            ("\"unclosed", "\"unclosed"),
            ("", ""),
        ] {
            assert_eq!(shape(message), expected, "{message}");
        }
    }

    #[test]
    fn logs_are_counted_by_level_and_shape_and_the_last_errors_are_kept() {
        let mut tally = LogTally::new();
        for n in 0..20 {
            tally.add(format!("{{\"timestamp\":\"2026-02-21T13:42:{n:02}Z\",\"level\":\"info\",\"message\":\"task {n} done\"}}").as_bytes());
        }
        for n in 20..35 {
            tally.add(format!("{{\"timestamp\":\"2026-02-21T13:42:{n}Z\",\"level\":\"error\",\"message\":\"task {n} failed\",\"reason\":\"oops\",\"correlation_id\":\"loan-{n}\"}}").as_bytes());
        }
        tally.add(b"panicked at src/main.rs");
        tally.add(b"  ");
        let mut summary = tally.summary(2);
        assert_eq!(summary.errors.len(), LogTally::ERRORS);
        summary.errors.drain(1..LogTally::ERRORS - 1);
        insta::assert_json_snapshot!(summary);
    }

    #[test]
    fn the_last_errors_of_several_files_are_the_latest() {
        let mut tally = LogTally::new();
        let error = |at: &str, message: &str| {
            format!("{{\"time\":\"{at}\",\"level\":\"error\",\"msg\":\"{message}\"}}").into_bytes()
        };
        for minute in 10..30 {
            tally.add(&error(&format!("2026-02-21T13:{minute}:00Z"), &format!("a {minute}")));
        }
        // The other file is older, but for its last lines, which another zone's clock wrote.
        tally.add(&error("2026-02-20T09:00:00Z", "b old"));
        tally.add(&error("2026-02-21 13:25:30,250", "b of Python"));
        tally.add(&error("2026-02-21T14:28:30+01:00", "b in between"));
        tally.add(b"{\"level\":\"error\",\"msg\":\"b without a time\"}");
        let summary = tally.summary(1);
        let messages: Vec<_> = summary.errors.iter().map(|error| error.message.as_str()).collect();
        let expected = [
            "a 23",
            "a 24",
            "a 25",
            "b of Python",
            "a 26",
            "a 27",
            "a 28",
            "b in between",
            "b without a time",
            "a 29",
        ];
        assert_eq!(messages, expected);
        let span = (summary.first.as_deref(), summary.last.as_deref());
        assert_eq!(span, (Some("2026-02-20T09:00:00.000Z"), Some("2026-02-21T13:29:00.000Z")));
    }

    #[test]
    fn a_message_that_is_there_most_often_is_told_however_many_others_came_first() {
        let mut tally = LogTally::new();
        let name =
            |n: usize| n.to_string().bytes().map(|digit| char::from(b'a' + digit - b'0')).collect::<String>();
        for n in 0..3 * MOST_SHAPES {
            tally.add(format!("{{\"msg\":\"{}\"}}", name(n)).as_bytes());
        }
        for _ in 0..500 {
            tally.add(br#"{"msg":"no space left"}"#);
        }
        let summary = tally.summary(1);
        assert_eq!((&*summary.messages[0].message, summary.messages[0].count), ("no space left", 500));
        assert_eq!(summary.others, 3 * MOST_SHAPES as u64);
    }

    #[test]
    fn shapes_are_bounded_and_what_is_beyond_is_counted() {
        let mut tally = LogTally::new();
        let name = |mut n: usize| -> String {
            let mut name = String::new();
            for _ in 0..4 {
                name.push(char::from(b'a' + u8::try_from(n % 26).unwrap()));
                n /= 26;
            }
            name
        };
        for n in 0..MOST_SHAPES + 5 {
            tally.add(format!("{{\"msg\":\"{}\"}}", name(n)).as_bytes());
        }
        assert_eq!((tally.shapes.len(), tally.others), (MOST_SHAPES / 2 + 5, MOST_SHAPES as u64 / 2));
        let summary = tally.summary(3);
        assert_eq!((summary.lines, summary.messages.len()), (MOST_SHAPES as u64 + 5, 3));
        assert_eq!(summary.others, MOST_SHAPES as u64 + 2);
    }
}
