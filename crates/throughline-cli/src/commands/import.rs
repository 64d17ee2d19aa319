//! `throughline import`: events from JSON lines, or from an event log of the XES standard.
//!
//! Whatever is imported passes the redactor, as everything does that reaches a store, unless it is to be kept as it is.

mod report;

use std::collections::BTreeMap;
use std::path::Path;

use indicatif::{ProgressBar, ProgressStyle};
use throughline_core::{Redactor, TraceEvent, TraceReader, redact_event_counted};
use throughline_sqlite::{Imported, SqliteImporter};

use crate::args::{ImportArgs, ImportRedaction};
use crate::error::{Answer, CliError};
use crate::input::{Format, Input};
use crate::jsonl::JsonlReader;
use crate::output::Screen;
use crate::store::{Store, no_redactor};
use crate::xes::copies::{self, Relation};
use crate::xes::ids::RunId;
use crate::xes::kinds;
use crate::xes::reader::XesReader;
use crate::xes::rules::{Condition, Rules, SERVICE};
use crate::xes::runs::{Converted, Converter};

use report::{BadLines, LogReport, Report, WorkflowFrom, complaints, show};

/// How many events are appended at a time.
const BATCH: usize = 4_096;
pub(super) async fn run(args: &ImportArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let input = Input::open(&args.file).map_err(|error| unusable(args, &error))?;
    let format = input.format;
    if format == Format::JsonLines
        && (args.workflow.is_some() || !args.failed_when.is_empty() || !args.cancelled_when.is_empty())
    {
        return Err(CliError::Usage(
            "--workflow, --failed-when and --cancelled-when apply to event logs only; JSON lines contain this information"
                .into(),
        ));
    }
    let report = match format {
        Format::Xes => import_xes(args, input, store).await,
        Format::JsonLines => import_json_lines(args, input, store).await,
    }?;
    if screen.wants_json() {
        screen.json(&report)?;
    } else {
        show(&report, args, store, screen)?;
    }
    match complaints(&report) {
        None => Ok(Answer::Yes),
        Some(complaints) => Err(CliError::Input(format!("{}: {complaints}", args.file.display()))),
    }
}

fn unusable(args: &ImportArgs, error: &dyn std::fmt::Display) -> CliError {
    CliError::Input(format!("{}: {error}", args.file.display()))
}

/// What became of a run.
enum Stored {
    /// It is new, or the store has it.
    Added,
    /// It has taken the place of an earlier copy.
    Replaced,
    /// It stands beside another run of its workflow and key.
    Apart,
}

/// Where events go: through the redactor into the store, a batch at a time.
struct Sink {
    importer: SqliteImporter,
    redactor: Redactor,
    batch: Vec<TraceEvent>,
    written: Written,
}

/// What became of the events.
#[derive(Default)]
struct Written {
    new: u64,
    known: u64,
    redacted: BTreeMap<String, u64>,
}

impl Sink {
    /// Opens the store, which makes it if it is not there: to be done when the input is known to be sound so far.
    async fn open(args: &ImportArgs, store: &Store) -> Result<Self, CliError> {
        let importer = store.sqlite()?.open_importer().map_err(|error| store.open_error(error))?;
        let redactor = match args.redaction {
            ImportRedaction::Standard => store.redactor().await?,
            ImportRedaction::Off => no_redactor()?,
        };
        Ok(Self { importer, redactor, batch: Vec::with_capacity(BATCH), written: Written::default() })
    }

    fn push(&mut self, mut event: TraceEvent) -> Result<(), CliError> {
        redact_event_counted(&self.redactor, &mut event, &mut self.written.redacted);
        self.put(event)
    }

    /// Adds a run of an event log. What of it the store has is read by this reader.
    async fn push_run(&mut self, run: Converted, reader: &dyn TraceReader) -> Result<Stored, CliError> {
        let Converted { mut events, id } = run;
        for event in &mut events {
            let redacted = &mut self.written.redacted;
            kinds::redact(event, |event| redact_event_counted(&self.redactor, event, redacted));
        }
        let Some(RunId { shared, of_log }) = id else {
            events.into_iter().try_for_each(|event| self.put(event))?;
            return Ok(Stored::Added);
        };
        let mut stored = Stored::Added;
        for id in [shared, of_log] {
            events.iter_mut().for_each(|event| event.trace_id = id);
            let known =
                match self.importer.contains(id).map_err(|error| CliError::Write(error.to_string()))? {
                    true => reader.trace(id).await?,
                    false => Vec::new(),
                };
            match copies::relation(&known, &events) {
                Relation::Extended if known.is_empty() => {
                    events.drain(..).try_for_each(|event| self.put(event))?;
                }
                Relation::Extended => {
                    self.flush()?;
                    self.importer.replace(id, &events).map_err(|error| CliError::Write(error.to_string()))?;
                    let more = events.len().saturating_sub(known.len()) as u64;
                    self.written.new += more;
                    self.written.known += events.len() as u64 - more;
                    return Ok(Stored::Replaced);
                }
                Relation::Contained => self.written.known += events.len() as u64,
                Relation::Other => {
                    stored = Stored::Apart;
                    continue;
                }
            }
            return Ok(stored);
        }
        // This log was imported before, and the store has more of this run from elsewhere.
        events.into_iter().try_for_each(|event| self.put(event))?;
        Ok(stored)
    }

    fn put(&mut self, event: TraceEvent) -> Result<(), CliError> {
        self.batch.push(event);
        if self.batch.len() >= BATCH { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), CliError> {
        let new = self.importer.append(&self.batch).map_err(|error| CliError::Write(error.to_string()))?;
        self.written.new += new;
        self.written.known += self.batch.len() as u64 - new;
        self.batch.clear();
        Ok(())
    }

    /// Makes all durable.
    fn finish(mut self) -> Result<Written, CliError> {
        self.flush()?;
        self.importer.finish().map_err(|error| CliError::Write(error.to_string()))?;
        Ok(self.written)
    }
}

async fn import_json_lines(args: &ImportArgs, input: Input, store: &Store) -> Result<Report, CliError> {
    let progress = progress(input.file.as_ref().map(|file| file.size));
    let mut reader = match input.file {
        Some(_) => JsonlReader::new(input.content),
        None => JsonlReader::of_stream(input.content),
    };
    let mut bad_lines = BadLines::default();
    let mut sink = None;
    let broke_off = loop {
        match reader.next_event() {
            Ok(Some(event)) => {
                let sink = match &mut sink {
                    Some(sink) => sink,
                    none => none.insert(Sink::open(args, store).await?),
                };
                sink.push(event)?;
            }
            Ok(None) => break None,
            Err(error) if error.problem.is_of_line() => bad_lines.add(&error),
            Err(error) => break Some(error.to_string()),
        }
        if let Some(file) = &input.file {
            progress.set_position(file.position());
        }
    };
    let Written { new: events_new, known: events_known, redacted } = match sink {
        Some(sink) => sink.finish()?,
        None => Written::default(),
    };
    progress.finish_and_clear();
    Ok(Report {
        format: "jsonl",
        log: None,
        events_new,
        events_known,
        redacted,
        bad_lines: Some(bad_lines),
        cut_timestamps: Some(reader.cut_timestamps()),
        broke_off,
    })
}

async fn import_xes(args: &ImportArgs, input: Input, store: &Store) -> Result<Report, CliError> {
    let input = input.into_log().map_err(|error| unusable(args, &error))?;
    let progress = progress(Some(input.bytes));
    let mut reader = XesReader::open(input.content).map_err(|error| unusable(args, &error))?;
    let name = reader.name().filter(|name| !name.is_empty()).map(str::to_owned);
    let (workflow, workflow_from) = match (args.workflow.clone(), name) {
        (Some(workflow), _) => (workflow, WorkflowFrom::Option),
        (None, Some(name)) => (name, WorkflowFrom::Log),
        (None, None) => (stem(&args.file), WorkflowFrom::File),
    };
    let mut sink = Sink::open(args, store).await?;
    let imported_before = remember(args, &input.sha256, &workflow, &mut sink)?;
    let rules = Rules {
        workflow: workflow.clone().into(),
        overrides_workflow: workflow_from == WorkflowFrom::Option,
        service: service(args).to_owned().into(),
        overrides_service: args.service.is_some(),
        failed_when: args.failed_when.clone(),
        cancelled_when: args.cancelled_when.clone(),
    };
    let stored = store.readers().await?.reader;
    let (mut runs_replaced, mut runs_apart) = (0, 0);
    let mut converter = Converter::new(rules, &input.sha256, sink.redactor.clone());
    let broke_off = loop {
        match reader.next_run() {
            Ok(Some(run)) => match sink.push_run(converter.convert(run), &*stored).await? {
                Stored::Added => {}
                Stored::Replaced => runs_replaced += 1,
                Stored::Apart => runs_apart += 1,
            },
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
        progress.set_position(reader.bytes());
    };
    let Written { new: events_new, known: events_known, redacted } = sink.finish()?;
    progress.finish_and_clear();
    let log = LogReport {
        workflow,
        workflow_from,
        log: input.sha256,
        imported_before,
        tally: converter.tally().clone(),
        missing_starts: converter.missing_starts(),
        runs_replaced,
        runs_apart,
        log_attributes: reader.log_attributes(),
        foreign_elements: reader.foreign_elements(),
    };
    Ok(Report {
        format: "xes",
        log: Some(log),
        events_new,
        events_known,
        redacted,
        bad_lines: None,
        cut_timestamps: None,
        broke_off,
    })
}

/// Has the store remember which log was imported with which options. Says whether it was imported before.
fn remember(args: &ImportArgs, log: &str, workflow: &str, sink: &mut Sink) -> Result<bool, CliError> {
    let options = options(args, workflow);
    match sink.importer.import_once(log, &options) {
        Ok(Imported::New) => Ok(false),
        Ok(Imported::SameAgain) => Ok(true),
        Err(error) => Err(CliError::Input(format!("{}: {error}", args.file.display()))),
    }
}

fn service(args: &ImportArgs) -> &str {
    args.service.as_deref().unwrap_or(SERVICE)
}

/// The options that decide what a log becomes, as one would give them again.
fn options(args: &ImportArgs, workflow: &str) -> String {
    let of = |name: &str, conditions: &[Condition]| {
        let mut options: Vec<String> = conditions.iter().map(|when| format!("{name} '{when}'")).collect();
        options.sort();
        options
    };
    let mut options = vec![format!("--workflow '{workflow}'"), format!("--service '{}'", service(args))];
    if args.redaction == ImportRedaction::Off {
        options.push("--redaction off".to_owned());
    }
    options.extend(of("--failed-when", &args.failed_when));
    options.extend(of("--cancelled-when", &args.cancelled_when));
    options.join(" ")
}

/// The name of a file without what comes after its first dot.
fn stem(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').find(|part| !part.is_empty()).unwrap_or("import");
    if stem == "-" { "import".to_owned() } else { stem.to_owned() }
}

/// A bar on the standard error, if that is a terminal and it is known how much there is.
fn progress(bytes: Option<u64>) -> ProgressBar {
    let Some(bytes) = bytes else { return ProgressBar::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}  {eta} to go");
    let bar = ProgressBar::new(bytes);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
