//! `throughline slo`: how much of each objective's error budget is left, and what spent it, from the store.

use std::collections::BTreeMap;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use throughline_core::query::human_duration;
use throughline_core::{
    ErrorInfo, Filter, OpenSummary, Page, RunState, Status, Text, Timestamp, TraceId, TraceReader, names,
};
use throughline_kit::{Indicator, Objective, Objectives, Subject};

use crate::args::SloArgs;
use crate::error::{Answer, CliError};
use crate::output::{Cell, Screen, Table, clean, group, short_id};
use crate::store::Store;

/// How many runs or events are read at once.
const PAGE: usize = 1_000;
/// How many kinds of what was bad are told apart.
const MOST_KINDS: usize = 1_000;
/// How many of them are shown, and how many runs are named for each.
const KINDS: usize = 5;
const RUNS: usize = 3;
/// Over how long a time is said how fast a budget is spent now.
const NOW: Duration = Duration::from_secs(3_600);
/// How long before the window runs are looked for that ended in it: a store finds runs by when they began.
const LONGEST_RUN: Duration = Duration::from_secs(24 * 3_600);
/// What of a budget is none of it: 1 - 0.999 is no number of a computer.
const NOTHING: f64 = 1e-9;

/// What became of an objective in its window.
#[derive(Serialize)]
pub(crate) struct BudgetReport {
    /// The name of the objective.
    name: String,
    /// What it is about: `route`, `workflow` or `step`.
    subject: &'static str,
    /// Which of them.
    of: String,
    /// What makes it good: `availability` or `latency`.
    indicator: &'static str,
    /// How long it may take, in microseconds; `null` if it is about availability.
    threshold_us: Option<u64>,
    /// Which part has to be good.
    target: f64,
    /// Since when is counted.
    since: Timestamp,
    /// How many ended in that time.
    total: u64,
    /// How many of them were bad.
    bad: u64,
    /// Which part of the error budget is left: below 0, the objective is missed. 1 if nothing ended.
    budget_left: f64,
    /// How much faster than allowed it was spent in the last hour; `null` if nothing ended in it.
    burn_rate: Option<f64>,
    /// What spent it, the most first.
    spent_by: Vec<Spending>,
}

/// What spent a budget.
#[derive(Serialize)]
pub(crate) struct Spending {
    /// What failed or was slow.
    name: Text,
    /// The type of its error; `null` if it has none or was slow.
    error_type: Option<Text>,
    /// How many of what was bad were so.
    count: u64,
    /// Which part of the budget that is.
    of_budget: f64,
    /// The latest runs that it happened in.
    runs: Vec<TraceId>,
}

/// The JSON of `slo`.
#[derive(Serialize)]
struct Budgets {
    objectives: Vec<BudgetReport>,
}

pub(super) async fn run(args: &SloArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let objectives = objectives(&args.file)?;
    let reader = store.readers().await?.reader;
    let now = Timestamp::now();
    let is_of_runs = |objective: &Objective| matches!(objective.subject, Subject::Workflow(_));
    let interrupted = match objectives.all.iter().any(is_of_runs) {
        true => interrupted(&*reader).await?,
        false => Vec::new(),
    };
    let mut reports = Vec::new();
    for objective in &objectives.all {
        let mut tally = Tally::new(objective, now);
        let since = now.minus(objective.window);
        // What will not end by itself did not end well. What is resumed is counted by how that ends.
        let ended_so = |run: &&OpenSummary| {
            is_of_runs(objective)
                && run.summary.workflow.as_deref() == Some(objective.subject.name())
                && run.last_event >= since
        };
        for run in interrupted.iter().filter(ended_so) {
            tally.add(&Outcome {
                trace_id: run.summary.trace_id,
                ended: run.last_event,
                failed: true,
                is_over: false,
                duration_us: None,
                name: &"interrupted".into(),
                error: None,
            });
        }
        read(&*reader, objective, since, &mut tally).await?;
        reports.push(tally.report());
    }
    let answer = Answer::of(reports.iter().all(|report| report.budget_left >= 0.0));
    if screen.wants_json() {
        screen.json(&Budgets { objectives: reports })?;
        return Ok(answer);
    }
    show(&objectives, &reports, screen)?;
    Ok(answer)
}

/// The objectives of a file.
pub(super) fn objectives(path: &std::path::Path) -> Result<Objectives, CliError> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::Input(format!("{name}: {error}; it is a file of objectives in TOML")))?;
    Objectives::parse(&text).map_err(|error| CliError::Input(clean(&format!("{name}: {error}")).into_owned()))
}

/// How something ended.
struct Outcome<'a> {
    trace_id: TraceId,
    ended: Timestamp,
    failed: bool,
    /// Whether it ended at all.
    is_over: bool,
    duration_us: Option<u64>,
    name: &'a Text,
    error: Option<&'a ErrorInfo>,
}

/// Reads how everything ended that an objective is about, the latest first.
async fn read(
    reader: &dyn TraceReader,
    objective: &Objective,
    since: Timestamp,
    tally: &mut Tally<'_>,
) -> Result<(), CliError> {
    let mut filter = Filter::new();
    filter.scope.since = Some(since);
    match &objective.subject {
        Subject::Workflow(workflow) => {
            filter.scope.workflow = Some(workflow.clone().into());
            filter.scope.since = Some(since.minus(LONGEST_RUN));
            return read_runs(reader, objective, &filter, since, tally).await;
        }
        Subject::Route(route) => {
            filter = filter.event_type(names::HTTP_REQUEST).attr(names::attrs::HTTP_ROUTE, route.clone());
        }
        Subject::Step(step) => filter = filter.event_type(step),
    }
    filter.statuses = vec![Status::Success, Status::Failed, Status::Cancelled];
    let mut page = Page::first(PAGE);
    loop {
        let found = reader.events(&filter, &page).await?;
        for event in &found.items {
            tally.add(&Outcome {
                trace_id: event.trace_id,
                ended: event.timestamp,
                failed: event.status == Status::Failed,
                is_over: true,
                duration_us: event.duration_us,
                name: &event.event_type,
                error: event.error.as_deref(),
            });
        }
        if !page.turn(&found)? {
            return Ok(());
        }
    }
}

/// The runs that were interrupted, which no one has resumed.
async fn interrupted(reader: &dyn TraceReader) -> Result<Vec<OpenSummary>, CliError> {
    let (mut interrupted, mut page) = (Vec::new(), Page::first(PAGE));
    loop {
        let found = reader.open_summaries(&page).await?;
        let is_last = !page.turn(&found)?;
        interrupted.extend(found.items.into_iter().filter(|run| run.summary.state == RunState::Interrupted));
        if is_last {
            return Ok(interrupted);
        }
    }
}

async fn read_runs(
    reader: &dyn TraceReader,
    objective: &Objective,
    filter: &Filter,
    since: Timestamp,
    tally: &mut Tally<'_>,
) -> Result<(), CliError> {
    let workflow = Text::from(objective.subject.name().to_owned());
    let mut page = Page::first(PAGE);
    loop {
        // Why a run failed matters not to how long it took.
        let found = match objective.indicator {
            Indicator::Availability => reader.runs(filter, &page).await?,
            _ => reader.runs_without_causes(filter, &page).await?,
        };
        for run in &found.items {
            let Some(ended) = run.ended.filter(|ended| *ended >= since) else { continue };
            let cause = run.cause.as_ref().or(run.first_failure.as_ref());
            let failed = run.state == RunState::Failed;
            tally.add(&Outcome {
                trace_id: run.trace_id,
                ended,
                failed,
                is_over: true,
                duration_us: run.duration_us,
                name: cause.filter(|_| failed).map_or(&workflow, |cause| &cause.name),
                error: cause.and_then(|cause| cause.error.as_ref()),
            });
        }
        if !page.turn(&found)? {
            return Ok(());
        }
    }
}

/// What is counted of an objective.
struct Tally<'a> {
    objective: &'a Objective,
    now: Timestamp,
    total: u64,
    bad: u64,
    recent: (u64, u64),
    kinds: BTreeMap<(Text, Option<Text>), (u64, Vec<TraceId>)>,
}

impl<'a> Tally<'a> {
    fn new(objective: &'a Objective, now: Timestamp) -> Self {
        Self { objective, now, total: 0, bad: 0, recent: (0, 0), kinds: BTreeMap::new() }
    }

    fn add(&mut self, outcome: &Outcome<'_>) {
        let threshold = self.threshold_us();
        let is_bad = match threshold {
            None => outcome.failed,
            Some(threshold) => {
                !outcome.is_over || outcome.duration_us.is_some_and(|duration| duration > threshold)
            }
        };
        let is_recent = self.now.since(outcome.ended) < NOW;
        self.total += 1;
        self.recent.1 += u64::from(is_recent);
        if !is_bad {
            return;
        }
        self.bad += 1;
        self.recent.0 += u64::from(is_recent);
        let error = outcome.error.filter(|_| threshold.is_none()).map(|error| error.kind.clone());
        let kind = (outcome.name.clone(), error);
        if self.kinds.len() < MOST_KINDS || self.kinds.contains_key(&kind) {
            let (count, runs) = self.kinds.entry(kind).or_default();
            *count += 1;
            if runs.len() < RUNS && !runs.contains(&outcome.trace_id) {
                runs.push(outcome.trace_id);
            }
        }
    }

    fn threshold_us(&self) -> Option<u64> {
        match self.objective.indicator {
            Indicator::Latency(threshold) => Some(u64::try_from(threshold.as_micros()).unwrap_or(u64::MAX)),
            _ => None,
        }
    }

    fn report(self) -> BudgetReport {
        let threshold_us = self.threshold_us();
        let Objective { name, subject, indicator, target, window, .. } = self.objective;
        let allowed = 1.0 - target;
        let budget = self.total as f64 * allowed;
        let part = |bad: u64| if bad == 0 { 0.0 } else { bad as f64 / budget };
        let mut spent_by: Vec<_> = self
            .kinds
            .into_iter()
            .map(|((name, error_type), (count, runs))| Spending {
                name,
                error_type,
                count,
                of_budget: part(count),
                runs,
            })
            .collect();
        spent_by.sort_by_key(|spending| std::cmp::Reverse(spending.count));
        spent_by.truncate(KINDS);
        let (bad, total) = self.recent;
        let left = 1.0 - part(self.bad);
        BudgetReport {
            name: name.clone(),
            subject: subject.kind(),
            of: subject.name().to_owned(),
            indicator: indicator.kind(),
            threshold_us,
            target: *target,
            since: self.now.minus(*window),
            total: self.total,
            bad: self.bad,
            budget_left: if left.abs() < NOTHING { 0.0 } else { left },
            burn_rate: (total > 0).then(|| bad as f64 / total as f64 / allowed),
            spent_by,
        }
    }
}

fn show(objectives: &Objectives, reports: &[BudgetReport], screen: &mut Screen) -> Result<(), CliError> {
    let mut table = Table::new(&[
        "~OBJECTIVE",
        "~OF",
        ">TARGET",
        "WINDOW",
        ">TOTAL",
        ">BAD",
        ">BUDGET LEFT",
        ">BURN RATE",
    ]);
    for (objective, report) in objectives.all.iter().zip(reports) {
        let style = match report.budget_left {
            ..0.0 => AnsiColor::Red.on_default(),
            0.0..0.25 => AnsiColor::Yellow.on_default(),
            _ => Style::new(),
        };
        let of = match objective.indicator {
            Indicator::Latency(threshold) => format!("{} within {}", report.of, human_duration(threshold)),
            _ => report.of.clone(),
        };
        table.row([
            Cell::from(&*report.name),
            Cell::from(&*of),
            percent(report.target).into(),
            human_duration(objective.window).into(),
            group(report.total).into(),
            group(report.bad).into(),
            Cell::styled(percent(report.budget_left), style),
            report.burn_rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}")).into(),
        ]);
    }
    screen.table(&table)?;
    for report in reports.iter().filter(|report| !report.spent_by.is_empty()) {
        screen.heading(&format!("What spent the budget of {}", clean(&report.name)))?;
        let mut table = Table::new(&["~WHAT", "~ERROR", ">COUNT", ">OF BUDGET", "RUNS"]);
        for spending in &report.spent_by {
            let runs: Vec<_> = spending.runs.iter().map(|run| short_id(*run)).collect();
            table.row([
                Cell::from(&*spending.name),
                spending.error_type.as_deref().unwrap_or_default().into(),
                group(spending.count).into(),
                percent(spending.of_budget).into(),
                runs.join(" ").into(),
            ]);
        }
        screen.table(&table)?;
    }
    if reports.iter().any(|report| report.bad > 0) {
        screen.line("\nWhy one of them was bad: throughline why RUN")?;
    }
    Ok(())
}

/// Without digits that say nothing: `99.9 %`.
fn percent(part: f64) -> String {
    let text = format!("{:.3}", part * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}
