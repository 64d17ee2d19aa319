//! Removing old runs: whole runs, a few at a time, the oldest first.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Result, Transaction, TransactionBehavior};
use rustc_hash::FxHashSet;
use throughline_model::{AppendError, OpenError, Timestamp};

use crate::block::last_event;
use crate::connection::{Place, STORE_FILE};
use crate::error::append_error;
use crate::expired::{Found, Limits, Pass, still_expired};
use crate::latest;
use crate::rollup::{self, HOUR};

/// Which runs to remove. The default removes none; with both limits a run goes when either says so.
///
/// A run that has not ended is removed like any other once no living process works on it: what a dead process left, and what
/// was imported and never ended. A run whose process is alive, or that a living process has claimed, always stays.
///
/// ```
/// use std::time::Duration;
/// use throughline_sqlite::PrunePolicy;
///
/// let policy = PrunePolicy::default().age(Duration::from_secs(30 * 86_400)).bytes(10 << 30);
/// assert_eq!(policy.bytes, Some(10_737_418_240));
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrunePolicy {
    /// Runs that ended this long ago, or of which the last event is this old.
    pub age: Option<Duration>,
    /// The oldest runs, as long as the file holds more bytes than this.
    pub bytes: Option<u64>,
}

impl PrunePolicy {
    /// Removes runs that ended this long ago and, of those that did not end, runs of which the last event is this old.
    #[must_use]
    pub fn age(self, age: Duration) -> Self {
        Self { age: Some(age), ..self }
    }

    /// Removes the oldest runs, as long as the file holds more bytes than this.
    #[must_use]
    pub fn bytes(self, bytes: u64) -> Self {
        Self { bytes: Some(bytes), ..self }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.age.is_none() && self.bytes.is_none()
    }
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PruneReport {
    /// Runs that were removed.
    pub runs: u64,
    /// Events that were removed with them.
    pub events: u64,
    /// The size of the file before, in bytes.
    pub bytes_before: u64,
    /// The size of the file now, in bytes.
    pub bytes_after: u64,
}

/// Why pruning stopped. What was removed until then stays removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PruneError {
    /// The file can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file can't be written to.
    #[error(transparent)]
    Write(#[from] AppendError),
}

impl PruneError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Open(error) => error.is_retryable(),
            Self::Write(error) => error.is_retryable(),
        }
    }
}

/// Prunes until the policy is met. The database is the path by which leases are found.
pub(crate) fn prune(
    place: &Place,
    database: &Path,
    policy: &PrunePolicy,
) -> std::result::Result<PruneReport, PruneError> {
    // Pruning must not create the file that is to be pruned.
    drop(STORE_FILE.open_read_only(&place.path)?);
    let connection = STORE_FILE.open(place, false)?.connection;
    let fail = |error| append_error(&place.path, error);
    let bytes_before = size(&connection).map_err(fail)?.file;
    let mut report = PruneReport { bytes_before, ..PruneReport::default() };
    let mut pass = Pass::default();
    loop {
        let limits = limits(&connection, policy).map_err(fail)?;
        let found = pass.look(&connection, database, limits, 256).map_err(fail)?;
        let removed = remove(&connection, database, &found).map_err(fail)?;
        report.runs += removed.runs;
        report.events += removed.events;
        if found.is_last {
            break;
        }
    }
    shrink(&connection, i64::MAX).map_err(fail)?;
    report.bytes_after = size(&connection).map_err(fail)?.file;
    Ok(report)
}

/// How large the file is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) file: u64,
    /// Bytes that hold something.
    pub(crate) used: u64,
}

pub(crate) fn size(connection: &Connection) -> Result<Size> {
    let read = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (page, pages, free) = (read("page_size")?, read("page_count")?, read("freelist_count")?);
    Ok(Size { file: (page * pages) as u64, used: (page * (pages - free)) as u64 })
}

/// What a policy says of the file now.
pub(crate) fn limits(connection: &Connection, policy: &PrunePolicy) -> Result<Limits> {
    let too_large = match policy.bytes {
        Some(bytes) => size(connection)?.used > bytes,
        None => false,
    };
    let oldest = policy.age.map(|age| Timestamp::now().minus(age).as_micros());
    Ok(Limits { too_large, oldest })
}

/// Returns at most so many free pages to the file system.
pub(crate) fn shrink(connection: &Connection, pages: i64) -> Result<()> {
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// What one transaction removed.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    pub(crate) runs: u64,
    pub(crate) events: u64,
}

/// Removes the runs that were found and may still go, in a transaction of its own.
pub(crate) fn remove(connection: &Connection, database: &Path, found: &Found) -> Result<Removed> {
    if found.runs.is_empty() {
        return Ok(Removed::default());
    }
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    // Nothing of what is removed may be folded later, when its run is gone. And until all is folded, the table does not
    // say when something last happened in a run.
    latest::fold_all(&transaction)?;
    let runs = still_expired(&transaction, database, found)?;
    if !runs.is_empty() {
        // What is removed stays in the counts until its hour is gone, so it must have been counted.
        rollup::fold(&transaction, rollup::folded(&transaction)?, last_event(&transaction)?)?;
    }
    let mut removed = Removed::default();
    let mut blocks = FxHashSet::default();
    for (run, _) in &runs {
        {
            let mut find = transaction.prepare_cached("SELECT id FROM event WHERE run = ?1")?;
            let mut block_of = transaction.prepare_cached("SELECT max(id) FROM block WHERE id <= ?1")?;
            let mut events = find.query([run])?;
            while let Some(event) = events.next()? {
                let block: Option<i64> = block_of.query_row([event.get::<_, i64>(0)?], |row| row.get(0))?;
                blocks.extend(block);
            }
        }
        removed.events +=
            transaction.prepare_cached("DELETE FROM event WHERE run = ?1")?.execute([run])? as u64;
        for sql in [
            "DELETE FROM run_attr WHERE run = ?1",
            "DELETE FROM decision WHERE run = ?1",
            "DELETE FROM latest WHERE run = ?1",
            // A dead process has left it, or it would keep the run here.
            "DELETE FROM claim WHERE trace_id = (SELECT trace_id FROM run WHERE id = ?1)",
            "DELETE FROM run WHERE id = ?1",
        ] {
            transaction.prepare_cached(sql)?.execute([run])?;
        }
        removed.runs += 1;
    }
    if let Some((_, last_started)) = runs.last() {
        drop_empty_blocks(&transaction, &blocks)?;
        drop_old_rollups(&transaction, (*last_started).max(found.limits.oldest.unwrap_or(i64::MIN)))?;
    }
    transaction.commit()?;
    Ok(removed)
}

/// Blocks of which no event is left, but for the last, which says what the next numbers are.
fn drop_empty_blocks(connection: &Connection, blocks: &FxHashSet<i64>) -> Result<()> {
    let mut drop_if_empty = connection.prepare_cached(
        "DELETE FROM block WHERE id = ?1 AND id < (SELECT max(id) FROM block) \
         AND NOT EXISTS (SELECT 1 FROM event e WHERE e.id BETWEEN ?1 AND ?1 + block.count - 1)",
    )?;
    for block in blocks {
        drop_if_empty.execute([block])?;
    }
    Ok(())
}

/// Counts of the hours before the first run that is left, and of those before this moment in which only runs are left that
/// somebody works on.
fn drop_old_rollups(connection: &Connection, moment: i64) -> Result<()> {
    let first_run: Option<i64> =
        connection.prepare_cached("SELECT min(started) FROM run")?.query_row([], |row| row.get(0))?;
    rollup::forget_before(connection, first_run.unwrap_or(i64::MAX).max(moment).div_euclid(HOUR))
}
