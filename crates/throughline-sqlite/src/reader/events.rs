//! Events that match a filter, newest first.

use std::collections::hash_map::Entry;
use std::ops::ControlFlow;

use rusqlite::{Connection, Params, params};
use rustc_hash::{FxHashMap, FxHashSet};
use throughline_model::fold::Position;
use throughline_model::{Cursor, Filter, Page, Paged, SpanId, Status, TraceEvent, TraceId, TypeMatch};

use super::descending::Descending;
use super::rows::{Cache, InOrder, OF_SPAN, SharedColumns, run_of, select_events};
use super::session::Session;
use crate::block::{self, entries, stored, tag_bit};
use crate::error::Fault;
use crate::names::find_name;

pub(super) fn find(session: &mut Session, filter: &Filter, page: &Page) -> Result<Paged<TraceEvent>, Fault> {
    let before = page.after.as_ref().map(Cursor::event).transpose()?;
    let (snapshot, cache) = session.snapshot()?;
    let connection = &snapshot;
    let nothing = Paged { items: Vec::new(), next: None };
    let Some(sketch) = Sketch::new(connection, filter)? else { return Ok(nothing) };
    let mut found =
        Found { filter, before, limit: page.limit, items: Vec::new(), runs: FxHashMap::default() };
    if page.limit > 0 {
        let mut visit = |events: &[i64]| found.take(connection, cache, events);
        let range =
            (sketch.since, sketch.until.min(before.map_or(i64::MAX, |before| before.timestamp.as_micros())));
        if let Some(key) = &filter.correlation_id {
            by_correlation(connection, range, key, &mut visit)?;
        } else if filter.statuses == [Status::Failed] {
            let sql = "SELECT ts, id FROM event INDEXED BY event_failed \
                       WHERE status = 2 AND ts >= ?1 AND ts <= ?2 ORDER BY ts DESC";
            one_by_one(connection, sql, params![range.0, range.1], &mut visit)?;
        } else {
            by_blocks(connection, range, &sketch, &mut visit)?;
        }
    }
    Ok(found.into_page())
}

/// The events of one span of a run, in their order.
pub(super) fn of_span(session: &mut Session, id: TraceId, span: SpanId) -> Result<Vec<TraceEvent>, Fault> {
    let (snapshot, cache) = session.snapshot()?;
    let Some((run, shared)) = run_of(&snapshot, id)? else { return Ok(Vec::new()) };
    let mut read = snapshot.prepare_cached(OF_SPAN)?;
    let mut rows = read.query(params![run, span.to_u64().cast_signed()])?;
    let mut events = InOrder::with_room_for(2);
    while let Some(row) = rows.next()? {
        events.push(cache.event(&snapshot, row, &shared)?);
    }
    Ok(events.into_events())
}

/// The part of a filter that the [entry](block::Entry) of an event can answer: an event that it rules out does not match.
#[derive(Clone)]
pub(super) struct Sketch {
    since: i64,
    /// The last microsecond that is wanted.
    until: i64,
    statuses: Vec<Status>,
    types: Option<FxHashSet<i64>>,
    tags: u16,
    workflow: Option<i64>,
    service: Option<u16>,
}

impl Sketch {
    /// `None` if nothing can match, because a name that is asked for appears nowhere.
    pub(super) fn new(connection: &Connection, filter: &Filter) -> Result<Option<Self>, Fault> {
        let mut sketch = Self {
            since: filter.scope.since.map_or(i64::MIN, |since| since.as_micros()),
            until: filter.scope.until.map_or(i64::MAX, |until| until.as_micros().saturating_sub(1)),
            ..Self::of_kind(connection, filter)?
        };
        for tag in &filter.tags {
            let Some(tag) = find_name(connection, tag)? else { return Ok(None) };
            sketch.tags |= tag_bit(tag);
        }
        if let Some(workflow) = &filter.scope.workflow {
            let Some(workflow) = find_name(connection, workflow)? else { return Ok(None) };
            sketch.workflow = Some(workflow);
        }
        if let Some(service) = &filter.service {
            let Some(service) = find_name(connection, service)? else { return Ok(None) };
            sketch.service = Some(service as u16);
        }
        Ok(Some(sketch))
    }

    /// Of statuses and types alone.
    fn of_kind(connection: &Connection, filter: &Filter) -> Result<Self, Fault> {
        let types = match &filter.event_type {
            None => None,
            Some(TypeMatch::Exact(exact)) => Some(find_name(connection, exact)?.into_iter().collect()),
            Some(TypeMatch::Prefix(prefix)) => {
                let mut names = connection.prepare_cached("SELECT id, text FROM name")?;
                let mut rows = names.query([])?;
                let mut types = FxHashSet::default();
                while let Some(row) = rows.next()? {
                    if row.get_ref(1)?.as_str().is_ok_and(|text| text.starts_with(prefix.as_str())) {
                        types.insert(row.get(0)?);
                    }
                }
                Some(types)
            }
        };
        Ok(Self {
            since: i64::MIN,
            until: i64::MAX,
            statuses: filter.statuses.clone(),
            types,
            tags: 0,
            workflow: None,
            service: None,
        })
    }

    /// The sketch of what one event of a run must meet.
    pub(super) fn for_runs(connection: &Connection, filter: &Filter) -> Result<Option<Self>, Fault> {
        let mut kind = Filter::new();
        kind.statuses.clone_from(&filter.statuses);
        kind.event_type.clone_from(&filter.event_type);
        kind.tags.clone_from(&filter.tags);
        // An event of a run does not come before the run's start.
        kind.scope.since = filter.scope.since;
        Self::new(connection, &kind)
    }

    pub(super) fn allows(&self, entry: &block::Entry) -> bool {
        entry.ts >= self.since
            && entry.ts <= self.until
            && (self.statuses.is_empty() || self.statuses.contains(&entry.status))
            && self.types.as_ref().is_none_or(|types| types.contains(&entry.event_type))
            && entry.tags & self.tags == self.tags
            && self.workflow.is_none_or(|workflow| workflow == entry.workflow)
            && self.service.is_none_or(|service| service == entry.service)
    }

    /// The types that are wanted, if any are named.
    pub(super) fn types(&self) -> Option<&FxHashSet<i64>> {
        self.types.as_ref()
    }
}

type Visit<'v> = &'v mut dyn FnMut(&[i64]) -> Result<ControlFlow<()>, Fault>;

/// The general way: through the blocks, by their last moment.
fn by_blocks(
    connection: &Connection,
    (since, until): (i64, i64),
    sketch: &Sketch,
    mut visit: Visit<'_>,
) -> Result<(), Fault> {
    let mut blocks = connection.prepare_cached(
        "SELECT last_ts, id, entries FROM block INDEXED BY block_time \
         WHERE last_ts >= ?1 AND first_ts <= ?2 ORDER BY last_ts DESC",
    )?;
    let mut rows = blocks.query([since, until])?;
    let mut candidates = Descending::default();
    while let Some(row) = rows.next()? {
        if candidates.begin_source(row.get(0)?, &mut visit)?.is_break() {
            return Ok(());
        }
        let first = row.get(1)?;
        let stored = stored(connection, first, row.get_ref(2)?.as_bytes().unwrap_or_default())?;
        for (event, entry) in entries(first, &stored) {
            if entry.ts <= until && sketch.allows(&entry) {
                candidates.push(entry.ts, event);
            }
        }
    }
    candidates.finish(&mut visit)
}

/// From a statement that gives the time and number of events, the newest first.
fn one_by_one(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    mut visit: Visit<'_>,
) -> Result<(), Fault> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut candidates = Descending::default();
    while let Some(row) = rows.next()? {
        let ts = row.get(0)?;
        if candidates.begin_source(ts, &mut visit)?.is_break() {
            return Ok(());
        }
        candidates.push(ts, row.get(1)?);
    }
    candidates.finish(&mut visit)
}

/// Through the indexes of correlation ids: of runs, and of events whose correlation id is not that of their run.
fn by_correlation(
    connection: &Connection,
    (since, until): (i64, i64),
    key: &str,
    visit: Visit<'_>,
) -> Result<(), Fault> {
    let sql = "SELECT ts, id FROM (\
                 SELECT e.ts, e.id FROM run r JOIN event e ON e.run = r.id AND e.correlation = 1 \
                 WHERE r.correlation_id = ?3 \
                 UNION ALL \
                 SELECT ts, id FROM event WHERE correlation = ?3 AND correlation > 1\
               ) WHERE ts >= ?1 AND ts <= ?2 ORDER BY ts DESC";
    one_by_one(connection, sql, params![since, until, key], visit)
}

/// The page so far.
struct Found<'f> {
    filter: &'f Filter,
    before: Option<Position>,
    limit: usize,
    /// One more than the limit, if there are so many.
    items: Vec<TraceEvent>,
    runs: FxHashMap<i64, Option<SharedColumns>>,
}

impl Found<'_> {
    /// Adds the events that match, of events of one moment.
    fn take(
        &mut self,
        connection: &Connection,
        cache: &mut Cache,
        events: &[i64],
    ) -> Result<ControlFlow<()>, Fault> {
        let mut statement = connection.prepare_cached(select_events!("WHERE e.id = ?1"))?;
        let mut matching = Vec::new();
        for event in events {
            let mut rows = statement.query([event])?;
            // An event that is gone was pruned; its block goes when all of its events are gone.
            let Some(row) = rows.next()? else { continue };
            let run = row.get(21)?;
            let shared = match self.runs.entry(run) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(cache.shared(connection, run)?),
            };
            let Some(shared) = shared else { continue };
            let event = cache.event(connection, row, shared)?;
            if self.filter.matches(&event) && self.before.is_none_or(|before| Position::of(&event) < before) {
                matching.push(event);
            }
        }
        matching.sort_by_key(|event| std::cmp::Reverse(Position::of(event)));
        self.items.extend(matching);
        Ok(if self.items.len() > self.limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn into_page(mut self) -> Paged<TraceEvent> {
        let is_all = self.items.len() <= self.limit;
        self.items.truncate(self.limit);
        let next = self.items.last().filter(|_| !is_all).map(Cursor::of_event);
        Paged { items: self.items, next }
    }
}
