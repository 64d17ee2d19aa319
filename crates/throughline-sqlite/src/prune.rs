//! Removing old runs: whole runs, a few at a time, the oldest first, and their events in short transactions.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result, params};
use rustc_hash::FxHashSet;
use throughline_model::{AppendError, OpenError, Timestamp};

use crate::block::{self, last_event};
use crate::connection::{Place, STORE_FILE, Synchronous};
use crate::error::append_error;
use crate::expired::{Found, Limits, Pass, still_expired};
use crate::latest;
use crate::paths::resolved;
use crate::presence::Gone;
use crate::rollup::{self, HOUR};
use crate::skip_index;
use crate::unused::remove_unused;
use crate::writer::Writer;

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

/// Prunes until the policy is met.
pub(crate) fn prune(place: &Place, policy: &PrunePolicy) -> std::result::Result<PruneReport, PruneError> {
    // Pruning must not create the file that is to be pruned.
    drop(STORE_FILE.open_read_only(&place.path)?);
    Ok(Pruner::open(place, *policy)?.prune()?)
}

/// Removes runs, a step at a time. Each step is a transaction that is over soon after somebody else waits to write.
pub(crate) struct Pruner {
    writer: Writer,
    database: PathBuf,
    policy: PrunePolicy,
    pass: Pass,
    /// The moment by which runs are old or not: if it moved on, and as many runs grew old as were removed, there would be no end.
    /// Else it is that of each step.
    now: Option<Timestamp>,
    /// Whether runs went since names were last looked at.
    has_removed: bool,
}

/// What one step did.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) runs: u64,
    pub(crate) events: u64,
    /// Whether it changed anything.
    pub(crate) did_something: bool,
    /// Whether no run is left that the policy would remove now.
    pub(crate) is_last: bool,
}

impl Pruner {
    /// Runs that one step looks for: a millisecond of work.
    const RUNS: usize = 32;
    /// Pages that are returned to the file system before another look whether anybody waits.
    const PAGES: i64 = 16;

    pub(crate) fn open(place: &Place, policy: PrunePolicy) -> std::result::Result<Self, OpenError> {
        // Removals need not be synced: what a power cut undoes is removed again.
        let place = Place { synchronous: Synchronous::Normal, ..place.clone() };
        let writer = Writer::new(STORE_FILE.open(&place)?);
        Ok(Self {
            writer,
            database: resolved(&place.path),
            policy,
            pass: Pass::default(),
            now: None,
            has_removed: false,
        })
    }

    /// Removes what the policy removes now.
    pub(crate) fn prune(mut self) -> std::result::Result<PruneReport, AppendError> {
        self.now = Some(Timestamp::now());
        let mut report = PruneReport::default();
        let pruned = self.prune_all(&mut report);
        self.writer.confirm().map_err(Gone::into_append_error)?;
        pruned.map_err(|error| append_error(&self.database, error))?;
        Ok(report)
    }

    fn prune_all(&mut self, report: &mut PruneReport) -> Result<()> {
        report.bytes_before = size(self.writer.connection())?.file;
        loop {
            let step = self.try_step()?;
            report.runs += step.runs;
            report.events += step.events;
            if step.is_last {
                break;
            }
        }
        while self.shrink(|_| true)? {}
        self.writer.empty_log()?;
        report.bytes_after = size(self.writer.connection())?.file;
        Ok(())
    }

    /// The next step. After an error, begins from the oldest run again, for what was found and not removed is behind the pass.
    pub(crate) fn step(&mut self) -> std::result::Result<Step, AppendError> {
        let step = self.try_step();
        if step.is_err() {
            self.pass = Pass::default();
        }
        self.writer.confirm().map_err(Gone::into_append_error)?;
        step.map_err(|error| append_error(&self.database, error))
    }

    fn try_step(&mut self) -> Result<Step> {
        // Before the next look, for only then the size of the file says whether more has to go.
        if has_remains(self.writer.connection())? {
            let events = self.sweep()?;
            return Ok(Step { events, did_something: true, ..Step::default() });
        }
        // The writer need not wait for this: it only reads.
        let connection = self.writer.connection();
        let limits = limits(connection, &self.policy, self.now.unwrap_or_else(Timestamp::now))?;
        let found = self.pass.look(connection, &self.database, limits, Self::RUNS)?;
        if !found.runs.is_empty() {
            let database = &self.database;
            let runs = self.writer.transaction(|connection| remove(connection, database, &found))?;
            self.has_removed |= runs > 0;
            return Ok(Step { runs, did_something: true, ..Step::default() });
        }
        if found.is_last && std::mem::take(&mut self.has_removed) {
            remove_unused(&mut self.writer)?;
        }
        let too_large =
            |policy: &PrunePolicy, size: Size| policy.bytes.is_some_and(|bytes| size.file > bytes);
        let policy = self.policy;
        let did_something = found.is_last && self.shrink(|size| too_large(&policy, size))?;
        Ok(Step { did_something, is_last: found.is_last && !did_something, ..Step::default() })
    }

    /// Deletes what is left of runs that were removed; returns how many events that were.
    fn sweep(&mut self) -> Result<u64> {
        let mut events = 0;
        self.writer.in_turn(|connection| {
            events += sweep(connection)?;
            has_remains(connection)
        })?;
        Ok(events)
    }

    /// Returns free pages to the file system, as long as that is wanted and somebody else does not wait; answers whether any
    /// were.
    fn shrink(&mut self, is_wanted: impl Fn(Size) -> bool) -> Result<bool> {
        let mut shrank = false;
        self.writer.in_turn(|connection| {
            let size = size(connection)?;
            if size.file == size.used || !is_wanted(size) {
                return Ok(false);
            }
            shrink(connection, Self::PAGES)?;
            shrank = true;
            Ok(true)
        })?;
        Ok(shrank)
    }
}

/// How large the file is.
#[derive(Debug, Clone, Copy)]
struct Size {
    file: u64,
    /// Bytes that hold something.
    used: u64,
}

fn size(connection: &Connection) -> Result<Size> {
    let read = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (page, pages, free) = (read("page_size")?, read("page_count")?, read("freelist_count")?);
    Ok(Size { file: (page * pages) as u64, used: (page * (pages - free)) as u64 })
}

/// What a policy says of the file at a moment.
fn limits(connection: &Connection, policy: &PrunePolicy, now: Timestamp) -> Result<Limits> {
    let too_large = match policy.bytes {
        Some(bytes) => size(connection)?.used > bytes,
        None => false,
    };
    let oldest = policy.age.map(|age| now.minus(age).as_micros());
    Ok(Limits { too_large, oldest })
}

/// Returns at most so many free pages to the file system.
fn shrink(connection: &Connection, pages: i64) -> Result<()> {
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

/// Removes the runs that were found and may still go, in a transaction that writes: nobody sees them any more. Their events
/// and whatever else is as large as a run are left to [`sweep`]. Returns how many there were.
pub(crate) fn remove(connection: &Connection, database: &Path, found: &Found) -> Result<u64> {
    block::close(connection)?;
    // Nothing of what is removed may be folded later, when its run is gone. And until all is folded, the table does not
    // say when something last happened in a run.
    latest::fold_all(connection)?;
    let runs = still_expired(connection, database, found)?;
    let Some((_, last_started)) = runs.last() else { return Ok(0) };
    // What is removed stays in the counts until its hour is gone, so it must have been counted.
    rollup::fold(connection, rollup::folded(connection)?, last_event(connection)?)?;
    for (run, _) in &runs {
        for sql in [
            "INSERT INTO removed (run) VALUES (?1)",
            "DELETE FROM latest WHERE run = ?1",
            "DELETE FROM cause WHERE run = ?1",
            // A dead process has left it, or it would keep the run here.
            "DELETE FROM claim WHERE trace_id = (SELECT trace_id FROM run WHERE id = ?1)",
            "DELETE FROM run WHERE id = ?1",
        ] {
            connection.prepare_cached(sql)?.execute([run])?;
        }
    }
    drop_old_rollups(connection, (*last_started).max(found.limits.oldest.unwrap_or(i64::MIN)))?;
    Ok(runs.len() as u64)
}

/// Whether something is left of runs that were removed, by this process or by one that died.
fn has_remains(connection: &Connection) -> Result<bool> {
    connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM removed)")?.query_row([], |row| row.get(0))
}

/// Deletes a few rows of runs that were removed; returns how many events were among them.
fn sweep(connection: &Connection) -> Result<u64> {
    const ROWS: usize = 64;
    let (mut events, mut rows, mut blocks) = (0, 0, FxHashSet::default());
    while rows < ROWS {
        let first = connection
            .prepare_cached("SELECT run FROM removed LIMIT 1")?
            .query_row([], |row| row.get::<_, i64>(0))
            .optional()?;
        let Some(run) = first else { break };
        let room = ROWS - rows;
        let of_run = sweep_events(connection, run, room, &mut blocks)?;
        events += of_run as u64;
        let mut most = of_run;
        for sql in [
            "DELETE FROM run_attr WHERE (run, key, value) IN \
             (SELECT run, key, value FROM run_attr WHERE run = ?1 LIMIT ?2)",
            "DELETE FROM decision WHERE (run, type, choice) IN \
             (SELECT run, type, choice FROM decision WHERE run = ?1 LIMIT ?2)",
        ] {
            most = most.max(connection.prepare_cached(sql)?.execute(params![run, room as i64])?);
        }
        rows += most.max(1);
        if most < room {
            connection.prepare_cached("DELETE FROM removed WHERE run = ?1")?.execute([run])?;
        }
    }
    drop_empty_blocks(connection, &blocks)?;
    Ok(events)
}

/// Deletes some events of a run, and notes the blocks that they were in; returns how many they were.
fn sweep_events(
    connection: &Connection,
    run: i64,
    most: usize,
    blocks: &mut FxHashSet<i64>,
) -> Result<usize> {
    let events = connection
        .prepare_cached("SELECT id FROM event INDEXED BY event_identity WHERE run = ?1 LIMIT ?2")?
        .query_map(params![run, most as i64], |row| row.get::<_, i64>(0))?
        .collect::<Result<Vec<_>>>()?;
    let mut block_of = connection.prepare_cached("SELECT max(id) FROM block WHERE id <= ?1")?;
    let mut delete = connection.prepare_cached("DELETE FROM event WHERE id = ?1")?;
    for event in &events {
        let block: Option<i64> = block_of.query_row([event], |row| row.get(0))?;
        blocks.extend(block);
        delete.execute([event])?;
    }
    Ok(events.len())
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
    skip_index::forget_removed(connection)
}

/// Counts of the hours before the first run that is left, and of those before this moment in which only runs are left that
/// somebody works on.
fn drop_old_rollups(connection: &Connection, moment: i64) -> Result<()> {
    let first_run: Option<i64> =
        connection.prepare_cached("SELECT min(started) FROM run")?.query_row([], |row| row.get(0))?;
    rollup::forget_before(connection, first_run.unwrap_or(i64::MAX).max(moment).div_euclid(HOUR))
}

#[cfg(test)]
mod tests {
    use throughline_model::testing::run;
    use throughline_model::{TraceEvent, TraceId};

    use super::*;
    use crate::turn::Turn;

    const ALL: PrunePolicy = PrunePolicy { age: Some(Duration::ZERO), bytes: None };
    const STEPS: usize = 320;

    fn place(folder: &tempfile::TempDir) -> Place {
        let path = folder.path().join("x.db");
        Place { path, synchronous: Synchronous::Off, busy_timeout: Duration::from_secs(5) }
    }

    fn writer(place: &Place) -> Writer {
        Writer::new(STORE_FILE.open(place).unwrap())
    }

    /// A run with many events, attributes and decisions.
    fn long_run() -> Vec<TraceEvent> {
        let mut run = run("loan").key("long");
        run.root();
        for step in 0..STEPS {
            run.point("stage:score");
            run.edit(|event| {
                event.attrs = [("request_id", format!("req-{step}"))].into_iter().collect();
                event.tags = vec!["decision".into()];
                event.data = serde_json::json!({ "choice": format!("choice-{step}") }).as_object().cloned();
            });
        }
        run.complete_run();
        run.events()
    }

    fn count(connection: &Connection, table: &str) -> usize {
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap() as usize
    }

    fn is_there(connection: &Connection) -> bool {
        count(connection, "runs WHERE trace_id IS NOT NULL") + count(connection, "events") > 0
    }

    #[test]
    fn a_long_run_is_gone_at_once_and_what_is_left_of_it_goes_in_short_transactions() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let events = long_run();
        let mut writer = writer(&place);
        writer.append(&events).unwrap();
        assert_eq!(count(writer.connection(), "run_attr"), STEPS);
        assert_eq!(count(writer.connection(), "decision"), STEPS);

        // Somebody waits to write all the time.
        let leases = folder.path().join("x.db-leases");
        std::fs::create_dir_all(&leases).unwrap();
        let waiting = std::fs::File::create(leases.join("waiting")).unwrap();
        waiting.lock_shared().unwrap();
        let mut pruner = Pruner::open(&place, ALL).unwrap();
        let (mut left, mut steps, mut removed) = (events.len(), 0, 0);
        loop {
            let step = pruner.step().unwrap();
            removed += step.events as usize;
            let now = count(writer.connection(), "event");
            assert!(left - now <= 64, "{} events went in one transaction", left - now);
            assert!(!is_there(writer.connection()), "parts of a run are seen");
            left = now;
            if step.is_last {
                break;
            }
            steps += 1;
        }
        assert!(steps > events.len() / 64 && removed == events.len(), "{steps} steps, {removed} events");
        for table in ["event", "run", "run_attr", "decision", "latest", "removed"] {
            assert_eq!(count(writer.connection(), table), 0, "{table}");
        }
        assert_eq!(count(writer.connection(), "block"), 1, "the last one says what the next numbers are");
    }

    #[test]
    fn what_a_process_left_of_a_run_that_it_removed_goes_with_the_next_removal() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let events = long_run();
        let mut writer = writer(&place);
        writer.append(&events).unwrap();
        let mut pruner = Pruner::open(&place, ALL).unwrap();
        assert_eq!(pruner.step().unwrap().runs, 1);
        // It dies here. The run goes on elsewhere, and has what comes from now on.
        drop(pruner);
        let (first, rest) = events.split_at(100);
        writer.append(first).unwrap();
        assert_eq!(count(writer.connection(), "events"), 100);

        let pruner = Pruner::open(&place, PrunePolicy::default()).unwrap();
        let report = pruner.prune().unwrap();
        assert_eq!((report.runs, report.events), (0, events.len() as u64));
        writer.append(rest).unwrap();
        assert_eq!(count(writer.connection(), "event"), events.len());
        let reader = crate::SqliteStore::new(&place.path).open_reader().unwrap().in_place();
        let read = throughline_model::TraceReader::trace(&reader, TraceId::from_key("long"));
        assert_eq!(futures_util::FutureExt::now_or_never(read).unwrap().unwrap(), events);
    }

    #[test]
    fn a_removal_ends_although_more_runs_grow_old_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let mut writer = writer(&place);
        let ended_at = |key: &str, at| {
            let mut run = run("loan").key(key).at(at);
            run.root();
            run.complete_run();
            run.events()
        };
        let mut pruner = Pruner::open(&place, ALL).unwrap();
        let now = Timestamp::now();
        pruner.now = Some(now);
        let mut removed = 0;
        // A run that ended before the removal began goes; for each one that goes, another one ends.
        writer.append(&ended_at("0", now.minus(Duration::from_secs(9)))).unwrap();
        for key in 1.. {
            let step = pruner.step().unwrap();
            if step.is_last {
                break;
            }
            removed += step.runs;
            writer.append(&ended_at(&key.to_string(), Timestamp::now())).unwrap();
        }
        assert_eq!(removed, 1);
        assert!(count(writer.connection(), "run") > 0);
    }

    #[test]
    fn whoever_waits_to_write_has_its_turn_before_an_import_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let mut importer = writer(&place);
        let mut other = Turn::new(&place.path, Duration::from_secs(60));
        let connection = STORE_FILE.open(&place).unwrap().connection;
        let log = throughline_model::testing::sample_log(1, 1000, &[]);
        let events = std::thread::scope(|scope| {
            scope.spawn(|| importer.append_in_bulk(&log).unwrap());
            // Not before the import has begun.
            while count(&connection, "event") == 0 && !importing_holds_the_lock(&connection) {
                std::thread::yield_now();
            }
            other.begin(&connection).unwrap();
            let events = count(&connection, "event");
            connection.execute_batch("ROLLBACK").unwrap();
            events
        });
        assert!(events < log.len(), "the other one waited for all of the import");
        assert_eq!(count(&connection, "event"), log.len());
    }

    fn importing_holds_the_lock(connection: &Connection) -> bool {
        connection.busy_timeout(Duration::ZERO).unwrap();
        let begun = connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK");
        connection.busy_timeout(Duration::from_secs(5)).unwrap();
        begun.is_err()
    }
}
