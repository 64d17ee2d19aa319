//! The writer: it turns groups of events into rows, in one transaction each.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Result, params};
use rustc_hash::{FxHashMap, FxHasher};
use serde_json::Value;
use throughline_model::fold::Change;
use throughline_model::names::{data, tags};
use throughline_model::{InstanceId, TraceEvent, TraceId};

use crate::block::{Block, Entry, status_code, tag_bit};
use crate::connection::Opened;
use crate::json::Json;
use crate::latest;
use crate::log::Log;
use crate::names::Names;
use crate::presence::{Gone, Presence};
use crate::replace;
use crate::rollup;
use crate::run::Run;
use crate::run_rows;
use crate::turn::Turn;

/// A connection that writes, with a cache of what the file holds.
pub(crate) struct Writer {
    connection: Connection,
    presence: Presence,
    log: Log,
    turn: Turn,
    cache: Cache,
}

/// What the writer keeps from group to group, so that most events cost no look-up. It is thrown away when another
/// connection has written, and when a transaction fails.
#[derive(Default)]
struct Cache {
    /// The state of the file that this is a cache of.
    data_version: Option<i64>,
    names: Names,
    instances: FxHashMap<InstanceId, i64>,
    runs: FxHashMap<TraceId, Run>,
    /// Runs whose rows are out of date.
    changed: Vec<TraceId>,
    next_event: i64,
    last_run: i64,
    /// The last event that the rollups count.
    folded: i64,
    /// The last event that the table `latest` covers.
    latest_folded: i64,
    block: Block,
    json: Json,
}

impl Writer {
    /// Events that are written before another look whether anybody waits: about a millisecond.
    const CHUNK: usize = 256;
    /// How long a transaction of pieces takes at most, about: what begins to wait at its end does not wait for long either.
    const PATIENCE: Duration = Duration::from_millis(10);

    pub(crate) fn new(opened: Opened) -> Self {
        let Opened { connection, presence, busy_timeout } = opened;
        let turn = Turn::new(presence.target(), busy_timeout);
        Self { connection, presence, log: Log::new(busy_timeout), turn, cache: Cache::default() }
    }

    /// Writes a group, all or none; returns how many of its events were new.
    pub(crate) fn append<E: Borrow<TraceEvent>>(&mut self, events: &[E]) -> Result<u64> {
        self.begin()?;
        let new = self.write(events)?;
        self.commit()?;
        Ok(new)
    }

    /// Writes many events, and lets others write in between; returns how many were new.
    pub(crate) fn append_in_bulk<E: Borrow<TraceEvent>>(&mut self, events: &[E]) -> Result<u64> {
        let mut new = 0;
        self.begin()?;
        for events in events.chunks(Self::CHUNK) {
            new += self.write(events)?;
            if self.turn.is_wanted() {
                self.commit()?;
                self.turn.give_way();
                self.begin()?;
            }
        }
        self.commit()?;
        Ok(new)
    }

    /// Makes other changes in a transaction of their own. The cache must not be about what they change.
    pub(crate) fn transaction<T>(&mut self, change: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.begin()?;
        let changed = change(&self.connection);
        let changed = self.or_abandon(changed)?;
        self.commit()?;
        Ok(changed)
    }

    /// Repeats a small piece of work in one transaction, as long as it says that there is more of it, nobody else waits to write,
    /// and it has not taken long; then lets others write. The cache must not be about what it changes.
    pub(crate) fn in_turn(&mut self, mut piece: impl FnMut(&Connection) -> Result<bool>) -> Result<()> {
        self.begin()?;
        let began = Instant::now();
        loop {
            let is_more = piece(&self.connection);
            if !self.or_abandon(is_more)? || self.turn.is_wanted() || began.elapsed() >= Self::PATIENCE {
                break;
            }
        }
        self.commit()?;
        self.turn.give_way();
        Ok(())
    }

    /// Begins a transaction; from now on other writers wait.
    fn begin(&mut self) -> Result<()> {
        self.log.keep_short(&self.connection)?;
        self.turn.begin(&self.connection)?;
        let refreshed = self.cache.refresh(&self.connection);
        self.or_abandon(refreshed)
    }

    /// Writes events in the current transaction; returns how many were new.
    fn write<E: Borrow<TraceEvent>>(&mut self, events: &[E]) -> Result<u64> {
        let written = self.cache.write(&self.connection, events);
        self.or_abandon(written)
    }

    /// Puts these events in the place of all that there is of a run, all or none; returns how many there are.
    pub(crate) fn replace<E: Borrow<TraceEvent>>(&mut self, run: TraceId, events: &[E]) -> Result<u64> {
        self.begin()?;
        let removed = self.cache.remove(&self.connection, run);
        self.or_abandon(removed)?;
        let new = self.write(events)?;
        self.commit()?;
        Ok(new)
    }

    /// Commits the current transaction.
    fn commit(&mut self) -> Result<()> {
        let committed = self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        self.or_abandon(committed.map(drop))
    }

    /// Whether what was committed is in the file at the path. To be asked after a commit and before anybody is told of it.
    pub(crate) fn confirm(&mut self) -> std::result::Result<(), Gone> {
        let present = self.presence.check();
        if present.is_err() && self.presence.lacks_only_its_log() {
            // What was acknowledged before is in the log, which is still open, and goes into the database as long as nobody has
            // begun another log. If it can't, nothing is worse than before.
            let _ = self.empty_log();
        }
        self.log.bytes = present?;
        Ok(())
    }

    /// Moves the log into the database, as far as nobody reads it, so that the database alone has everything.
    pub(crate) fn empty_log(&mut self) -> Result<()> {
        self.log.empty(&self.connection, Log::LAST_PATIENCE).map(drop)
    }

    #[cfg(test)]
    pub(crate) fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Brings the tables that are folded from blocks up to date.
    pub(crate) fn fold(&mut self) -> Result<()> {
        self.begin()?;
        let folded = self.cache.fold(&self.connection, 0);
        self.or_abandon(folded)?;
        self.commit()
    }

    /// The connection, to read.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn or_abandon<T>(&mut self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.abandon();
        }
        result
    }

    /// Rolls back the current transaction and empties the cache.
    pub(crate) fn abandon(&mut self) {
        if !self.connection.is_autocommit() {
            // If a rollback fails, SQLite has already rolled back.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.cache = Cache::default();
    }
}

impl Cache {
    /// The cache holds no more runs than this.
    const RUNS: usize = 8192;
    /// How many events readers look at one by one before they are folded.
    const UNFOLDED: i64 = 4096;

    fn refresh(&mut self, connection: &Connection) -> Result<()> {
        let version =
            connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get::<_, i64>(0))?;
        if self.data_version == Some(version) {
            return Ok(());
        }
        self.runs.clear();
        self.names.clear();
        self.instances.clear();
        (self.next_event, self.last_run) = connection
            .prepare_cached("SELECT coalesce(max(id) + count, 1), coalesce(runs, 0) FROM block")?
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        self.folded = rollup::folded(connection)?;
        self.latest_folded = latest::folded(connection)?;
        self.data_version = Some(version);
        Ok(())
    }

    fn write<E: Borrow<TraceEvent>>(&mut self, connection: &Connection, events: &[E]) -> Result<u64> {
        let first = self.next_event;
        {
            let mut insert = connection.prepare_cached(INSERT_EVENT)?;
            for event in events {
                let event = event.borrow();
                // Without `..`: a new field does not compile until somebody has said where it is stored. Those that
                // are `_` here are in the columns of `Json`.
                let TraceEvent {
                    v: _,
                    trace_id,
                    span_id,
                    seq,
                    parent_span_id,
                    parent_trace_id: _,
                    correlation_id,
                    event_type,
                    timestamp,
                    instance,
                    n,
                    status,
                    duration_us,
                    error: _,
                    attrs,
                    data: _,
                    tags: _,
                    links: _,
                    service,
                    workflow,
                    attempt,
                    step_index,
                    step_total,
                    extra: _,
                } = event;
                let instance = instance_id(&mut self.instances, connection, *instance)?;
                let event_type = self.names.id(connection, event_type)?;
                let service = self.names.id(connection, service)?;
                let workflow = match workflow {
                    Some(workflow) => Some(self.names.id(connection, workflow)?),
                    None => None,
                };
                let run = match self.runs.get_mut(trace_id) {
                    Some(run) => run,
                    None => {
                        let run = match run_rows::load(connection, *trace_id)? {
                            Some(run) => run,
                            None => {
                                self.last_run += 1;
                                self.changed.push(*trace_id);
                                Run::begin(self.last_run, event)
                            }
                        };
                        self.runs.entry(*trace_id).or_insert(run)
                    }
                };
                let has_attrs_of_run = *attrs == run.attrs;
                let json = self.json.of(event, !has_attrs_of_run);
                let new = insert.execute(params![
                    self.next_event,
                    run.id,
                    span_id.to_u64() as i64,
                    seq,
                    parent_span_id.map(|parent| parent.to_u64() as i64),
                    timestamp.as_micros(),
                    instance,
                    *n as i64,
                    event_type,
                    status_code(*status),
                    service,
                    workflow,
                    duration_us.map(|micros| micros as i64),
                    attempt,
                    step_index,
                    step_total,
                    match correlation_id {
                        None => text(None),
                        same if *same == run.correlation => same_as_run(),
                        Some(other) => text(Some(other.as_bytes())),
                    },
                    match attrs.is_empty() {
                        true => text(None),
                        false if has_attrs_of_run => same_as_run(),
                        false => text(json.attrs),
                    },
                    text(json.tags),
                    text(json.error),
                    text(json.data),
                    text(json.rest),
                ])?;
                if new == 0 {
                    continue;
                }
                let id = self.next_event;
                self.next_event += 1;
                let was_up_to_date = run.change == Change::Nothing;
                if let Some(span) = run.add(id, event) {
                    let marks = run_rows::marks_of_span(connection, run, span)?;
                    run.fold.add_missing(marks);
                }
                if was_up_to_date && run.change != Change::Nothing {
                    self.changed.push(event.trace_id);
                }
                let mut mask = 0;
                for tag in &event.tags {
                    mask |= tag_bit(self.names.id(connection, tag)?);
                }
                note(connection, &mut self.names, run, event, event_type)?;
                self.block.push(&Entry {
                    run: run.id,
                    ts: event.timestamp.as_micros(),
                    duration: event.duration_us,
                    event_type,
                    status: event.status,
                    workflow: workflow.unwrap_or(0),
                    service: service as u16,
                    tags: mask,
                });
                if self.block.len() == Block::CAPACITY {
                    self.write_block(connection)?;
                }
            }
        }
        self.write_block(connection)?;
        self.write_runs(connection)?;
        self.fold(connection, Self::UNFOLDED)?;
        Ok((self.next_event - first) as u64)
    }

    fn remove(&mut self, connection: &Connection, trace_id: TraceId) -> Result<()> {
        self.runs.remove(&trace_id);
        replace::remove(connection, self.folded, trace_id).map(drop)
    }

    fn write_block(&mut self, connection: &Connection) -> Result<()> {
        let count = self.block.len() as i64;
        if count > 0 {
            let mut insert = connection.prepare_cached(
                "INSERT INTO block (id, count, runs, first_ts, last_ts, max_duration, entries) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            insert.execute(params![
                self.next_event - count,
                count,
                self.last_run,
                self.block.first_ts,
                self.block.last_ts,
                self.block.max_duration,
                self.block.entries,
            ])?;
            self.block.clear();
        }
        Ok(())
    }

    fn write_runs(&mut self, connection: &Connection) -> Result<()> {
        for trace_id in self.changed.drain(..) {
            if let Some(run) = self.runs.get_mut(&trace_id) {
                run_rows::store(connection, &mut self.names, &mut self.instances, run)?;
            }
        }
        if self.runs.len() > Self::RUNS {
            self.runs.retain(|_, run| run.fold.is_open());
            if self.runs.len() > Self::RUNS / 2 {
                self.runs.clear();
            }
        }
        Ok(())
    }

    /// Folds blocks if more than so many events are not folded yet.
    fn fold(&mut self, connection: &Connection, unfolded: i64) -> Result<()> {
        let last = self.next_event - 1;
        if last - self.folded > unfolded {
            rollup::fold(connection, self.folded, last)?;
            self.folded = last;
        }
        if last - self.latest_folded > unfolded {
            self.latest_folded = latest::fold(connection, self.latest_folded)?;
        }
        Ok(())
    }
}

// The columns of all statements are named, so that they still fit when a later release has added some.
const INSERT_EVENT: &str = "INSERT INTO event (id, run, span, seq, parent, ts, instance, n, type, status, service, \
    workflow, duration, attempt, step_index, step_total, correlation, attrs, tags, error, data, rest) \
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22) \
    ON CONFLICT (run, span, seq) DO NOTHING";

fn text(bytes: Option<&[u8]>) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(bytes.map_or(ValueRef::Null, ValueRef::Text))
}

/// The `1` of a column whose value is that of the run.
fn same_as_run() -> ToSqlOutput<'static> {
    ToSqlOutput::Borrowed(ValueRef::Integer(1))
}

/// The local number of an instance, assigned now if it has none.
pub(crate) fn instance_id(
    known: &mut FxHashMap<InstanceId, i64>,
    connection: &Connection,
    instance: InstanceId,
) -> Result<i64> {
    if let Some(id) = known.get(&instance) {
        return Ok(*id);
    }
    let key = instance.to_u64() as i64;
    connection
        .prepare_cached("INSERT INTO instance (key) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([key])?;
    let id = connection
        .prepare_cached("SELECT id FROM instance WHERE key = ?1")?
        .query_row([key], |row| row.get(0))?;
    if known.len() >= 4096 {
        known.clear();
    }
    known.insert(instance, id);
    Ok(id)
}

/// Records which attributes and choices appear in a run.
fn note(
    connection: &Connection,
    names: &mut Names,
    run: &mut Run,
    event: &TraceEvent,
    event_type: i64,
) -> Result<()> {
    if event.attrs != run.attrs {
        for (key, value) in &event.attrs {
            if run.attrs.get(key) != Some(value) && is_news(run, (key, value)) {
                let key = names.id(connection, key)?;
                connection
                    .prepare_cached(
                        "INSERT INTO run_attr (run, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
                    )?
                    .execute(params![run.id, key, value.as_str()])?;
            }
        }
    }
    if event.has_tag(tags::DECISION)
        && let Some(Value::String(choice)) = event.data.as_ref().and_then(|data| data.get(data::CHOICE))
        && is_news(run, (event_type, choice))
    {
        connection
            .prepare_cached(
                "INSERT INTO decision (run, type, choice) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            )?
            .execute(params![run.id, event_type, choice])?;
    }
    Ok(())
}

/// Whether this was not yet noted of the run.
fn is_news(run: &mut Run, fact: impl Hash) -> bool {
    let mut hasher = FxHasher::default();
    fact.hash(&mut hasher);
    if run.noted.len() >= 4096 {
        run.noted.clear();
    }
    run.noted.insert(hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use throughline_model::testing::sample_log;

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};
    use crate::error::append_error;

    #[test]
    fn a_full_disk_is_retryable_and_the_group_goes_in_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            path: folder.path().join("traces.db"),
            synchronous: Synchronous::Off,
            busy_timeout: Duration::ZERO,
        };
        let mut writer = Writer::new(STORE_FILE.open(&place, false).unwrap());
        let limit = |writer: &Writer, pages: i64| {
            writer
                .connection()
                .pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))
                .unwrap()
        };
        // A limit of its own is to SQLite what a full disk is.
        limit(&writer, 60);
        let log = sample_log(1, 200, &[]);
        let mut groups = log.chunks(50);
        let (refused, error) = loop {
            let group = groups.next().unwrap();
            if let Err(error) = writer.append(group) {
                break (group, error);
            }
        };
        let error = append_error(Path::new("traces.db"), error);
        assert!(error.is_retryable() && error.to_string().contains("free some space"), "{error}");
        let count = |writer: &Writer| {
            writer
                .connection()
                .query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0))
                .unwrap()
        };
        assert_eq!(count(&writer) % 50, 0);
        limit(&writer, 1_000_000);
        assert_eq!(writer.append(refused).unwrap(), refused.len() as u64);
        for group in groups {
            assert_eq!(writer.append(group).unwrap(), group.len() as u64);
        }
        assert_eq!(count(&writer), log.len() as i64);
    }
}
