//! `throughline diff`: how a run differs from another.

use throughline_core::RunSummary;
use throughline_core::beside::last_good;

use crate::args::DiffArgs;
use crate::error::{Answer, CliError};
use crate::output::{Screen, clean};
use crate::resolve::Run;
use crate::store::Store;

pub(super) async fn run(args: &DiffArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let [here, there] = both(args, store).await?;
    let diff = here.query.diff(&there.query);
    if screen.wants_json() {
        screen.json(&diff)?;
    } else {
        // As diffs do it: `-` marks what is in A, `+` what is in B.
        let from_a_to_b = there.query.diff(&here.query);
        screen.text(&from_a_to_b.render(&screen.style()))?;
    }
    Ok(Answer::of(!diff.is_same()))
}

/// The run, and the one to compare it with.
pub(super) async fn both(args: &DiffArgs, store: &Store) -> Result<[Run; 2], CliError> {
    let reader = store.readers().await?.reader;
    let here = Run::named(store, &*reader, &args.a).await?;
    let there = match &args.b {
        Some(name) => Run::named(store, &*reader, name).await?,
        None => {
            let last = last_good(&*reader, &here.summary).await?;
            let last = last.ok_or_else(|| no_good_run(&here.summary))?;
            let run = Run::of(&*reader, last.trace_id).await?;
            run.ok_or_else(|| no_good_run(&here.summary))?
        }
    };
    Ok([here, there])
}

/// Why there is no good run to compare with.
fn no_good_run(run: &RunSummary) -> CliError {
    CliError::NotFound(match &run.workflow {
        Some(workflow) => format!(
            "no other run of the workflow {} succeeded; name the run to compare it with",
            clean(workflow)
        ),
        None => "no other run succeeded; name the run to compare it with".to_owned(),
    })
}
