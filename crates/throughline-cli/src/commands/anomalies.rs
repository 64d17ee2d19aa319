//! `throughline anomalies`: where more fails than usual, or takes longer, or where more or less ends, from the store.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use throughline_core::{
    Filter, Page, Status, Text, Timestamp, TraceEvent, TraceId, TraceReader, TypeMatch, names,
};

use crate::anomalies::{Compared, Measure, Series, Unusual};
use crate::args::AnomaliesArgs;
use crate::error::{Answer, CliError};
use crate::output::{Cell, Screen, Table, count, micros, moment, short_id};
use crate::store::Store;

/// How many events are read at once.
const PAGE: usize = 1_000;
/// What all ends of runs are called.
const WORKFLOWS: &str = "workflow:*";
/// How many series are judged.
const MOST_SERIES: usize = 500;
/// How many runs are named of an anomaly.
const RUNS: usize = 5;
/// How long before a change of a rate is looked at, at least.
const BEFORE: Duration = Duration::from_secs(3_600);
/// How many dimensions are told apart.
const MOST_DIMENSIONS: usize = 10_000;
/// What explains anything is in so many of what was bad, and in so much greater a share of that than of the rest.
const LEAST_BAD: u64 = 3;
const LEAST_DIFFERENCE: f64 = 0.2;

/// The JSON of `anomalies`.
#[derive(Serialize)]
struct Anomalies {
    since: Timestamp,
    until: Timestamp,
    series: usize,
    left_out: u64,
    anomalies: Vec<Anomaly>,
}

/// What is unusual.
#[derive(Serialize)]
pub(crate) struct Anomaly {
    /// What it is about: `workflow`, `step` or `route`.
    subject: &'static str,
    /// Which of them.
    of: Text,
    /// What of it: `failures`, a share; `p95`, a time in microseconds; or `rate`, how many end an hour.
    measure: &'static str,
    /// When the first window began in which it was unusual.
    from: Timestamp,
    /// When the last of them ended.
    until: Timestamp,
    /// What it was when it was most unusual.
    value: f64,
    /// What is usual.
    usual: f64,
    /// Of failures and rates, how improbable so many or so few are; of a time, how many deviations from the median it is.
    score: f64,
    /// What it was compared with: `hour_of_week`, `hour_of_day` or `all`.
    compared_with: &'static str,
    /// What is in more of what was bad than of the rest, and of a rate that rose, than of what ended before; `null` if nothing says so.
    explained_by: Option<Dimension>,
    /// The latest runs in which it was bad; of a rate, those that ended, or before it fell.
    runs: Vec<TraceId>,
}

/// What explains most of an anomaly.
#[derive(Serialize)]
pub(crate) struct Dimension {
    /// An attribute, or `service`, `instance` or `workflow`.
    name: Text,
    /// Its value.
    value: Text,
    /// In which share of what was bad it is.
    of_bad: f64,
    /// In which share of the rest.
    of_others: f64,
}

/// Whether an event is of what was bad.
type Look = fn(&TraceEvent, &Unusual) -> bool;

/// What is judged by itself.
type Key = (&'static str, Text);

pub(super) async fn run(
    args: &AnomaliesArgs,
    store: &Store,
    screen: &mut Screen,
) -> Result<Answer, CliError> {
    let reader = store.readers().await?.reader;
    let until = Timestamp::now();
    let since = until.minus(args.since);
    let (all, left_out) = read(&*reader, since.minus(args.history), (since, until)).await?;
    let series = all.len();
    let mut anomalies = Vec::new();
    for (key, series) in all {
        for unusual in series.unusual() {
            anomalies.push(anomaly(&*reader, &key, &unusual).await?);
        }
    }
    anomalies.sort_by_key(|anomaly| anomaly.from);
    let answer = Answer::of(anomalies.is_empty());
    let found = Anomalies { since, until, series, left_out, anomalies };
    match screen.wants_json() {
        true => screen.json(&found)?,
        false => show(&found, screen)?,
    }
    Ok(answer)
}

/// What an event that ends something is the end of; sagas, what undoes steps and calls to dependencies are parts of others.
fn key_of(event: &TraceEvent) -> Option<Key> {
    let is = |name: &str| *event.event_type == *name;
    event.duration_us?;
    if [names::WORKFLOW_COMPLETED, names::WORKFLOW_FAILED, names::WORKFLOW_CANCELLED].into_iter().any(is) {
        return Some(("workflow", event.workflow.clone()?));
    }
    if is(names::HTTP_REQUEST) {
        return Some(("route", event.attrs.get(names::attrs::HTTP_ROUTE)?.to_owned().into()));
    }
    let is_of_another =
        [names::SAGA_COMPLETED, names::SAGA_FAILED, names::SAGA_CANCELLED].into_iter().any(is)
            || event.has_tag(names::tags::COMPENSATION)
            || event.has_tag(names::tags::DEPENDENCY);
    (!is_of_another).then(|| ("step", event.event_type.clone()))
}

fn ended() -> Filter {
    let mut filter = Filter::new();
    filter.statuses = vec![Status::Success, Status::Failed, Status::Cancelled];
    filter
}

/// What may be of a key, so that a store need not hand over the rest; [`key_of`] says what is.
fn of_key((subject, of): &Key) -> Filter {
    let mut filter = ended();
    match *subject {
        "workflow" => {
            filter.scope.workflow = Some(of.clone());
            filter.event_type(WORKFLOWS)
        }
        "route" => filter.event_type(names::HTTP_REQUEST).attr(names::attrs::HTTP_ROUTE, of.clone()),
        _ => {
            filter.event_type = Some(TypeMatch::Exact(of.clone()));
            filter
        }
    }
}

/// All series since a moment, and how many events are of none because there are too many.
async fn read(
    reader: &dyn TraceReader,
    since: Timestamp,
    judged: (Timestamp, Timestamp),
) -> Result<(BTreeMap<Key, Series>, u64), CliError> {
    let mut filter = ended();
    filter.scope.since = Some(since);
    let (mut all, mut left_out) = (BTreeMap::new(), 0);
    let mut page = Page::first(PAGE);
    loop {
        let found = reader.events(&filter, &page).await?;
        for event in &found.items {
            let Some(key) = key_of(event) else { continue };
            if all.len() >= MOST_SERIES && !all.contains_key(&key) {
                left_out += 1;
                continue;
            }
            let series = all.entry(key).or_insert_with(|| Series::new(judged.0, judged.1));
            series.add(event.timestamp, event.status == Status::Failed, event.duration_us);
        }
        if !page.turn(&found)? {
            return Ok((all, left_out));
        }
    }
}

/// What was unusual, with the runs in which it was bad and what is in more of them than in others.
async fn anomaly(reader: &dyn TraceReader, key: &Key, unusual: &Unusual) -> Result<Anomaly, CliError> {
    let before = unusual.from.minus(unusual.until.since(unusual.from).max(BEFORE));
    let within = (unusual.from, unusual.until);
    let looks: &[((Timestamp, Timestamp), Look)] = match unusual.measure {
        Measure::Failures => &[(within, |event, _| event.status == Status::Failed)],
        Measure::Duration => &[(within, |event, unusual| {
            event.duration_us.is_some_and(|duration| duration as f64 > unusual.usual)
        })],
        Measure::More => &[(within, |_, _| true), ((before, unusual.from), |_, _| false)],
        // What did not end can't be shown, but what did last.
        Measure::Fewer => &[((before, unusual.from), |_, _| true)],
    };
    let (mut runs, mut sides) = (Vec::new(), Sides::default());
    for ((since, until), is_bad) in looks {
        let mut filter = of_key(key);
        filter.scope.since = Some(*since);
        filter.scope.until = Some(*until);
        let mut page = Page::first(PAGE);
        loop {
            let found = reader.events(&filter, &page).await?;
            for event in found.items.iter().filter(|event| key_of(event).as_ref() == Some(key)) {
                let is_bad = is_bad(event, unusual);
                if is_bad && runs.len() < RUNS && !runs.contains(&event.trace_id) {
                    runs.push(event.trace_id);
                }
                sides.add(event, is_bad);
            }
            if !page.turn(&found)? {
                break;
            }
        }
    }
    Ok(Anomaly {
        subject: key.0,
        of: key.1.clone(),
        measure: match unusual.measure {
            Measure::Failures => "failures",
            Measure::Duration => "p95",
            Measure::Fewer | Measure::More => "rate",
        },
        from: unusual.from,
        until: unusual.until,
        value: unusual.value,
        usual: unusual.usual,
        score: unusual.score,
        compared_with: match unusual.compared_with {
            Compared::HourOfWeek => "hour_of_week",
            Compared::HourOfDay => "hour_of_day",
            Compared::All => "all",
        },
        explained_by: sides.explanation(),
        runs,
    })
}

/// In how many of what was bad, and of the rest, something is.
#[derive(Default)]
struct Sides {
    bad: u64,
    others: u64,
    dimensions: BTreeMap<(Text, Text), (u64, u64)>,
}

impl Sides {
    fn add(&mut self, event: &TraceEvent, is_bad: bool) {
        let of_event = [
            ("service", Some(event.service.clone())),
            ("instance", Some(event.instance.to_string().into())),
            ("workflow", event.workflow.clone()),
        ];
        let own = of_event.into_iter().filter_map(|(name, value)| Some((Text::from(name), value?)));
        let attrs = event.attrs.iter().map(|(name, value)| (name.clone(), value.clone()));
        for dimension in own.chain(attrs) {
            if self.dimensions.len() < MOST_DIMENSIONS || self.dimensions.contains_key(&dimension) {
                let (bad, others) = self.dimensions.entry(dimension).or_default();
                *(if is_bad { bad } else { others }) += 1;
            }
        }
        *(if is_bad { &mut self.bad } else { &mut self.others }) += 1;
    }

    /// What is in a much greater share of what was bad than of the rest.
    fn explanation(self) -> Option<Dimension> {
        if self.others == 0 {
            return None;
        }
        let share =
            |(bad, others): (u64, u64)| (bad as f64 / self.bad as f64, others as f64 / self.others as f64);
        let known = self.dimensions.into_iter().filter(|(_, (bad, _))| *bad >= LEAST_BAD);
        let shares = known.map(|(dimension, counts)| (dimension, share(counts)));
        let most = shares.max_by(|(_, (a, b)), (_, (c, d))| (a - b).total_cmp(&(c - d)));
        let ((name, value), (of_bad, of_others)) = most?;
        (of_bad - of_others >= LEAST_DIFFERENCE).then_some(Dimension { name, value, of_bad, of_others })
    }
}

fn show(found: &Anomalies, screen: &mut Screen) -> Result<(), CliError> {
    if found.left_out > 0 {
        screen.complain(&format_args!(
            "there are more than {MOST_SERIES} kinds of steps, workflows and routes; {} of others were left out",
            count(found.left_out, "event")
        ));
    }
    if found.anomalies.is_empty() {
        return Ok(screen.line(format_args!("nothing is unusual; series judged: {}", found.series))?);
    }
    let mut table = Table::new(&["FROM", "UNTIL", "~OF", ">VALUE", ">USUAL", "~EXPLAINED BY", "RUNS"]);
    for anomaly in &found.anomalies {
        let value = |value: f64| match anomaly.measure {
            "failures" => format!("{:.1} % fail", value * 100.0),
            "rate" if value < 10.0 => format!("{value:.1} an hour"),
            "rate" => format!("{value:.0} an hour"),
            _ => format!("p95 {}", micros(value.round() as u64)),
        };
        let explained = anomaly.explained_by.as_ref().map_or_else(String::new, |by| {
            format!(
                "{}={} ({:.0} % of them, {:.0} % of others)",
                by.name,
                by.value,
                by.of_bad * 100.0,
                by.of_others * 100.0
            )
        });
        let runs: Vec<_> = anomaly.runs.iter().map(|run| short_id(*run)).collect();
        table.row([
            Cell::from(&*moment(anomaly.from)),
            moment(anomaly.until).into(),
            format!("{} {}", anomaly.subject, anomaly.of).into(),
            value(anomaly.value).into(),
            value(anomaly.usual).into(),
            explained.into(),
            runs.join(" ").into(),
        ]);
    }
    screen.table(&table)?;
    screen.line("\nWhy one of them was bad: throughline why RUN")?;
    Ok(())
}
