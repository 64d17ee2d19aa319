//! The bounded queue between the code that emits and the thread that delivers.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, oneshot};

use super::DeliveryFailure;
use crate::TraceEvent;

/// What the one who waits for an event's delivery is told.
pub(crate) type Ack = oneshot::Receiver<Result<(), Arc<DeliveryFailure>>>;

/// An event on its way.
pub(crate) struct Queued {
    pub(crate) event: Arc<TraceEvent>,
    pub(crate) waiter: Option<oneshot::Sender<Result<(), Arc<DeliveryFailure>>>>,
    /// Whether it stays pending when the store fails: the end of a step must not be lost, while a start that
    /// was not recorded is a step that never ran.
    pub(crate) keep: bool,
}

/// Room is given out as places: an event may be pushed only by whoever holds a place for it. A step takes two
/// before it starts, so that its end finds room even when it comes from a destructor.
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Notify,
    /// Wakes the delivery thread out of [`Queue::linger`].
    enough: Condvar,
    /// Wakes those who wait for the queue to run empty.
    idle: Condvar,
    places: Semaphore,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Queued>,
    /// Taken by the delivery thread and not yet settled, or waiting in the spool.
    unsettled: usize,
    spooled: u64,
    lingering_for: usize,
    /// Set by shutdown: deliver what there is until then, and stop.
    stop_by: Option<Instant>,
    /// The delivery thread is gone.
    finished: bool,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            enough: Condvar::new(),
            idle: Condvar::new(),
            places: Semaphore::new(capacity),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code of others runs under this lock, so a poisoned state is still a sound one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes places if there are any.
    pub(crate) fn try_reserve(&self, places: u32) -> bool {
        match self.places.try_acquire_many(places) {
            Ok(permit) => {
                permit.forget();
                true
            }
            Err(_) => false,
        }
    }

    /// Waits for places; `false` once the queue is closed.
    pub(crate) async fn reserve(&self, places: u32) -> bool {
        match self.places.acquire_many(places).await {
            Ok(permit) => {
                permit.forget();
                true
            }
            Err(_) => false,
        }
    }

    /// Gives places back that were not used.
    pub(crate) fn release(&self, places: usize) {
        self.places.add_permits(places);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.places.is_closed()
    }

    /// Hands over an event for which a place is held; `Err` if nobody delivers any more.
    pub(crate) fn push(&self, queued: Queued) -> Result<(), Queued> {
        let mut state = self.state();
        if state.finished {
            return Err(queued);
        }
        state.waiting.push_back(queued);
        if state.lingering_for == 0 {
            drop(state);
            self.arrived.notify_one();
        } else if state.waiting.len() >= state.lingering_for {
            self.enough.notify_one();
        }
        Ok(())
    }

    /// Waits until something has arrived or the queue is closing.
    pub(crate) async fn arrival(&self) {
        loop {
            let arrived = self.arrived.notified();
            {
                let state = self.state();
                if !state.waiting.is_empty() || state.stop_by.is_some() {
                    return;
                }
            }
            arrived.await;
        }
    }

    /// Blocks for a moment, until `count` events wait: those whose emitters have just been released.
    pub(crate) fn linger(&self, count: usize, patience: Duration) {
        let mut state = self.state();
        state.lingering_for = count;
        let deadline = Instant::now() + patience;
        while state.waiting.len() < count && state.stop_by.is_none() {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            state = self.enough.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.lingering_for = 0;
    }

    /// Moves the first events that wait, at most `limit` in all, behind those in `group`.
    pub(crate) fn take(&self, group: &mut Vec<Queued>, limit: usize) {
        let mut state = self.state();
        let count = limit.saturating_sub(group.len()).min(state.waiting.len());
        state.unsettled += count;
        group.extend(state.waiting.drain(..count));
    }

    /// So many taken events are delivered or dropped; their places are free again.
    pub(crate) fn settle(&self, count: usize) {
        if count == 0 {
            return;
        }
        self.places.add_permits(count);
        let mut state = self.state();
        state.unsettled -= count;
        if state.waiting.is_empty() && state.unsettled == 0 {
            self.idle.notify_all();
        }
    }

    pub(crate) fn set_spooled(&self, spooled: u64) {
        let mut state = self.state();
        state.spooled = spooled;
        self.idle.notify_all();
    }

    /// Events that wait, in memory or in the spool.
    pub(crate) fn pending(&self) -> u64 {
        let state = self.state();
        (state.waiting.len() + state.unsettled) as u64 + state.spooled
    }

    /// Blocks until nothing waits any more, or until the deadline.
    pub(crate) fn wait_idle(&self, deadline: Instant) {
        self.wait(deadline, |state| state.waiting.is_empty() && state.unsettled == 0 && state.spooled == 0);
    }

    /// Blocks until the delivery thread is gone, or until the deadline.
    pub(crate) fn wait_finished(&self, deadline: Instant) {
        self.wait(deadline, |state| state.finished);
    }

    fn wait(&self, deadline: Instant, done: impl Fn(&State) -> bool) {
        let mut state = self.state();
        while !state.finished && !done(&state) {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return };
            state = self.idle.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Takes no more reservations; what is there is delivered until the deadline. The ends of steps that run
    /// hold their places already and are taken until the delivery thread is gone.
    pub(crate) fn close(&self, stop_by: Instant) {
        self.places.close();
        let mut state = self.state();
        let earlier = state.stop_by.map_or(stop_by, |now| now.min(stop_by));
        state.stop_by = Some(earlier);
        self.enough.notify_one();
        drop(state);
        self.arrived.notify_one();
    }

    pub(crate) fn stop_by(&self) -> Option<Instant> {
        self.state().stop_by
    }

    /// Whether the delivery thread may stop: asked to, and nothing waits.
    pub(crate) fn is_done(&self) -> bool {
        let state = self.state();
        state.stop_by.is_some() && state.waiting.is_empty() && state.unsettled == 0
    }

    /// The delivery thread goes; what still waits is handed to the caller.
    pub(crate) fn finish(&self) -> Vec<Queued> {
        self.places.close();
        let mut state = self.state();
        state.finished = true;
        let left = state.waiting.drain(..).collect();
        state.unsettled = 0;
        self.idle.notify_all();
        left
    }
}
