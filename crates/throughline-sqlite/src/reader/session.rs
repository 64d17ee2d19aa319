//! A connection that reads.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use throughline_model::{InstanceId, Liveness, OpenError, Process, ReadError, Secret, TraceEvent, TraceId};

use super::large;
use super::rows::{Cache, RunRows, run_of};
use crate::connection::STORE_FILE;
use crate::error::Fault;
use crate::lease;
use crate::paths::resolved;
use crate::presence::{Gone, Presence};

/// The file that a reader was opened for. Whatever is at its path later, its sessions read this file or nothing.
#[derive(Clone)]
pub(super) struct Source {
    named: PathBuf,
    /// The path by which the files beside the database are found.
    pub(super) path: PathBuf,
    pub(super) presence: Presence,
}

impl Source {
    pub(super) fn open(path: &Path) -> Result<(Self, Session), OpenError> {
        let (connection, presence) = STORE_FILE.open_read_only(path)?;
        let named = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let source = Self { named, path: resolved(path), presence };
        let session = Session::new(connection, source.clone());
        Ok((source, session))
    }

    /// Another session of the same file.
    pub(super) fn session(&self) -> Result<Session, OpenError> {
        let (connection, presence) = STORE_FILE.open_read_only(&self.named)?;
        self.presence.check_same_database(&presence).map_err(Gone::into_open_error)?;
        Ok(Session::new(connection, Self { presence, ..self.clone() }))
    }

    /// The same for a question that was asked already.
    pub(super) fn session_to_ask(&self) -> Result<Session, ReadError> {
        self.session()
            .map_err(|error| ReadError::Unavailable { reason: error.to_string(), source: Some(error.into()) })
    }
}

/// A connection of one thread, with a cache of what never changes once it is there: names and instances.
pub(crate) struct Session {
    connection: Connection,
    source: Source,
    /// When all files were last looked at.
    looked: Option<Instant>,
    cache: Cache,
}

impl Session {
    /// How soon all files are looked at again.
    const LOOK_AGAIN: Duration = Duration::from_millis(1);

    fn new(connection: Connection, source: Source) -> Self {
        let cache = Cache::new(source.path.clone());
        Self { connection, source, looked: None, cache }
    }

    /// The file that is read.
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Fails at once where it would wait for a lock otherwise.
    pub(super) fn never_waits(&mut self) {
        // SQLite answers with an error only if the connection is closed.
        let _ = self.connection.busy_timeout(Duration::ZERO);
    }

    /// Answers a question, if the file that was asked is the one at the path.
    pub(super) fn answer<T>(
        &mut self,
        question: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let answer = question(self);
        // A short answer takes not much longer than a look at all files, so that many in a row share one: they are true of the
        // database as long as that is where it was.
        let present = match self.looked.is_some_and(|looked| looked.elapsed() < Self::LOOK_AGAIN) {
            true => self.source.presence.check_database(),
            false => self.source.presence.check().map(|_| self.looked = Some(Instant::now())),
        };
        // Also the better answer to why something failed.
        present.map_err(Gone::into_read_error)?;
        answer
    }

    /// One state of the file, and the cache beside it. There is no other way to the connection: an answer that takes several
    /// statements must not be put together from several states.
    pub(super) fn snapshot(&mut self) -> Result<(Snapshot<'_>, &mut Cache), Fault> {
        Ok((Snapshot::begin(&self.connection)?, &mut self.cache))
    }

    /// A number that is another one after somebody else has written to the file.
    pub(super) fn version(&self) -> Result<i64, Fault> {
        Ok(self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
    }

    /// Sees this state of the file from now on, of which this is the [version](Self::version), until the session is dropped.
    pub(super) fn keep_state(&self) -> Result<i64, Fault> {
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        self.version()
    }

    /// The state that is [kept](Self::keep_state), and the cache beside it.
    pub(super) fn kept(&mut self) -> (&Connection, &mut Cache) {
        (&self.connection, &mut self.cache)
    }

    pub(super) fn liveness(&mut self, instances: &[InstanceId]) -> Result<Vec<Liveness>, Fault> {
        let (snapshot, cache) = self.snapshot()?;
        let of = |instance: &InstanceId| Ok(lease::liveness(&snapshot, cache.path(), *instance)?);
        instances.iter().map(of).collect()
    }

    pub(super) fn processes(&mut self, instances: &[InstanceId]) -> Result<Vec<Option<Process>>, Fault> {
        let (snapshot, cache) = self.snapshot()?;
        let of = |instance: &InstanceId| Ok(lease::process(&snapshot, cache.path(), *instance)?);
        instances.iter().map(of).collect()
    }

    pub(super) fn secret(&mut self) -> Result<Secret, Fault> {
        let (snapshot, _) = self.snapshot()?;
        let bytes: Vec<u8> =
            snapshot.prepare_cached("SELECT bytes FROM secret")?.query_row([], |row| row.get(0))?;
        Ok(Secret::new(bytes))
    }

    pub(super) fn trace(&mut self, id: TraceId) -> Result<Vec<TraceEvent>, Fault> {
        {
            let (snapshot, cache) = self.snapshot()?;
            let Some((run, shared)) = run_of(&snapshot, id)? else { return Ok(Vec::new()) };
            if !large::is_large(&snapshot, run)? {
                return cache.events_of(&RunRows::all(&snapshot, run, &shared));
            }
        }
        large::events_of(self, id)
    }

    /// The events of a run; `None` if they could not all be read before the deadline.
    pub(super) fn trace_before(
        &mut self,
        id: TraceId,
        deadline: Instant,
    ) -> Result<Option<Vec<TraceEvent>>, Fault> {
        let (snapshot, cache) = self.snapshot()?;
        let Some((run, shared)) = run_of(&snapshot, id)? else { return Ok(Some(Vec::new())) };
        cache.events_while(&RunRows::all(&snapshot, run, &shared), || Instant::now() < deadline)
    }
}

/// A read transaction: a connection that sees one state of the file until this is dropped.
pub(super) struct Snapshot<'a>(&'a Connection);

impl<'a> Snapshot<'a> {
    fn begin(connection: &'a Connection) -> rusqlite::Result<Self> {
        // Prepared once: a short answer takes not much longer than preparing these two statements does.
        connection.prepare_cached("BEGIN")?.execute([])?;
        Ok(Self(connection))
    }
}

impl std::ops::Deref for Snapshot<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0
    }
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // Nothing was written. If it fails, SQLite has ended the transaction itself.
        let _ = self.0.prepare_cached("ROLLBACK").and_then(|mut rollback| rollback.execute([]));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use throughline_model::{SpanId, Status, Timestamp};

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};
    use crate::reader::runs;
    use crate::writer::Writer;

    const RUN: &str = "loan-42";

    /// The events of a run in the order of their arrival. The second comes before the first in time, so that it changes which
    /// correlation id the run has, and with it what the third, which has the same one, refers to.
    fn event(number: u64) -> TraceEvent {
        let span = SpanId::from_u64(number + 1).unwrap();
        let moment = Timestamp::from_micros(1_000_000 - number as i64);
        let mut event = TraceEvent::new(TraceId::from_key(RUN), span, "stage:score", moment, "loan-service");
        event.status = Status::Failed;
        event.correlation_id = Some(format!("key-{}", number.min(1)).into());
        event
    }

    /// Asks a question once for each instruction that SQLite executes for it, and has another connection write at that one.
    fn ask_while_the_run_changes<T>(question: impl Fn(&mut Session) -> Result<T, Fault>, check: impl Fn(T)) {
        for instruction in 1.. {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.db");
            let place =
                Place { path: path.clone(), synchronous: Synchronous::Off, busy_timeout: Duration::ZERO };
            let mut writer = Writer::new(STORE_FILE.open(&place).unwrap());
            writer.append(&[event(0)]).unwrap();
            let (_, mut session) = Source::open(&path).unwrap();
            let left = Arc::new(AtomicI64::new(instruction));
            let countdown = Arc::clone(&left);
            let write = move || {
                if countdown.fetch_sub(1, Ordering::Relaxed) == 1 {
                    writer.append(&[event(1)]).unwrap();
                    writer.append(&[event(2)]).unwrap();
                }
                false
            };
            session.connection.progress_handler(1, Some(write)).unwrap();
            check(question(&mut session).unwrap());
            if left.load(Ordering::Relaxed) > 0 {
                assert!(instruction > 20, "{instruction} instructions are too few for any question");
                break;
            }
        }
    }

    #[test]
    fn a_run_that_changes_while_it_is_read_has_each_event_as_it_was_written() {
        let check = |events: Vec<TraceEvent>| {
            assert!(!events.is_empty());
            events.into_iter().for_each(|read| assert_eq!(read, event(read.span_id.to_u64() - 1)));
        };
        ask_while_the_run_changes(|session| session.trace(TraceId::from_key(RUN)), check);
        ask_while_the_run_changes(|session| large::events_of(session, TraceId::from_key(RUN)), check);
    }

    #[test]
    fn the_summary_of_a_run_is_of_one_state_of_the_file() {
        ask_while_the_run_changes(
            |session| runs::one(session, TraceId::from_key(RUN)),
            |summary| {
                let summary = summary.unwrap();
                let first = event(u64::from(summary.started < event(0).timestamp));
                assert_eq!(summary.correlation_id, first.correlation_id);
            },
        );
    }
}
