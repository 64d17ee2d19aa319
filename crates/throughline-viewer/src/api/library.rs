//! The library itself.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State as Shared;
use axum::{Extension, Json};
use serde::Serialize;
use throughline_core::{DeliveryReport, Filter, Page};

use crate::access::Access;
use crate::parameters::Parameters;
use crate::problem::Problem;
use crate::state::State;

/// What the viewer can show, to this caller.
#[derive(Serialize)]
pub(crate) struct About {
    /// Whether payloads are shown.
    payloads: bool,
    /// Whether pages are told of what is new.
    live: bool,
    /// Whether log files are known, and this caller may see what is in them.
    logs: bool,
    /// Whether the viewer is part of the service, and knows what became of its events.
    delivery: bool,
    version: &'static str,
}

/// What the viewer can show.
pub(crate) async fn about(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    parameters: Parameters,
) -> Result<Json<About>, Problem> {
    parameters.only(&[])?;
    Ok(Json(About {
        payloads: access == Access::All,
        live: state.source.stream.is_some(),
        logs: access == Access::All && state.source.logs.is_some(),
        delivery: state.source.throughline.is_some(),
        version: env!("CARGO_PKG_VERSION"),
    }))
}

/// How the library does.
#[derive(Serialize)]
pub(crate) struct Library {
    /// What became of the events, for each destination; `null` beside the service.
    delivery: Option<DeliveryReport>,
    /// How long the store took to answer, in microseconds.
    store_answers_us: u64,
    /// How many pages may still be told of what is new.
    free_watchers: usize,
    /// How many requests may still be answered at once.
    free_requests: usize,
}

/// The delivery report, and whether the store answers.
pub(crate) async fn library(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    parameters: Parameters,
) -> Result<Json<Library>, Problem> {
    parameters.only(&[])?;
    let asked = Instant::now();
    state.source.seen_with(access).reader.runs_without_causes(&Filter::new(), &Page::first(1)).await?;
    Ok(Json(Library {
        delivery: state.source.delivery(access),
        store_answers_us: u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX),
        free_watchers: state.watchers.free(),
        free_requests: state.requests.available_permits(),
    }))
}
