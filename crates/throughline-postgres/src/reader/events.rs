//! Events: of one run, of a job, or whatever matches a filter.

use throughline_model::fold::Position;
use throughline_model::{Cursor, Filter, JobAttempt, JobKey, Page, Paged, SpanId, TraceEvent, TraceId};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::MAX_PAGE;
use super::question::Question;
use crate::append::{event_of, job_column};
use crate::error::Fault;
use crate::text::sortable;

const OF_TRACE: &str = "SELECT e.event::text FROM throughline.run r \
    JOIN throughline.event e ON e.run = r.id AND e.day = r.day WHERE r.trace_id = $1";

/// What a [`Position`] is in SQL.
const POSITION: [&str; 6] =
    ["e.ts", "e.instance", "e.n", "r.trace_id", "(e.span # (-9223372036854775808)::bigint)", "e.seq"];

/// How many events are looked at in one go where a filter can't be answered in SQL.
const CANDIDATES: usize = 1000;

fn position(question: &mut Question, at: &Position) -> String {
    let values = [
        question.number(at.timestamp.as_micros()),
        question.number(sortable(at.instance.to_u64())),
        question.number(sortable(at.n)),
        question.value(at.id.trace_id.to_bytes().to_vec(), Type::BYTEA),
        question.number(sortable(at.id.span_id.to_u64())),
        question.number(i64::from(at.id.seq)),
    ];
    values.join(", ")
}

/// The events of a run, or of one of its spans.
pub(super) async fn of_trace(
    client: &Client,
    id: TraceId,
    span: Option<SpanId>,
) -> Result<Vec<TraceEvent>, Fault> {
    let (id, span) = (id.to_bytes(), span.map(|span| span.to_u64().cast_signed()));
    let sql = "SELECT * FROM throughline.events_of($1, $2)";
    let rows = client.query_typed(sql, &[(&&id[..], Type::BYTEA), (&span, Type::INT8)]).await?;
    let mut events = rows.iter().map(event_of).collect::<Result<Vec<_>, _>>()?;
    events.sort_by_cached_key(Position::of);
    Ok(events)
}

pub(super) async fn page_of_trace(
    client: &Client,
    id: TraceId,
    page: &Page,
) -> Result<Paged<TraceEvent>, Fault> {
    let after = page.after.as_ref().map(Cursor::event).transpose()?;
    let limit = page.limit.min(MAX_PAGE);
    let mut question = Question::default();
    question.value(id.to_bytes().to_vec(), Type::BYTEA);
    let order = POSITION.join(", ");
    if let Some(after) = after {
        let after = position(&mut question, &after);
        question.require(format!("({order}) > ({after})"));
    }
    let sql =
        format!("{OF_TRACE} AND {} ORDER BY {order} LIMIT {}", question.holds(), limit.saturating_add(1));
    let rows = question.ask(client, &sql).await?;
    let items = rows.iter().map(event_of).collect::<Result<Vec<_>, _>>()?;
    Ok(paged(items, limit))
}

pub(super) async fn last_attempt(
    client: &Client,
    id: TraceId,
    job: &JobKey,
) -> Result<Option<JobAttempt>, Fault> {
    let (id, job_id) = (id.to_bytes(), job_column(&job.job_id));
    let sql = format!(
        "{OF_TRACE} AND e.span IN (SELECT j.span FROM throughline.event j \
         WHERE j.run = r.id AND j.day = r.day AND j.job = $2)"
    );
    let rows = client.query_typed(&sql, &[(&&id[..], Type::BYTEA), (&job_id, Type::TEXT)]).await?;
    let events = rows.iter().map(event_of).collect::<Result<Vec<_>, _>>()?;
    Ok(job.last_attempt(&events))
}

pub(super) async fn find(client: &Client, filter: &Filter, page: &Page) -> Result<Paged<TraceEvent>, Fault> {
    let mut before = page.after.as_ref().map(Cursor::event).transpose()?;
    let limit = page.limit.min(MAX_PAGE);
    let is_told_by_columns = filter.attrs.is_empty() && filter.tags.is_empty();
    let chunk = if is_told_by_columns { limit.saturating_add(1) } else { CANDIDATES };
    let order = POSITION.join(", ");
    let mut items: Vec<TraceEvent> = Vec::new();
    while limit > 0 && items.len() <= limit {
        let mut question = Question::default();
        question.require_scope(&filter.scope, "e.ts", "e.workflow");
        for condition in question.kind(filter) {
            question.require(condition);
        }
        if let Some(key) = &filter.correlation_id {
            let key = question.text(key);
            question.require(format!("e.correlation_id = {key}"));
        }
        if let Some(service) = &filter.service {
            let service = question.text(service);
            question.require(format!("e.service = {service}"));
        }
        if let Some(before) = before {
            let until = question.number(before.timestamp.as_micros());
            let before = position(&mut question, &before);
            question.require(format!("e.ts <= {until} AND ({order}) < ({before})"));
        }
        let sql = format!(
            "SELECT e.event::text FROM throughline.event e \
             JOIN throughline.run r ON r.id = e.run AND r.day = e.day \
             WHERE {} ORDER BY {} DESC LIMIT {chunk}",
            question.holds(),
            POSITION.join(" DESC, ")
        );
        let rows = question.ask(client, &sql).await?;
        let events = rows.iter().map(event_of).collect::<Result<Vec<_>, _>>()?;
        before = events.last().map(Position::of);
        items.extend(events.into_iter().filter(|event| filter.matches(event)));
        if rows.len() < chunk {
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
