//! Removing old runs: whole ended runs, a few at a time, the oldest first.

use std::time::Duration;

use rusqlite::{Connection, Result, Transaction, TransactionBehavior};
use rustc_hash::FxHashSet;
use throughline_model::{AppendError, OpenError, Timestamp};

use crate::block::last_event;
use crate::connection::{Place, STORE_FILE};
use crate::error::append_error;
use crate::latest;
use crate::rollup::{self, HOUR};

/// Which runs to remove. The default removes none; with both limits a run goes when either says so.
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
    /// Runs that ended this long ago.
    pub age: Option<Duration>,
    /// The oldest ended runs, as long as the file holds more bytes than this.
    pub bytes: Option<u64>,
}

impl PrunePolicy {
    /// Removes runs that ended this long ago.
    #[must_use]
    pub fn age(self, age: Duration) -> Self {
        Self { age: Some(age), ..self }
    }

    /// Removes the oldest ended runs, as long as the file holds more bytes than this.
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

pub(crate) fn prune(place: &Place, policy: &PrunePolicy) -> std::result::Result<PruneReport, PruneError> {
    // Pruning must not create the file that is to be pruned.
    drop(STORE_FILE.open_read_only(&place.path)?);
    let connection = STORE_FILE.open(place, false)?;
    let fail = |error| append_error(&place.path, error);
    let bytes_before = size(&connection).map_err(fail)?.file;
    let mut report = PruneReport { bytes_before, ..PruneReport::default() };
    loop {
        let step = step(&connection, policy, 256).map_err(fail)?;
        report.runs += step.runs;
        report.events += step.events;
        if step.runs == 0 {
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

/// Returns at most so many free pages to the file system.
pub(crate) fn shrink(connection: &Connection, pages: i64) -> Result<()> {
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// What one step removed.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) runs: u64,
    pub(crate) events: u64,
}

/// Removes at most so many runs, in a transaction of its own.
pub(crate) fn step(connection: &Connection, policy: &PrunePolicy, limit: i64) -> Result<Step> {
    let too_large = match policy.bytes {
        Some(bytes) => size(connection)?.used > bytes,
        None => false,
    };
    let oldest = policy.age.map(|age| Timestamp::now().minus(age).as_micros());
    let ended_before = match (too_large, oldest) {
        (true, _) => i64::MAX,
        (false, Some(oldest)) => oldest,
        (false, None) => return Ok(Step::default()),
    };
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let runs = transaction
        .prepare_cached(
            "SELECT id, started FROM run INDEXED BY run_started WHERE started < ?1 AND status != 0 \
             AND coalesce(ended, started) < ?1 ORDER BY started LIMIT ?2",
        )?
        .query_map([ended_before, limit], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?
        .collect::<Result<Vec<_>>>()?;
    if !runs.is_empty() {
        // What is removed stays in the counts until its hour is gone, so it must have been counted.
        rollup::fold(&transaction, rollup::folded(&transaction)?, last_event(&transaction)?)?;
        // And nothing of it may be folded later, when its run is gone.
        latest::fold_all(&transaction)?;
    }
    let mut done = Step::default();
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
        done.events += transaction.prepare_cached("DELETE FROM event WHERE run = ?1")?.execute([run])? as u64;
        for sql in [
            "DELETE FROM run_attr WHERE run = ?1",
            "DELETE FROM decision WHERE run = ?1",
            "DELETE FROM latest WHERE run = ?1",
            "DELETE FROM run WHERE id = ?1",
        ] {
            transaction.prepare_cached(sql)?.execute([run])?;
        }
        done.runs += 1;
    }
    if let Some((_, last_started)) = runs.last() {
        drop_empty_blocks(&transaction, &blocks)?;
        drop_old_rollups(&transaction, (*last_started).max(oldest.unwrap_or(i64::MIN)))?;
    }
    transaction.commit()?;
    Ok(done)
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

/// Counts of the hours before the first run that is left, and of those before this moment in which only open runs are
/// left.
fn drop_old_rollups(connection: &Connection, moment: i64) -> Result<()> {
    let first_run: Option<i64> =
        connection.prepare_cached("SELECT min(started) FROM run")?.query_row([], |row| row.get(0))?;
    rollup::forget_before(connection, first_run.unwrap_or(i64::MAX).max(moment).div_euclid(HOUR))
}
