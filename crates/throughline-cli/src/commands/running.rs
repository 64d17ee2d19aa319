//! `throughline running`: what runs now, what is stuck, what was interrupted; and whether to deploy.

use std::time::Duration;

use anstyle::AnsiColor;
use serde::Serialize;
use throughline_core::open::{AtWork, Deployment, Holder, UsualTime, UsualTimes, at_work};
use throughline_core::{
    Cursor, DeployCheck, OpenRun, OpenSummary, Page, Paged, Readers, RunState, RunSummary, Timestamp,
    TraceQuery, TraceReader,
};

use crate::args::RunningArgs;
use crate::error::{Answer, CliError};
use crate::output::{
    Cell, Screen, Table, ago, clean, count, failure_of, group, kind_of, micros, name_of, short_id,
    state_style,
};
use crate::standing::Left;
use crate::store::Store;

/// The JSON of `running`.
#[derive(Serialize)]
struct Open {
    runs: Vec<Listed>,
    /// What `--after` takes; `null` if this was all.
    next: Option<Cursor>,
}

/// A run that has not ended.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    at_work: AtWork,
    /// How many of its steps stand.
    standing: usize,
    /// How many of its steps are in doubt.
    in_doubt: usize,
    #[serde(skip)]
    left: Left,
}

impl Listed {
    async fn read(reader: &dyn TraceReader, at_work: AtWork) -> Result<Self, CliError> {
        let run = &at_work.run;
        let mut left = Left::default();
        // The process of one that runs may still undo what it did.
        if matches!(run.summary.state, RunState::Interrupted | RunState::Unfinished) {
            let query = TraceQuery::read(reader, run.summary.trace_id).await?;
            left = Left::of(&query);
        }
        Ok(Self { standing: left.standing, in_doubt: left.in_doubt, at_work, left })
    }
}

/// The JSON of `running --check`.
#[derive(Serialize)]
struct Checked {
    safe_to_deploy: bool,
    /// How many steps of interrupted runs stand.
    standing: usize,
    /// How many steps of interrupted runs are in doubt.
    in_doubt: usize,
    #[serde(flatten)]
    check: DeployCheck,
}

pub(super) async fn run(args: &RunningArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let readers = store.readers().await?;
    if args.check { check(args, &*readers.reader, screen).await } else { show(args, &readers, screen).await }
}

async fn show(args: &RunningArgs, readers: &Readers, screen: &mut Screen) -> Result<Answer, CliError> {
    let reader = &*readers.reader;
    let page = Page { limit: args.limit, after: args.after.as_deref().map(Cursor::new) };
    let Paged { items, next } = reader.open_runs(&page).await?;
    let mut runs = Vec::with_capacity(items.len());
    for run in at_work(reader, Some(&*readers.analytics), &UsualTimes::default(), items).await? {
        runs.push(Listed::read(reader, run).await?);
    }
    let answer = Answer::of(!runs.is_empty() && runs.iter().all(|listed| listed.left.is_nothing()));
    if screen.wants_json() {
        screen.json(&Open { runs, next })?;
        return Ok(answer);
    }
    if runs.is_empty() && args.after.is_none() {
        return Err(CliError::NotFound("nothing is running; `throughline list` shows what ran".into()));
    }
    runs.sort_by_key(|listed| cannot_be_resumed(&listed.at_work.run.summary));
    let mut table = Table::new(&[
        "ID",
        "~KEY",
        "~WORKFLOW",
        "STATE",
        ">AGE",
        ">USUALLY",
        "~CURRENT STEP",
        "PROGRESS",
        ">IN IT",
        ">USUALLY IN IT",
        ">ATTEMPT",
        ">NEXT RETRY",
        ">QUIET FOR",
        "~PROCESS",
        "<FIRST FAILURE",
    ]);
    // What matters of a run is where it is and what went wrong in it.
    table.leave_out_first(&[
        "USUALLY IN IT",
        "PROCESS",
        "USUALLY",
        "PROGRESS",
        "ATTEMPT",
        "IN IT",
        "AGE",
        "NEXT RETRY",
        "ID",
    ]);
    let now = Timestamp::now();
    for Listed { at_work, .. } in &runs {
        let OpenRun { summary, current, last_event, .. } = &at_work.run;
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
            at_work.usual.map_or_else(String::new, usually).into(),
            current.map_or("", |step| step.name.as_str()).into(),
            step.map_or_else(String::new, |(index, total)| format!("step {index} of {total}")).into(),
            current.map_or_else(String::new, |step| ago(now, step.started)).into(),
            at_work.usual_of_step.map_or_else(String::new, usually).into(),
            attempt.map_or_else(String::new, |attempt| attempt.to_string()).into(),
            at_work.waits_until(now).map_or_else(String::new, |at| format!("in {}", ago(at, now))).into(),
            quiet,
            at_work.holder.as_ref().map_or_else(String::new, process_of).into(),
            summary.first_failure.as_ref().map_or_else(String::new, failure_of).into(),
        ]);
    }
    screen.table(&table)?;
    let mut notes = Vec::new();
    notes.extend(note_on_not_resumable(runs.iter().map(|listed| &listed.at_work.run.summary)));
    for Listed { at_work, left, .. } in runs.iter().filter(|listed| !listed.left.is_nothing()) {
        notes.push(left.sentence(reader, &at_work.run.summary).await?);
    }
    if let Some(next) = next {
        notes.push(format!("There are more: use --after {}", clean(next.as_str())));
    }
    write_notes(&notes, screen)?;
    Ok(answer)
}

async fn check(
    args: &RunningArgs,
    reader: &dyn TraceReader,
    screen: &mut Screen,
) -> Result<Answer, CliError> {
    let check = reader.safe_to_deploy(args.stuck_after).await?;
    let safe_to_deploy = check.is_safe();
    // Not of all: each has to be read as a whole.
    let mut left_of = Vec::new();
    for OpenSummary { summary, .. } in check.interrupted.iter().take(args.limit) {
        left_of.push((summary.clone(), Left::read(reader, summary).await?));
    }
    if screen.wants_json() {
        let standing = left_of.iter().map(|(_, left)| left.standing).sum();
        let in_doubt = left_of.iter().map(|(_, left)| left.in_doubt).sum();
        screen.json(&Checked { safe_to_deploy, standing, in_doubt, check })?;
        return Ok(Answer::of(safe_to_deploy));
    }
    let (running, stuck, interrupted) = (check.running.len(), check.stuck.len(), check.interrupted.len());
    let waiting = check.interrupted.iter().filter(|run| run.summary.waits_to_be_resumed()).count();
    screen.line(match (safe_to_deploy, waiting) {
        (true, 0) => "Safe to deploy: nothing is running.".to_owned(),
        (true, 1) => {
            "Safe to deploy: nothing is running; 1 interrupted run is waiting to be resumed.".to_owned()
        }
        (true, _) => {
            format!(
                "Safe to deploy: nothing is running; {waiting} interrupted runs are waiting to be resumed."
            )
        }
        (false, _) => {
            format!("Not safe to deploy: {running} running, {stuck} stuck, {interrupted} interrupted.")
        }
    })?;
    if let Some(note) = note_on_not_resumable(check.interrupted.iter().map(|run| &run.summary)) {
        screen.line(note)?;
    }
    let mut table = Table::new(&["ID", "~KEY", "~WORKFLOW", "STATE", ">AGE", ">QUIET FOR", "IF DEPLOYED"]);
    let now = Timestamp::now();
    let (unable, able): (Vec<_>, Vec<_>) =
        check.interrupted.iter().partition(|run| cannot_be_resumed(&run.summary));
    for OpenSummary { summary, last_event, .. } in
        check.stuck.iter().chain(&check.running).chain(able).chain(unable)
    {
        let cells = cells(summary, *last_event, now, args.stuck_after);
        table.row(cells.into_iter().chain([Deployment::of(summary).as_str().into()]));
    }
    if !table.is_empty() {
        screen.line("")?;
        screen.table(&table)?;
    }
    let mut notes = Vec::new();
    for (run, left) in left_of.iter().filter(|(_, left)| !left.is_nothing()) {
        notes.push(left.sentence(reader, run).await?);
    }
    let not_searched = interrupted - left_of.len();
    if not_searched > 0 {
        let runs = count(not_searched as u64, "more interrupted run");
        notes.push(format!("Not searched for steps that stand or are in doubt: {runs}; use --limit"));
    }
    write_notes(&notes, screen)?;
    Ok(Answer::of(safe_to_deploy))
}

/// How long it usually takes: the median, and what 95 of 100 do not exceed.
fn usually(time: UsualTime) -> String {
    format!("{}, p95 {}", micros(time.p50_us), micros(time.p95_us))
}

/// The process that has a run in hand, by host, number and version.
fn process_of(holder: &Holder) -> String {
    let host = holder.host.as_deref().unwrap_or_default();
    let pid = holder.pid.map(|pid| format!("pid {pid}"));
    let version = holder.version.as_ref().map(|version| format!("v{version}"));
    let parts = [Some(host.to_owned()).filter(|host| !host.is_empty()), pid, version];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Whether it is what a dead process left of something that can't be resumed, such as an HTTP request.
fn cannot_be_resumed(run: &RunSummary) -> bool {
    run.state == RunState::Interrupted && !run.can_be_resumed()
}

/// Says how many runs can't be resumed, if there are any, and what can be done about them.
fn note_on_not_resumable<'r>(runs: impl Iterator<Item = &'r RunSummary>) -> Option<String> {
    match runs.filter(|run| cannot_be_resumed(run)).count() {
        0 => None,
        1 => Some("1 interrupted run can't be resumed; `throughline abandon RUN` closes it.".to_owned()),
        runs => Some(format!(
            "{} interrupted runs can't be resumed; `throughline abandon RUN` closes one.",
            group(runs as u64)
        )),
    }
}

/// Writes lines below a table, apart from it.
fn write_notes(notes: &[String], screen: &mut Screen) -> Result<(), CliError> {
    if !notes.is_empty() {
        screen.line(format_args!("\n{}", notes.join("\n")))?;
    }
    Ok(())
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
        ago(now, run.started).into(),
        ago(now, last_event).into(),
    ]
}
