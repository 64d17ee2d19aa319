//! What the pages ask: JSON, in the shapes that the command prints with `--json`.

mod across;
mod export;
mod latency;
mod library;
mod live;
mod logs;
mod one;
mod running;
mod runs;
mod wanted;

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::problem::Problem;
use crate::state::State;

/// All questions.
pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/about", get(library::about))
        .route("/runs", get(runs::list))
        .route("/counts", get(runs::counts))
        .route("/runs/{run}", get(one::run))
        .route("/runs/{run}/search", get(one::search))
        .route("/runs/{run}/diff", get(one::diff))
        .route("/runs/{run}/logs", get(logs::logs))
        .route("/runs/{run}/export", get(export::export))
        .route("/runs/{run}/spans/{span}", get(one::span))
        .route("/running", get(running::running))
        .route("/patterns", get(across::patterns))
        .route("/latency", get(latency::latency))
        .route("/latency/region", get(latency::region))
        .route("/library", get(library::library))
        .route("/live", get(live::live))
        .fallback(unknown)
}

async fn unknown() -> Problem {
    Problem::not_found(
        "there is no such question; there are about, runs, counts, runs/RUN, runs/RUN/spans/SPAN, runs/RUN/search, \
         runs/RUN/diff, runs/RUN/logs, runs/RUN/export, running, patterns, latency, latency/region, library and live",
    )
}
