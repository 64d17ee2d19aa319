//! [`LogFiles`]: the log files of the service, and the lines in them that are of one run.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use memchr::memmem::Finder;
use throughline_core::{Redactor, SpanId, Timestamp, TraceId};

use crate::log_line::{LogLine, time_of};

/// How many bytes are read for one answer, and how many lines it has: the last ones of the run.
const MOST_BYTES: u64 = 64 * 1024 * 1024;
const MOST_LINES: usize = 2_000;
/// In how many files it is looked.
const MOST_FILES: usize = 1_000;
/// How much of a line is read; what follows is left out.
const LONGEST_LINE: u64 = 64 * 1024;
/// How near a place in a file is found by its time; what is nearer is read.
const NEAR: u64 = 256 * 1024;
/// How much earlier or later than its run a line may be: threads write theirs in no strict order, and some follow the end.
const SLACK: Duration = Duration::from_secs(60);
/// What the names of log files have in them.
const NAMES: [&str; 3] = [".jsonl", ".log", ".json"];
/// What the names of compressed files end with.
const COMPRESSED: [&str; 4] = [".gz", ".zst", ".xz", ".bz2"];

/// Where the service writes its log.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogFiles(pub(crate) Vec<PathBuf>);

/// Of which run lines are wanted, and when it was.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) run: TraceId,
    /// Only those of this span.
    pub(crate) span: Option<SpanId>,
    pub(crate) from: Timestamp,
    /// `None` while it has not ended.
    pub(crate) until: Option<Timestamp>,
}

/// The lines of a run.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// In the order of the files and of their lines.
    pub(crate) lines: VecDeque<LogLine>,
    /// Whether there may be more: the files are large, or the run has more lines than are shown.
    pub(crate) has_more: bool,
    /// In how many files it was looked.
    pub(crate) files: usize,
}

impl LogFiles {
    /// Reads the lines of a run, with secrets replaced.
    pub(crate) fn lines(&self, wanted: &Wanted, redactor: &Redactor) -> io::Result<Found> {
        let since = wanted.from.minus(SLACK);
        let mut files = self.files()?;
        // What was written to last comes last.
        files.sort();
        files.retain(|(changed, _)| *changed >= since);
        let mut found = Found {
            has_more: files.len() > MOST_FILES,
            files: files.len().min(MOST_FILES),
            ..Found::default()
        };
        let mut left = MOST_BYTES;
        let mut parts = Vec::new();
        for (_, path) in files.iter().rev().take(MOST_FILES) {
            let mut part = match Part::of(path, wanted) {
                Ok(part) => part,
                // It was removed since it was listed, as old files are.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            found.has_more |= part.keep_last(left);
            left -= part.length();
            parts.push(part);
        }
        let finder = Finder::new(&wanted.run.to_string()).into_owned();
        for part in parts.into_iter().rev() {
            part.read(|line| {
                if finder.find(line).is_none() {
                    return;
                }
                let Some(line) = LogLine::of(line, wanted.run, redactor) else { return };
                if wanted.span.is_none_or(|span| line.span_id == Some(span)) {
                    found.lines.push_back(line);
                }
                if found.lines.len() > MOST_LINES {
                    found.lines.pop_front();
                    found.has_more = true;
                }
            })?;
        }
        Ok(found)
    }

    /// The files, each with when it was written to last.
    fn files(&self) -> io::Result<Vec<(Timestamp, PathBuf)>> {
        let mut files = Vec::new();
        for path in &self.0 {
            if !path.metadata()?.is_dir() {
                files.push(path.clone());
                continue;
            }
            for entry in path.read_dir()? {
                let path = entry?.path();
                if is_log_file(&path) {
                    files.push(path);
                }
            }
        }
        let changed = |path: PathBuf| {
            let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((moment(metadata.modified().ok()?), path))
        };
        Ok(files.into_iter().filter_map(changed).collect())
    }
}

fn is_log_file(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    NAMES.iter().any(|part| name.contains(part)) && !COMPRESSED.iter().any(|end| name.ends_with(end))
}

fn moment(time: SystemTime) -> Timestamp {
    let micros = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// The part of a file that is of the time of a run.
struct Part {
    file: File,
    from: u64,
    to: u64,
}

impl Part {
    /// Lines are in the order of their times, so that the place of a time is found without reading all that is before it.
    fn of(path: &Path, wanted: &Wanted) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        let from = place(&mut file, length, wanted.from.minus(SLACK))?.map_or(0, |(before, _)| before);
        let to = match wanted.until {
            Some(until) => place(&mut file, length, until.plus(SLACK))?.map_or(length, |(_, behind)| behind),
            None => length,
        };
        Ok(Self { file, from, to })
    }

    fn length(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// Keeps so many bytes, the last ones; says whether there were more.
    fn keep_last(&mut self, bytes: u64) -> bool {
        let is_more = self.length() > bytes;
        if is_more {
            self.from = self.to - bytes;
        }
        is_more
    }

    /// Passes on each line that begins in the part.
    fn read(mut self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.from))?;
        let mut reader = BufReader::with_capacity(64 * 1024, self.file);
        let mut at = self.from;
        if at > 0 {
            at += skip_line(&mut reader)?;
        }
        let mut line = Vec::new();
        while at < self.to {
            line.clear();
            let read = { &mut reader }.take(LONGEST_LINE).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            at += read as u64;
            if line.last() != Some(&b'\n') {
                at += skip_line(&mut reader)?;
            }
            each(line.trim_ascii_end());
        }
        Ok(())
    }
}

/// Skips what is left of a line; says how many bytes that were.
fn skip_line(reader: &mut impl io::BufRead) -> io::Result<u64> {
    let mut skipped = 0;
    loop {
        let read = reader.fill_buf()?;
        if read.is_empty() {
            return Ok(skipped);
        }
        let (taken, is_end) = match memchr::memchr(b'\n', read) {
            Some(end) => (end + 1, true),
            None => (read.len(), false),
        };
        reader.consume(taken);
        skipped += taken as u64;
        if is_end {
            return Ok(skipped);
        }
    }
}

/// Two places in a file near each other, between which the first line of a time or later begins; `None` where lines don't say when
/// they were written.
fn place(file: &mut File, length: u64, time: Timestamp) -> io::Result<Option<(u64, u64)>> {
    let (mut before, mut behind) = (0, length);
    while behind - before > NEAR {
        let middle = before + (behind - before) / 2;
        let Some(found) = first_time_from(file, middle)? else { return Ok(None) };
        if found < time { before = middle } else { behind = middle }
    }
    Ok(Some((before, behind)))
}

/// The time of the first line that begins behind a place and says its time.
fn first_time_from(file: &mut File, place: u64) -> io::Result<Option<Timestamp>> {
    file.seek(SeekFrom::Start(place))?;
    let mut read = Vec::new();
    { &mut *file }.take(LONGEST_LINE * 2).read_to_end(&mut read)?;
    // The first is only the end of one.
    Ok(read.split(|byte| *byte == b'\n').skip(1).find_map(time_of))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use throughline_core::Redaction;

    use super::*;

    const LINES: usize = 60_000;

    fn at(second: usize) -> Timestamp {
        Timestamp::from_micros(1_772_323_200_000_000).plus(Duration::from_secs(second as u64))
    }

    fn id(number: usize) -> TraceId {
        TraceId::from_key(&format!("run-{number}"))
    }

    fn line(second: usize, run: TraceId, message: &str) -> String {
        format!(r#"{{"timestamp":"{}","level":"info","message":"{message}","trace_id":"{run}"}}"#, at(second))
    }

    fn lines_of(files: &LogFiles, run: usize, seconds: [usize; 2]) -> (Vec<String>, bool) {
        let wanted = Wanted { run: id(run), span: None, from: at(seconds[0]), until: Some(at(seconds[1])) };
        let found = files.lines(&wanted, &Redaction::standard().build().unwrap()).unwrap();
        (found.lines.into_iter().map(|line| line.message).collect(), found.has_more)
    }

    #[test]
    fn the_lines_of_a_run_are_found_wherever_in_large_files_they_are() {
        let folder = tempfile::tempdir().unwrap();
        for (name, offset) in [("loans.1.jsonl", 0), ("loans.2.jsonl", LINES)] {
            let lines: Vec<_> = (0..LINES)
                .map(|at| {
                    line(
                        offset + at,
                        id((offset + at) / 10),
                        &format!("line {} {}", offset + at, "x".repeat(60)),
                    )
                })
                .collect();
            fs::write(folder.path().join(name), lines.join("\n") + "\n").unwrap();
        }
        fs::write(folder.path().join("notes.txt"), line(0, id(0), "no log file")).unwrap();
        fs::write(folder.path().join("old.jsonl.gz"), line(0, id(0), "compressed")).unwrap();
        let files = LogFiles(vec![folder.path().to_owned()]);
        for run in [0, 1, 2_999, 5_999, 6_000, 9_000, 11_999] {
            let (lines, has_more) = lines_of(&files, run, [run * 10, run * 10 + 9]);
            let numbers: Vec<_> =
                lines.iter().map(|line| line.split(' ').nth(1).unwrap().to_owned()).collect();
            let expected: Vec<_> = (run * 10..run * 10 + 10).map(|at| at.to_string()).collect();
            assert_eq!((numbers, has_more), (expected, false), "run {run}");
        }
    }

    #[test]
    fn a_place_in_a_file_is_found_by_its_time_and_little_of_it_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loans.jsonl");
        let lines: Vec<_> = (0..LINES).map(|at| line(at, id(0), &"x".repeat(60))).collect();
        fs::write(&path, lines.join("\n")).unwrap();
        let wanted = Wanted { run: id(0), span: None, from: at(30_000), until: Some(at(30_001)) };
        let part = Part::of(&path, &wanted).unwrap();
        assert!(part.length() <= 2 * NEAR + 64 * 1024, "{} bytes", part.length());
    }

    #[test]
    fn of_a_run_with_more_lines_than_are_shown_the_last_are_and_it_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loans.jsonl");
        let lines: Vec<_> = (0..MOST_LINES + 5).map(|at| line(at, id(7), &format!("line {at}"))).collect();
        fs::write(&path, lines.join("\n")).unwrap();
        let (shown, has_more) = lines_of(&LogFiles(vec![path]), 7, [0, MOST_LINES + 5]);
        assert_eq!((shown.len(), &*shown[0], has_more), (MOST_LINES, "line 5", true));
    }

    #[test]
    fn a_line_without_end_and_lines_without_times_keep_nobody_from_finding_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("loans.log");
        let endless = format!("plain text of {} {}", id(1), "y".repeat(3 * 1024 * 1024));
        let text = [line(0, id(1), "first"), endless, format!("also of {}", id(1)), line(9, id(1), "last")];
        fs::write(&path, text.join("\n")).unwrap();
        let (shown, has_more) = lines_of(&LogFiles(vec![path]), 1, [0, 9]);
        assert_eq!((shown.len(), has_more), (4, false));
        assert!(
            shown[1].starts_with("plain text of ") && shown[1].len() <= LONGEST_LINE as usize,
            "{}",
            shown[1].len()
        );
        assert_eq!([&*shown[0], &*shown[3]], ["first", "last"]);
    }

    #[test]
    fn a_place_that_is_not_there_is_an_error() {
        let wanted = Wanted { run: id(0), span: None, from: at(0), until: None };
        let files = LogFiles(vec!["nowhere/at/all".into()]);
        assert!(files.lines(&wanted, &Redaction::standard().build().unwrap()).is_err());
    }
}
