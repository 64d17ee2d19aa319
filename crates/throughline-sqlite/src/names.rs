//! Texts that repeat, stored once.

use rusqlite::{Connection, OptionalExtension, Result};
use rustc_hash::FxHashMap;
use throughline_model::Text;

/// The writer's cache of the numbers that texts have in the table `name`.
#[derive(Debug, Default)]
pub(crate) struct Names {
    ids: FxHashMap<Text, i64>,
}

impl Names {
    /// Event types, services and the like are few; a caller that puts ids into them must not fill the memory.
    const CAPACITY: usize = 65_536;

    /// The number of a text, assigned now if it has none.
    pub(crate) fn id(&mut self, connection: &Connection, text: &Text) -> Result<i64> {
        if let Some(id) = self.ids.get(text) {
            return Ok(*id);
        }
        let known = find_name(connection, text)?;
        let id = match known {
            Some(id) => id,
            None => {
                connection.prepare_cached("INSERT INTO name (text) VALUES (?1)")?.execute([text.as_str()])?;
                connection.last_insert_rowid()
            }
        };
        if self.ids.len() >= Self::CAPACITY {
            self.ids.clear();
        }
        self.ids.insert(text.clone(), id);
        Ok(id)
    }

    /// Forgets everything: after a rollback a number may belong to nothing.
    pub(crate) fn clear(&mut self) {
        self.ids.clear();
    }
}

/// The number of a text, if it has one.
pub(crate) fn find_name(connection: &Connection, text: &str) -> Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM name WHERE text = ?1")?
        .query_row([text], |row| row.get(0))
        .optional()
}
