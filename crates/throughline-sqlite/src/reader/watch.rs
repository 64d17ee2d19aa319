//! Watching a file that another process writes to.
//!
//! SQLite tells nobody that a file has changed, but answers cheaply whether it has (`PRAGMA data_version`). One
//! thread for all watchers of a reader asks so twenty times a second and reads on from the last number it saw; it
//! ends with the last watcher.

use std::collections::hash_map::Entry;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use rusqlite::Connection;
use rustc_hash::FxHashMap;
use throughline_model::{EventStream, ReadError, StreamItem, TraceEvent, TraceId};
use tokio::sync::{mpsc, oneshot};

use super::session::{Common, Session, select_events};
use crate::connection::STORE_FILE;
use crate::error::Fault;

type Item = Result<StreamItem, ReadError>;

pub(super) struct Watchers {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Watchers that the thread has not yet taken over, each with who waits for that.
    new: Vec<(Watcher, oneshot::Sender<Result<(), ReadError>>)>,
    is_polled: bool,
}

struct Watcher {
    trace: Option<TraceId>,
    items: mpsc::Sender<Item>,
    missed: u64,
}

impl Watcher {
    /// Events that wait for a slow watcher.
    const CAPACITY: usize = 1024;

    fn see(&mut self, event: &Arc<TraceEvent>) {
        if self.trace.is_none_or(|wanted| wanted == event.trace_id) {
            self.say_missed();
            if self.missed > 0 || self.items.try_send(Ok(StreamItem::Event(Arc::clone(event)))).is_err() {
                self.missed += 1;
            }
        }
    }

    fn say_missed(&mut self) {
        if self.missed > 0 && self.items.try_send(Ok(StreamItem::Missed(self.missed))).is_ok() {
            self.missed = 0;
        }
    }
}

impl Watchers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { shared: Arc::new(Shared { path, state: Mutex::default(), changed: Condvar::new() }) }
    }

    pub(super) async fn watch(&self, trace: Option<TraceId>) -> Result<EventStream, ReadError> {
        let (items, stream) = mpsc::channel(Watcher::CAPACITY);
        let (taken, is_taken) = oneshot::channel();
        let unavailable = |what: &str| ReadError::Unavailable {
            reason: format!("{}: {what}", self.shared.path.display()),
            source: None,
        };
        {
            let mut state = self.shared.lock();
            state.new.push((Watcher { trace, items, missed: 0 }, taken));
            if !state.is_polled {
                let shared = Arc::clone(&self.shared);
                let spawned = std::thread::Builder::new()
                    .name("throughline-watch".to_owned())
                    .spawn(move || shared.poll());
                if spawned.is_err() {
                    state.new.clear();
                    return Err(unavailable("the system starts no thread to watch with"));
                }
                state.is_polled = true;
            }
        }
        self.shared.changed.notify_all();
        is_taken.await.map_err(|_| unavailable("the thread that watches has died"))??;
        Ok(Box::pin(Watched(stream)))
    }
}

struct Watched(mpsc::Receiver<Item>);

impl Stream for Watched {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        self.0.poll_recv(context)
    }
}

impl Shared {
    const INTERVAL: Duration = Duration::from_millis(50);

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self) {
        let session =
            STORE_FILE.open_read_only(&self.path).map_err(|error| error.to_string()).and_then(|connection| {
                let mut tail = Tail::default();
                let session = Session::new(connection, &self.path);
                tail.seek_end(session.connection())
                    .map_err(|fault| fault.into_read_error(&self.path).to_string())?;
                Ok((session, tail))
            });
        let (mut session, mut tail) = match session {
            Ok(opened) => opened,
            Err(reason) => {
                let mut state = self.lock();
                for (_, taken) in state.new.drain(..) {
                    let error = ReadError::Unavailable { reason: reason.clone(), source: None };
                    // Whoever does not wait any more need not hear of it.
                    let _ = taken.send(Err(error));
                }
                state.is_polled = false;
                return;
            }
        };
        let mut watchers: Vec<Watcher> = Vec::new();
        loop {
            let read = tail.read(&mut session, &mut watchers);
            if let Err(fault) = read {
                let reason = fault.into_read_error(&self.path).to_string();
                for watcher in watchers.drain(..) {
                    // A watcher that is full or gone learns of the end by the end of its stream.
                    let _ = watcher
                        .items
                        .try_send(Err(ReadError::Unavailable { reason: reason.clone(), source: None }));
                }
            }
            watchers.iter_mut().for_each(Watcher::say_missed);
            watchers.retain(|watcher| !watcher.items.is_closed());
            let mut state = self.lock();
            if state.new.is_empty() && !watchers.is_empty() {
                state = self
                    .changed
                    .wait_timeout(state, Self::INTERVAL)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            if state.new.is_empty() && watchers.is_empty() {
                state.is_polled = false;
                return;
            }
            let new = std::mem::take(&mut state.new);
            drop(state);
            if !new.is_empty() {
                // The others first see what happened until now, so that all go on from one place.
                if tail.read(&mut session, &mut watchers).is_err() {
                    continue;
                }
                for (watcher, taken) in new {
                    if taken.send(Ok(())).is_ok() {
                        watchers.push(watcher);
                    }
                }
            }
        }
    }
}

/// How far the events of the file have been read.
#[derive(Default)]
struct Tail {
    data_version: Option<i64>,
    seen: i64,
}

impl Tail {
    /// Events that are read at a time.
    const CHUNK: i64 = 512;

    fn last(connection: &Connection) -> Result<i64, Fault> {
        Ok(connection
            .prepare_cached("SELECT coalesce(max(id) + count - 1, 0) FROM block")?
            .query_row([], |row| row.get(0))?)
    }

    fn seek_end(&mut self, connection: &Connection) -> Result<(), Fault> {
        self.seen = Self::last(connection)?;
        Ok(())
    }

    /// Hands what is new to the watchers.
    fn read(&mut self, session: &mut Session, watchers: &mut [Watcher]) -> Result<(), Fault> {
        let version =
            session.connection().prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.data_version == Some(version) {
            return Ok(());
        }
        let (snapshot, memory) = session.snapshot()?;
        let last = Self::last(&snapshot)?;
        let mut runs: FxHashMap<i64, Option<Common>> = FxHashMap::default();
        while self.seen < last {
            let mut statement =
                snapshot.prepare_cached(select_events!("WHERE e.id > ?1 AND e.id <= ?2 ORDER BY e.id"))?;
            let until = last.min(self.seen + Self::CHUNK);
            let mut rows = statement.query([self.seen, until])?;
            let mut found = 0;
            while let Some(row) = rows.next()? {
                found += 1;
                let run = row.get(21)?;
                let common = match runs.entry(run) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => unknown.insert(memory.common(&snapshot, run)?),
                };
                let Some(common) = common else { continue };
                let event = Arc::new(memory.event(&snapshot, row, common)?);
                watchers.iter_mut().for_each(|watcher| watcher.see(&event));
            }
            // Numbers are given without gaps: what lacks was pruned before it was seen.
            let pruned = (until - self.seen - found) as u64;
            for watcher in watchers.iter_mut().filter(|watcher| watcher.trace.is_none()) {
                watcher.missed += pruned;
            }
            self.seen = until;
        }
        self.data_version = Some(version);
        Ok(())
    }
}
