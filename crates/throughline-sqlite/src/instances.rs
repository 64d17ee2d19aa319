//! The local numbers of instances.

use rusqlite::{Connection, Result};
use rustc_hash::FxHashMap;
use throughline_model::InstanceId;

/// The local number of an instance, assigned now if it has none.
pub(crate) fn instance_id(
    known: &mut FxHashMap<InstanceId, i64>,
    connection: &Connection,
    instance: InstanceId,
) -> Result<i64> {
    if let Some(id) = known.get(&instance) {
        return Ok(*id);
    }
    let key = instance.to_u64() as i64;
    connection
        .prepare_cached("INSERT INTO instance (key) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([key])?;
    let id = connection
        .prepare_cached("SELECT id FROM instance WHERE key = ?1")?
        .query_row([key], |row| row.get(0))?;
    if known.len() >= 4096 {
        known.clear();
    }
    known.insert(instance, id);
    Ok(id)
}
