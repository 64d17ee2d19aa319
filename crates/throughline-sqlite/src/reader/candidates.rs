//! Where runs with something rare are looked for: an event of a kind, a tag, an attribute.

use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension};
use rustc_hash::FxHashSet;
use throughline_model::Filter;

use super::descending::Descending;
use super::events::Sketch;
use crate::block::{entries, stored};
use crate::error::Fault;
use crate::skip_index::{self, Mark, Range, Requirement};

/// How many blocks are read at a time on the way through all runs.
const BLOCKS: i64 = 64;

/// The ranges of events in which all runs that match have something to show, the latest first.
pub(super) struct Candidates {
    ranges: Vec<Range>,
    /// What an event of a run must meet; any event will do where an attribute of the run is looked for.
    sketch: Option<Sketch>,
    since: i64,
}

impl Candidates {
    /// `None` if what is asked for is found sooner on the way through all runs. The sketch is of the kind of event that is
    /// asked for, if one is.
    pub(super) fn of(
        connection: &Connection,
        filter: &Filter,
        sketch: Option<&Sketch>,
    ) -> Result<Option<Self>, Fault> {
        let since = filter.scope.since.map_or(i64::MIN, |since| since.as_micros());
        let mut fewest: Option<Self> = None;
        let mut consider = |ranges: Option<Vec<Range>>, sketch: Option<&Sketch>| {
            if let Some(ranges) = ranges
                && fewest.as_ref().is_none_or(|fewest| ranges.len() < fewest.ranges.len())
            {
                fewest = Some(Self { ranges, sketch: sketch.cloned(), since });
            }
        };
        for (key, value) in &filter.attrs {
            consider(skip_index::ranges(connection, &Requirement::attr(key, value))?, None);
        }
        if let Some(sketch) = sketch {
            let required = of_kind(filter, sketch);
            consider(skip_index::ranges(connection, &required)?, Some(sketch));
        }
        Ok(fewest)
    }

    /// About how many runs there are in the ranges.
    pub(super) fn runs(&self) -> usize {
        const IN_A_RANGE: usize = 64;
        self.ranges.len() * IN_A_RANGE
    }

    /// Whether an event of the kind that is asked for was found for each run.
    pub(super) fn are_of_kind(&self) -> bool {
        self.sketch.is_some()
    }

    /// Hands over runs in the order of their starts, the last started first, all with the same start together; each once.
    /// `start` says when a run started, if it may match.
    pub(super) fn visit(
        &self,
        connection: &Connection,
        mut start: impl FnMut(i64) -> Result<Option<i64>, Fault>,
        mut visit: impl FnMut(&[i64]) -> Result<ControlFlow<()>, Fault>,
    ) -> Result<(), Fault> {
        // A block may begin before a range and end after it.
        let mut blocks = connection.prepare_cached(
            "SELECT id, entries FROM block \
             WHERE id BETWEEN coalesce((SELECT max(id) FROM block WHERE id <= ?1), ?1) AND ?2",
        )?;
        let mut known = FxHashSet::default();
        let mut candidates = Descending::default();
        for range in self.ranges.iter().filter(|range| range.last_ts >= self.since) {
            // No event of a run comes before its start.
            if candidates.begin_source(range.last_ts, &mut visit)?.is_break() {
                return Ok(());
            }
            let mut rows = blocks.query([range.first, range.last])?;
            while let Some(row) = rows.next()? {
                let first = row.get(0)?;
                let stored = stored(connection, first, row.get_ref(1)?.as_bytes().unwrap_or_default())?;
                let of_range = |(event, _): &(i64, _)| (range.first..=range.last).contains(event);
                for (_, entry) in entries(first, &stored).filter(of_range) {
                    if self.sketch.as_ref().is_none_or(|sketch| sketch.allows(&entry))
                        && known.insert(entry.run)
                        && let Some(started) = start(entry.run)?
                    {
                        candidates.push(started, entry.run);
                    }
                }
            }
        }
        candidates.finish(&mut visit)
    }
}

/// What must occur where an event of this kind is.
fn of_kind(filter: &Filter, sketch: &Sketch) -> Requirement {
    let mut required = Requirement::default();
    let statuses = &filter.statuses;
    match sketch.types() {
        None if statuses.is_empty() => {}
        None => required.and_any_of(statuses.iter().map(|status| Mark::status(*status))),
        Some(types) if statuses.is_empty() => {
            required.and_any_of(types.iter().map(|name| Mark::event_type(*name)));
        }
        Some(types) => {
            let of_type = |name: &i64| {
                let name = *name;
                statuses.iter().map(move |status| Mark::kind(name, *status))
            };
            required.and_any_of(types.iter().flat_map(of_type));
        }
    }
    filter.tags.iter().for_each(|tag| required.and_any_of([Mark::tag(tag)]));
    required
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
    pub(super) fn new(sketch: Sketch) -> Self {
        Self { sketch, unread: Some(i64::MAX), runs: FxHashSet::default() }
    }

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
