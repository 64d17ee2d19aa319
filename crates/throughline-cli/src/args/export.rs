//! What `export` takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::RunFilter;

/// `export`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs that match are exported completely, oldest first; those that are named, in the order
of their names. JSON lines, XES and HTML are read by `import`.

Examples:
  throughline export > events.jsonl
  throughline export loan-42 | jq .data
  throughline export --format xes --workflow loan-approval -o loans.xes
  throughline export loan-42 --format html -o loan-42.html    a page to keep or to send
  throughline export loan-42 --format html --against loan-41 -o loan-42.html
  throughline export loan-42 --format markdown                for an issue tracker")]
pub(crate) struct ExportArgs {
    /// The runs: of each its key, its id, the beginning of its id, or the id of its request; if omitted, all that
    /// match the filters
    #[arg(value_name = "TRACE")]
    pub(crate) traces: Vec<String>,
    /// The format: JSON lines, which keep everything; an XES event log; Markdown for an issue tracker; a Mermaid
    /// flowchart of one run; a trace that Perfetto and Chrome open; or a page that a browser shows without a network
    #[arg(long, default_value = "jsonl")]
    pub(crate) format: ExportFormat,
    /// Compare with this run, and not each with the last good one of its workflow; with --format html
    #[arg(long, value_name = "RUN")]
    pub(crate) against: Option<String>,
    /// Redact national numbers, phone numbers and network addresses, too
    #[arg(long)]
    pub(crate) redact_more: bool,
    /// Put pseudonyms in place of keys, tenants, hosts, users and all other attributes that are not technical
    #[arg(long)]
    pub(crate) anonymise: bool,
    /// Where to write; - is standard output, the default
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) filter: RunFilter,
}

/// What `export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    Jsonl,
    Xes,
    Markdown,
    Mermaid,
    Perfetto,
    Html,
}
