//! One run: its verdict, its spans, its compensations and decisions, and the runs around it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State as Shared;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde::Serialize;
use throughline_core::query::{
    CompensationLedger, Decisions, Diff, Explanation, Span, SpanSummary, TreeNode,
};
use throughline_core::{
    Filter, Page, Relation, RunSummary, SpanId, Timestamp, TraceEvent, TraceId, TraceQuery, beside,
};

use super::runs::named;
use crate::access::Access;
use crate::leisure::at_leisure;
use crate::parameters::{Named, Parameters};
use crate::problem::Problem;
use crate::seen::Seen;
use crate::state::State;
use crate::words::has_text;

/// How many runs that a run caused, or that are under its key, are listed.
const RELATED: usize = 20;
/// How many hits of a search in a run are returned.
const HITS: usize = 10_000;

/// One run.
#[derive(Serialize)]
pub(crate) struct Story {
    explanation: Explanation,
    /// The spans, each after the one that it is in.
    nodes: Vec<TreeNode>,
    compensations: CompensationLedger,
    decisions: Decisions,
    related: Related,
    /// When it was read: open spans last until then.
    read_at: Timestamp,
}

/// The runs around a run, as lists show them.
#[derive(Serialize)]
pub(crate) struct Related {
    caused_by: Option<RunSummary>,
    caused: Vec<RunSummary>,
    /// The spans that began runs, each with the run.
    began: BTreeMap<SpanId, TraceId>,
    same_key: Vec<RunSummary>,
}

/// Everything about a run but its payloads.
pub(crate) async fn run(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    Named(id): Named<String>,
    parameters: Parameters,
) -> Result<Response, Problem> {
    parameters.only(&[])?;
    let seen = state.source.seen_with(access);
    let query = read(&seen, &id).await?;
    let related = related(&seen, &query).await?;
    let read_at = Timestamp::now();
    let query = Arc::new(query);
    let asked = Arc::clone(&query);
    // For how long a run has been at work the page says itself, as it goes on.
    let mut explanation = at_leisure(move || asked.explain()).await?;
    // What lies beside it, as the command has it.
    beside::add_process(&mut explanation, &*seen.reader, &query).await?;
    beside::add_children(&mut explanation, &*seen.reader, &related.caused, None).await?;
    let good = beside::good_beside(&*seen.reader, &query, &explanation).await?;
    let story = at_leisure(move || {
        if let Some(comparison) = good.and_then(|good| good.compare(&query)) {
            explanation.add_comparison(&comparison);
        }
        let story = Story {
            explanation,
            nodes: query.tree().nodes,
            compensations: query.compensation_ledger(),
            decisions: query.decisions(),
            related,
            read_at,
        };
        // A large run is large as a text, too.
        Json(story).into_response()
    });
    Ok(story.await?)
}

/// The run that an address names.
pub(super) fn run_id(id: &str) -> Result<TraceId, Problem> {
    // Others write digits in capitals.
    id.to_ascii_lowercase().parse().map_err(|_| {
        Problem::bad_request(
            "a run is named by its id of 32 hex digits; search for a key or the beginning of an id",
        )
    })
}

pub(super) async fn read(seen: &Seen, id: &str) -> Result<TraceQuery, Problem> {
    let query = seen.query(run_id(id)?).await?;
    if query.spans().len() == 0 {
        return Err(no_such_run());
    }
    Ok(query)
}

fn no_such_run() -> Problem {
    Problem::not_found(
        "there is no such run in this store; it may have been removed, or not have been stored yet",
    )
}

async fn related(seen: &Seen, query: &TraceQuery) -> Result<Related, Problem> {
    let mut related =
        Related { caused_by: None, caused: Vec::new(), began: began(query), same_key: Vec::new() };
    let Some(run) = query.summary() else { return Ok(related) };
    let root = query.root().and_then(|root| root.start());
    if let Some(cause) = root.and_then(|root| root.parent_trace_id).filter(|id| *id != run.trace_id) {
        related.caused_by = seen.reader.run(cause).await?;
    }
    related.caused = beside::caused_by(&*seen.reader, query, RELATED).await?;
    if let Some(key) = &run.correlation_id {
        let same = Filter::new().correlation_id(key.clone());
        related.same_key = seen.reader.runs(&same, &Page::first(RELATED + 1)).await?.items;
        related.same_key.retain(|other| other.trace_id != run.trace_id);
    }
    Ok(related)
}

/// The spans that say that they began a run of its own.
fn began(query: &TraceQuery) -> BTreeMap<SpanId, TraceId> {
    let of_span = |span: &Span<'_>| {
        let links = span.events().flat_map(|event| &event.links);
        links.filter(|link| link.rel == Relation::Began).find_map(|link| link.trace_id)
    };
    query.spans().filter_map(|span| Some((span.id(), of_span(&span)?))).collect()
}

/// A span with everything that was recorded of it.
#[derive(Serialize)]
pub(crate) struct Details {
    span: SpanSummary,
    events: Vec<TraceEvent>,
}

/// Everything about one span.
pub(crate) async fn span(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    Named((id, span)): Named<(String, String)>,
    parameters: Parameters,
) -> Result<Json<Details>, Problem> {
    parameters.only(&[])?;
    let (seen, id) = (state.source.seen_with(access), run_id(&id)?);
    let span: SpanId =
        span.parse().map_err(|_| Problem::bad_request("a span is named by its id of 16 hex digits"))?;
    // Not by its summary: of a large run that failed, all events are read for its cause.
    let first = seen.reader.trace_page(id, &Page::first(1)).await?.items.pop().ok_or_else(no_such_run)?;
    let query = seen.span(id, span).await?;
    let found = query.span(span).ok_or_else(|| Problem::not_found("the run has no such span"))?;
    let mut summary = found.summary();
    // By itself it would begin with itself.
    summary.offset_us = u64::try_from(summary.started.since(first.timestamp).as_micros()).unwrap_or(u64::MAX);
    Ok(Json(Details { span: summary, events: found.events().cloned().collect() }))
}

/// Where a text was found.
#[derive(Serialize)]
pub(crate) struct Hits {
    spans: Vec<SpanId>,
}

/// The spans of which anything contains a text, payloads included.
pub(crate) async fn search(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    Named(id): Named<String>,
    parameters: Parameters,
) -> Result<Json<Hits>, Problem> {
    let text = parameters.one("q")?.ok_or_else(|| Problem::bad_request("`q` is the text to look for"))?;
    let query = read(&state.source.seen_with(access), &id).await?;
    let hits = at_leisure(move || {
        let text = text.to_lowercase();
        let spans = query.spans().filter(|span| {
            span.name().to_lowercase().contains(&text) || span.events().any(|event| has_text(event, &text))
        });
        spans.take(HITS).map(|span| span.id()).collect()
    });
    Ok(Json(Hits { spans: hits.await? }))
}

/// Two runs beside each other.
#[derive(Serialize)]
pub(crate) struct Compared {
    with: RunSummary,
    diff: Diff,
}

/// How a run differs from another, or from the last run of its workflow that succeeded.
pub(crate) async fn diff(
    Shared(state): Shared<Arc<State>>,
    Extension(access): Extension<Access>,
    Named(id): Named<String>,
    parameters: Parameters,
) -> Result<Json<Compared>, Problem> {
    let with = parameters.one("with")?;
    let seen = state.source.seen_with(access);
    let here = read(&seen, &id).await?;
    let other = match with {
        Some(other) => meant(&seen, &other, run_id(&id)?, access).await?,
        None => last_good(&seen, &here).await?,
    };
    let there = read(&seen, &other.to_string()).await?;
    let with = there.summary().ok_or_else(|| Problem::not_found("there is no such run"))?;
    let diff = at_leisure(move || here.diff(&there)).await?;
    Ok(Json(Compared { with, diff }))
}

/// The run that is meant by its id, the beginning of its id, its key or its request: the last that is another one.
async fn meant(seen: &Seen, name: &str, here: TraceId, access: Access) -> Result<TraceId, Problem> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let found = named(seen, name, access).await?;
    let other = found.iter().filter(|run| run.trace_id != here).max_by_key(|run| run.started);
    other.map(|run| run.trace_id).ok_or_else(|| {
        Problem::not_found(
            "no other run has this key, or an id that begins so; the list of runs has them all",
        )
    })
}

/// The last good run of the same workflow.
async fn last_good(seen: &Seen, query: &TraceQuery) -> Result<TraceId, Problem> {
    let last = match query.summary() {
        Some(run) => beside::last_good(&*seen.reader, &run).await?,
        None => None,
    };
    last.map(|run| run.trace_id).ok_or_else(|| {
        Problem::not_found("no other run of this workflow succeeded; name another run to compare it with")
    })
}
