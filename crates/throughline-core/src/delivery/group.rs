//! A group of events on its way into the store: in as many calls as the store's limits ask for, each with a deadline,
//! with retries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use throughline_model::{AppendError, Limits, TraceEvent, TraceStore};
use tokio::time::Instant;

use super::late::LateStore;
use super::queue::{Queue, Queued, Waiter};
use super::{Condition, Counters, DeliveryFailure, DropReason, Retry};

/// How many events are taken from the queue, or read from a spool, at once. A simulation never fills a large group.
pub(super) const GROUP: usize = if cfg!(test) { 4 } else { 512 };

/// How many events are worth beginning to write while others are awaited.
const PART: usize = 16;

/// What all groups for one store share.
pub(super) struct Delivering {
    pub(super) store: Arc<dyn TraceStore>,
    limits: Mutex<Limits>,
    /// The store, if it was away when the emitter was built.
    late: Option<Arc<LateStore>>,
    /// Whether the limits are those of the store itself.
    limits_are_known: AtomicBool,
    pub(super) queue: Arc<Queue>,
    pub(super) counters: Arc<Counters>,
    pub(super) condition: Arc<Condition>,
    pub(super) retry: Retry,
    /// Whether what the store does not take goes into a spool.
    has_spool: bool,
    /// When other work of this thread was last let run.
    rested: Mutex<Instant>,
    /// Who is expected to be back at once.
    expected: Mutex<Expected>,
}

/// The emitters that the last group released, and how much longer the next group waits for them.
#[derive(Default, Clone, Copy)]
struct Expected {
    count: usize,
    delay: Duration,
}

/// What of a group was not delivered when the last attempt had failed.
pub(super) struct Undelivered {
    pub(super) group: Vec<Queued>,
    pub(super) attempts: u32,
    pub(super) error: AppendError,
}

impl Delivering {
    pub(super) fn new(
        store: Arc<dyn TraceStore>,
        late: Option<Arc<LateStore>>,
        queue: Arc<Queue>,
        counters: Arc<Counters>,
        condition: Arc<Condition>,
        retry: Retry,
        has_spool: bool,
    ) -> Self {
        Self {
            limits: Mutex::new(limits_of(&*store)),
            limits_are_known: AtomicBool::new(late.is_none()),
            late,
            store,
            queue,
            counters,
            condition,
            retry,
            has_spool,
            rested: Mutex::new(Instant::now()),
            expected: Mutex::default(),
        }
    }

    /// The limits on one call.
    pub(super) fn limits(&self) -> Limits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the store was opened late, and its limits have not been asked for since.
    pub(super) fn has_new_limits(&self) -> bool {
        !self.limits_are_known.load(Ordering::Relaxed) && !self.is_not_open()
    }

    /// Asks the store for its limits once more. No event may be sorted by the old ones, or be under way.
    pub(super) fn renew_limits(&self) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits_of(&*self.store);
        self.limits_are_known.store(true, Ordering::Relaxed);
    }

    /// Whether the store was away when the emitter was built, and still is: then nothing is gained by asking it again.
    fn is_not_open(&self) -> bool {
        self.late.as_ref().is_some_and(|late| late.get().is_none())
    }

    /// Lets the lease be renewed and runs be claimed, unless that was done a moment ago: a store that blocks, as a local
    /// file does, never waits, and under constant traffic nothing else would get its turn on this thread.
    pub(super) async fn let_others_run(&self) {
        const INTERVAL: Duration = Duration::from_millis(5);
        let is_due = {
            let mut rested = self.rested.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let is_due = now.saturating_duration_since(*rested) >= INTERVAL;
            if is_due {
                *rested = now;
            }
            is_due
        };
        if is_due {
            tokio::task::yield_now().await;
        }
    }

    /// Delivers a group in order; answers what is left once a call has failed so often.
    pub(super) async fn deliver(&self, mut group: Vec<Queued>, attempts: u32) -> Result<(), Undelivered> {
        let mut failed = 0;
        self.drop_orphans(&mut group);
        let mut is_prepared = self.gather(&mut group).await;
        while !group.is_empty() {
            let count = self.fitting(group.iter().map(|queued| &*queued.event));
            let events: Vec<_> = group[..count].iter().map(|queued| Arc::clone(&queued.event)).collect();
            match self.append(&events).await {
                Ok(()) => {
                    drop(events);
                    self.delivered(group.drain(..count).collect(), group.is_empty()).await;
                    failed = 0;
                }
                Err(AppendError::Rejected { index, reason }) if index < count => {
                    self.reject(group.remove(index), reason);
                }
                Err(error) => {
                    failed += 1;
                    if std::mem::take(&mut is_prepared) {
                        self.prepare(&[]).await;
                    }
                    let is_over = failed >= attempts || self.queue.is_out_of_time() || self.is_not_open();
                    if is_over || !error.is_retryable() {
                        return Err(Undelivered { group, attempts: failed, error });
                    }
                    let delay = self.retry.delay(failed, retry_after(&error));
                    let is_overdue_then = |queued: &Queued| self.may_wait(queued) <= delay;
                    if self.has_spool && group.iter().any(is_overdue_then) {
                        return Err(Undelivered { group, attempts: failed, error });
                    }
                    let failure = self.failure(failed, error);
                    self.pause(delay, &mut group, &failure).await;
                }
            }
        }
        Ok(())
    }

    /// Waits before another attempt. Those who have waited for as long as they may get the error meanwhile.
    async fn pause(&self, delay: Duration, group: &mut Vec<Queued>, failure: &Arc<DeliveryFailure>) {
        let began = Instant::now();
        loop {
            let overdue_in = self.refuse_overdue(group, failure);
            let left = delay.saturating_sub(began.elapsed());
            if left.is_zero() || group.is_empty() || self.queue.is_out_of_time() {
                return;
            }
            self.queue.pause(left.min(overdue_in)).await;
        }
    }

    /// Applies the bound on waiting: events that may be refused are dropped once they have waited that long, and everybody who
    /// has awaited an event for that long gets the error. Returns the time until the bound is next reached.
    pub(super) fn refuse_overdue(&self, group: &mut Vec<Queued>, failure: &Arc<DeliveryFailure>) -> Duration {
        let is_refused = |queued: &mut Queued| !queued.keep && self.may_wait(queued).is_zero();
        self.drop_all(group.extract_if(.., is_refused).collect(), failure);
        self.drop_orphans(group);
        let mut next = Duration::MAX;
        for queued in group.iter_mut().filter(|queued| queued.waiter.is_some()) {
            match self.may_wait(queued) {
                Duration::ZERO => fail(queued.waiter.take(), failure),
                left => next = next.min(left),
            }
        }
        next
    }

    /// For how much longer an event may wait for a store that takes nothing.
    fn may_wait(&self, queued: &Queued) -> Duration {
        self.retry.longest().saturating_sub(queued.since.elapsed())
    }

    /// What depends on something that was refused is dropped as well, and then what depends on that.
    pub(super) fn drop_orphans(&self, group: &mut Vec<Queued>) {
        loop {
            let orphans: Vec<_> = group.extract_if(.., Queued::is_orphaned).collect();
            if orphans.is_empty() {
                return;
            }
            let reason = "it did not take the start that this event depends on".to_owned();
            let error = AppendError::Unavailable { reason, retry_after: None, source: None };
            self.drop_all(orphans, &self.failure(1, error));
        }
    }

    fn drop_all(&self, dropped: Vec<Queued>, failure: &Arc<DeliveryFailure>) {
        self.counters.lose(DropReason::Unavailable, dropped.len() as u64);
        self.queue.settle(dropped.iter());
        dropped.into_iter().for_each(|queued| queued.refused(failure));
    }

    /// How many of these events, which come in order, one call may take.
    pub(super) fn fitting<'e>(&self, events: impl Iterator<Item = &'e TraceEvent>) -> usize {
        let Limits { events: most, bytes, one_trace, .. } = self.limits();
        // One that has just been opened may take less than was thought.
        let (most, bytes) = match self.late.is_some() {
            true => (most.min(self.store.limits().events.max(1)), bytes.min(self.store.limits().bytes)),
            false => (most, bytes),
        };
        let (mut count, mut size, mut trace) = (0, 0_usize, None);
        for event in events.take(most) {
            if one_trace && *trace.get_or_insert(event.trace_id) != event.trace_id {
                break;
            }
            if bytes < usize::MAX {
                size = size.saturating_add(json_size(event));
                if size > bytes && count > 0 {
                    break;
                }
            }
            count += 1;
        }
        count
    }

    /// One call, with a deadline: after it nobody knows what became of the events.
    pub(super) async fn append(&self, events: &[Arc<TraceEvent>]) -> Result<(), AppendError> {
        let unknown = |reason: String| AppendError::Unavailable { reason, retry_after: None, source: None };
        let deadline = self.retry.attempt_timeout;
        tokio::select! {
            biased;
            appended = self.condition.deliver(|| self.store.append(events)) => appended,
            () = tokio::time::sleep(deadline) => {
                Err(unknown(format!("it did not respond within {deadline:?}")))
            }
            () = self.queue.out_of_time() => Err(unknown("it did not answer before the shutdown's deadline".to_owned())),
        }
    }

    async fn delivered(&self, group: Vec<Queued>, is_all: bool) {
        // Those who wait now are likely to be back with their next events at once.
        let released = group.iter().filter(|queued| queued.waiter.is_some() && !queued.lingers).count();
        self.counters.deliver(group.len() as u64);
        self.acknowledge(group);
        if !is_all {
            return self.let_others_run().await;
        }
        let delay = self.store.group_commit_delay();
        if released > 1 && !self.limits().one_trace && !delay.is_zero() {
            let expected = Expected { count: released, delay };
            let left = self.await_arrivals(released, delay).await;
            *self.expected() = Expected { delay: left, ..expected };
        }
    }

    /// Waits for those whom the last group has released, and lets the store prepare what is there meanwhile; answers whether it
    /// did.
    async fn gather(&self, group: &mut Vec<Queued>) -> bool {
        let Expected { count, mut delay } = std::mem::take(&mut *self.expected());
        let mut is_prepared = false;
        loop {
            let missing = count.saturating_sub(group.iter().filter(|queued| !queued.lingers).count());
            if missing == 0 || delay.is_zero() {
                break;
            }
            is_prepared = true;
            self.prepare(group).await;
            delay = self.await_arrivals(missing, delay).await;
            if self.queue.take(group, GROUP.saturating_sub(group.len())) == 0 {
                break;
            }
            self.drop_orphans(group);
        }
        if is_prepared && group.is_empty() {
            self.prepare(&[]).await;
        }
        is_prepared && !group.is_empty()
    }

    /// Waits until so many have arrived, or as many as are worth beginning with; answers what is left of the delay.
    async fn await_arrivals(&self, count: usize, delay: Duration) -> Duration {
        let began = Instant::now();
        self.queue.gather(count.min(PART), delay).await;
        delay.saturating_sub(began.elapsed())
    }

    fn expected(&self) -> MutexGuard<'_, Expected> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the store begin to write the events of a group; without any, it is to undo what it has begun.
    async fn prepare(&self, group: &[Queued]) {
        let count = self.fitting(group.iter().map(|queued| &*queued.event));
        let events: Vec<_> = group[..count].iter().map(|queued| Arc::clone(&queued.event)).collect();
        let prepare = async {
            self.store.prepare(&events);
            Ok(())
        };
        // It promises nothing: a store that panics here is judged by the call that follows.
        let _ = self.condition.guard(|| Box::pin(prepare)).await;
    }

    /// Wakes those who wait: their events are safe.
    pub(super) fn acknowledge(&self, group: Vec<Queued>) {
        // Settled first: a caller that this wakes may flush at once and must find nothing pending.
        self.queue.settle(group.iter());
        group.into_iter().for_each(Queued::taken);
    }

    pub(super) fn reject(&self, queued: Queued, reason: String) {
        tracing::warn!(target: "throughline", event = %queued.event.id(), %reason, "the store rejected an event");
        self.counters.lose(DropReason::Rejected, 1);
        self.queue.settle(std::iter::once(&queued));
        let failure = self.failure(1, AppendError::Rejected { index: 0, reason });
        queued.refused(&failure);
    }

    /// After the last attempt: what must not be lost stays pending, the rest is dropped, and those who wait get the error.
    pub(super) fn give_up(&self, undelivered: Undelivered) -> Vec<Queued> {
        let Undelivered { mut group, attempts, error } = undelivered;
        tracing::warn!(
            target: "throughline", store = self.store.name(), attempts, %error, "the store did not accept a group of events"
        );
        let failure = self.failure(attempts, error);
        let dropped: Vec<_> = group.extract_if(.., |queued| !queued.keep).collect();
        self.drop_all(dropped, &failure);
        self.drop_orphans(&mut group);
        for queued in &mut group {
            fail(queued.waiter.take(), &failure);
        }
        group
    }

    /// Closes the store; what is left and what still waits is counted as dropped.
    pub(super) async fn close(&self, mut left: Vec<Queued>) {
        // Nobody is woken before the store is closed: a process may end at that moment.
        let close =
            tokio::time::timeout(self.queue.time_to_close(), self.condition.guard(|| self.store.close()))
                .await;
        let error = match close {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("it did not answer in time".to_owned()),
        };
        if let Some(error) = error {
            tracing::warn!(target: "throughline", store = self.store.name(), error, "the lease was not released");
        }
        left.extend(self.queue.finish(&self.counters));
        let closed = AppendError::Broken { reason: "it has been shut down".to_owned(), source: None };
        let failure = self.failure(0, closed);
        left.into_iter().for_each(|queued| queued.refused(&failure));
    }

    pub(super) fn failure(&self, attempts: u32, error: AppendError) -> Arc<DeliveryFailure> {
        Arc::new(DeliveryFailure { store: self.store.name().to_owned(), attempts, error })
    }
}

/// The limits of a store, as far as they make sense.
fn limits_of(store: &dyn TraceStore) -> Limits {
    let mut limits = store.limits();
    (limits.events, limits.in_flight) = (limits.events.max(1), limits.in_flight.max(1));
    // Calls that are under way at once have traces of their own.
    limits.one_trace |= limits.in_flight > 1;
    limits
}

/// How long the store asked to be left alone.
pub(super) fn retry_after(error: &AppendError) -> Option<Duration> {
    match error {
        AppendError::Unavailable { retry_after, .. } => *retry_after,
        _ => None,
    }
}

fn fail(waiter: Option<Waiter>, failure: &Arc<DeliveryFailure>) {
    if let Some(waiter) = waiter {
        let _ = waiter.send(Err(Arc::clone(failure)));
    }
}

/// How many bytes the JSON of an event has.
fn json_size(event: &TraceEvent) -> usize {
    struct Counted(usize);
    impl std::io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    match serde_json::to_writer(&mut counted, event) {
        Ok(()) => counted.0,
        // What can't be written as JSON is refused by the store, which says so.
        Err(_) => 0,
    }
}
