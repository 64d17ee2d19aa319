//! A run that is so large that two connections read it together.

use std::thread;

use rusqlite::{Connection, OptionalExtension};
use throughline_model::{TraceEvent, TraceId};

use super::rows::{InOrder, RunRows, run_of};
use super::session::Session;
use crate::error::Fault;

/// To open a second connection takes as long as to read some hundred events.
const LARGE: usize = 20_000;
/// How often two connections try to see the same state of a file that others write.
const TRIES: usize = 3;

/// Whether a run has so many events.
pub(super) fn is_large(connection: &Connection, run: i64) -> Result<bool, Fault> {
    let mut after = connection.prepare_cached("SELECT 1 FROM event WHERE run = ?1 LIMIT 1 OFFSET ?2")?;
    Ok(after.query_row([run, LARGE as i64], |_| Ok(())).optional()?.is_some())
}

/// All events of a run in their order, read by two connections if both can see the same state of the file.
pub(super) fn events_of(session: &mut Session, id: TraceId) -> Result<Vec<TraceEvent>, Fault> {
    for _ in 0..TRIES {
        if let Some(events) = by_two(session, id)? {
            return Ok(events);
        }
    }
    let (snapshot, cache) = session.snapshot()?;
    let Some((run, shared)) = run_of(&snapshot, id)? else { return Ok(Vec::new()) };
    cache.events_of(&RunRows::all(&snapshot, run, &shared))
}

/// `None` if the file was written in between, or there is no second connection or thread.
fn by_two(session: &mut Session, id: TraceId) -> Result<Option<Vec<TraceEvent>>, Fault> {
    let Ok(second) = session.source().session() else { return Ok(None) };
    let before = second.version()?;
    let (snapshot, cache) = session.snapshot()?;
    let Some((run, shared)) = run_of(&snapshot, id)? else { return Ok(Some(Vec::new())) };
    // Nothing was written before the second one sees what it sees from now on, so that this is what the first one sees.
    if second.keep_state()? != before {
        return Ok(None);
    }
    let rows = RunRows::all(&snapshot, run, &shared);
    let places = rows.places(|| true)?.unwrap_or_default();
    let (here, there) = places.split_at(places.len() / 2);
    thread::scope(|scope| {
        let read_there = || {
            let mut second = second;
            let (connection, cache) = second.kept();
            // Its own, for two threads that count who refers to the same attributes wait for each other at each event.
            let mut events = InOrder::with_room_for(there.len());
            let Some((run, shared)) = run_of(connection, id)? else { return Ok(events) };
            cache.add_events_at(&RunRows::all(connection, run, &shared), there, || true, &mut events)?;
            Ok(events)
        };
        let named = thread::Builder::new().name("throughline-reader".to_owned());
        let Ok(helper) = named.spawn_scoped(scope, read_there) else { return Ok(None) };
        let mut events = InOrder::with_room_for(places.len());
        let read = cache.add_events_at(&rows, here, || true, &mut events);
        let of_helper: Result<InOrder, Fault> = match helper.join() {
            Ok(events) => events,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        read?;
        events.append(of_helper?);
        Ok(Some(events.into_events()))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use throughline_model::testing::run;

    use super::*;
    use crate::connection::{Place, STORE_FILE, Synchronous};
    use crate::reader::session::Source;
    use crate::writer::Writer;

    /// A file with a large run among the events of others, its trace id, and how many events it has.
    fn file(folder: &tempfile::TempDir) -> (Place, TraceId, usize) {
        let path = folder.path().join("x.db");
        let place = Place { path, synchronous: Synchronous::Off, busy_timeout: Duration::from_secs(5) };
        let (mut large, mut other) = (run("loan"), run("loan"));
        large.root();
        other.root();
        for _ in 0..LARGE {
            large.point("business:approved");
        }
        for _ in 0..LARGE / 50 {
            other.point("business:approved");
        }
        let (large, other) = (large.events(), other.events());
        let mut writer = Writer::new(STORE_FILE.open(&place).unwrap());
        for (large, other) in large.chunks(500).zip(other.chunks(10)) {
            writer.append(large).unwrap();
            writer.append(other).unwrap();
        }
        let written = large.chunks(500).take(other.chunks(10).len()).map(<[TraceEvent]>::len).sum();
        (place, large[0].trace_id, written)
    }

    #[test]
    fn two_connections_read_what_one_reads() {
        let folder = tempfile::tempdir().unwrap();
        let (place, id, written) = file(&folder);
        let (_, mut session) = Source::open(&place.path).unwrap();
        let together = by_two(&mut session, id).unwrap().expect("nobody else writes");
        assert_eq!(together.len(), written);
        let (snapshot, cache) = session.snapshot().unwrap();
        let (run, shared) = run_of(&snapshot, id).unwrap().unwrap();
        assert_eq!(is_large(&snapshot, run).unwrap(), written > LARGE);
        assert_eq!(together, cache.events_of(&RunRows::all(&snapshot, run, &shared)).unwrap());
    }

    #[test]
    fn a_file_that_was_written_in_between_is_seen_for_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let (place, ..) = file(&folder);
        let (source, first) = Source::open(&place.path).unwrap();
        let second = source.session().unwrap();
        let before = second.version().unwrap();
        assert_eq!(first.version().unwrap(), first.keep_state().unwrap());
        let mut more = run("loan");
        more.root();
        Writer::new(STORE_FILE.open(&place).unwrap()).append(&more.events()).unwrap();
        assert_ne!(second.keep_state().unwrap(), before);
    }
}
