//! The hub of an emitter: the one way out for events.

mod background;
mod claims;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::{join_all, select};

use crate::delivery::queue::{Ack, Dependency, Fate, Queue};
use crate::delivery::{
    Condition, Counters, DropReason, FeedDelivery, StoreDelivery, describe_panic, on_helper_thread,
};
use crate::delivery::{DeliveryReport, DestinationKind, DestinationReport, Durability};
use crate::metrics::{CollectorGuard, Meter};
use crate::propagators::Propagators;
use crate::redaction::own_texts;
use throughline_model::{
    BoxFuture, EventSink, InstanceId, Readers, SpanId, Text, Timestamp, TraceEvent, TraceId, TraceStream,
};
use throughline_redact::Redactor;

pub(crate) use background::Background;
pub(crate) use claims::{Claims, InHand};

/// Everything that the contexts of one emitter share.
pub(crate) struct Hub {
    pub(crate) service: Text,
    pub(crate) instance: InstanceId,
    pub(crate) enabled: bool,
    /// Whether the process has said that it is shutting down.
    pub(crate) stopping: AtomicBool,
    pub(crate) redactor: Redactor,
    pub(crate) propagators: Propagators,
    pub(crate) durability: Durability,
    /// The place of the next event in this instance.
    pub(crate) n: AtomicU64,
    pub(crate) store: Option<StoreDelivery>,
    pub(crate) readers: Option<Readers>,
    pub(crate) stream: Option<Arc<dyn TraceStream>>,
    pub(crate) feeds: Vec<FeedDelivery>,
    pub(crate) sinks: Vec<Sink>,
    pub(crate) meter: Meter,
    /// Runs that this process has in hand because it claimed them.
    pub(crate) claims: Arc<Claims>,
    /// Sagas that continue without their callers.
    pub(crate) background: Arc<Background>,
    /// Measures the delivery report at each collection.
    #[expect(dead_code, reason = "held for what its drop does")]
    pub(crate) ledger_metrics: CollectorGuard,
}

/// An in-process destination, and what became of its events.
pub(crate) struct Sink {
    sink: Box<dyn EventSink>,
    counters: Counters,
    condition: Condition,
}

impl Sink {
    pub(crate) fn new(sink: Box<dyn EventSink>) -> Self {
        Self { sink, counters: Counters::default(), condition: Condition::default() }
    }

    fn report(&self) -> DestinationReport {
        let Self { sink, counters, condition } = self;
        match catch_unwind(AssertUnwindSafe(|| sink.account())) {
            Ok(Some(account)) => counters.report_with(sink.name(), condition, account),
            _ => counters.report(sink.name(), DestinationKind::Sink, condition),
        }
    }
}

/// What becomes of an event.
#[derive(Debug)]
pub(crate) enum Delivery {
    /// Its emitter holds a place in the store's queue for it, awaits it, and gives up with it. It is refused with the root of
    /// its request, where it is not known whether the store takes that.
    Awaited { root: Option<Arc<Fate>> },
    /// Its emitter awaits it; it stays pending anyway.
    AwaitedAndKept,
    /// The same for something that is awaited together with what comes next, and may wait for that a moment.
    AwaitedWithTheNext,
    /// Nobody awaits it; it stays pending.
    Kept,
    /// The same for the end of something of which it is not known whether the store takes its start. It is dropped if that
    /// is refused.
    KeptUnlessRefused(Dependency),
    /// The store does not get it.
    InProcess,
}

/// Why the start of a root is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// Because of an event that hangs on it and goes into the queue next: it is recorded with that or not at all.
    Before,
    /// It stays pending.
    ForItsOwnSake,
}

/// What became of an event at once.
pub(crate) enum Emitted {
    /// There is nothing to wait for.
    NotAwaited,
    /// The store will say.
    Awaiting(Ack),
    /// The store is closed; the event has been counted as dropped.
    Closed,
}

impl Hub {
    /// Redacts an event, gives it its place in this instance, and hands it to every destination. What its context has of it
    /// is redacted already: see [`own_texts`].
    ///
    /// Events are large, so it is written where it stays: over whatever event was there before, of which nothing may be left.
    #[inline]
    pub(crate) fn emit(&self, delivery: Delivery, write: impl FnOnce(&mut TraceEvent)) -> Emitted {
        let prepare = |place: &mut TraceEvent| {
            write(place);
            self.prepare(place);
        };
        if self.feeds.is_empty() && (self.store.is_none() || matches!(delivery, Delivery::InProcess)) {
            if !self.sinks.is_empty() {
                with_shared(prepare, |event| self.show(event));
            }
            return Emitted::NotAwaited;
        }
        self.hand_out(shared(prepare), delivery)
    }

    /// The same for an event that is said to be of another instance.
    pub(crate) fn emit_of(
        &self,
        instance: InstanceId,
        delivery: Delivery,
        write: impl FnOnce(&mut TraceEvent),
    ) -> Emitted {
        let event = shared(|place| {
            write(place);
            self.prepare(place);
            place.instance = instance;
        });
        self.hand_out(event, delivery)
    }

    /// The same for an event that is redacted and has its place in another instance.
    pub(crate) fn emit_as_it_is(&self, event: TraceEvent, delivery: Delivery) -> Emitted {
        self.hand_out(Arc::new(event), delivery)
    }

    fn hand_out(&self, event: Arc<TraceEvent>, delivery: Delivery) -> Emitted {
        self.show(&event);
        self.enqueue(event, delivery)
    }

    /// Emits the start of a root for a caller that holds a lock: sinks are other people's code, so the caller
    /// [shows](Self::show) it to them once the lock is gone.
    pub(crate) fn emit_unshown(
        &self,
        root: Root,
        write: impl FnOnce(&mut TraceEvent),
    ) -> (Arc<TraceEvent>, Option<Arc<Fate>>) {
        let event = shared(|place| {
            write(place);
            self.prepare(place);
        });
        self.feeds.iter().for_each(|feed| feed.offer(Arc::clone(&event)));
        let fate = self.store_root(Arc::clone(&event), root);
        (event, fate)
    }

    /// Hands the start of a root to the store, perhaps again; answers what tells whether it is refused, if it can be.
    pub(crate) fn store_root(&self, event: Arc<TraceEvent>, root: Root) -> Option<Arc<Fate>> {
        let store = self.store.as_ref()?;
        if store.append_inline(&event) {
            return None;
        }
        match root {
            Root::ForItsOwnSake => {
                // After a shutdown there is nothing to tell.
                let _ = store.push_unawaited(event, None);
                None
            }
            Root::Before => store.push_root(event).ok(),
        }
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn prepare(&self, event: &mut TraceEvent) {
        own_texts(&self.redactor, event);
        event.instance = self.instance;
        event.n = self.n.fetch_add(1, Ordering::Relaxed);
    }

    /// Hands an event to the sinks.
    pub(crate) fn show(&self, event: &Arc<TraceEvent>) {
        for Sink { sink, counters, condition } in &self.sinks {
            counters.accept(1);
            match catch_unwind(AssertUnwindSafe(|| sink.on_event(event))) {
                Ok(()) => {
                    condition.went_well();
                    counters.deliver(1);
                }
                Err(panic) => {
                    condition.panicked(&describe_panic(&*panic));
                    counters.lose(DropReason::Panicked, 1);
                }
            }
        }
    }

    /// Hands an event to the queues of the feeds and of the store.
    fn enqueue(&self, event: Arc<TraceEvent>, delivery: Delivery) -> Emitted {
        let store = self.store.as_ref().filter(|_| !matches!(delivery, Delivery::InProcess));
        for feed in &self.feeds {
            feed.offer(Arc::clone(&event));
        }
        let Some(store) = store else { return Emitted::NotAwaited };
        if store.append_inline(&event) {
            if matches!(delivery, Delivery::Awaited { .. }) {
                store.queue.release();
            }
            return Emitted::NotAwaited;
        }
        let pushed = match delivery {
            Delivery::Awaited { root } => {
                store.push(event, root.map(Dependency::Root)).map(Emitted::Awaiting)
            }
            Delivery::AwaitedAndKept => store.push_kept(event, false).map(Emitted::Awaiting),
            Delivery::AwaitedWithTheNext => store.push_kept(event, true).map(Emitted::Awaiting),
            Delivery::Kept | Delivery::InProcess => {
                store.push_unawaited(event, None).map(|()| Emitted::NotAwaited)
            }
            Delivery::KeptUnlessRefused(start) => {
                store.push_unawaited(event, Some(start)).map(|()| Emitted::NotAwaited)
            }
        };
        pushed.unwrap_or(Emitted::Closed)
    }

    /// Whether a run is exported, as far as it is for its sinks to say.
    pub(crate) fn samples(&self, trace: TraceId) -> bool {
        // One that panics says nothing.
        let samples = |Sink { sink, .. }: &Sink| catch_unwind(AssertUnwindSafe(|| sink.samples(trace)));
        self.sinks.iter().all(|sink| samples(sink).unwrap_or(true))
    }

    /// From which threshold on runs are exported, as far as a sink says.
    pub(crate) fn threshold(&self, trace: TraceId, begins_here: bool) -> Option<u64> {
        let threshold =
            |Sink { sink, .. }: &Sink| catch_unwind(AssertUnwindSafe(|| sink.threshold(trace, begins_here)));
        self.sinks.iter().find_map(|sink| threshold(sink).unwrap_or(None))
    }

    /// Lets the sinks send on what they have kept, all at once: one that waits in vain takes no time of another.
    pub(crate) async fn flush_sinks(&self, deadline: Instant) {
        self.each_sink(deadline, |sink, left| sink.flush(left)).await;
    }

    /// The same for the last time.
    pub(crate) async fn close_sinks(&self, deadline: Instant) {
        self.each_sink(deadline, |sink, left| sink.close(left)).await;
    }

    async fn each_sink<'a>(
        &'a self,
        deadline: Instant,
        flush: impl Fn(&'a dyn EventSink, Duration) -> BoxFuture<'a, ()>,
    ) {
        if self.sinks.is_empty() {
            return;
        }
        let flush = &flush;
        let flushes = join_all(self.sinks.iter().map(|Sink { sink, .. }| {
            let left = deadline.saturating_duration_since(Instant::now());
            // A sink that panics has nothing more to send.
            AssertUnwindSafe(async move { flush(&**sink, left).await }).catch_unwind()
        }));
        // The caller's runtime may have no timer. The sender is dropped when the sinks are done, which ends the thread.
        let (tx, rx) = std::sync::mpsc::channel::<()>();
        let left = deadline.saturating_duration_since(Instant::now());
        let timer = on_helper_thread(move || {
            let _ = rx.recv_timeout(left);
        });
        select(pin!(flushes), pin!(timer)).await;
        drop(tx);
    }

    pub(crate) fn queues(&self) -> impl Iterator<Item = &Arc<Queue>> {
        let store = self.store.iter().map(|store| &store.queue);
        store.chain(self.feeds.iter().map(|feed| &feed.queue))
    }

    pub(crate) fn report(&self) -> DeliveryReport {
        let store = self.store.iter().map(StoreDelivery::report);
        let feeds = self.feeds.iter().map(FeedDelivery::report);
        let sinks = self.sinks.iter().map(Sink::report);
        let mut destinations: Vec<_> = store.chain(feeds).chain(sinks).collect();
        name_apart(&mut destinations);
        DeliveryReport { destinations, redacted: self.redactor.counts() }
    }
}

/// Writes and shares an event that is likely kept by nobody: its allocation serves the next one of this thread.
#[inline]
fn with_shared(write: impl FnOnce(&mut TraceEvent), show: impl FnOnce(&Arc<TraceEvent>)) {
    thread_local! {
        static SPARE: Cell<Option<Arc<TraceEvent>>> = const { Cell::new(None) };
    }
    let mut event = SPARE.try_with(Cell::take).unwrap_or_default().unwrap_or_else(|| shared(|_| {}));
    match Arc::get_mut(&mut event) {
        Some(place) => write(place),
        // A sink kept the one before.
        None => event = shared(write),
    }
    show(&event);
    // A thread that ends keeps nothing.
    let _ = SPARE.try_with(|spare| spare.set(Some(event)));
}

/// An event that is written into a new allocation.
fn shared(write: impl FnOnce(&mut TraceEvent)) -> Arc<TraceEvent> {
    /// Those of no event.
    static IDS: LazyLock<(TraceId, SpanId)> = LazyLock::new(|| (TraceId::from_key(""), SpanId::random()));
    let ((trace_id, span_id), none) = (*IDS, Text::literal(""));
    let mut event = TraceEvent::new(trace_id, span_id, none.clone(), Timestamp::from_micros(0), none);
    write(&mut event);
    Arc::new(event)
}

/// The second destination of a name is called `name-2`.
fn name_apart(destinations: &mut [DestinationReport]) {
    for at in 1..destinations.len() {
        let (before, rest) = destinations.split_at_mut(at);
        let Some(destination) = rest.first_mut() else { continue };
        let is_taken = |name: &str| before.iter().any(|before| before.name == name);
        if is_taken(&destination.name) {
            let free = (2..).map(|n| format!("{}-{n}", destination.name)).find(|name| !is_taken(name));
            destination.name = free.unwrap_or_default();
        }
    }
}
