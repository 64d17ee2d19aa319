//! `throughline abandon`: closes for good a run that no process works on.

use std::time::Duration;

use serde::Serialize;
use throughline_core::{BuildError, NotRecorded, RunState, RunSummary, Throughline, beside};

use crate::args::AbandonArgs;
use crate::error::{Answer, CliError};
use crate::output::{Screen, clean, name_of};
use crate::resolve::resolve;
use crate::standing::Left;
use crate::store::Store;

/// The name under which the end of the run is recorded.
const SERVICE: &str = "throughline-cli";
/// How long to wait for the store to be closed. All that is to be recorded has been by then.
const CLOSING: Duration = Duration::from_secs(10);

/// The JSON of `abandon`.
#[derive(Serialize)]
struct Abandoned {
    run: RunSummary,
    standing: usize,
    in_doubt: usize,
}

pub(super) async fn run(args: &AbandonArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let reader = store.readers().await?.reader;
    let run = resolve(store, &*reader, &args.run).await.map_err(|error| match error {
        // Exit code 1 is for questions, to which the answer is no.
        CliError::NotFound(reason) => CliError::Usage(reason),
        error => error,
    })?;
    let throughline = store.written_by(Throughline::builder(SERVICE))?.build_async().await;
    let throughline = throughline.map_err(|error| match error {
        BuildError::Open(error) => store.open_error(error),
        error => CliError::Write(error.to_string()),
    })?;
    let abandoned = throughline.abandon(run.trace_id, &args.reason).await;
    throughline.shutdown(CLOSING).await;
    abandoned.map_err(|error| refused(&run, &error))?;

    let run = reader.run(run.trace_id).await?.unwrap_or(run);
    let left = Left::read(&*reader, &run).await?;
    if screen.wants_json() {
        screen.json(&Abandoned { run, standing: left.standing, in_doubt: left.in_doubt })?;
        return Ok(Answer::Yes);
    }
    let id = beside::shortest_id(&*reader, run.trace_id).await?;
    screen.line(format_args!(
        "Closed {} ({id}). It counts as failed: {}",
        name_of(&run),
        clean(&args.reason)
    ))?;
    if !left.is_nothing() {
        screen.line(left.sentence(&*reader, &run).await?)?;
    }
    Ok(Answer::Yes)
}

/// Why a run was not abandoned.
fn refused(run: &RunSummary, error: &NotRecorded) -> CliError {
    let name = name_of(run);
    match error {
        NotRecorded::AtWork { instance, .. } => CliError::Usage(format!(
            "{name} is running, in the instance {instance}; only a run that no process works on can be abandoned"
        )),
        NotRecorded::HasEnded { state, .. } => {
            let how = match state {
                RunState::Cancelled => "was cancelled",
                state => state.as_str(),
            };
            CliError::Usage(format!(
                "{name} has ended: it {how}; `throughline running` lists the runs that have not ended"
            ))
        }
        error => CliError::Write(error.to_string()),
    }
}
