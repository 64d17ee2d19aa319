//! Finds the run that a person means.

use std::collections::HashSet;

use throughline_core::names::attrs;
use throughline_core::query::Explanation;
use throughline_core::{
    Filter, Page, ReadError, Relation, RunState, RunSummary, TraceEvent, TraceId, TraceQuery, TraceReader,
};

use crate::error::CliError;
use crate::output::{Table, clean, kind_of, moment};
use crate::store::Store;

/// How many candidates an ambiguous name lists.
const CANDIDATES: usize = 8;
/// How many runs under a key, or of a request, are read at a time.
const PAGE: usize = 1_000;
/// How many such pages are read: a key that is used every night has some thousand runs.
const PAGES: usize = 5;
/// Of how many runs of a request it is looked up what caused them.
const EXAMINED: usize = 64;
/// Among how many events at the beginning of a run its root is looked for.
const FIRST_EVENTS: usize = 8;

/// A run and all that can be asked of it.
pub(crate) struct Run {
    pub(crate) summary: RunSummary,
    pub(crate) query: TraceQuery,
}

impl Run {
    /// The run of this name.
    pub(crate) async fn named(store: &Store, reader: &dyn TraceReader, name: &str) -> Result<Self, CliError> {
        let id = meant(store, reader, name).await?;
        Self::of(reader, id).await?.ok_or_else(|| not_found(store, name))
    }

    /// The run of this name, explained. What went wrong in it, which its summary says, too, is worked out once then.
    pub(crate) async fn explained(
        store: &Store,
        reader: &dyn TraceReader,
        name: &str,
    ) -> Result<(Self, Explanation), CliError> {
        let query = TraceQuery::read(reader, meant(store, reader, name).await?).await?;
        let explanation = query.explain();
        let summary = query.summary().ok_or_else(|| not_found(store, name))?;
        Ok((Self { summary, query }, explanation))
    }

    /// The run of this id. Its summary is worked out from its events, which are read anyway.
    pub(crate) async fn of(reader: &dyn TraceReader, id: TraceId) -> Result<Option<Self>, CliError> {
        let query = TraceQuery::read(reader, id).await?;
        Ok(query.summary().map(|summary| Self { summary, query }))
    }
}

/// The run of this id, of this business key, whose id begins so, or that this request caused; in that order.
///
/// Of several runs of one workflow and service under a key, the latest is meant: the key stands as that one stands. Of
/// several workflows or services it is the one that did not succeed, if there is just one.
pub(crate) async fn resolve(
    store: &Store,
    reader: &dyn TraceReader,
    name: &str,
) -> Result<RunSummary, CliError> {
    let id = meant(store, reader, name).await?;
    reader.run(id).await?.ok_or_else(|| not_found(store, name))
}

async fn meant(store: &Store, reader: &dyn TraceReader, name: &str) -> Result<TraceId, CliError> {
    if name.parse::<TraceId>().is_ok()
        && let [id] = with_prefix(reader, name).await?[..]
    {
        return Ok(id);
    }
    if name.is_empty() {
        return Err(not_found(store, name));
    }
    let of_key = latest_of_each(reader, &store.findable(None, name)).await?;
    if !of_key.is_empty() {
        let mut not_succeeded = of_key.iter().filter(|run| run.state != RunState::Succeeded);
        let meant = match (&of_key[..], not_succeeded.next(), not_succeeded.next()) {
            ([only], ..) | (_, Some(only), None) => Some(only.trace_id),
            _ => None,
        };
        return meant.ok_or_else(|| ask_which(name, "is the key of several workflows or services", &of_key));
    }
    match with_prefix(reader, name).await?[..] {
        [] => {}
        [id] => return Ok(id),
        ref ids => {
            let mut runs = Vec::new();
            for id in ids {
                runs.extend(reader.run(*id).await?);
            }
            return Err(ask_which(name, "is the beginning of several ids", &runs));
        }
    }
    // The id of a request is an attribute.
    if store.holds_back() {
        return Err(not_found(store, name));
    }
    match only(of_request(store, reader, name).await?) {
        Ok(run) => Ok(run.trace_id),
        Err(runs) if runs.is_empty() => Err(not_found(store, name)),
        Err(runs) => Err(ask_which(name, "is the id of several requests", &runs)),
    }
}

/// The latest run of each workflow and service under a key as it is stored, the last started first.
pub(crate) async fn latest_of_each(reader: &dyn TraceReader, key: &str) -> Result<Vec<RunSummary>, CliError> {
    let mut latest: Vec<RunSummary> = Vec::new();
    let mut known = HashSet::new();
    for run in all(reader, &Filter::new().correlation_id(key.to_owned())).await? {
        if known.insert((run.service.clone(), run.workflow.clone())) {
            latest.push(run);
        }
    }
    Ok(latest)
}

/// The first few ids that begin so.
async fn with_prefix(reader: &dyn TraceReader, name: &str) -> Result<Vec<TraceId>, CliError> {
    if name.len() > 32 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(Vec::new());
    }
    Ok(reader.find_by_id_prefix(&name.to_ascii_lowercase(), CANDIDATES + 1).await?)
}

/// Of the runs of a request those that none of the others caused: the request's own, or those that are left of what it
/// caused.
async fn of_request(
    store: &Store,
    reader: &dyn TraceReader,
    name: &str,
) -> Result<Vec<RunSummary>, CliError> {
    let filter =
        Filter::new().attr(attrs::REQUEST_ID, store.findable(Some(attrs::REQUEST_ID), name).into_owned());
    let mut runs = all(reader, &filter).await?;
    let ids: HashSet<TraceId> = runs.iter().map(|run| run.trace_id).collect();
    // What caused the others started before them.
    runs.reverse();
    runs.truncate(EXAMINED);
    let mut first = Vec::new();
    for run in runs {
        let cause = match ids.len() {
            1 => None,
            _ => cause_of(reader, &run).await?,
        };
        if cause.is_none_or(|cause| !ids.contains(&cause)) {
            first.push(run);
        }
    }
    Ok(first)
}

/// The run that caused this one, as its root says.
async fn cause_of(reader: &dyn TraceReader, run: &RunSummary) -> Result<Option<TraceId>, ReadError> {
    let Some(root) = &run.root else { return Ok(None) };
    let events = reader.trace_page(run.trace_id, &Page::first(FIRST_EVENTS)).await?.items;
    Ok(events.iter().find(|event| event.span_id == root.span_id).and_then(cause))
}

/// The run that caused the run with this root: the one in which it was started, or that it links to, as a request does at
/// a public endpoint.
pub(crate) fn cause(root: &TraceEvent) -> Option<TraceId> {
    let linked = || {
        let causes = root.links.iter().filter(|link| link.rel == Relation::CausedBy);
        causes.filter_map(|link| link.trace_id).find(|id| *id != root.trace_id)
    };
    root.parent_trace_id.filter(|id| *id != root.trace_id).or_else(linked)
}

/// The runs that match, the last started first; of very many, the last some thousand.
async fn all(reader: &dyn TraceReader, filter: &Filter) -> Result<Vec<RunSummary>, CliError> {
    let mut runs = Vec::new();
    let mut page = Page::first(PAGE);
    for _ in 0..PAGES {
        let found = reader.runs_without_causes(filter, &page).await?;
        let is_last = !page.turn(&found)?;
        runs.extend(found.items);
        if is_last {
            break;
        }
    }
    Ok(runs)
}

/// The one run, if it is one.
fn only(mut runs: Vec<RunSummary>) -> Result<RunSummary, Vec<RunSummary>> {
    match (runs.pop(), runs.is_empty()) {
        (Some(run), true) => Ok(run),
        (last, _) => {
            runs.extend(last);
            Err(runs)
        }
    }
}

/// Asks which of several runs is meant.
fn ask_which(name: &str, what: &str, candidates: &[RunSummary]) -> CliError {
    let mut table = Table::new(&["ID", "KEY", "WORKFLOW", "SERVICE", "STATE", "STARTED"]);
    for run in candidates.iter().take(CANDIDATES) {
        table.row([
            run.trace_id.to_string().into(),
            run.correlation_id.as_deref().unwrap_or_default().into(),
            kind_of(run).into(),
            run.service.as_str().into(),
            run.state.as_str().into(),
            moment(run.started).into(),
        ]);
    }
    let mut message = format!("`{}` {what}; which run is meant? Name it by its id:", clean(name));
    for line in table.lines() {
        message.push_str(&format!("\n  {line}"));
    }
    if candidates.len() > CANDIDATES {
        message.push_str("\n  … and more");
    }
    CliError::Usage(message)
}

fn not_found(store: &Store, name: &str) -> CliError {
    let names = if store.holds_back() { "id or key" } else { "id, key or request id" };
    CliError::NotFound(format!(
        "no run has the {names} `{}`; `throughline list` shows the latest runs",
        clean(name)
    ))
}
