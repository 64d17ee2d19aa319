//! [`SqliteImporter`], which loads events in bulk.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, params};
use throughline_model::{AppendError, OpenError, Timestamp, TraceEvent, TraceId};

use crate::connection::{Place, STORE_FILE};
use crate::error::append_error;
use crate::paths::resolved;
use crate::presence::Gone;
use crate::writer::Writer;

/// Loads events in bulk. Events that the file already has are skipped, so that an import that was cut short can be repeated.
/// Other processes may read and write the file meanwhile: an importer gives way to those that wait to write, and holds nothing
/// while it is not called.
///
/// [`finish`](Self::finish) brings what is derived from events up to date.
///
/// ```
/// use throughline_model::{SpanId, Timestamp, TraceEvent, TraceId};
/// use throughline_sqlite::{Imported, SqliteStore};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("traces.db");
/// let log: Vec<TraceEvent> = (1..=3)
///     .filter_map(SpanId::from_u64)
///     .map(|span| TraceEvent::new(TraceId::from_key("loan-42"), span, "stage:score", Timestamp::now(), "loan"))
///     .collect();
///
/// let mut importer = SqliteStore::new(&path).open_importer()?;
/// assert_eq!(importer.import_once("sha256:0d5f", "")?, Imported::New);
/// assert_eq!(importer.append(&log)?, 3);
/// importer.finish()?;
///
/// // Importing the same log again adds nothing.
/// let mut importer = SqliteStore::new(&path).open_importer()?;
/// assert_eq!(importer.import_once("sha256:0d5f", "")?, Imported::SameAgain);
/// assert_eq!(importer.append(&log)?, 0);
/// # Ok(())
/// # }
/// ```
pub struct SqliteImporter {
    path: PathBuf,
    writer: Writer,
    log: Option<String>,
}

/// Whether a log was imported before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// It was not.
    New,
    /// It was, completely or in part, and with the same options: importing it again adds what is missing.
    SameAgain,
}

/// Why a log can't be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It was imported with other options, which gave its events another meaning; the file can't have both.
    #[error(
        "this log was imported before with other options ({first}); use the same options, or another file"
    )]
    OtherOptions {
        /// The options of the first import.
        first: String,
    },
    /// The file can't be written to.
    #[error(transparent)]
    Write(#[from] AppendError),
}

impl SqliteImporter {
    pub(crate) fn open(place: &Place) -> Result<Self, OpenError> {
        let writer = Writer::new(STORE_FILE.open(place)?);
        Ok(Self { path: resolved(&place.path), writer, log: None })
    }

    /// Records that a log is imported, and with which options. The log is recognised by `log_id`, such as a hash of its
    /// content; `options` is shown to people.
    ///
    /// # Errors
    ///
    /// If the log was imported with other options, and if the file can't be written to.
    pub fn import_once(&mut self, log_id: &str, options: &str) -> Result<Imported, ImportError> {
        let find_or_insert = |connection: &Connection| {
            let new = connection.execute(
                "INSERT INTO import (log, options, started) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                params![log_id, options, Timestamp::now().as_micros()],
            )?;
            let first = connection
                .query_row("SELECT options FROM import WHERE log = ?1", [log_id], |row| {
                    row.get::<_, String>(0)
                })
                .optional()?;
            Ok((new, first))
        };
        let found = self.writer.transaction(find_or_insert);
        let (new, first) = found.map_err(|error| append_error(&self.path, error))?;
        match first {
            Some(first) if first != options => return Err(ImportError::OtherOptions { first }),
            _ => self.log = Some(log_id.to_owned()),
        }
        Ok(if new > 0 { Imported::New } else { Imported::SameAgain })
    }

    /// Adds events; returns how many of them were new. The more there are, the less each costs: pass thousands.
    ///
    /// # Errors
    ///
    /// If the file can't be written to. Some of the events may have been added; if the error is retryable, import the log
    /// again.
    pub fn append(&mut self, events: &[TraceEvent]) -> Result<u64, AppendError> {
        let new = self.writer.append_in_bulk(events);
        self.confirmed(new)
    }

    /// Puts these events of a run in the place of all that the file has of it, for a later copy of a log may say more of a
    /// run, and something else; returns how many there are.
    ///
    /// # Errors
    ///
    /// If the file can't be written to; the run is as it was then.
    pub fn replace(&mut self, run: TraceId, events: &[TraceEvent]) -> Result<u64, AppendError> {
        let new = self.writer.replace(run, events);
        self.confirmed(new)
    }

    /// Whether the file has this run.
    ///
    /// # Errors
    ///
    /// If the file can't be read.
    pub fn contains(&mut self, run: TraceId) -> Result<bool, AppendError> {
        let find = || {
            let mut find =
                self.writer.connection().prepare_cached("SELECT 1 FROM run WHERE trace_id = ?1")?;
            find.exists([run.to_bytes()])
        };
        find().map_err(|error| append_error(&self.path, error))
    }

    /// What was written, if it is in the file at the path.
    fn confirmed(&mut self, new: rusqlite::Result<u64>) -> Result<u64, AppendError> {
        self.writer.confirm().map_err(Gone::into_append_error)?;
        new.map_err(|error| append_error(&self.path, error))
    }

    /// Brings the counts up to date, and moves all that was added from SQLite's log into the database.
    ///
    /// # Errors
    ///
    /// If the file can't be written to.
    pub fn finish(mut self) -> Result<(), AppendError> {
        let finished = self.finish_log();
        self.writer.confirm().map_err(Gone::into_append_error)?;
        finished.map_err(|error| append_error(&self.path, error))
    }

    fn finish_log(&mut self) -> rusqlite::Result<()> {
        self.writer.fold()?;
        if let Some(log) = &self.log {
            let (sql, now) = ("UPDATE import SET finished = ?2 WHERE log = ?1", Timestamp::now().as_micros());
            self.writer.transaction(|connection| connection.execute(sql, params![log, now]))?;
        }
        self.writer.empty_log()
    }
}

impl std::fmt::Debug for SqliteImporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteImporter").field("path", &self.path).finish_non_exhaustive()
    }
}
