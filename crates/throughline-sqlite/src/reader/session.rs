//! A connection that reads, and how rows become events.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use throughline_model::fold::Position;
use throughline_model::{
    Attrs, InstanceId, Liveness, OpenError, Process, ReadError, Secret, SpanId, Text, Timestamp, TraceEvent,
    TraceId,
};

use crate::block::status_of;
use crate::connection::STORE_FILE;
use crate::error::Fault;
use crate::json::{Rest, StoredError};
use crate::lease;
use crate::paths::resolved;
use crate::presence::{Gone, Presence};

/// The file that a reader was opened for. Whatever is at its path later, its sessions read this file or nothing.
#[derive(Clone)]
pub(super) struct Source {
    named: PathBuf,
    /// The path by which the files beside the database are found.
    pub(super) path: PathBuf,
    pub(super) presence: Presence,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<(Self, Session), OpenError> {
        let (connection, presence) = STORE_FILE.open_read_only(path)?;
        let named = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let source = Self { named, path: resolved(path), presence: presence.clone() };
        let session = Session::new(connection, presence, &source.path);
        Ok((source, session))
    }

    pub(super) fn session(&self) -> Result<Session, ReadError> {
        let opened = STORE_FILE.open_read_only(&self.named);
        let (connection, presence) = opened.map_err(|error| ReadError::Unavailable {
            reason: error.to_string(),
            source: Some(error.into()),
        })?;
        self.presence.check_same_database(&presence).map_err(Gone::into_read_error)?;
        Ok(Session::new(connection, presence, &self.path))
    }
}

/// A connection of one thread, with a cache of what never changes once it is there: names and instances.
pub(crate) struct Session {
    connection: Connection,
    presence: Presence,
    /// When all files were last looked at.
    looked: Option<Instant>,
    cache: Cache,
}

/// What a reading connection has looked up before.
pub(super) struct Cache {
    path: PathBuf,
    names: FxHashMap<i64, Text>,
    instances: FxHashMap<i64, InstanceId>,
}

/// A statement that reads events, with the columns that [`Cache::event`] expects.
macro_rules! select_events {
    ($which:literal) => {
        concat!(
            "SELECT e.id, e.span, e.seq, e.parent, e.ts, e.instance, e.n, e.type, e.status, e.service, \
             e.workflow, e.duration, e.attempt, e.step_index, e.step_total, e.correlation, e.attrs, e.tags, \
             e.error, e.data, e.rest, e.run FROM event e ",
            $which
        )
    };
}
pub(super) use select_events;

/// All of a run.
pub(super) const EVENTS_OF_RUN: &str = select_events!("WHERE e.run = ?1");

/// All of a run without what can be large: attributes, errors and data.
pub(super) const OUTLINE_OF_RUN: &str = "SELECT e.id, e.span, e.seq, e.parent, e.ts, e.instance, e.n, e.type, e.status, e.service, e.workflow, \
     e.duration, e.attempt, e.step_index, e.step_total, e.correlation, NULL, e.tags, NULL, NULL, e.rest, e.run \
     FROM event e WHERE e.run = ?1";

/// The columns of a run that its events refer to instead of repeating them.
#[derive(Debug, Clone)]
pub(super) struct SharedColumns {
    pub(super) trace_id: TraceId,
    pub(super) correlation: Option<Text>,
    pub(super) attrs: Attrs,
}

impl Session {
    /// How soon all files are looked at again.
    const LOOK_AGAIN: Duration = Duration::from_millis(1);

    fn new(connection: Connection, presence: Presence, path: &Path) -> Self {
        let cache =
            Cache { path: path.to_owned(), names: FxHashMap::default(), instances: FxHashMap::default() };
        Self { connection, presence, looked: None, cache }
    }

    /// Answers a question, if the file that was asked is the one at the path.
    pub(super) fn answer<T>(
        &mut self,
        question: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let answer = question(self);
        // A short answer takes not much longer than a look at all files, so that many in a row share one: they are true of the
        // database as long as that is where it was.
        let present = match self.looked.is_some_and(|looked| looked.elapsed() < Self::LOOK_AGAIN) {
            true => self.presence.check_database(),
            false => self.presence.check().map(|_| self.looked = Some(Instant::now())),
        };
        // Also the better answer to why something failed.
        present.map_err(Gone::into_read_error)?;
        answer
    }

    /// One state of the file, and the cache beside it. There is no other way to the connection: an answer that takes several
    /// statements must not be put together from several states.
    pub(super) fn snapshot(&mut self) -> Result<(Snapshot<'_>, &mut Cache), Fault> {
        Ok((Snapshot::begin(&self.connection)?, &mut self.cache))
    }

    pub(super) fn liveness(&mut self, instances: &[InstanceId]) -> Result<Vec<Liveness>, Fault> {
        let (snapshot, cache) = self.snapshot()?;
        let of = |instance: &InstanceId| Ok(lease::liveness(&snapshot, &cache.path, *instance)?);
        instances.iter().map(of).collect()
    }

    pub(super) fn processes(&mut self, instances: &[InstanceId]) -> Result<Vec<Option<Process>>, Fault> {
        let (snapshot, cache) = self.snapshot()?;
        let of = |instance: &InstanceId| Ok(lease::process(&snapshot, &cache.path, *instance)?);
        instances.iter().map(of).collect()
    }

    pub(super) fn secret(&mut self) -> Result<Secret, Fault> {
        let (snapshot, _) = self.snapshot()?;
        let bytes: Vec<u8> =
            snapshot.prepare_cached("SELECT bytes FROM secret")?.query_row([], |row| row.get(0))?;
        Ok(Secret::new(bytes))
    }

    pub(super) fn trace(&mut self, id: TraceId) -> Result<Vec<TraceEvent>, Fault> {
        let (snapshot, cache) = self.snapshot()?;
        let Some((run, shared)) = run_of(&snapshot, id)? else { return Ok(Vec::new()) };
        cache.events_of(&snapshot, run, &shared, EVENTS_OF_RUN)
    }
}

/// A read transaction: a connection that sees one state of the file until this is dropped.
pub(super) struct Snapshot<'a>(&'a Connection);

impl<'a> Snapshot<'a> {
    fn begin(connection: &'a Connection) -> rusqlite::Result<Self> {
        // Prepared once: a short answer takes not much longer than preparing these two statements does.
        connection.prepare_cached("BEGIN")?.execute([])?;
        Ok(Self(connection))
    }
}

impl std::ops::Deref for Snapshot<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // Nothing was written. If it fails, SQLite has ended the transaction itself.
        let _ = self.0.prepare_cached("ROLLBACK").and_then(|mut rollback| rollback.execute([]));
    }
}

impl Cache {
    const CAPACITY: usize = 65_536;

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All events of a run in their order, read by a statement that takes the number of the run.
    pub(super) fn events_of(
        &mut self,
        connection: &Connection,
        run: i64,
        shared: &SharedColumns,
        statement: &str,
    ) -> Result<Vec<TraceEvent>, Fault> {
        let mut statement = connection.prepare_cached(statement)?;
        let mut rows = statement.query([run])?;
        let mut events = Vec::with_capacity(16);
        while let Some(row) = rows.next()? {
            events.push(self.event(connection, row, shared)?);
        }
        // An event is large and is moved once only.
        events.sort_by_cached_key(Position::of);
        Ok(events)
    }

    /// The text that has this number.
    pub(super) fn name(&mut self, connection: &Connection, id: i64) -> Result<Text, Fault> {
        if let Some(text) = self.names.get(&id) {
            return Ok(text.clone());
        }
        let text = connection
            .prepare_cached("SELECT text FROM name WHERE id = ?1")?
            .query_row([id], |row| row.get::<_, String>(0))
            .optional()?
            .map(Text::from)
            .ok_or_else(|| Fault::Damaged(format!("row {id} of the table `name` is missing")))?;
        if self.names.len() >= Self::CAPACITY {
            self.names.clear();
        }
        self.names.insert(id, text.clone());
        Ok(text)
    }

    /// The instance that has this number.
    pub(super) fn instance(&mut self, connection: &Connection, id: i64) -> Result<InstanceId, Fault> {
        if let Some(instance) = self.instances.get(&id) {
            return Ok(*instance);
        }
        let key: i64 = connection
            .prepare_cached("SELECT key FROM instance WHERE id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?
            .ok_or_else(|| Fault::Damaged(format!("row {id} of the table `instance` is missing")))?;
        if self.instances.len() >= Self::CAPACITY {
            self.instances.clear();
        }
        let instance = InstanceId::from_u64(key as u64);
        self.instances.insert(id, instance);
        Ok(instance)
    }

    /// The columns that the events of a run share; `None` if the run is gone.
    pub(super) fn shared(&self, connection: &Connection, run: i64) -> Result<Option<SharedColumns>, Fault> {
        connection
            .prepare_cached("SELECT id, trace_id, correlation_id, attrs FROM run WHERE id = ?1")?
            .query_row([run], |row| Ok(shared(row)))
            .optional()?
            .transpose()
    }

    /// The event of a row of [`select_events!`].
    pub(super) fn event(
        &mut self,
        connection: &Connection,
        row: &Row<'_>,
        shared: &SharedColumns,
    ) -> Result<TraceEvent, Fault> {
        let id: i64 = row.get(0)?;
        let invalid = |what: &str| Fault::Damaged(format!("event {id} has an invalid {what}"));
        let span = |value: i64| SpanId::from_u64(value as u64);
        let mut rest = match present(row.get_ref(20)?) {
            None => Rest::default(),
            Some(rest) => json(rest).ok_or_else(|| invalid("`rest`"))?,
        };
        // Field by field: a new one does not compile until somebody has said which column it is read from.
        Ok(TraceEvent {
            v: rest.version(),
            trace_id: shared.trace_id,
            span_id: span(row.get(1)?).ok_or_else(|| invalid("span id"))?,
            seq: row.get(2)?,
            parent_span_id: row.get::<_, Option<i64>>(3)?.and_then(span),
            parent_trace_id: rest.parent_trace_id,
            correlation_id: match row.get_ref(15)? {
                ValueRef::Null => None,
                ValueRef::Integer(_) => shared.correlation.clone(),
                other => Some(text(other).ok_or_else(|| invalid("correlation id"))?),
            },
            event_type: self.name(connection, row.get(7)?)?,
            timestamp: Timestamp::from_micros(row.get(4)?),
            instance: self.instance(connection, row.get(5)?)?,
            n: row.get::<_, i64>(6)? as u64,
            status: status_of(row.get(8)?),
            duration_us: row.get::<_, Option<i64>>(11)?.map(|micros| micros as u64),
            error: match present(row.get_ref(18)?) {
                None => None,
                Some(error) => {
                    let error: StoredError = json(error).ok_or_else(|| invalid("`error`"))?;
                    Some(Box::new(error.into()))
                }
            },
            attrs: match row.get_ref(16)? {
                ValueRef::Null => Attrs::new(),
                ValueRef::Integer(_) => shared.attrs.clone(),
                other => json(other).ok_or_else(|| invalid("`attrs`"))?,
            },
            data: match present(row.get_ref(19)?) {
                None => None,
                Some(data) => Some(json(data).ok_or_else(|| invalid("`data`"))?),
            },
            tags: match present(row.get_ref(17)?) {
                None => Vec::new(),
                Some(tags) => json(tags).ok_or_else(|| invalid("`tags`"))?,
            },
            links: rest.take_links(),
            service: self.name(connection, row.get(9)?)?,
            workflow: match row.get::<_, Option<i64>>(10)? {
                None => None,
                Some(workflow) => Some(self.name(connection, workflow)?),
            },
            attempt: row.get(12)?,
            step_index: row.get(13)?,
            step_total: row.get(14)?,
            extra: rest.extra(),
        })
    }
}

fn present(value: ValueRef<'_>) -> Option<ValueRef<'_>> {
    (value != ValueRef::Null).then_some(value)
}

fn text(value: ValueRef<'_>) -> Option<Text> {
    value.as_str().ok().map(|text| Text::from(std::borrow::Cow::Borrowed(text)))
}

/// Reads JSON. What is wrong with it is left out: the parser's errors quote the text, which is payload.
pub(super) fn json<T: DeserializeOwned>(value: ValueRef<'_>) -> Option<T> {
    serde_json::from_slice(value.as_bytes().ok()?).ok()
}

/// The number of a run, and the columns that its events share; `None` if there is no such run.
pub(super) fn run_of(connection: &Connection, id: TraceId) -> Result<Option<(i64, SharedColumns)>, Fault> {
    connection
        .prepare_cached("SELECT id, trace_id, correlation_id, attrs FROM run WHERE trace_id = ?1")?
        .query_row([id.to_bytes()], |row| Ok((row.get::<_, i64>(0)?, shared(row))))
        .optional()?
        .map(|(run, shared)| Ok((run, shared?)))
        .transpose()
}

/// Reads `id, trace_id, correlation_id, attrs` of a run.
fn shared(row: &Row<'_>) -> Result<SharedColumns, Fault> {
    let id: i64 = row.get(0)?;
    let invalid = |what: &str| Fault::Damaged(format!("run {id} has an invalid {what}"));
    let attrs = match present(row.get_ref(3)?) {
        None => Attrs::new(),
        Some(attrs) => json(attrs).ok_or_else(|| invalid("`attrs`"))?,
    };
    Ok(SharedColumns {
        trace_id: trace_id(row.get_ref(1)?).ok_or_else(|| invalid("trace id"))?,
        correlation: present(row.get_ref(2)?).and_then(text),
        attrs,
    })
}

pub(super) fn trace_id(value: ValueRef<'_>) -> Option<TraceId> {
    TraceId::from_bytes(value.as_blob().ok()?.try_into().ok()?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use throughline_model::Status;

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};
    use crate::reader::runs;
    use crate::writer::Writer;

    const RUN: &str = "loan-42";

    /// The events of a run in the order of their arrival. The second comes before the first in time, so that it changes which
    /// correlation id the run has, and with it what the third, which has the same one, refers to.
    fn event(number: u64) -> TraceEvent {
        let span = SpanId::from_u64(number + 1).unwrap();
        let moment = Timestamp::from_micros(1_000_000 - number as i64);
        let mut event = TraceEvent::new(TraceId::from_key(RUN), span, "stage:score", moment, "loan-service");
        event.status = Status::Failed;
        event.correlation_id = Some(format!("key-{}", number.min(1)).into());
        event
    }

    /// Asks a question once for each instruction that SQLite executes for it, and has another connection write at that one.
    fn ask_while_the_run_changes<T>(question: impl Fn(&mut Session) -> Result<T, Fault>, check: impl Fn(T)) {
        for instruction in 1.. {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.db");
            let place =
                Place { path: path.clone(), synchronous: Synchronous::Off, busy_timeout: Duration::ZERO };
            let mut writer = Writer::new(STORE_FILE.open(&place).unwrap());
            writer.append(&[event(0)]).unwrap();
            let (_, mut session) = Source::open(&path).unwrap();
            let left = Arc::new(AtomicI64::new(instruction));
            let countdown = Arc::clone(&left);
            let write = move || {
                if countdown.fetch_sub(1, Ordering::Relaxed) == 1 {
                    writer.append(&[event(1)]).unwrap();
                    writer.append(&[event(2)]).unwrap();
                }
                false
            };
            session.connection.progress_handler(1, Some(write)).unwrap();
            check(question(&mut session).unwrap());
            if left.load(Ordering::Relaxed) > 0 {
                assert!(instruction > 20, "{instruction} instructions are too few for any question");
                break;
            }
        }
    }

    #[test]
    fn a_run_that_changes_while_it_is_read_has_each_event_as_it_was_written() {
        let check = |events: Vec<TraceEvent>| {
            assert!(!events.is_empty());
            events.into_iter().for_each(|read| assert_eq!(read, event(read.span_id.to_u64() - 1)));
        };
        ask_while_the_run_changes(|session| session.trace(TraceId::from_key(RUN)), check);
    }

    #[test]
    fn the_summary_of_a_run_is_of_one_state_of_the_file() {
        ask_while_the_run_changes(
            |session| runs::one(session, TraceId::from_key(RUN)),
            |summary| {
                let summary = summary.unwrap();
                let first = event(u64::from(summary.started < event(0).timestamp));
                assert_eq!(summary.correlation_id, first.correlation_id);
            },
        );
    }
}
