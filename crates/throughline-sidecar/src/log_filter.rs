//! [`LogFilter`]: which lines are shown.

use std::collections::HashSet;

use crate::level::LogLevel;
use crate::record::Record;

/// How much of an id is enough to mean it.
const SHORTEST_ID: usize = 8;
/// How many ids of a run are remembered.
const MOST_IDS: usize = 10_000;

/// Which lines are shown.
///
/// A line that is no JSON has no level and is shown whatever level is asked for: it may be the panic that everything else
/// follows from.
#[derive(Debug, Clone, Default)]
pub struct LogFilter {
    level: Option<LogLevel>,
    text: Option<String>,
    run: Option<Run>,
}

/// A run, by all that it is known to be called.
#[derive(Debug, Clone)]
struct Run {
    keys: Vec<String>,
    ids: HashSet<String>,
}

impl LogFilter {
    /// All lines.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only lines of this level and above.
    #[must_use]
    pub fn level(mut self, level: LogLevel) -> Self {
        self.level = Some(level);
        self
    }

    /// Only lines that contain this text, in capitals or not.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.text = Some(text.to_lowercase());
        self
    }

    /// Only lines of this run: its key, the id of its trace or of its request, or the beginning of one. It may have several
    /// names. What a line with one of them is also called, such as the trace id beside a key, is a name of the run from then
    /// on.
    #[must_use]
    pub fn run(mut self, keys: impl IntoIterator<Item = String>) -> Self {
        self.run = Some(Run { keys: keys.into_iter().collect(), ids: HashSet::new() });
        self
    }

    /// Whether lines of one run alone are shown.
    pub fn is_of_a_run(&self) -> bool {
        self.run.is_some()
    }

    /// Learns from a line what the run is called. Lines before the one that has its key can be told as well once this has
    /// seen them all.
    pub fn learn(&mut self, record: &Record) {
        let Some(run) = &mut self.run else { return };
        if run.ids.len() < MOST_IDS && run.is_named_by(record) {
            let trace_ids = record.ids().filter(|id| is_trace_id(id));
            run.ids.extend(trace_ids.map(str::to_owned));
        }
    }

    /// Whether a line is shown. `record` is what it says, if it is JSON.
    pub fn matches(&mut self, line: &str, record: Option<&Record>) -> bool {
        if let Some(record) = record {
            self.learn(record);
        }
        let is_of_level = match (self.level, record.map(|record| record.level)) {
            (None, _) | (Some(_), None) => true,
            (Some(least), Some(level)) => level.is_some_and(|level| level >= least),
        };
        is_of_level && self.has_text(line, record) && self.is_of_run(line, record)
    }

    fn has_text(&self, line: &str, record: Option<&Record>) -> bool {
        let Some(text) = &self.text else { return true };
        // Quotes and letters may be written as escapes.
        line.to_lowercase().contains(text)
            || record.is_some_and(|record| {
                let values = record.fields.iter().filter_map(|(_, value)| value.as_text());
                values.chain([record.message.as_str()]).any(|value| value.to_lowercase().contains(text))
            })
    }

    fn is_of_run(&self, line: &str, record: Option<&Record>) -> bool {
        let Some(run) = &self.run else { return true };
        match record {
            Some(record) => run.is_named_by(record),
            None => run.keys.iter().chain(&run.ids).any(|name| line.contains(name)),
        }
    }
}

impl Run {
    fn is_named_by(&self, record: &Record) -> bool {
        let mut ids = record.ids();
        ids.any(|id| self.ids.contains(id) || self.keys.iter().any(|key| is_name(key, id)))
    }
}

/// Whether this key means this id: it is the same, or enough of the beginning of an id in hexadecimal.
fn is_name(key: &str, id: &str) -> bool {
    key == id || (key.len() >= SHORTEST_ID && is_trace_id(id) && id.starts_with(&key.to_ascii_lowercase()))
}

fn is_trace_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "01980000000000000000000000000abc";

    fn matching(mut filter: LogFilter, lines: &[&str]) -> Vec<usize> {
        let mut matches = |line: &str| filter.matches(line, Record::read(line.as_bytes()).as_ref());
        let found: Vec<_> = lines.iter().map(|line| matches(line)).collect();
        found.iter().enumerate().filter_map(|(at, is)| is.then_some(at)).collect()
    }

    #[test]
    fn a_level_lets_through_what_is_worse_and_what_is_no_json() {
        let lines = [
            r#"{"level":"debug","msg":"a"}"#,
            r#"{"severity":"WARNING","msg":"b"}"#,
            r#"{"level":50,"msg":"c"}"#,
            r#"{"msg":"d"}"#,
            "panicked at src/main.rs",
        ];
        assert_eq!(matching(LogFilter::new(), &lines), [0, 1, 2, 3, 4]);
        assert_eq!(matching(LogFilter::new().level(LogLevel::Warn), &lines), [1, 2, 4]);
        assert_eq!(matching(LogFilter::new().level(LogLevel::Error), &lines), [2, 4]);
    }

    #[test]
    fn a_text_is_found_in_any_case_and_behind_escapes() {
        let lines = [r#"{"msg":"Stra\u00dfe \"closed\""}"#, r#"{"msg":"open"}"#, "STRASSE"];
        assert_eq!(matching(LogFilter::new().text("straße \"CLOSED"), &lines), [0]);
        assert_eq!(matching(LogFilter::new().text("strasse"), &lines), [2]);
    }

    #[test]
    fn a_run_is_followed_by_its_key_and_by_the_ids_beside_it() {
        let by_id = format!(r#"{{"traceId":"{TRACE}","msg":"of the trace"}}"#);
        let both = format!(r#"{{"trace_id":"{TRACE}","correlation_id":"loan-42","msg":"begins"}}"#);
        let lines = [
            &*by_id,
            &both,
            &by_id,
            r#"{"correlation_id":"loan-421","msg":"another"}"#,
            r#"{"msg":"loan-42 is mentioned"}"#,
            r#"{"span":{"fields":1,"request.id":"loan-42"}}"#,
            "panic while loan-42 ran",
        ];
        let run = |key: &str| LogFilter::new().run([key.to_owned()]);
        assert_eq!(matching(run("loan-42"), &lines), [1, 2, 5, 6]);
        assert_eq!(matching(run(TRACE), &lines), [0, 1, 2]);
        assert_eq!(matching(run("01980000"), &lines), [0, 1, 2]);
        assert_eq!(matching(run("0198"), &lines), [] as [usize; 0]);
        let mut learned = run("loan-42");
        lines.iter().filter_map(|line| Record::read(line.as_bytes())).for_each(|line| learned.learn(&line));
        assert_eq!(matching(learned, &lines), [0, 1, 2, 5, 6]);
    }

    #[test]
    fn the_parent_of_a_run_is_not_the_run() {
        let line = format!(r#"{{"parent_trace_id":"{TRACE}","trace_id":"{}"}}"#, "0".repeat(32));
        assert_eq!(matching(LogFilter::new().run([TRACE.to_owned()]), &[&line]), [] as [usize; 0]);
    }
}
