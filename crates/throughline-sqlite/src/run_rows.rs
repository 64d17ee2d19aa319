//! Runs between the writer's memory and the table `run`.

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::Deserialize;
use throughline_model::names::tags;
use throughline_model::{InstanceId, Link, SpanId, Text, Timestamp, TraceEvent, TraceId};

use crate::block::{status_code, status_of};
use crate::names::Names;
use crate::run::{Change, Mark, Rooted, Run, Span, Standing};
use crate::writer::instance_id;

/// The run as the writer remembers it, read back from its row and the events that the row names.
pub(crate) fn load(connection: &Connection, trace_id: TraceId) -> Result<Option<Run>> {
    let row = connection
        .prepare_cached(
            "SELECT id, started, correlation_id, attrs, root, head, last, failure, named, keyed, compensating, \
             detached FROM run WHERE trace_id = ?1",
        )?
        .query_row([trace_id.to_bytes()], |row| {
            let marks: [Option<i64>; 6] =
                [row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?, row.get(8)?, row.get(9)?];
            let attrs: Option<String> = row.get(3)?;
            let run = Run {
                id: row.get(0)?,
                change: Change::Nothing,
                started: Timestamp::from_micros(row.get(1)?),
                standing: Standing::Rootless { spans: FxHashMap::default(), ends: None },
                named: None,
                keyed: None,
                failure: None,
                detached: FxHashMap::default(),
                retried: FxHashSet::default(),
                compensating: row.get(10)?,
                correlation: row.get::<_, Option<String>>(2)?.map(Text::from),
                attrs: attrs.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default(),
                noted: FxHashSet::default(),
            };
            Ok((run, marks, row.get(11)?))
        })
        .optional()?;
    let Some((mut run, marks_of_row, has_detached)) = row else { return Ok(None) };
    let [root, head, last, failure, named, keyed] = marks_of_row;
    let find = |id: Option<i64>| id.map_or(Ok(None), |id| mark(connection, &run, id));
    let (failure, named, keyed) = (find(failure)?, find(named)?, find(keyed)?);
    let rooted = (find(root)?, find(head)?, find(last)?);
    (run.failure, run.named, run.keyed) = (failure, named, keyed);
    match rooted {
        (Some(root), Some(first), Some(last)) => {
            run.standing = Standing::Rooted(Box::new(Rooted { root, span: Span { first, last } }));
        }
        _ => {
            for mark in marks(connection, &run, "WHERE e.run = ?1", params![run.id])? {
                run.standing.add_rootless(mark);
            }
        }
    }
    if has_detached {
        load_detached(connection, trace_id, &mut run)?;
    }
    Ok(Some(run))
}

/// The detached root spans of a run. Few runs have any, and those have few.
fn load_detached(connection: &Connection, trace_id: TraceId, run: &mut Run) -> Result<()> {
    let sql = format!("{MARK}, e.parent, e.tags, e.rest {OF_EVENTS} WHERE e.run = ?1 AND e.tags LIKE ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![run.id, format!("%\"{}\"%", tags::DETACHED)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(span) = SpanId::from_u64(row.get::<_, i64>(4)? as u64) else { continue };
        let mark = read_mark(row, run, span)?;
        let mut event = TraceEvent::new(trace_id, span, Text::default(), mark.position.0, Text::default());
        event.parent_span_id =
            row.get::<_, Option<i64>>(10)?.and_then(|parent| SpanId::from_u64(parent as u64));
        let [tags, rest]: [Option<String>; 2] = [row.get(11)?, row.get(12)?];
        event.tags = tags.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        let rest: Rest = rest.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        (event.parent_trace_id, event.links) = (rest.parent_trace_id, rest.links);
        if event.is_detached_root() {
            found.push((mark, event.retried().collect::<Vec<_>>()));
        }
    }
    for (mark, retried) in found {
        run.add_detached(mark, retried.into_iter());
    }
    Ok(())
}

/// Of what few events have, what says how spans are related.
#[derive(Default, Deserialize)]
struct Rest {
    #[serde(default)]
    parent_trace_id: Option<TraceId>,
    #[serde(default)]
    links: Vec<Link>,
}

/// What [`read_mark`] reads.
const MARK: &str = "SELECT e.id, e.ts, i.key, e.n, e.span, e.seq, e.status, s.text, w.text, e.correlation";
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
            marks.push(read_mark(row, run, span)?);
        }
    }
    Ok(marks)
}

fn read_mark(row: &Row<'_>, run: &Run, span: SpanId) -> Result<Mark> {
    use rusqlite::types::ValueRef;
    let correlation = match row.get_ref(9)? {
        ValueRef::Null => None,
        ValueRef::Integer(_) => run.correlation.clone(),
        other => Some(Text::from(other.as_str()?.to_owned())),
    };
    Ok(Mark {
        id: row.get(0)?,
        position: (
            Timestamp::from_micros(row.get(1)?),
            InstanceId::from_u64(row.get::<_, i64>(2)? as u64),
            row.get::<_, i64>(3)? as u64,
            span,
            row.get(5)?,
        ),
        status: status_of(row.get(6)?),
        service: Text::from(row.get::<_, String>(7)?),
        workflow: row.get::<_, Option<String>>(8)?.map(Text::from),
        correlation,
    })
}

/// Brings the row of a run up to date.
pub(crate) fn store(
    connection: &Connection,
    names: &mut Names,
    instances: &mut FxHashMap<InstanceId, i64>,
    trace_id: TraceId,
    run: &mut Run,
) -> Result<()> {
    let Some(head) = run.head() else { return Ok(()) };
    let (status, owner) = run.status();
    let owner = instance_id(instances, connection, owner)?;
    let ended = run.ended().map(Timestamp::as_micros);
    let id = |mark: Option<&Mark>| mark.map(|mark| mark.id);
    let (last, failure) = (id(run.last()), id(run.failure.as_ref()));
    let has_detached = !run.detached.is_empty();
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
                run.compensating,
                has_detached
            ])?;
        run.change = Change::Nothing;
        return Ok(());
    }
    let service = names.id(connection, &head.service)?;
    let workflow = match run.workflow() {
        Some(workflow) => Some(names.id(connection, workflow)?),
        None => None,
    };
    let correlation = run.correlation_id().cloned();
    let attrs = match run.attrs.is_empty() {
        true => None,
        false => serde_json::to_string(&run.attrs).ok(),
    };
    connection
        .prepare_cached(
            "INSERT INTO run (id, trace_id, started, ended, status, owner, service, workflow, correlation_id, attrs, \
             root, head, last, failure, named, keyed, compensating, detached) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18) \
             ON CONFLICT (id) DO UPDATE SET started = ?3, ended = ?4, status = ?5, owner = ?6, service = ?7, \
             workflow = ?8, correlation_id = ?9, root = ?11, head = ?12, last = ?13, failure = ?14, named = ?15, \
             keyed = ?16, compensating = ?17, detached = ?18",
        )?
        .execute(params![
            run.id,
            trace_id.to_bytes(),
            run.started.as_micros(),
            ended,
            status_code(status),
            owner,
            service,
            workflow,
            correlation.as_deref(),
            attrs,
            id(run.root()),
            head.id,
            last,
            failure,
            id(run.named.as_ref()),
            id(run.keyed.as_ref()),
            run.compensating,
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
    run.change = Change::Nothing;
    Ok(())
}
