//! The runs that a report names.

use std::time::Duration;

use serde::Serialize;
use throughline_core::{Filter, OpenRun, Page, RunState, RunSummary, Scope, Status, Timestamp, TraceReader};

use crate::args::ReportArgs;
use crate::error::CliError;
use crate::output::{count, name_of};

/// How many runs of each kind are listed.
const LISTED: usize = 10;
/// How many are looked at.
const LOOKED_AT: usize = 1_000;

/// What the runs of a store do.
#[derive(Serialize)]
pub(super) struct Runs {
    /// Since when failures are counted.
    pub(super) since: Timestamp,
    /// How many of the runs failed that started since then; at most 1,000 are counted.
    pub(super) failed_count: usize,
    /// The last of them, each with its cause.
    pub(super) failed: Vec<RunSummary>,
    /// Runs at work in which nothing has happened for too long.
    pub(super) stuck: Vec<OpenRun>,
    /// Runs whose process has ended.
    pub(super) interrupted: Vec<OpenRun>,
    /// How many runs are at work.
    pub(super) running: usize,
    /// After how long a run counts as stuck.
    #[serde(skip)]
    pub(super) stuck_after: Duration,
}

impl Runs {
    pub(super) async fn read(args: &ReportArgs, reader: &dyn TraceReader) -> Result<Self, CliError> {
        let now = Timestamp::now();
        let since = now.minus(args.since);
        let mut scope = Scope::all();
        scope.since = Some(since);
        let filter = Filter::new().scope(scope).status(Status::Failed);
        let found = reader.runs(&filter, &Page::first(LOOKED_AT)).await?.items;
        let mut failed: Vec<_> = found.into_iter().filter(|run| run.state == RunState::Failed).collect();
        let failed_count = failed.len();
        failed.truncate(LISTED);
        let open = reader.open_runs(&Page::first(LOOKED_AT)).await?.items;
        let (interrupted, running): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|run| run.summary.state == RunState::Interrupted);
        let all_running = running.len();
        let stuck = running.into_iter().filter(|run| {
            run.summary.state == RunState::Running && now.since(run.last_event) > args.stuck_after
        });
        Ok(Self {
            since,
            failed_count,
            failed,
            stuck: stuck.collect(),
            interrupted,
            running: all_running,
            stuck_after: args.stuck_after,
        })
    }

    /// The problems with them, a sentence each.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        let of = |runs: &[OpenRun], verb: [&str; 2]| {
            let first = runs.first()?;
            let verb = if runs.len() == 1 { verb[0] } else { verb[1] };
            let runs = count(runs.len() as u64, "run");
            Some(format!("{runs} {verb}, such as {}", name_of(&first.summary)))
        };
        let stuck = of(&self.stuck, ["is stuck", "are stuck"]);
        let interrupted = of(&self.interrupted, ["was interrupted", "were interrupted"]);
        stuck.into_iter().chain(interrupted)
    }
}

/// So many runs, as many as are listed.
pub(super) fn listed(runs: &[OpenRun]) -> &[OpenRun] {
    &runs[..runs.len().min(LISTED)]
}
