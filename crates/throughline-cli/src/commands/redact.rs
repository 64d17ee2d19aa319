//! `throughline redact`: a text or JSON lines with marks in place of what must not be seen.

mod pieces;
mod table;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde_json::{Map, Value};
use throughline_core::{Redaction, Redactor};

use self::pieces::Pieces;
use crate::args::RedactArgs;
use crate::error::{Answer, CliError};
use crate::output::Screen;

pub(super) fn run(args: &RedactArgs, screen: &mut Screen) -> Result<Answer, CliError> {
    let redaction = Redaction::standard().payload_limit(usize::MAX);
    let redactor = redaction.build().map_err(|error| CliError::Usage(error.to_string()))?;
    let mut job = Job { args, redactor, screen, line: 1, counts: BTreeMap::new(), found: false };
    match args.file.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let refused = |error: io::Error| CliError::Input(format!("{}: {error}", path.display()));
            let mut bytes = Vec::new();
            File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).map_err(refused)?;
            job.lines(&String::from_utf8_lossy(&bytes), None)?;
        }
        None => job.pipe(io::stdin())?,
    }
    job.finish()
}

struct Job<'j> {
    args: &'j RedactArgs,
    redactor: Redactor,
    screen: &'j mut Screen,
    /// The number of the line that the next piece starts with.
    line: usize,
    counts: BTreeMap<String, u64>,
    found: bool,
}

impl Job<'_> {
    /// Reads a pipe piece by piece.
    fn pipe(&mut self, input: impl Read + Send + 'static) -> Result<(), CliError> {
        let refused = |error: io::Error| CliError::Input(format!("standard input: {error}"));
        let mut pieces = Pieces::of(input);
        let mut head: Option<String> = None;
        while let Some(piece) = pieces.next().map_err(refused)? {
            let piece = String::from_utf8_lossy(&piece);
            let of_piece = head.as_deref().filter(|head| table::goes_on(head, &piece));
            self.lines(&piece, of_piece)?;
            head = table::head(&piece, of_piece).map(str::to_owned);
            self.screen.flush()?;
        }
        Ok(())
    }

    /// Reads lines: those of JSON lines one by one, all others together. What comes first may go on with a table of this head.
    fn lines(&mut self, lines: &str, head: Option<&str>) -> Result<(), CliError> {
        let (mut start, mut at, mut head) = (0, 0, head);
        for line in lines.split_inclusive('\n') {
            let end = at + line.len();
            // An object in the list of a larger text is a part of that.
            let is_alone = !lines[start..at].trim_end().ends_with([',', '[', '{', ':']);
            if let Some(fields) = Some(line).filter(|_| is_alone).and_then(object) {
                self.text(&lines[start..at], head.take())?;
                self.fields(fields)?;
                start = end;
            }
            at = end;
        }
        self.text(&lines[start..], head)
    }

    fn text(&mut self, text: &str, head: Option<&str>) -> Result<(), CliError> {
        if self.args.explain || self.args.count {
            self.explain(text, head)?;
        } else {
            let below = |head: &str| {
                let redacted = self.redactor.text(&[head, text].concat()).into_owned();
                redacted.strip_prefix(head).map(str::to_owned)
            };
            let redacted = head.and_then(below).unwrap_or_else(|| self.redactor.text(text).into_owned());
            // As it is, with the line ends that it has.
            self.screen.writer().write_all(redacted.as_bytes())?;
        }
        self.line += text.matches('\n').count();
        Ok(())
    }

    fn fields(&mut self, mut fields: Map<String, Value>) -> Result<(), CliError> {
        if self.args.explain || self.args.count {
            self.explain_fields(&fields)?;
        } else {
            self.redactor.payload(&mut fields);
            writeln!(self.screen.writer(), "{}", Value::Object(fields))?;
        }
        self.line += 1;
        Ok(())
    }

    fn explain(&mut self, text: &str, head: Option<&str>) -> Result<(), CliError> {
        let head = head.unwrap_or_default();
        let whole = [head, text].concat();
        let (mut seen, mut line) = (head.len(), self.line);
        for finding in self.redactor.findings(&whole) {
            // What is in the head was said when it was read.
            if finding.range.start < head.len() || !self.shows(&finding.kind) {
                continue;
            }
            let before = &whole[..finding.range.start];
            line += before[seen..].matches('\n').count();
            seen = before.len();
            let column = before.rsplit('\n').next().unwrap_or(before).chars().count() + 1;
            let (kind, because) = (finding.kind, finding.because);
            self.screen.line(format_args!("{line}:{column}: {kind}: {because}"))?;
        }
        Ok(())
    }

    /// The fields of a line of JSON lines have no columns: they are named instead.
    fn explain_fields(&mut self, fields: &Map<String, Value>) -> Result<(), CliError> {
        for finding in self.redactor.payload_findings(fields) {
            if self.shows(&finding.kind) {
                let (line, pointer, kind, because) =
                    (self.line, finding.pointer, finding.kind, finding.because);
                self.screen.line(format_args!("{line}:{pointer}: {kind}: {because}"))?;
            }
        }
        Ok(())
    }

    /// Counts what was found, and says whether it is to be shown.
    fn shows(&mut self, kind: &str) -> bool {
        self.found = true;
        *self.counts.entry(kind.to_owned()).or_default() += 1;
        !self.args.count
    }

    fn finish(self) -> Result<Answer, CliError> {
        if !self.args.explain && !self.args.count {
            return Ok(Answer::Yes);
        }
        if self.args.count {
            for (kind, count) in &self.counts {
                self.screen.line(format_args!("{count:>8}  {kind}"))?;
            }
        }
        if !self.found {
            self.screen.line("there is nothing to redact")?;
        }
        Ok(Answer::of(self.found))
    }
}

/// A line of JSON lines.
fn object(line: &str) -> Option<Map<String, Value>> {
    let line = line.trim();
    if line.starts_with('{') && line.ends_with('}') { serde_json::from_str(line).ok() } else { None }
}
