//! What the service logged in a run.

use std::sync::Arc;

use axum::extract::State as Shared;
use axum::{Extension, Json};
use serde::Serialize;

use super::one::run_id;
use crate::access::Access;
use crate::leisure::at_leisure;
use crate::log_files::Wanted;
use crate::log_line::LogLine;
use crate::parameters::{Named, Parameters};
use crate::problem::Problem;
use crate::state::State;

/// The lines of a run, or of one of its spans.
#[derive(Serialize)]
pub(crate) struct Logged {
    /// The last ones, the last at the end.
    lines: Vec<LogLine>,
    /// Whether there may be more of them.
    has_more: bool,
    /// How many files were looked at.
    files: usize,
}

/// The lines of the log files that are of a run.
pub(crate) async fn logs(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    Named(id): Named<String>,
    parameters: Parameters,
) -> Result<Json<Logged>, Problem> {
    let span = parameters.one("span")?;
    if access != Access::All {
        return Err(Problem::forbidden(
            "you may not see what was logged: it has payloads and messages in it",
        ));
    }
    let Some(files) = state.source.logs.clone() else {
        return Err(Problem::not_found(
            "this viewer knows no log files: name them with .logs(..), or with --logs on the command line",
        ));
    };
    let span = span.map(|span| span.parse()).transpose();
    let span = span.map_err(|_| Problem::bad_request("`span` is the id of a span, of 16 hex digits"))?;
    let (seen, id) = (state.source.seen_with(access), run_id(&id)?);
    let run =
        seen.reader.run(id).await?.ok_or_else(|| Problem::not_found("there is no such run in this store"))?;
    let wanted = Wanted { run: id, span, from: run.started, until: run.ended };
    let redactor = state.source.redactor.clone();
    let found = at_leisure(move || files.lines(&wanted, &redactor)).await?.map_err(|error| {
        Problem::not_found(format!("the log files that the viewer was told of can't be read: {error}"))
    })?;
    Ok(Json(Logged { lines: found.lines.into(), has_more: found.has_more, files: found.files }))
}
