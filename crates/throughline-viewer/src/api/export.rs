//! A run as one file, to keep, to send, and to import elsewhere.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State as Shared;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use throughline_core::{ReadError, RunState, beside};

use super::one::read;
use crate::access::Access;
use crate::leisure::at_leisure;
use crate::one_file::OneFile;
use crate::parameters::{Named, Parameters};
use crate::problem::Problem;
use crate::state::State;

/// The same page as `throughline export --format html` writes, with the last good run beside one that did not end well.
pub(crate) async fn export(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    Named(id): Named<String>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.only(&[])?;
    if access != Access::All {
        return Err(Problem::forbidden("you may not take a run along: the file has its payloads in it"));
    }
    let seen = state.source.seen_with(access);
    let query = read(&seen, &id).await?;
    let good = match query.summary().filter(|run| run.state != RunState::Succeeded) {
        Some(run) => beside::last_good(&*seen.reader, &run).await?,
        None => None,
    };
    let good = match good {
        Some(good) => Some(seen.query(good.trace_id).await?),
        None => None,
    };
    let page = at_leisure(move || {
        let mut page = Vec::new();
        OneFile::new().run(&query, good.as_ref()).write(&mut page).map(|()| page)
    });
    let page = page.await?.map_err(|error| ReadError::Unavailable {
        reason: "the file can't be written".to_owned(),
        source: Some(error.into()),
    })?;
    let headers: [(HeaderName, HeaderValue); 2] = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        // Never shown under the address of the viewer.
        (CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"run.html\"")),
    ];
    Ok((headers, page).into_response())
}
