//! Events: of one run, of a job, or whatever matches a filter.

use azure_data_cosmos::FeedScope;
use throughline_model::fold::Position;
use throughline_model::{
    Cursor, Filter, JobAttempt, JobKey, Page, Paged, SpanId, Timestamp, TraceEvent, TraceId,
};

use super::MAX_PAGE;
use crate::container::Container;
use crate::document::{StoredEvent, place};
use crate::error::Fault;
use crate::partition::{EVENT, of_partition, partition, read};
use crate::question::Question;

/// How many events are looked at in one go where a filter can't be answered by the service.
const CANDIDATES: usize = 1000;

pub(super) async fn page_of_trace(
    container: &Container,
    id: TraceId,
    page: &Page,
) -> Result<Paged<TraceEvent>, Fault> {
    let limit = page.limit.min(MAX_PAGE);
    let mut question = Question::about("event");
    if let Some(after) = page.after.as_ref().map(Cursor::event).transpose()? {
        question.compare("c.at", ">", place(&after));
    }
    let query = question.query(EVENT, "ORDER BY c.at")?;
    let found = container.query::<StoredEvent>(partition(id), query, Some(limit.saturating_add(1))).await?;
    let items = read(found.items)?;
    Ok(paged(items, limit))
}

pub(super) async fn of_span(
    container: &Container,
    id: TraceId,
    span: SpanId,
) -> Result<Vec<TraceEvent>, Fault> {
    let mut question = Question::default();
    question.compare("c.span", "=", span.to_string().as_str());
    let mut events = of_partition(container, id, question).await?;
    events.sort_by_cached_key(Position::of);
    Ok(events)
}

/// When the last event of a run happened.
pub(super) async fn last_moment(container: &Container, id: TraceId) -> Result<Option<Timestamp>, Fault> {
    let query = Question::about("event").query(EVENT, "ORDER BY c.at DESC")?;
    let found = container.query::<StoredEvent>(partition(id), query, Some(1)).await?;
    let last = found.items.into_iter().next().map(StoredEvent::into_event).transpose()?;
    Ok(last.map(|event| event.timestamp))
}

pub(super) async fn last_attempt(
    container: &Container,
    id: TraceId,
    job: &JobKey,
) -> Result<Option<JobAttempt>, Fault> {
    let mut question = Question::default();
    question.compare("c.job", "=", job.job_id.as_str());
    Ok(job.last_attempt(&of_partition(container, id, question).await?))
}

pub(super) async fn find(
    container: &Container,
    filter: &Filter,
    page: &Page,
) -> Result<Paged<TraceEvent>, Fault> {
    let mut before = page.after.as_ref().map(Cursor::event).transpose()?.map(|before| place(&before));
    let limit = page.limit.min(MAX_PAGE);
    let chunk = if filter.attrs.is_empty() { limit.saturating_add(1) } else { CANDIDATES };
    let mut items: Vec<TraceEvent> = Vec::new();
    while limit > 0 && items.len() <= limit {
        let mut question = Question::about("event");
        question.require_scope(&filter.scope, "c.at");
        question.require_kind(filter);
        question.require_same("c.correlation_id", filter.correlation_id.as_deref());
        question.require_same("c.service", filter.service.as_deref());
        if let Some(before) = &before {
            question.compare("c.at", "<", before.as_str());
        }
        let query = question.query(EVENT, "ORDER BY c.at DESC")?;
        let mut found =
            container.query::<StoredEvent>(FeedScope::full_container(), query, Some(chunk)).await?.items;
        found.truncate(chunk);
        let is_last = found.len() < chunk;
        let events = read(found)?;
        before = events.last().map(|last| place(&Position::of(last)));
        items.extend(events.into_iter().filter(|event| filter.matches(event)));
        if is_last {
            break;
        }
    }
    Ok(paged(items, limit))
}

/// A page of events, of which more were found if there are more.
fn paged(mut items: Vec<TraceEvent>, limit: usize) -> Paged<TraceEvent> {
    let is_all = items.len() <= limit;
    items.truncate(limit);
    let next = items.last().filter(|_| !is_all).map(Cursor::of_event);
    Paged { items, next }
}
