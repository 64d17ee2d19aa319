//! Watching a file that another process writes to.
//!
//! SQLite notifies nobody when a file changes, but answers cheaply whether it has (`PRAGMA data_version`). One thread for
//! all watchers of a reader asks that twenty times a second, and reads what is new by the numbers of the events, which
//! have no gaps. Each watcher has a place of its own: one that is slow, or resumes from a cursor, reads later what the
//! others have seen, so that it misses only what is no longer in the file. The thread ends with the last watcher.

use std::collections::hash_map::Entry;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use rustc_hash::FxHashMap;
use throughline_model::{Cursor, EventStream, ReadError, StreamItem, TraceEvent, WatchFrom, WatchRequest};
use tokio::sync::{mpsc, oneshot};

use super::rows::{SharedColumns, select_events};
use super::session::{Session, Source};
use crate::block::last_event;
use crate::error::Fault;

type Item = Result<StreamItem, ReadError>;

pub(super) struct Watchers {
    shared: Arc<Shared>,
}

struct Shared {
    source: Source,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    new: Vec<New>,
    /// Whether a watcher that was full has room again.
    has_room: bool,
    is_running: bool,
}

/// A watcher that the thread has not accepted yet.
struct New {
    request: WatchRequest,
    /// The place in its cursor.
    after: Option<Place>,
    tx: mpsc::Sender<Item>,
    is_full: Arc<AtomicBool>,
    accepted: oneshot::Sender<Result<(), ReadError>>,
}

struct Watcher {
    request: WatchRequest,
    /// The last event that it has seen, or that was not for it.
    seen: i64,
    /// Events that are no longer in the file, to be reported before the next event.
    missed: Missed,
    tx: mpsc::Sender<Item>,
    /// Whether it waits for room in its channel.
    is_full: Arc<AtomicBool>,
    /// Whether there was no room for it in this round.
    is_stalled: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Missed {
    Nothing,
    Some(u64),
    Unknown,
}

/// Where an event stands: in which file, and at which number. As a cursor: `sqlite:8c5f…:42`.
struct Place {
    file: String,
    number: i64,
}

impl Place {
    fn read(cursor: &Cursor) -> Result<Self, ReadError> {
        let read = || {
            let (file, number) = cursor.as_str().strip_prefix("sqlite:")?.split_once(':')?;
            let number = number.parse().ok().filter(|number| *number >= 0)?;
            Some(Self { file: file.to_owned(), number })
        };
        read().ok_or_else(|| {
            let shown: String = cursor.as_str().chars().take(64).collect();
            ReadError::InvalidQuery {
                reason: format!(
                    "`{shown}` is not a cursor of this stream; pass the cursor of an event that it delivered"
                ),
            }
        })
    }

    fn cursor(file: &str, number: i64) -> Cursor {
        Cursor::new(format!("sqlite:{file}:{number}"))
    }
}

impl Watcher {
    /// How many events wait for a watcher that is slower than the file is read.
    const CAPACITY: usize = 1024;

    fn new(new: New, file: &str, last: i64) -> (Self, oneshot::Sender<Result<(), ReadError>>) {
        let New { request, after, tx, is_full, accepted } = new;
        let (seen, missed) = match after {
            None => (last, Missed::Nothing),
            Some(after) if after.file == file && after.number <= last => (after.number, Missed::Nothing),
            // The cursor is of another file, or this one was restored from a backup or lost its end in a power cut.
            Some(_) => (last, Missed::Unknown),
        };
        (Self { request, seen, missed, tx, is_full, is_stalled: false }, accepted)
    }

    /// Delivers the next event that is in the file; `false` if there is no room for it yet.
    fn deliver(&mut self, number: i64, event: &Arc<TraceEvent>, cursor: &Cursor) -> bool {
        self.miss_until(number - 1);
        if !self.report_missed() {
            return false;
        }
        if self.request.matches(event)
            && !self.send(StreamItem::Event { event: Arc::clone(event), cursor: cursor.clone() })
        {
            return false;
        }
        self.seen = number;
        true
    }

    /// Numbers have no gaps: what is not in the file any more was removed.
    fn miss_until(&mut self, number: i64) {
        let gone = u64::try_from(number - self.seen).unwrap_or_default();
        self.missed = match self.missed {
            missed if gone == 0 => missed,
            Missed::Nothing => Missed::Some(gone),
            Missed::Some(before) => Missed::Some(before + gone),
            Missed::Unknown => Missed::Unknown,
        };
        self.seen = self.seen.max(number);
    }

    fn report_missed(&mut self) -> bool {
        let item = match self.missed {
            Missed::Nothing => return true,
            Missed::Some(count) => StreamItem::Missed(Some(count)),
            Missed::Unknown => StreamItem::Missed(None),
        };
        let is_sent = self.send(item);
        if is_sent {
            self.missed = Missed::Nothing;
        }
        is_sent
    }

    fn send(&self, item: StreamItem) -> bool {
        let Err(mpsc::error::TrySendError::Full(item)) = self.tx.try_send(Ok(item)) else { return true };
        self.is_full.store(true, Ordering::SeqCst);
        // The other end may have made room before it could see that.
        let is_sent = self.tx.try_send(item).is_ok();
        self.is_full.store(!is_sent, Ordering::SeqCst);
        is_sent
    }
}

impl Watchers {
    pub(super) fn new(source: Source) -> Self {
        Self { shared: Arc::new(Shared { source, state: Mutex::default(), changed: Condvar::new() }) }
    }

    pub(super) async fn watch(&self, request: WatchRequest) -> Result<EventStream, ReadError> {
        let after = match &request.from {
            WatchFrom::Now => None,
            WatchFrom::After(cursor) => Some(Place::read(cursor)?),
        };
        let (tx, rx) = mpsc::channel(Watcher::CAPACITY);
        let (accepted, is_accepted) = oneshot::channel();
        let is_full = Arc::new(AtomicBool::new(false));
        let unavailable = |what: &str| ReadError::Unavailable {
            reason: format!("{}: {what}", self.shared.source.path.display()),
            source: None,
        };
        {
            let mut state = self.shared.lock();
            state.new.push(New { request, after, tx, is_full: Arc::clone(&is_full), accepted });
            if !state.is_running {
                let shared = Arc::clone(&self.shared);
                let spawned = std::thread::Builder::new()
                    .name("throughline-watch".to_owned())
                    .spawn(move || shared.run_or_give_up());
                if spawned.is_err() {
                    state.new.clear();
                    return Err(unavailable("the operating system can't start a thread to watch with"));
                }
                state.is_running = true;
            }
        }
        self.shared.changed.notify_all();
        is_accepted.await.map_err(|_| unavailable("the thread that watches has died"))??;
        Ok(Box::pin(Watched { rx, is_full, shared: Arc::clone(&self.shared) }))
    }
}

struct Watched {
    rx: mpsc::Receiver<Item>,
    is_full: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

impl Stream for Watched {
    type Item = Item;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Item>> {
        let polled = self.rx.poll_recv(context);
        if polled.is_pending() && self.is_full.swap(false, Ordering::SeqCst) {
            // Everything that was sent has been read, and the file has more.
            self.shared.lock().has_room = true;
            self.shared.changed.notify_all();
        }
        polled
    }
}

impl Shared {
    const INTERVAL: Duration = Duration::from_millis(50);

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a panic, which the panic hook has reported, those who watch see the end of their stream, and the next one who
    /// wants to watch starts a new thread.
    fn run_or_give_up(&self) {
        if catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
            let mut state = self.lock();
            state.new.clear();
            state.is_running = false;
        }
    }

    fn run(&self) {
        let (mut session, file) = match self.open() {
            Ok(opened) => opened,
            Err(reason) => {
                let mut state = self.lock();
                for new in state.new.drain(..) {
                    let error = ReadError::Unavailable { reason: reason.clone(), source: None };
                    // The caller may have stopped waiting.
                    let _ = new.accepted.send(Err(error));
                }
                state.is_running = false;
                return;
            }
        };
        let mut watchers: Vec<Watcher> = Vec::new();
        loop {
            let new = std::mem::take(&mut self.lock().new);
            self.accept(&mut session, &file, new, &mut watchers);
            if let Err(fault) = session.answer(|session| read_on(session, &file, &mut watchers)) {
                self.fail(fault, &mut watchers);
            }
            watchers.retain(|watcher| !watcher.tx.is_closed());
            let mut state = self.lock();
            if state.new.is_empty() && watchers.is_empty() {
                state.is_running = false;
                return;
            }
            if state.new.is_empty() && !state.has_room {
                state = self
                    .changed
                    .wait_timeout(state, Self::INTERVAL)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            state.has_room = false;
        }
    }

    /// A connection, and the id of the file.
    fn open(&self) -> Result<(Session, String), String> {
        let mut session = self.source.session().map_err(|error| error.to_string())?;
        let id = |session: &mut Session| {
            Ok(session.snapshot()?.0.query_row("SELECT id FROM file", [], |row| row.get(0))?)
        };
        let file = session.answer(id).map_err(|fault| self.put(fault))?;
        Ok((session, file))
    }

    fn put(&self, fault: Fault) -> String {
        fault.into_read_error(&self.source.path).to_string()
    }

    /// Adds new watchers: they see what is written after they have learnt that they are accepted.
    fn accept(&self, session: &mut Session, file: &str, new: Vec<New>, watchers: &mut Vec<Watcher>) {
        if new.is_empty() {
            return;
        }
        let last = session.answer(last_number).map_err(|fault| self.put(fault));
        for new in new {
            let (answer, watcher, accepted) = match &last {
                Ok(last) => {
                    let (watcher, accepted) = Watcher::new(new, file, *last);
                    (Ok(()), Some(watcher), accepted)
                }
                Err(reason) => {
                    let error = ReadError::Unavailable { reason: reason.clone(), source: None };
                    (Err(error), None, new.accepted)
                }
            };
            if accepted.send(answer).is_ok() {
                watchers.extend(watcher);
            }
        }
    }

    fn fail(&self, fault: Fault, watchers: &mut Vec<Watcher>) {
        let reason = self.put(fault);
        for watcher in watchers.drain(..) {
            // If there is no room for the error, the stream ends without it.
            let _ = watcher.tx.try_send(Err(ReadError::Unavailable { reason: reason.clone(), source: None }));
        }
    }
}

fn last_number(session: &mut Session) -> Result<i64, Fault> {
    Ok(last_event(&session.snapshot()?.0)?)
}

/// How many events are read at a time.
const CHUNK: i64 = 512;

/// Hands to each watcher what it has not seen, as far as there is room.
fn read_on(session: &mut Session, file: &str, watchers: &mut [Watcher]) -> Result<(), Fault> {
    for watcher in watchers.iter_mut() {
        watcher.is_stalled = !watcher.report_missed();
    }
    let last = last_number(session)?;
    loop {
        let places = || watchers.iter().filter(|watcher| !watcher.is_stalled).map(|watcher| watcher.seen);
        let Some(seen) = places().min().filter(|seen| *seen < last) else { return Ok(()) };
        // Up to where the next watcher is, so that from there on both share what is read.
        let next = places().filter(|place| *place > seen).min().unwrap_or(last);
        read_chunk(session, file, watchers, seen..last.min(next).min(seen.saturating_add(CHUNK)))?;
    }
}

/// Reads the events after the first of two numbers up to the second, for the watchers that are there and have room.
fn read_chunk(
    session: &mut Session,
    file: &str,
    watchers: &mut [Watcher],
    Range { start: seen, end: until }: Range<i64>,
) -> Result<(), Fault> {
    let mut here: Vec<&mut Watcher> =
        watchers.iter_mut().filter(|watcher| !watcher.is_stalled && watcher.seen == seen).collect();
    let (snapshot, cache) = session.snapshot()?;
    let mut statement =
        snapshot.prepare_cached(select_events!("WHERE e.id > ?1 AND e.id <= ?2 ORDER BY e.id"))?;
    let mut rows = statement.query([seen, until])?;
    let mut runs: FxHashMap<i64, Option<SharedColumns>> = FxHashMap::default();
    while let Some(row) = rows.next()? {
        let run = row.get(21)?;
        let shared = match runs.entry(run) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(cache.shared(&snapshot, run)?),
        };
        let Some(shared) = shared else { continue };
        let number = row.get(0)?;
        let (event, cursor) = (Arc::new(cache.event(&snapshot, row, shared)?), Place::cursor(file, number));
        for watcher in here.iter_mut().filter(|watcher| !watcher.is_stalled) {
            watcher.is_stalled = !watcher.deliver(number, &event, &cursor);
        }
    }
    for watcher in here.into_iter().filter(|watcher| !watcher.is_stalled) {
        watcher.miss_until(until);
        watcher.is_stalled = !watcher.report_missed();
    }
    Ok(())
}
