//! `throughline report`: how a service is, asked once from beside it.

mod page;
mod runs;

use serde::Serialize;
use throughline_core::Timestamp;
use throughline_sidecar::{
    Digest, Digests, FoundLine, Health, History, LogSummary, LogTally, Scraper, Snapshot,
};

use crate::args::ReportArgs;
use crate::error::{Answer, CliError};
use crate::output::{DEFAULT_WIDTH, Screen};
use crate::store::Store;
use runs::Runs;

/// How long a target is waited for.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// How many messages of logs are listed.
const MESSAGES: usize = 10;

/// The JSON of `report`.
#[derive(Serialize)]
struct Report {
    /// When it was made.
    at: Timestamp,
    /// Whether there is no problem.
    healthy: bool,
    /// The problems, a sentence each.
    problems: Vec<String>,
    /// What the service says of itself; `null` if it was not asked.
    health: Option<Health>,
    /// What its page of metrics says; `null` if it was not asked.
    metrics: Option<Snapshot>,
    /// What its logs say; `null` if none were named.
    logs: Option<LogSummary>,
    /// What the history of its metrics says, by target; `null` if none was named.
    history: Option<Vec<Digest>>,
    /// What its runs do; `null` if no store was named.
    runs: Option<Runs>,
}

pub(super) async fn run(
    args: &ReportArgs,
    location: Option<&str>,
    screen: &mut Screen,
) -> Result<Answer, CliError> {
    let location = location.filter(|location| !location.is_empty());
    if args.logs.is_empty()
        && args.metrics.is_none()
        && args.health.is_none()
        && args.history.is_none()
        && location.is_none()
    {
        return Err(CliError::Usage(
            "there is nothing to report on: say --metrics URL, --health URL, --logs PATH, --history PATH or --store STORE".into(),
        ));
    }
    let health = match (&args.health, &args.metrics) {
        (Some(url), _) => Some(Health::ask(url)),
        (None, Some(page)) => Health::of_service(page),
        (None, None) => None,
    };
    let metrics = args.metrics.as_deref().map(|url| Scraper::new(url, TIMEOUT).scrape());
    let logs = if args.logs.is_empty() { None } else { Some(logs(args, screen)?) };
    let history = args.history.as_deref().map(history).transpose()?;
    let runs = match location {
        Some(location) => {
            let reader = Store::named(Some(location))?.readers().await?.reader;
            Some(Runs::read(args, &*reader).await?)
        }
        None => None,
    };
    let mut report = Report {
        at: Timestamp::now(),
        healthy: true,
        problems: Vec::new(),
        health,
        metrics,
        logs,
        history,
        runs,
    };
    report.problems = problems(&report);
    report.healthy = report.problems.is_empty();
    let answer = Answer::of(report.healthy);
    if screen.wants_json() {
        screen.json(&report)?;
    } else if args.html {
        screen.text(&page::of(&report).html())?;
    } else {
        let width = screen.width().unwrap_or(DEFAULT_WIDTH);
        screen.text(&page::of(&report).text(width, screen.has_colour()))?;
    }
    Ok(answer)
}

fn logs(args: &ReportArgs, screen: &Screen) -> Result<LogSummary, CliError> {
    let mut files = super::logs::files(&args.logs, args.gzip);
    let mut tally = LogTally::new();
    let mut add = |line: FoundLine<'_>| {
        tally.add(line.bytes);
        Ok(())
    };
    files.read(&mut add)?;
    files.wait_for_streams(&mut add)?;
    files.end(add)?;
    files.troubles().iter().for_each(|trouble| screen.complain(trouble));
    match files.missing().next() {
        Some(path) => {
            Err(CliError::Input(format!("{}: there is no such file; check --logs", path.display())))
        }
        None => Ok(tally.summary(MESSAGES)),
    }
}

fn history(path: &std::path::Path) -> Result<Vec<Digest>, CliError> {
    let mut digests = Digests::new();
    // No scraper may have run yet.
    if !path.exists() {
        return Ok(Vec::new());
    }
    // Lines that are torn are those of scrapers that were killed, and no problem of the service.
    History::new(path, u64::MAX)
        .read(|snapshot| digests.add(&snapshot))
        .map_err(|error| CliError::Input(error.to_string()))?;
    Ok(digests.finish(jiff::Timestamp::now()))
}

/// The problems: what somebody has to look at now. That runs failed or errors were logged is part of any day.
fn problems(report: &Report) -> Vec<String> {
    let mut problems = Vec::new();
    if let Some(health) = report.health.as_ref().filter(|health| !health.ok) {
        problems.push(match (health.status, &health.error) {
            (Some(status), _) => format!("{} answers with status {status}", health.url),
            (None, error) => {
                format!("{} does not answer: {}", health.url, error.as_deref().unwrap_or("no reason"))
            }
        });
    }
    if let Some(metrics) = report.metrics.as_ref().filter(|metrics| !metrics.up) {
        let error = metrics.error.as_deref().unwrap_or("no reason");
        problems.push(format!("{} can't be scraped: {error}", metrics.target));
    }
    // What is older than the service's present says nothing of it.
    for digest in report.history.iter().flatten().filter(|digest| digest.current && !digest.up) {
        problems.push(format!("{} did not answer the last scrape, at {}", digest.target, digest.last));
    }
    problems.extend(report.runs.iter().flat_map(Runs::problems));
    problems
}
