//! The bounded queue between the code that emits and the thread that delivers.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot};

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
    /// Whether it holds a place, which is free again once it is settled.
    pub(crate) place: bool,
}

/// Room is given out as places. What may be refused (the start of a step, a point event) waits for a place; what must not be
/// (the end of a step) takes one if there is one, and else goes beyond the bound. So nobody who holds a place waits for
/// another, and what is beyond the bound is bounded by the steps that are open: while there is no place, none starts.
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

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.unsettled == 0 && self.spooled == 0
    }
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

    /// Takes a place if there is one.
    pub(crate) fn try_reserve(&self) -> bool {
        self.places.try_acquire().map(SemaphorePermit::forget).is_ok()
    }

    /// Waits for a place; `false` once the queue is closed.
    pub(crate) async fn reserve(&self) -> bool {
        self.places.acquire().await.map(SemaphorePermit::forget).is_ok()
    }

    /// Gives back a place that was not used.
    pub(crate) fn release(&self) {
        self.places.add_permits(1);
    }

    /// Whether there is a place right now.
    pub(crate) fn has_room(&self) -> bool {
        !self.places.is_closed() && self.places.available_permits() > 0
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.places.is_closed()
    }

    /// Hands over an event; `Err` if nobody delivers any more.
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

    /// These events, which were taken, are delivered or dropped; their places are free again.
    pub(crate) fn settle<'a>(&self, events: impl Iterator<Item = &'a Queued>) {
        let (mut count, mut places) = (0, 0);
        events.for_each(|queued| {
            count += 1;
            places += usize::from(queued.place);
        });
        if count == 0 {
            return;
        }
        self.places.add_permits(places);
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
        self.wait(deadline, State::is_idle);
    }

    /// Whether nothing waits any more.
    pub(crate) fn is_idle(&self) -> bool {
        self.state().is_idle()
    }

    /// Whether an event may go to the store past the queue: nothing waits that it would overtake, and the store is not about
    /// to be closed.
    pub(crate) fn may_be_passed(&self) -> bool {
        let state = self.state();
        state.stop_by.is_none() && !state.finished && state.is_idle()
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

    /// Gives out no more places; what is there is delivered until the deadline. The ends of steps that run need none and
    /// are taken until the delivery thread is gone.
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
