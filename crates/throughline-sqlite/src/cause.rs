//! The table `cause`: what went wrong in a run that has ended.

use rusqlite::{Connection, Result, params};
use serde_json::{Map, Value};
use throughline_model::fold::{RunFold, cause_of_run};
use throughline_model::names::{DEPENDENCY_PREFIX, data};
use throughline_model::{InstanceId, SpanId, Text, Timestamp, TraceEvent, TraceId};

use crate::block::status_of;
use crate::json::{Rest, StoredError};

/// Of runs with more events than this the writer does not keep the cause: others would wait while it looks for it.
const KEPT: i64 = 20_000;

/// What a cause is found from: of the payloads the errors and the inputs, and the attributes that name a dependency.
const EVENTS: &str = "SELECT e.id, e.span, e.seq, e.parent, e.ts, i.key, e.n, t.text, e.status, e.tags, e.error, e.rest, e.attrs, \
     w.text, CASE WHEN json_valid(e.data) THEN e.data -> '$.input' END \
     FROM event e JOIN instance i ON i.id = e.instance JOIN name t ON t.id = e.type LEFT JOIN name w ON w.id = e.workflow \
     WHERE e.run = ?1";

/// Keeps the cause of a run that has ended. What is kept of one that was resumed since counts for nothing.
pub(crate) fn store<K: Clone>(
    connection: &Connection,
    run: i64,
    trace_id: TraceId,
    fold: &RunFold<K>,
) -> Result<()> {
    if !fold.may_have_cause() {
        return Ok(());
    }
    if is_large(connection, run)? {
        return connection.prepare_cached("DELETE FROM cause WHERE run = ?1")?.execute([run]).map(drop);
    }
    let cause = of(fold, &events(connection, run, trace_id)?);
    connection
        .prepare_cached(
            "INSERT INTO cause (run, event) VALUES (?1, ?2) ON CONFLICT (run) DO UPDATE SET event = ?2",
        )?
        .execute(params![run, cause])
        .map(drop)
}

/// The event that is the cause of how a run ended, found from all its events.
pub(crate) fn find(connection: &Connection, run: i64, trace_id: TraceId) -> Result<Option<i64>> {
    let events = events(connection, run, trace_id)?;
    Ok(of(&RunFold::of(events.iter().map(|(_, event)| event)), &events))
}

fn of<K: Clone>(fold: &RunFold<K>, events: &[(i64, TraceEvent)]) -> Option<i64> {
    let cause = cause_of_run(fold, events.iter().map(|(_, event)| event))?;
    events.iter().find(|(_, event)| event.id() == cause.id()).map(|(id, _)| *id)
}

fn is_large(connection: &Connection, run: i64) -> Result<bool> {
    connection
        .prepare_cached("SELECT count(*) > ?2 FROM (SELECT 1 FROM event WHERE run = ?1 LIMIT ?2 + 1)")?
        .query_row([run, KEPT], |row| row.get(0))
}

fn events(connection: &Connection, run: i64, trace_id: TraceId) -> Result<Vec<(i64, TraceEvent)>> {
    let mut statement = connection.prepare_cached(EVENTS)?;
    let mut rows = statement.query([run])?;
    let mut events = Vec::new();
    while let Some(row) = rows.next()? {
        // A span id of zero is none; only a file that was changed by hand has one.
        let Some(span) = SpanId::from_u64(row.get::<_, i64>(1)? as u64) else { continue };
        let at = Timestamp::from_micros(row.get(4)?);
        let mut event = TraceEvent::new(trace_id, span, row.get::<_, String>(7)?, at, Text::default());
        event.seq = row.get(2)?;
        event.parent_span_id =
            row.get::<_, Option<i64>>(3)?.and_then(|parent| SpanId::from_u64(parent as u64));
        event.instance = InstanceId::from_u64(row.get::<_, i64>(5)? as u64);
        event.n = row.get::<_, i64>(6)? as u64;
        event.status = status_of(row.get(8)?);
        if event.event_type.starts_with(DEPENDENCY_PREFIX) {
            let attrs = row.get_ref(12)?.as_str_or_null().ok().flatten();
            event.attrs = attrs.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        }
        event.workflow = row.get::<_, Option<String>>(13)?.map(Text::from);
        let input = row.get_ref(14)?.as_str_or_null().ok().flatten();
        let input: Option<Value> = input.and_then(|json| serde_json::from_str(json).ok());
        event.data = input.map(|input| Map::from_iter([(data::INPUT.to_owned(), input)]));
        let [tags, error, rest]: [Option<String>; 3] = [row.get(9)?, row.get(10)?, row.get(11)?];
        event.tags = tags.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        let error: Option<StoredError> = error.and_then(|json| serde_json::from_str(&json).ok());
        event.error = error.map(|error| Box::new(error.into()));
        let mut rest: Rest<'_> = rest.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        (event.parent_trace_id, event.links) = (rest.parent_trace_id, rest.take_links());
        events.push((row.get(0)?, event));
    }
    Ok(events)
}
