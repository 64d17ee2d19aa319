//! `throughline redact`: a text or JSON lines with marks in place of what must not be seen.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use serde_json::{Map, Value};
use throughline_core::{Redaction, Redactor};

use crate::args::RedactArgs;
use crate::error::{Answer, CliError};
use crate::output::Screen;

/// A private key has no more lines than this: a first line without a last one holds nothing back for longer.
const KEY_LINES: usize = 200;

pub(super) fn run(args: &RedactArgs, screen: &mut Screen) -> Result<Answer, CliError> {
    let redaction = Redaction::standard().payload_limit(usize::MAX);
    let redactor = redaction.build().map_err(|error| CliError::Usage(error.to_string()))?;
    let mut job = Job { args, redactor, screen, line: 1, counts: BTreeMap::new(), found: false };
    match args.file.as_deref().filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let refused = |error: io::Error| CliError::Input(format!("{}: {error}", path.display()));
            job.whole(BufReader::new(File::open(path).map_err(refused)?), refused)?;
        }
        None => job.lines(io::stdin().lock())?,
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
    /// Reads a file: JSON lines one by one, a text as a whole.
    fn whole(
        &mut self,
        mut input: impl BufRead,
        refused: impl Fn(io::Error) -> CliError,
    ) -> Result<(), CliError> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes).map_err(refused)?;
        let text = String::from_utf8_lossy(&bytes);
        if text.lines().find(|line| !line.trim().is_empty()).is_some_and(|line| object(line).is_some()) {
            return text.split_inclusive('\n').try_for_each(|line| self.piece(line));
        }
        self.piece(&text)
    }

    /// Reads a pipe line by line; the lines of a private key together.
    fn lines(&mut self, mut input: impl BufRead) -> Result<(), CliError> {
        let (mut piece, mut held, mut bytes) = (String::new(), 0, Vec::new());
        loop {
            bytes.clear();
            let refused = |error: io::Error| CliError::Input(format!("standard input: {error}"));
            if input.read_until(b'\n', &mut bytes).map_err(refused)? == 0 {
                break;
            }
            let line = String::from_utf8_lossy(&bytes);
            piece.push_str(&line);
            let begins = line.contains("-----BEGIN") && !line.contains("-----END");
            held = if begins || (held > 0 && held < KEY_LINES && !line.contains("-----END")) {
                held + 1
            } else {
                0
            };
            if held == 0 {
                self.piece(&piece)?;
                piece.clear();
                self.screen.flush()?;
            }
        }
        if piece.is_empty() { Ok(()) } else { self.piece(&piece) }
    }

    fn piece(&mut self, text: &str) -> Result<(), CliError> {
        if self.args.explain || self.args.count {
            match object(text) {
                Some(fields) => self.explain_fields(&fields)?,
                None => self.explain(text)?,
            }
        } else if let Some(mut fields) = object(text) {
            self.redactor.payload(&mut fields);
            writeln!(self.screen.writer(), "{}", Value::Object(fields))?;
        } else {
            // As it is, with the line end that it has.
            self.screen.writer().write_all(self.redactor.text(text).as_bytes())?;
        }
        self.line += text.matches('\n').count();
        Ok(())
    }

    fn explain(&mut self, text: &str) -> Result<(), CliError> {
        let (mut seen, mut line) = (0, self.line);
        for finding in self.redactor.findings(text) {
            if !self.shows(&finding.kind) {
                continue;
            }
            let before = &text[..finding.range.start];
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
