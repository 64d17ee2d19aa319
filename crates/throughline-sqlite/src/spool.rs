//! [`SqliteSpool`], a local outbox.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use throughline_model::{AppendError, BoxFuture, Instance, OpenError, Spool, SpoolConfig, TraceEvent};

use crate::connection::{Place, SPOOL_FILE, Synchronous};
use crate::error::append_error;

/// The description of an outbox in a SQLite file of its own: durable, in order, bounded.
///
/// One process uses a spool at a time; what an earlier one left is drained by the next.
#[derive(Debug, Clone)]
pub struct SqliteSpool {
    place: Place,
    capacity: u64,
}

impl SqliteSpool {
    /// How many events fit unless told otherwise.
    pub const DEFAULT_CAPACITY: u64 = 1_000_000;

    /// A spool in this file. Its folder must exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            place: Place {
                path: path.into(),
                synchronous: Synchronous::Full,
                busy_timeout: Duration::from_millis(500),
            },
            capacity: Self::DEFAULT_CAPACITY,
        }
    }

    /// Holds at most so many events; then it refuses more, retryably.
    #[must_use]
    pub fn capacity_events(mut self, events: u64) -> Self {
        self.capacity = events;
        self
    }

    fn open_spool(self) -> Result<Arc<dyn Spool>, OpenError> {
        let connection = SPOOL_FILE.open(&self.place, true).map_err(|error| match error {
            OpenError::Unavailable { store, source, .. } => OpenError::Unavailable {
                store,
                reason: format!(
                    "the spool {} is in use by another process; give each process a spool of its own",
                    self.place.path.display()
                ),
                source,
            },
            other => other,
        })?;
        let waiting = connection
            .query_row("SELECT count(*) FROM waiting", [], |row| row.get::<_, i64>(0))
            .map_err(|error| crate::error::open_error(&self.place.path, error))?;
        let state = State { connection, waiting: waiting as u64 };
        Ok(Arc::new(OpenSpool { path: self.place.path, capacity: self.capacity, state: Mutex::new(state) }))
    }
}

impl SpoolConfig for SqliteSpool {
    fn open(self: Box<Self>, _: Instance) -> BoxFuture<'static, Result<Arc<dyn Spool>, OpenError>> {
        Box::pin(async move { self.open_spool() })
    }
}

struct OpenSpool {
    path: PathBuf,
    capacity: u64,
    state: Mutex<State>,
}

struct State {
    connection: Connection,
    waiting: u64,
}

impl OpenSpool {
    fn state(&self) -> MutexGuard<'_, State> {
        // Transactions roll back when they are dropped, and what is remembered changes only after a commit.
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn push_now(&self, events: &[Arc<TraceEvent>]) -> Result<(), AppendError> {
        let mut state = self.state();
        let waiting = state.waiting + events.len() as u64;
        if waiting > self.capacity {
            return Err(AppendError::Unavailable {
                reason: format!(
                    "the spool {} holds {} events, and {} are all it may hold",
                    self.path.display(),
                    state.waiting,
                    self.capacity
                ),
                retry_after: None,
                source: None,
            });
        }
        let texts = events
            .iter()
            .map(|event| serde_json::to_string(&**event))
            .enumerate()
            .map(|(index, text)| {
                text.map_err(|_| AppendError::Rejected {
                    index,
                    reason: "it can't be written as JSON".to_owned(),
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        let insert = || {
            let transaction = Transaction::new_unchecked(&state.connection, TransactionBehavior::Immediate)?;
            {
                let mut insert = transaction.prepare_cached("INSERT INTO waiting (event) VALUES (?1)")?;
                for text in &texts {
                    insert.execute([text])?;
                }
            }
            transaction.commit()
        };
        insert().map_err(|error| append_error(&self.path, error))?;
        state.waiting = waiting;
        Ok(())
    }

    fn peek_now(&self, limit: usize) -> Result<Vec<Arc<TraceEvent>>, AppendError> {
        let state = self.state();
        let read = || {
            state
                .connection
                .prepare_cached("SELECT id, event FROM waiting ORDER BY id LIMIT ?1")?
                .query_map([number(limit)], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        let rows = read().map_err(|error| append_error(&self.path, error))?;
        rows.into_iter()
            .map(|(id, text)| {
                // The parser's error quotes the text, which is payload: it is not passed on.
                serde_json::from_str(&text).map(Arc::new).map_err(|_| AppendError::Broken {
                    reason: format!(
                        "the spool {} holds what is no event; save and remove row {id} of its table `waiting`",
                        self.path.display()
                    ),
                    source: None,
                })
            })
            .collect()
    }

    fn remove_now(&self, count: usize) -> Result<(), AppendError> {
        let mut state = self.state();
        let remove = || {
            state
                .connection
                .prepare_cached(
                    "DELETE FROM waiting WHERE id <= \
                     (SELECT max(id) FROM (SELECT id FROM waiting ORDER BY id LIMIT ?1))",
                )?
                .execute([number(count)])
        };
        let removed = remove().map_err(|error| append_error(&self.path, error))?;
        state.waiting = state.waiting.saturating_sub(removed as u64);
        Ok(())
    }
}

fn number(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

impl Spool for OpenSpool {
    fn name(&self) -> &str {
        "sqlite spool"
    }

    fn push<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move { self.push_now(events) })
    }

    fn peek(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<TraceEvent>>, AppendError>> {
        Box::pin(async move { self.peek_now(limit) })
    }

    fn remove(&self, count: usize) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move { self.remove_now(count) })
    }

    fn waiting(&self) -> BoxFuture<'_, Result<u64, AppendError>> {
        Box::pin(async move { Ok(self.state().waiting) })
    }
}
