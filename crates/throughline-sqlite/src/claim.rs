//! Claims: which instance works on a run.
//!
//! A claim is a row. One write transaction looks at it and takes it, so that of several processes that ask at once one
//! wins. It counts for as long as its holder has a lease: that of a dead process goes to the next instance that asks.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Result, params};
use throughline_model::{Claim, InstanceId, Liveness, TraceId};

use crate::lease::{key, liveness};

/// Claims a run for an instance, in a transaction that writes.
pub(crate) fn claim(
    connection: &Connection,
    database: &Path,
    trace: TraceId,
    instance: InstanceId,
) -> Result<Claim> {
    let holder = connection
        .prepare_cached("SELECT instance FROM claim WHERE trace_id = ?1")?
        .query_row([trace.to_bytes()], |row| row.get::<_, i64>(0))
        .optional()?
        .map(|key| InstanceId::from_u64(key as u64));
    if let Some(holder) = holder.filter(|holder| *holder != instance)
        && liveness(connection, database, holder)? == Liveness::Alive
    {
        return Ok(Claim::HeldBy(holder));
    }
    connection
        .prepare_cached(
            "INSERT INTO claim (trace_id, instance) VALUES (?1, ?2) \
             ON CONFLICT (trace_id) DO UPDATE SET instance = excluded.instance",
        )?
        .execute(params![trace.to_bytes(), key(instance)])?;
    Ok(Claim::Granted)
}

/// Gives a run back, if this instance holds it.
pub(crate) fn release(connection: &Connection, trace: TraceId, instance: InstanceId) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM claim WHERE trace_id = ?1 AND instance = ?2")?
        .execute(params![trace.to_bytes(), key(instance)])
        .map(drop)
}

/// Gives back all that an instance holds.
pub(crate) fn release_all(connection: &Connection, instance: InstanceId) -> Result<()> {
    connection.execute("DELETE FROM claim WHERE instance = ?1", [key(instance)]).map(drop)
}

/// Removes the claims of instances that are marked as closed.
pub(crate) fn release_closed(connection: &Connection) -> Result<()> {
    connection
        .execute(
            "DELETE FROM claim WHERE instance NOT IN \
             (SELECT key FROM instance WHERE opened IS NOT NULL AND closed IS NULL)",
            [],
        )
        .map(drop)
}
