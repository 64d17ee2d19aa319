//! How rows become events.

use std::path::{Path, PathBuf};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use rustc_hash::FxHashMap;
use serde::de::DeserializeOwned;
use throughline_model::fold::Position;
use throughline_model::{Attrs, InstanceId, SpanId, Text, Timestamp, TraceEvent, TraceId};

use crate::block::status_of;
use crate::error::Fault;
use crate::json::{Rest, StoredError};

/// What a reading connection has looked up before.
pub(super) struct Cache {
    path: PathBuf,
    names: FxHashMap<i64, Text>,
    instances: FxHashMap<i64, InstanceId>,
}

/// A statement that reads events, with the columns that [`Cache::event`] expects: of attributes, error and data what is said.
macro_rules! select_events {
    ($which:literal) => {
        select_events!("e.attrs", "e.error", "e.data", $which)
    };
    ($attrs:literal, $error:literal, $data:literal, $which:literal) => {
        concat!(
            "SELECT e.id, e.span, e.seq, e.parent, e.ts, e.instance, e.n, e.type, e.status, e.service, \
             e.workflow, e.duration, e.attempt, e.step_index, e.step_total, e.correlation, ",
            $attrs,
            ", e.tags, ",
            $error,
            ", ",
            $data,
            ", e.rest, e.run FROM event e ",
            $which
        )
    };
}
pub(super) use select_events;

/// The statements that read the events of a run.
#[derive(Clone, Copy)]
pub(super) struct EventsOfRun {
    /// In the order of the index, which is that of random span ids.
    by_span: &'static str,
    /// Those among the events with these numbers, in the order in which they stand in the file.
    by_place: &'static str,
}

/// Those of one span of a run.
pub(super) const OF_SPAN: &str = select_events!("WHERE e.run = ?1 AND e.span = ?2");

/// All of a run.
pub(super) const ALL: EventsOfRun = EventsOfRun {
    by_span: select_events!("WHERE e.run = ?1"),
    by_place: select_events!("WHERE e.id BETWEEN ?2 AND ?3 AND e.run + 0 = ?1"),
};

/// All of a run without what can be large: attributes, errors and data.
pub(super) const OUTLINE: EventsOfRun = EventsOfRun {
    by_span: select_events!("NULL", "NULL", "NULL", "WHERE e.run = ?1"),
    by_place: select_events!("NULL", "NULL", "NULL", "WHERE e.id BETWEEN ?2 AND ?3 AND e.run + 0 = ?1"),
};

/// The rows of the events of a run.
pub(super) struct RunRows<'a> {
    pub(super) connection: &'a Connection,
    /// The number of the run.
    pub(super) number: i64,
    pub(super) shared: &'a SharedColumns,
    pub(super) statements: EventsOfRun,
}

impl<'a> RunRows<'a> {
    /// All of them, with all columns.
    pub(super) fn all(connection: &'a Connection, number: i64, shared: &'a SharedColumns) -> Self {
        Self { connection, number, shared, statements: ALL }
    }

    /// The numbers of the events, in order; `None` if it has to stop before all are read.
    pub(super) fn places(&self, may_continue: impl Fn() -> bool) -> Result<Option<Vec<i64>>, Fault> {
        let mut places = self
            .connection
            .prepare_cached("SELECT id FROM event WHERE run = ?1")?
            .query_map([self.number], |row| row.get(0))?
            .take_while(|_| may_continue())
            .collect::<rusqlite::Result<Vec<i64>>>()?;
        places.sort_unstable();
        Ok(may_continue().then_some(places))
    }
}

/// The columns of a run that its events refer to instead of repeating them.
#[derive(Debug, Clone)]
pub(super) struct SharedColumns {
    pub(super) trace_id: TraceId,
    pub(super) correlation: Option<Text>,
    pub(super) attrs: Attrs,
}

impl Cache {
    const CAPACITY: usize = 65_536;
    /// So many events are read one by one.
    const FEW: usize = 1_000;
    /// To pass over so many events of other runs is cheaper than to search for the next one.
    const NEAR: i64 = 16;

    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, names: FxHashMap::default(), instances: FxHashMap::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All events of a run in their order.
    pub(super) fn events_of(&mut self, run: &RunRows<'_>) -> Result<Vec<TraceEvent>, Fault> {
        Ok(self.events_while(run, || true)?.unwrap_or_default())
    }

    /// The same for as long as it may continue; `None` if it has to stop before all are read.
    pub(super) fn events_while(
        &mut self,
        run: &RunRows<'_>,
        may_continue: impl Fn() -> bool,
    ) -> Result<Option<Vec<TraceEvent>>, Fault> {
        let mut events = InOrder::with_room_for(16);
        let mut statement = run.connection.prepare_cached(run.statements.by_span)?;
        let mut rows = statement.query([run.number])?;
        while events.len() < Self::FEW
            && let Some(row) = rows.next()?
        {
            if !may_continue() {
                return Ok(None);
            }
            events.push(self.event(run.connection, row, run.shared)?);
        }
        if events.len() == Self::FEW {
            let Some(places) = run.places(&may_continue)? else { return Ok(None) };
            events = InOrder::with_room_for(places.len());
            if !self.add_events_at(run, &places, may_continue, &mut events)? {
                return Ok(None);
            }
        }
        Ok(Some(events.into_events()))
    }

    /// Adds the events of a run with these numbers, which are in order; false if it has to stop before all are read.
    ///
    /// Each page is read once, from the beginning of the file to its end, and not once for each event on it.
    pub(super) fn add_events_at(
        &mut self,
        run: &RunRows<'_>,
        places: &[i64],
        may_continue: impl Fn() -> bool,
        events: &mut InOrder,
    ) -> Result<bool, Fault> {
        let mut statement = run.connection.prepare_cached(run.statements.by_place)?;
        for near in places.chunk_by(|one, next| next - one <= Self::NEAR) {
            let mut rows =
                statement.query([Some(run.number), near.first().copied(), near.last().copied()])?;
            while let Some(row) = rows.next()? {
                if !may_continue() {
                    return Ok(false);
                }
                events.push(self.event(run.connection, row, run.shared)?);
            }
        }
        Ok(may_continue())
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

/// Events of a run, which get their order. Whether they have it is seen as they come: to look at them all again takes long where
/// there are many.
pub(super) struct InOrder {
    events: Vec<TraceEvent>,
    has_order: bool,
}

impl InOrder {
    pub(super) fn with_room_for(count: usize) -> Self {
        Self { events: Vec::with_capacity(count), has_order: true }
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn push(&mut self, event: TraceEvent) {
        self.has_order &= self.is_followed_by(Some(&event));
        self.events.push(event);
    }

    /// Adds what was read elsewhere.
    pub(super) fn append(&mut self, mut other: Self) {
        self.has_order &= other.has_order && self.is_followed_by(other.events.first());
        self.events.append(&mut other.events);
    }

    fn is_followed_by(&self, next: Option<&TraceEvent>) -> bool {
        self.events.last().zip(next).is_none_or(|(last, next)| Position::of(last) <= Position::of(next))
    }

    /// The events in their order. An event is large and is moved once only.
    pub(super) fn into_events(mut self) -> Vec<TraceEvent> {
        if !self.has_order {
            self.events.sort_by_cached_key(Position::of);
        }
        self.events
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
