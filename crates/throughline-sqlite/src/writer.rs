//! The writer: it turns groups of events into rows, in one transaction each.

use std::borrow::Borrow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Result};
use throughline_model::{OpenError, TraceEvent, TraceId};

use crate::cache::Cache;
use crate::connection::{Opened, Place, STORE_FILE};
use crate::error::open_error;
use crate::log::Log;
use crate::mover::Mover;
use crate::presence::{Gone, Presence};
use crate::turn::{Anew, Turn};

/// A connection that writes, with a cache of what the file holds.
pub(crate) struct Writer {
    connection: Connection,
    presence: Presence,
    log: Log,
    turn: Turn,
    cache: Cache,
    prepared: Prepared,
}

/// The first events of the group that comes next, which were written beforehand in the transaction that is open then.
#[derive(Default)]
struct Prepared {
    events: Vec<Arc<TraceEvent>>,
    new: u64,
}

impl Prepared {
    /// Whether a group begins with these very events.
    fn begins<E: Borrow<TraceEvent>>(&self, group: &[E]) -> bool {
        let is_same = |(mine, theirs): (&Arc<TraceEvent>, &E)| std::ptr::eq(&**mine, theirs.borrow());
        self.events.len() <= group.len() && self.events.iter().zip(group).all(is_same)
    }
}

impl Writer {
    /// Events that are written before another look whether anybody waits: about a millisecond.
    const CHUNK: usize = 256;
    /// How long a transaction of pieces takes at most, about: what begins to wait at its end does not wait for long either.
    const PATIENCE: Duration = Duration::from_millis(10);

    pub(crate) fn new(opened: Opened) -> Self {
        let Opened { connection, presence, busy_timeout } = opened;
        let turn = Turn::new(presence.target(), busy_timeout);
        Self {
            connection,
            presence,
            log: Log::new(busy_timeout),
            turn,
            cache: Cache::default(),
            prepared: Prepared::default(),
        }
    }

    /// Writes a group, all or none; returns how many of its events were new.
    pub(crate) fn append<E: Borrow<TraceEvent>>(&mut self, events: &[E]) -> Result<u64> {
        let Prepared { events: prepared, new } = self.take_prepared(events);
        if prepared.is_empty() {
            self.begin()?;
        }
        let new = new + self.write(&events[prepared.len()..])?;
        self.commit()?;
        Ok(new)
    }

    /// Writes the first events of the group that comes next, and leaves the transaction open. It never
    /// waits: if somebody else writes or is about to, nothing is prepared.
    pub(crate) fn prepare(&mut self, events: &[Arc<TraceEvent>]) -> Result<()> {
        let mut prepared = self.take_prepared(events);
        if prepared.events.is_empty() {
            if events.is_empty() || self.log.is_due() || self.turn.is_wanted() {
                return Ok(());
            }
            if !self.turn.try_begin(&self.connection)? {
                return Ok(());
            }
            let refreshed = self.cache.refresh(&self.connection);
            self.or_abandon(refreshed)?;
        }
        let more = &events[prepared.events.len()..];
        let added = self.cache.add(&self.connection, more);
        prepared.new += self.or_abandon(added)?;
        prepared.events.extend_from_slice(more);
        self.prepared = prepared;
        Ok(())
    }

    /// What is prepared of this group; what is prepared of another one is undone.
    fn take_prepared<E: Borrow<TraceEvent>>(&mut self, group: &[E]) -> Prepared {
        if !self.prepared.begins(group) {
            self.abandon();
        }
        std::mem::take(&mut self.prepared)
    }

    /// Writes many events, and lets others write in between; returns how many were new.
    pub(crate) fn append_in_bulk<E: Borrow<TraceEvent>>(&mut self, events: &[E]) -> Result<u64> {
        let mut new = 0;
        self.begin()?;
        for events in events.chunks(Self::CHUNK) {
            new += self.write(events)?;
            if self.turn.is_wanted() {
                self.commit()?;
                self.give_way()?;
                self.begin()?;
            }
        }
        self.commit()?;
        Ok(new)
    }

    /// Makes other changes in a transaction of their own. The cache must not be about what they change.
    pub(crate) fn transaction<T>(&mut self, change: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        self.begin()?;
        let changed = change(&self.connection);
        let changed = self.or_abandon(changed)?;
        self.commit()?;
        Ok(changed)
    }

    /// Repeats a small piece of work in one transaction, as long as it says that there is more of it, nobody else waits to write,
    /// and it has not taken long; then lets others write. The cache must not be about what it changes.
    pub(crate) fn in_turn(&mut self, mut piece: impl FnMut(&Connection) -> Result<bool>) -> Result<()> {
        self.begin()?;
        let began = Instant::now();
        loop {
            let is_more = piece(&self.connection);
            if !self.or_abandon(is_more)? || self.turn.is_wanted() || began.elapsed() >= Self::PATIENCE {
                break;
            }
        }
        self.commit()?;
        self.give_way()
    }

    /// Lets those write who wait for it. Meanwhile the log is moved into the database, so that they need not do that.
    fn give_way(&mut self) -> Result<()> {
        if self.turn.is_wanted() {
            self.log.move_beside_others(&self.connection, &mut self.turn)?;
            self.turn.give_way();
        }
        Ok(())
    }

    /// Begins a transaction; from now on other writers wait.
    fn begin(&mut self) -> Result<()> {
        if !self.prepared.events.is_empty() {
            self.abandon();
        }
        self.log.keep_short(&self.connection, &mut self.turn)?;
        self.turn.begin(&self.connection)?;
        let refreshed = self.cache.refresh(&self.connection);
        self.or_abandon(refreshed)
    }

    /// Writes events in the current transaction; returns how many were new.
    fn write<E: Borrow<TraceEvent>>(&mut self, events: &[E]) -> Result<u64> {
        let written = self.cache.write(&self.connection, events);
        self.or_abandon(written)
    }

    /// Puts these events in the place of all that there is of a run, all or none; returns how many there are.
    pub(crate) fn replace<E: Borrow<TraceEvent>>(&mut self, run: TraceId, events: &[E]) -> Result<u64> {
        self.begin()?;
        let removed = self.cache.remove(&self.connection, run);
        self.or_abandon(removed)?;
        let new = self.write(events)?;
        self.commit()?;
        Ok(new)
    }

    /// Commits the current transaction.
    fn commit(&mut self) -> Result<()> {
        let committed = self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        self.or_abandon(committed.map(drop))
    }

    /// Whether what was committed is in the file at the path. To be asked after a commit and before anybody is told of it.
    pub(crate) fn confirm(&mut self) -> std::result::Result<(), Gone> {
        let present = self.presence.check();
        if present.is_err() && self.presence.lacks_only_its_log() {
            // What was acknowledged before is in the log, which is still open, and goes into the database as long as nobody has
            // begun another log. If it can't, nothing is worse than before.
            let _ = self.empty_log();
        }
        self.log.bytes = present?;
        Ok(())
    }

    /// Moves the log into the database, as far as nobody reads it, so that the database alone has everything.
    pub(crate) fn empty_log(&mut self) -> Result<()> {
        self.turn.begin_log_anew(&self.connection, Anew::Truncated, Log::LAST_PATIENCE).map(drop)
    }

    #[cfg(test)]
    pub(crate) fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Lets the log be as large as it usually grows, so that the commits to come are synced sooner. Where there is no room for that,
    /// everything works, less quickly.
    pub(crate) fn extend_log(&mut self) -> Result<()> {
        self.begin()?;
        let _ = self.presence.log().map(Log::extend);
        self.connection.execute_batch("ROLLBACK")
    }

    /// Has a thread move the log into the database from now on, so that commits hardly ever have to.
    pub(crate) fn move_log_beside(&mut self, place: &Place) -> std::result::Result<Mover, OpenError> {
        let Opened { connection, presence, .. } = STORE_FILE.open(place)?;
        self.presence.check_same_database(&presence).map_err(Gone::into_open_error)?;
        let fail = |error| open_error(&place.path, error);
        // What is in its way is out of it when it is told the next time.
        connection.busy_timeout(Duration::ZERO).map_err(fail)?;
        Mover::start(&mut self.connection, connection).map_err(fail)
    }

    /// Brings the tables that are folded from blocks up to date.
    pub(crate) fn fold(&mut self) -> Result<()> {
        self.begin()?;
        let folded = self.cache.fold(&self.connection, 0);
        self.or_abandon(folded)?;
        self.commit()
    }

    /// The connection, to read.
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn or_abandon<T>(&mut self, result: Result<T>) -> Result<T> {
        if result.is_err() {
            self.abandon();
        }
        result
    }

    /// Rolls back the current transaction and empties the cache.
    pub(crate) fn abandon(&mut self) {
        if !self.connection.is_autocommit() {
            // If a rollback fails, SQLite has already rolled back.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        self.cache = Cache::default();
        self.prepared = Prepared::default();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use throughline_model::testing::sample_log;

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};
    use crate::error::append_error;

    #[test]
    fn a_full_disk_is_retryable_and_the_group_goes_in_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            path: folder.path().join("traces.db"),
            synchronous: Synchronous::Off,
            busy_timeout: Duration::ZERO,
        };
        let mut writer = Writer::new(STORE_FILE.open(&place).unwrap());
        let limit = |writer: &Writer, pages: i64| {
            writer
                .connection()
                .pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))
                .unwrap()
        };
        // A limit of its own is to SQLite what a full disk is.
        limit(&writer, 60);
        let log = sample_log(1, 200, &[]);
        let mut groups = log.chunks(50);
        let (refused, error) = loop {
            let group = groups.next().unwrap();
            if let Err(error) = writer.append(group) {
                break (group, error);
            }
        };
        let error = append_error(Path::new("traces.db"), error);
        assert!(error.is_retryable() && error.to_string().contains("free some space"), "{error}");
        let count = |writer: &Writer| {
            writer
                .connection()
                .query_row("SELECT count(*) FROM event", [], |row| row.get::<_, i64>(0))
                .unwrap()
        };
        assert_eq!(count(&writer) % 50, 0);
        limit(&writer, 1_000_000);
        assert_eq!(writer.append(refused).unwrap(), refused.len() as u64);
        for group in groups {
            assert_eq!(writer.append(group).unwrap(), group.len() as u64);
        }
        assert_eq!(count(&writer), log.len() as i64);
    }

    #[test]
    fn nothing_is_prepared_while_somebody_else_writes_and_nobody_waits_for_that() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            path: folder.path().join("traces.db"),
            synchronous: Synchronous::Off,
            busy_timeout: Duration::from_secs(60),
        };
        let open = || Writer::new(STORE_FILE.open(&place).unwrap());
        let (mut writer, mut other) = (open(), open());
        let log: Vec<_> = sample_log(1, 40, &[]).into_iter().take(40).map(Arc::new).collect();
        writer.prepare(&log[..10]).unwrap();
        let began = Instant::now();
        other.prepare(&log[10..20]).unwrap();
        assert!(began.elapsed() < Duration::from_secs(30) && other.prepared.events.is_empty());
        writer.append(&log[..10]).unwrap();
        assert_eq!(other.append(&log[10..20]).unwrap(), 10);
    }

    #[test]
    fn what_is_prepared_keeps_others_out_until_it_is_undone() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place {
            path: folder.path().join("traces.db"),
            synchronous: Synchronous::Off,
            busy_timeout: Duration::ZERO,
        };
        let open = || Writer::new(STORE_FILE.open(&place).unwrap());
        let (mut writer, mut other) = (open(), open());
        let log: Vec<_> = sample_log(1, 40, &[]).into_iter().take(40).map(Arc::new).collect();
        writer.prepare(&log[..10]).unwrap();
        let error = append_error(Path::new("traces.db"), other.append(&log[30..]).unwrap_err());
        assert!(error.is_retryable(), "{error}");
        writer.prepare(&[]).unwrap();
        assert_eq!(other.append(&log[30..]).unwrap(), 10);
        // What the other one has written counts as there, prepared or not.
        writer.prepare(&log[20..35]).unwrap();
        assert_eq!(writer.append(&log[20..]).unwrap(), 10);
    }
}
