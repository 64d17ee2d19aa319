//! What runs now, and what a deployment would cut short.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::{Extension, Json};
use serde::Serialize;
use throughline_core::open::{AtWork, Deployment, STUCK_AFTER, at_work};
use throughline_core::{Cursor, OpenRun, Page, Paged, ReadError, Timestamp, TraceId};

use super::wanted::Wanted;
use crate::access::Access;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::seen::Seen;
use crate::state::State;

/// What runs now.
#[derive(Serialize)]
pub(crate) struct Running {
    safe_to_deploy: bool,
    running: usize,
    stuck: usize,
    interrupted: usize,
    /// How many of those that a deployment would cut short could be resumed.
    can_be_resumed: usize,
    /// For how long nothing happens in a run that is stuck, as `throughline running` has it by default, in seconds.
    stuck_after_s: u64,
    runs: Vec<AtWork>,
    /// What `after` takes; `null` if this was all.
    next: Option<Cursor>,
    read_at: Timestamp,
}

/// Those of some runs that are open.
async fn open_of(seen: &Seen, ids: &[TraceId]) -> Result<Vec<OpenRun>, ReadError> {
    let mut runs = Vec::new();
    for id in ids {
        if let Some(run) = seen.reader.run(*id).await?.filter(|run| run.state.is_open()) {
            runs.push(OpenRun::of(run, &seen.reader.trace(*id).await?));
        }
    }
    Ok(runs)
}

/// Open runs, the oldest first, each with the step that it is in, its process, and how long such runs usually take.
pub(crate) async fn running(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    parameters: Parameters,
) -> Result<Json<Running>, Problem> {
    let wanted = Wanted::of(parameters, access, &["id", "limit", "after"])?;
    let seen = state.source.seen_with(access);
    let check = seen.reader.safe_to_deploy(STUCK_AFTER).await?;
    let found = match wanted.ids.is_empty() {
        true => seen.reader.open_runs(&Page { limit: wanted.limit, after: wanted.after }).await?,
        false => Paged { items: open_of(&seen, &wanted.ids).await?, next: None },
    };
    let runs = at_work(&*seen.reader, seen.analytics.as_deref(), &state.usual_times, found.items).await?;
    Ok(Json(Running {
        safe_to_deploy: check.is_safe(),
        running: check.running.len(),
        stuck: check.stuck.len(),
        interrupted: check.interrupted.len(),
        can_be_resumed: { check.running.iter().chain(&check.stuck) }
            .filter(|run| Deployment::of(&run.summary) == Deployment::CutsShort)
            .count(),
        stuck_after_s: STUCK_AFTER.as_secs(),
        runs,
        next: found.next,
        read_at: Timestamp::now(),
    }))
}
