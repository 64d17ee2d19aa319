//! `throughline stats`: failure rates, slow stages, where runs fail.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use anstyle::AnsiColor;
use serde::Serialize;
use throughline_core::{
    Bucket, ChoiceOutcome, HotSpot, Page, Rate, ReadError, Readers, Scope, SlowSpan, StageTimes, Text,
    TraceAnalytics, TraceId, TraceQuery, TraceReader, TypeRate, names,
};

use super::{note_on_uncounted, nothing_here};
use crate::args::StatsArgs;
use crate::error::{Answer, CliError};
use crate::output::{Cell, Screen, Table, bars, count, group, micros, moment, short_id, stacked};
use crate::store::Store;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// What the ends of workflows and sagas are called.
const OUTCOMES: [&str; 6] = [
    names::WORKFLOW_COMPLETED,
    names::WORKFLOW_FAILED,
    names::WORKFLOW_CANCELLED,
    names::SAGA_COMPLETED,
    names::SAGA_FAILED,
    names::SAGA_CANCELLED,
];
/// In how many events at the beginning of a run its slow spans are looked up.
const BEGINNING: usize = 1_000;
/// How wide the bars of failures over time are.
const BAR: usize = 30;

/// The JSON of `stats`.
#[derive(Serialize)]
struct Stats {
    failures: WithInterval,
    compensations: WithInterval,
    over_time: Vec<Bucket>,
    hot_spots: Vec<HotSpot>,
    failure_rate_by_type: Vec<TypeRate>,
    slowest_stages: Vec<StageTimes>,
    slowest_spans: Vec<SlowSpanOfRun>,
    decisions: Vec<ChoiceOutcome>,
    /// Events that wait in the outbox, and are in none of these figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    uncounted: Option<u64>,
}

/// A slow span, and the run that it is of.
#[derive(Serialize)]
struct SlowSpanOfRun {
    #[serde(flatten)]
    span: SlowSpan,
    /// What to call it, as far as the beginning of the run says: `dependency:http carrier-api`.
    name: Text,
    /// The run's workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    workflow: Option<Text>,
    /// The run's business key.
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<Text>,
}

/// A rate, and how sure it is.
#[derive(Serialize)]
pub(super) struct WithInterval {
    #[serde(flatten)]
    rate: Rate,
    ratio: f64,
    /// The 95 % Wilson interval.
    interval: (f64, f64),
}

impl From<Rate> for WithInterval {
    fn from(rate: Rate) -> Self {
        Self { rate, ratio: rate.ratio(), interval: rate.interval() }
    }
}

pub(super) async fn run(args: &StatsArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let Readers { reader, analytics, .. } = store.readers().await?;
    let scope = args.scope.to_scope();
    let uncounted = store.uncounted().await?;
    let stats = Stats { uncounted, ..ask(&*analytics, &*reader, &scope, args.limit).await? };
    let answer = Answer::of(stats.failures.rate.total > 0 || !stats.slowest_stages.is_empty());
    if screen.wants_json() {
        screen.json(&stats)?;
        return Ok(answer);
    }
    if answer == Answer::No {
        let none = match args.scope.is_all() {
            true => "no run in the store has ended",
            false => "no run in this time range has ended; try an earlier --since",
        };
        return Err(match note_on_uncounted(uncounted) {
            None if args.scope.is_all() => nothing_here(store),
            None => CliError::NotFound(none.to_owned()),
            Some(note) => CliError::NotFound(format!("{none}; {note}")),
        });
    }
    show(&stats, args.limit, screen)?;
    Ok(answer)
}

async fn ask(
    analytics: &dyn TraceAnalytics,
    reader: &dyn TraceReader,
    scope: &Scope,
    limit: usize,
) -> Result<Stats, CliError> {
    // The end of a workflow or saga is named after its outcome: as a stage, `workflow:failed` always fails.
    let is_stage = |event_type: &str| !OUTCOMES.contains(&event_type);
    let mut failure_rate_by_type = analytics.failure_rate_by_type(scope).await?;
    failure_rate_by_type.retain(|of| is_stage(&of.event_type));
    let mut slowest_stages = analytics.slowest_stages(scope, limit.saturating_add(OUTCOMES.len())).await?;
    slowest_stages.retain(|stage| is_stage(&stage.event_type));
    slowest_stages.truncate(limit);
    Ok(Stats {
        failures: analytics.failure_rate(scope).await?.into(),
        compensations: analytics.compensation_rate(scope).await?.into(),
        over_time: over_time(analytics, scope).await?,
        hot_spots: analytics.hot_spots(scope, limit).await?,
        failure_rate_by_type,
        slowest_stages,
        slowest_spans: of_runs(reader, analytics.slowest_spans(scope, limit).await?).await?,
        decisions: decisions(analytics, scope).await?,
        uncounted: None,
    })
}

/// How runs ended after their choices; nothing where that is not shown.
async fn decisions(analytics: &dyn TraceAnalytics, scope: &Scope) -> Result<Vec<ChoiceOutcome>, ReadError> {
    match analytics.decision_outcomes(scope).await {
        Err(ReadError::Unsupported { .. }) => Ok(Vec::new()),
        outcomes => outcomes,
    }
}

/// Spans with the runs that they are of.
async fn of_runs(reader: &dyn TraceReader, spans: Vec<SlowSpan>) -> Result<Vec<SlowSpanOfRun>, CliError> {
    let mut of_runs = Vec::with_capacity(spans.len());
    let mut beginnings: HashMap<TraceId, TraceQuery> = HashMap::new();
    for span in spans {
        let beginning = match beginnings.entry(span.trace_id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                let page = reader.trace_page(span.trace_id, &Page::first(BEGINNING)).await?;
                unknown.insert(TraceQuery::new(page.items))
            }
        };
        let (workflow, correlation_id) =
            beginning.summary().map_or((None, None), |run| (run.workflow, run.correlation_id));
        let found = beginning.span(span.span_id);
        let name = found.map_or_else(|| span.event_type.clone(), |span| span.name().into());
        of_runs.push(SlowSpanOfRun { span, name, workflow, correlation_id });
    }
    Ok(of_runs)
}

/// Buckets as wide as the time that runs span makes sensible.
async fn over_time(analytics: &dyn TraceAnalytics, scope: &Scope) -> Result<Vec<Bucket>, CliError> {
    let days = match analytics.over_time(scope, DAY).await {
        // There are too many of them: some logs have a run in 9999, which stands for never.
        Err(ReadError::InvalidQuery { .. }) => return Ok(analytics.over_time(scope, YEAR).await?),
        days => days?,
    };
    Ok(match days.len() {
        0..=2 => {
            let hours = analytics.over_time(scope, HOUR).await?;
            if hours.len() > 1 { hours } else { analytics.over_time(scope, MINUTE).await? }
        }
        _ => days,
    })
}

fn show(stats: &Stats, limit: usize, screen: &mut Screen) -> Result<(), CliError> {
    let Stats { failures, compensations, .. } = stats;
    screen.line(format_args!(
        "{} of {} failed: {}",
        group(failures.rate.hits),
        count(failures.rate.total, "ended run"),
        with_interval(failures.rate),
    ))?;
    if compensations.rate.hits > 0 {
        screen.line(format_args!(
            "{} of {} started compensating: {}",
            group(compensations.rate.hits),
            count(compensations.rate.total, "run"),
            with_interval(compensations.rate),
        ))?;
    }
    if !stats.over_time.is_empty() {
        screen.heading("Failures over time")?;
        screen.table(&over_time_table(&stats.over_time))?;
    }
    let mut table = Table::new(&["~TYPE", "~ERROR", ">RUNS", ">SHARE"]);
    for HotSpot { event_type, error_type, share } in &stats.hot_spots {
        let error = error_type.as_deref().unwrap_or_default();
        table.row([event_type.into(), error.into(), group(share.hits).into(), percent(share.ratio()).into()]);
    }
    section(screen, "Where runs fail", &table)?;

    let mut table = Table::new(&["~TYPE", ">FAILED", ">OF", ">RATE", "INTERVAL"]);
    let failing = stats.failure_rate_by_type.iter().filter(|of| of.rate.hits > 0);
    for TypeRate { event_type, rate } in failing.take(limit) {
        table.row([
            event_type.into(),
            group(rate.hits).into(),
            group(rate.total).into(),
            percent(rate.ratio()).into(),
            interval(*rate).into(),
        ]);
    }
    section(screen, "What fails most", &table)?;

    let mut table = Table::new(&["~TYPE", ">COUNT", ">P50", ">P95", ">P99", ">MAX"]);
    for StageTimes { event_type, count, p50_us, p95_us, p99_us, max_us } in &stats.slowest_stages {
        let times = [p50_us, p95_us, p99_us, max_us].map(|us| Cell::from(micros(*us)));
        table.row([event_type.into(), group(*count).into()].into_iter().chain(times));
    }
    section(screen, "Slowest stages", &table)?;

    let mut table = Table::new(&["~SPAN", ">TOOK", "~WORKFLOW", "~KEY", "ID"]);
    let slowest = stats.slowest_spans.iter().take(limit.min(5));
    for SlowSpanOfRun { span, name, workflow, correlation_id } in slowest {
        table.row([
            name.into(),
            micros(span.duration_us).into(),
            workflow.as_deref().unwrap_or_default().into(),
            correlation_id.as_deref().unwrap_or_default().into(),
            short_id(span.trace_id).into(),
        ]);
    }
    section(screen, "Slowest spans", &table)?;
    section(screen, "Outcomes by decision", &decisions_table(&stats.decisions))?;
    if let Some(note) = note_on_uncounted(stats.uncounted) {
        screen.line(format_args!("\n{note}"))?;
    }
    Ok(())
}

fn section(screen: &mut Screen, heading: &str, table: &Table) -> Result<(), CliError> {
    if !table.is_empty() {
        screen.heading(heading)?;
        screen.table(table)?;
    }
    Ok(())
}

fn over_time_table(buckets: &[Bucket]) -> Table {
    let bars = bars(buckets);
    let most = bars.iter().map(|(_, rate)| rate.total).max().unwrap_or(0).max(1);
    let is_by_day = bars.windows(2).all(|pair| pair[1].0.since(pair[0].0) >= DAY);
    let mut table = Table::new(&["FROM", ">FAILED", ">OF", ">RATE", " "]);
    for (start, rate) in bars {
        let mut from = moment(start);
        from.truncate(if is_by_day { 10 } else { 16 });
        table.row([
            from.into(),
            group(rate.hits).into(),
            group(rate.total).into(),
            if rate.total > 0 { percent(rate.ratio()) } else { String::new() }.into(),
            Cell::styled(stacked(rate, most, BAR), AnsiColor::Red.on_default()),
        ]);
    }
    table
}

/// How runs ended, by decision and choice.
pub(super) fn decisions_table(outcomes: &[ChoiceOutcome]) -> Table {
    let mut table = Table::new(&["~DECISION", "~CHOICE", ">FAILED", ">OF", ">RATE", "INTERVAL"]);
    for ChoiceOutcome { decision, choice, failed } in outcomes {
        table.row([
            decision.into(),
            choice.into(),
            group(failed.hits).into(),
            group(failed.total).into(),
            percent(failed.ratio()).into(),
            interval(*failed).into(),
        ]);
    }
    table
}

fn with_interval(rate: Rate) -> String {
    format!("{} (95 % interval {})", percent(rate.ratio()), interval(rate))
}

fn interval(rate: Rate) -> String {
    let (low, high) = rate.interval();
    format!("{}–{}", percent(low).trim_end_matches(" %"), percent(high))
}

fn percent(ratio: f64) -> String {
    format!("{:.1} %", ratio * 100.0)
}
