//! `throughline recovery`: how often something failed and the run succeeded all the same, and what saved it.

use std::collections::HashSet;

use serde::Serialize;
use throughline_core::{Filter, Page, Rate, RunState, Status, Timestamp, TraceId, TraceReader, names};

use super::nothing_here;
use crate::args::RecoveryArgs;
use crate::error::{Answer, CliError};
use crate::output::{Screen, Table, count, group, short_id};
use crate::store::Store;

/// How many events or runs are read at once.
const PAGE: usize = 1_000;
/// Of how many runs that were saved it is looked up what saved them; and in how many events at the beginning of each.
const MOST_READ: usize = 1_000;
/// How many resumed runs are followed.
const MOST_RESUMED: usize = 10_000;
/// How many runs are named.
const EXAMPLES: usize = 5;

/// The JSON of `recovery`.
#[derive(Serialize)]
struct Recovery {
    since: Timestamp,
    /// Runs that ended.
    ended: u64,
    /// Of these, how many had a failure in them, and how many of those succeeded all the same.
    saved: Rate,
    /// Of the saved ones, those in which something was tried again; of the first thousand.
    by_retries: u64,
    /// Runs that another process resumed, and how many of them have succeeded.
    resumed: Rate,
    /// Compensations that ended, and how many of them succeeded.
    compensations: Rate,
    /// Some of the runs that were not saved.
    lost_in: Vec<TraceId>,
}

pub(super) async fn run(args: &RecoveryArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let reader = store.readers().await?.reader;
    let recovery = ask(&*reader, Timestamp::now().minus(args.since)).await?;
    let answer = Answer::of(recovery.ended > 0);
    if screen.wants_json() {
        screen.json(&recovery)?;
        return Ok(answer);
    }
    if answer == Answer::No {
        return Err(nothing_here(store));
    }
    show(&recovery, screen)?;
    Ok(answer)
}

async fn ask(reader: &dyn TraceReader, since: Timestamp) -> Result<Recovery, CliError> {
    let mut recent = Filter::new();
    recent.scope.since = Some(since);
    let (mut ended, mut troubled, mut saved, mut by_retries) = (0, 0, 0, 0);
    let mut lost_in = Vec::new();
    let mut page = Page::first(PAGE);
    loop {
        let found = reader.runs_without_causes(&recent, &page).await?;
        for run in found.items.iter().filter(|run| run.ended.is_some()) {
            ended += 1;
            if run.first_failure.is_none() {
                continue;
            }
            troubled += 1;
            if run.state != RunState::Succeeded {
                if lost_in.len() < EXAMPLES {
                    lost_in.push(run.trace_id);
                }
                continue;
            }
            saved += 1;
            if saved <= MOST_READ as u64 && was_tried_again(reader, run.trace_id).await? {
                by_retries += 1;
            }
        }
        if !page.turn(&found)? {
            break;
        }
    }
    Ok(Recovery {
        since,
        ended,
        saved: Rate::new(saved, troubled),
        by_retries,
        resumed: resumed(reader, &recent).await?,
        compensations: compensations(reader, &recent).await?,
        lost_in,
    })
}

/// Whether something in a run was a second attempt, and succeeded.
async fn was_tried_again(reader: &dyn TraceReader, run: TraceId) -> Result<bool, CliError> {
    let events = reader.trace_page(run, &Page::first(MOST_READ)).await?.items;
    Ok(events.iter().any(|event| {
        let again = event.attempt.is_some_and(|attempt| attempt > 1) || event.retried().next().is_some();
        again && event.status == Status::Success
    }))
}

async fn resumed(reader: &dyn TraceReader, recent: &Filter) -> Result<Rate, CliError> {
    let filter = recent.clone().event_type(names::WORKFLOW_RESUMED);
    let (mut runs, mut page) = (HashSet::new(), Page::first(PAGE));
    loop {
        let found = reader.events(&filter, &page).await?;
        runs.extend(found.items.iter().map(|event| event.trace_id));
        if runs.len() >= MOST_RESUMED || !page.turn(&found)? {
            break;
        }
    }
    let mut succeeded = 0;
    for run in &runs {
        let state = reader.run(*run).await?.map(|run| run.state);
        succeeded += u64::from(state == Some(RunState::Succeeded));
    }
    Ok(Rate::new(succeeded, runs.len() as u64))
}

async fn compensations(reader: &dyn TraceReader, recent: &Filter) -> Result<Rate, CliError> {
    let mut filter = recent.clone().event_type(&format!("{}*", names::COMPENSATE_PREFIX));
    filter.statuses = vec![Status::Success, Status::Failed, Status::Cancelled];
    let (mut succeeded, mut all, mut page) = (0, 0, Page::first(PAGE));
    loop {
        let found = reader.events(&filter, &page).await?;
        for event in found.items.iter().filter(|event| event.duration_us.is_some()) {
            all += 1;
            succeeded += u64::from(event.status == Status::Success);
        }
        if !page.turn(&found)? {
            return Ok(Rate::new(succeeded, all));
        }
    }
}

fn show(recovery: &Recovery, screen: &mut Screen) -> Result<(), CliError> {
    let Recovery { ended, saved, .. } = recovery;
    screen.line(format_args!(
        "Something failed in {} of {}; {} succeeded all the same",
        group(saved.total),
        count(*ended, "ended run"),
        group(saved.hits),
    ))?;
    let mut table = Table::new(&["SAVED BY", ">SUCCEEDED", ">OF", ">RATE"]);
    let rows = [
        ("a second attempt (runs)", Rate::new(recovery.by_retries, saved.hits)),
        ("a resumption (runs)", recovery.resumed),
        ("compensations (steps)", recovery.compensations),
    ];
    for (what, rate) in rows {
        table.row([
            what.into(),
            group(rate.hits).into(),
            group(rate.total).into(),
            if rate.total > 0 { format!("{:.1} %", rate.ratio() * 100.0) } else { String::new() }.into(),
        ]);
    }
    screen.table(&table)?;
    if !recovery.lost_in.is_empty() {
        let runs: Vec<_> = recovery.lost_in.iter().map(|run| short_id(*run)).collect();
        screen.line(format_args!("\nNot saved, for one: {}", runs.join(" ")))?;
    }
    Ok(())
}
