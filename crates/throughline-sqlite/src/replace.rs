//! Takes a run out of the file as if it had never been there, to make room for a later copy of it.

use rusqlite::{Connection, OptionalExtension, Result, params};
use throughline_model::TraceId;

use crate::block::{self, Entry};
use crate::rollup;

/// Removes a run in the current transaction, from the counts too. Says whether there was one.
pub(crate) fn remove(connection: &Connection, folded: i64, trace_id: TraceId) -> Result<bool> {
    let run: Option<i64> = connection
        .prepare_cached("SELECT id FROM run WHERE trace_id = ?1")?
        .query_row([trace_id.to_bytes()], |row| row.get(0))
        .optional()?;
    let Some(run) = run else { return Ok(false) };
    rollup::subtract(connection, &void(connection, folded, run)?)?;
    for sql in [
        "DELETE FROM event WHERE run = ?1",
        "DELETE FROM run_attr WHERE run = ?1",
        "DELETE FROM decision WHERE run = ?1",
        "DELETE FROM latest WHERE run = ?1",
        "DELETE FROM cause WHERE run = ?1",
        "DELETE FROM run WHERE id = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([run])?;
    }
    Ok(true)
}

/// Empties the places of a run's events in their blocks. Returns what was in those that the counts include.
fn void(connection: &Connection, folded: i64, run: i64) -> Result<Vec<Entry>> {
    let events: Vec<i64> = connection
        .prepare_cached("SELECT id FROM event WHERE run = ?1 ORDER BY id")?
        .query_map([run], |row| row.get(0))?
        .collect::<Result<_>>()?;
    let mut counted = Vec::new();
    let mut rest = &events[..];
    while let Some(&event) = rest.first() {
        let (first, count, mut entries): (i64, i64, Vec<u8>) = connection
            .prepare_cached("SELECT id, count, entries FROM block WHERE id <= ?1 ORDER BY id DESC LIMIT 1")?
            .query_row([event], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        let of_block = rest.partition_point(|event| *event < first + count).max(1);
        for event in &rest[..of_block] {
            let entry = usize::try_from(event - first).ok().and_then(|at| block::void(&mut entries, at));
            counted.extend(entry.filter(|_| *event <= folded));
        }
        connection
            .prepare_cached("UPDATE block SET entries = ?2 WHERE id = ?1")?
            .execute(params![first, entries])?;
        rest = &rest[of_block..];
    }
    Ok(counted)
}
