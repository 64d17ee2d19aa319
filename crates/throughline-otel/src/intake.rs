//! The way of the events to the exporter's thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use throughline_model::{DropReason, Status, TraceEvent};
use tokio::sync::Notify;

use crate::ledger::Ledger;
use crate::sampler::Sampling;
use crate::worker::Worker;

/// How long events are gathered before they are looked at: what is shown at once is shown within a second.
const GATHER: Duration = Duration::from_millis(50);
/// How many events are looked at without further ado.
const ENOUGH: usize = 1024;

/// What the exporter's thread is told of.
#[derive(Debug)]
pub(crate) enum Seen {
    /// An event to be exported.
    Event(Arc<TraceEvent>),
    /// The end of a run that failed and was not sampled.
    Failed(Arc<TraceEvent>),
}

/// What is on its way to an exporter's thread.
#[derive(Debug)]
pub(crate) struct Intake<T = Seen> {
    state: Mutex<State<T>>,
    capacity: usize,
    arrived: Notify,
    enough: Notify,
}

#[derive(Debug)]
struct State<T> {
    seen: Vec<T>,
    is_closed: bool,
}

impl<T> Intake<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let state = State { seen: Vec::new(), is_closed: false };
        Self { state: Mutex::new(state), capacity, arrived: Notify::new(), enough: Notify::new() }
    }

    pub(crate) fn offer(&self, seen: T) -> Result<(), DropReason> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_closed {
            return Err(DropReason::Shutdown);
        }
        if state.seen.len() >= self.capacity {
            return Err(DropReason::QueueFull);
        }
        state.seen.push(seen);
        let count = state.seen.len();
        drop(state);
        match count {
            1 => self.arrived.notify_one(),
            ENOUGH => self.enough.notify_one(),
            _ => {}
        }
        Ok(())
    }

    /// Waits until there is something to look at.
    pub(crate) async fn arrival(&self) {
        self.arrived.notified().await;
        // Either will do.
        let _ = tokio::time::timeout(GATHER, self.enough.notified()).await;
    }

    pub(crate) fn take(&self) -> Vec<T> {
        // With room, so that those who emit do not make it.
        let empty = Vec::with_capacity(ENOUGH.min(self.capacity));
        std::mem::replace(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).seen, empty)
    }

    /// Takes what there is, and nothing more comes.
    pub(crate) fn close(&self) -> Vec<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
        std::mem::take(&mut state.seen)
    }
}

/// An exporter at work.
pub(crate) struct Running {
    pub(crate) intake: Arc<Intake>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) worker: Worker,
    pub(crate) sampling: Arc<Sampling>,
    pub(crate) whole_failed_runs: bool,
}

impl Running {
    pub(crate) fn take(&self, event: &Arc<TraceEvent>) {
        if !self.sampling.samples(event) {
            if self.whole_failed_runs && event.is_root() && event.status == Status::Failed {
                // Says that the run is to be looked up, and is not accepted itself.
                let _ = self.intake.offer(Seen::Failed(Arc::clone(event)));
            }
            return;
        }
        self.ledger.accept(1);
        if let Err(why) = self.intake.offer(Seen::Event(Arc::clone(event))) {
            self.ledger.lose(why, 1);
        }
    }
}
