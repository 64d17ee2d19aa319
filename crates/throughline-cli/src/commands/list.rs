//! `throughline list`: runs, the last started first.

use std::sync::Arc;

use serde::Serialize;
use throughline_core::{Cursor, FailureSummary, RunState, RunSummary, TraceReader, names};

use super::nothing_here;
use crate::args::ListArgs;
use crate::error::{Answer, CliError};
use crate::output::{Cell, Screen, Table, clean, failure_of, kind_of, micros, moment, short_id, state_style};
use crate::select;
use crate::store::Store;

/// The JSON of `list`.
#[derive(Serialize)]
struct Listed {
    runs: Vec<RunSummary>,
    /// What `--after` takes; `null` if this was all.
    next: Option<Cursor>,
}

pub(super) async fn run(args: &ListArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    if screen.wants_json() {
        let Found { runs, next, .. } = read(args, store).await?;
        let answer = Answer::of(!runs.is_empty());
        screen.json(&Listed { runs, next })?;
        return Ok(answer);
    }
    let Found { runs, next, .. } = find(args, store).await?;
    let answer = Answer::of(!runs.is_empty());
    screen.table(&table(&runs))?;
    if let Some(next) = next {
        screen.line(format_args!("\nThere are more: use --after {}", clean(next.as_str())))?;
    }
    Ok(answer)
}

/// What was found.
pub(super) struct Found {
    pub(super) reader: Arc<dyn TraceReader>,
    pub(super) runs: Vec<RunSummary>,
    /// Where the next page begins, if there is one.
    pub(super) next: Option<Cursor>,
}

/// The runs that are asked for; that there are none is an error that says what there is.
pub(super) async fn find(args: &ListArgs, store: &Store) -> Result<Found, CliError> {
    let found = read(args, store).await?;
    if found.runs.is_empty() && args.after.is_none() {
        return Err(nothing_found(args, store, &*found.reader).await?);
    }
    Ok(found)
}

async fn read(args: &ListArgs, store: &Store) -> Result<Found, CliError> {
    let reader = store.readers().await?.reader;
    let after = args.after.as_deref().map(Cursor::new);
    let wanted = |run: &RunSummary| !args.no_http || !is_bare_request(run);
    let (runs, next) = select::page(store, &*reader, &args.filter, args.limit, after, wanted).await?;
    Ok(Found { reader, runs, next })
}

async fn nothing_found(
    args: &ListArgs,
    store: &Store,
    reader: &dyn TraceReader,
) -> Result<CliError, CliError> {
    let all = reader.runs(&throughline_core::Filter::new(), &throughline_core::Page::first(1)).await?;
    Ok(if args.filter.is_any(store) || all.items.is_empty() {
        nothing_here(store)
    } else {
        CliError::NotFound("no run matches; `throughline list` without filters shows the latest runs".into())
    })
}

/// Whether it is an HTTP request that ran no workflow.
fn is_bare_request(run: &RunSummary) -> bool {
    run.workflow.is_none() && run.root.as_ref().is_some_and(|root| root.event_type == names::HTTP_REQUEST)
}

/// What is said of how a run failed: its cause, or what failed first where nobody can know the cause.
pub(super) fn failure(run: &RunSummary) -> Option<&FailureSummary> {
    let is_unknown = run.cause.is_none() && run.root.is_none() && run.state == RunState::Failed;
    run.cause.as_ref().or(run.first_failure.as_ref().filter(|_| is_unknown))
}

fn table(runs: &[RunSummary]) -> Table {
    let mut table = Table::new(&[
        "ID",
        "~KEY",
        "~WORKFLOW",
        "~SERVICE",
        "STATE",
        ">ATTEMPT",
        "STARTED",
        ">TOOK",
        "<CAUSE",
    ]);
    // A run is found by its key, and its cause is what people look for.
    table.leave_out_first(&["STARTED", "ID", "SERVICE", "TOOK", "ATTEMPT", "WORKFLOW", "STATE"]);
    // A column that says the same everywhere says nothing.
    let services: std::collections::HashSet<&str> = runs.iter().map(|run| run.service.as_str()).collect();
    for run in runs {
        let failure = failure(run).map_or_else(String::new, failure_of);
        // Most runs are the first attempt; where all are, there is no such column.
        let attempt = run.root.as_ref().and_then(|root| root.attempt).filter(|attempt| *attempt > 1);
        table.row([
            short_id(run.trace_id).into(),
            run.correlation_id.as_deref().unwrap_or_default().into(),
            kind_of(run).into(),
            if services.len() > 1 { run.service.as_str() } else { "" }.into(),
            Cell::styled(run.state.as_str(), state_style(run.state)),
            attempt.map_or_else(String::new, |attempt| attempt.to_string()).into(),
            moment(run.started).into(),
            run.duration_us.map_or_else(String::new, micros).into(),
            failure.into(),
        ]);
    }
    table
}
