//! `throughline running`: what runs now, what is stuck, what was interrupted; and whether to deploy.

use std::time::Duration;

use anstyle::AnsiColor;
use serde::Serialize;
use throughline_core::{DeployCheck, OpenRun, RunState, Timestamp, TraceReader};

use super::{name_of, state_style};
use crate::args::RunningArgs;
use crate::error::{Answer, CliError};
use crate::output::{Cell, Screen, Table, duration, short_id};
use crate::store::Store;

/// The JSON of `running`.
#[derive(Serialize)]
struct Open {
    runs: Vec<OpenRun>,
}

/// The JSON of `running --check`.
#[derive(Serialize)]
struct Checked {
    safe_to_deploy: bool,
    #[serde(flatten)]
    check: DeployCheck,
}

pub(super) async fn run(args: &RunningArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let reader = store.reader()?;
    if args.check { check(args, &reader, screen).await } else { show(args, &reader, screen).await }
}

async fn show(args: &RunningArgs, reader: &dyn TraceReader, screen: &mut Screen) -> Result<Answer, CliError> {
    let mut runs = reader.open_runs(args.limit.saturating_add(1)).await?;
    let are_more = runs.len() > args.limit;
    runs.truncate(args.limit);
    let answer = Answer::of(!runs.is_empty());
    if screen.wants_json() {
        screen.json(&Open { runs })?;
        return Ok(answer);
    }
    if runs.is_empty() {
        return Err(CliError::NotFound("nothing is running; `throughline list` shows what ran".into()));
    }
    let now = Timestamp::now();
    screen.table(&table(&runs, now, args.stuck_after))?;
    if are_more {
        screen.line(format_args!("\nThere are more than {}: --limit shows more of them", args.limit))?;
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
        (true, _) => {
            format!("Safe to deploy: nothing is running; {interrupted} interrupted want to be resumed.")
        }
        (false, _) => {
            format!("Not safe to deploy: {running} running, {stuck} stuck, {interrupted} interrupted.")
        }
    })?;
    let runs: Vec<OpenRun> = [check.stuck, check.running, check.interrupted].into_iter().flatten().collect();
    if !runs.is_empty() {
        screen.line("")?;
        screen.table(&table(&runs, Timestamp::now(), args.stuck_after))?;
    }
    Ok(Answer::of(safe_to_deploy))
}

fn table(runs: &[OpenRun], now: Timestamp, stuck_after: Duration) -> Table {
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
    for run in runs {
        let OpenRun { summary, current, last_event, .. } = run;
        let quiet = now.since(*last_event);
        let is_stuck = summary.state == RunState::Running && quiet >= stuck_after;
        let state = if is_stuck { "stuck" } else { summary.state.as_str() };
        let style = if is_stuck { AnsiColor::Red.on_default() } else { state_style(summary.state) };
        let current = current.as_ref();
        let step = current.and_then(|step| step.step_index.zip(step.step_total));
        table.row([
            short_id(summary.trace_id).into(),
            if summary.correlation_id.is_some() { name_of(summary) } else { String::new() }.into(),
            summary.workflow.as_deref().unwrap_or_default().into(),
            Cell::styled(state, style),
            duration(now.since(summary.started)).into(),
            current.map_or("", |step| step.event_type.as_str()).into(),
            step.map_or_else(String::new, |(index, total)| format!("step {index} of {total}")).into(),
            current.map_or_else(String::new, |step| duration(now.since(step.started))).into(),
            current
                .and_then(|step| step.attempt)
                .map_or_else(String::new, |attempt| attempt.to_string())
                .into(),
            duration(quiet).into(),
        ]);
    }
    table
}
