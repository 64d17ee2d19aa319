//! Runs with an event of a kind: of a type, of a status, with tags.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params};
use rustc_hash::FxHashSet;

use super::events::Sketch;
use crate::block::{entries, stored};
use crate::error::Fault;
use crate::rollup::{self, HOUR};

/// Up to so many events of a kind, their runs are found first and then put into their order; the runs of more are found on the way
/// through all runs.
const FEW: i64 = 5_000;
/// How many blocks are read at a time on that way.
const BLOCKS: i64 = 64;

/// The runs of a kind.
pub(super) enum Kinds {
    /// All runs that may be of the kind.
    Few(Vec<i64>),
    /// What is known of them so far.
    Many(Known),
}

impl Kinds {
    pub(super) fn of(connection: &Connection, sketch: Sketch) -> Result<Self, Fault> {
        Ok(match hours(connection, &sketch)? {
            Some(hours) => Self::Few(in_hours(connection, &sketch, &hours)?),
            None => Self::Many(Known { sketch, unread: Some(i64::MAX), runs: FxHashSet::default() }),
        })
    }
}

/// The runs with an event of a kind that was found in blocks, from the last block back and no further than was asked for: no event of
/// a run comes before its start.
pub(super) struct Known {
    sketch: Sketch,
    /// Blocks that end at this moment or earlier have not been read.
    unread: Option<i64>,
    runs: FxHashSet<i64>,
}

impl Known {
    /// Whether a run that started at this moment may be of the kind.
    pub(super) fn has(&mut self, connection: &Connection, run: i64, started: i64) -> Result<bool, Fault> {
        while let Some(unread) = self.unread.filter(|unread| *unread >= started) {
            if self.runs.contains(&run) {
                return Ok(true);
            }
            self.read(connection, unread)?;
        }
        Ok(self.runs.contains(&run))
    }

    /// Reads the next few blocks.
    fn read(&mut self, connection: &Connection, until: i64) -> Result<(), Fault> {
        let from: Option<i64> = connection
            .prepare_cached(
                "SELECT last_ts FROM block INDEXED BY block_time WHERE last_ts <= ?1 \
                 ORDER BY last_ts DESC LIMIT 1 OFFSET ?2",
            )?
            .query_row([until, BLOCKS - 1], |row| row.get(0))
            .optional()?;
        let mut blocks = connection.prepare_cached(
            "SELECT id, entries FROM block INDEXED BY block_time WHERE last_ts BETWEEN ?1 AND ?2",
        )?;
        let mut rows = blocks.query([from.unwrap_or(i64::MIN), until])?;
        while let Some(row) = rows.next()? {
            let first = row.get(0)?;
            let stored = stored(connection, first, row.get_ref(1)?.as_bytes().unwrap_or_default())?;
            let allowed = entries(first, &stored).filter(|(_, entry)| self.sketch.allows(entry));
            self.runs.extend(allowed.map(|(_, entry)| entry.run));
        }
        self.unread = from.and_then(|from| from.checked_sub(1));
        Ok(())
    }
}

/// The hours, in hours since 1970, in which there are events of a kind, if there are few of these; `None` where there are many or
/// nothing counts them.
fn hours(connection: &Connection, sketch: &Sketch) -> Result<Option<BTreeSet<i64>>, Fault> {
    if !sketch.is_counted() {
        return Ok(None);
    }
    let mut rows_of = connection.prepare_cached(
        "SELECT start, type, pending, success, failed, cancelled FROM rollup WHERE width = ?1 AND start BETWEEN ?2 AND ?3",
    )?;
    let mut counted = |width: i64, first: i64, last: i64| -> rusqlite::Result<Vec<(i64, i64)>> {
        let mut found = Vec::new();
        let mut rows = rows_of.query([width, first, last])?;
        while let Some(row) = rows.next()? {
            let count = sketch.count(row.get(1)?, [row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?]);
            if count > 0 {
                found.push((row.get(0)?, count));
            }
        }
        Ok(found)
    };
    let days = counted(24, i64::MIN, i64::MAX)?;
    if days.iter().map(|(_, count)| count).sum::<i64>() > FEW {
        return Ok(None);
    }
    let mut hours = BTreeSet::new();
    for day in days.into_iter().map(|(day, _)| day).collect::<BTreeSet<_>>() {
        hours.extend(counted(1, day * 24, day * 24 + 23)?.into_iter().map(|(hour, _)| hour));
    }
    Ok(Some(hours))
}

/// The runs with an event of a kind in these hours, in hours that nothing counts any more, or among the last events, which nothing
/// counts yet.
fn in_hours(connection: &Connection, sketch: &Sketch, hours: &BTreeSet<i64>) -> Result<Vec<i64>, Fault> {
    let first_counted: Option<i64> =
        connection.query_row("SELECT min(start) FROM rollup WHERE width = 1", [], |row| row.get(0))?;
    let may_hold = |first: i64, last: i64| {
        let (first, last) = (first.div_euclid(HOUR), last.div_euclid(HOUR));
        first_counted.is_none_or(|counted| first < counted) || hours.range(first..=last).next().is_some()
    };
    let folded = rollup::folded(connection)?;
    let mut runs = FxHashSet::default();
    let mut blocks = connection.prepare_cached(
        "SELECT first_ts, last_ts, id FROM block INDEXED BY block_time WHERE last_ts >= ?1",
    )?;
    let mut read = connection.prepare_cached("SELECT entries FROM block WHERE id = ?1")?;
    let mut rows = blocks.query([sketch.since()])?;
    while let Some(row) = rows.next()? {
        let first = row.get::<_, i64>(2)?;
        if first <= folded && !may_hold(row.get(0)?, row.get(1)?) {
            continue;
        }
        let mut found = read.query(params![first])?;
        let Some(block) = found.next()? else { continue };
        let stored = stored(connection, first, block.get_ref(0)?.as_bytes().unwrap_or_default())?;
        let allowed = entries(first, &stored).filter(|(_, entry)| sketch.allows(entry));
        runs.extend(allowed.map(|(_, entry)| entry.run));
    }
    Ok(runs.into_iter().collect())
}
