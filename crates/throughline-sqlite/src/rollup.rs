//! Counts by the day and the hour: how many events of each type have which status, and how long spans took.
//!
//! They are folded from blocks, a few thousand events at a time, in the transaction of the group that completes that
//! many. Readers add the blocks that are not folded yet, so that answers are always up to date. A question about a long
//! time reads days, then hours, and the blocks themselves at its edges, so that it is exact.

use std::ops::RangeInclusive;

use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use rustc_hash::FxHashMap;
use throughline_model::{Histogram, Status};

use crate::block::{Entry, entries, status_code, stored};

/// Microseconds.
pub(crate) const HOUR: i64 = 3_600_000_000;

/// Hours in a day and an hour: each a multiple of the next.
const WIDTHS: [i64; 2] = [24, 1];

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    /// Hours since the Unix epoch.
    pub(crate) hour: i64,
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

    fn subtract(&mut self, entry: &Entry) {
        let count = &mut self.by_status[usize::from(status_code(entry.status))];
        *count = (*count - 1).max(0);
        if let Some(duration) = entry.duration {
            let gone = Histogram::bucket(duration);
            let mut left = Histogram::default();
            for (bucket, count) in self.durations.buckets() {
                left.add(bucket, count - u64::from(bucket == gone));
            }
            self.max_duration = match left.buckets().filter(|(_, count)| *count > 0).last() {
                Some((longest, _)) => self.max_duration.min(Some(Histogram::upper_bound(longest))),
                None => None,
            };
            self.durations = left;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.by_status.iter_mut().zip(other.by_status).for_each(|(sum, count)| *sum += count);
        self.max_duration = self.max_duration.max(other.max_duration);
        other.durations.buckets().for_each(|(bucket, count)| self.durations.add(bucket, count));
    }

    /// Adds `pending, success, failed, cancelled, max_duration, durations` of a row, from this column on.
    pub(crate) fn add_row(&mut self, row: &Row<'_>, first: usize) -> Result<()> {
        for (at, sum) in self.by_status.iter_mut().enumerate() {
            *sum += row.get::<_, i64>(first + at)?;
        }
        let longest = row.get::<_, Option<i64>>(first + 4)?.map(|micros| micros as u64);
        self.max_duration = self.max_duration.max(longest);
        unpack(row.get_ref(first + 5)?.as_blob()?, &mut self.durations);
        Ok(())
    }

    /// Events that failed, and events that end a span or are points.
    pub(crate) fn failed_and_ended(&self) -> (i64, i64) {
        let code = |status| usize::from(status_code(status));
        let ended = self.by_status.iter().sum::<i64>() - self.by_status[code(Status::Pending)];
        (self.by_status[code(Status::Failed)], ended)
    }
}

pub(crate) fn key(entry: &Entry) -> Key {
    Key { hour: entry.ts.div_euclid(HOUR), event_type: entry.event_type, workflow: entry.workflow }
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
        let first = row.get(0)?;
        let stored = stored(connection, first, row.get_ref(1)?.as_blob()?)?;
        entries(first, &stored).for_each(|(_, entry)| each(&entry));
    }
    Ok(())
}

/// Adds the events after one number, up to another, to the rollups. There must be no open block.
pub(crate) fn fold(connection: &Connection, after: i64, last: i64) -> Result<()> {
    let mut sums: FxHashMap<Key, Counts> = FxHashMap::default();
    each_unfolded(connection, after, |entry| sums.entry(key(entry)).or_default().add(entry))?;
    for width in WIDTHS {
        let mut wide: FxHashMap<Key, Counts> = FxHashMap::default();
        for (key, counts) in &sums {
            let key = Key { hour: key.hour.div_euclid(width), ..*key };
            wide.entry(key).or_default().merge(counts);
        }
        for (key, counts) in wide {
            add(connection, width, key, counts)?;
        }
    }
    connection.prepare_cached("UPDATE folded SET event = ?1")?.execute([last])?;
    Ok(())
}

/// Takes entries out of the rollups that count them. The longest duration of a row is then the greatest that it may be.
pub(crate) fn subtract(connection: &Connection, entries: &[Entry]) -> Result<()> {
    for entry in entries {
        for width in WIDTHS {
            let Key { hour, event_type, workflow } = key(entry);
            let of_row = params![width, hour.div_euclid(width), event_type, workflow];
            let row = connection
                .prepare_cached(
                    "SELECT pending, success, failed, cancelled, max_duration, durations FROM rollup \
                     WHERE width = ?1 AND start = ?2 AND type = ?3 AND workflow = ?4",
                )?
                .query_row(of_row, |row| {
                    let mut counts = Counts::default();
                    counts.add_row(row, 0)?;
                    Ok(counts)
                })
                .optional()?;
            // It is gone where the retention has forgotten its hour.
            let Some(mut counts) = row else { continue };
            counts.subtract(entry);
            connection
                .prepare_cached(
                    "DELETE FROM rollup WHERE width = ?1 AND start = ?2 AND type = ?3 AND workflow = ?4",
                )?
                .execute(of_row)?;
            if counts.by_status.iter().any(|count| *count > 0) {
                add(connection, width, Key { hour: hour.div_euclid(width), event_type, workflow }, counts)?;
            }
        }
    }
    Ok(())
}

/// Adds counts to a row; the key's hour is in widths.
fn add(connection: &Connection, width: i64, key: Key, mut counts: Counts) -> Result<()> {
    let before = connection
        .prepare_cached(
            "SELECT durations FROM rollup WHERE width = ?1 AND start = ?2 AND type = ?3 AND workflow = ?4",
        )?
        .query_row(params![width, key.hour, key.event_type, key.workflow], |row| row.get::<_, Vec<u8>>(0))
        .optional()?;
    if let Some(before) = before {
        unpack(&before, &mut counts.durations);
    }
    let [pending, success, failed, cancelled] = counts.by_status;
    let longest = counts.max_duration.map(|micros| i64::try_from(micros).unwrap_or(i64::MAX));
    connection
        .prepare_cached(
            "INSERT INTO rollup (width, start, type, workflow, pending, success, failed, cancelled, max_duration, \
             durations) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
             ON CONFLICT (width, start, type, workflow) DO UPDATE SET pending = pending + ?5, \
             success = success + ?6, failed = failed + ?7, cancelled = cancelled + ?8, durations = ?10, \
             max_duration = coalesce(max(max_duration, ?9), max_duration, ?9)",
        )?
        .execute(params![
            width,
            key.hour,
            key.event_type,
            key.workflow,
            pending,
            success,
            failed,
            cancelled,
            longest,
            pack(&counts.durations),
        ])
        .map(drop)
}

/// The rows and remainders that together make up a time.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Cover {
    /// Widths, each with a range of starts.
    pub(crate) rows: Vec<(i64, RangeInclusive<i64>)>,
    /// Microseconds before the first and after the last whole hour.
    pub(crate) edges: Vec<RangeInclusive<i64>>,
}

/// Covers a time, in microseconds.
pub(crate) fn cover(time: RangeInclusive<i64>) -> Cover {
    // A time without bounds reaches to the end of the day that the last of all timestamps lies in.
    let day = i128::from(24 * HOUR);
    let (start, end) = (i128::from(*time.start()), i128::from(*time.end()));
    let start = if *time.start() == i64::MIN { start.div_euclid(day) * day } else { start };
    let end = if *time.end() == i64::MAX { (end.div_euclid(day) + 1) * day - 1 } else { end };
    let mut cover = Cover::default();
    let mut open = vec![start..=end];
    for width in WIDTHS {
        let length = i128::from(width * HOUR);
        let mut edges = Vec::new();
        for range in open {
            let first = (range.start() + length - 1).div_euclid(length);
            let last = (range.end() + 1).div_euclid(length) - 1;
            if first > last {
                edges.push(range);
                continue;
            }
            edges.push(*range.start()..=first * length - 1);
            edges.push((last + 1) * length..=*range.end());
            cover.rows.push((width, clamp(first)..=clamp(last)));
        }
        open = edges.into_iter().filter(|edge| !edge.is_empty()).collect();
    }
    let edges = open.into_iter().map(|edge| clamp(*edge.start())..=clamp(*edge.end()));
    cover.edges = edges.collect();
    cover
}

fn clamp(value: i128) -> i64 {
    value.clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

/// Calls back for each event of a time that the rollups count.
pub(crate) fn each_folded(
    connection: &Connection,
    folded: i64,
    time: &RangeInclusive<i64>,
    mut each: impl FnMut(&Entry),
) -> Result<()> {
    let mut statement = connection.prepare_cached(
        "SELECT id, entries FROM block INDEXED BY block_time \
         WHERE last_ts >= ?1 AND first_ts <= ?2 AND count > 0",
    )?;
    let mut rows = statement.query([time.start(), time.end()])?;
    while let Some(row) = rows.next()? {
        for (event, entry) in entries(row.get(0)?, row.get_ref(1)?.as_blob()?) {
            if event <= folded && time.contains(&entry.ts) {
                each(&entry);
            }
        }
    }
    Ok(())
}

/// Removes the counts of the hours before this one.
pub(crate) fn forget_before(connection: &Connection, hour: i64) -> Result<()> {
    let forgotten =
        connection.prepare_cached("DELETE FROM rollup WHERE width = 1 AND start < ?1")?.execute([hour])?;
    if forgotten == 0 {
        return Ok(());
    }
    let day = hour.div_euclid(24);
    connection.prepare_cached("DELETE FROM rollup WHERE width = 24 AND start <= ?1")?.execute([day])?;
    // The day that lost some of its hours is counted again from those that are left.
    let mut left: FxHashMap<Key, Counts> = FxHashMap::default();
    {
        let mut hours = connection.prepare_cached(
            "SELECT type, workflow, pending, success, failed, cancelled, max_duration, durations FROM rollup \
             WHERE width = 1 AND start BETWEEN ?1 * 24 AND ?1 * 24 + 23",
        )?;
        let mut rows = hours.query([day])?;
        while let Some(row) = rows.next()? {
            let key = Key { hour: day, event_type: row.get(0)?, workflow: row.get(1)? };
            left.entry(key).or_default().add_row(row, 2)?;
        }
    }
    left.into_iter().try_for_each(|(key, counts)| add(connection, 24, key, counts))
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
fn unpack(bytes: &[u8], histogram: &mut Histogram) {
    for &[b0, b1, c0, c1, c2, c3] in bytes.as_chunks::<6>().0 {
        histogram.add(u16::from_le_bytes([b0, b1]), u64::from(u32::from_le_bytes([c0, c1, c2, c3])));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_time_is_covered_once_by_few_rows_and_two_short_edges(
            start in -90 * HOUR..90 * HOUR,
            length in 0..90 * HOUR,
        ) {
            let cover = cover(start..=start + length);
            let mut parts = cover.edges.clone();
            prop_assert!(parts.len() <= 2 && parts.iter().all(|edge| edge.end() - edge.start() < 2 * HOUR));
            let rows = cover.rows.into_iter().flat_map(|(width, starts)| {
                starts.map(move |start| start * width * HOUR..=(start + 1) * width * HOUR - 1)
            });
            parts.extend(rows);
            prop_assert!(parts.len() <= 2 + 2 * 23 + 4);
            parts.sort_by_key(|part| *part.start());
            prop_assert_eq!(*parts[0].start(), start);
            prop_assert_eq!(*parts[parts.len() - 1].end(), start + length);
            prop_assert!(parts.windows(2).all(|two| two[0].end() + 1 == *two[1].start()));
        }
    }

    #[test]
    fn a_time_without_bounds_is_whole_days() {
        let all = cover(i64::MIN..=i64::MAX);
        assert_eq!(all.edges, []);
        assert!(matches!(&all.rows[..], [(24, days)] if days.contains(&0) && days.contains(&25_000)));
        assert_eq!(cover(0..=i64::MAX).edges, []);
    }
}
