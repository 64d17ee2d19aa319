//! Blocks: for each committed group a sketch of its events, in a few bytes each.
//!
//! A block says three things without reading an event: which events may match a filter, newest first; which spans took
//! longest; and what to add to the counts by the hour.

use rusqlite::{Connection, Result};
use throughline_model::Status;

/// What a block says about one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) run: i64,
    /// Microseconds since the Unix epoch.
    pub(crate) ts: i64,
    /// Microseconds.
    pub(crate) duration: Option<u64>,
    pub(crate) event_type: i64,
    pub(crate) status: Status,
    /// 0 stands for none.
    pub(crate) workflow: i64,
    /// The low 16 bits of the service's number, which rule most events out.
    pub(crate) service: u16,
    /// One of 16 bits for each tag, by [`tag_bit`], which rule most events out.
    pub(crate) tags: u16,
}

/// The bit that stands for a tag with this number.
pub(crate) fn tag_bit(name: i64) -> u16 {
    1 << (name & 15)
}

/// The status as a column has it.
pub(crate) fn status_code(status: Status) -> u8 {
    match status {
        Status::Pending => 0,
        Status::Success => 1,
        Status::Failed => 2,
        Status::Cancelled => 3,
    }
}

/// The status that a column stands for.
pub(crate) fn status_of(code: i64) -> Status {
    match code {
        0 => Status::Pending,
        1 => Status::Success,
        2 => Status::Failed,
        _ => Status::Cancelled,
    }
}

const NO_DURATION: u64 = u64::MAX;
const TYPE_BITS: u32 = 30;

impl Entry {
    /// Bytes an entry takes.
    pub(crate) const SIZE: usize = 36;

    fn write(&self, bytes: &mut Vec<u8>) {
        let kind = (self.event_type as u32 & ((1 << TYPE_BITS) - 1))
            | u32::from(status_code(self.status)) << TYPE_BITS;
        bytes.extend_from_slice(&self.run.to_le_bytes());
        bytes.extend_from_slice(&self.ts.to_le_bytes());
        bytes.extend_from_slice(
            &self.duration.map_or(NO_DURATION, |duration| duration.min(NO_DURATION - 1)).to_le_bytes(),
        );
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&(self.workflow as u32).to_le_bytes());
        bytes.extend_from_slice(&self.service.to_le_bytes());
        bytes.extend_from_slice(&self.tags.to_le_bytes());
    }

    fn read(bytes: &[u8; Self::SIZE]) -> Self {
        let [head @ .., s0, s1, t0, t1] = *bytes;
        let (eights, fours) = (head.as_chunks::<8>().0, head.as_chunks::<4>().0);
        let (kind, workflow) = (u32::from_le_bytes(fours[6]), u32::from_le_bytes(fours[7]));
        let duration = u64::from_le_bytes(eights[2]);
        Self {
            run: i64::from_le_bytes(eights[0]),
            ts: i64::from_le_bytes(eights[1]),
            duration: (duration != NO_DURATION).then_some(duration),
            event_type: i64::from(kind & ((1 << TYPE_BITS) - 1)),
            status: status_of(i64::from(kind >> TYPE_BITS)),
            workflow: i64::from(workflow),
            service: u16::from_le_bytes([s0, s1]),
            tags: u16::from_le_bytes([t0, t1]),
        }
    }
}

/// A block that is being filled.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) entries: Vec<u8>,
    pub(crate) first_ts: i64,
    pub(crate) last_ts: i64,
    pub(crate) max_duration: Option<i64>,
}

impl Default for Block {
    fn default() -> Self {
        Self { entries: Vec::new(), first_ts: i64::MAX, last_ts: i64::MIN, max_duration: None }
    }
}

impl Block {
    /// More events than this are divided into several blocks, so that each covers a short time even in an import.
    pub(crate) const CAPACITY: usize = 512;

    pub(crate) fn push(&mut self, entry: &Entry) {
        entry.write(&mut self.entries);
        self.first_ts = self.first_ts.min(entry.ts);
        self.last_ts = self.last_ts.max(entry.ts);
        let duration = entry.duration.map(|duration| i64::try_from(duration).unwrap_or(i64::MAX));
        self.max_duration = self.max_duration.max(duration);
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len() / Entry::SIZE
    }

    /// Empties the block for the next one, keeping the buffer.
    pub(crate) fn clear(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        entries.clear();
        *self = Self { entries, ..Self::default() };
    }
}

/// The number of the last event; 0 if there has been none.
pub(crate) fn last_event(connection: &Connection) -> Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(max(id) + count - 1, 0) FROM block")?
        .query_row([], |row| row.get(0))
}

/// The run of an entry whose event was [taken out](void): runs are numbered from 1.
const NO_RUN: i64 = 0;

/// The entries of a stored block, each with the number of its event. An incomplete entry at the end is ignored.
pub(crate) fn entries(first: i64, bytes: &[u8]) -> impl DoubleEndedIterator<Item = (i64, Entry)> + '_ {
    let (whole, _) = bytes.as_chunks::<{ Entry::SIZE }>();
    let entries = whole.iter().enumerate().map(move |(at, bytes)| (first + at as i64, Entry::read(bytes)));
    entries.filter(|(_, entry)| entry.run != NO_RUN)
}

/// Takes an entry out of a stored block. Its place stays, for the places are the numbers of events.
pub(crate) fn void(bytes: &mut [u8], at: usize) -> Option<Entry> {
    let bytes = bytes.as_chunks_mut::<{ Entry::SIZE }>().0.get_mut(at)?;
    let entry = Entry::read(bytes);
    bytes.fill(0);
    (entry.run != NO_RUN).then_some(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn entries_survive_packing(
            run in 1..i64::MAX, ts: i64, duration in proptest::option::of(0..u64::MAX - 1),
            event_type in 0_i64..1 << 30, status in 0_i64..4, workflow in 0..i64::from(u32::MAX),
            service: u16, tags: u16, filler in 0_usize..3,
        ) {
            let entry = Entry { run, ts, duration, event_type, status: status_of(status), workflow, service, tags };
            let mut block = Block::default();
            (0..=filler).for_each(|_| block.push(&entry));
            prop_assert_eq!(block.len(), filler + 1);
            let read: Vec<_> = entries(40, &block.entries).collect();
            prop_assert_eq!(read.last(), Some(&(40 + filler as i64, entry)));
        }
    }
}
