//! Whose turn it is to write.
//!
//! SQLite lets one connection write at a time. The others ask again and again, less and less often, so that somebody who begins
//! the next transaction as soon as the last one is committed, as an import or the removal of many runs does, can keep them out
//! for seconds. So whoever waits says so with a shared lock on a file beside the leases, and whoever writes in bulk looks there
//! often, and gives way. The operating system frees the lock of a process that dies.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, Result};

use crate::paths::leases;

/// How a connection gets its turn.
#[derive(Debug)]
pub(crate) struct Turn {
    path: PathBuf,
    /// Opened when it is first needed. Where it can't be opened, everything works, less fairly.
    file: Option<File>,
    busy_timeout: Duration,
}

/// How a log begins anew.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Anew {
    /// What comes next overwrites it from its beginning.
    Overwritten,
    /// It is cut to nothing.
    Truncated,
}

impl Turn {
    /// How often one who waits tries again; at first this often, later less.
    const POLL: Duration = Duration::from_micros(200);
    const LATER_POLL: Duration = Duration::from_millis(2);
    /// How long one who writes in bulk waits at most until those who waited have had their turn.
    const LONGEST_WAY: Duration = Duration::from_millis(100);

    /// The database is the path by which leases are found.
    pub(crate) fn new(database: &Path, busy_timeout: Duration) -> Self {
        Self { path: leases(database).join("waiting"), file: None, busy_timeout }
    }

    /// Begins a transaction that writes, when nobody else is in one.
    pub(crate) fn begin(&mut self, connection: &Connection) -> Result<()> {
        let mut begin = connection.prepare_cached("BEGIN IMMEDIATE")?;
        connection.busy_timeout(Duration::ZERO)?;
        let mut busy = None;
        let attempt = || match begin.execute([]) {
            Err(error) if is_busy(&error) => {
                busy = Some(error);
                Ok(None)
            }
            begun => begun.map(Some),
        };
        let begun = self.wait(self.busy_timeout, attempt);
        connection.busy_timeout(self.busy_timeout)?;
        match (begun?, busy) {
            (None, Some(busy)) => Err(busy),
            _ => Ok(()),
        }
    }

    /// Begins one if nobody else is in one at this moment; answers whether that came about.
    pub(crate) fn try_begin(&self, connection: &Connection) -> Result<bool> {
        let mut begin = connection.prepare_cached("BEGIN IMMEDIATE")?;
        connection.busy_timeout(Duration::ZERO)?;
        let begun = begin.execute([]);
        connection.busy_timeout(self.busy_timeout)?;
        match begun {
            Err(error) if is_busy(&error) => Ok(false),
            begun => begun.map(|_| true),
        }
    }

    /// Moves the log into the database, and begins it anew in this way once nobody writes and nobody reads from it; answers
    /// whether that came about.
    pub(crate) fn begin_log_anew(
        &mut self,
        connection: &Connection,
        way: Anew,
        patience: Duration,
    ) -> Result<bool> {
        let checkpoint = |mode| {
            let pragma = format!("PRAGMA wal_checkpoint({mode})");
            connection.query_row(&pragma, [], |row| Ok((!row.get::<_, bool>(0)?).then_some(())))
        };
        let mode = match way {
            Anew::Overwritten => "RESTART",
            Anew::Truncated => "TRUNCATE",
        };
        connection.busy_timeout(Duration::ZERO)?;
        // Others may write during the first, which moves nearly all of it, and not during the second.
        let begun = match checkpoint("PASSIVE") {
            Ok(Some(())) => self.wait(patience, || checkpoint(mode)),
            moved_by_another => moved_by_another,
        };
        connection.busy_timeout(self.busy_timeout)?;
        begun.map(|begun| begun.is_some())
    }

    /// Attempts something again and again for as long as the connection is busy, and says so to those who write in bulk.
    fn wait<T>(
        &mut self,
        patience: Duration,
        mut attempt: impl FnMut() -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        if let Some(done) = attempt()? {
            return Ok(Some(done));
        }
        let began = Instant::now();
        let file = self.file();
        // Another one who looks whether anybody waits holds it for a moment only.
        let is_told = file.is_some_and(|file| file.lock_shared().is_ok());
        let attempted = loop {
            match attempt() {
                Ok(None) if began.elapsed() < patience => {
                    let is_new = began.elapsed() < 100 * Self::POLL;
                    std::thread::sleep(if is_new { Self::POLL } else { Self::LATER_POLL });
                }
                attempted => break attempted,
            }
        };
        if is_told && let Some(file) = file {
            // It can't fail in a way that anybody could do anything about.
            let _ = file.unlock();
        }
        attempted
    }

    /// Whether another connection waits to write: asked by one that writes in bulk.
    pub(crate) fn is_wanted(&mut self) -> bool {
        let Some(file) = self.file() else { return false };
        match file.try_lock() {
            Ok(()) => file.unlock().is_err(),
            Err(TryLockError::WouldBlock) => true,
            Err(TryLockError::Error(_)) => false,
        }
    }

    /// Waits, between two transactions, until those who waited have had their turn.
    pub(crate) fn give_way(&mut self) {
        let began = Instant::now();
        while self.is_wanted() && began.elapsed() < Self::LONGEST_WAY {
            std::thread::sleep(Self::POLL);
        }
    }

    fn file(&mut self) -> Option<&File> {
        if self.file.is_none() {
            let open =
                || OpenOptions::new().create(true).truncate(false).write(true).read(true).open(&self.path);
            self.file = std::fs::create_dir_all(self.path.parent()?).and_then(|()| open()).ok();
        }
        self.file.as_ref()
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy))
}
