//! [`Cache`], what the writer keeps from group to group, and how events are written with it.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Result, params};
use rustc_hash::{FxHashMap, FxHashSet, FxHasher};
use serde_json::Value;
use throughline_model::fold::Change;
use throughline_model::names::{data, tags};
use throughline_model::{InstanceId, TraceEvent, TraceId};

use crate::block::{self, Block, Entry, entries, status_code, tag_bit};
use crate::instances::instance_id;
use crate::json::Json;
use crate::latest;
use crate::names::Names;
use crate::replace;
use crate::rollup;
use crate::run::Run;
use crate::run_count;
use crate::run_rows;
use crate::skip_index::Unwritten;

/// What the writer keeps from group to group, so that most events cost no look-up. When another connection has written, the
/// runs that it wrote to or removed are forgotten; when names were removed, and when a transaction fails, all of it.
#[derive(Default)]
pub(crate) struct Cache {
    /// The state of the file that this is a cache of.
    data_version: Option<i64>,
    /// The last removal of a run or a name that it knows of.
    last_removal: i64,
    names: Names,
    instances: FxHashMap<InstanceId, i64>,
    /// Boxed, for they are large and a table has room for twice as many as it holds.
    runs: FxHashMap<TraceId, Box<Run>>,
    /// Runs whose rows are out of date.
    changed: Vec<TraceId>,
    next_event: i64,
    last_run: i64,
    /// The last event that the rollups count.
    folded: i64,
    /// The last event that the table `latest` covers.
    latest_folded: i64,
    /// The last events, of which no block is written yet.
    block: Block,
    /// Whether it has a row as the open one.
    is_open: bool,
    unwritten: Unwritten,
    json: Json,
}

impl Cache {
    /// The cache holds no more runs than this.
    const RUNS: usize = 8192;
    /// How many events readers look at one by one before they are folded.
    const UNFOLDED: i64 = 4096;

    pub(crate) fn refresh(&mut self, connection: &Connection) -> Result<()> {
        let version =
            connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get::<_, i64>(0))?;
        if self.data_version == Some(version) {
            return Ok(());
        }
        if self.data_version.is_none() || !self.forget_what_others_changed(connection)? {
            self.runs.clear();
            self.names.clear();
            self.instances.clear();
            self.last_removal = connection
                .prepare_cached("SELECT coalesce(max(id), 0) FROM removal")?
                .query_row([], |row| row.get(0))?;
        }
        self.take_up_open_block(connection)?;
        (self.next_event, self.last_run) = (block::last_event(connection)? + 1, block::last_run(connection)?);
        self.folded = rollup::folded(connection)?;
        self.latest_folded = latest::folded(connection)?;
        self.data_version = Some(version);
        Ok(())
    }

    /// Adds what others have added to the open block, or begins with the one that is open now.
    fn take_up_open_block(&mut self, connection: &Connection) -> Result<()> {
        let open = block::first_of_open(connection)?;
        let is_known = self.is_open && open == Some(self.first_of_block());
        if !is_known {
            self.block.clear();
        }
        self.is_open = open.is_some();
        match open {
            Some(first) => self.block.add_events(connection, if is_known { self.next_event } else { first }),
            None => Ok(()),
        }
    }

    /// Forgets the runs that others have removed or written to; `false` if that is not enough.
    fn forget_what_others_changed(&mut self, connection: &Connection) -> Result<bool> {
        let mut others = FxHashSet::default();
        let mut removals =
            connection.prepare_cached("SELECT id, run FROM removal WHERE id > ?1 ORDER BY id")?;
        let mut rows = removals.query([self.last_removal])?;
        while let Some(row) = rows.next()? {
            let (id, run): (i64, Option<i64>) = (row.get(0)?, row.get(1)?);
            let (true, Some(run)) = (id == self.last_removal + 1, run) else { return Ok(false) };
            self.last_removal = id;
            others.insert(run);
        }
        let mut blocks = connection.prepare_cached(
            "SELECT id, entries FROM block WHERE id >= coalesce((SELECT max(id) FROM block WHERE id <= ?1), 0)",
        )?;
        let mut rows = blocks.query([self.next_event])?;
        while let Some(row) = rows.next()? {
            let first = row.get(0)?;
            let stored = block::stored(connection, first, row.get_ref(1)?.as_blob()?)?;
            let new = entries(first, &stored).filter(|(event, _)| *event >= self.next_event);
            others.extend(new.map(|(_, entry)| entry.run));
            if others.len() > Self::RUNS {
                return Ok(false);
            }
        }
        if !others.is_empty() {
            self.runs.retain(|_, run| !others.contains(&run.id));
        }
        Ok(true)
    }

    /// Writes events, and all that depends on them; answers how many were new.
    pub(crate) fn write<E: Borrow<TraceEvent>>(
        &mut self,
        connection: &Connection,
        events: &[E],
    ) -> Result<u64> {
        let new = self.add(connection, events)?;
        self.complete(connection)?;
        Ok(new)
    }

    /// Writes events; answers how many were new. What depends on them is written by [`complete`](Self::complete).
    pub(crate) fn add<E: Borrow<TraceEvent>>(
        &mut self,
        connection: &Connection,
        events: &[E],
    ) -> Result<u64> {
        let first = self.next_event;
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
            let mut is_first = false;
            let run = match self.runs.get_mut(trace_id) {
                Some(run) => run,
                None => {
                    let run = match run_rows::load(connection, *trace_id)? {
                        Some(run) => run,
                        None => {
                            is_first = true;
                            self.last_run += 1;
                            self.changed.push(*trace_id);
                            Run::begin(self.last_run, event)
                        }
                    };
                    self.runs.entry(*trace_id).or_insert_with(|| Box::new(run))
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
            if !run.fold.is_open() {
                // What comes after the end may be another reason for it.
                run.change = run.change.max(Change::Course);
            }
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
            let entry = Entry {
                run: run.id,
                ts: event.timestamp.as_micros(),
                duration: event.duration_us,
                event_type,
                status: event.status,
                workflow: workflow.unwrap_or(0),
                service: service as u16,
                tags: mask,
            };
            self.block.push(&entry);
            self.unwritten.push(id, &entry, &event.tags);
            if is_first {
                event.attrs.iter().for_each(|(key, value)| self.unwritten.push_attr(key, value));
            }
            note(connection, &mut self.names, &mut self.unwritten, run, event, event_type)?;
            if self.block.len() >= Block::CAPACITY {
                self.close_block(connection)?;
            }
        }
        Ok((self.next_event - first) as u64)
    }

    /// Writes what depends on the events that were added: the last block, the rows of their runs, the counts.
    pub(crate) fn complete(&mut self, connection: &Connection) -> Result<()> {
        if self.block.len() >= Block::WORTHWHILE {
            self.close_block(connection)?;
        } else if !self.is_open && self.block.len() > 0 {
            block::open(connection, self.first_of_block(), self.last_run)?;
            self.is_open = true;
        }
        self.write_runs(connection)?;
        self.fold(connection, Self::UNFOLDED)
    }

    pub(crate) fn remove(&mut self, connection: &Connection, trace_id: TraceId) -> Result<()> {
        self.runs.remove(&trace_id);
        self.close_block(connection)?;
        replace::remove(connection, self.folded, trace_id).map(drop)
    }

    fn first_of_block(&self) -> i64 {
        self.next_event - self.block.len() as i64
    }

    /// Writes the block of the last events, however few they are.
    fn close_block(&mut self, connection: &Connection) -> Result<()> {
        if self.block.len() > 0 {
            block::write(connection, self.first_of_block(), self.last_run, &self.block)?;
            self.block.clear();
            self.is_open = false;
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
    pub(crate) fn fold(&mut self, connection: &Connection, unfolded: i64) -> Result<()> {
        let last = self.next_event - 1;
        if last - self.folded.min(self.latest_folded) > unfolded {
            // What is folded is whole blocks.
            self.close_block(connection)?;
        }
        if last - self.folded > unfolded {
            rollup::fold(connection, self.folded, last)?;
            self.unwritten.write(connection, last)?;
            run_count::fold(connection)?;
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

/// Records which attributes and choices appear in a run.
fn note(
    connection: &Connection,
    names: &mut Names,
    unwritten: &mut Unwritten,
    run: &mut Run,
    event: &TraceEvent,
    event_type: i64,
) -> Result<()> {
    if event.attrs != run.attrs {
        for (key, value) in &event.attrs {
            if run.attrs.get(key) != Some(value) && is_news(run, (key, value)) {
                unwritten.push_attr(key, value);
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
