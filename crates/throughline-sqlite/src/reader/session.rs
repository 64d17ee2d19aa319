//! A connection that reads, and how rows become events.

use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior};
use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use throughline_model::{
    Attrs, InstanceId, Link, Liveness, SCHEMA_VERSION, SpanId, Text, Timestamp, TraceEvent, TraceId,
};

use crate::block::status_of;
use crate::error::Fault;
use crate::lease;

/// A connection of one thread, with what it remembers: names and instances never change once they are there.
pub(crate) struct Session {
    connection: Connection,
    memory: Memory,
}

/// What a reading connection remembers.
pub(super) struct Memory {
    path: PathBuf,
    names: FxHashMap<i64, Text>,
    instances: FxHashMap<i64, InstanceId>,
}

/// A statement that reads events, with the columns that [`Memory::event`] expects.
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

/// What an event may refer to rather than repeat.
#[derive(Debug, Clone)]
pub(super) struct Common {
    pub(super) trace_id: TraceId,
    pub(super) correlation: Option<Text>,
    pub(super) attrs: Attrs,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Rest {
    v: Option<u16>,
    parent_trace_id: Option<TraceId>,
    links: Vec<Link>,
    extra: Map<String, Value>,
}

impl Session {
    pub(crate) fn new(connection: Connection, path: &Path) -> Self {
        let memory =
            Memory { path: path.to_owned(), names: FxHashMap::default(), instances: FxHashMap::default() };
        Self { connection, memory }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// One state of the file for several statements, and the memory beside it.
    pub(super) fn snapshot(&mut self) -> Result<(Transaction<'_>, &mut Memory), Fault> {
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        Ok((transaction, &mut self.memory))
    }

    pub(super) fn liveness(&self, instance: InstanceId) -> Result<Liveness, Fault> {
        Ok(lease::liveness(&self.connection, &self.memory.path, instance)?)
    }

    pub(super) fn trace(&mut self, id: TraceId) -> Result<Vec<TraceEvent>, Fault> {
        let run = self
            .connection
            .prepare_cached("SELECT id, trace_id, correlation_id, attrs FROM run WHERE trace_id = ?1")?
            .query_row([id.to_bytes()], |row| Ok((row.get::<_, i64>(0)?, common(row))))
            .optional()?;
        let Some((run, common)) = run else { return Ok(Vec::new()) };
        let common = common?;
        self.memory.events_of(&self.connection, run, &common, EVENTS_OF_RUN)
    }
}

impl Memory {
    const CAPACITY: usize = 65_536;

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All events of a run in their order, read by a statement that takes the number of the run.
    pub(super) fn events_of(
        &mut self,
        connection: &Connection,
        run: i64,
        common: &Common,
        statement: &str,
    ) -> Result<Vec<TraceEvent>, Fault> {
        let mut statement = connection.prepare_cached(statement)?;
        let mut rows = statement.query([run])?;
        let mut events = Vec::with_capacity(16);
        while let Some(row) = rows.next()? {
            events.push(self.event(connection, row, common)?);
        }
        // An event is large and is moved once only.
        events
            .sort_by_cached_key(|event| (event.timestamp, event.instance, event.n, event.span_id, event.seq));
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
            .ok_or_else(|| Fault::Damaged(format!("the table `name` lacks number {id}")))?;
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
            .ok_or_else(|| Fault::Damaged(format!("the table `instance` lacks number {id}")))?;
        if self.instances.len() >= Self::CAPACITY {
            self.instances.clear();
        }
        let instance = InstanceId::from_u64(key as u64);
        self.instances.insert(id, instance);
        Ok(instance)
    }

    /// What the events of a run refer to; `None` if the run is gone.
    pub(super) fn common(&self, connection: &Connection, run: i64) -> Result<Option<Common>, Fault> {
        connection
            .prepare_cached("SELECT id, trace_id, correlation_id, attrs FROM run WHERE id = ?1")?
            .query_row([run], |row| Ok(common(row)))
            .optional()?
            .transpose()
    }

    /// The event of a row of [`COLUMNS`].
    pub(super) fn event(
        &mut self,
        connection: &Connection,
        row: &Row<'_>,
        common: &Common,
    ) -> Result<TraceEvent, Fault> {
        let id: i64 = row.get(0)?;
        let damaged = |what: &str| Fault::Damaged(format!("event {id} has no sound {what}"));
        let span = |value: i64| SpanId::from_u64(value as u64);
        let mut event = TraceEvent::new(
            common.trace_id,
            span(row.get(1)?).ok_or_else(|| damaged("span"))?,
            self.name(connection, row.get(7)?)?,
            Timestamp::from_micros(row.get(4)?),
            self.name(connection, row.get(9)?)?,
        );
        event.seq = row.get(2)?;
        event.parent_span_id = row.get::<_, Option<i64>>(3)?.and_then(span);
        event.instance = self.instance(connection, row.get(5)?)?;
        event.n = row.get::<_, i64>(6)? as u64;
        event.status = status_of(row.get(8)?);
        if let Some(workflow) = row.get::<_, Option<i64>>(10)? {
            event.workflow = Some(self.name(connection, workflow)?);
        }
        event.duration_us = row.get::<_, Option<i64>>(11)?.map(|micros| micros as u64);
        event.attempt = row.get(12)?;
        event.step_index = row.get(13)?;
        event.step_total = row.get(14)?;
        event.correlation_id = match row.get_ref(15)? {
            ValueRef::Null => None,
            ValueRef::Integer(_) => common.correlation.clone(),
            other => Some(text(other).ok_or_else(|| damaged("correlation id"))?),
        };
        event.attrs = match row.get_ref(16)? {
            ValueRef::Null => Attrs::new(),
            ValueRef::Integer(_) => common.attrs.clone(),
            other => json(other).ok_or_else(|| damaged("attributes"))?,
        };
        if let Some(tags) = present(row.get_ref(17)?) {
            event.tags = json(tags).ok_or_else(|| damaged("tags"))?;
        }
        if let Some(error) = present(row.get_ref(18)?) {
            event.error = Some(json(error).ok_or_else(|| damaged("error"))?);
        }
        if let Some(data) = present(row.get_ref(19)?) {
            event.data = Some(json(data).ok_or_else(|| damaged("data"))?);
        }
        if let Some(rest) = present(row.get_ref(20)?) {
            let rest: Rest = json(rest).ok_or_else(|| damaged("rest"))?;
            event.v = rest.v.unwrap_or(SCHEMA_VERSION);
            event.parent_trace_id = rest.parent_trace_id;
            event.links = rest.links;
            event.extra = rest.extra;
        }
        Ok(event)
    }
}

fn present(value: ValueRef<'_>) -> Option<ValueRef<'_>> {
    (value != ValueRef::Null).then_some(value)
}

fn text(value: ValueRef<'_>) -> Option<Text> {
    value.as_str().ok().map(|text| Text::from(std::borrow::Cow::Borrowed(text)))
}

/// Reads JSON. What is wrong with it is not told: the parser's errors quote the text, which is payload.
pub(super) fn json<T: DeserializeOwned>(value: ValueRef<'_>) -> Option<T> {
    serde_json::from_slice(value.as_bytes().ok()?).ok()
}

/// Reads `id, trace_id, correlation_id, attrs` of a run.
fn common(row: &Row<'_>) -> Result<Common, Fault> {
    let id: i64 = row.get(0)?;
    let damaged = |what: &str| Fault::Damaged(format!("run {id} has no sound {what}"));
    let attrs = match present(row.get_ref(3)?) {
        None => Attrs::new(),
        Some(attrs) => json(attrs).ok_or_else(|| damaged("attributes"))?,
    };
    Ok(Common {
        trace_id: trace_id(row.get_ref(1)?).ok_or_else(|| damaged("trace id"))?,
        correlation: present(row.get_ref(2)?).and_then(text),
        attrs,
    })
}

pub(super) fn trace_id(value: ValueRef<'_>) -> Option<TraceId> {
    TraceId::from_bytes(value.as_blob().ok()?.try_into().ok()?)
}
