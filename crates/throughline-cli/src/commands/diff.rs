//! `throughline diff`: how a run differs from another.

use throughline_core::{Filter, Page, RunSummary, Status, TraceReader};

use crate::args::DiffArgs;
use crate::beside::{good_runs, no_good_run, only_good};
use crate::error::{Answer, CliError};
use crate::output::Screen;
use crate::resolve::Run;
use crate::store::Store;

/// How many runs to look at for one that succeeded.
const CANDIDATES: usize = 200;

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
            let run = Run::of(&*reader, last.trace_id).await?;
            run.ok_or_else(|| no_good_run(&here.summary))?
        }
    };
    Ok([here, there])
}

/// The last run of the same workflow before this one that succeeded; or, if there is none, the last of all.
async fn last_good(reader: &dyn TraceReader, run: &RunSummary) -> Result<RunSummary, CliError> {
    let before = good_runs(reader, run, CANDIDATES).await?;
    if let Some(last) = before.into_iter().next() {
        return Ok(last);
    }
    let mut filter = Filter::new().status(Status::Success);
    filter.scope.workflow.clone_from(&run.workflow);
    let candidates = reader.runs_without_causes(&filter, &Page::first(CANDIDATES)).await?.items;
    only_good(candidates, run).into_iter().next().ok_or_else(|| no_good_run(run))
}
