//! What an explanation of a run takes from beside it: its process, the runs that it caused, and good runs of its workflow. The
//! command and the page that explain a run say the same of it.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::try_join_all;
use throughline_model::fold::root_event;
use throughline_model::names::{self, attrs};
use throughline_model::{
    Filter, InstanceId, Page, Paged, ReadError, Relation, RunState, RunSummary, Scope, Status, Timestamp,
    TraceEvent, TraceId, TraceReader,
};
use throughline_query::{Comparison, Difference, Explanation, TraceQuery, Verdict};

/// With how many good runs a run is compared, and among how many runs these are looked for.
const GOOD: usize = 5;
const CANDIDATES: usize = 40;
/// With how many earlier good runs it is compared that began like it.
const LIKE_IT: usize = 3;
/// How many spans a run may have to be compared step by step, and a good run events: it is to be quick.
const EVENTS: usize = 4_000;
/// In how many times as many events of a run that it caused the end of its cause is looked for: it is among the last ones.
const PAGES_OF_CAUSE: usize = 10;
/// Among how many events at the beginning of a run its root is looked for.
const BEGINNING: usize = 8;
/// How many runs that it caused are told of.
const CHILDREN: usize = 3;
/// How many runs are told of, of which one brought the other down.
const DESCENDANTS: usize = 4;
/// Of how many runs that it says it began, and that do not say so themselves, it is looked whether they are there.
const BEGAN: usize = 64;
/// How far apart the clocks of machines are at most, so that a run may seem to start before the one that caused it.
const CLOCKS: Duration = Duration::from_secs(3_600);
/// Among how many runs one is looked for that succeeded.
const LAST_GOOD: usize = 200;
/// From how many hex digits on an id is told from others, as a rule.
const SHORT_ID: usize = 16;

/// Says in which process a run ended that was interrupted.
///
/// # Errors
/// When the store can't be read, here and below.
pub async fn add_process(
    explanation: &mut Explanation,
    reader: &dyn TraceReader,
    run: &TraceQuery,
) -> Result<(), ReadError> {
    if explanation.verdict != Verdict::Interrupted {
        return Ok(());
    }
    let Some(cause) = explanation.cause.as_ref().and_then(|cause| run.span(cause.span.span_id)) else {
        return Ok(());
    };
    let instance = cause.owner();
    let found = reader.processes(&[instance]).await?;
    if let Some((process, last)) = found.into_iter().flatten().next().zip(cause.events().last()) {
        explanation.add_process(last.id(), instance, &process);
    }
    Ok(())
}

/// Says what went wrong in runs that this one caused; `place` is what the command that explains one says of the store.
///
/// # Errors
/// When the store can't be read.
pub async fn add_children(
    explanation: &mut Explanation,
    reader: &dyn TraceReader,
    caused: &[RunSummary],
    place: Option<&str>,
) -> Result<(), ReadError> {
    if explanation.cause.is_none() {
        return Ok(());
    }
    let failed = caused.iter().filter(|run| matches!(run.state, RunState::Failed | RunState::Cancelled));
    for child in failed.take(CHILDREN) {
        let (mut at, mut name) = (child.clone(), name_of(child));
        // What it began itself may have brought it down, and so on.
        for _ in 0..DESCENDANTS {
            let id = shortest_id(reader, at.trace_id).await?;
            let ask = format!("throughline why {id}{}", place.unwrap_or_default());
            let last = last_event_of_cause(reader, &at).await?;
            explanation.add_child(&at, last.as_ref().map(TraceEvent::id), &name, &ask);
            let next = match last.as_ref().and_then(failed_elsewhere) {
                Some(next) => Some(next),
                None => failed_child(reader, &at).await?,
            };
            let Some(next) = next else { break };
            let Some(next) = reader.run(next).await? else { break };
            name = format!("{} of {name}", name_of(&next));
            at = next;
        }
    }
    Ok(())
}

/// What to call a run: what kind it is of, and its key.
fn name_of(run: &RunSummary) -> String {
    match (kind_of(run), run.correlation_id.as_deref()) {
        ("", key) => key.unwrap_or("without a name").to_owned(),
        (kind, Some(key)) => format!("{kind} {key}"),
        (kind, None) => kind.to_owned(),
    }
}

/// The run whose error a span ended with, if that is another one.
fn failed_elsewhere(end: &TraceEvent) -> Option<TraceId> {
    let links = end.links.iter().filter(|link| link.rel == Relation::FailedBy);
    links.filter_map(|link| link.trace_id).find(|trace| *trace != end.trace_id)
}

/// The last run that says that this one caused it, and that failed.
async fn failed_child(reader: &dyn TraceReader, run: &RunSummary) -> Result<Option<TraceId>, ReadError> {
    let scope = Scope::all().since(run.started.minus(CLOCKS));
    let caused =
        Filter::new().scope(scope).outcome(Status::Failed).attr(attrs::CAUSED_BY, run.trace_id.to_string());
    let found = reader.runs_without_causes(&caused, &Page::first(1)).await?;
    Ok(found.items.first().map(|child| child.trace_id).filter(|child| *child != run.trace_id))
}

/// The event with which the cause of a run ended; `None` if it is not among the first so many.
async fn last_event_of_cause(
    reader: &dyn TraceReader,
    run: &RunSummary,
) -> Result<Option<TraceEvent>, ReadError> {
    let Some(cause) = &run.cause else { return Ok(None) };
    let (mut last, mut page) = (None::<TraceEvent>, Page::first(EVENTS));
    for _ in 0..PAGES_OF_CAUSE {
        let found = reader.trace_page(run.trace_id, &page).await?;
        let is_last = !page.turn(&found)?;
        let of_cause = found.items.into_iter().filter(|event| event.span_id == cause.span_id);
        last = last.into_iter().chain(of_cause).max_by_key(|event| event.seq);
        // A span ends once.
        if is_last || last.as_ref().is_some_and(|event| event.status != Status::Pending) {
            break;
        }
    }
    Ok(last)
}

/// The last good runs of a workflow, beside which one of its runs did not end well, and those before them that began like it.
#[derive(Debug)]
pub struct Beside {
    /// Of a large run only what it began with is compared: its attributes, its input, its version.
    is_large: bool,
    /// The events of each good run that are compared.
    good: Vec<Vec<TraceEvent>>,
    /// How many of these were the last ones; the others are those before them that began like this run.
    last: usize,
    summary: RunSummary,
    version: Option<Difference>,
}

impl Beside {
    /// Compares the run with them. This takes a while where they have many events.
    pub fn compare(self, run: &TraceQuery) -> Option<Comparison> {
        let beginning = self
            .is_large
            .then(|| beginning_of(run.root().into_iter().flat_map(|root| root.events()).cloned()));
        let here = beginning.as_ref().unwrap_or(run);
        let good: Vec<TraceQuery> = self.good.into_iter().map(TraceQuery::new).collect();
        let until = match self.summary.state {
            RunState::Running => Timestamp::now(),
            // What a dead process left open was at work until the last that is known of it.
            _ => run
                .spans()
                .filter_map(|span| Some(span.events().last()?.timestamp))
                .max()
                .unwrap_or(self.summary.started),
        };
        let mut comparison = here.compare(&good, until)?;
        comparison.runs = self.last;
        comparison.differences.splice(0..0, self.version);
        Some(comparison)
    }
}

/// Compares a run that did not end well with the last good runs of its workflow, and with some before them that began like it;
/// `None` if there are none.
///
/// # Errors
/// When the store can't be read.
pub async fn compare(
    reader: &dyn TraceReader,
    run: &TraceQuery,
    explanation: &Explanation,
) -> Result<Option<Comparison>, ReadError> {
    Ok(good_beside(reader, run, explanation).await?.and_then(|beside| beside.compare(run)))
}

/// Reads what a run that did not end well is compared with, for those that compare it elsewhere; `None` if it ended well.
///
/// # Errors
/// When the store can't be read.
pub async fn good_beside(
    reader: &dyn TraceReader,
    run: &TraceQuery,
    explanation: &Explanation,
) -> Result<Option<Beside>, ReadError> {
    if matches!(explanation.verdict, Verdict::Empty | Verdict::Succeeded | Verdict::Recovered) {
        return Ok(None);
    }
    let Some(summary) = run.summary() else { return Ok(None) };
    let is_large = run.spans().len() > EVENTS;
    let (mut good, mut usual) = (Vec::new(), None);
    let mut candidates = good_runs(reader, &summary, CANDIDATES).await?.into_iter();
    while good.len() < GOOD
        && let Some(other) = candidates.next()
    {
        let Some(items) = events_of(reader, &other, is_large).await? else { continue };
        if good.is_empty() {
            let first = items.iter().filter(|event| is_of_root(event, &other)).min_by_key(|event| event.seq);
            usual = first.map(|event| event.instance);
        }
        good.push(items);
    }
    let last = good.len();
    if last == 0 {
        return Ok(None);
    }
    for like_it in began_like(run, reader, &good, candidates.collect()).await? {
        good.extend(events_of(reader, &like_it, is_large).await?);
    }
    let version = version(reader, run, usual).await?;
    Ok(Some(Beside { is_large, good, last, summary, version }))
}

/// The events of a good run that a run is compared by; `None` if there are too many. Of a run beside a large one that is what it
/// began with.
async fn events_of(
    reader: &dyn TraceReader,
    run: &RunSummary,
    is_large: bool,
) -> Result<Option<Vec<TraceEvent>>, ReadError> {
    let most = if is_large { BEGINNING } else { EVENTS };
    let Paged { mut items, next, .. } = reader.trace_page(run.trace_id, &Page::first(most)).await?;
    if is_large {
        items.retain(|event| is_of_root(event, run) && event.seq == 0);
    }
    Ok(Some(items).filter(|_| is_large || next.is_none()))
}

fn is_of_root(event: &TraceEvent, run: &RunSummary) -> bool {
    run.root.as_ref().is_some_and(|root| root.span_id == event.span_id)
}

/// Of earlier good runs those that began more like this one than the last ones did, with its input and its attributes: what they
/// have in common with it is no reason for it to fail.
async fn began_like(
    run: &TraceQuery,
    reader: &dyn TraceReader,
    last: &[Vec<TraceEvent>],
    earlier: Vec<RunSummary>,
) -> Result<Vec<RunSummary>, ReadError> {
    let here = beginning_of(run.root().into_iter().flat_map(|root| root.events()).cloned());
    if earlier.is_empty() || here.in_common(&here) <= 1 {
        return Ok(Vec::new());
    }
    let root = |events: &[TraceEvent]| root_event(events).map(|root| root.span_id);
    let of_last = last.iter().map(|events| {
        let root = root(events);
        let of_root = events.iter().filter(|event| Some(event.span_id) == root).cloned();
        beginning_of(of_root).in_common(&here)
    });
    let of_last = of_last.max().unwrap_or(0);
    let beginnings =
        try_join_all(earlier.iter().map(|other| events_of(reader, other, true))).await?.into_iter();
    let mut like_it: Vec<(usize, RunSummary)> = beginnings
        .zip(earlier)
        .map(|(events, other)| (beginning_of(events.into_iter().flatten()).in_common(&here), other))
        .filter(|(in_common, _)| *in_common > of_last)
        .collect();
    like_it.sort_by_key(|(in_common, _)| std::cmp::Reverse(*in_common));
    Ok(like_it.into_iter().take(LIKE_IT).map(|(_, other)| other).collect())
}

/// What a run began with: the start of its root.
fn beginning_of(root: impl Iterator<Item = TraceEvent>) -> TraceQuery {
    TraceQuery::new(root.filter(|event| event.seq == 0).collect())
}

/// The version of the service, if it is another one than that of the last good run.
async fn version(
    reader: &dyn TraceReader,
    run: &TraceQuery,
    usual: Option<InstanceId>,
) -> Result<Option<Difference>, ReadError> {
    let here = run.root().and_then(|root| root.events().next()).map(|event| event.instance);
    let Some((here, usual)) = here.zip(usual) else { return Ok(None) };
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
async fn good_runs(
    reader: &dyn TraceReader,
    run: &RunSummary,
    among: usize,
) -> Result<Vec<RunSummary>, ReadError> {
    let mut filter = Filter::new().outcome(Status::Success);
    filter.scope.workflow.clone_from(&run.workflow);
    filter.scope.until = Some(run.started);
    let candidates = reader.runs_without_causes(&filter, &Page::first(among)).await?.items;
    Ok(only_good(candidates, run))
}

/// Of these runs those that are good ones beside another.
fn only_good(candidates: Vec<RunSummary>, run: &RunSummary) -> Vec<RunSummary> {
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

/// The last run of the same workflow before this one that succeeded; or, if there is none, the last of all.
///
/// # Errors
/// When the store can't be read.
pub async fn last_good(reader: &dyn TraceReader, run: &RunSummary) -> Result<Option<RunSummary>, ReadError> {
    let before = good_runs(reader, run, LAST_GOOD).await?;
    if let Some(last) = before.into_iter().next() {
        return Ok(Some(last));
    }
    let mut filter = Filter::new().outcome(Status::Success);
    filter.scope.workflow.clone_from(&run.workflow);
    let candidates = reader.runs_without_causes(&filter, &Page::first(LAST_GOOD)).await?.items;
    Ok(only_good(candidates, run).into_iter().next())
}

/// The runs that a run caused: those that say so themselves, and those of which it says that it began them.
///
/// # Errors
/// When the store can't be read.
pub async fn caused_by(
    reader: &dyn TraceReader,
    run: &TraceQuery,
    most: usize,
) -> Result<Vec<RunSummary>, ReadError> {
    let Some(summary) = run.summary() else { return Ok(Vec::new()) };
    let (id, since) = (summary.trace_id.to_string(), summary.started.minus(CLOCKS));
    let filter = Filter::new().scope(Scope::all().since(since)).attr(attrs::CAUSED_BY, id);
    let mut caused = reader.runs_without_causes(&filter, &Page::first(most)).await?.items;
    let known: HashSet<TraceId> = caused.iter().map(|run| run.trace_id).collect();
    let links = run.spans().flat_map(|span| span.events()).flat_map(|event| &event.links);
    let began = links.filter(|link| link.rel == Relation::Began).filter_map(|link| link.trace_id);
    for id in began.filter(|id| !known.contains(id)).take(BEGAN) {
        caused.extend(reader.run(id).await?);
    }
    Ok(caused)
}

/// What kind of run it is: its workflow, or else what its root is called, as `POST /loans` for an HTTP request. Empty if neither
/// says anything.
pub fn kind_of(run: &RunSummary) -> &str {
    let root = run.root.as_ref().map(|root| root.name.as_str());
    let root = root.filter(|root| *root != names::WORKFLOW_STARTED);
    run.workflow.as_deref().or(root).unwrap_or_default()
}

/// The beginning of an id that names this run alone. Ids begin with their time, and imported ones with anything: where the short
/// form is that of several, it takes the whole.
///
/// # Errors
/// When the store can't be read.
pub async fn shortest_id(reader: &dyn TraceReader, id: TraceId) -> Result<String, ReadError> {
    let whole = id.to_string();
    let short = &whole[..SHORT_ID];
    Ok(match reader.find_by_id_prefix(short, 2).await?.len() {
        0 | 1 => short.to_owned(),
        _ => whole,
    })
}
