//! When the last event of each run happened.
//!
//! To keep this in the row of a run would make the writer touch that row for every event. It is folded from blocks
//! instead, a few thousand events at a time, into a small table of its own; readers add the blocks that are not folded
//! yet. What it costs to read does not depend on how many events a run has.

use rusqlite::{Connection, OptionalExtension, Result, params};
use rustc_hash::FxHashMap;

use crate::block::{Entry, entries, last_event, stored};

/// The moments of the last events, in microseconds, by run.
pub(crate) type Latest = FxHashMap<i64, i64>;

/// So many events are folded in one transaction, for a file of an earlier release may have millions to catch up with.
const AT_ONCE: i64 = 65_536;

/// The last event that the table covers.
pub(crate) fn folded(connection: &Connection) -> Result<i64> {
    connection.prepare_cached("SELECT event FROM latest_folded")?.query_row([], |row| row.get(0))
}

/// Adds what comes after an event to the table, or as much of it as one transaction should take; returns the last event
/// that is covered now. There must be no open block.
pub(crate) fn fold(connection: &Connection, after: i64) -> Result<i64> {
    let mut latest = Latest::default();
    let folded = collect(connection, after, AT_ONCE, &mut latest)?;
    let mut rows: Vec<_> = latest.into_iter().collect();
    rows.sort_unstable();
    let mut insert = connection.prepare_cached(
        "INSERT INTO latest (run, ts) VALUES (?1, ?2) \
         ON CONFLICT (run) DO UPDATE SET ts = excluded.ts WHERE excluded.ts > ts",
    )?;
    for (run, ts) in rows {
        insert.execute([run, ts])?;
    }
    connection.prepare_cached("UPDATE latest_folded SET event = ?1")?.execute([folded])?;
    Ok(folded)
}

/// Adds everything to the table.
pub(crate) fn fold_all(connection: &Connection) -> Result<i64> {
    let (mut event, last) = (folded(connection)?, last_event(connection)?);
    while event < last {
        let folded = fold(connection, event)?;
        if folded == event {
            break;
        }
        event = folded;
    }
    Ok(event)
}

/// What the table does not cover yet.
pub(crate) fn unfolded(connection: &Connection) -> Result<Latest> {
    let mut latest = Latest::default();
    collect(connection, folded(connection)?, i64::MAX, &mut latest)?;
    Ok(latest)
}

/// The moment of a run's last event; `None` if the run has no event.
pub(crate) fn of(connection: &Connection, unfolded: &Latest, run: i64) -> Result<Option<i64>> {
    let folded: Option<i64> = connection
        .prepare_cached("SELECT ts FROM latest WHERE run = ?1")?
        .query_row(params![run], |row| row.get(0))
        .optional()?;
    Ok(folded.max(unfolded.get(&run).copied()))
}

/// Reads the blocks after an event, whole blocks until there are `limit` events; returns the last event of the last one.
fn collect(connection: &Connection, after: i64, limit: i64, latest: &mut Latest) -> Result<i64> {
    let mut blocks = connection.prepare_cached("SELECT id, entries FROM block WHERE id > ?1")?;
    let mut rows = blocks.query([after])?;
    let (mut last, mut seen) = (after, 0);
    while seen < limit
        && let Some(row) = rows.next()?
    {
        let id: i64 = row.get(0)?;
        let stored = stored(connection, id, row.get_ref(1)?.as_blob()?)?;
        for (_, entry) in entries(id, &stored) {
            let known = latest.entry(entry.run).or_insert(entry.ts);
            *known = entry.ts.max(*known);
        }
        let count = (stored.len() / Entry::SIZE) as i64;
        (last, seen) = (id + count - 1, seen + count);
    }
    Ok(last)
}
