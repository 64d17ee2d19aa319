//! How long a stage took, span by span, and what is different about those that took longer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State as Shared;
use axum::{Extension, Json};
use serde::Serialize;
use throughline_core::{Page, Rate, SpanId, Status, Timestamp, TraceEvent, TraceId};

use super::wanted::Wanted;
use crate::access::Access;
use crate::leisure::at_leisure;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::seen::Seen;
use crate::state::State;

/// How many spans are looked at, the last first, and for how long.
const SPANS: usize = 5_000;
const PATIENCE: Duration = Duration::from_secs(3);
/// How many are read at once.
const PAGE: usize = 250;
/// How many differences are told of, and how many spans of a region are named.
const DIFFERENCES: usize = 12;
const NAMED: usize = 10;
/// What is rarer in a region, and would be if it were as frequent in it as elsewhere, says nothing of it.
const LEAST: u64 = 3;
/// How many different values a name may have: the id of each span is different everywhere.
const VALUES: usize = 200;

/// The spans of a stage.
#[derive(Serialize)]
pub(crate) struct Latency {
    spans: Vec<Took>,
    /// Whether there are more than were looked at.
    more: bool,
}

/// How long one took.
#[derive(Serialize)]
struct Took {
    trace_id: TraceId,
    span_id: SpanId,
    ended: Timestamp,
    duration_us: u64,
    failed: bool,
}

impl Took {
    fn of(event: &TraceEvent) -> Option<Self> {
        Some(Self {
            trace_id: event.trace_id,
            span_id: event.span_id,
            ended: event.timestamp,
            duration_us: event.duration_us?,
            failed: event.status == Status::Failed,
        })
    }
}

/// How long the spans of a stage took.
pub(crate) async fn latency(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    parameters: Parameters,
) -> Result<Json<Latency>, Problem> {
    let wanted = Wanted::of(parameters, access, &["type", "since", "until", "workflow"])?;
    let (events, more) = ends(&state.source.seen_with(access), &wanted).await?;
    Ok(Json(Latency { spans: events.iter().filter_map(Took::of).collect(), more }))
}

/// The ends of the spans that are asked for, the last first, and whether there are more.
async fn ends(seen: &Seen, wanted: &Wanted) -> Result<(Vec<TraceEvent>, bool), Problem> {
    if !wanted.asks_for_events() {
        return Err(Problem::bad_request("`type` is the stage, such as stage:ship"));
    }
    let mut filter = wanted.filter(&seen.veil);
    filter.statuses = vec![Status::Success, Status::Failed];
    let (mut events, mut page, began) = (Vec::new(), Page::first(PAGE), Instant::now());
    loop {
        let found = seen.events_without_data(&filter, &page).await?;
        let is_last = !page.turn(&found)?;
        events.extend(found.items.into_iter().filter(|event| event.duration_us.is_some()));
        if is_last || events.len() >= SPANS || began.elapsed() > PATIENCE {
            return Ok((events, !is_last));
        }
    }
}

/// What is different about the spans of a region.
#[derive(Serialize)]
pub(crate) struct Compared {
    /// How many there are in the region, and how many others.
    inside: u64,
    outside: u64,
    differences: Vec<Difference>,
    /// Those of the region that took longest.
    spans: Vec<Took>,
}

/// A value that spans in the region have more often, or less often, than others.
#[derive(Debug, Serialize)]
struct Difference {
    name: String,
    value: String,
    inside: Rate,
    outside: Rate,
}

impl Difference {
    /// How far the shares are apart.
    fn weight(&self) -> f64 {
        (self.inside.ratio() - self.outside.ratio()).abs()
    }
}

/// The part of a chart that somebody selected.
#[derive(Debug, Clone, Copy)]
struct Region {
    from: Timestamp,
    to: Timestamp,
    least_us: u64,
    most_us: u64,
}

impl Region {
    fn holds(&self, event: &TraceEvent) -> bool {
        (self.from..=self.to).contains(&event.timestamp)
            && event.duration_us.is_some_and(|took| (self.least_us..=self.most_us).contains(&took))
    }
}

/// Compares the spans of a region with the others of the stage, attribute by attribute.
pub(crate) async fn region(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    parameters: Parameters,
) -> Result<Json<Compared>, Problem> {
    const OF_REGION: [&str; 4] = ["from", "to", "least_us", "most_us"];
    let known = ["type", "since", "until", "workflow", "from", "to", "least_us", "most_us"];
    let (of_region, others): (Vec<_>, Vec<_>) =
        parameters.only(&known)?.into_iter().partition(|(name, _)| OF_REGION.contains(&name.as_str()));
    let value = |name: &str| {
        let found = of_region.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str());
        found.ok_or_else(|| {
            Problem::bad_request("a region has `from`, `to`, which are times, and `least_us` and `most_us`")
        })
    };
    let wrong = |name: &str| Problem::bad_request(format!("`{name}` can't be read"));
    let number = |name: &str| value(name)?.parse().map_err(|_| wrong(name));
    let moment = |name: &str| value(name)?.parse().map_err(|_| wrong(name));
    let region = Region {
        from: moment("from")?,
        to: moment("to")?,
        least_us: number("least_us")?,
        most_us: number("most_us")?,
    };
    let wanted = Wanted::of(Parameters::from(others), access, &known)?;
    let (events, _) = ends(&state.source.seen_with(access), &wanted).await?;
    Ok(Json(at_leisure(move || compare(events, region)).await?))
}

fn compare(events: Vec<TraceEvent>, region: Region) -> Compared {
    let (inside, outside): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| region.holds(event));
    let mut values: BTreeMap<(String, String), [u64; 2]> = BTreeMap::new();
    for (side, events) in [&inside, &outside].into_iter().enumerate() {
        for trait_of in events.iter().flat_map(traits) {
            values.entry(trait_of).or_default()[side] += 1;
        }
    }
    let mut of_name: BTreeMap<String, usize> = BTreeMap::new();
    values.keys().for_each(|(name, _)| *of_name.entry(name.clone()).or_default() += 1);
    let totals = [inside.len() as u64, outside.len() as u64];
    let least = LEAST.min(totals[0]);
    let is_frequent = |[inside, outside]: [u64; 2]| {
        let expected = || outside as f64 / totals[1] as f64 * totals[0] as f64;
        inside >= least || (outside > 0 && expected() >= least as f64)
    };
    let mut differences: Vec<Difference> = values
        .into_iter()
        .filter(|((name, _), hits)| of_name[name] <= VALUES && is_frequent(*hits))
        .map(|((name, value), hits)| Difference {
            name,
            value,
            inside: Rate { hits: hits[0], total: totals[0] },
            outside: Rate { hits: hits[1], total: totals[1] },
        })
        .filter(|difference| difference.weight() > 0.05)
        .collect();
    // What the region has comes before what it has not.
    let weight = |difference: &Difference| (difference.weight(), difference.inside.ratio());
    differences.sort_by(|a, b| {
        let ((a, a_inside), (b, b_inside)) = (weight(a), weight(b));
        b.total_cmp(&a).then(b_inside.total_cmp(&a_inside))
    });
    differences.truncate(DIFFERENCES);
    let mut spans: Vec<_> = inside.iter().filter_map(Took::of).collect();
    spans.sort_by_key(|span| std::cmp::Reverse(span.duration_us));
    spans.truncate(NAMED);
    Compared { inside: totals[0], outside: totals[1], differences, spans }
}

/// What can be told of a span besides its time, each name with its value.
fn traits(event: &TraceEvent) -> BTreeSet<(String, String)> {
    let mut traits: BTreeSet<(String, String)> =
        event.attrs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let mut add = |name: &str, value: String| traits.insert((name.to_owned(), value));
    add("service", event.service.to_string());
    add("instance", event.instance.to_string());
    add("outcome", event.status.to_string());
    if let Some(workflow) = &event.workflow {
        add("workflow", workflow.to_string());
    }
    if let Some(attempt) = event.attempt {
        add("attempt", attempt.to_string());
    }
    if let Some(error) = &event.error {
        add("error", error.kind.to_string());
    }
    for tag in &event.tags {
        add("tag", tag.to_string());
    }
    traits
}

#[cfg(test)]
mod tests {
    use throughline_core::Attrs;

    use super::*;

    fn span(duration_us: u64, color: &'static str) -> TraceEvent {
        let at = Timestamp::from_micros(1);
        let mut event = TraceEvent::new(TraceId::random(), SpanId::random(), "stage:ship", at, "loans");
        event.duration_us = Some(duration_us);
        event.status = Status::Success;
        event.attrs = Attrs::new().with("color", color);
        event
    }

    #[test]
    fn what_is_rare_in_a_region_and_is_expected_to_be_is_no_difference() {
        let at = Timestamp::from_micros(1);
        let region = Region { from: at, to: at, least_us: 10, most_us: 20 };
        // Ten inside, one of which has what four of a hundred outside have; and none what ninety outside have.
        let inside = (0..10).map(|n| span(15, if n == 0 { "odd" } else { "slow" }));
        let outside = (0..100).map(|n| {
            span(
                5,
                if n < 4 {
                    "odd"
                } else if n < 94 {
                    "usual"
                } else {
                    "slow"
                },
            )
        });
        let compared = compare(inside.chain(outside).collect(), region);
        let values: Vec<_> = compared.differences.iter().map(|one| one.value.as_str()).collect();
        assert_eq!(values, ["usual", "slow"], "{:?}", compared.differences);
    }
}
