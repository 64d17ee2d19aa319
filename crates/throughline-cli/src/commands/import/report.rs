//! What an import says of itself.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::args::ImportArgs;
use crate::error::CliError;
use crate::jsonl::JsonlError;
use crate::output::{Screen, clean, count, group};
use crate::store::Store;
use crate::xes::runs::Tally;

/// How many bad lines are named.
const NAMED: usize = 20;

/// The JSON of `import`.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) format: &'static str,
    /// What is special about an event log; `null` for JSON lines.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) log: Option<LogReport>,
    /// Events that were not in the store.
    pub(super) events_new: u64,
    /// Events that were in the store already.
    pub(super) events_known: u64,
    /// What was redacted or cut, by kind: `key` is what stood under a sensitive key.
    pub(super) redacted: BTreeMap<String, u64>,
    /// Lines that are no events; only of JSON lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bad_lines: Option<BadLines>,
    /// Events with digits beyond the microsecond in their timestamp, which are not kept; only of JSON lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cut_timestamps: Option<u64>,
    /// Why the rest of the input was not read; `null` if all was.
    pub(super) broke_off: Option<String>,
}

/// Lines that are no events.
#[derive(Debug, Default, Serialize)]
pub(super) struct BadLines {
    pub(super) count: u64,
    /// The first of them.
    pub(super) first: Vec<BadLine>,
}

#[derive(Debug, Serialize)]
pub(super) struct BadLine {
    pub(super) line: u64,
    pub(super) problem: String,
}

impl BadLines {
    pub(super) fn add(&mut self, error: &JsonlError) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(BadLine { line: error.line, problem: error.problem.to_string() });
        }
    }
}

/// What became of an event log.
#[derive(Debug, Serialize)]
pub(super) struct LogReport {
    pub(super) workflow: String,
    /// Where its name is from.
    pub(super) workflow_from: WorkflowFrom,
    /// SHA-256 of the log, decompressed.
    pub(super) log: String,
    /// Whether the log was imported before.
    pub(super) imported_before: bool,
    #[serde(flatten)]
    pub(super) tally: Tally,
    /// Of the unmatched completes, those of activities that have a start elsewhere in the log.
    pub(super) missing_starts: u64,
    /// Runs of which the store had an earlier copy that said less.
    pub(super) runs_replaced: u64,
    /// Runs under whose key the store has another run of the same workflow, from another log.
    pub(super) runs_apart: u64,
    /// Attributes of the log itself, which are not kept.
    pub(super) log_attributes: u64,
    /// Elements that are not of XES, which are not kept.
    pub(super) foreign_elements: u64,
}

/// Where the name of a workflow is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WorkflowFrom {
    Option,
    Log,
    /// The log has no name.
    File,
}

/// What the input lacks, if anything.
pub(super) fn complaints(report: &Report) -> Option<String> {
    let bad_lines = report.bad_lines.as_ref().filter(|bad_lines| bad_lines.count > 0).map(named);
    let broke_off = report.broke_off.as_ref().map(|why| format!("{why}; what came before is imported"));
    match (bad_lines, broke_off) {
        (Some(bad_lines), Some(broke_off)) => Some(format!("{broke_off}\n{bad_lines}")),
        (bad_lines, broke_off) => bad_lines.or(broke_off),
    }
}

fn named(bad_lines: &BadLines) -> String {
    let BadLines { count: number, first } = bad_lines;
    let are = if *number == 1 { "is not an event" } else { "are not events" };
    let mut text = format!("{} {are}; all others are imported", count(*number, "line"));
    for BadLine { line, problem } in first {
        text.push_str(&format!("\n  line {line}: {problem}"));
    }
    let more = number - first.len() as u64;
    if more > 0 {
        text.push_str(&format!("\n  and {} more", group(more)));
    }
    text
}

pub(super) fn show(
    report: &Report,
    args: &ImportArgs,
    store: &Store,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let Report { log, events_new, events_known, .. } = report;
    let file = args.file.display().to_string();
    screen.line(format_args!(
        "{} → {}: {}, {} already there",
        clean(&file),
        store.name(),
        count(*events_new, "new event"),
        group(*events_known)
    ))?;
    if !report.redacted.is_empty() {
        let number = count(report.redacted.values().sum(), "value");
        let kinds: Vec<_> =
            report.redacted.iter().map(|(kind, of)| format!("{kind} {}", group(*of))).collect();
        screen.line(format_args!(
            "{number} redacted or cut ({}); --redaction off keeps them",
            kinds.join(", ")
        ))?;
    }
    if let Some(cut @ 1..) = report.cut_timestamps {
        let are = if cut == 1 { "is" } else { "are" };
        screen.line(format_args!(
            "{} {are} finer than a microsecond, and cut to that",
            count(cut, "timestamp")
        ))?;
    }
    let Some(log) = log else { return Ok(()) };
    let LogReport { workflow, workflow_from, imported_before, tally, missing_starts, .. } = log;
    let Tally { runs, failed, cancelled, unfinished, .. } = tally;
    let completed = runs - failed - cancelled - unfinished;
    screen.line(format_args!(
        "{} of `{}`: {} completed, {} failed, {} cancelled, {} unfinished{}",
        count(*runs, "run"),
        clean(workflow),
        group(completed),
        group(*failed),
        group(*cancelled),
        group(*unfinished),
        if *imported_before { "; this log was imported before" } else { "" },
    ))?;
    let mut parts = vec![
        count(tally.pairs, "start/complete pair"),
        format!(
            "{} without a start ({} of activities that have starts elsewhere)",
            count(tally.unmatched_completes, "complete"),
            group(*missing_starts)
        ),
        format!("{} without a complete", count(tally.open_starts, "start")),
        count(tally.other_transitions, "other transition"),
    ];
    let mut add = |number: u64, what: &str| {
        if number > 0 {
            parts.push(format!("{} {what}", group(number)));
        }
    };
    add(tally.emitted, "emitted by a service");
    add(tally.untimed, "without a timestamp");
    add(tally.ends_before_start, "that end before they start");
    screen.line(format_args!("{}: {}", count(tally.xes_events, "XES event"), parts.join(", ")))?;
    notes(log).iter().try_for_each(|note| screen.line(format_args!("{note}")))?;
    if *workflow_from == WorkflowFrom::File {
        screen.line(format_args!(
            "The log has no name, so that its workflow is called after the file. If the file is renamed, import it with \
             --workflow '{}', or its runs are others",
            clean(workflow)
        ))?;
    }
    Ok(())
}

/// What is special about a log.
fn notes(log: &LogReport) -> Vec<String> {
    let mut notes = Vec::new();
    let mut add = |number: u64, what: &str, note: &str| {
        if number > 0 {
            notes.push(format!("{}{note}", count(number, what)));
        }
    };
    add(log.tally.untimed_runs, "run", " without any time");
    add(log.runs_replaced, "run", " replaced, of which the store had an earlier copy");
    add(log.runs_apart, "run", " kept apart from another run of the same workflow and key");
    let mut lost = Vec::new();
    if log.log_attributes > 0 {
        lost.push(format!("{} of the log itself", count(log.log_attributes, "attribute")));
    }
    if log.foreign_elements > 0 {
        lost.push(format!("{} from outside XES", count(log.foreign_elements, "element")));
    }
    if !lost.is_empty() {
        notes.push(format!("Not kept: {}", lost.join(", ")));
    }
    notes
}
