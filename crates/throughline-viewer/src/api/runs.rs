//! Lists of runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State as Shared;
use axum::{Extension, Json};
use serde::Serialize;
use throughline_core::names::attrs;
use throughline_core::{
    Cursor, Filter, Page, Rate, ReadError, RunState, RunSummary, TraceId, TraceQuery, TraceReader,
};

use super::running::STUCK_AFTER;
use super::wanted::{View, Wanted};
use crate::access::Access;
use crate::problem::Problem;
use crate::state::State;
use crate::veil::Veil;

/// How many runs are looked at for a page of those that are wanted, and for how long.
const LOOKED_AT: usize = 2_000;
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Of how many runs it is read what they left behind.
const EXAMINED: usize = 100;
/// And how many of these at a time, for each is read as a whole.
const READ_AT_ONCE: usize = 5;
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
    wanted: Wanted,
) -> Result<Json<Listed>, Problem> {
    let veil = state.source.seen_with(access);
    let named = match (&wanted.text, &wanted.after) {
        (Some(text), None) => named(&veil, text, access).await?,
        _ => Vec::new(),
    };
    let mut listed = match wanted.view {
        Some(View::Stuck) => stuck(&veil, &wanted).await?,
        Some(View::Orphaned) => found(&veil, &wanted, EXAMINED, true).await?,
        None => found(&veil, &wanted, LOOKED_AT, false).await?,
    };
    listed.named = named;
    Ok(Json(listed))
}

/// Runs that are found by looking at one after the other.
async fn found(veil: &Veil, wanted: &Wanted, most: usize, orphaned: bool) -> Result<Listed, ReadError> {
    let mut filter = wanted.filter(veil);
    if orphaned && filter.event_type.is_none() {
        filter = filter.event_type("saga:*");
        filter.statuses.clear();
    }
    let started = Instant::now();
    let (mut runs, mut looked_at) = (Vec::new(), 0);
    let mut page = Page { limit: wanted.limit, after: wanted.after.clone() };
    let next = loop {
        // Asking for no more than are missing keeps the cursor at the last run that was looked at.
        page.limit = wanted.limit - runs.len();
        if orphaned {
            page.limit = page.limit.min(READ_AT_ONCE);
        }
        let found = veil.runs(&filter, &page).await?;
        let is_last = !page.turn(&found)?;
        looked_at += found.items.len();
        for run in found.items.into_iter().filter(|run| wanted.wants(run)) {
            if !orphaned || left_something(veil, run.trace_id).await? {
                runs.push(run);
            }
        }
        if is_last {
            break None;
        }
        if runs.len() >= wanted.limit || looked_at >= most || started.elapsed() > PATIENCE {
            break page.after;
        }
    };
    Ok(Listed { named: Vec::new(), runs, next, looked_at })
}

async fn left_something(veil: &Veil, run: TraceId) -> Result<bool, ReadError> {
    let query = TraceQuery::read(veil, run).await?;
    Ok(query.compensation_ledger().orphaned().next().is_some())
}

/// Runs of a living process in which nothing has happened for a while.
async fn stuck(veil: &Veil, wanted: &Wanted) -> Result<Listed, ReadError> {
    let check = veil.safe_to_deploy(STUCK_AFTER).await?;
    let looked_at = check.stuck.len() + check.running.len() + check.interrupted.len();
    let mut runs: Vec<_> = check.stuck.into_iter().map(|run| run.summary).collect();
    runs.retain(|run| wanted.wants(run) && wanted.scope().contains(run.started, run.workflow.as_ref()));
    runs.truncate(wanted.limit);
    Ok(Listed { named: Vec::new(), runs, next: None, looked_at })
}

/// The runs with this id, key or request id.
async fn named(veil: &Veil, text: &str, access: Access) -> Result<Vec<RunSummary>, ReadError> {
    let mut runs: Vec<RunSummary> = Vec::new();
    if (PREFIX..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        for id in veil.find_by_id_prefix(&text.to_ascii_lowercase(), NAMED).await? {
            runs.extend(veil.run(id).await?);
        }
    }
    let key = Filter::new().correlation_id(veil.findable(None, text).into_owned());
    runs.extend(veil.runs(&key, &Page::first(NAMED)).await?.items);
    if access == Access::All {
        let request = veil.findable(Some(attrs::REQUEST_ID), text).into_owned();
        let request = Filter::new().attr(attrs::REQUEST_ID, request);
        runs.extend(veil.runs(&request, &Page::first(NAMED)).await?.items);
    }
    let mut known = std::collections::HashSet::new();
    runs.retain(|run| known.insert(run.trace_id));
    Ok(runs)
}

/// How many runs are in which state. What a store does not count is `null`.
#[derive(Serialize)]
pub(crate) struct Counts {
    /// Failed, of those that have ended.
    failed: Option<Rate>,
    running: usize,
    stuck: usize,
    interrupted: usize,
}

/// How many runs that started in the scope failed, and how many are open now.
pub(crate) async fn counts(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    wanted: Wanted,
) -> Result<Json<Counts>, Problem> {
    let veil = state.source.seen_with(access);
    let failed = match &state.source.analytics {
        Some(analytics) => supported(analytics.failure_rate(&wanted.scope()).await)?,
        None => None,
    };
    let check = veil.safe_to_deploy(STUCK_AFTER).await?;
    let of_scope = |runs: &[throughline_core::OpenSummary]| {
        let within = |run: &&throughline_core::OpenSummary| {
            let RunSummary { started, workflow, state, .. } = &run.summary;
            wanted.scope().contains(*started, workflow.as_ref()) && *state != RunState::Unfinished
        };
        runs.iter().filter(within).count()
    };
    Ok(Json(Counts {
        failed,
        running: of_scope(&check.running),
        stuck: of_scope(&check.stuck),
        interrupted: of_scope(&check.interrupted),
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
