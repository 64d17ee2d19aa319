//! Runs that match a filter, and runs that have not ended.

use std::ops::ControlFlow;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};
use throughline_model::fold::Position;
use throughline_model::{
    Attrs, Cursor, FailureSummary, Filter, Liveness, OpenRun, OpenSummary, Page, Paged, RootSummary,
    RunState, RunSummary, SpanId, Status, Text, Timestamp, TraceEvent, TraceId, names,
};

use super::question::Question;
use super::rows::{Cache, EventsOfRun, OUTLINE, RunRows, json, trace_id};
use super::session::Session;
use crate::block::status_of;
use crate::cause;
use crate::error::Fault;
use crate::json::StoredError;
use crate::{latest, lease};

/// Which causes of runs are wanted.
#[derive(Clone, Copy)]
pub(super) enum Causes {
    All,
    /// Those for which no events have to be read.
    Kept,
}

pub(super) fn find(
    session: &mut Session,
    filter: &Filter,
    page: &Page,
    causes: Causes,
) -> Result<Paged<RunSummary>, Fault> {
    let (snapshot, cache) = session.snapshot()?;
    let connection = &snapshot;
    let mut found = Paged { items: Vec::new(), next: None };
    let after = page.after.as_ref().map(Cursor::run).transpose()?;
    let Some(mut question) = Question::new(connection, filter, after)? else { return Ok(found) };
    if page.limit == 0 {
        return Ok(found);
    }
    let mut last: Option<Cursor> = None;
    question.each(connection, cache, |cache, run| {
        if found.items.len() == page.limit {
            found.next = last.take();
            return Ok(ControlFlow::Break(()));
        }
        if let Some(summary) = summary(connection, cache, run, causes)? {
            last = Some(Cursor::of_run(&summary));
            found.items.push(summary);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

pub(super) fn events(
    connection: &Connection,
    cache: &mut Cache,
    run: i64,
    statements: EventsOfRun,
) -> Result<Vec<TraceEvent>, Fault> {
    match cache.shared(connection, run)? {
        Some(shared) => cache.events_of(&RunRows { connection, number: run, shared: &shared, statements }),
        None => Ok(Vec::new()),
    }
}

pub(super) fn one(session: &mut Session, id: TraceId) -> Result<Option<RunSummary>, Fault> {
    let (snapshot, cache) = session.snapshot()?;
    let run = snapshot
        .prepare_cached("SELECT id FROM run WHERE trace_id = ?1")?
        .query_row([id.to_bytes()], |row| row.get(0))
        .optional()?;
    run.map_or(Ok(None), |run| summary(&snapshot, cache, run, Causes::All))
}

fn summary(
    connection: &Connection,
    cache: &mut Cache,
    run: i64,
    causes: Causes,
) -> Result<Option<RunSummary>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT r.trace_id, r.status, r.owner, r.service, r.workflow, r.correlation_id, r.started, r.ended, \
                CASE WHEN r.detached THEN r.ended - r.started ELSE l.duration END, f.span, f.type, f.error, \
                r.root, h.span, h.type, h.attempt, h.workflow, h.tags, l.status, c.run, c.event, h.attrs, r.attrs, \
                f.attrs, f.workflow, f.step_index, f.step_total \
         FROM run r LEFT JOIN event l ON l.id = r.last LEFT JOIN event f ON f.id = r.failure \
         LEFT JOIN event h ON h.id = r.head LEFT JOIN cause c ON c.run = r.id WHERE r.id = ?1",
    )?;
    let mut rows = statement.query([run])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let invalid = |what: &str| Fault::Damaged(format!("run {run} has an invalid {what}"));
    let status = status_of(row.get(1)?);
    // Of a run that has ended, nobody asks whether its process lives.
    let liveness = match status {
        Status::Pending => {
            let owner = cache.instance(connection, row.get(2)?)?;
            lease::liveness(connection, cache.path(), owner)?
        }
        _ => Liveness::Dead,
    };
    let mut summary = RunSummary::new(
        trace_id(row.get_ref(0)?).ok_or_else(|| invalid("trace id"))?,
        RunState::of(status, liveness),
        cache.name(connection, row.get(3)?)?,
        Timestamp::from_micros(row.get(6)?),
    );
    if let Some(workflow) = row.get::<_, Option<i64>>(4)? {
        summary.workflow = Some(cache.name(connection, workflow)?);
    }
    summary.correlation_id = row.get::<_, Option<String>>(5)?.map(Text::from);
    if row.get::<_, Option<i64>>(12)?.is_some() {
        summary.root = Some(root(row, cache, connection)?.ok_or_else(|| invalid("root"))?);
    }
    summary.ended = row.get::<_, Option<i64>>(7)?.map(Timestamp::from_micros);
    if summary.ended.is_some() {
        summary.duration_us = row.get::<_, Option<i64>>(8)?.map(|micros| micros as u64);
    }
    if row.get::<_, Option<i64>>(9)?.is_some() {
        let mut failure = mention(row, [9, 10, 11, 23, 24], row.get_ref(22)?, cache, connection)?;
        (failure.step_index, failure.step_total) = (row.get(25)?, row.get(26)?);
        summary.first_failure = Some(FailureSummary::from(&failure));
    }
    let may_have_cause = summary.root.is_some()
        && status != Status::Pending
        && (summary.first_failure.is_some() || status == Status::Cancelled);
    if may_have_cause {
        let cause = match (row.get::<_, Option<i64>>(19)?, causes) {
            (Some(_), _) => row.get(20)?,
            (None, Causes::All) => cause::find(connection, run, summary.trace_id)?,
            (None, Causes::Kept) => None,
        };
        if let Some(event) = cause {
            let mut statement = connection.prepare_cached(
                "SELECT span, type, error, attrs, workflow, step_index, step_total, parent FROM event WHERE id = ?1",
            )?;
            let mut rows = statement.query([event])?;
            if let Some(found) = rows.next()? {
                let shared = row.get_ref(22)?;
                let mut cause = mention(found, [0, 1, 2, 3, 4], shared, cache, connection)?;
                (cause.step_index, cause.step_total) = match (found.get(5)?, found.get(7)?) {
                    (None, Some(parent)) => step_around(connection, run, parent)?,
                    (own, _) => (own, found.get(6)?),
                };
                summary.cause = Some(FailureSummary::from(&cause));
            }
        }
    }
    Ok(Some(summary))
}

/// The number of the innermost step around something in this span, and of how many.
fn step_around(connection: &Connection, run: i64, span: i64) -> Result<(Option<u32>, Option<u32>), Fault> {
    /// Broken records may have their spans in a circle.
    const DEEPEST: usize = 1_000;
    let mut first = connection.prepare_cached(
        "SELECT step_index, step_total, parent FROM event WHERE run = ?1 AND span = ?2 ORDER BY seq LIMIT 1",
    )?;
    let mut span = Some(span);
    for _ in 0..DEEPEST {
        let Some(around) = span else { break };
        let mut rows = first.query([run, around])?;
        let Some(row) = rows.next()? else { break };
        if let Some(index) = row.get(0)? {
            return Ok((Some(index), row.get(1)?));
        }
        span = row.get(2)?;
    }
    Ok((None, None))
}

/// What is said of an event in a list, from the columns `span`, `type`, `error`, `attrs` and `workflow` of it and the attributes
/// of its run.
fn mention(
    row: &Row<'_>,
    [span, event_type, error, attrs, workflow]: [usize; 5],
    shared: ValueRef<'_>,
    cache: &mut Cache,
    connection: &Connection,
) -> Result<TraceEvent, Fault> {
    let invalid = |what: &str| Fault::Damaged(format!("an event has an invalid {what}"));
    let span = SpanId::from_u64(row.get::<_, i64>(span)? as u64).ok_or_else(|| invalid("span id"))?;
    let event_type = cache.name(connection, row.get(event_type)?)?;
    let mut event = blank(span, event_type);
    event.error = match row.get_ref(error)? {
        ValueRef::Null => None,
        error => Some(Box::new(json::<StoredError>(error).ok_or_else(|| invalid("`error`"))?.into())),
    };
    let workflow: Option<i64> = row.get(workflow)?;
    event.workflow = workflow.map(|id| cache.name(connection, id)).transpose()?;
    event.attrs = attributes(row.get_ref(attrs)?, shared);
    Ok(event)
}

/// What is said of a span: its first event, of which attributes and workflow matter.
fn first_of_span(
    connection: &Connection,
    cache: &mut Cache,
    run: i64,
    span: SpanId,
) -> Result<Option<TraceEvent>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT e.span, e.type, NULL, e.attrs, e.workflow, r.attrs FROM event e JOIN run r ON r.id = e.run \
         WHERE e.run = ?1 AND e.span = ?2 ORDER BY e.seq LIMIT 1",
    )?;
    let mut rows = statement.query([run, span.to_u64() as i64])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    mention(row, [0, 1, 2, 3, 4], row.get_ref(5)?, cache, connection).map(Some)
}

/// An event of which only these two things matter.
fn blank(span: SpanId, event_type: Text) -> TraceEvent {
    TraceEvent::new(TraceId::from_key(""), span, event_type, Timestamp::from_micros(0), Text::default())
}

/// The attributes of an event, which may be those of its run.
fn attributes(own: ValueRef<'_>, shared: ValueRef<'_>) -> Attrs {
    let attrs = if matches!(own, ValueRef::Integer(_)) { shared } else { own };
    match attrs {
        ValueRef::Null => Attrs::new(),
        attrs => json(attrs).unwrap_or_default(),
    }
}

/// The root span, from the columns of its first event.
fn root(row: &Row<'_>, cache: &mut Cache, connection: &Connection) -> Result<Option<RootSummary>, Fault> {
    let Some(span) = SpanId::from_u64(row.get::<_, i64>(13)? as u64) else { return Ok(None) };
    let workflow: Option<i64> = row.get(16)?;
    let mut first = blank(span, cache.name(connection, row.get(14)?)?);
    first.attempt = row.get(15)?;
    first.workflow = workflow.map(|id| cache.name(connection, id)).transpose()?;
    first.tags = match row.get_ref(17)? {
        ValueRef::Null => Vec::new(),
        tags => json(tags).unwrap_or_default(),
    };
    first.attrs = attributes(row.get_ref(21)?, row.get_ref(22)?);
    Ok(Some(RootSummary::of(&first, status_of(row.get(18)?))))
}

/// A page of runs that have not ended, the oldest first.
struct OpenPage {
    runs: Vec<i64>,
    is_all: bool,
}

impl OpenPage {
    fn new(connection: &Connection, page: &Page) -> Result<Self, Fault> {
        let after = page.after.as_ref().map(Cursor::run).transpose()?;
        let limit = i64::try_from(page.limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut runs = match after {
            None => connection
                .prepare_cached(
                    "SELECT id FROM run INDEXED BY run_open WHERE status = 0 ORDER BY started, trace_id LIMIT ?1",
                )?
                .query_map([limit], |row| row.get::<_, i64>(0))?
                .collect::<rusqlite::Result<Vec<_>>>()?,
            Some((started, trace_id)) => connection
                .prepare_cached(
                    "SELECT id FROM run INDEXED BY run_open WHERE status = 0 AND started >= ?2 \
                     AND (started > ?2 OR trace_id > ?3) ORDER BY started, trace_id LIMIT ?1",
                )?
                .query_map(params![limit, started.as_micros(), trace_id.to_bytes()], |row| {
                    row.get::<_, i64>(0)
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?,
        };
        let is_all = runs.len() <= page.limit;
        runs.truncate(page.limit);
        Ok(Self { runs, is_all })
    }

    fn into_paged<T>(self, items: Vec<T>, summary: impl Fn(&T) -> &RunSummary) -> Paged<T> {
        let next = items.last().filter(|_| !self.is_all).map(|last| Cursor::of_run(summary(last)));
        Paged { items, next }
    }
}

pub(super) fn open_runs(session: &mut Session, page: &Page) -> Result<Paged<OpenRun>, Fault> {
    let (snapshot, cache) = session.snapshot()?;
    let page = OpenPage::new(&snapshot, page)?;
    let mut open = Vec::with_capacity(page.runs.len());
    for run in &page.runs {
        if let Some(summary) = summary(&snapshot, cache, *run, Causes::All)? {
            let mut outline = events(&snapshot, cache, *run, OUTLINE)?;
            // Of these the attributes matter.
            let retries = outline.iter_mut().filter(|event| event.event_type == names::RETRY_SCHEDULED);
            if let Some(last) = retries.max_by_key(|event| Position::of(event))
                && let Some(first) = first_of_span(&snapshot, cache, *run, last.span_id)?
            {
                last.attrs = first.attrs;
            }
            let mut run_of = OpenRun::of(summary, &outline);
            if let Some(current) = &mut run_of.current
                && let Some(first) = first_of_span(&snapshot, cache, *run, current.span_id)?
            {
                current.name = first.span_name().into_owned().into();
            }
            open.push(run_of);
        }
    }
    Ok(page.into_paged(open, |open| &open.summary))
}

pub(super) fn open_summaries(session: &mut Session, page: &Page) -> Result<Paged<OpenSummary>, Fault> {
    let (snapshot, cache) = session.snapshot()?;
    let page = OpenPage::new(&snapshot, page)?;
    let unfolded = latest::unfolded(&snapshot)?;
    let mut open = Vec::with_capacity(page.runs.len());
    for run in &page.runs {
        if let Some(summary) = summary(&snapshot, cache, *run, Causes::All)? {
            let last_event = latest::of(&snapshot, &unfolded, *run)?;
            let last_event = last_event.map_or(summary.started, Timestamp::from_micros);
            open.push(OpenSummary::new(summary, last_event));
        }
    }
    Ok(page.into_paged(open, |open| &open.summary))
}

pub(super) fn find_by_id_prefix(
    session: &mut Session,
    prefix: &str,
    limit: usize,
) -> Result<Vec<TraceId>, Fault> {
    if !prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(Fault::invalid_query(
            "the beginning of a trace id consists of lower-case hex digits".to_owned(),
        ));
    }
    if prefix.len() > 32 {
        return Ok(Vec::new());
    }
    let bound = |fill| {
        let digits = format!("{prefix:\0<32}").replace('\0', fill);
        u128::from_str_radix(&digits, 16).unwrap_or_default().to_be_bytes()
    };
    let (snapshot, _) = session.snapshot()?;
    let mut statement = snapshot.prepare_cached(
        "SELECT trace_id FROM run WHERE trace_id BETWEEN ?1 AND ?2 ORDER BY trace_id LIMIT ?3",
    )?;
    let mut rows =
        statement.query(params![bound("0"), bound("f"), i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.extend(trace_id(row.get_ref(0)?));
    }
    Ok(ids)
}
