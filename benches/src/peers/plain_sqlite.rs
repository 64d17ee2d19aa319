//! SQLite as one would use it at first: one table of events with full indexes, and prepared statements.

use std::path::Path;

use rusqlite::{Connection, params};
use throughline_core::TraceEvent;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE events (
        trace_id BLOB NOT NULL,
        span_id BLOB NOT NULL,
        seq INTEGER NOT NULL,
        parent_span_id BLOB,
        event_type TEXT NOT NULL,
        timestamp INTEGER NOT NULL,
        status TEXT NOT NULL,
        duration_us INTEGER,
        instance INTEGER NOT NULL,
        n INTEGER NOT NULL,
        correlation_id TEXT,
        service TEXT NOT NULL,
        workflow TEXT,
        attrs TEXT,
        tags TEXT,
        error TEXT,
        data TEXT,
        PRIMARY KEY (trace_id, span_id, seq)
    );
    CREATE INDEX by_status ON events (status, timestamp);
    CREATE INDEX by_type ON events (event_type, timestamp);
    CREATE INDEX by_duration ON events (duration_us);
";

/// A database with the plain table.
#[derive(Debug)]
pub struct PlainSqlite(Connection);

impl PlainSqlite {
    /// An empty database.
    ///
    /// # Errors
    /// If the file can't be used.
    pub fn create(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(connection))
    }

    /// Inserts all events in one transaction, and counts them for the caller as they go.
    ///
    /// # Errors
    /// If an event can't be inserted.
    pub fn load<E: AsRef<TraceEvent>>(
        &mut self,
        events: impl IntoIterator<Item = E>,
        mut tick: impl FnMut(),
    ) -> anyhow::Result<()> {
        let transaction = self.0.transaction()?;
        let mut insert =
            transaction.prepare("INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)")?;
        for event in events {
            let event = event.as_ref();
            insert.execute(params![
                event.trace_id.to_bytes(),
                event.span_id.to_u64().to_be_bytes(),
                event.seq,
                event.parent_span_id.map(|parent| parent.to_u64().to_be_bytes()),
                event.event_type.as_str(),
                event.timestamp.as_micros(),
                event.status.as_str(),
                event.duration_us.map(u64::cast_signed),
                event.instance.to_u64().cast_signed(),
                event.n.cast_signed(),
                event.correlation_id.as_deref(),
                event.service.as_str(),
                event.workflow.as_deref(),
                (!event.attrs.is_empty()).then(|| serde_json::to_string(&event.attrs)).transpose()?,
                (!event.tags.is_empty()).then(|| serde_json::to_string(&event.tags)).transpose()?,
                event.error.as_ref().map(serde_json::to_string).transpose()?,
                event.data.as_ref().map(serde_json::to_string).transpose()?,
            ])?;
            tick();
        }
        drop(insert);
        transaction.commit()?;
        Ok(())
    }

    /// Failures and totals by type: the plain query, over the index by type.
    ///
    /// # Errors
    /// If the query fails.
    pub fn failure_rate_by_type(&self) -> rusqlite::Result<Vec<(String, i64, i64)>> {
        let mut query = self.0.prepare_cached(
            "SELECT event_type, sum(status = 'failed'), count(*) FROM events
             WHERE status <> 'pending' GROUP BY event_type",
        )?;
        let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        rows.collect()
    }
}
