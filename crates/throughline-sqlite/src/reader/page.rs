//! The events of one run, a page at a time.
//!
//! A short run is sorted by the positions of all its events. To do that for every page of a run with 100,000 events
//! would read it a hundred times, so a long run is read from the blocks of the time that the page covers. There is no
//! index by run and time: it would cost the writer a page of the file for each event.

use std::ops::ControlFlow;

use rusqlite::{Connection, Rows, params};
use throughline_model::fold::Position;
use throughline_model::{Cursor, EventId, Page, Paged, SpanId, Timestamp, TraceEvent, TraceId};

use super::descending::Descending;
use super::rows::{Cache, SharedColumns, run_of, select_events};
use super::session::Session;
use crate::block::{Entry, entries, stored};
use crate::error::Fault;
use crate::latest;

/// A run of up to this many events is short.
const SHORT: usize = 1024;
/// Blocks that cover more than this many microseconds have an index of their own, `block_wide`.
const WIDE: i64 = 60_000_000;

pub(super) fn of_trace(session: &mut Session, id: TraceId, page: &Page) -> Result<Paged<TraceEvent>, Fault> {
    let after = page.after.as_ref().map(Cursor::event).transpose()?;
    let (snapshot, cache) = session.snapshot()?;
    let Some((run, shared)) = run_of(&snapshot, id)? else {
        return Ok(Paged { items: Vec::new(), next: None });
    };
    // One more than the page has room for: it says whether there is another page.
    let wanted = page.limit.saturating_add(1);
    let is_short = {
        let at_most = i64::try_from(SHORT.max(wanted)).unwrap_or(i64::MAX);
        let mut count = snapshot.prepare_cached(
            "SELECT count(*) FROM (SELECT 1 FROM event INDEXED BY event_identity WHERE run = ?1 LIMIT ?2)",
        )?;
        count.query_row(params![run, at_most.saturating_add(1)], |row| row.get::<_, i64>(0))? <= at_most
    };
    let mut items = match is_short {
        true => of_short(&snapshot, cache, (id, run), &shared, after, wanted)?,
        false => of_long(&snapshot, cache, run, &shared, after, wanted)?,
    };
    let is_all = items.len() < wanted;
    items.truncate(page.limit);
    let next = items.last().filter(|_| !is_all).map(Cursor::of_event);
    Ok(Paged { items, next })
}

/// Sorts all events of a run by their positions, and reads those of the page.
fn of_short(
    connection: &Connection,
    cache: &mut Cache,
    (trace_id, run): (TraceId, i64),
    shared: &SharedColumns,
    after: Option<Position>,
    wanted: usize,
) -> Result<Vec<TraceEvent>, Fault> {
    let mut places = Vec::new();
    {
        let mut statement = connection.prepare_cached(
            "SELECT e.id, e.ts, e.instance, e.n, e.span, e.seq FROM event e WHERE e.run = ?1",
        )?;
        let mut rows = statement.query([run])?;
        while let Some(row) = rows.next()? {
            let event: i64 = row.get(0)?;
            let span_id = SpanId::from_u64(row.get::<_, i64>(4)? as u64)
                .ok_or_else(|| Fault::Damaged(format!("event {event} has an invalid span id")))?;
            let position = Position {
                timestamp: Timestamp::from_micros(row.get(1)?),
                instance: cache.instance(connection, row.get(2)?)?,
                n: row.get::<_, i64>(3)? as u64,
                id: EventId { trace_id, span_id, seq: row.get(5)? },
            };
            if after.is_none_or(|after| position > after) {
                places.push((position, event));
            }
        }
    }
    places.sort_unstable();
    let mut events = Vec::with_capacity(places.len().min(wanted));
    for (_, event) in places.into_iter().take(wanted) {
        events.extend(one(connection, cache, shared, event)?);
    }
    Ok(events)
}

fn one(
    connection: &Connection,
    cache: &mut Cache,
    shared: &SharedColumns,
    event: i64,
) -> Result<Option<TraceEvent>, Fault> {
    let mut statement = connection.prepare_cached(select_events!("WHERE e.id = ?1"))?;
    let mut rows = statement.query([event])?;
    rows.next()?.map(|row| cache.event(connection, row, shared)).transpose()
}

/// Goes through the blocks from the time of the cursor on.
fn of_long(
    connection: &Connection,
    cache: &mut Cache,
    run: i64,
    shared: &SharedColumns,
    after: Option<Position>,
    wanted: usize,
) -> Result<Vec<TraceEvent>, Fault> {
    let from = match after {
        Some(after) => after.timestamp.as_micros(),
        None => connection
            .prepare_cached("SELECT started FROM run WHERE id = ?1")?
            .query_row([run], |row| row.get(0))?,
    };
    let until = latest::of(connection, &latest::unfolded(connection)?, run)?.unwrap_or(i64::MAX);
    let mut events = Vec::new();
    let mut visit = |same_moment: &[i64]| {
        let mut read = Vec::with_capacity(same_moment.len());
        for event in same_moment {
            read.extend(one(connection, cache, shared, *event)?);
        }
        read.retain(|event| after.is_none_or(|after| Position::of(event) > after));
        read.sort_by_cached_key(Position::of);
        events.extend(read);
        Ok(if events.len() >= wanted { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    let mut narrow = connection.prepare_cached(
        "SELECT last_ts, id, entries FROM block INDEXED BY block_time \
         WHERE last_ts BETWEEN ?1 AND ?2 AND last_ts - first_ts <= 60000000 ORDER BY last_ts",
    )?;
    let mut wide = connection.prepare_cached(
        "SELECT first_ts, id, entries FROM block INDEXED BY block_wide \
         WHERE last_ts - first_ts > 60000000 AND first_ts <= ?2 AND last_ts >= ?1 ORDER BY first_ts",
    )?;
    let of_run = |entry: &Entry| entry.run == run && entry.ts >= from;
    let mut narrow =
        Blocks::new(connection, narrow.query([from, until.saturating_add(WIDE)])?, WIDE, of_run)?;
    let mut wide = Blocks::new(connection, wide.query([from, until])?, 0, of_run)?;
    // `Descending` with times the other way round: `!` reverses the order of numbers.
    let mut candidates = Descending::default();
    loop {
        let next = match (&narrow.next, &wide.next) {
            (Some(one), Some(other)) if one.earliest <= other.earliest => narrow.take()?,
            (Some(_), None) => narrow.take()?,
            _ => wide.take()?,
        };
        let Some(block) = next else {
            candidates.finish(&mut visit)?;
            break;
        };
        if candidates.begin_source(!block.earliest, &mut visit)?.is_break() {
            break;
        }
        block.found.into_iter().for_each(|(ts, event)| candidates.push(!ts, event));
    }
    events.truncate(wanted);
    Ok(events)
}

/// The blocks that a statement gives, in the order of a moment before which neither they nor those after them have an
/// event.
struct Blocks<'s, F> {
    connection: &'s Connection,
    rows: Rows<'s>,
    /// How long before the time in the first column a block may begin.
    width: i64,
    is_wanted: F,
    next: Option<Found>,
}

/// What is wanted of a block.
struct Found {
    earliest: i64,
    /// Time and number of each event.
    found: Vec<(i64, i64)>,
}

impl<'s, F: Fn(&Entry) -> bool> Blocks<'s, F> {
    fn new(connection: &'s Connection, rows: Rows<'s>, width: i64, is_wanted: F) -> Result<Self, Fault> {
        let mut blocks = Self { connection, rows, width, is_wanted, next: None };
        blocks.take()?;
        Ok(blocks)
    }

    /// The next block; the one after it takes its place.
    fn take(&mut self) -> Result<Option<Found>, Fault> {
        let after = match self.rows.next()? {
            None => None,
            Some(row) => {
                let first = row.get(1)?;
                let stored = stored(self.connection, first, row.get_ref(2)?.as_bytes().unwrap_or_default())?;
                let wanted = entries(first, &stored).filter(|(_, entry)| (self.is_wanted)(entry));
                Some(Found {
                    earliest: row.get::<_, i64>(0)?.saturating_sub(self.width),
                    found: wanted.map(|(event, entry)| (entry.ts, event)).collect(),
                })
            }
        };
        Ok(std::mem::replace(&mut self.next, after))
    }
}
