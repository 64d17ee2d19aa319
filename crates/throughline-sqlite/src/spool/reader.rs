//! A connection that shows what waits in a spool, beside the one that fills and drains it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, params};
use throughline_model::{
    BoxFuture, OpenError, ReadError, Refused, SpoolReader, SpoolUsage, Spooled, TraceEvent, TraceId,
};

use super::{Waiting, refused_ever};
use crate::connection::SPOOL_FILE;
use crate::error::Fault;
use crate::presence::{Gone, Presence};

/// Answers on the thread of the caller: each question reads a bounded number of rows by an index.
pub(super) struct Reader {
    path: PathBuf,
    presence: Presence,
    connection: Mutex<Connection>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let (connection, presence) = SPOOL_FILE.open_read_only(path)?;
        Ok(Self { path: path.to_owned(), presence, connection: Mutex::new(connection) })
    }

    fn answer<T>(&self, question: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, ReadError> {
        // A panic while a statement was read leaves nothing behind.
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = question(&connection);
        self.presence.check_database().map_err(Gone::into_read_error)?;
        answer.map_err(|fault| fault.into_read_error(&self.path))
    }
}

impl SpoolReader for Reader {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(std::future::ready(self.answer(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT id, event FROM waiting WHERE trace = ?1 ORDER BY id")?;
            let mut rows = statement.query([id.to_bytes()])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(event(row.get(0)?, &row.get::<_, String>(1)?)?);
            }
            Ok(events)
        })))
    }

    fn traces(&self, after: Option<TraceId>, limit: usize) -> BoxFuture<'_, Result<Vec<TraceId>, ReadError>> {
        Box::pin(std::future::ready(self.answer(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT DISTINCT trace FROM waiting WHERE trace > ?1 ORDER BY trace LIMIT ?2",
            )?;
            let after = after.map_or(Vec::new(), |id| id.to_bytes().to_vec());
            let mut rows = statement.query(params![after, rows_of(limit)])?;
            let mut ids = Vec::new();
            while let Some(row) = rows.next()? {
                let id = TraceId::from_bytes(row.get(0)?);
                ids.push(id.ok_or_else(|| Fault::Damaged("a waiting event has no trace id".to_owned()))?);
            }
            Ok(ids)
        })))
    }

    fn waiting(&self, after: Option<u64>, limit: usize) -> BoxFuture<'_, Result<Vec<Spooled>, ReadError>> {
        Box::pin(std::future::ready(self.answer(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT id, event FROM waiting WHERE id > ?1 ORDER BY id LIMIT ?2")?;
            let after = after.map_or(0, |after| i64::try_from(after).unwrap_or(i64::MAX));
            let mut rows = statement.query(params![after, rows_of(limit)])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                let event = Arc::new(event(id, &row.get::<_, String>(1)?)?);
                found.push(Spooled { position: id as u64, event });
            }
            Ok(found)
        })))
    }

    fn refused(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Refused>, ReadError>> {
        Box::pin(std::future::ready(self.answer(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT id, reason, event FROM refused ORDER BY id DESC LIMIT ?1")?;
            let mut rows = statement.query([rows_of(limit)])?;
            let mut refused = Vec::new();
            while let Some(row) = rows.next()? {
                let event = Arc::new(event(row.get(0)?, &row.get::<_, String>(2)?)?);
                refused.push(Refused { reason: row.get::<_, String>(1)?.into(), event });
            }
            Ok(refused)
        })))
    }

    fn usage(&self) -> BoxFuture<'_, Result<SpoolUsage, ReadError>> {
        Box::pin(std::future::ready(self.answer(|connection| {
            let Waiting { events, bytes } = Waiting::count(connection)?;
            let capacity: i64 = connection.query_row("SELECT bytes FROM capacity", [], |row| row.get(0))?;
            Ok(SpoolUsage {
                events,
                bytes,
                capacity_bytes: capacity as u64,
                refused: refused_ever(connection)?,
            })
        })))
    }
}

fn rows_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The parser's error quotes the text, which is payload: it is left out.
fn event(id: i64, text: &str) -> Result<TraceEvent, Fault> {
    serde_json::from_str(text).map_err(|_| Fault::Damaged(format!("row {id} is not an event")))
}
