//! Blocks: for each committed group a sketch of its events, in a few bytes each.
//!
//! A block says three things without reading an event: which events may match a filter, newest first; which spans took
//! longest; and what to add to the counts by the hour.
//!
//! A block of one event takes as many pages of the log as one of many. So the last one is *open* until there are enough for it:
//! a row without entries whose bounds rule nothing out. What it would say is [read from its events](stored).

use std::borrow::Cow;

use rusqlite::{Connection, OptionalExtension, Result, params};
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
    /// With fewer events than this a block stays open. Readers look at the events of an open one each time.
    pub(crate) const WORTHWHILE: usize = 64;

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

/// The bounds of an open block: all moments from minus to plus this, and any duration.
const ANY: i64 = 1 << 61;

/// Adds an open block that begins with this event.
pub(crate) fn open(connection: &Connection, first: i64, last_run: i64) -> Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO block (id, count, runs, first_ts, last_ts, max_duration, entries) \
         VALUES (?1, 0, ?2, -?3, ?3, ?3, x'')",
    )?;
    insert.execute(params![first, last_run, ANY]).map(drop)
}

/// Writes a block that begins with this event, in the place of the open one if that is the same.
pub(crate) fn write(connection: &Connection, first: i64, last_run: i64, block: &Block) -> Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO block (id, count, runs, first_ts, last_ts, max_duration, entries) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO UPDATE SET count = ?2, runs = ?3, \
         first_ts = ?4, last_ts = ?5, max_duration = ?6, entries = ?7",
    )?;
    let count = block.len() as i64;
    let Block { entries, first_ts, last_ts, max_duration } = block;
    insert.execute(params![first, count, last_run, first_ts, last_ts, max_duration, entries]).map(drop)
}

/// The first event of the open block, if there is one.
pub(crate) fn first_of_open(connection: &Connection) -> Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM block WHERE id = (SELECT max(id) FROM block) AND count = 0")?
        .query_row([], |row| row.get(0))
        .optional()
}

/// Writes the open block, if there is one. To be called before events or runs are removed: numbers are never given again, and
/// the last block says which were.
pub(crate) fn close(connection: &Connection) -> Result<()> {
    let Some(first) = first_of_open(connection)? else { return Ok(()) };
    let mut block = Block::default();
    block.add_events(connection, first)?;
    write(connection, first, last_run(connection)?, &block)
}

/// The entries of a block as they are stored, or those of the open one.
pub(crate) fn stored<'b>(connection: &Connection, first: i64, bytes: &'b [u8]) -> Result<Cow<'b, [u8]>> {
    if !bytes.is_empty() {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut block = Block::default();
    block.add_events(connection, first)?;
    Ok(Cow::Owned(block.entries))
}

impl Block {
    /// Adds the events from this one on, all of which are of the open block.
    pub(crate) fn add_events(&mut self, connection: &Connection, first: i64) -> Result<()> {
        let mut events = connection.prepare_cached(
            "SELECT run, ts, duration, type, status, workflow, service, tags IS NOT NULL FROM event \
             WHERE id >= ?1 ORDER BY id",
        )?;
        let mut rows = events.query([first])?;
        while let Some(row) = rows.next()? {
            self.push(&Entry {
                run: row.get(0)?,
                ts: row.get(1)?,
                duration: row.get::<_, Option<i64>>(2)?.map(|micros| micros as u64),
                event_type: row.get(3)?,
                status: status_of(row.get(4)?),
                workflow: row.get::<_, Option<i64>>(5)?.unwrap_or(0),
                service: row.get::<_, i64>(6)? as u16,
                // Any tags: the events themselves are asked which.
                tags: if row.get(7)? { u16::MAX } else { 0 },
            });
        }
        Ok(())
    }
}

/// The number of the last event; 0 if there has been none.
pub(crate) fn last_event(connection: &Connection) -> Result<i64> {
    connection
        .prepare_cached(
            "SELECT max((SELECT coalesce(max(id) + count - 1, 0) FROM block), \
             (SELECT coalesce(max(id), 0) FROM event))",
        )?
        .query_row([], |row| row.get(0))
}

/// The greatest number that a run has had; 0 if there has been none.
pub(crate) fn last_run(connection: &Connection) -> Result<i64> {
    connection
        .prepare_cached(
            "SELECT max(coalesce((SELECT runs FROM block ORDER BY id DESC LIMIT 1), 0), \
             (SELECT coalesce(max(id), 0) FROM run))",
        )?
        .query_row([], |row| row.get(0))
}

/// The moment of the latest event that the file has or had.
pub(crate) fn last_moment(connection: &Connection) -> Result<Option<i64>> {
    let mut last = connection.prepare_cached(
        "SELECT max(ts) FROM (SELECT max(last_ts) AS ts FROM block WHERE count > 0 UNION ALL \
         SELECT max(ts) FROM event WHERE id >= (SELECT max(id) FROM block WHERE count = 0))",
    )?;
    last.query_row([], |row| row.get(0))
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
    use std::time::Duration;

    use proptest::prelude::*;
    use throughline_model::testing::{run, sample_log};

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};
    use crate::prune::{PrunePolicy, prune};
    use crate::writer::Writer;

    fn place(folder: &tempfile::TempDir) -> Place {
        let path = folder.path().join("x.db");
        Place { path, synchronous: Synchronous::Off, busy_timeout: Duration::from_secs(5) }
    }

    fn writer(place: &Place) -> Writer {
        Writer::new(STORE_FILE.open(place).unwrap())
    }

    /// All entries of all blocks, each with the number of its event, and without its tags.
    fn all_entries(connection: &Connection) -> Vec<(i64, Entry)> {
        let mut blocks = connection.prepare("SELECT id, entries FROM block ORDER BY id").unwrap();
        let mut rows = blocks.query([]).unwrap();
        let mut all = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            let first = row.get(0).unwrap();
            let stored = stored(connection, first, row.get_ref(1).unwrap().as_blob().unwrap()).unwrap();
            all.extend(entries(first, &stored).map(|(event, entry)| (event, Entry { tags: 0, ..entry })));
        }
        all
    }

    fn entries_of_events(connection: &Connection) -> Vec<(i64, Entry)> {
        let mut block = Block::default();
        block.add_events(connection, 1).unwrap();
        entries(1, &block.entries).map(|(event, entry)| (event, Entry { tags: 0, ..entry })).collect()
    }

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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn blocks_say_what_the_events_are_whoever_wrote_them_in_groups_of_any_size(
            groups in proptest::collection::vec((0_usize..3, prop_oneof![1_usize..4, 1_usize..150]), 1..40),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let place = place(&folder);
            let mut writers = [writer(&place), writer(&place)];
            let log = sample_log(3, 400, &[]);
            let mut rest = &log[..];
            for (who, size) in groups {
                let (group, after) = rest.split_at(size.min(rest.len()));
                rest = after;
                // A third of them after an error, which makes a writer forget what it knows.
                match writers.get_mut(who) {
                    Some(writer) => drop(writer.append(group).unwrap()),
                    None => {
                        writers[0].abandon();
                        writers[0].append(group).unwrap();
                    }
                }
                let connection = writers[1].connection();
                let of_blocks = all_entries(connection);
                prop_assert_eq!(&of_blocks, &entries_of_events(connection));
                prop_assert!(of_blocks.iter().map(|(event, _)| *event).eq(1..=last_event(connection).unwrap()));
                let open = first_of_open(connection).unwrap();
                let few = open.map_or(0, |first| last_event(connection).unwrap() - first + 1);
                prop_assert!(few < Block::WORTHWHILE as i64, "{} events are in no whole block", few);
            }
        }
    }

    #[test]
    fn an_event_that_is_committed_alone_takes_two_pages() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&place(&folder));
        let mut loan = run("loan");
        loan.root();
        for _ in 0..60 {
            loan.point("business:approved");
        }
        let events = loan.events();
        let (first, rest) = events.split_at(2);
        writer.append(first).unwrap();
        let mut pages = Vec::new();
        for event in rest.chunks(1) {
            writer.connection().query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
            writer.append(event).unwrap();
            let in_log = |row: &rusqlite::Row<'_>| row.get::<_, i64>(1);
            pages.push(writer.connection().query_row("PRAGMA wal_checkpoint(PASSIVE)", [], in_log).unwrap());
        }
        // More where a page is full.
        let two = pages.iter().filter(|pages| **pages == 2).count();
        assert!(two > 9 * pages.len() / 10, "{pages:?}");
    }

    #[test]
    fn numbers_are_not_given_again_when_the_events_of_an_open_block_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(&folder);
        let mut writer = writer(&place);
        let ended = |key: &str| {
            let mut loan = run("loan").key(key);
            loan.root();
            loan.complete_run();
            loan.events()
        };
        for (at, key) in ["one", "two", "three"].into_iter().enumerate() {
            for event in ended(key).chunks(1) {
                writer.append(event).unwrap();
            }
            let numbers = "SELECT max(id), max(run) FROM event";
            let given = writer.connection().query_row(numbers, [], |row| Ok((row.get(0)?, row.get(1)?)));
            assert_eq!(given.unwrap(), (2 * (at as i64 + 1), at as i64 + 1), "{key}");
            if at == 0 {
                let everything = PrunePolicy::default().age(Duration::ZERO);
                assert_eq!(prune(&place, &everything).unwrap().events, 2);
            } else {
                let removed: Vec<throughline_model::TraceEvent> = Vec::new();
                writer.replace(ended(key)[0].trace_id, &removed).unwrap();
                writer.fold().unwrap();
                let left = all_entries(writer.connection()).into_iter().filter(|(_, entry)| entry.run != 1);
                assert_eq!(left.count(), 0, "{key}");
            }
            assert_eq!(entries_of_events(writer.connection()), []);
        }
    }
}
