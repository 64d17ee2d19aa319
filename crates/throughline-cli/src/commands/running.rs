//! `throughline running`: what runs now, what is stuck, what was interrupted; and whether to deploy.

use std::time::Duration;

use anstyle::AnsiColor;
use serde::Serialize;
use throughline_core::{
    Cursor, DeployCheck, OpenRun, OpenSummary, Page, Paged, RunState, RunSummary, Timestamp, TraceReader,
};

use super::{kind_of, name_of, state_style};
use crate::args::RunningArgs;
use crate::error::{Answer, CliError};
use crate::output::{Cell, Screen, Table, clean, duration, short_id};
use crate::store::Store;

/// The JSON of `running`.
#[derive(Serialize)]
struct Open {
    runs: Vec<OpenRun>,
    /// What `--after` takes; `null` if this was all.
    next: Option<Cursor>,
}

/// The JSON of `running --check`.
#[derive(Serialize)]
struct Checked {
    safe_to_deploy: bool,
    #[serde(flatten)]
    check: DeployCheck,
}

pub(super) async fn run(args: &RunningArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let reader = store.readers().await?.reader;
    if args.check { check(args, &*reader, screen).await } else { show(args, &*reader, screen).await }
}

async fn show(args: &RunningArgs, reader: &dyn TraceReader, screen: &mut Screen) -> Result<Answer, CliError> {
    let page = Page { limit: args.limit, after: args.after.as_deref().map(Cursor::new) };
    let Paged { items: runs, next } = reader.open_runs(&page).await?;
    let answer = Answer::of(!runs.is_empty());
    if screen.wants_json() {
        screen.json(&Open { runs, next })?;
        return Ok(answer);
    }
    if runs.is_empty() && args.after.is_none() {
        return Err(CliError::NotFound("nothing is running; `throughline list` shows what ran".into()));
    }
    let mut table = Table::new(&[
        "ID",
        "~KEY",
        "~WORKFLOW",
        "STATE",
        ">AGE",
        "~CURRENT STEP",
        "PROGRESS",
        ">IN IT",
        ">ATTEMPT",
        ">QUIET FOR",
    ]);
    let now = Timestamp::now();
    for OpenRun { summary, current, last_event, .. } in &runs {
        let current = current.as_ref();
        let step = current.and_then(|step| step.step_index.zip(step.step_total));
        let attempt = current.and_then(|step| step.attempt);
        let [id, key, workflow, state, age, quiet] = cells(summary, *last_event, now, args.stuck_after);
        table.row([
            id,
            key,
            workflow,
            state,
            age,
            current.map_or("", |step| step.event_type.as_str()).into(),
            step.map_or_else(String::new, |(index, total)| format!("step {index} of {total}")).into(),
            current.map_or_else(String::new, |step| duration(now.since(step.started))).into(),
            attempt.map_or_else(String::new, |attempt| attempt.to_string()).into(),
            quiet,
        ]);
    }
    screen.table(&table)?;
    if let Some(next) = next {
        screen.line(format_args!("\nThere are more: use --after {}", clean(next.as_str())))?;
    }
    Ok(answer)
}

async fn check(
    args: &RunningArgs,
    reader: &dyn TraceReader,
    screen: &mut Screen,
) -> Result<Answer, CliError> {
    let check = reader.safe_to_deploy(args.stuck_after).await?;
    let safe_to_deploy = check.is_safe();
    if screen.wants_json() {
        screen.json(&Checked { safe_to_deploy, check })?;
        return Ok(Answer::of(safe_to_deploy));
    }
    let (running, stuck, interrupted) = (check.running.len(), check.stuck.len(), check.interrupted.len());
    screen.line(match (safe_to_deploy, interrupted) {
        (true, 0) => "Safe to deploy: nothing is running.".to_owned(),
        (true, 1) => "Safe to deploy: nothing is running; 1 interrupted run is waiting to be resumed.".to_owned(),
        (true, _) => {
            format!("Safe to deploy: nothing is running; {interrupted} interrupted runs are waiting to be resumed.")
        }
        (false, _) => {
            format!("Not safe to deploy: {running} running, {stuck} stuck, {interrupted} interrupted.")
        }
    })?;
    let mut table = Table::new(&["ID", "~KEY", "~WORKFLOW", "STATE", ">AGE", ">QUIET FOR"]);
    let now = Timestamp::now();
    for OpenSummary { summary, last_event, .. } in
        check.stuck.iter().chain(&check.running).chain(&check.interrupted)
    {
        table.row(cells(summary, *last_event, now, args.stuck_after));
    }
    if !table.is_empty() {
        screen.line("")?;
        screen.table(&table)?;
    }
    Ok(Answer::of(safe_to_deploy))
}

/// What is shown of every open run: id, key, workflow, state, age, and for how long nothing has happened.
fn cells(run: &RunSummary, last_event: Timestamp, now: Timestamp, stuck_after: Duration) -> [Cell; 6] {
    let quiet = now.since(last_event);
    let is_stuck = run.state == RunState::Running && quiet >= stuck_after;
    let state = if is_stuck { "stuck" } else { run.state.as_str() };
    let style = if is_stuck { AnsiColor::Red.on_default() } else { state_style(run.state) };
    [
        short_id(run.trace_id).into(),
        if run.correlation_id.is_some() { name_of(run) } else { String::new() }.into(),
        kind_of(run).into(),
        Cell::styled(state, style),
        duration(now.since(run.started)).into(),
        duration(quiet).into(),
    ]
}
