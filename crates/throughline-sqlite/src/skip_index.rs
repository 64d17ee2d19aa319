//! The skip index: what occurs among a thousand events at a time, so that those who look for something rare pass by all others
//! without reading them.
//!
//! A row of it holds a hash for each type, status and tag of its events, and for each attribute that became known of a run there.
//! The writer collects them while it writes; rows are written when events are folded. A writer that has not written all of
//! the events itself reads the others again. What no row covers may be anything, so an answer never depends on a row being there.

use rusqlite::{Connection, Result, params};
use rustc_hash::FxHashSet;
use throughline_model::{Attrs, Status, Text};

use crate::block::{Entry, status_code, status_of};

/// How many events a row covers at most.
const EVENTS: i64 = 1024;

/// The hash of something that occurs. It is part of the file's format: FNV-1a of 64 bits
/// (<https://www.rfc-editor.org/info/rfc9923>), both halves taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Mark(u32);

impl Mark {
    fn of(parts: &[&[u8]]) -> Self {
        const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0100_0000_01b3;
        let lengths_and_bytes = parts.iter().flat_map(|part| {
            let length = (part.len() as u64).to_le_bytes();
            length.into_iter().chain(part.iter().copied())
        });
        let add = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        let hash = lengths_and_bytes.fold(BASIS, add);
        Self((hash ^ (hash >> 32)) as u32)
    }

    /// An event of a type, by the number of its name.
    pub(crate) fn event_type(name: i64) -> Self {
        Self::of(&[b"type", &name.to_le_bytes()])
    }

    /// An event with a status.
    pub(crate) fn status(status: Status) -> Self {
        Self::of(&[b"status", &[status_code(status)]])
    }

    /// An event of a type with a status.
    pub(crate) fn kind(name: i64, status: Status) -> Self {
        Self::of(&[b"kind", &name.to_le_bytes(), &[status_code(status)]])
    }

    /// An event with a tag.
    pub(crate) fn tag(tag: &str) -> Self {
        Self::of(&[b"tag", tag.as_bytes()])
    }

    /// An attribute of a run.
    pub(crate) fn attr(key: &str, value: &str) -> Self {
        Self::of(&[b"attr", key.as_bytes(), value.as_bytes()])
    }
}

/// What occurs among events that follow one another.
#[derive(Debug)]
struct Chunk {
    first: i64,
    last: i64,
    last_ts: i64,
    kinds: FxHashSet<(i64, u8)>,
    marks: FxHashSet<Mark>,
}

impl Chunk {
    fn begin(event: i64) -> Self {
        Self {
            first: event,
            last: event - 1,
            last_ts: i64::MIN,
            kinds: FxHashSet::default(),
            marks: FxHashSet::default(),
        }
    }

    fn is_full(&self) -> bool {
        self.last - self.first + 1 >= EVENTS
    }

    fn write(&self, connection: &Connection) -> Result<()> {
        let mut marks: Vec<Mark> = self.marks.iter().copied().collect();
        for &(name, status) in &self.kinds {
            let status = status_of(status.into());
            marks.extend([Mark::event_type(name), Mark::status(status), Mark::kind(name, status)]);
        }
        marks.sort_unstable();
        marks.dedup();
        let hashes: Vec<u8> = marks.iter().flat_map(|mark| mark.0.to_le_bytes()).collect();
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO skip_index (first, last, last_ts, hashes) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![self.first, self.last, self.last_ts, hashes])
            .map(drop)
    }
}

/// What occurs among the events that are not in the table yet, as far as this writer wrote them.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    /// One after the other.
    chunks: Vec<Chunk>,
}

impl Unwritten {
    /// Adds an event, and what is said of it to be added then.
    pub(crate) fn push(&mut self, event: i64, entry: &Entry, tags: &[Text]) {
        if self.chunks.last().is_some_and(|chunk| chunk.last + 1 != event) {
            self.chunks.clear();
        }
        if self.chunks.last().is_none_or(Chunk::is_full) {
            self.chunks.push(Chunk::begin(event));
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.last = event;
            chunk.last_ts = chunk.last_ts.max(entry.ts);
            chunk.kinds.insert((entry.event_type, status_code(entry.status)));
            chunk.marks.extend(tags.iter().map(|tag| Mark::tag(tag)));
        }
    }

    /// Adds an attribute that became known with the event that was pushed last.
    pub(crate) fn push_attr(&mut self, key: &str, value: &str) {
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.marks.insert(Mark::attr(key, value));
        }
    }

    /// Writes rows for all events after the last row, up to this one. Of a file that an earlier release has written, those that are
    /// far back are left.
    pub(crate) fn write(&mut self, connection: &Connection, last: i64) -> Result<()> {
        let mut next = (covered(connection)? + 1).max(last.saturating_sub(MOST_UNCOVERED) + 1);
        let mut own = std::mem::take(&mut self.chunks);
        if own.last().is_none_or(|chunk| chunk.last != last) {
            own.clear();
        }
        // Somebody else may have written a row that ends among them.
        own.retain(|chunk| chunk.first >= next);
        let others = own.first().map_or(last, |chunk| chunk.first - 1);
        while next <= others {
            let chunk = read(connection, next, (next + EVENTS - 1).min(others))?;
            next = chunk.last + 1;
            chunk.write(connection)?;
        }
        own.iter().try_for_each(|chunk| chunk.write(connection))
    }
}

/// The last event that a row covers.
pub(crate) fn covered(connection: &Connection) -> Result<i64> {
    connection
        .prepare_cached("SELECT coalesce((SELECT last FROM skip_index ORDER BY first DESC LIMIT 1), 0)")?
        .query_row([], |row| row.get(0))
}

/// Removes the rows before the first block.
pub(crate) fn forget_removed(connection: &Connection) -> Result<()> {
    let mut forget =
        connection.prepare_cached("DELETE FROM skip_index WHERE last < (SELECT min(id) FROM block)")?;
    forget.execute([]).map(drop)
}

/// What occurs among these events, from their rows.
fn read(connection: &Connection, first: i64, last: i64) -> Result<Chunk> {
    let mut chunk = Chunk::begin(first);
    chunk.last = last;
    let mut events = connection.prepare_cached(
        "SELECT e.ts, e.type, e.status, e.tags, e.run, e.attrs = 1, CASE WHEN e.attrs = 1 THEN r.attrs ELSE e.attrs END \
         FROM event e LEFT JOIN run r ON r.id = e.run WHERE e.id BETWEEN ?1 AND ?2",
    )?;
    let mut rows = events.query([first, last])?;
    let mut runs = FxHashSet::default();
    while let Some(row) = rows.next()? {
        chunk.last_ts = chunk.last_ts.max(row.get(0)?);
        let status: i64 = row.get(2)?;
        chunk.kinds.insert((row.get(1)?, status_code(status_of(status))));
        if let Some(tags) = row.get_ref(3)?.as_str_or_null()?
            && let Ok(tags) = serde_json::from_str::<Vec<Text>>(tags)
        {
            chunk.marks.extend(tags.iter().map(|tag| Mark::tag(tag)));
        }
        let is_of_run: Option<bool> = row.get(5)?;
        let is_news = is_of_run != Some(true) || runs.insert(row.get::<_, i64>(4)?);
        if is_news
            && let Some(attrs) = row.get_ref(6)?.as_str_or_null()?
            && let Ok(attrs) = serde_json::from_str::<Attrs>(attrs)
        {
            chunk.marks.extend(attrs.iter().map(|(key, value)| Mark::attr(key, value)));
        }
    }
    Ok(chunk)
}

/// What all must occur among the same events: of each of these sets one at least.
#[derive(Debug, Clone, Default)]
pub(crate) struct Requirement {
    any_of: Vec<Vec<Mark>>,
}

impl Requirement {
    /// An attribute of a run.
    pub(crate) fn attr(key: &str, value: &str) -> Self {
        Self { any_of: vec![vec![Mark::attr(key, value)]] }
    }

    /// One of these, as well.
    pub(crate) fn and_any_of(&mut self, marks: impl IntoIterator<Item = Mark>) {
        self.any_of.push(marks.into_iter().collect());
    }

    fn is_met_by(&self, hashes: &[u8]) -> bool {
        let (hashes, _) = hashes.as_chunks::<4>();
        let has =
            |mark: &Mark| hashes.binary_search_by_key(&mark.0, |hash| u32::from_le_bytes(*hash)).is_ok();
        self.any_of.iter().all(|marks| marks.iter().any(has))
    }
}

/// Events among which something may occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: i64,
    pub(crate) last: i64,
    /// No event of them is later.
    pub(crate) last_ts: i64,
}

/// The ranges in which a requirement may be met, those of the latest events first; `None` if it is met so often that they help
/// nobody.
pub(crate) fn ranges(connection: &Connection, requirement: &Requirement) -> Result<Option<Vec<Range>>> {
    // From the last event back, for what is frequent is so at the end as well, mostly.
    let mut rows_of = connection
        .prepare_cached("SELECT first, last, last_ts, hashes FROM skip_index ORDER BY first DESC")?;
    let mut rows = rows_of.query([])?;
    let (mut ranges, mut seen, mut met) = (Vec::new(), 0_usize, 0_usize);
    let mut after = i64::MAX;
    while let Some(row) = rows.next()? {
        let range = Range { first: row.get(0)?, last: row.get(1)?, last_ts: row.get(2)? };
        if range.last + 1 < after {
            met += uncovered(connection, range.last + 1, after - 1, &mut ranges)?;
        }
        after = range.first;
        seen += 1;
        if requirement.is_met_by(row.get_ref(3)?.as_blob()?) {
            met += 1;
            ranges.push(range);
        }
        if met >= FREQUENT && met * 4 >= seen {
            return Ok(None);
        }
    }
    met += uncovered(connection, i64::MIN, after - 1, &mut ranges)?;
    if met >= FREQUENT && met * 4 >= seen {
        return Ok(None);
    }
    ranges.sort_unstable_by_key(|range| std::cmp::Reverse(range.last_ts));
    Ok(Some(ranges))
}

/// In so many rows a requirement is met before it counts as frequent.
const FREQUENT: usize = 64;

/// Adds the blocks with events that no row covers, in ranges of a few; answers how many rows would cover them.
fn uncovered(connection: &Connection, first: i64, last: i64, ranges: &mut Vec<Range>) -> Result<usize> {
    let mut blocks = connection.prepare_cached(
        "SELECT id, CASE count WHEN 0 THEN ?2 ELSE id + count - 1 END, last_ts, count FROM block \
         WHERE id BETWEEN coalesce((SELECT max(id) FROM block WHERE id <= ?1), ?1) AND ?2 ORDER BY id",
    )?;
    let mut rows = blocks.query([first, last])?;
    let (mut events, mut in_range) = (0, 0);
    while let Some(row) = rows.next()? {
        let block = Range { first: row.get(0)?, last: row.get(1)?, last_ts: row.get(2)? };
        if block.last < first {
            continue;
        }
        match ranges.last_mut() {
            Some(range) if in_range % BLOCKS != 0 => {
                (range.last, range.last_ts) = (block.last, range.last_ts.max(block.last_ts));
            }
            _ => ranges.push(block),
        }
        in_range += 1;
        events += row.get::<_, i64>(3)?;
        if events > MOST_UNCOVERED {
            return Ok(usize::MAX / 8);
        }
    }
    Ok(usize::try_from(events / EVENTS).unwrap_or(0))
}

/// How many blocks that no row covers are a range.
const BLOCKS: usize = 8;
/// Where no row covers more events than this there is nothing to be gained.
const MOST_UNCOVERED: i64 = 65_536;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use throughline_model::TraceEvent;
    use throughline_model::testing::sample_log;

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};
    use crate::writer::Writer;

    fn place(folder: &tempfile::TempDir) -> Place {
        let path = folder.path().join("x.db");
        Place { path, synchronous: Synchronous::Off, busy_timeout: Duration::from_secs(5) }
    }

    fn writer(place: &Place) -> Writer {
        Writer::new(STORE_FILE.open(place).unwrap())
    }

    fn of_tag(tag: &str) -> Requirement {
        let mut required = Requirement::default();
        required.and_any_of([Mark::tag(tag)]);
        required
    }

    /// Events with a tag and an attribute each that no other has.
    fn marked(events: usize) -> Vec<TraceEvent> {
        let mut log = sample_log(3, events / 8, &[]);
        log.truncate(events);
        for (number, event) in log.iter_mut().enumerate() {
            event.tags.push(format!("tag-{number}").into());
            event.attrs = std::mem::take(&mut event.attrs).with("number", number.to_string());
        }
        log
    }

    /// Whether all that is marked is found in ranges that hold its event, in a file in which the events have these numbers.
    fn are_found(connection: &Connection, log: &[TraceEvent]) {
        let mut places = connection
            .prepare("SELECT e.id FROM event e JOIN run r ON r.id = e.run WHERE r.trace_id = ?1 AND e.span = ?2 AND e.seq = ?3")
            .unwrap();
        for (number, event) in log.iter().enumerate() {
            let identity = params![event.trace_id.to_bytes(), event.span_id.to_u64() as i64, event.seq];
            let id: i64 = places.query_row(identity, |row| row.get(0)).unwrap();
            for required in
                [of_tag(&format!("tag-{number}")), Requirement::attr("number", &number.to_string())]
            {
                let found = ranges(connection, &required).unwrap().unwrap();
                let covers = |range: &Range| {
                    (range.first..=range.last).contains(&id) && range.last_ts >= event.timestamp.as_micros()
                };
                assert!(found.iter().any(covers), "{number}: {id} is not in {found:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn nothing_is_missed_whoever_wrote_it_in_groups_of_any_size(
            groups in proptest::collection::vec((0_usize..3, prop_oneof![1_usize..4, 100_usize..900]), 8..24),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let place = place(&folder);
            let mut writers = [writer(&place), writer(&place)];
            let log = marked(5_000);
            let mut rest = &log[..];
            for (who, size) in groups {
                let (group, after) = rest.split_at(size.min(rest.len()));
                rest = after;
                match writers.get_mut(who) {
                    Some(writer) => drop(writer.append(group).unwrap()),
                    None => {
                        writers[0].abandon();
                        writers[0].append(group).unwrap();
                    }
                }
            }
            writers[0].append(rest).unwrap();
            are_found(writers[1].connection(), &log);
            writers[0].fold().unwrap();
            are_found(writers[1].connection(), &log);
        }
    }

    #[test]
    fn a_hash_is_the_same_in_every_release() {
        let marks = [Mark::event_type(7), Mark::tag("audit"), Mark::attr("tenant", "globex")];
        assert_eq!(marks.map(|mark| mark.0), [0x75df_4957, 0xea65_6b18, 0xca26_c3c5]);
        assert_ne!(Mark::attr("a", "bc"), Mark::attr("ab", "c"));
    }

    #[test]
    fn what_is_rare_is_in_few_ranges_and_what_is_frequent_in_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&place(&folder));
        let mut log = sample_log(5, 10_000, &[]);
        log.truncate(70_000);
        for (number, event) in log.iter_mut().enumerate() {
            event.tags = vec!["all".into()];
            event.tags.extend((number % 20_000 == 7).then(|| Text::literal("few")));
        }
        writer.append_in_bulk(&log).unwrap();
        writer.fold().unwrap();
        let found = |required| ranges(writer.connection(), &required).unwrap().map(|ranges| ranges.len());
        assert_eq!(found(of_tag("all")), None);
        assert_eq!(found(of_tag("few")), Some(4));
        assert_eq!(found(of_tag("none")), Some(0));
        let of_both = Requirement { any_of: vec![vec![Mark::tag("few")], vec![Mark::tag("none")]] };
        assert_eq!(found(of_both), Some(0));
        let bytes: i64 = writer
            .connection()
            .query_row("SELECT sum(length(hashes)) FROM skip_index", [], |row| row.get(0))
            .unwrap();
        assert!(bytes < 4 * log.len() as i64, "{bytes} bytes for {} events", log.len());
    }

    #[test]
    fn a_file_of_an_earlier_release_is_not_read_at_once_and_everything_in_it_may_be_anywhere() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = writer(&place(&folder));
        let log = sample_log(5, 10_000, &[]);
        writer.append_in_bulk(&log[..70_000]).unwrap();
        writer.connection().execute_batch("DELETE FROM skip_index").unwrap();
        assert_eq!(ranges(writer.connection(), &of_tag("none")).unwrap(), None);
        writer.append_in_bulk(&log[70_000..71_000]).unwrap();
        writer.fold().unwrap();
        let rows: i64 =
            writer.connection().query_row("SELECT count(*) FROM skip_index", [], |row| row.get(0)).unwrap();
        assert!((64..70).contains(&rows), "{rows}");
    }
}
