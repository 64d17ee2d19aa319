//! The bounded queue between the code that emits and the thread that delivers.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, oneshot, watch};
use tokio::time::Instant;

use super::locks::{Condvar, Mutex, MutexGuard};
use super::{Counters, DeliveryFailure, DropReason};
use throughline_model::TraceEvent;

/// What became of an event, for the one who waits for its delivery.
pub(crate) type Ack = oneshot::Receiver<Result<(), Arc<DeliveryFailure>>>;
/// The other end of it.
pub(crate) type Waiter = oneshot::Sender<Result<(), Arc<DeliveryFailure>>>;

/// An event on its way.
pub(crate) struct Queued {
    pub(crate) event: Arc<TraceEvent>,
    pub(crate) waiter: Option<Waiter>,
    /// Whether it stays pending when the store fails: the end of a step must not be lost, while a start that
    /// was not recorded is a step that never ran.
    pub(crate) keep: bool,
    /// Whether it holds a place, which is free again once it is settled.
    pub(crate) place: bool,
    /// Whether it may wait for a moment, to be delivered together with what comes next.
    pub(crate) lingers: bool,
    /// Since when it waits.
    pub(crate) since: Instant,
    /// What this makes no sense without, where it was not known yet whether the store takes that.
    pub(crate) depends_on: Option<Dependency>,
    /// Where others depend on this, what becomes of it.
    pub(crate) fate: Option<Arc<Fate>>,
}

/// What an event makes no sense without.
#[derive(Debug)]
pub(crate) enum Dependency {
    /// The start of what it is the end of.
    Start(Ack),
    /// The root of its request.
    Root(Arc<Fate>),
}

/// What becomes of the root of a request.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    is_stored: AtomicBool,
    is_refused: AtomicBool,
}

impl Fate {
    pub(crate) fn is_stored(&self) -> bool {
        self.is_stored.load(Ordering::Acquire)
    }

    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Acquire)
    }
}

impl Queued {
    /// An event that is dropped if it can't be delivered.
    pub(crate) fn new(event: Arc<TraceEvent>, waiter: Option<Waiter>) -> Self {
        Self { keep: false, ..Self::kept(event, waiter, true) }
    }

    /// An event that stays pending until it is delivered.
    pub(crate) fn kept(event: Arc<TraceEvent>, waiter: Option<Waiter>, place: bool) -> Self {
        Self {
            event,
            waiter,
            keep: true,
            place,
            lingers: false,
            since: Instant::now(),
            depends_on: None,
            fate: None,
        }
    }

    /// Whether what it depends on was refused.
    pub(crate) fn is_orphaned(&mut self) -> bool {
        let refused = match &mut self.depends_on {
            None => return false,
            Some(Dependency::Root(root)) if root.is_refused() => Some(true),
            Some(Dependency::Root(root)) => root.is_stored().then_some(false),
            Some(Dependency::Start(ack)) => match ack.try_recv() {
                Err(TryRecvError::Empty) => None,
                answered => Some(matches!(answered, Ok(Err(_)))),
            },
        };
        if refused == Some(false) {
            self.depends_on = None;
        }
        refused == Some(true)
    }

    /// The store has it, or the spool.
    pub(crate) fn taken(self) {
        if let Some(fate) = &self.fate {
            fate.is_stored.store(true, Ordering::Release);
        }
        if let Some(waiter) = self.waiter {
            let _ = waiter.send(Ok(()));
        }
    }

    /// It is dropped.
    pub(crate) fn refused(self, failure: &Arc<DeliveryFailure>) {
        if let Some(fate) = &self.fate {
            fate.is_refused.store(true, Ordering::Release);
        }
        if let Some(waiter) = self.waiter {
            let _ = waiter.send(Err(Arc::clone(failure)));
        }
    }
}

/// Room is given out as places. What may be refused (the start of a step, a point event) waits for a place; what must not be
/// (the end of a step) takes one if there is one, and else goes beyond the bound. So nobody who holds a place waits for
/// another, and what is beyond the bound is bounded by the steps that are open: while there is no place, none starts.
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Notify,
    /// Wakes the delivery thread out of a short [`Queue::gather`].
    enough: Condvar,
    /// Wakes those who wait for the queue to run empty.
    idle: Condvar,
    places: Semaphore,
    capacity: usize,
    /// Set by shutdown.
    stop: watch::Sender<Option<Stop>>,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stop {
    /// Until then what there is is delivered.
    pub(crate) deliver_until: Instant,
    /// Until then the store is closed.
    pub(crate) close_until: Instant,
}

impl Stop {
    /// What there is is delivered, but nobody waits for that.
    pub(crate) fn at_leisure() -> Self {
        let now = Instant::now();
        Self { deliver_until: now + Duration::from_secs(60), close_until: now + Duration::from_secs(65) }
    }
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Queued>,
    /// How many of them linger.
    lingering: usize,
    /// Whether somebody waits for what lingers.
    is_urgent: bool,
    /// Taken by the delivery thread and not yet settled, or waiting in the spool.
    unsettled: usize,
    spooled: u64,
    gathering: usize,
    is_stopping: bool,
    /// The delivery thread is gone.
    finished: bool,
}

/// When the delivery thread is to look at what waits.
enum Due {
    Now,
    At(Instant),
    WithTheNext,
}

impl State {
    fn due(&self) -> Due {
        match self.waiting.front() {
            None => Due::WithTheNext,
            Some(_) if self.is_urgent || self.is_stopping || self.fresh() > 0 => Due::Now,
            Some(first) => Due::At(first.since + Queue::LINGERING),
        }
    }

    /// How many wait and don't linger.
    fn fresh(&self) -> usize {
        self.waiting.len() - self.lingering
    }

    /// Takes the first event out that waits, if it is as wanted.
    fn take_if(&mut self, is_wanted: impl FnOnce(&Queued) -> bool) -> Option<Queued> {
        let taken = self.waiting.pop_front_if(|queued| is_wanted(queued))?;
        self.unsettled += 1;
        self.lingering -= usize::from(taken.lingers);
        self.is_urgent &= self.lingering > 0;
        Some(taken)
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.unsettled == 0 && self.spooled == 0
    }
}

impl Queue {
    /// How long an event lingers at most if nothing comes after it.
    const LINGERING: Duration = Duration::from_millis(2);

    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            enough: Condvar::new(),
            idle: Condvar::new(),
            places: Semaphore::new(capacity),
            capacity,
            stop: watch::Sender::new(None),
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

    /// Whether at least half of all places are free.
    pub(crate) fn is_half_free(&self) -> bool {
        !self.places.is_closed() && self.places.available_permits() * 2 >= self.capacity
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
        let lingers = queued.lingers;
        state.lingering += usize::from(lingers);
        state.waiting.push_back(queued);
        if state.gathering == 0 {
            // Of those that linger the first makes the delivery thread set its timer.
            let is_news = !lingers || state.waiting.len() == 1;
            drop(state);
            if is_news {
                self.arrived.notify_one();
            }
        } else if state.fresh() >= state.gathering {
            self.enough.notify_one();
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Waits until something has arrived that does not linger any more.
    pub(crate) async fn arrival(&self) {
        loop {
            let arrived = self.arrived.notified();
            let due = self.state().due();
            match due {
                Due::Now => return,
                Due::At(moment) if moment <= Instant::now() => return,
                Due::At(moment) => {
                    // Whichever comes first, the next look finds out.
                    let _ = tokio::time::timeout_at(moment, arrived).await;
                }
                Due::WithTheNext => arrived.await,
            }
        }
    }

    /// Nothing lingers any longer.
    pub(crate) fn hurry(&self) {
        let mut state = self.state();
        if state.lingering > 0 {
            state.is_urgent = true;
            drop(state);
            self.arrived.notify_one();
        }
    }

    /// Waits for a moment, until `count` events wait: those whose emitters have just been released. A delay of less than
    /// a millisecond, which is the least that the runtime's timer measures, is spent blocking the thread.
    pub(crate) async fn gather(&self, count: usize, delay: Duration) {
        const LEAST_OF_TIMER: Duration = Duration::from_millis(1);
        if delay < LEAST_OF_TIMER {
            return self.gather_blocking(count, delay);
        }
        self.state().gathering = count;
        let gathered = async {
            loop {
                let arrived = self.arrived.notified();
                {
                    let state = self.state();
                    if state.fresh() >= count || state.is_stopping {
                        return;
                    }
                }
                arrived.await;
            }
        };
        let _ = tokio::time::timeout(delay, gathered).await;
        self.state().gathering = 0;
    }

    fn gather_blocking(&self, count: usize, delay: Duration) {
        let mut state = self.state();
        state.gathering = count;
        let began = Instant::now();
        while state.fresh() < count && !state.is_stopping {
            let left = delay.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            state = self.enough.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.gathering = 0;
    }

    /// Moves the first events that wait, at most so many, behind those in `group`, however many these are; answers how
    /// many there were.
    pub(crate) fn take(&self, group: &mut Vec<Queued>, most: usize) -> usize {
        let mut state = self.state();
        let before = group.len();
        group.extend(std::iter::from_fn(|| state.take_if(|_| true)).take(most));
        group.len() - before
    }

    /// Moves the first events behind those in `group`, up to the first that has not waited this long.
    pub(crate) fn take_overdue(&self, group: &mut Vec<Queued>, longest: Duration) {
        let mut state = self.state();
        let now = Instant::now();
        let is_overdue = |queued: &Queued| now.saturating_duration_since(queued.since) >= longest;
        group.extend(std::iter::from_fn(|| state.take_if(is_overdue)));
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

    /// How many events are in memory, and for how many there is room.
    pub(crate) fn filled(&self) -> (usize, usize) {
        let state = self.state();
        (state.waiting.len() + state.unsettled, self.capacity)
    }

    /// Events that wait, in memory or in the spool.
    #[cfg(test)]
    pub(crate) fn pending(&self) -> u64 {
        let state = self.state();
        (state.waiting.len() + state.unsettled) as u64 + state.spooled
    }

    /// Blocks until nothing waits any more, or until the deadline.
    pub(crate) fn wait_idle(&self, deadline: std::time::Instant) {
        self.hurry();
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
        !state.is_stopping && !state.finished && state.is_idle()
    }

    /// Blocks until the delivery thread is gone, or until the deadline.
    pub(crate) fn wait_finished(&self, deadline: std::time::Instant) {
        self.wait(deadline, |state| state.finished);
    }

    fn wait(&self, deadline: std::time::Instant, done: impl Fn(&State) -> bool) {
        let mut state = self.state();
        while !state.finished && !done(&state) {
            let Some(left) = deadline.checked_duration_since(std::time::Instant::now()) else { return };
            state = self.idle.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Gives out no more places; what is there is delivered until the deadline. The ends of steps that run need none and
    /// are taken until the delivery thread is gone.
    pub(crate) fn close(&self, stop: Stop) {
        self.places.close();
        self.state().is_stopping = true;
        let is_earlier = |before: &Stop| stop.deliver_until < before.deliver_until;
        self.stop.send_if_modified(|before| {
            let replace = before.as_ref().is_none_or(is_earlier);
            if replace {
                *before = Some(stop);
            }
            replace
        });
        self.enough.notify_one();
        self.arrived.notify_one();
    }

    pub(crate) fn stop_by(&self) -> Option<Instant> {
        self.stop.borrow().map(|stop| stop.deliver_until)
    }

    /// Waits until the queue is asked to close.
    pub(crate) async fn closing(&self) {
        // An error would say that the queue is gone.
        let _ = self.stop.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until the time for delivery is over.
    pub(crate) async fn out_of_time(&self) {
        self.after(|stop| stop.deliver_until).await;
    }

    /// Waits until the store should be closed.
    pub(crate) async fn time_is_up(&self) {
        self.after(|stop| stop.close_until).await;
    }

    async fn after(&self, moment: impl Fn(&Stop) -> Instant) {
        let mut stop = self.stop.subscribe();
        loop {
            let until = stop.borrow_and_update().as_ref().map(&moment);
            match until {
                None => {
                    if stop.changed().await.is_err() {
                        return;
                    }
                }
                Some(until) => tokio::select! {
                    biased;
                    () = tokio::time::sleep_until(until) => return,
                    // It may be called off earlier.
                    _ = stop.changed() => {}
                },
            }
        }
    }

    pub(crate) fn is_out_of_time(&self) -> bool {
        self.stop_by().is_some_and(|stop_by| Instant::now() >= stop_by)
    }

    /// Waits this long, or until the time for delivery is over.
    pub(crate) async fn pause(&self, delay: Duration) {
        tokio::select! {
            biased;
            () = tokio::time::sleep(delay) => {}
            () = self.out_of_time() => {}
        }
    }

    /// How long closing the store may take.
    pub(crate) fn time_to_close(&self) -> Duration {
        self.stop
            .borrow()
            .map_or(Duration::ZERO, |stop| stop.close_until.saturating_duration_since(Instant::now()))
    }

    /// Whether the delivery thread may stop: asked to, and nothing waits.
    pub(crate) fn is_done(&self) -> bool {
        let state = self.state();
        state.is_stopping && state.waiting.is_empty() && state.unsettled == 0
    }

    /// The delivery thread goes. What still waits is handed to the caller, and counted as lost together with what was
    /// taken and never settled: before those wake who wait for this moment and read the ledger then.
    pub(crate) fn finish(&self, counters: &Counters) -> Vec<Queued> {
        self.places.close();
        let mut state = self.state();
        let left: Vec<_> = state.waiting.drain(..).collect();
        let unsettled = std::mem::take(&mut state.unsettled);
        counters.lose(DropReason::Shutdown, (left.len() + unsettled) as u64);
        state.finished = true;
        self.idle.notify_all();
        left
    }
}

/// Sees to it that a queue whose delivery thread goes is finished, also by a panic of other people's code: nobody waits
/// any more, and the ledger balances.
pub(crate) struct Finish<'a> {
    pub(crate) queue: &'a Queue,
    pub(crate) counters: &'a Counters,
}

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.queue.finish(self.counters);
    }
}
