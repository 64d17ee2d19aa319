//! [`MemorySpool`], a spool within the process.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    AppendError, BoxFuture, Instance, OpenError, ReadError, Refused, Spool, SpoolConfig, SpoolReader,
    SpoolUsage, Spooled, Text, TraceEvent, TraceId,
};

/// How many events that were set aside are kept.
const REFUSED: usize = 1_000;

/// A spool within the process, for tests: clones are handles of one spool, so that what waits in it outlives the emitter
/// that put it there.
///
/// ```
/// use throughline_model::testing::MemorySpool;
///
/// let spool = MemorySpool::new().capacity_bytes(64 * 1024);
/// let handed_to_the_emitter = spool.clone();
/// assert!(spool.events().is_empty());
/// ```
#[derive(Debug, Clone)]
pub struct MemorySpool {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    capacity_bytes: u64,
    bytes: u64,
    next_position: u64,
    waiting: VecDeque<(u64, Spooled)>,
    refused: VecDeque<Refused>,
    refused_ever: u64,
    is_open: bool,
}

impl State {
    fn usage(&self) -> SpoolUsage {
        SpoolUsage {
            events: self.waiting.len() as u64,
            bytes: self.bytes,
            capacity_bytes: self.capacity_bytes,
            refused: self.refused_ever,
        }
    }

    fn set_aside(&mut self, position: u64, reason: &str) {
        let Some(index) = self.waiting.iter().position(|(_, spooled)| spooled.position == position) else {
            return;
        };
        let Some((bytes, spooled)) = self.waiting.remove(index) else { return };
        self.bytes -= bytes;
        self.refused_ever += 1;
        self.refused.push_front(Refused { reason: Text::from(reason.to_owned()), event: spooled.event });
        self.refused.truncate(REFUSED);
    }
}

impl MemorySpool {
    /// An empty spool of a mebibyte.
    pub fn new() -> Self {
        let state = State {
            capacity_bytes: 1 << 20,
            bytes: 0,
            next_position: 1,
            waiting: VecDeque::new(),
            refused: VecDeque::new(),
            refused_ever: 0,
            is_open: false,
        };
        Self { shared: Arc::new(Mutex::new(state)) }
    }

    /// Holds events of at most so many bytes of JSON. Holds for all handles.
    #[must_use]
    pub fn capacity_bytes(self, bytes: u64) -> Self {
        self.state().capacity_bytes = bytes;
        self
    }

    /// What waits, in order.
    pub fn events(&self) -> Vec<Arc<TraceEvent>> {
        self.state().waiting.iter().map(|(_, spooled)| Arc::clone(&spooled.event)).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemorySpool {
    fn default() -> Self {
        Self::new()
    }
}

impl SpoolConfig for MemorySpool {
    fn open(&self, _: Instance) -> BoxFuture<'static, Result<Arc<dyn Spool>, OpenError>> {
        let spool = self.clone();
        Box::pin(async move {
            if std::mem::replace(&mut spool.state().is_open, true) {
                return Err(OpenError::Unavailable {
                    store: "memory-spool",
                    reason: "another instance has it open; close that first".to_owned(),
                    source: None,
                });
            }
            Ok(Arc::new(OpenSpool { spool, is_closed: AtomicBool::new(false) }) as Arc<dyn Spool>)
        })
    }
}

/// Closed at the latest when it is dropped.
struct OpenSpool {
    spool: MemorySpool,
    is_closed: AtomicBool,
}

impl OpenSpool {
    fn give_back(&self) {
        if !self.is_closed.swap(true, Ordering::Relaxed) {
            self.spool.state().is_open = false;
        }
    }
}

impl Drop for OpenSpool {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl Spool for OpenSpool {
    fn name(&self) -> &str {
        "memory-spool"
    }

    fn push<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            let mut state = self.spool.state();
            let bytes: u64 = events.iter().map(|event| json_bytes(event) as u64).sum();
            if state.bytes + bytes > state.capacity_bytes {
                return Err(AppendError::Unavailable {
                    reason: format!("the spool is full: it holds at most {} bytes", state.capacity_bytes),
                    retry_after: None,
                    source: None,
                });
            }
            state.bytes += bytes;
            for event in events {
                let position = state.next_position;
                state.next_position += 1;
                let spooled = Spooled { position, event: Arc::clone(event) };
                state.waiting.push_back((json_bytes(event) as u64, spooled));
            }
            Ok(())
        })
    }

    fn peek(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Spooled>, AppendError>> {
        Box::pin(async move {
            Ok(self.spool.state().waiting.iter().take(limit).map(|(_, spooled)| spooled.clone()).collect())
        })
    }

    fn remove_through(&self, position: u64) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            let mut state = self.spool.state();
            while let Some((bytes, _)) =
                state.waiting.pop_front_if(|(_, spooled)| spooled.position <= position)
            {
                state.bytes -= bytes;
            }
            Ok(())
        })
    }

    fn set_aside<'a>(&'a self, position: u64, reason: &'a str) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            self.spool.state().set_aside(position, reason);
            Ok(())
        })
    }

    fn usage(&self) -> BoxFuture<'_, Result<SpoolUsage, AppendError>> {
        Box::pin(async move { Ok(self.spool.state().usage()) })
    }

    fn reader(&self) -> Arc<dyn SpoolReader> {
        Arc::new(self.spool.clone())
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            self.give_back();
            Ok(())
        })
    }
}

impl SpoolReader for MemorySpool {
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>> {
        Box::pin(async move {
            let state = self.state();
            let events = state.waiting.iter().map(|(_, spooled)| &*spooled.event);
            Ok(events.filter(|event| event.trace_id == id).cloned().collect())
        })
    }

    fn traces(&self, after: Option<TraceId>, limit: usize) -> BoxFuture<'_, Result<Vec<TraceId>, ReadError>> {
        Box::pin(async move {
            let state = self.state();
            let ids: BTreeSet<_> = state.waiting.iter().map(|(_, spooled)| spooled.event.trace_id).collect();
            Ok(ids.into_iter().filter(|id| after.is_none_or(|after| *id > after)).take(limit).collect())
        })
    }

    fn waiting(&self, after: Option<u64>, limit: usize) -> BoxFuture<'_, Result<Vec<Spooled>, ReadError>> {
        Box::pin(async move {
            let state = self.state();
            let all = state.waiting.iter().map(|(_, spooled)| spooled);
            Ok(all
                .filter(|spooled| after.is_none_or(|after| spooled.position > after))
                .take(limit)
                .cloned()
                .collect())
        })
    }

    fn refused(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Refused>, ReadError>> {
        Box::pin(async move { Ok(self.state().refused.iter().take(limit).cloned().collect()) })
    }

    fn usage(&self) -> BoxFuture<'_, Result<SpoolUsage, ReadError>> {
        Box::pin(async move { Ok(self.state().usage()) })
    }
}

/// How many bytes the JSON of an event has, which is what [limits](crate::Limits) count.
pub(super) fn json_bytes(event: &TraceEvent) -> usize {
    serde_json::to_vec(event).map_or(0, |json| json.len())
}
