//! Delivery to the store: awaited, in groups, with retries, and through a spool if there is one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::queue::{Ack, Queue, Queued};
use super::{Account, Counters, DeliveryFailure, DropReason, Retry, until};
use crate::{
    AppendError, AppendInline, Instance, OpenError, Spool, SpoolConfig, StoreConfig, TraceAnalytics,
    TraceEvent, TraceReader, TraceStore,
};

/// How many events go to a store at once.
const GROUP: usize = 512;
/// How often a spool is tried for draining, and kept events are tried again, while nothing else happens.
const RECOVERY_INTERVAL: Duration = Duration::from_millis(500);

/// The emitting side of a store.
pub(crate) struct StoreDelivery {
    name: String,
    pub(crate) queue: Arc<Queue>,
    counters: Arc<Counters>,
    inline: Option<Arc<dyn AppendInline>>,
    pub(crate) reader: Arc<dyn TraceReader>,
    pub(crate) analytics: Arc<dyn TraceAnalytics>,
}

struct Opened {
    store: Arc<dyn TraceStore>,
    spool: Option<(Arc<dyn Spool>, u64)>,
}

impl StoreDelivery {
    /// Opens the store, and the spool if there is one, and starts to deliver.
    pub(crate) fn start(
        config: Box<dyn StoreConfig>,
        spool: Option<Box<dyn SpoolConfig>>,
        instance: Instance,
        retry: Retry,
        capacity: usize,
    ) -> Result<Self, OpenError> {
        let queue = Arc::new(Queue::new(capacity));
        let counters = Arc::new(Counters::default());
        let (worker_queue, worker_counters) = (Arc::clone(&queue), Arc::clone(&counters));
        let (spool_queue, spool_counters) = (Arc::clone(&queue), Arc::clone(&counters));
        let open = move || -> crate::BoxFuture<'static, _> {
            Box::pin(async move {
                let store = config.open(instance.clone()).await?;
                let spool = match spool {
                    None => None,
                    Some(config) => {
                        let spool = config.open(instance).await?;
                        let waiting = spool.waiting().await.map_err(|error| OpenError::Unavailable {
                            store: "spool",
                            reason: error.to_string(),
                            source: None,
                        })?;
                        // What an earlier process left in the spool is this one's to deliver.
                        spool_counters.accept(waiting);
                        spool_queue.set_spooled(waiting);
                        Some((spool, waiting))
                    }
                };
                Ok(Opened { store, spool })
            })
        };
        let opened = |opened: &Opened| {
            let store = &opened.store;
            (store.name().to_owned(), store.inline(), store.reader(), store.analytics())
        };
        let (name, inline, reader, analytics) =
            super::start("throughline-store", open, opened, move |opened, runtime| {
                let worker = Worker::new(opened, worker_queue, worker_counters, retry);
                runtime.block_on(worker.run());
            })?;
        Ok(Self { name, queue, counters, inline, reader, analytics })
    }

    /// Appends an event on this thread, where the store can do that and no earlier event waits for it; the event needs no
    /// place then. What is not appended goes through the queue, with all that the delivery thread does about failures.
    pub(crate) fn append_inline(&self, event: &Arc<TraceEvent>) -> bool {
        let Some(inline) = &self.inline else { return false };
        // A panic would be the store's and harm the host; appending again is safe, whatever was appended before.
        let appended = self.queue.may_be_passed()
            && catch_unwind(AssertUnwindSafe(|| inline.append_inline(event))).unwrap_or(false);
        if appended {
            self.counters.accept(1);
            self.counters.deliver(1);
        }
        appended
    }

    /// Hands over an event for which a place is held, and says how its delivery can be awaited.
    pub(crate) fn push(&self, event: Arc<TraceEvent>) -> Result<Ack, Closed> {
        let (waiter, ack) = oneshot::channel();
        self.hand_over(Queued { event, waiter: Some(waiter), keep: false, place: true })?;
        Ok(ack)
    }

    /// Hands over an event that stays pending until it is delivered, and says how that can be awaited.
    pub(crate) fn push_kept(&self, event: Arc<TraceEvent>) -> Result<Ack, Closed> {
        let (waiter, ack) = oneshot::channel();
        let place = self.queue.try_reserve();
        self.hand_over(Queued { event, waiter: Some(waiter), keep: true, place })?;
        Ok(ack)
    }

    /// Hands over an event whose delivery nobody awaits; it stays pending until it is delivered.
    pub(crate) fn push_unawaited(&self, event: Arc<TraceEvent>) -> Result<(), Closed> {
        let place = self.queue.try_reserve();
        self.hand_over(Queued { event, waiter: None, keep: true, place })
    }

    /// Counts events as dropped that there was no room for.
    pub(crate) fn refuse(&self, events: u64) {
        let reason = if self.queue.is_closed() { DropReason::Shutdown } else { DropReason::QueueFull };
        self.counters.accept(events);
        self.counters.lose(reason, events);
    }

    fn hand_over(&self, queued: Queued) -> Result<(), Closed> {
        self.counters.accept(1);
        self.queue.push(queued).map_err(|_| {
            self.counters.lose(DropReason::Shutdown, 1);
            Closed
        })
    }

    pub(crate) fn account(&self) -> Account {
        self.counters.account(&self.name, self.queue.pending())
    }
}

/// The delivery thread is gone.
#[derive(Debug)]
pub(crate) struct Closed;

struct Worker {
    store: Arc<dyn TraceStore>,
    spool: Option<Arc<dyn Spool>>,
    spooled: u64,
    queue: Arc<Queue>,
    counters: Arc<Counters>,
    retry: Retry,
    /// Events that stay pending because the store failed, before all others.
    group: Vec<Queued>,
}

impl Worker {
    fn new(opened: Opened, queue: Arc<Queue>, counters: Arc<Counters>, retry: Retry) -> Self {
        let (spool, spooled) = match opened.spool {
            Some((spool, waiting)) => (Some(spool), waiting),
            None => (None, 0),
        };
        Self { store: opened.store, spool, spooled, queue, counters, retry, group: Vec::with_capacity(GROUP) }
    }

    async fn run(mut self) {
        let heartbeat_interval = self.store.heartbeat_interval();
        let mut last_heartbeat = Instant::now();
        loop {
            let recovering = !self.group.is_empty() || self.spooled > 0;
            let wait = match (recovering, heartbeat_interval) {
                (true, Some(interval)) => RECOVERY_INTERVAL.min(interval),
                (true, None) => RECOVERY_INTERVAL,
                (false, Some(interval)) => interval,
                (false, None) => Duration::MAX,
            };
            match wait {
                Duration::MAX => self.queue.arrival().await,
                wait => {
                    let _ = tokio::time::timeout(wait, self.queue.arrival()).await;
                }
            }
            if let Some(interval) = heartbeat_interval
                && last_heartbeat.elapsed() >= interval
            {
                last_heartbeat = Instant::now();
                if let Err(error) = self.store.heartbeat().await {
                    tracing::warn!(target: "throughline", store = self.store.name(), %error, "the lease was not renewed");
                }
            }
            if self.spooled > 0 {
                self.drain_spool().await;
            }
            let kept = self.group.len();
            self.queue.take(&mut self.group, kept + GROUP);
            if !self.group.is_empty() {
                // Events that were kept are tried again with every group, and by themselves once in a while.
                let attempts = if self.group.len() == kept { 1 } else { self.retry.attempts };
                self.deliver(attempts).await;
            }
            let stop_by = self.queue.stop_by();
            if stop_by.is_some() && !self.group.is_empty() {
                tokio::time::sleep_until(until(self.retry.base_delay, stop_by).into()).await;
            }
            let out_of_time = stop_by.is_some_and(|stop_by| Instant::now() >= stop_by);
            if out_of_time || (self.queue.is_done() && (self.spooled == 0 || self.spool.is_some())) {
                break;
            }
        }
        self.finish().await;
    }

    /// Delivers the group, or what can be delivered of it; afterwards `group` holds what stays pending.
    async fn deliver(&mut self, attempts: u32) {
        if self.spooled > 0 && self.spool_group().await {
            return;
        }
        let mut failed = 0;
        while !self.group.is_empty() {
            let events: Vec<_> = self.group.iter().map(|queued| Arc::clone(&queued.event)).collect();
            let error = match self.store.append(&events).await {
                Ok(()) => {
                    drop(events);
                    return self.delivered();
                }
                Err(AppendError::Rejected { index, reason }) if index < self.group.len() => {
                    self.reject(index, reason);
                    continue;
                }
                Err(error) => error,
            };
            failed += 1;
            let retry_after = match &error {
                AppendError::Unavailable { retry_after, .. } => *retry_after,
                _ => None,
            };
            let stop_by = self.queue.stop_by();
            let out_of_time = stop_by.is_some_and(|stop_by| Instant::now() >= stop_by);
            if failed >= attempts || !error.is_retryable() || out_of_time {
                return self.give_up(failed, error).await;
            }
            let wake = until(self.retry.delay(failed, retry_after), stop_by);
            tokio::time::sleep_until(wake.into()).await;
        }
    }

    fn delivered(&mut self) {
        let count = self.group.len();
        self.counters.deliver(count as u64);
        // Settled before it is told: whoever was told may flush at once and must find nothing pending.
        self.queue.settle(self.group.iter());
        for queued in self.group.drain(..) {
            if let Some(waiter) = queued.waiter {
                let _ = waiter.send(Ok(()));
            }
        }
        let patience = self.store.linger();
        if count > 1 && patience > Duration::ZERO {
            self.queue.linger(count, patience);
        }
    }

    fn reject(&mut self, index: usize, reason: String) {
        let queued = self.group.remove(index);
        tracing::warn!(target: "throughline", event = %queued.event.id(), %reason, "the store refused an event");
        self.counters.lose(DropReason::Rejected, 1);
        self.queue.settle(std::iter::once(&queued));
        let error = AppendError::Rejected { index: 0, reason };
        tell(
            queued.waiter,
            &Arc::new(DeliveryFailure { store: self.store.name().to_owned(), attempts: 1, error }),
        );
    }

    /// After the last attempt: into the spool if there is one; otherwise what must not be lost stays pending,
    /// and the rest is dropped, and those who wait are told.
    async fn give_up(&mut self, attempts: u32, error: AppendError) {
        if self.spool_group().await {
            return;
        }
        tracing::warn!(target: "throughline", store = self.store.name(), attempts, %error, "the store did not take a group");
        let failure = Arc::new(DeliveryFailure { store: self.store.name().to_owned(), attempts, error });
        let dropped: Vec<_> = self.group.extract_if(.., |queued| !queued.keep).collect();
        self.counters.lose(DropReason::Unavailable, dropped.len() as u64);
        self.queue.settle(dropped.iter());
        for queued in dropped {
            tell(queued.waiter, &failure);
        }
        for queued in &mut self.group {
            tell(queued.waiter.take(), &failure);
        }
    }

    /// Moves the group into the spool; `false` if there is none or it does not take it either.
    async fn spool_group(&mut self) -> bool {
        let Some(spool) = &self.spool else { return false };
        let events: Vec<_> = self.group.iter().map(|queued| Arc::clone(&queued.event)).collect();
        if let Err(error) = spool.push(&events).await {
            tracing::warn!(target: "throughline", spool = spool.name(), %error, "the spool did not take a group");
            return false;
        }
        let count = self.group.len();
        self.spooled += count as u64;
        self.queue.set_spooled(self.spooled);
        self.queue.settle(self.group.iter());
        for queued in self.group.drain(..) {
            if let Some(waiter) = queued.waiter {
                let _ = waiter.send(Ok(()));
            }
        }
        true
    }

    /// Moves what it can from the spool to the store, in order.
    async fn drain_spool(&mut self) {
        let Some(spool) = self.spool.clone() else { return };
        while self.spooled > 0 {
            let events = match spool.peek(GROUP).await {
                Ok(events) if !events.is_empty() => events,
                Ok(_) => {
                    self.spooled = 0;
                    break;
                }
                Err(error) => {
                    tracing::warn!(target: "throughline", spool = spool.name(), %error, "the spool can't be read");
                    return;
                }
            };
            let settled = match self.store.append(&events).await {
                Ok(()) => {
                    self.counters.deliver(events.len() as u64);
                    events.len()
                }
                Err(AppendError::Rejected { index, reason }) if index < events.len() => {
                    // Everything before it goes first, so that one refused event holds nothing up.
                    if index > 0 && self.store.append(&events[..index]).await.is_err() {
                        return;
                    }
                    tracing::warn!(target: "throughline", event = %events[index].id(), %reason, "the store refused an event");
                    self.counters.deliver(index as u64);
                    self.counters.lose(DropReason::Rejected, 1);
                    index + 1
                }
                Err(_) => return,
            };
            if let Err(error) = spool.remove(settled).await {
                // They will be appended again, which the store passes over.
                tracing::warn!(target: "throughline", spool = spool.name(), %error, "the spool can't be shortened");
                return;
            }
            self.spooled = self.spooled.saturating_sub(settled as u64);
            self.queue.set_spooled(self.spooled);
        }
        self.queue.set_spooled(self.spooled);
    }

    async fn finish(mut self) {
        let failure = Arc::new(DeliveryFailure {
            store: self.store.name().to_owned(),
            attempts: 0,
            error: AppendError::Broken { reason: "it has been shut down".to_owned(), source: None },
        });
        // Nobody is told before the store is closed: a process may end the moment it is told.
        let close = self.store.close().await;
        if let Err(error) = close {
            tracing::warn!(target: "throughline", store = self.store.name(), %error, "the lease was not given back");
        }
        let mut left = std::mem::take(&mut self.group);
        left.extend(self.queue.finish());
        self.counters.lose(DropReason::Shutdown, left.len() as u64);
        for queued in left {
            tell(queued.waiter, &failure);
        }
    }
}

fn tell(waiter: Option<oneshot::Sender<Result<(), Arc<DeliveryFailure>>>>, failure: &Arc<DeliveryFailure>) {
    if let Some(waiter) = waiter {
        let _ = waiter.send(Err(Arc::clone(failure)));
    }
}
