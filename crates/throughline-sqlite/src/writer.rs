//! The writer: groups of events become rows, in one transaction each.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Result, params};
use rustc_hash::{FxHashMap, FxHasher};
use serde::Serialize;
use serde_json::{Map, Value};
use throughline_model::fold::Change;
use throughline_model::names::{data, tags};
use throughline_model::{InstanceId, Link, SCHEMA_VERSION, TraceEvent, TraceId};

use crate::block::{Block, Entry, status_code, tag_bit};
use crate::names::Names;
use crate::rollup;
use crate::run::Run;
use crate::run_rows;

/// A connection that writes, with what it remembers of the file.
pub(crate) struct Writer {
    connection: Connection,
    memory: Memory,
}

/// What the writer remembers from group to group, so that most events cost no look-up. It is thrown away when
/// another connection has written, and when a transaction fails.
#[derive(Default)]
struct Memory {
    /// The state of the file that this is a memory of.
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
    block: Block,
    json: Json,
}

impl Writer {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection, memory: Memory::default() }
    }

    /// Writes a group, all or none; answers how many of its events were new.
    pub(crate) fn append<E: Borrow<TraceEvent>>(&mut self, events: &[E]) -> Result<u64> {
        self.begin()?;
        let new = self.write(events)?;
        self.commit()?;
        Ok(new)
    }

    /// Begins a transaction; other writers wait from now on.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let fresh = self.memory.refresh(&self.connection);
        self.or_abandon(fresh)
    }

    /// Writes events within the transaction that was begun; answers how many were new.
    pub(crate) fn write<E: Borrow<TraceEvent>>(&mut self, events: &[E]) -> Result<u64> {
        let written = self.memory.write(&self.connection, events);
        self.or_abandon(written)
    }

    /// Ends the transaction that was begun.
    pub(crate) fn commit(&mut self) -> Result<()> {
        let committed = self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        self.or_abandon(committed.map(drop))
    }

    /// Brings the rollups up to date.
    pub(crate) fn fold(&mut self) -> Result<()> {
        self.begin()?;
        let folded = self.memory.fold(&self.connection, 0);
        self.or_abandon(folded)?;
        self.commit()
    }

    /// The connection, for statements that change nothing of what the memory is about.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn or_abandon<T>(&mut self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.abandon();
        }
        result
    }

    /// Rolls back what was begun and forgets everything.
    pub(crate) fn abandon(&mut self) {
        if !self.connection.is_autocommit() {
            // Where a rollback fails SQLite has rolled back already.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.memory = Memory::default();
    }
}

impl Memory {
    /// More runs than this are not remembered.
    const RUNS: usize = 8192;
    /// So many events are counted by readers one by one before they are folded into the rollups.
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
        self.data_version = Some(version);
        Ok(())
    }

    fn write<E: Borrow<TraceEvent>>(&mut self, connection: &Connection, events: &[E]) -> Result<u64> {
        let first = self.next_event;
        {
            let mut insert = connection.prepare_cached(INSERT_EVENT)?;
            for event in events {
                let event = event.borrow();
                let instance = instance_id(&mut self.instances, connection, event.instance)?;
                let event_type = self.names.id(connection, &event.event_type)?;
                let service = self.names.id(connection, &event.service)?;
                let workflow = match &event.workflow {
                    Some(workflow) => Some(self.names.id(connection, workflow)?),
                    None => None,
                };
                let run = match self.runs.get_mut(&event.trace_id) {
                    Some(run) => run,
                    None => {
                        let run = match run_rows::load(connection, event.trace_id)? {
                            Some(run) => run,
                            None => {
                                self.last_run += 1;
                                self.changed.push(event.trace_id);
                                Run::begin(self.last_run, event)
                            }
                        };
                        self.runs.entry(event.trace_id).or_insert(run)
                    }
                };
                let json = self.json.of(event);
                let new = insert.execute(params![
                    self.next_event,
                    run.id,
                    event.span_id.to_u64() as i64,
                    event.seq,
                    event.parent_span_id.map(|parent| parent.to_u64() as i64),
                    event.timestamp.as_micros(),
                    instance,
                    event.n as i64,
                    event_type,
                    status_code(event.status),
                    service,
                    workflow,
                    event.duration_us.map(|micros| micros as i64),
                    event.attempt,
                    event.step_index,
                    event.step_total,
                    match &event.correlation_id {
                        None => text(None),
                        same if *same == run.correlation => as_the_run(),
                        Some(other) => text(Some(other.as_bytes())),
                    },
                    match event.attrs.is_empty() {
                        true => text(None),
                        false if event.attrs == run.attrs => as_the_run(),
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
                let was_sound = run.change == Change::Nothing;
                if let Some(span) = run.add(id, event) {
                    let marks = run_rows::marks_of_span(connection, run, span)?;
                    run.fold.add_missing(marks);
                }
                if was_sound && run.change != Change::Nothing {
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

    fn write_block(&mut self, connection: &Connection) -> Result<()> {
        let count = self.block.len() as i64;
        if count > 0 {
            connection.prepare_cached("INSERT INTO block VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(
                params![
                    self.next_event - count,
                    count,
                    self.last_run,
                    self.block.first_ts,
                    self.block.last_ts,
                    self.block.max_duration,
                    self.block.entries,
                ],
            )?;
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

    /// Folds into the rollups if more than so many events are not in them.
    fn fold(&mut self, connection: &Connection, patience: i64) -> Result<()> {
        let last = self.next_event - 1;
        if last - self.folded > patience {
            rollup::fold(connection, self.folded, last)?;
            self.folded = last;
        }
        Ok(())
    }
}

const INSERT_EVENT: &str = "INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, \
    ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22) ON CONFLICT (run, span, seq) DO NOTHING";

fn text(bytes: Option<&[u8]>) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(bytes.map_or(ValueRef::Null, ValueRef::Text))
}

/// What stands in a column whose value is that of the run.
fn as_the_run() -> ToSqlOutput<'static> {
    ToSqlOutput::Borrowed(ValueRef::Integer(1))
}

/// The local number of an instance, given to it now if it has none.
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

/// Writes down which attributes and choices appear in a run.
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
                    .prepare_cached("INSERT INTO run_attr VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
                    .execute(params![run.id, key, value.as_str()])?;
            }
        }
    }
    if event.has_tag(tags::DECISION)
        && let Some(Value::String(choice)) = event.data.as_ref().and_then(|data| data.get(data::CHOICE))
        && is_news(run, (event_type, choice))
    {
        connection
            .prepare_cached("INSERT INTO decision VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
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

/// A buffer for the JSON of one event's columns.
#[derive(Default)]
struct Json {
    buffer: Vec<u8>,
}

/// The JSON of columns that are not empty.
#[derive(Default)]
struct Columns<'a> {
    attrs: Option<&'a [u8]>,
    tags: Option<&'a [u8]>,
    error: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
    rest: Option<&'a [u8]>,
}

/// What few events have.
#[derive(Serialize)]
struct Rest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_trace_id: Option<TraceId>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    links: &'a [Link],
    #[serde(skip_serializing_if = "Map::is_empty")]
    extra: &'a Map<String, Value>,
}

impl Json {
    fn of(&mut self, event: &TraceEvent) -> Columns<'_> {
        self.buffer.clear();
        let rest = Rest {
            v: (event.v != SCHEMA_VERSION).then_some(event.v),
            parent_trace_id: event.parent_trace_id,
            links: &event.links,
            extra: &event.extra,
        };
        let has_rest = rest.v.is_some()
            || rest.parent_trace_id.is_some()
            || !rest.links.is_empty()
            || !rest.extra.is_empty();
        let ends = [
            self.put(!event.attrs.is_empty(), &event.attrs),
            self.put(!event.tags.is_empty(), &event.tags),
            self.put(event.error.is_some(), &event.error),
            self.put(event.data.is_some(), &event.data),
            self.put(has_rest, &rest),
        ];
        let mut begin = 0;
        let [attrs, tags, error, data, rest] = ends.map(|end| {
            let column = (end > begin).then(|| &self.buffer[begin..end]);
            begin = end;
            column
        });
        Columns { attrs, tags, error, data, rest }
    }

    /// Appends the JSON of a value; answers where it ends.
    fn put(&mut self, is_there: bool, value: &impl Serialize) -> usize {
        if is_there {
            // A buffer takes all that is written, and the fields of an event are maps with text keys, lists,
            // texts and numbers, none of which refuses to be serialised.
            let _ = serde_json::to_writer(&mut self.buffer, value);
        }
        self.buffer.len()
    }
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
        assert!(error.is_retryable() && error.to_string().contains("make room on it"), "{error}");
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
