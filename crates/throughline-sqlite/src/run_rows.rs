//! Moves runs between the writer's cache and the table `run`.

use std::collections::HashSet;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use rustc_hash::{FxHashMap, FxHashSet};
use throughline_model::fold::{Change, Position, RootMarks, RunFold, RunMarks, RunStanding};
use throughline_model::names::tags;
use throughline_model::{EventId, InstanceId, SpanId, Text, Timestamp, TraceEvent, TraceId};

use crate::block::{status_code, status_of};
use crate::cause;
use crate::instances::instance_id;
use crate::json::Rest;
use crate::names::Names;
use crate::run::{Mark, Run};

/// A run as the writer keeps it, read from its row and the events that the row names.
pub(crate) fn load(connection: &Connection, trace_id: TraceId) -> Result<Option<Run>> {
    let row = connection
        .prepare_cached(
            "SELECT id, started, correlation_id, attrs, root, head, last, failure, named, keyed, compensating, \
             detached FROM run WHERE trace_id = ?1",
        )?
        .query_row([trace_id.to_bytes()], |row| {
            let attrs: Option<String> = row.get(3)?;
            let run = Run {
                id: row.get(0)?,
                trace_id,
                change: Change::Nothing,
                is_stored: true,
                fold: RunFold::new(),
                correlation: row.get::<_, Option<String>>(2)?.map(Text::from),
                attrs: attrs.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
                noted: FxHashSet::default(),
            };
            let marks: [Option<i64>; 6] =
                [row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?, row.get(9)?];
            Ok((run, Timestamp::from_micros(row.get(1)?), marks, row.get(10)?, row.get(11)?))
        })
        .optional()?;
    let Some((mut run, started, marks_of_row, is_compensating, has_detached)) = row else { return Ok(None) };
    let [root, head, last, failure, named, keyed] = marks_of_row;
    let find = |id: Option<i64>| id.map_or(Ok(None), |id| mark(connection, &run, id));
    let root = match (find(root)?, find(head)?, find(last)?) {
        (Some(root), Some(head), Some(last)) => Some(RootMarks { root, head, last }),
        _ => None,
    };
    let rootless = match root {
        Some(_) => Vec::new(),
        None => marks(connection, &run, "WHERE e.run = ?1", params![run.id])?,
    };
    let (detached, retried) = match has_detached {
        true => detached(connection, &run)?,
        false => (Vec::new(), HashSet::new()),
    };
    run.fold = RunFold::restore(RunMarks {
        started,
        root,
        rootless,
        detached,
        retried,
        names_workflow: find(named)?,
        names_correlation_id: find(keyed)?,
        first_failure: find(failure)?,
        is_compensating,
    });
    Ok(Some(run))
}

/// The events of detached spans, and what these tried again. Few runs have any, and those have few.
fn detached(connection: &Connection, run: &Run) -> Result<(Vec<Mark>, HashSet<SpanId>)> {
    let sql = format!(
        "{MARK} {OF_EVENTS} WHERE e.run = ?1 \
         AND e.span IN (SELECT span FROM event WHERE run = ?1 AND tags LIKE ?2)"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![run.id, format!("%\"{}\"%", tags::DETACHED)])?;
    let (mut marks, mut detached, mut retried) = (Vec::new(), HashSet::new(), HashSet::new());
    while let Some(row) = rows.next()? {
        let Some(span) = SpanId::from_u64(row.get::<_, i64>(4)? as u64) else { continue };
        let event = relations(row, run, span)?;
        let mark = read_mark(row, run, &event)?;
        if event.is_detached() {
            detached.insert(span);
            retried.extend(event.retried());
        }
        marks.push(mark);
    }
    marks.retain(|mark| detached.contains(&mark.span_id()));
    Ok((marks, retried))
}

/// What [`read_mark`] and [`relations`] read.
const MARK: &str = "SELECT e.id, e.ts, i.key, e.n, e.span, e.seq, e.status, s.text, w.text, e.correlation, e.duration, \
     e.parent, e.tags, e.rest";
const OF_EVENTS: &str = "FROM event e JOIN instance i ON i.id = e.instance JOIN name s ON s.id = e.service \
     LEFT JOIN name w ON w.id = e.workflow";

/// All events of one span of a run.
pub(crate) fn marks_of_span(connection: &Connection, run: &Run, span: SpanId) -> Result<Vec<Mark>> {
    marks(connection, run, "WHERE e.run = ?1 AND e.span = ?2", params![run.id, span.to_u64() as i64])
}

fn mark(connection: &Connection, run: &Run, id: i64) -> Result<Option<Mark>> {
    Ok(marks(connection, run, "WHERE e.id = ?1", params![id])?.pop())
}

fn marks(
    connection: &Connection,
    run: &Run,
    which: &str,
    params: &[&dyn rusqlite::ToSql],
) -> Result<Vec<Mark>> {
    let sql = format!("{MARK} {OF_EVENTS} {which}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params)?;
    let mut marks = Vec::new();
    while let Some(row) = rows.next()? {
        // A span id of zero is none; only a file that was changed by hand has one.
        if let Some(span) = SpanId::from_u64(row.get::<_, i64>(4)? as u64) {
            marks.push(read_mark(row, run, &relations(row, run, span)?)?);
        }
    }
    Ok(marks)
}

/// An event with nothing but what it has to do with other spans.
fn relations(row: &Row<'_>, run: &Run, span: SpanId) -> Result<TraceEvent> {
    let at = Timestamp::from_micros(row.get(1)?);
    let mut event = TraceEvent::new(run.trace_id, span, Text::default(), at, Text::default());
    event.parent_span_id = row.get::<_, Option<i64>>(11)?.and_then(|parent| SpanId::from_u64(parent as u64));
    let [tags, rest]: [Option<String>; 2] = [row.get(12)?, row.get(13)?];
    event.tags = tags.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    let mut rest: Rest<'_> = rest.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
    (event.parent_trace_id, event.links) = (rest.parent_trace_id, rest.take_links());
    Ok(event)
}

fn read_mark(row: &Row<'_>, run: &Run, relations: &TraceEvent) -> Result<Mark> {
    let correlation_id = match row.get_ref(9)? {
        ValueRef::Null => None,
        ValueRef::Integer(_) => run.correlation.clone(),
        other => Some(Text::from(other.as_str()?.to_owned())),
    };
    Ok(Mark {
        key: row.get(0)?,
        position: Position {
            timestamp: relations.timestamp,
            instance: InstanceId::from_u64(row.get::<_, i64>(2)? as u64),
            n: row.get::<_, i64>(3)? as u64,
            id: EventId { trace_id: run.trace_id, span_id: relations.span_id, seq: row.get(5)? },
        },
        status: status_of(row.get(6)?),
        is_root: relations.is_root(),
        has_remote_parent: relations.has_remote_parent(),
        duration_us: row.get::<_, Option<i64>>(10)?.map(|micros| micros as u64),
        service: Text::from(row.get::<_, String>(7)?),
        workflow: row.get::<_, Option<String>>(8)?.map(Text::from),
        correlation_id,
    })
}

/// Brings the row of a run up to date.
pub(crate) fn store(
    connection: &Connection,
    names: &mut Names,
    instances: &mut FxHashMap<InstanceId, i64>,
    run: &mut Run,
) -> Result<()> {
    let fold = &run.fold;
    let (Some(started), Some(head), Some(RunStanding { status, owner })) =
        (fold.started(), fold.head(), fold.standing())
    else {
        return Ok(());
    };
    cause::store(connection, run.id, run.trace_id, fold)?;
    let owner = instance_id(instances, connection, owner)?;
    let ended = fold.ended().map(Timestamp::as_micros);
    let key = |mark: Option<&Mark>| mark.map(|mark| mark.key);
    let (last, failure) = (key(fold.last()), key(fold.first_failure()));
    let (is_compensating, has_detached) = (fold.is_compensating(), fold.has_detached());
    if run.change == Change::Course {
        connection
            .prepare_cached(
                "UPDATE run SET ended = ?2, status = ?3, owner = ?4, last = ?5, failure = ?6, compensating = ?7, \
                 detached = ?8 WHERE id = ?1",
            )?
            .execute(params![
                run.id,
                ended,
                status_code(status),
                owner,
                last,
                failure,
                is_compensating,
                has_detached
            ])?;
        run.change = Change::Nothing;
        return Ok(());
    }
    let service = names.id(connection, &head.service)?;
    let workflow = match fold.workflow() {
        Some(workflow) => Some(names.id(connection, workflow)?),
        None => None,
    };
    let correlation = fold.correlation_id().cloned();
    let attrs = match run.attrs.is_empty() {
        true => None,
        false => serde_json::to_string(&run.attrs).ok(),
    };
    // Not one statement for both: what triggers do when a run is changed would cost each new one.
    let sql = match run.is_stored {
        false => {
            "INSERT INTO run (id, trace_id, started, ended, status, owner, service, workflow, correlation_id, attrs, \
             root, head, last, failure, named, keyed, compensating, detached) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
        }
        true => {
            "UPDATE run SET started = ?3, ended = ?4, status = ?5, owner = ?6, service = ?7, workflow = ?8, \
             correlation_id = ?9, root = ?11, head = ?12, last = ?13, failure = ?14, named = ?15, keyed = ?16, \
             compensating = ?17, detached = ?18 WHERE id = ?1"
        }
    };
    connection.prepare_cached(sql)?.execute(params![
        run.id,
        run.trace_id.to_bytes(),
        started.as_micros(),
        ended,
        status_code(status),
        owner,
        service,
        workflow,
        correlation.as_deref(),
        attrs,
        key(fold.root()),
        head.key,
        last,
        failure,
        key(fold.names_workflow()),
        key(fold.names_correlation_id()),
        is_compensating,
        has_detached,
    ])?;
    if correlation != run.correlation {
        if let Some(meant) = &run.correlation {
            connection
                .prepare_cached("UPDATE event SET correlation = ?2 WHERE run = ?1 AND correlation = 1")?
                .execute(params![run.id, meant.as_str()])?;
        }
        run.correlation = correlation;
    }
    (run.change, run.is_stored) = (Change::Nothing, true);
    Ok(())
}
