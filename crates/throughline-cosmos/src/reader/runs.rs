//! Runs that match a filter, and runs that have not ended.

use azure_data_cosmos::FeedScope;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use throughline_model::fold::{RunFold, cause_of_run, run_matches};
use throughline_model::{
    Cursor, FailureSummary, Filter, InstanceId, Liveness, OpenRun, OpenSummary, Page, Paged, ReadError,
    RunState, RunSummary, Status, TraceId,
};

use super::MAX_PAGE;
use super::events::last_moment;
use crate::container::Container;
use crate::document::{RUN, RunDocument, place_of_run};
use crate::error::Fault;
use crate::lease;
use crate::partition::of_trace;
use crate::question::Question;

/// How many runs are looked at in one go where their events have to be read.
const CANDIDATES: usize = 100;

/// How many runs are read at a time.
const AT_ONCE: usize = 16;

/// A run as its document has it.
pub(super) struct Found {
    pub(super) summary: RunSummary,
    pub(super) is_compensating: bool,
    is_cause_unknown: bool,
}

impl Found {
    fn of(document: &RunDocument, liveness: Liveness) -> Result<Self, Fault> {
        let row = document.row()?;
        let state = RunState::of(document.status, liveness);
        let summary = row.summary(state, document.started()?, document.ended());
        Ok(Self {
            summary: summary.ok_or_else(|| {
                Fault::Damaged(format!("the document of run {} has no event", document.trace_id))
            })?,
            is_compensating: document.compensating,
            is_cause_unknown: row.is_cause_unknown(),
        })
    }

    /// Adds the cause, which the events of the run tell.
    pub(super) async fn complete(mut self, container: &Container) -> Result<Self, Fault> {
        if self.is_cause_unknown {
            let events = of_trace(container, self.summary.trace_id).await?;
            let fold = RunFold::of(&events);
            let cause = cause_of_run(&fold, &events);
            self.summary.cause = cause.map(|cause| FailureSummary::among(cause, &events));
        }
        Ok(self)
    }
}

/// Runs from their documents; those that are open stand as their owners do.
pub(super) async fn stand(container: &Container, documents: Vec<RunDocument>) -> Result<Vec<Found>, Fault> {
    let owner = |document: &RunDocument| match document.status {
        Status::Pending => document.owner,
        // How these stand does not depend on anybody.
        _ => InstanceId::NOBODY,
    };
    let owners: Vec<InstanceId> = documents.iter().map(owner).collect();
    let liveness = lease::liveness(container, &owners).await?;
    documents.iter().zip(liveness).map(|(document, liveness)| Found::of(document, liveness)).collect()
}

/// Adds the causes of runs, in their order.
pub(super) async fn complete(container: &Container, found: Vec<Found>) -> Result<Vec<Found>, Fault> {
    stream::iter(found).map(|found| found.complete(container)).buffered(AT_ONCE).try_collect().await
}

pub(super) async fn one(container: &Container, id: TraceId) -> Result<Option<RunSummary>, Fault> {
    let Some(document) = container.read::<RunDocument>(&id.to_string(), RUN).await? else { return Ok(None) };
    let found = complete(container, stand(container, vec![document]).await?).await?;
    Ok(found.into_iter().next().map(|found| found.summary))
}

/// Documents of runs in an order, at most so many.
pub(super) async fn documents(
    container: &Container,
    question: Question,
    order: &str,
    limit: Option<usize>,
) -> Result<Vec<RunDocument>, Fault> {
    let query = question.query("*", order)?;
    let mut found = container.query::<RunDocument>(FeedScope::full_container(), query, limit).await?.items;
    found.truncate(limit.unwrap_or(usize::MAX));
    Ok(found)
}

pub(super) async fn find(
    container: &Container,
    filter: &Filter,
    page: &Page,
) -> Result<Paged<RunSummary>, Fault> {
    let Paged { items, next } = found(container, filter, page).await?;
    Ok(Paged { items: items.into_iter().map(|found| found.summary).collect(), next })
}

pub(super) async fn find_with_causes(
    container: &Container,
    filter: &Filter,
    page: &Page,
) -> Result<Paged<RunSummary>, Fault> {
    let Paged { items, next } = found(container, filter, page).await?;
    let items = complete(container, items).await?;
    Ok(Paged { items: items.into_iter().map(|found| found.summary).collect(), next })
}

async fn found(container: &Container, filter: &Filter, page: &Page) -> Result<Paged<Found>, Fault> {
    let mut before =
        page.after.as_ref().map(Cursor::run).transpose()?.map(|(started, id)| place_of_run(started, id));
    let limit = page.limit.min(MAX_PAGE);
    let asks_for_kind = !filter.statuses.is_empty() || filter.event_type.is_some() || !filter.tags.is_empty();
    let asks_for_failures =
        filter.statuses == [Status::Failed] && filter.event_type.is_none() && filter.tags.is_empty();
    // The document of a run says neither which attributes and tags its events have, nor that one event has all that is asked.
    let is_told_by_document = filter.attrs.is_empty() && (asks_for_failures || !asks_for_kind);
    let chunk = if is_told_by_document { limit.saturating_add(1) } else { CANDIDATES };
    let mut items: Vec<Found> = Vec::new();
    while limit > 0 && items.len() <= limit {
        let mut question = Question::about(RUN);
        question.require_scope(&filter.scope, "c.place");
        question.require_same("c.service", filter.service.as_deref());
        question.require_same("c.correlation_id", filter.correlation_id.as_deref());
        question.require_status(&filter.outcomes);
        // Indexed with the place, which the outcome is not.
        if asks_for_failures || filter.outcomes == [Status::Failed] {
            question.require("c.failed = true");
        }
        if filter.outcomes == [Status::Pending] {
            question.require("c.open = true");
        }
        if let Some(before) = &before {
            question.compare("c.place", "<", before.as_str());
        }
        let documents = documents(container, question, "ORDER BY c.place DESC", Some(chunk)).await?;
        let is_last = documents.len() < chunk;
        before = documents.last().map(|last| last.place.clone());
        let found = stand(container, documents).await?;
        match is_told_by_document {
            true => items.extend(found),
            false => items.extend(matching(container, filter, found).await?),
        }
        if is_last {
            break;
        }
    }
    let is_all = items.len() <= limit;
    items.truncate(limit);
    let next = items.last().filter(|_| !is_all).map(|last| Cursor::of_run(&last.summary));
    Ok(Paged { items, next })
}

/// Those of these runs whose events are what a filter wants.
async fn matching(container: &Container, filter: &Filter, found: Vec<Found>) -> Result<Vec<Found>, Fault> {
    let look = |found: Found| async move {
        let events = of_trace(container, found.summary.trace_id).await?;
        Ok::<_, Fault>(run_matches(filter, &found.summary, events.iter()).then_some(found))
    };
    stream::iter(found)
        .map(look)
        .buffered(AT_ONCE)
        .try_filter_map(|found| async { Ok(found) })
        .try_collect()
        .await
}

/// A page of runs that have not ended, the oldest first.
async fn open_page(container: &Container, page: &Page) -> Result<(Vec<RunSummary>, Option<Cursor>), Fault> {
    let limit = page.limit.min(MAX_PAGE);
    let mut question = Question::about(RUN);
    question.require("c.open = true");
    if let Some((started, id)) = page.after.as_ref().map(Cursor::run).transpose()? {
        question.compare("c.place", ">", place_of_run(started, id));
    }
    let documents = documents(container, question, "ORDER BY c.place", Some(limit.saturating_add(1))).await?;
    let mut found: Vec<RunSummary> =
        stand(container, documents).await?.into_iter().map(|found| found.summary).collect();
    let is_all = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_all).map(Cursor::of_run);
    Ok((found, next))
}

pub(super) async fn open_runs(container: &Container, page: &Page) -> Result<Paged<OpenRun>, Fault> {
    let (found, next) = open_page(container, page).await?;
    let look = |summary: RunSummary| async move {
        let events = of_trace(container, summary.trace_id).await?;
        Ok::<_, Fault>(OpenRun::of(summary, &events))
    };
    let items = stream::iter(found).map(look).buffered(AT_ONCE).try_collect().await?;
    Ok(Paged { items, next })
}

pub(super) async fn open_summaries(container: &Container, page: &Page) -> Result<Paged<OpenSummary>, Fault> {
    let (found, next) = open_page(container, page).await?;
    let look = |summary: RunSummary| async move {
        let last = last_moment(container, summary.trace_id).await?.unwrap_or(summary.started);
        Ok::<_, Fault>(OpenSummary::new(summary, last))
    };
    let items = stream::iter(found).map(look).buffered(AT_ONCE).try_collect().await?;
    Ok(Paged { items, next })
}

pub(super) async fn with_id_prefix(
    container: &Container,
    prefix: &str,
    limit: usize,
) -> Result<Vec<TraceId>, Fault> {
    if !prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Fault::Read(ReadError::InvalidQuery {
            reason: format!("`{prefix}` is not the beginning of a trace id: use lower-case hex digits"),
        }));
    }
    if limit == 0 {
        return Ok(Vec::new());
    }
    let mut question = Question::about(RUN);
    question.compare("c.trace_id", ">=", prefix);
    // No digit comes after this one.
    question.compare("c.trace_id", "<", format!("{prefix}g"));
    let documents = documents(container, question, "ORDER BY c.trace_id", Some(limit)).await?;
    Ok(documents.iter().map(|document| document.trace_id).collect())
}
