//! The emitting side of a store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use throughline_model::{
    AppendInline, BoxFuture, Instance, OpenError, Readers, Secret, Spool, SpoolConfig, StoreConfig,
    TraceEvent, TraceStore, Upkeep, UpkeepFailures,
};
use tokio::sync::oneshot;

use super::calls::{Calls, calls};
use super::group::Delivering;
use super::queue::{Ack, Finish, Queue, Queued};
use super::thread::{self, KeepAlive};
use super::worker::Worker;
use super::{Counters, DestinationReport, DropReason, Retry, Stop, lease};

/// The emitting side of a store.
pub(crate) struct StoreDelivery {
    name: String,
    pub(crate) queue: Arc<Queue>,
    pub(crate) calls: Calls,
    counters: Arc<Counters>,
    inline: Option<Arc<dyn AppendInline>>,
    upkeep: Upkeep,
    pub(crate) readers: Readers,
    /// What pseudonyms are made with where nobody sets a key.
    pub(crate) secret: Option<Secret>,
    /// The runtime of the store goes with it: readers may need it for longer than delivery does.
    #[expect(dead_code, reason = "held for what its drop does")]
    keep_alive: KeepAlive,
}

struct OpenStore {
    store: Arc<dyn TraceStore>,
    readers: Readers,
    secret: Option<Secret>,
    spool: Option<(Arc<dyn Spool>, u64)>,
}

impl StoreDelivery {
    /// Opens the store, and the spool if there is one, and starts to deliver.
    pub(crate) fn start(
        config: Arc<dyn StoreConfig>,
        spool: Option<Box<dyn SpoolConfig>>,
        instance: Instance,
        retry: Retry,
        capacity: usize,
    ) -> Result<Self, OpenError> {
        let queue = Arc::new(Queue::new(capacity));
        let counters = Arc::new(Counters::default());
        let (calls, received) = calls(retry.attempt_timeout);
        let (worker_queue, worker_counters) = (Arc::clone(&queue), Arc::clone(&counters));
        let (spool_queue, spool_counters) = (Arc::clone(&queue), Arc::clone(&counters));
        let open = move || -> BoxFuture<'static, _> {
            Box::pin(async move {
                let store = config.open(instance.clone()).await?;
                let readers = store.readers();
                let secret = readers.reader.secret().await.unwrap_or_else(|error| {
                    tracing::warn!(
                        target: "throughline",
                        %error,
                        "cannot read the store's secret: pseudonyms of this process can't be found by others"
                    );
                    None
                });
                let spool = match spool {
                    None => None,
                    Some(config) => {
                        let spool = config.open(instance).await?;
                        let usage = spool.usage().await.map_err(|error| OpenError::Unavailable {
                            store: "spool",
                            reason: error.to_string(),
                            source: None,
                        })?;
                        // What an earlier process left in the spool is this one's to deliver.
                        spool_counters.accept(usage.events);
                        spool_queue.set_spooled(usage.events);
                        Some((spool, usage.events))
                    }
                };
                Ok(OpenStore { store, readers, secret, spool })
            })
        };
        let opened = |opened: &OpenStore| {
            let store = &opened.store;
            let (inline, upkeep) = (store.inline(), store.upkeep());
            (store.name().to_owned(), inline, upkeep, opened.readers.clone(), opened.secret.clone())
        };
        let ((name, inline, upkeep, readers, secret), keep_alive) =
            thread::start("throughline-store", open, opened, move |opened, runtime| {
                let OpenStore { store, spool, .. } = opened;
                let (queue, counters) = (Arc::clone(&worker_queue), Arc::clone(&worker_counters));
                let _finish = Finish { queue: &queue, counters: &counters };
                let delivering =
                    Arc::new(Delivering::new(Arc::clone(&store), worker_queue, worker_counters, retry));
                let worker = Worker::new(Arc::clone(&delivering), spool);
                runtime.block_on(async move {
                    // One future after the other is polled on this thread: none of them waits for another.
                    let left = tokio::select! {
                        left = worker.run() => left,
                        () = lease::keep(&*store) => Vec::new(),
                        () = received.serve(&store) => Vec::new(),
                    };
                    delivering.close(left).await;
                });
            })?;
        Ok(Self { name, queue, calls, counters, inline, upkeep, readers, secret, keep_alive })
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
        let (tx, rx) = oneshot::channel();
        self.hand_over(Queued { event, waiter: Some(tx), keep: false, place: true })?;
        Ok(rx)
    }

    /// Hands over an event that stays pending until it is delivered, and says how that can be awaited.
    pub(crate) fn push_kept(&self, event: Arc<TraceEvent>) -> Result<Ack, Closed> {
        let (tx, rx) = oneshot::channel();
        let place = self.queue.try_reserve();
        self.hand_over(Queued { event, waiter: Some(tx), keep: true, place })?;
        Ok(rx)
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

    pub(crate) fn report(&self) -> DestinationReport {
        let UpkeepFailures { count, last, .. } = self.upkeep.failures();
        DestinationReport {
            upkeep_failures: count,
            last_upkeep_failure: last,
            ..self.counters.report(&self.name, self.queue.pending())
        }
    }
}

impl Drop for StoreDelivery {
    /// Nobody can emit any more, or the emitter was not built after all: what there is is delivered, and the lease given
    /// back.
    fn drop(&mut self) {
        self.queue.close(Stop::at_leisure());
    }
}

/// The delivery thread is gone.
#[derive(Debug)]
pub(crate) struct Closed;
