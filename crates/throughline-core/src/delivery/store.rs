//! The emitting side of a store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use throughline_model::{
    AppendInline, BoxFuture, Charges, Instance, InstanceId, MergedReader, OpenError, Readers, Secret, Spool,
    SpoolConfig, SpoolReader, SpoolUsage, StoreConfig, TraceEvent, TraceStore, Upkeep, UpkeepFailures,
};
use tokio::sync::oneshot;

use super::calls::{Calls, calls};
use super::group::Delivering;
use super::late::LateStore;
use super::queue::{Ack, Dependency, Fate, Finish, Queue, Queued};
use super::thread::{self, KeepAlive};
use super::worker::Worker;
use super::{
    Condition, Counters, DestinationKind, DestinationReport, DropReason, QueueReport, Retry, Stop, WhenFull,
    describe_panic, lease, not_opened_in,
};

/// The emitting side of a store.
pub(crate) struct StoreDelivery {
    name: String,
    pub(crate) queue: Arc<Queue>,
    pub(crate) calls: Calls,
    counters: Arc<Counters>,
    condition: Arc<Condition>,
    when_full: WhenFull,
    inline: Option<Arc<dyn AppendInline>>,
    accounts: Accounts,
    pub(crate) readers: Readers,
    spool_reader: Option<Arc<dyn SpoolReader>>,
    instance: InstanceId,
    /// What pseudonyms are made with where nobody sets a key.
    pub(crate) secret: Option<Secret>,
    /// The runtime of the store goes with it: readers may need it for longer than delivery does.
    #[expect(dead_code, reason = "held for what its drop does")]
    keep_alive: KeepAlive,
}

/// How much room the queue of a store has.
pub(crate) struct Room {
    pub(crate) capacity: usize,
    /// What happens when it is full; by default what fits the retries.
    pub(crate) when_full: Option<WhenFull>,
}

/// What a store does on its own, and what it is charged for.
struct Accounts {
    upkeep: Upkeep,
    charges: Charges,
    /// The store that they are asked of, if it is opened later.
    late: Option<Arc<LateStore>>,
}

impl Accounts {
    fn now(&self) -> (Upkeep, Charges) {
        match self.late.as_ref().and_then(|late| late.get()) {
            Some(store) => (store.upkeep(), store.charges()),
            None => (self.upkeep.clone(), self.charges.clone()),
        }
    }
}

/// What pseudonyms are made with, if the store says so in time.
async fn secret(readers: &Readers, patience: Duration) -> Option<Secret> {
    let said = match tokio::time::timeout(patience, readers.reader.secret()).await {
        Ok(said) => said.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the store did not answer within {patience:?}")),
    };
    said.unwrap_or_else(|error| {
        tracing::warn!(
            target: "throughline",
            error,
            "cannot read the store's secret: pseudonyms of this process can't be found by others"
        );
        None
    })
}

struct OpenStore {
    store: Arc<dyn TraceStore>,
    /// The same, if it was away and is opened when it is there.
    late: Option<Arc<LateStore>>,
    readers: Readers,
    secret: Option<Secret>,
    spool: Option<(Arc<dyn Spool>, SpoolUsage)>,
}

impl StoreDelivery {
    /// Opens the store, and the spool if there is one, and starts to deliver.
    pub(crate) fn start(
        config: Arc<dyn StoreConfig>,
        spool: Option<Box<dyn SpoolConfig>>,
        instance: Instance,
        retry: Retry,
        room: Room,
        open_timeout: Duration,
    ) -> Result<Self, OpenError> {
        let own = instance.id;
        let when_full = room.when_full.unwrap_or(WhenFull::BlockFor(retry.longest()));
        let condition = Arc::new(Condition::default());
        let queue = Arc::new(Queue::new(room.capacity));
        let counters = Arc::new(Counters::default());
        let (calls, received) = calls(retry.attempt_timeout, Arc::clone(&condition));
        let (worker_queue, worker_counters) = (Arc::clone(&queue), Arc::clone(&counters));
        let (spool_queue, spool_counters) = (Arc::clone(&queue), Arc::clone(&counters));
        let open = move || -> BoxFuture<'static, _> {
            Box::pin(async move {
                let mut opening = config.open(instance.clone());
                let (opened, under_way) = match tokio::time::timeout(open_timeout, &mut opening).await {
                    Ok(opened) => (opened, None),
                    Err(_) => (Err(not_opened_in(open_timeout, config.name())), Some(opening)),
                };
                let (store, late) = match opened {
                    Ok(store) => (store, None),
                    // Where a spool takes what there is, a service starts without its store.
                    Err(error) if spool.is_some() => {
                        let late = Arc::new(LateStore::after(error, under_way, config, instance.clone())?);
                        (Arc::clone(&late) as Arc<dyn TraceStore>, Some(late))
                    }
                    Err(error) => return Err(error),
                };
                let mut readers = store.readers();
                let secret = match late {
                    Some(_) => None,
                    None => secret(&readers, open_timeout).await,
                };
                let spool = match spool {
                    None => None,
                    Some(config) => {
                        let opening = async {
                            let spool = config.open(instance).await?;
                            let usage = spool.usage().await.map_err(|error| OpenError::Unavailable {
                                store: "spool",
                                reason: error.to_string(),
                                source: None,
                            })?;
                            Ok((spool, usage))
                        };
                        let (spool, usage) = tokio::time::timeout(open_timeout, opening)
                            .await
                            .unwrap_or_else(|_| Err(not_opened_in(open_timeout, "spool")))?;
                        // What an earlier process left in the spool is this one's to deliver.
                        spool_counters.accept(usage.events);
                        spool_queue.set_spooled(usage.events);
                        // What was acknowledged is shown, wherever it is.
                        let merged = MergedReader::new(readers.reader, spool.reader()).of_instance(own);
                        readers.reader = Arc::new(merged);
                        Some((spool, usage))
                    }
                };
                Ok(OpenStore { store, late, readers, secret, spool })
            })
        };
        let opened = |opened: &OpenStore| {
            let store = &opened.store;
            let (inline, upkeep, charges) = (store.inline(), store.upkeep(), store.charges());
            let accounts = Accounts { upkeep, charges, late: opened.late.clone() };
            let name = store.name().to_owned();
            let spool = opened.spool.as_ref().map(|(spool, _)| spool.reader());
            (name, inline, accounts, opened.readers.clone(), spool, opened.secret.clone())
        };
        let worker_condition = Arc::clone(&condition);
        let ((name, inline, accounts, readers, spool_reader, secret), keep_alive) =
            thread::start("throughline-store", open, opened, move |opened| {
                let OpenStore { store, late, spool, .. } = opened;
                Box::pin(async move {
                    let (queue, counters) = (Arc::clone(&worker_queue), Arc::clone(&worker_counters));
                    let _finish = Finish { queue: &queue, counters: &counters };
                    let condition = Arc::clone(&worker_condition);
                    let delivering = Arc::new(Delivering::new(
                        Arc::clone(&store),
                        late.clone(),
                        worker_queue,
                        worker_counters,
                        worker_condition,
                        retry,
                        spool.is_some(),
                    ));
                    let worker = Worker::new(Arc::clone(&delivering), spool);
                    // One future after the other is polled on this thread: none of them waits for another.
                    let keep_lease = async {
                        if let Some(late) = &late {
                            late.open().await;
                        }
                        lease::keep(&*store, &condition).await;
                    };
                    let left = tokio::select! {
                        biased;
                        () = keep_lease => Vec::new(),
                        () = received.serve(&store) => Vec::new(),
                        left = worker.run() => left,
                    };
                    delivering.close(left).await;
                })
            })?;
        Ok(Self {
            name,
            queue,
            calls,
            counters,
            condition,
            when_full,
            inline,
            accounts,
            readers,
            spool_reader,
            instance: own,
            secret,
            keep_alive,
        })
    }

    /// What was acknowledged is shown, wherever it is: also what waits in the spool.
    pub(crate) fn with_spool(&self, mut readers: Readers) -> Readers {
        if let Some(spool) = &self.spool_reader {
            let merged = MergedReader::new(readers.reader, Arc::clone(spool)).of_instance(self.instance);
            readers.reader = Arc::new(merged);
        }
        readers
    }

    /// What waits in the spool, if there is one.
    pub(crate) fn outbox(&self) -> Option<Arc<dyn SpoolReader>> {
        self.spool_reader.clone()
    }

    /// Whether the store was away when this was started.
    pub(crate) fn is_late(&self) -> bool {
        self.accounts.late.is_some()
    }

    /// Takes a place in the queue for an event that may be refused, or says why it got none.
    pub(crate) async fn reserve(&self) -> Result<(), NoRoom> {
        let limit = match self.when_full {
            _ if self.queue.try_reserve() => return Ok(()),
            _ if self.queue.is_closed() => return Err(NoRoom::Closed),
            WhenFull::Block => None,
            WhenFull::BlockFor(limit) => Some(limit),
            WhenFull::Fail => Some(Duration::ZERO),
        };
        let has_place = match limit {
            None => self.queue.reserve().await,
            Some(limit) => match select(pin!(self.queue.reserve()), thread::timer(limit)).await {
                Either::Left((has_place, _)) => has_place,
                Either::Right(_) => {
                    self.refuse(1);
                    return Err(NoRoom::Full { waited: limit });
                }
            },
        };
        if has_place { Ok(()) } else { Err(NoRoom::Closed) }
    }

    /// Appends an event on this thread, where the store can do that and no earlier event waits for it; the event needs no
    /// place then. What is not appended goes through the queue, with all that the delivery thread does about failures.
    pub(crate) fn append_inline(&self, event: &Arc<TraceEvent>) -> bool {
        let Some(inline) = &self.inline else { return false };
        if !self.queue.may_be_passed() {
            return false;
        }
        // A panic would be the store's and harm the host; appending again is safe, whatever was appended before.
        let appended =
            catch_unwind(AssertUnwindSafe(|| inline.append_inline(event))).unwrap_or_else(|panic| {
                self.condition.panicked(&describe_panic(&*panic));
                false
            });
        if appended {
            self.condition.went_well();
            self.counters.accept(1);
            self.counters.deliver(1);
        }
        appended
    }

    /// Hands over an event for which a place is held, and says how its delivery can be awaited.
    pub(crate) fn push(&self, event: Arc<TraceEvent>, depends_on: Option<Dependency>) -> Result<Ack, Closed> {
        let (tx, rx) = oneshot::channel();
        self.hand_over(Queued { depends_on, ..Queued::new(event, Some(tx)) })?;
        Ok(rx)
    }

    /// Hands over an event that stays pending until it is delivered, and says how that can be awaited.
    pub(crate) fn push_kept(&self, event: Arc<TraceEvent>, lingers: bool) -> Result<Ack, Closed> {
        let (tx, rx) = oneshot::channel();
        let place = self.queue.try_reserve();
        self.hand_over(Queued { lingers, ..Queued::kept(event, Some(tx), place) })?;
        Ok(rx)
    }

    /// Hands over an event whose delivery nobody awaits. It stays pending until it is delivered, or what it depends on is
    /// refused.
    pub(crate) fn push_unawaited(
        &self,
        event: Arc<TraceEvent>,
        depends_on: Option<Dependency>,
    ) -> Result<(), Closed> {
        let place = self.queue.try_reserve();
        self.hand_over(Queued { depends_on, ..Queued::kept(event, None, place) })
    }

    /// Hands over the root of an event for which a place is held. It is refused where that is; others depend on it.
    pub(crate) fn push_root(&self, event: Arc<TraceEvent>) -> Result<Arc<Fate>, Closed> {
        let (place, fate) = (self.queue.try_reserve(), Arc::<Fate>::default());
        self.hand_over(Queued { place, fate: Some(Arc::clone(&fate)), ..Queued::new(event, None) })?;
        Ok(fate)
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
        let (upkeep, charges) = self.accounts.now();
        let UpkeepFailures { count, last, .. } = upkeep.failures();
        DestinationReport {
            upkeep_failures: count,
            last_upkeep_failure: last,
            charges: charges.totals(),
            queue: Some(QueueReport::from(&*self.queue)),
            ..self.counters.report(&self.name, DestinationKind::Store, &self.condition)
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

/// Why an event got no place in the queue.
#[derive(Debug)]
pub(crate) enum NoRoom {
    /// It is closed.
    Closed,
    /// It was full all this time.
    Full { waited: Duration },
}
