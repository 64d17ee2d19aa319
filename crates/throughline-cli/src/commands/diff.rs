//! `throughline diff`: how a run differs from another.

use throughline_core::{Filter, Page, RunState, RunSummary, Status, TraceReader};

use crate::args::DiffArgs;
use crate::error::{Answer, CliError};
use crate::output::{Screen, clean};
use crate::resolve::Run;
use crate::store::Store;

/// How many runs to look at for one that succeeded.
const CANDIDATES: usize = 200;

pub(super) async fn run(args: &DiffArgs, store: &Store, screen: &mut Screen) -> Result<Answer, CliError> {
    let reader = store.readers().await?.reader;
    let here = Run::named(store, &*reader, &args.a).await?;
    let there = match &args.b {
        Some(name) => Run::named(store, &*reader, name).await?,
        None => Run::of(&*reader, last_good(&*reader, &here.summary).await?).await?,
    };
    let diff = here.query.diff(&there.query);
    if screen.wants_json() {
        screen.json(&diff)?;
    } else {
        screen.text(&diff.render(&screen.style()))?;
    }
    Ok(Answer::of(!diff.is_same()))
}

/// The last run of the same workflow before this one that succeeded; or, if there is none, the last of all.
async fn last_good(reader: &dyn TraceReader, run: &RunSummary) -> Result<RunSummary, CliError> {
    let mut filter = Filter::new().status(Status::Success);
    filter.scope.workflow.clone_from(&run.workflow);
    let mut before = filter.clone();
    before.scope.until = Some(run.started);
    for filter in [before, filter] {
        let candidates = reader.runs(&filter, &Page::first(CANDIDATES)).await?.items;
        // One without any failure tells more than one that tolerated some.
        let good = |candidate: &&RunSummary| {
            candidate.state == RunState::Succeeded && candidate.trace_id != run.trace_id
        };
        let flawless = candidates.iter().filter(good).find(|candidate| candidate.first_failure.is_none());
        if let Some(found) = flawless.or_else(|| candidates.iter().find(good)) {
            return Ok(found.clone());
        }
    }
    Err(CliError::NotFound(match &run.workflow {
        Some(workflow) => format!(
            "no other run of the workflow {} succeeded; name the run to compare it with",
            clean(workflow)
        ),
        None => "no other run succeeded; name the run to compare it with".to_owned(),
    }))
}
