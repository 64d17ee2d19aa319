//! What an explanation of a run takes from beside it: its process, the runs that it caused, and good runs of its workflow.

use throughline_core::names::attrs;
use throughline_core::query::{Comparison, Difference, Explanation, TraceQuery, Verdict};
use throughline_core::{Filter, Page, RunState, RunSummary, Status, Timestamp, TraceReader};

use crate::error::CliError;
use crate::output::{clean, kind_of};
use crate::resolve::{self, Run};
use crate::store::Store;

/// With how many good runs a run is compared, and among how many runs these are looked for.
const GOOD: usize = 5;
const CANDIDATES: usize = 40;
/// How many events a run may have to be compared: it is to be quick.
const EVENTS: usize = 4_000;
/// How many runs that it caused are told of.
const CHILDREN: usize = 3;

/// Says in which process a run ended that was interrupted.
pub(crate) async fn add_process(
    explanation: &mut Explanation,
    reader: &dyn TraceReader,
    run: &Run,
) -> Result<(), CliError> {
    if explanation.verdict != Verdict::Interrupted {
        return Ok(());
    }
    let Some(cause) = explanation.cause.as_ref().and_then(|cause| run.query.span(cause.span.span_id)) else {
        return Ok(());
    };
    let instance = cause.owner();
    let found = reader.processes(&[instance]).await?;
    if let Some(process) = found.into_iter().flatten().next() {
        explanation.add_process(instance, &process);
    }
    Ok(())
}

/// Says what went wrong in runs that this one caused; `place` is what the command that explains one says of the store.
pub(crate) async fn add_children(
    explanation: &mut Explanation,
    reader: &dyn TraceReader,
    caused: &[RunSummary],
    place: Option<&str>,
) -> Result<(), CliError> {
    if explanation.cause.is_none() {
        return Ok(());
    }
    let failed = caused.iter().filter(|run| matches!(run.state, RunState::Failed | RunState::Cancelled));
    for child in failed.take(CHILDREN) {
        let id = resolve::shortest_id(reader, child.trace_id).await?;
        let name = match (kind_of(child), child.correlation_id.as_deref()) {
            ("", key) => key.unwrap_or("without a name").to_owned(),
            (kind, Some(key)) => format!("{kind} {key}"),
            (kind, None) => kind.to_owned(),
        };
        explanation.add_child(child, &name, &format!("throughline why {id}{}", place.unwrap_or_default()));
    }
    Ok(())
}

/// Says what went wrong in runs that this one caused and that are in another store.
pub(crate) async fn add_children_in(
    explanation: &mut Explanation,
    store: &Store,
    run: &RunSummary,
) -> Result<(), CliError> {
    let reader = store.readers().await?.reader;
    let caused = Filter::new().attr(attrs::CAUSED_BY, run.trace_id.to_string());
    let caused = reader.runs(&caused, &Page::first(CANDIDATES)).await?.items;
    add_children(explanation, &*reader, &caused, Some(&format!(" --store {}", store.name()))).await
}

/// Compares a run that did not end well with the last good runs of its workflow; `None` if there are none.
pub(crate) async fn compare(
    reader: &dyn TraceReader,
    run: &Run,
    explanation: &Explanation,
) -> Result<Option<Comparison>, CliError> {
    if matches!(explanation.verdict, Verdict::Empty | Verdict::Succeeded | Verdict::Recovered)
        || run.query.spans().len() > EVENTS
    {
        return Ok(None);
    }
    let mut good = Vec::new();
    for summary in good_runs(reader, &run.summary, CANDIDATES).await? {
        let page = reader.trace_page(summary.trace_id, &Page::first(EVENTS)).await?;
        if page.next.is_none() {
            good.push(TraceQuery::new(page.items));
        }
        if good.len() == GOOD {
            break;
        }
    }
    let until = match run.summary.state {
        RunState::Running => Timestamp::now(),
        // What a dead process left open was at work until the last that is known of it.
        _ => run
            .query
            .spans()
            .filter_map(|span| Some(span.events().last()?.timestamp))
            .max()
            .unwrap_or(run.summary.started),
    };
    let Some(mut comparison) = run.query.compare(&good, until) else { return Ok(None) };
    comparison.differences.splice(0..0, version(reader, run, &good).await?);
    Ok(Some(comparison))
}

/// The version of the service, if it is another one than that of the last good run.
async fn version(
    reader: &dyn TraceReader,
    run: &Run,
    good: &[TraceQuery],
) -> Result<Option<Difference>, CliError> {
    let owner =
        |query: &TraceQuery| query.root().and_then(|root| root.events().next()).map(|event| event.instance);
    let Some((here, usual)) = owner(&run.query).zip(good.first().and_then(owner)) else { return Ok(None) };
    if here == usual {
        return Ok(None);
    }
    let found = reader.processes(&[here, usual]).await?;
    let mut versions = found.into_iter().map(|process| process.and_then(|process| process.version));
    Ok(match (versions.next().flatten(), versions.next().flatten()) {
        (Some(here), Some(usual)) if here != usual => Some(Difference::version(usual, here)),
        _ => None,
    })
}

/// Runs of the same workflow before this one that succeeded, the last first: those without any failure before the others,
/// for they tell more.
pub(crate) async fn good_runs(
    reader: &dyn TraceReader,
    run: &RunSummary,
    among: usize,
) -> Result<Vec<RunSummary>, CliError> {
    let mut filter = Filter::new().status(Status::Success);
    filter.scope.workflow.clone_from(&run.workflow);
    filter.scope.until = Some(run.started);
    let candidates = reader.runs(&filter, &Page::first(among)).await?.items;
    Ok(only_good(candidates, run))
}

/// Of these runs those that are good ones beside another.
pub(crate) fn only_good(candidates: Vec<RunSummary>, run: &RunSummary) -> Vec<RunSummary> {
    let kind = |run: &RunSummary| run.root.as_ref().map(|root| root.name.clone());
    let is_good = |candidate: &RunSummary| {
        candidate.state == RunState::Succeeded
            && candidate.trace_id != run.trace_id
            && candidate.workflow == run.workflow
            && (run.workflow.is_some() || kind(candidate) == kind(run))
    };
    let mut good: Vec<RunSummary> = candidates.into_iter().filter(is_good).collect();
    good.sort_by_key(|candidate| candidate.first_failure.is_some());
    good
}

/// Why there is no good run to compare with.
pub(crate) fn no_good_run(run: &RunSummary) -> CliError {
    CliError::NotFound(match &run.workflow {
        Some(workflow) => format!(
            "no other run of the workflow {} succeeded; name the run to compare it with",
            clean(workflow)
        ),
        None => "no other run succeeded; name the run to compare it with".to_owned(),
    })
}
