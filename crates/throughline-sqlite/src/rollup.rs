//! Counts by the minute: how often events of a type stood how, and how long spans took.
//!
//! They are folded from blocks, a few thousand events at a time and in the transaction of the group that makes it
//! so many. Readers add the blocks that are not folded yet, so that answers are always of this moment.

use rusqlite::{Connection, OptionalExtension, Result, params};
use rustc_hash::FxHashMap;
use throughline_core::{Histogram, Status};

use crate::block::{Entry, entries, status_code};

pub(crate) const MINUTE: i64 = 60_000_000;

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Minutes since the Unix epoch.
    pub(crate) minute: i64,
    pub(crate) event_type: i64,
    /// 0 stands for none.
    pub(crate) workflow: i64,
}

/// The counts of one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// By [`status_code`].
    pub(crate) by_status: [i64; 4],
    pub(crate) max_duration: Option<u64>,
    pub(crate) durations: Histogram,
}

impl Counts {
    pub(crate) fn add(&mut self, entry: &Entry) {
        self.by_status[usize::from(status_code(entry.status))] += 1;
        if let Some(duration) = entry.duration {
            self.max_duration = self.max_duration.max(Some(duration));
            self.durations.record(duration);
        }
    }

    /// Events that failed, and events that end a span or are points.
    pub(crate) fn failed_and_ended(&self) -> (i64, i64) {
        let code = |status| usize::from(status_code(status));
        let ended = self.by_status.iter().sum::<i64>() - self.by_status[code(Status::Pending)];
        (self.by_status[code(Status::Failed)], ended)
    }
}

pub(crate) fn key(entry: &Entry) -> Key {
    Key { minute: entry.ts.div_euclid(MINUTE), event_type: entry.event_type, workflow: entry.workflow }
}

/// The last event that the rollups count.
pub(crate) fn folded(connection: &Connection) -> Result<i64> {
    connection.prepare_cached("SELECT event FROM folded")?.query_row([], |row| row.get(0))
}

/// Calls back for each event that the rollups don't count.
pub(crate) fn each_unfolded(
    connection: &Connection,
    folded: i64,
    mut each: impl FnMut(&Entry),
) -> Result<()> {
    let mut statement = connection.prepare_cached("SELECT id, entries FROM block WHERE id > ?1")?;
    let mut rows = statement.query([folded])?;
    while let Some(row) = rows.next()? {
        for (_, entry) in entries(row.get(0)?, row.get_ref(1)?.as_blob()?) {
            each(&entry);
        }
    }
    Ok(())
}

/// Adds the events after `folded`, up to `last`, to the rollups.
pub(crate) fn fold(connection: &Connection, after: i64, last: i64) -> Result<()> {
    let mut sums: FxHashMap<Key, Counts> = FxHashMap::default();
    each_unfolded(connection, after, |entry| sums.entry(key(entry)).or_default().add(entry))?;
    for (key, mut counts) in sums {
        let place = params![key.minute, key.event_type, key.workflow];
        let before = connection
            .prepare_cached("SELECT durations FROM rollup WHERE minute = ?1 AND type = ?2 AND workflow = ?3")?
            .query_row(place, |row| row.get::<_, Vec<u8>>(0))
            .optional()?;
        if let Some(before) = before {
            unpack(&before, &mut counts.durations);
        }
        let [pending, success, failed, cancelled] = counts.by_status;
        let longest = counts.max_duration.map(|micros| i64::try_from(micros).unwrap_or(i64::MAX));
        connection
            .prepare_cached(
                "INSERT INTO rollup VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO UPDATE SET \
                 pending = pending + ?4, success = success + ?5, failed = failed + ?6, \
                 cancelled = cancelled + ?7, durations = ?9, \
                 max_duration = coalesce(max(max_duration, ?8), max_duration, ?8)",
            )?
            .execute(params![
                key.minute,
                key.event_type,
                key.workflow,
                pending,
                success,
                failed,
                cancelled,
                longest,
                pack(&counts.durations),
            ])?;
    }
    connection.prepare_cached("UPDATE folded SET event = ?1")?.execute([last])?;
    Ok(())
}

fn pack(histogram: &Histogram) -> Vec<u8> {
    histogram
        .buckets()
        .flat_map(|(bucket, count)| {
            let [b0, b1] = bucket.to_le_bytes();
            let [c0, c1, c2, c3] = u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes();
            [b0, b1, c0, c1, c2, c3]
        })
        .collect()
}

/// Adds what a row holds to a histogram.
pub(crate) fn unpack(bytes: &[u8], histogram: &mut Histogram) {
    for &[b0, b1, c0, c1, c2, c3] in bytes.as_chunks::<6>().0 {
        histogram.add(u16::from_le_bytes([b0, b1]), u64::from(u32::from_le_bytes([c0, c1, c2, c3])));
    }
}
