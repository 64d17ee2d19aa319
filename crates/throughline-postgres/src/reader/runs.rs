//! Runs that match a filter, and runs that have not ended.

use std::collections::HashMap;

use throughline_model::fold::{RunFold, RunRow, cause_of_run, run_matches};
use throughline_model::{
    Cursor, FailureSummary, Filter, InstanceId, OpenRun, OpenSummary, Page, Paged, RunState, RunSummary,
    Status, Timestamp, TraceEvent, TraceId,
};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::MAX_PAGE;
use super::question::Question;
use crate::append::event_of;
use crate::error::Fault;
use crate::lease::liveness_of;
use crate::text::status_code;

const RUN: &str = "SELECT r.id, r.trace_id, r.status, r.owner, r.started, r.ended, r.state::text, \
    throughline.liveness(i.id, i.opened, i.closed, i.expires) \
    FROM throughline.run r LEFT JOIN throughline.instance i ON i.id = r.owner";

/// How many runs are looked at in one go where their events have to be read.
const CANDIDATES: usize = 200;

/// A run as its row has it.
pub(super) struct Found {
    id: i64,
    pub(super) summary: RunSummary,
    is_cause_unknown: bool,
}

impl Found {
    fn of(row: &Row) -> Result<Self, Fault> {
        let trace_id = trace_id(row.try_get(1)?)?;
        let damaged = || Fault::Damaged(format!("the column `state` of run {trace_id} can't be read"));
        let state: RunRow = serde_json::from_str(row.try_get(6)?).map_err(|_| damaged())?;
        let owner = InstanceId::from_u64(row.try_get::<_, i64>(3)? as u64);
        let status = status_of(row.try_get(2)?);
        let stands = RunState::of(status, liveness_of(owner, row.try_get(7)?));
        let started = Timestamp::from_micros(row.try_get(4)?);
        let ended = row.try_get::<_, Option<i64>>(5)?.map(Timestamp::from_micros);
        Ok(Self {
            id: row.try_get(0)?,
            summary: state.summary(stands, started, ended).ok_or_else(damaged)?,
            is_cause_unknown: state.is_cause_unknown(),
        })
    }

    /// Adds the cause of a run that was too long for its writer to look for it.
    async fn complete(&mut self, client: &Client) -> Result<(), Fault> {
        if self.is_cause_unknown {
            let events = events_of(client, &[self.id]).await?.remove(&self.id).unwrap_or_default();
            let fold = RunFold::of(&events);
            let cause = cause_of_run(&fold, &events);
            self.summary.cause = cause.map(|cause| FailureSummary::among(cause, &events));
        }
        Ok(())
    }
}

pub(super) fn status_of(code: i16) -> Status {
    match code {
        0 => Status::Pending,
        1 => Status::Success,
        2 => Status::Failed,
        _ => Status::Cancelled,
    }
}

pub(super) fn trace_id(bytes: &[u8]) -> Result<TraceId, Fault> {
    let id = bytes.try_into().ok().and_then(TraceId::from_bytes);
    id.ok_or_else(|| Fault::Damaged("a column `trace_id` has no trace id".to_owned()))
}

/// The events of runs, by the numbers of these.
async fn events_of(client: &Client, runs: &[i64]) -> Result<HashMap<i64, Vec<TraceEvent>>, Fault> {
    let sql = "SELECT e.event::text, r.id FROM throughline.run r \
               JOIN throughline.event e ON e.run = r.id AND e.day = r.day WHERE r.id = ANY ($1)";
    let mut events: HashMap<i64, Vec<TraceEvent>> = HashMap::new();
    for row in client.query_typed(sql, &[(&runs, Type::INT8_ARRAY)]).await? {
        events.entry(row.try_get(1)?).or_default().push(event_of(&row)?);
    }
    Ok(events)
}

pub(super) async fn one(client: &Client, id: TraceId) -> Result<Option<RunSummary>, Fault> {
    let id = id.to_bytes();
    let sql = format!("{RUN} WHERE r.trace_id = $1");
    let Some(row) = client.query_typed_opt(&sql, &[(&&id[..], Type::BYTEA)]).await? else { return Ok(None) };
    let mut found = Found::of(&row)?;
    found.complete(client).await?;
    Ok(Some(found.summary))
}

pub(super) async fn find(client: &Client, filter: &Filter, page: &Page) -> Result<Paged<RunSummary>, Fault> {
    let Paged { items, next } = found(client, filter, page).await?;
    Ok(Paged { items: items.into_iter().map(|found| found.summary).collect(), next })
}

pub(super) async fn find_with_causes(
    client: &Client,
    filter: &Filter,
    page: &Page,
) -> Result<Paged<RunSummary>, Fault> {
    let Paged { mut items, next } = found(client, filter, page).await?;
    for found in &mut items {
        found.complete(client).await?;
    }
    Ok(Paged { items: items.into_iter().map(|found| found.summary).collect(), next })
}

async fn found(client: &Client, filter: &Filter, page: &Page) -> Result<Paged<Found>, Fault> {
    let mut after = page.after.as_ref().map(Cursor::run).transpose()?;
    let limit = page.limit.min(MAX_PAGE);
    let asks_for_kind = !filter.statuses.is_empty() || filter.event_type.is_some() || !filter.tags.is_empty();
    let asks_for_failures =
        filter.statuses == [Status::Failed] && filter.event_type.is_none() && filter.tags.is_empty();
    // The row of a run says neither which attributes and tags its events have, nor that one event has all that is asked.
    let is_told_by_row = filter.attrs.is_empty() && (asks_for_failures || !asks_for_kind);
    let chunk = if is_told_by_row { limit.saturating_add(1) } else { CANDIDATES };
    let mut items: Vec<Found> = Vec::new();
    while limit > 0 && items.len() <= limit {
        let mut question = Question::default();
        question.require_scope(&filter.scope, "r.started", "r.workflow");
        if let Some(service) = &filter.service {
            let service = question.text(service);
            question.require(format!("r.service = {service}"));
        }
        if let Some(key) = &filter.correlation_id {
            let key = question.text(key);
            question.require(format!(
                "left(r.correlation_id, 200) = left({key}, 200) AND r.correlation_id = {key}"
            ));
        }
        if filter.statuses == [Status::Failed] || filter.outcomes == [Status::Failed] {
            question.require("r.has_failure".to_owned());
        }
        match filter.outcomes[..] {
            [] => {}
            // Written out, so that the indexes of open and of cancelled runs are found.
            [one @ (Status::Pending | Status::Cancelled)] => {
                question.require(format!("r.status = {}", status_code(one)));
            }
            _ => {
                let codes: Vec<i16> = filter.outcomes.iter().copied().map(status_code).collect();
                let codes = question.value(codes, Type::INT2_ARRAY);
                question.require(format!("r.status = ANY ({codes})"));
            }
        }
        let kind = question.kind(filter);
        if !asks_for_failures && !kind.is_empty() {
            question.require(format!(
                "EXISTS (SELECT FROM throughline.event e WHERE e.run = r.id AND e.day = r.day AND {})",
                kind.join(" AND ")
            ));
        }
        if let Some((started, trace_id)) = after {
            let started = question.number(started.as_micros());
            let trace_id = question.value(trace_id.to_bytes().to_vec(), Type::BYTEA);
            question.require(format!("(r.started, r.trace_id) < ({started}, {trace_id})"));
        }
        let sql = format!(
            "{RUN} WHERE {} ORDER BY r.started DESC, r.trace_id DESC LIMIT {chunk}",
            question.holds()
        );
        let rows = question.ask(client, &sql).await?;
        let is_last = rows.len() < chunk;
        let found = rows.iter().map(Found::of).collect::<Result<Vec<_>, _>>()?;
        after = found.last().map(|found| (found.summary.started, found.summary.trace_id));
        let events = match is_told_by_row {
            true => HashMap::new(),
            false => events_of(client, &found.iter().map(|found| found.id).collect::<Vec<_>>()).await?,
        };
        for found in found {
            let matches = is_told_by_row || {
                let events = events.get(&found.id).map(Vec::as_slice).unwrap_or_default();
                run_matches(filter, &found.summary, events.iter())
            };
            if matches && items.len() <= limit {
                items.push(found);
            }
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

/// A page of runs that have not ended, the oldest first.
async fn open_page(client: &Client, page: &Page) -> Result<(Vec<Found>, Option<Cursor>), Fault> {
    let limit = page.limit.min(MAX_PAGE);
    let mut question = Question::default();
    if let Some((started, trace_id)) = page.after.as_ref().map(Cursor::run).transpose()? {
        let started = question.number(started.as_micros());
        let trace_id = question.value(trace_id.to_bytes().to_vec(), Type::BYTEA);
        question.require(format!("(r.started, r.trace_id) > ({started}, {trace_id})"));
    }
    let sql = format!(
        "{RUN} WHERE r.status = 0 AND {} ORDER BY r.started, r.trace_id LIMIT {}",
        question.holds(),
        limit.saturating_add(1)
    );
    let rows = question.ask(client, &sql).await?;
    let mut found = rows.iter().map(Found::of).collect::<Result<Vec<_>, _>>()?;
    let is_all = found.len() <= limit;
    found.truncate(limit);
    let next = found.last().filter(|_| !is_all).map(|last| Cursor::of_run(&last.summary));
    Ok((found, next))
}

pub(super) async fn open_runs(client: &Client, page: &Page) -> Result<Paged<OpenRun>, Fault> {
    let (found, next) = open_page(client, page).await?;
    let mut events = events_of(client, &found.iter().map(|found| found.id).collect::<Vec<_>>()).await?;
    let open = |found: Found| {
        let events = events.remove(&found.id).unwrap_or_default();
        OpenRun::of(found.summary, &events)
    };
    Ok(Paged { items: found.into_iter().map(open).collect(), next })
}

pub(super) async fn open_summaries(client: &Client, page: &Page) -> Result<Paged<OpenSummary>, Fault> {
    let (found, next) = open_page(client, page).await?;
    let ids: Vec<i64> = found.iter().map(|found| found.id).collect();
    let latest = "SELECT r.id, throughline.last_event(r.id, r.day, r.latest) FROM throughline.run r WHERE r.id = ANY($1)";
    let rows = client.query_typed(latest, &[(&ids, Type::INT8_ARRAY)]).await?;
    let moment = |row: &Row| Ok((row.try_get(0)?, Timestamp::from_micros(row.try_get(1)?)));
    let latest = rows.iter().map(moment).collect::<Result<HashMap<i64, Timestamp>, Fault>>()?;
    // A run that was removed in the meantime is none any more.
    let open = |found: Found| Some(OpenSummary::new(found.summary, *latest.get(&found.id)?));
    Ok(Paged { items: found.into_iter().filter_map(open).collect(), next })
}
