//! `throughline funnel`: how many get from step to step, and where the rest is lost.

use serde::Serialize;
use throughline_core::{Filter, Page, Rate, Status, Text, Timestamp, TraceEvent, TraceId, names};

use crate::args::{FunnelArgs, Per};
use crate::error::{Answer, CliError};
use crate::funnel::{Funnel, Stage};
use crate::output::{Cell, Screen, Table, clean, count, group, micros, short_id, stacked};
use crate::store::Store;

/// How many events are read at once.
const PAGE: usize = 1_000;
/// How many groups are shown, those with most first.
const MOST_GROUPS: usize = 20;
/// How wide the bars are.
const BAR: usize = 24;

/// The JSON of `funnel`.
#[derive(Serialize)]
struct Shown {
    since: Timestamp,
    until: Timestamp,
    per: &'static str,
    within_us: u64,
    /// Events of a step that have no such key, session or user.
    without: u64,
    /// Events of somebody whom there was no room to follow.
    left_out: u64,
    steps: Vec<Step>,
    groups: Vec<GroupOfSteps>,
}

#[derive(Serialize)]
struct GroupOfSteps {
    /// The value of the attribute; `null` of those that have none.
    value: Option<Text>,
    steps: Vec<Step>,
}

/// One step of a funnel.
#[derive(Serialize)]
pub(crate) struct Step {
    /// The type of its events.
    step: String,
    /// How many got here.
    reached: u64,
    /// Which part of those who began.
    of_first: f64,
    /// Which part of those who reached the step before.
    of_previous: f64,
    /// The median time from the step before, in microseconds.
    median_us: Option<u64>,
    /// How many got no further; 0 of the last step.
    lost: u64,
    /// Some of the runs in which they got here.
    lost_in: Vec<TraceId>,
}

pub(super) async fn run(args: &FunnelArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let reader = store.readers().await?.reader;
    let until = Timestamp::now();
    let since = until.minus(args.since);
    let (mut funnel, mut without) = (Funnel::new(args.steps.len(), args.within), 0);
    for (step, event_type) in args.steps.iter().enumerate() {
        let mut filter = Filter::new().event_type(event_type);
        filter.statuses = vec![Status::Success];
        (filter.scope.since, filter.scope.until) = (Some(since), Some(until));
        let mut page = Page::first(PAGE);
        loop {
            let found = reader.events(&filter, &page).await?;
            for event in &found.items {
                let Some(who) = who(event, args.per) else {
                    without += 1;
                    continue;
                };
                let group =
                    args.by.as_ref().and_then(|by| event.attrs.get(by)).map(|value| value.to_owned().into());
                funnel.add(who, step, event.timestamp, event.trace_id, group);
            }
            if !page.turn(&found)? {
                break;
            }
        }
    }
    let (all, groups) = funnel.stages();
    let steps = |stages: &[Stage]| steps(&args.steps, stages);
    let mut groups: Vec<_> = groups
        .into_iter()
        .filter(|_| args.by.is_some())
        .map(|(value, stages)| GroupOfSteps { value: value.cloned(), steps: steps(&stages) })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.steps.first().map_or(0, |step| step.reached)));
    let shown = Shown {
        since,
        until,
        per: name_of(args.per),
        within_us: u64::try_from(args.within.as_micros()).unwrap_or(u64::MAX),
        without,
        left_out: funnel.left_out,
        steps: steps(&all),
        groups,
    };
    let answer = Answer::of(shown.steps.first().is_some_and(|first| first.reached > 0));
    match screen.wants_json() {
        true => screen.json(&shown)?,
        false => show(&shown, args, screen)?,
    }
    Ok(answer)
}

/// What an event belongs to.
fn who(event: &TraceEvent, per: Per) -> Option<Text> {
    let attr = |name| event.attrs.get(name).map(|value| value.to_owned().into());
    match per {
        Per::Run => Some(event.trace_id.to_string().into()),
        Per::Key => event.correlation_id.clone(),
        Per::Session => attr(names::attrs::SESSION),
        Per::User => attr(names::attrs::USER),
    }
}

const fn name_of(per: Per) -> &'static str {
    match per {
        Per::Run => "run",
        Per::Key => "key",
        Per::Session => "session",
        Per::User => "user",
    }
}

fn steps(names: &[String], stages: &[Stage]) -> Vec<Step> {
    let first = stages.first().map_or(0, |stage| stage.reached);
    let mut previous = first;
    let step = |(place, (name, stage)): (usize, (&String, &Stage))| {
        let next = stages.get(place + 1).map_or(stage.reached, |next| next.reached);
        let of_previous = Rate::new(stage.reached, previous).ratio();
        previous = stage.reached;
        Step {
            step: name.clone(),
            reached: stage.reached,
            of_first: Rate::new(stage.reached, first).ratio(),
            of_previous,
            median_us: stage.median_us(),
            lost: stage.reached - next,
            lost_in: stage.lost_in.clone(),
        }
    };
    names.iter().zip(stages).enumerate().map(step).collect()
}

fn show(shown: &Shown, args: &FunnelArgs, screen: &mut Screen) -> Result<(), CliError> {
    let began = shown.steps.first().map_or(0, |first| first.reached);
    let last = shown.steps.last().map_or(0, |last| last.reached);
    let rate = Rate::new(last, began);
    screen.line(format_args!(
        "{} of {} got through within {}: {}",
        group(last),
        count(began, name_of(args.per)),
        micros(shown.within_us),
        percent(rate.ratio()),
    ))?;
    if shown.without > 0 {
        screen.line(format_args!("{} without a {} left out", count(shown.without, "event"), shown.per))?;
    }
    if shown.left_out > 0 {
        let events = count(shown.left_out, "event");
        screen.line(format_args!(
            "{events} left out, for more {}s began than are followed; look back less",
            shown.per
        ))?;
    }
    screen.table(&table(&shown.steps))?;
    for group in shown.groups.iter().take(MOST_GROUPS) {
        let value = group.value.as_deref().unwrap_or("(none)");
        screen.heading(&format!("{} {}", args.by.as_deref().unwrap_or_default(), clean(value)))?;
        screen.table(&table(&group.steps))?;
    }
    if let Some(more) = shown.groups.len().checked_sub(MOST_GROUPS).filter(|more| *more > 0) {
        screen.line(format_args!("and {more} more, in --json"))?;
    }
    Ok(())
}

fn table(steps: &[Step]) -> Table {
    let most = steps.first().map_or(0, |first| first.reached);
    let mut table =
        Table::new(&["~STEP", ">REACHED", ">OF FIRST", ">OF PREVIOUS", ">MEDIAN", " ", ">LOST", "LOST IN"]);
    for step in steps {
        let examples: Vec<_> = step.lost_in.iter().map(|run| short_id(*run)).collect();
        table.row([
            (&step.step).into(),
            group(step.reached).into(),
            percent(step.of_first).into(),
            percent(step.of_previous).into(),
            step.median_us.map(micros).unwrap_or_default().into(),
            Cell::from(stacked(Rate::new(step.reached, step.reached), most, BAR)),
            group(step.lost).into(),
            examples.join(" ").into(),
        ]);
    }
    table
}

fn percent(ratio: f64) -> String {
    format!("{:.1} %", ratio * 100.0)
}
