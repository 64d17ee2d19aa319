//! What the commands take that watch a service from beside it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use throughline_sidecar::LogLevel;

use super::moment::{parse_duration, parse_size};

/// `logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
A PATH is a file of JSON lines, which may be renamed, truncated or come later; a
file that ends in .gz; or a folder, of which all files are followed that end in
.log, .jsonl, .ndjson or .json; or -, which is what is piped in. Files are only
read, and no network is used. What can't be read is named, and the others are shown.
Lines that are no JSON are shown as they are, whatever --level says. Times are UTC.

Examples:
  throughline logs /logs/app.log
  throughline logs /logs --level warn
  throughline logs app.log --run loan-42            one run, by its key, trace or request
  throughline logs app.log --gzip --no-follow       rotated files first, then the end
  throughline logs app.log --json | jq .line.message
  journalctl -f -o json | throughline logs -

Exit code 1: with --no-follow, no line was shown.")]
pub(crate) struct LogsArgs {
    /// The files or folders
    #[arg(value_name = "PATH", required = true)]
    pub(crate) paths: Vec<PathBuf>,
    /// Only lines of this level and above: trace, debug, info, warn or error
    #[arg(long, value_name = "LEVEL")]
    pub(crate) level: Option<LogLevel>,
    /// Only lines that contain this text, in capitals or not
    #[arg(long, value_name = "TEXT")]
    pub(crate) grep: Option<String>,
    /// Only lines of this run: its key, the id of its trace or its request, or the beginning of its trace id
    #[arg(long, value_name = "KEY")]
    pub(crate) run: Option<String>,
    /// Read what was rotated first, oldest first: files beside PATH such as PATH.1 and PATH.2.gz, and those in a folder
    #[arg(long)]
    pub(crate) gzip: bool,
    /// Begin with the last N lines of each file instead of all
    #[arg(long, value_name = "N", conflicts_with = "gzip")]
    pub(crate) tail: Option<usize>,
    /// Stop at the end of the files
    #[arg(long)]
    pub(crate) no_follow: bool,
    /// Stop after this long
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) for_: Option<Duration>,
}

/// `scrape`.
#[derive(Debug, Args)]
#[command(after_help = "\
The page is one of Prometheus (text format 0.0.4) or of OpenMetrics. What is new is
told series by series, so that a process that started again counts from zero. The
history is a file of JSON lines, one a scrape, with the sums of each metric; when
it is full, it takes the place of PATH.1.

Examples:
  throughline scrape http://localhost:8080/metrics
  throughline scrape http://app:8080/metrics --every 5s --store /logs/metrics.jsonl
  throughline scrape http://app:8080/metrics --times 1 --json

Exit code 1: with --times or --for, the target did not answer the last time.")]
pub(crate) struct ScrapeArgs {
    /// The page, such as http://localhost:8080/metrics
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// How often to scrape
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = positive)]
    pub(crate) every: Duration,
    /// The file to which the history is added
    // It takes the place of the option of all commands, which has this id.
    #[arg(id = "store", long = "store", value_name = "PATH")]
    pub(crate) history: Option<String>,
    /// How large the file becomes at most; what it takes the place of has the same size
    #[arg(long, value_name = "SIZE", default_value = "10MB", value_parser = parse_size)]
    pub(crate) max_size: u64,
    /// Stop after so many scrapes
    #[arg(long, value_name = "N", value_parser = super::at_least_one)]
    pub(crate) times: Option<usize>,
    /// Stop after this long
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) for_: Option<Duration>,
    /// Show at most N metrics
    #[arg(long, value_name = "N", default_value = "20", value_parser = super::at_least_one)]
    pub(crate) rows: usize,
}

fn positive(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .and_then(|time| if time.is_zero() { Err("expected more than no time".into()) } else { Ok(time) })
}

/// `report`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each option adds a section; of a store named by THROUGHLINE_STORE the runs are
reported on as well. Without --health, the service that has the page of metrics is
asked at /health/ready, /readyz, /health and /healthz.

Examples:
  throughline report --metrics http://app:8080/metrics --logs /logs/app.log
  throughline report --logs /logs --history /logs/metrics.jsonl --store sqlite:traces.db
  throughline report --metrics http://app:8080/metrics --html > report.html

Exit code 1: there is a problem: the service is not well or does not answer,
or runs are stuck or were interrupted. Failures and errors that are over are
listed, but are no reason.")]
pub(crate) struct ReportArgs {
    /// A log file or a folder of them, as `logs` reads them; may be repeated
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) logs: Vec<PathBuf>,
    /// Read rotated log files, too: files beside PATH such as PATH.1 and PATH.2.gz, and those in a folder
    #[arg(long)]
    pub(crate) gzip: bool,
    /// The page of metrics, to be scraped once
    #[arg(long, value_name = "URL")]
    pub(crate) metrics: Option<String>,
    /// Where the service says how it is
    #[arg(long, value_name = "URL")]
    pub(crate) health: Option<String>,
    /// The history that `scrape` has stored
    #[arg(long, value_name = "PATH")]
    pub(crate) history: Option<PathBuf>,
    /// How far back to look for runs that failed
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = parse_duration)]
    pub(crate) since: Duration,
    /// Consider a run stuck if nothing has happened in it for this long
    #[arg(long, default_value = "10m", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) stuck_after: Duration,
    /// Print a page of HTML instead, which needs no other file and no network
    #[arg(long, conflicts_with = "json")]
    pub(crate) html: bool,
}
