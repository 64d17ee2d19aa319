//! What can be said on the command line.

mod anomalies;
mod doctor;
mod export;
mod filter;
mod funnel;
mod kit;
mod mcp;
mod moment;
mod serve;
mod sidecar;
mod slo;
mod top;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use anomalies::AnomaliesArgs;
pub(crate) use doctor::DoctorArgs;
pub(crate) use export::{ExportArgs, ExportFormat};
pub(crate) use filter::{EventFilter, RunFilter, ScopeArgs};
pub(crate) use funnel::{FunnelArgs, Per, RecoveryArgs};
pub(crate) use kit::{AlertsArgs, DashboardsArgs, KitArgs, MetricNames, ProbesArgs, RoutingArgs};
pub(crate) use mcp::McpArgs;
use moment::parse_size;
pub(crate) use moment::{parse_duration, parse_moment};
pub(crate) use serve::ServeArgs;
pub(crate) use sidecar::{LogsArgs, ReportArgs, ScrapeArgs};
pub(crate) use slo::SloArgs;
pub(crate) use top::TopArgs;

use crate::output::Color;
use crate::xes::rules::Condition;

const AFTER_HELP: &str = "\
A TRACE is the business key of a run, its id, the beginning of its id if that is
unique, or the id of the request that caused it. A key means the latest run under
it; where several workflows or services use it, the one that did not succeed.
Times are UTC.

Exit codes:
  0  success, and the answer is yes
  1  the answer is no: nothing was found, nothing failed, not everything was
     undone, steps stand or are in doubt that no process works on, events wait
     in an outbox, it is not safe to deploy, an objective is missed, something
     is unusual, or a destination is not there
  2  the command line is invalid or ambiguous
  3  the store or the input can't be used

Environment:
  THROUGHLINE_STORE           the store, if --store is not given
  THROUGHLINE_FEED            the live feed for watch and serve, if --feed is not given
  THROUGHLINE_PSEUDONYM_KEY   the services' secret for pseudonyms, if they have
                              one of their own; makes values that they
                              redacted searchable

Examples:
  throughline import runs.xes.gz --store sqlite:traces.db
  export THROUGHLINE_STORE=sqlite:traces.db
  throughline list --failed --since 24h
  throughline why loan-42";

/// Query a store: what runs did, why they failed, and what is running now
#[derive(Debug, Parser)]
#[command(name = "throughline", version, after_help = AFTER_HELP, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Reads the command line of this process; says what is wrong with it and ends the process if need be.
    pub(crate) fn read() -> Self {
        let matches = Self::command().get_matches();
        let mut cli = Self::from_arg_matches(&matches)
            .unwrap_or_else(|error| error.format(&mut Self::command()).exit());
        cli.global.store_is_typed = matches.value_source("store") == Some(ValueSource::CommandLine);
        cli
    }
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The store: sqlite:PATH, postgres://USER@HOST/DATABASE or cosmos:https://HOST/DATABASE
    #[arg(long, global = true, env = throughline_core::names::env::THROUGHLINE_STORE, hide_env_values = true, value_name = "STORE")]
    pub(crate) store: Option<String>,
    /// Whether --store was typed, and is not that of the environment.
    #[arg(skip)]
    pub(crate) store_is_typed: bool,
    /// Read the store from the first line of this file, in the place of --store: others can read the arguments of a
    /// process, but not this file
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) store_file: Option<PathBuf>,
    /// Read what still waits in this outbox as if it were in the store; without a store, only that
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) outbox: Option<PathBuf>,
    /// Print JSON, as described in docs/json-output.md
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours; auto means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

/// The commands, each in the file of its name.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List runs, newest first
    List(ListArgs),
    /// Show what happened in a run, as a tree or a timeline
    Show(ShowArgs),
    /// Explain why a run failed
    Why(WhyArgs),
    /// Show which steps of a failed run were undone
    Compensations(TraceArgs),
    /// Show the decisions of a run, or how runs ended after each choice
    Decisions(DecisionsArgs),
    /// Show what is running, what is stuck and what was interrupted
    Running(RunningArgs),
    /// Close for good a run that no process works on
    Abandon(AbandonArgs),
    /// Watch events as they happen
    Watch(WatchArgs),
    /// Show runs as web pages, with why they failed and what is running now
    Serve(ServeArgs),
    /// Show what is running and failing, and how much of it, on a screen that is kept up to date
    Top(TopArgs),
    /// Show failure rates, slow stages and where runs fail
    Stats(StatsArgs),
    /// Show how much of the error budgets of objectives is left, and what spent it
    Slo(SloArgs),
    /// Show what is unusual: where more fails than usual, or takes longer
    Anomalies(AnomaliesArgs),
    /// Show how many get from step to step, and where the rest is lost
    Funnel(FunnelArgs),
    /// Show how often runs succeeded though something failed, and what saved them
    Recovery(RecoveryArgs),
    /// Compare a run with another, or with the last run of its workflow that succeeded
    Diff(DiffArgs),
    /// Import events: JSON lines, or an XES event log, plain or gzip
    Import(ImportArgs),
    /// Export runs as JSON lines or as an XES event log
    Export(ExportArgs),
    /// Remove old runs
    Prune(PruneArgs),
    /// Copy runs from one store to another, and compare both
    Copy(CopyArgs),
    /// Show what waits in an outbox for its store, and what the store refused
    Outbox(OutboxArgs),
    /// Say what the environment of a service switches on, and try each destination
    Doctor(DoctorArgs),
    /// Redact a text or JSON lines, or say what would be redacted
    Redact(RedactArgs),
    /// Write dashboards for Grafana
    Dashboards(DashboardsArgs),
    /// Write alert rules for Prometheus
    Alerts(AlertsArgs),
    /// Write who is told of which alert, for Alertmanager
    Routing(RoutingArgs),
    /// Write who looks at a service from outside, for Prometheus and its blackbox exporter
    Probes(ProbesArgs),
    /// Follow the log files of a service
    Logs(LogsArgs),
    /// Scrape the metrics page of a service, and keep its history
    Scrape(ScrapeArgs),
    /// Report on a service once: health, metrics, logs, history and runs
    Report(ReportArgs),
    /// Answer the questions of agents, as a server of the Model Context Protocol
    Mcp(McpArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Says how a run is undone; no command can do it
    #[command(hide = true, disable_help_flag = true)]
    Undo(AnyArgs),
    /// Says how a run is resumed; no command can do it
    #[command(hide = true, disable_help_flag = true)]
    Resume(AnyArgs),
}

/// Whatever somebody expected a command to take.
#[derive(Debug, Args)]
pub(crate) struct AnyArgs {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _any: Vec<OsString>,
}

/// `list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  throughline list --failed --since 24h
  throughline list --type 'stage:*' --status failed   runs in which a stage failed
  throughline list --attr tenant=acme --limit 100")]
pub(crate) struct ListArgs {
    /// Show at most N runs
    #[arg(long, default_value = "20", value_name = "N", value_parser = at_least_one)]
    pub(crate) limit: usize,
    /// Continue after this cursor, as printed by the previous page
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
    /// Leave out HTTP requests that ran no workflow
    #[arg(long)]
    pub(crate) no_http: bool,
    #[command(flatten)]
    pub(crate) filter: RunFilter,
}

/// `show`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  throughline show loan-42
  throughline show a74f87c4 --timeline")]
pub(crate) struct ShowArgs {
    /// The run: its key, its id, the beginning of its id, or the id of its request
    #[arg(value_name = "TRACE")]
    pub(crate) trace: String,
    /// Show a timeline instead of a tree
    #[arg(long)]
    pub(crate) timeline: bool,
}

/// `why`.
#[derive(Debug, Args)]
#[command(after_help = "\
What it came from is said first, then what the run ended with, and what else may
have led to it, each with how sure that is: recorded, linked, inferred from
texts and times, or by comparison with the last good runs of the workflow.
docs/explain.md has the rules.

Examples:
  throughline why loan-42
  throughline why loan-42 --full
  throughline why loan-42 --json | jq .statements

Exit code 1: nothing failed.")]
pub(crate) struct WhyArgs {
    /// The run: its key, its id, the beginning of its id, or the id of its request
    #[arg(value_name = "TRACE")]
    pub(crate) trace: String,
    /// Show everything, on more than one screen
    #[arg(long)]
    pub(crate) full: bool,
    /// Another store, in which runs that it caused, and the one that caused it, are looked for; may be repeated
    #[arg(long, value_name = "STORE")]
    pub(crate) also: Vec<String>,
    /// Read such a store from the first line of this file, as --store-file does --store; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) also_file: Vec<PathBuf>,
}

/// A command about one run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  throughline compensations loan-42
  throughline compensations a74f87c4 --json

Exit code 1: not everything was undone.")]
pub(crate) struct TraceArgs {
    /// The run: its key, its id, the beginning of its id, or the id of its request
    #[arg(value_name = "TRACE")]
    pub(crate) trace: String,
}

/// `decisions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  throughline decisions loan-42      what one run considered and chose, and what followed
  throughline decisions --since 7d   how often runs failed after each choice")]
pub(crate) struct DecisionsArgs {
    /// The run; if omitted, compares the choices of all runs
    #[arg(value_name = "TRACE")]
    pub(crate) trace: Option<String>,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
}

/// `running`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  throughline running
  throughline running --check --stuck-after 30m && ./deploy

A run that was interrupted waits to be resumed, unless it can't be, such as an
HTTP request, a job, or a workflow that has ended: those are listed last. Steps
of interrupted runs stand if they succeeded and are not undone; they are in
doubt if nobody knows whether they had their effect.

Exit code 1: no run is listed, or steps stand or are in doubt that no process
works on; with --check, a deployment would interrupt a run.")]
pub(crate) struct RunningArgs {
    /// Check whether a deployment would interrupt a run; exit code 1 if it would
    #[arg(long)]
    pub(crate) check: bool,
    /// Consider a run stuck if nothing has happened in it for this long
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) stuck_after: Duration,
    /// Show at most N runs
    #[arg(long, default_value = "50", value_name = "N", value_parser = at_least_one)]
    pub(crate) limit: usize,
    /// Continue after this cursor, as printed by the previous page
    #[arg(long, value_name = "CURSOR", conflicts_with = "check")]
    pub(crate) after: Option<String>,
}

/// `abandon`.
#[derive(Debug, Args)]
#[command(after_help = "\
The run counts as failed from then on, for this reason. Steps of its sagas that
stand can still be undone.

Examples:
  throughline abandon loan-42 --reason 'the customer withdrew'
  throughline abandon a74f87c4 --reason 'the request was sent again'

Exit code 2: a process works on the run, it has ended, or there is no such run.")]
pub(crate) struct AbandonArgs {
    /// The run: its key, its id, the beginning of its id, or the id of its request
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Why it is not to be resumed; recorded as its error
    #[arg(long, value_name = "TEXT", value_parser = not_blank)]
    pub(crate) reason: String,
}

/// `watch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  throughline watch                         everything, until Ctrl-C
  throughline watch loan-42                 one run, from its start to its end
  throughline watch --status failed --json  one JSON object per line
  throughline watch --json --after CURSOR   everything after that event, and from now on
  throughline watch --feed redis://host/    what all processes publish there; needs no store,
                                            but without one TRACE is the full id of a run")]
pub(crate) struct WatchArgs {
    /// The run; stop watching when it ends
    #[arg(value_name = "TRACE")]
    pub(crate) trace: Option<String>,
    /// Watch this feed, such as redis://127.0.0.1/; if it has a password, set THROUGHLINE_FEED instead, because everybody on
    /// the machine can read the arguments of a process
    #[arg(long, env = throughline_core::names::env::THROUGHLINE_FEED, hide_env_values = true, value_name = "FEED")]
    pub(crate) feed: Option<String>,
    /// Stop after this long
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) for_: Option<Duration>,
    /// Continue after this event cursor, as printed by --json
    #[arg(long, value_name = "CURSOR")]
    pub(crate) after: Option<String>,
    #[command(flatten)]
    pub(crate) filter: EventFilter,
}

/// `stats`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  throughline stats --since 7d
  throughline stats --workflow loan-approval --limit 20")]
pub(crate) struct StatsArgs {
    /// Show at most N rows in each table
    #[arg(long, default_value = "10", value_name = "N", value_parser = at_least_one)]
    pub(crate) limit: usize,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
}

/// `diff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  throughline diff loan-42 loan-41
  throughline diff loan-42                  against the last run of its workflow that succeeded

Exit code 1: the runs went the same way.")]
pub(crate) struct DiffArgs {
    /// The run
    #[arg(value_name = "A")]
    pub(crate) a: String,
    /// The run to compare it with
    #[arg(value_name = "B")]
    pub(crate) b: Option<String>,
}

/// `import`.
#[derive(Debug, Args)]
#[command(after_help = "\
The traces of an XES event log become runs. concept:name is the business key of
a run; an activity becomes an event `activity:NAME`, and its start and end become
a span. Importing a log again adds nothing; importing it with other options is
refused. A run of a longer copy takes the place of the run that was there; a run
that is another one, with the same key, is kept beside it.

A copy is known by its workflow, which is the name of the log. A log without a
name is called after its file: if the file is renamed, say --workflow.

Examples:
  throughline import events.jsonl
  throughline import bpic2012.xes.gz --failed-when concept:name=A_DECLINED \\
                                     --cancelled-when concept:name=A_CANCELLED
  zcat log.xes.gz | throughline import -")]
pub(crate) struct ImportArgs {
    /// The file; - is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// XES: an event with this attribute marks its run as failed; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) failed_when: Vec<Condition>,
    /// XES: an event with this attribute marks its run as cancelled; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) cancelled_when: Vec<Condition>,
    /// XES: the workflow of the runs; by default the one that an export says, or else the name of the log, or of the
    /// file if it has none
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,
    /// XES: the service of the runs; by default the one that an export says, or else `import`
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// What is redacted: what looks like personal data or credentials, or nothing
    #[arg(long, value_name = "WHAT", default_value = "standard")]
    pub(crate) redaction: ImportRedaction,
}

/// What an import redacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportRedaction {
    Standard,
    Off,
}

/// `redact`.
#[derive(Debug, Args)]
#[command(after_help = "\
No store is needed. A file is read as a whole, a pipe until it pauses. With --explain and --count
the answer is no, and the exit code 1, if there is nothing to redact.

Examples:
  throughline redact service.log > clean.log
  journalctl -u loans | throughline redact
  throughline redact --explain events.jsonl
  throughline redact --count service.log")]
pub(crate) struct RedactArgs {
    /// What to read; - is standard input, the default
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Say where which rule hits, instead of the text
    #[arg(long, conflicts_with = "count")]
    pub(crate) explain: bool,
    /// Say how often each kind was hit, instead of the text
    #[arg(long)]
    pub(crate) count: bool,
}

/// `prune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs that a living process works on are kept.

Examples:
  throughline prune --older-than 90d
  throughline prune --max-size 2GB")]
#[group(required = true, multiple = true)]
pub(crate) struct PruneArgs {
    /// Remove runs that ended, or were left unfinished, longer ago than this
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) older_than: Option<Duration>,
    /// Remove the oldest runs until the store is at most this large
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_size: Option<u64>,
}

/// `copy`.
#[derive(Debug, Args)]
#[command(after_help = "\
What is there already is skipped, so a copy that was interrupted is continued by the same
command, and one that was made while services wrote is completed by it.

Examples:
  throughline copy --from sqlite:traces.db --to postgres://localhost/audit
  throughline copy --from sqlite:traces.db --to sqlite:failed.db --failed --since 7d")]
pub(crate) struct CopyArgs {
    /// The store to read
    #[arg(long, value_name = "STORE", required_unless_present = "from_file")]
    pub(crate) from: Option<String>,
    /// Read --from from the first line of this file, as --store-file does --store
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub(crate) from_file: Option<PathBuf>,
    /// The store to write to; it is created if it does not exist
    #[arg(long, value_name = "STORE", required_unless_present = "to_file")]
    pub(crate) to: Option<String>,
    /// Read --to from the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    pub(crate) to_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) filter: RunFilter,
}

/// `outbox`.
#[derive(Debug, Args)]
#[command(after_help = "\
The process that has the outbox open delivers what waits in it as soon as the store
is back, and so does the next process that opens it.

Examples:
  throughline outbox spool.db
  throughline why loan-42 --outbox spool.db            during an outage
  throughline outbox spool.db --deliver --store postgres://localhost/audit
                                                       if no process will open it again")]
pub(crate) struct OutboxArgs {
    /// The file of the outbox
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Show at most N runs, and N refused events
    #[arg(long, default_value = "20", value_name = "N", value_parser = at_least_one)]
    pub(crate) limit: usize,
    /// Deliver what waits to the store, which no process may be doing
    #[arg(long)]
    pub(crate) deliver: bool,
}

/// `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  throughline completions bash > /etc/bash_completion.d/throughline
  throughline completions fish > ~/.config/fish/completions/throughline.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a number of at least 1".into()),
        Ok(number) => Ok(number),
    }
}

fn not_blank(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("expected a text".into()) } else { Ok(text.into()) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use clap::{CommandFactory as _, Parser as _};

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// The commands in the blocks of a page that are for a shell.
    fn commands(page: &str) -> Vec<&str> {
        let blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
        blocks.flat_map(str::lines).filter(|line| line.starts_with("throughline ")).collect()
    }

    #[test]
    fn the_commands_of_runbooks_and_of_the_page_on_operations_can_be_typed() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        let runbooks = fs::read_dir(docs.join("runbooks")).unwrap().map(|page| page.unwrap().path());
        let mut count = 0;
        for page in runbooks.chain([docs.join("operations.md")]) {
            let text = fs::read_to_string(&page).unwrap();
            for line in commands(&text) {
                let words = line.split_whitespace().map(|word| word.trim_matches('\''));
                let parsed = Cli::try_parse_from(words);
                assert!(parsed.is_ok(), "{}: {line}\n{}", page.display(), parsed.unwrap_err());
                count += 1;
            }
        }
        assert!(count > 100, "the commands are found: {count}");
    }
}
