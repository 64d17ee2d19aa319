//! Lists of runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State as Shared;
use axum::{Extension, Json};
use serde::Serialize;
use throughline_core::names::attrs;
use throughline_core::open::STUCK_AFTER;
use throughline_core::{
    Cursor, Filter, OpenSummary, Page, Rate, ReadError, RunState, RunSummary, Timestamp, TraceId, fold,
};

use super::wanted::{View, Wanted};
use crate::access::Access;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::seen::Seen;
use crate::state::State;

/// For how long runs are looked at for one answer. Who wants more asks for the next, and sees meanwhile what was found.
const PATIENCE: Duration = Duration::from_millis(60);
/// Of how many stuck runs the events are read.
const EXAMINED: usize = 100;
/// How many runs are looked at at a time, and how many of which each is read as a whole.
const LOOKED_AT_ONCE: usize = 50;
const READ_AT_ONCE: usize = 5;
/// How many runs are counted at a time.
const TALLIED_AT_ONCE: usize = 500;
/// How many runs a text names outright.
const NAMED: usize = 10;
/// From how many digits on a text may be the beginning of an id.
const PREFIX: usize = 4;

/// A page of runs.
#[derive(Serialize)]
pub(crate) struct Listed {
    /// Runs that the text names outright, by id, key or request, wherever they stand.
    named: Vec<RunSummary>,
    /// The last started first.
    runs: Vec<RunSummary>,
    /// What `after` takes; `null` if this was all.
    next: Option<Cursor>,
    /// How many runs were looked at for this page.
    looked_at: usize,
}

/// Runs that match.
pub(crate) async fn list(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    parameters: Parameters,
) -> Result<Json<Listed>, Problem> {
    let wanted = Wanted::of(parameters, access, Wanted::LIST)?;
    let seen = state.source.seen_with(access);
    if !wanted.ids.is_empty() {
        let mut runs = Vec::new();
        for id in &wanted.ids {
            runs.extend(seen.reader.run(*id).await?);
        }
        let looked_at = runs.len();
        return Ok(Json(Listed { named: Vec::new(), runs, next: None, looked_at }));
    }
    let named = match (&wanted.text, &wanted.after) {
        (Some(text), None) => named(&seen, text, access).await?,
        _ => Vec::new(),
    };
    let mut listed = match wanted.view {
        Some(View::Stuck) => stuck(&seen, &wanted).await?,
        Some(View::Orphaned) => found(&seen, &wanted, true).await?,
        None => found(&seen, &wanted, false).await?,
    };
    listed.named = named;
    Ok(Json(listed))
}

/// Runs that are found by looking at one after the other.
async fn found(seen: &Seen, wanted: &Wanted, orphaned: bool) -> Result<Listed, ReadError> {
    let is_examined = orphaned || wanted.asks_for_a_choice();
    let at_once = if is_examined { READ_AT_ONCE } else { LOOKED_AT_ONCE };
    let mut filter = wanted.filter(&seen.veil);
    if orphaned && filter.event_type.is_none() {
        filter = filter.event_type("saga:*");
    }
    let started = Instant::now();
    let (mut runs, mut looked_at) = (Vec::new(), 0);
    let mut page = Page { limit: wanted.limit, after: wanted.after.clone() };
    let next = loop {
        // Asking for no more than are missing keeps the cursor at the last run that was looked at.
        page.limit = (wanted.limit - runs.len()).min(at_once);
        let found = seen.reader.runs(&filter, &page).await?;
        let is_last = !page.turn(&found)?;
        looked_at += found.items.len();
        for run in found.items.into_iter().filter(|run| wanted.wants(run)) {
            if !is_examined || is_found_in(seen, run.trace_id, wanted, orphaned).await? {
                runs.push(run);
            }
        }
        if is_last {
            break None;
        }
        if runs.len() >= wanted.limit || started.elapsed() > PATIENCE {
            break page.after;
        }
    };
    Ok(Listed { named: Vec::new(), runs, next, looked_at })
}

/// Whether what a run has to be read for is in it: what it left behind, and what was chosen.
async fn is_found_in(seen: &Seen, run: TraceId, wanted: &Wanted, orphaned: bool) -> Result<bool, ReadError> {
    let query = seen.query(run).await?;
    Ok((!orphaned || query.compensation_ledger().orphaned().next().is_some())
        && wanted.has_choice(query.spans().flat_map(|span| span.events())))
}

/// Runs of a living process in which nothing has happened for a while, the last started first.
async fn stuck(seen: &Seen, wanted: &Wanted) -> Result<Listed, Problem> {
    let filter = wanted.filter(&seen.veil);
    let after = wanted.after.as_ref().map(place_of).transpose()?;
    let mut stuck: Vec<_> =
        seen.reader.safe_to_deploy(STUCK_AFTER).await?.stuck.into_iter().map(|run| run.summary).collect();
    stuck.sort_by_key(|run| std::cmp::Reverse(place(run)));
    let last = stuck.last().map(place);
    let (mut runs, mut looked_at, mut next) = (Vec::new(), 0, None);
    for run in stuck.into_iter().filter(|run| after.is_none_or(|after| place(run) < after)) {
        if runs.len() >= wanted.limit || (wanted.asks_for_events() && looked_at >= EXAMINED) {
            break;
        }
        looked_at += 1;
        next = Some(Cursor::new(written(place(&run))));
        let events = match wanted.asks_for_events() {
            true => seen.reader.trace(run.trace_id).await?,
            false => Vec::new(),
        };
        if wanted.wants(&run) && fold::run_matches(&filter, &run, events.iter()) && wanted.has_choice(&events)
        {
            runs.push(run);
        }
    }
    let is_last = next.as_ref().map(place_of).transpose()?.is_none_or(|place| Some(place) == last);
    Ok(Listed { named: Vec::new(), runs, next: next.filter(|_| !is_last), looked_at })
}

/// Where a run stands in a list by its start.
type Place = (Timestamp, TraceId);

fn place(run: &RunSummary) -> Place {
    (run.started, run.trace_id)
}

/// A place as a cursor has it.
fn written((started, id): Place) -> String {
    format!("{started}/{id}")
}

fn place_of(cursor: &Cursor) -> Result<Place, Problem> {
    let parts = cursor.as_str().split_once('/');
    let place = parts.and_then(|(started, id)| Some((started.parse().ok()?, id.parse().ok()?)));
    place.ok_or_else(|| Problem::bad_request("`after` is the `next` of a page of the same view"))
}

/// The runs with this id, key or request id.
pub(super) async fn named(seen: &Seen, text: &str, access: Access) -> Result<Vec<RunSummary>, ReadError> {
    let mut runs: Vec<RunSummary> = Vec::new();
    if (PREFIX..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        for id in seen.reader.find_by_id_prefix(&text.to_ascii_lowercase(), NAMED).await? {
            runs.extend(seen.reader.run(id).await?);
        }
    }
    let key = Filter::new().correlation_id(seen.veil.findable(None, text).into_owned());
    runs.extend(seen.reader.runs(&key, &Page::first(NAMED)).await?.items);
    if access == Access::All {
        let request = seen.veil.findable(Some(attrs::REQUEST_ID), text).into_owned();
        let request = Filter::new().attr(attrs::REQUEST_ID, request);
        runs.extend(seen.reader.runs(&request, &Page::first(NAMED)).await?.items);
    }
    let mut known = std::collections::HashSet::new();
    runs.retain(|run| known.insert(run.trace_id));
    Ok(runs)
}

/// How many runs are in which state. What is not counted is `null`.
#[derive(Serialize)]
pub(crate) struct Counts {
    #[serde(flatten)]
    ended: Ended,
    running: Option<usize>,
    stuck: Option<usize>,
    interrupted: Option<usize>,
    /// Neither ended nor in the hands of any process: imported ones.
    unfinished: Option<usize>,
}

/// How many runs ended, and how.
#[derive(Default, Serialize)]
struct Ended {
    /// Failed, of those that have ended.
    failed: Option<Rate>,
    succeeded: Option<u64>,
    cancelled: Option<u64>,
}

impl Ended {
    /// Stores count the failed ones by time and workflow; the others are counted one by one, as long as that takes no longer than to
    /// find runs, for a wrong number would be worse than none.
    async fn of(seen: &Seen, wanted: &Wanted) -> Result<Self, ReadError> {
        let failed = match &seen.analytics {
            _ if wanted.asks_for_events() => return Ok(Self::default()),
            Some(analytics) if wanted.is_scope() => supported(analytics.failure_rate(&wanted.scope()).await)?,
            _ => None,
        };
        let until = Instant::now() + PATIENCE;
        let Some(cancelled) = tally(seen, wanted, RunState::Cancelled, until).await? else {
            return Ok(Self { failed, ..Self::default() });
        };
        if let Some(rate) = failed {
            let succeeded = rate.total.saturating_sub(rate.hits + cancelled);
            return Ok(Self { failed, succeeded: Some(succeeded), cancelled: Some(cancelled) });
        }
        let failed = tally(seen, wanted, RunState::Failed, until).await?;
        let succeeded = tally(seen, wanted, RunState::Succeeded, until).await?;
        let rate = failed
            .zip(succeeded)
            .map(|(failed, succeeded)| Rate::new(failed, failed + succeeded + cancelled));
        Ok(Self { failed: rate, succeeded, cancelled: Some(cancelled) })
    }
}

/// How many of the runs that are wanted ended like this; `None` if that is not known by then.
async fn tally(
    seen: &Seen,
    wanted: &Wanted,
    state: RunState,
    until: Instant,
) -> Result<Option<u64>, ReadError> {
    let filter = wanted.filter(&seen.veil).states(&[state]);
    let (mut page, mut count) = (Page::first(TALLIED_AT_ONCE), 0);
    while Instant::now() < until {
        let found = match wanted.asks_why() {
            true => seen.reader.runs(&filter, &page).await?,
            false => seen.reader.runs_without_causes(&filter, &page).await?,
        };
        let is_last = !page.turn(&found)?;
        count += found.items.iter().filter(|run| wanted.wants(run)).count() as u64;
        if is_last {
            return Ok(Some(count));
        }
    }
    Ok(None)
}

/// How many of the runs that a filter finds ended in which way, and how many are open now, which say so themselves; by their events
/// nothing is counted.
pub(crate) async fn counts(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    parameters: Parameters,
) -> Result<Json<Counts>, Problem> {
    let wanted = Wanted::of(parameters, access, Wanted::FILTERS)?;
    let seen = state.source.seen_with(access);
    let ended = Ended::of(&seen, &wanted).await?;
    if wanted.asks_for_events() {
        return Ok(Json(Counts { ended, running: None, stuck: None, interrupted: None, unfinished: None }));
    }
    let check = seen.reader.safe_to_deploy(STUCK_AFTER).await?;
    let filter = wanted.filter(&seen.veil);
    let is_wanted = |run: &&OpenSummary| {
        wanted.wants(&run.summary) && fold::run_matches(&filter, &run.summary, std::iter::empty())
    };
    let is_unfinished = |run: &&OpenSummary| run.summary.state == RunState::Unfinished;
    let of_filter =
        |runs: &[OpenSummary]| Some(runs.iter().filter(is_wanted).filter(|run| !is_unfinished(run)).count());
    let open = [&check.running, &check.stuck, &check.interrupted].into_iter().flatten();
    Ok(Json(Counts {
        ended,
        running: of_filter(&check.running),
        stuck: of_filter(&check.stuck),
        interrupted: of_filter(&check.interrupted),
        unfinished: Some(open.filter(is_wanted).filter(is_unfinished).count()),
    }))
}

/// An answer, or nothing where the store can't give it.
pub(crate) fn supported<T>(answer: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ReadError::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
