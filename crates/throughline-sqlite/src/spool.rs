//! [`SqliteSpool`], a local outbox.

mod reader;

use std::fs::{File, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use throughline_model::{
    AppendError, BoxFuture, Instance, OpenError, Spool, SpoolConfig, SpoolReader, SpoolUsage, Spooled,
    TraceEvent,
};

use self::reader::Reader;

use crate::connection::{Opened, Place, SPOOL_FILE, Synchronous};
use crate::error::{STORE, append_error, open_error};
use crate::lease;
use crate::paths::beside;
use crate::presence::{Gone, Presence};

/// The description of an outbox in a SQLite file of its own: durable, in order, bounded. For stores that can be
/// unreachable.
///
/// Only one process has a spool open at a time. The next one to open it drains what the process before it left.
///
/// ```
/// use std::sync::Arc;
/// use throughline_model::{Instance, InstanceId, SpanId, SpoolConfig, Timestamp, TraceEvent, TraceId};
/// use throughline_sqlite::SqliteSpool;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("spool.db");
/// let instance = Instance::new(InstanceId::from_u64(1), "loan-service");
/// let spool = SqliteSpool::new(&path).capacity_bytes(64 << 20).open(instance).await?;
///
/// let (trace, span) = (TraceId::from_key("loan-42"), SpanId::from_u64(1).ok_or("not zero")?);
/// let event = TraceEvent::new(trace, span, "stage:score", Timestamp::now(), "loan-service");
/// spool.push(&[Arc::new(event)]).await?;
///
/// // When the store is back: hand over what waits, then remove it.
/// let waiting = spool.peek(100).await?;
/// if let Some(last) = waiting.last() {
///     spool.remove_through(last.position).await?;
/// }
/// assert_eq!(spool.usage().await?.events, 0);
/// spool.close().await?;
/// # Ok(())
/// # })
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqliteSpool {
    place: Place,
    capacity_bytes: u64,
}

impl SqliteSpool {
    /// How many bytes the events may take by default: 256 MiB.
    pub const DEFAULT_CAPACITY_BYTES: u64 = 256 << 20;

    /// A spool in this file. Its folder must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            place: Place {
                path: path.into(),
                synchronous: Synchronous::Full,
                busy_timeout: Duration::from_millis(500),
            },
            capacity_bytes: Self::DEFAULT_CAPACITY_BYTES,
        }
    }

    /// How many bytes the events may take, as JSON. A spool that would hold more refuses events with a retryable error.
    /// The file is a little larger than that, and does not shrink when events are removed: their space is reused.
    #[must_use]
    pub fn capacity_bytes(mut self, bytes: u64) -> Self {
        self.capacity_bytes = bytes;
        self
    }

    fn open_spool(self, instance: &Instance) -> Result<Arc<dyn Spool>, OpenError> {
        let path = self.place.path.as_path();
        crate::connection::check_folder(path)?;
        let lease = take_lease(path, instance)?;
        let Opened { connection, presence, .. } = SPOOL_FILE.open(&self.place)?;
        let waiting = Waiting::count(&connection)
            .and_then(|waiting| set_capacity(&connection, self.capacity_bytes).map(|()| waiting))
            .map_err(|error| open_error(path, error))?;
        let reader = Arc::new(Reader::open(path)?);
        let open = Open { connection, presence, _lease: lease, waiting: Some(waiting) };
        Ok(Arc::new(OpenSpool {
            path: self.place.path,
            capacity_bytes: self.capacity_bytes,
            open: Mutex::new(Some(open)),
            reader,
        }))
    }

    /// Reads what waits in the file, whether or not a process has the spool open.
    ///
    /// # Errors
    /// When there is no such file, it is not a spool, or can't be read.
    pub fn open_reader(&self) -> Result<Arc<dyn SpoolReader>, OpenError> {
        Ok(Arc::new(Reader::open(&self.place.path)?))
    }
}

/// Locks the file that says which process has the spool open, for as long as the returned file is open. It is never
/// removed: a process that had just opened it would then lock a file that the next process can't find.
fn take_lease(spool: &Path, instance: &Instance) -> Result<File, OpenError> {
    let path = beside(&resolved(spool), "-lease");
    let mut file = lease::lock(&path).map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::Unavailable {
            store: STORE,
            reason: format!(
                "the spool {} is in use by {}; give each process a spool of its own",
                spool.display(),
                holder(&path)
            ),
            source: None,
        },
        TryLockError::Error(error) => OpenError::Unusable {
            store: STORE,
            reason: format!(
                "the file {} can't be created and locked; give this user write access to its folder",
                path.display()
            ),
            source: Some(error.into()),
        },
    })?;
    // For the error message of another process that opens the spool, which only says less without it.
    let _ = file.set_len(0).and_then(|()| write!(file, "{}, instance {}", instance.service, instance.id));
    Ok(file)
}

fn holder(lease: &Path) -> String {
    let mut text = String::new();
    let read = File::open(lease).and_then(|file| file.take(256).read_to_string(&mut text));
    match read {
        Ok(1..) => format!("another process ({text})"),
        _ => "another process".to_owned(),
    }
}

/// The path by which the lease is found, whatever name the spool was given by, and also before the spool exists.
fn resolved(spool: &Path) -> PathBuf {
    std::fs::canonicalize(spool).unwrap_or_else(|_| {
        let folder = spool.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let folder = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        folder.join(spool.file_name().unwrap_or_default())
    })
}

impl SpoolConfig for SqliteSpool {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn Spool>, OpenError>> {
        let config = self.clone();
        Box::pin(async move { config.open_spool(&instance) })
    }
}

/// How many events that were set aside are kept.
const REFUSED: i64 = 1_000;

fn set_capacity(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    transaction.execute("DELETE FROM capacity", [])?;
    transaction.execute("INSERT INTO capacity (bytes) VALUES (?1)", [bytes])?;
    transaction.commit()
}

/// How many events were ever set aside.
fn refused_ever(connection: &Connection) -> rusqlite::Result<u64> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'refused'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(last.unwrap_or(0) as u64)
}

struct OpenSpool {
    path: PathBuf,
    capacity_bytes: u64,
    /// `None` after it was closed.
    open: Mutex<Option<Open>>,
    reader: Arc<Reader>,
}

struct Open {
    connection: Connection,
    presence: Presence,
    _lease: File,
    /// `None` after a write whose outcome is not known: it is counted again then.
    waiting: Option<Waiting>,
}

/// How much waits.
#[derive(Debug, Clone, Copy)]
struct Waiting {
    events: u64,
    bytes: u64,
}

impl Waiting {
    fn count(connection: &Connection) -> rusqlite::Result<Self> {
        connection
            .prepare_cached("SELECT count(*), coalesce(sum(octet_length(event)), 0) FROM waiting")?
            .query_row([], |row| {
                Ok(Self { events: row.get::<_, i64>(0)? as u64, bytes: row.get::<_, i64>(1)? as u64 })
            })
    }
}

impl Open {
    fn waiting(&mut self) -> rusqlite::Result<Waiting> {
        let waiting = match self.waiting {
            Some(waiting) => waiting,
            None => Waiting::count(&self.connection)?,
        };
        self.waiting = Some(waiting);
        Ok(waiting)
    }

    fn push(&mut self, events: &[Arc<TraceEvent>], texts: &[String]) -> rusqlite::Result<()> {
        self.waiting = None;
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        {
            let mut insert =
                transaction.prepare_cached("INSERT INTO waiting (event, trace) VALUES (?1, ?2)")?;
            for (event, text) in events.iter().zip(texts) {
                insert.execute(params![text, event.trace_id.to_bytes()])?;
            }
        }
        transaction.commit()
    }

    fn set_aside(&mut self, position: i64, reason: &str) -> rusqlite::Result<()> {
        self.waiting = None;
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let set_aside = transaction
            .prepare_cached(
                "INSERT INTO refused (reason, event) SELECT ?2, event FROM waiting WHERE id = ?1",
            )?
            .execute(params![position, reason])?;
        if set_aside > 0 {
            transaction.prepare_cached("DELETE FROM waiting WHERE id = ?1")?.execute([position])?;
            let last = transaction.last_insert_rowid();
            transaction.prepare_cached("DELETE FROM refused WHERE id <= ?1")?.execute([last - REFUSED])?;
        }
        transaction.commit()
    }

    fn remove_through(&mut self, position: i64) -> rusqlite::Result<Waiting> {
        self.waiting = None;
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
        let removed = {
            let mut count = transaction.prepare_cached(
                "SELECT count(*), coalesce(sum(octet_length(event)), 0) FROM waiting WHERE id <= ?1",
            )?;
            count.query_row([position], |row| {
                Ok(Waiting { events: row.get::<_, i64>(0)? as u64, bytes: row.get::<_, i64>(1)? as u64 })
            })?
        };
        transaction.prepare_cached("DELETE FROM waiting WHERE id <= ?1")?.execute([position])?;
        transaction.commit()?;
        Ok(removed)
    }
}

impl OpenSpool {
    fn with<T>(&self, use_it: impl FnOnce(&mut Open) -> Result<T, AppendError>) -> Result<T, AppendError> {
        // A panic leaves nothing half done: transactions roll back when they are dropped, and what waits is counted
        // again unless a write went through.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *open {
            Some(open) => use_it(open),
            None => Err(AppendError::Broken {
                reason: format!("the spool {} is closed; open it again", self.path.display()),
                source: None,
            }),
        }
    }

    fn fail(&self, error: rusqlite::Error) -> AppendError {
        append_error(&self.path, error)
    }

    fn push_now(&self, events: &[Arc<TraceEvent>]) -> Result<(), AppendError> {
        let json = |(index, event): (usize, &Arc<TraceEvent>)| {
            serde_json::to_string(&**event).map_err(|_| AppendError::Rejected {
                index,
                reason: "it can't be written as JSON".to_owned(),
            })
        };
        let texts = events.iter().enumerate().map(json).collect::<Result<Vec<_>, _>>()?;
        let bytes: u64 = texts.iter().map(|text| text.len() as u64).sum();
        self.with(|open| {
            let waiting = open.waiting().map_err(|error| self.fail(error))?;
            if waiting.bytes.saturating_add(bytes) > self.capacity_bytes {
                return Err(AppendError::Unavailable {
                    reason: format!(
                        "the spool {} is full: it holds {} events of {} bytes, {} more do not fit into its capacity \
                         of {} bytes",
                        self.path.display(),
                        waiting.events,
                        waiting.bytes,
                        bytes,
                        self.capacity_bytes
                    ),
                    retry_after: None,
                    source: None,
                });
            }
            let pushed = open.push(events, &texts).map_err(|error| self.fail(error));
            // What was written to a file that nobody finds is not kept.
            open.presence.check().map_err(Gone::into_append_error)?;
            pushed?;
            open.waiting = Some(Waiting {
                events: waiting.events + events.len() as u64,
                bytes: waiting.bytes + bytes,
            });
            Ok(())
        })
    }

    fn peek_now(&self, limit: usize) -> Result<Vec<Spooled>, AppendError> {
        self.with(|open| {
            let read = || {
                open.connection
                    .prepare_cached("SELECT id, event FROM waiting ORDER BY id LIMIT ?1")?
                    .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], |row| {
                        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
                    })?
                    .collect::<rusqlite::Result<Vec<_>>>()
            };
            let rows = read().map_err(|error| self.fail(error))?;
            rows.into_iter()
                .map(|(id, text)| {
                    // The parser's error quotes the text, which is payload: it is left out.
                    let event = serde_json::from_str(&text).map_err(|_| AppendError::Broken {
                        reason: format!(
                            "row {id} of the table `waiting` in the spool {} is not an event; save the row \
                             elsewhere and delete it",
                            self.path.display()
                        ),
                        source: None,
                    })?;
                    Ok(Spooled { position: id as u64, event: Arc::new(event) })
                })
                .collect()
        })
    }

    fn remove_now(&self, position: u64) -> Result<(), AppendError> {
        self.with(|open| {
            let waiting = open.waiting().map_err(|error| self.fail(error))?;
            let through = i64::try_from(position).unwrap_or(i64::MAX);
            let removed = open.remove_through(through).map_err(|error| self.fail(error))?;
            open.waiting = Some(Waiting {
                events: waiting.events.saturating_sub(removed.events),
                bytes: waiting.bytes.saturating_sub(removed.bytes),
            });
            Ok(())
        })
    }

    fn usage_now(&self) -> Result<SpoolUsage, AppendError> {
        self.with(|open| {
            let Waiting { events, bytes } = open.waiting().map_err(|error| self.fail(error))?;
            let refused = refused_ever(&open.connection).map_err(|error| self.fail(error))?;
            Ok(SpoolUsage { events, bytes, capacity_bytes: self.capacity_bytes, refused })
        })
    }

    fn close_now(&self) -> Result<(), AppendError> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The lease is held until the connection is closed.
        match open {
            Some(Open { connection, _lease, .. }) => {
                connection.close().map_err(|(_, error)| append_error(&self.path, error))
            }
            None => Ok(()),
        }
    }
}

impl Spool for OpenSpool {
    fn set_aside<'a>(&'a self, position: u64, reason: &'a str) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            let position = i64::try_from(position).unwrap_or(i64::MAX);
            self.with(|open| open.set_aside(position, reason).map_err(|error| self.fail(error)))
        })
    }

    fn reader(&self) -> Arc<dyn SpoolReader> {
        Arc::clone(&self.reader) as _
    }

    fn name(&self) -> &str {
        "sqlite spool"
    }

    fn push<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move { self.push_now(events) })
    }

    fn peek(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Spooled>, AppendError>> {
        Box::pin(async move { self.peek_now(limit) })
    }

    fn remove_through(&self, position: u64) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move { self.remove_now(position) })
    }

    fn usage(&self) -> BoxFuture<'_, Result<SpoolUsage, AppendError>> {
        Box::pin(async move { self.usage_now() })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move { self.close_now() })
    }
}
