//! [`SqliteImporter`], which loads events in bulk.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::{OptionalExtension, params};
use throughline_model::{AppendError, OpenError, Timestamp, TraceEvent};

use crate::connection::{Place, STORE_FILE};
use crate::error::append_error;
use crate::presence::Gone;
use crate::store::resolved;
use crate::writer::Writer;

/// Loads events in bulk, in large transactions. Events that the file already has are skipped, so that an import that
/// was cut short can be repeated. Other processes may read and write the file meanwhile.
///
/// Events are durable after [`finish`](Self::finish). If the importer is dropped before, those of the last transaction
/// are rolled back.
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
    /// When the open transaction began, and how many events it holds.
    begun: Option<(Instant, usize)>,
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
    /// Events in one transaction: so many that the cost of a transaction does not matter.
    const EVENTS: usize = 20_000;
    /// A transaction that is older than this is committed, because other writers wait for it.
    const PATIENCE: Duration = Duration::from_millis(250);

    pub(crate) fn open(place: &Place) -> Result<Self, OpenError> {
        let writer = Writer::new(STORE_FILE.open(place, false)?);
        Ok(Self { path: resolved(&place.path), writer, log: None, begun: None })
    }

    /// Records that a log is imported, and with which options. The log is recognised by `log_id`, such as a hash of its
    /// content; `options` is shown to people.
    ///
    /// # Errors
    ///
    /// If the log was imported with other options, and if the file can't be written to.
    pub fn import_once(&mut self, log_id: &str, options: &str) -> Result<Imported, ImportError> {
        let connection = self.writer.connection();
        let find_or_insert = || {
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
        let (new, first) = find_or_insert().map_err(|error| append_error(&self.path, error))?;
        match first {
            Some(first) if first != options => return Err(ImportError::OtherOptions { first }),
            _ => self.log = Some(log_id.to_owned()),
        }
        Ok(if new > 0 { Imported::New } else { Imported::SameAgain })
    }

    /// Adds events; returns how many of them were new.
    ///
    /// # Errors
    ///
    /// If the file can't be written to. The events of the current transaction are rolled back then; if the error is
    /// retryable, import the log again.
    pub fn append(&mut self, events: &[TraceEvent]) -> Result<u64, AppendError> {
        let fail = |error| append_error(&self.path, error);
        let (since, held) = match self.begun.take() {
            Some(begun) => begun,
            None => {
                self.writer.begin().map_err(fail)?;
                (Instant::now(), 0)
            }
        };
        let new = self.writer.write(events).map_err(fail)?;
        let held = held + events.len();
        if held >= Self::EVENTS || since.elapsed() >= Self::PATIENCE {
            self.writer.commit().map_err(fail)?;
            self.writer.confirm().map_err(Gone::into_append_error)?;
        } else {
            self.begun = Some((since, held));
        }
        Ok(new)
    }

    /// Makes durable what was added, and brings the counts up to date.
    ///
    /// # Errors
    ///
    /// If the file can't be written to.
    pub fn finish(mut self) -> Result<(), AppendError> {
        let fail = |error| append_error(&self.path, error);
        if self.begun.take().is_some() {
            self.writer.commit().map_err(fail)?;
        }
        self.writer.fold().map_err(fail)?;
        if let Some(log) = &self.log {
            self.writer
                .connection()
                .execute(
                    "UPDATE import SET finished = ?2 WHERE log = ?1",
                    params![log, Timestamp::now().as_micros()],
                )
                .map_err(fail)?;
        }
        self.writer.empty_log().map_err(fail)?;
        self.writer.confirm().map_err(Gone::into_append_error)
    }
}

impl std::fmt::Debug for SqliteImporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteImporter").field("path", &self.path).finish_non_exhaustive()
    }
}
