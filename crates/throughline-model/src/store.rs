//! [`TraceStore`], a durable destination of events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::{
    AppendError, BoxFuture, InstanceId, OpenError, Process, Text, Timestamp, TraceAnalytics, TraceEvent,
    TraceId, TraceReader,
};

/// An instance of a service that opens a store or a feed: one emitter, from its start to its end.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Instance {
    /// The instance whose lease the store keeps while it is open.
    pub id: InstanceId,
    /// The service's name.
    pub service: Text,
    /// The service's version, as in `1.4.1`.
    pub version: Option<Text>,
    /// The name of the host that it runs on.
    pub host: Option<Text>,
    /// The process that it runs in.
    pub pid: Option<u32>,
}

impl Instance {
    /// An instance of a service.
    pub fn new(id: InstanceId, service: impl Into<Text>) -> Self {
        Self { id, service: service.into(), version: None, host: None, pid: None }
    }

    /// The service's version.
    #[must_use]
    pub fn version(mut self, version: impl Into<Text>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Where it runs: the name of the host, and the number of the process there.
    #[must_use]
    pub fn runs_on(mut self, host: impl Into<Text>, pid: u32) -> Self {
        (self.host, self.pid) = (Some(host.into()), Some(pid));
        self
    }

    /// What a store keeps of its process, if it opens that at this moment.
    pub fn process(&self, now: Timestamp) -> Process {
        let Self { id: _, service, version, host, pid } = self.clone();
        Process { service, version, host, pid, started: now, last_seen: now }
    }
}

/// The configuration of a store: nothing is opened before [`open`](Self::open).
pub trait StoreConfig: Send + Sync + 'static {
    /// What the store is called in delivery reports while it can't be opened: the [name](TraceStore::name) that it has then.
    fn name(&self) -> &'static str {
        "store"
    }

    /// Opens the store, creating it if necessary, and acquires the lease of this instance. An instance that opens again is
    /// alive again, and holds none of the claims it had before.
    ///
    /// Emitters open it on a thread and a tokio runtime of their own, so that connections do not depend on the runtime
    /// of the caller. The store may use that runtime until it is dropped. It must not block that thread: where a spool holds the
    /// events of a store that is away, it is the one that writes them there.
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>>;

    /// Opens the store for reading only: without a lease, without creating it, and without write access. A store that does
    /// not exist yet is an error, or has nothing to read. The readers may use the tokio runtime that they are opened on for
    /// as long as they exist.
    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>>;
}

/// The readers of a store.
#[derive(Clone)]
pub struct Readers {
    /// Queries about runs and events.
    pub reader: Arc<dyn TraceReader>,
    /// Queries across runs.
    pub analytics: Arc<dyn TraceAnalytics>,
}

impl Readers {
    /// What one value answers.
    pub fn of<R: TraceReader + TraceAnalytics>(reader: R) -> Self {
        let reader = Arc::new(reader);
        Self { reader: Arc::clone(&reader) as _, analytics: reader }
    }
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers").finish_non_exhaustive()
    }
}

/// The limits on one call of a store. Delivery respects them: a group that does not fit is split, and the parts of one
/// trace stay in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many events a call of [`append`](TraceStore::append) may have, at least 1.
    pub events: usize,
    /// How many bytes of JSON the events of a call may have. An event that is larger by itself is sent alone.
    pub bytes: usize,
    /// Whether the events of a call must belong to one trace.
    pub one_trace: bool,
    /// How many calls may be in flight, each with different traces; at least 1. Where it is more, each call has events of
    /// one trace only.
    pub in_flight: usize,
}

impl Limits {
    /// Groups of up to 512 events of any traces, of any size, one at a time.
    pub const fn new() -> Self {
        Self { events: 512, bytes: usize::MAX, one_trace: false, in_flight: 1 }
    }

    /// At most this many events per call.
    #[must_use]
    pub const fn events(mut self, events: usize) -> Self {
        self.events = events;
        self
    }

    /// At most this many bytes of JSON per call.
    #[must_use]
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Only events of one trace per call, and this many calls in flight.
    #[must_use]
    pub const fn by_trace(mut self, in_flight: usize) -> Self {
        (self.one_trace, self.in_flight) = (true, in_flight);
        self
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

/// How the lease of an instance is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lease {
    /// It lasts until the process ends, without renewal, like a file lock.
    ForLife,
    /// It must be renewed.
    Heartbeat {
        /// How often it is renewed.
        interval: Duration,
        /// How long after the last renewal the instance is considered dead: three intervals or more, so that a late renewal
        /// does no harm.
        expires_after: Duration,
    },
}

impl Lease {
    /// A lease that is renewed at this interval and expires after three intervals without a renewal.
    pub const fn heartbeat(interval: Duration) -> Self {
        Self::Heartbeat { interval, expires_after: interval.saturating_mul(3) }
    }
}

/// What went wrong with the work that a store does on its own, such as removing old runs, which nobody waits for. Clones are of
/// one account: the store adds to it, and emitters report it.
#[derive(Debug, Clone, Default)]
pub struct Upkeep(Arc<Mutex<UpkeepFailures>>);

/// The failures of the work that a store does on its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpkeepFailures {
    /// How many there have been.
    pub count: u64,
    /// What was wrong the last time, and how to fix it.
    pub last: Option<String>,
}

impl Upkeep {
    /// Adds a failure.
    pub fn failed(&self, reason: impl Into<String>) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (failures.count, failures.last) = (failures.count + 1, Some(reason.into()));
    }

    /// The failures so far.
    pub fn failures(&self) -> UpkeepFailures {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a service charges for the operations of a store, where it charges for each, in a unit of its own. Clones are of one
/// account: the store adds to it, and emitters report it.
#[derive(Debug, Clone, Default)]
pub struct Charges(Arc<Mutex<BTreeMap<&'static str, f64>>>);

impl Charges {
    /// Adds what an operation of this kind was charged with.
    pub fn add(&self, operation: &'static str, units: f64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(operation).or_default() += units;
    }

    /// What the operations of each kind were charged with so far, in whole units.
    pub fn totals(&self) -> BTreeMap<&'static str, u64> {
        let charges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        charges.iter().map(|(operation, units)| (*operation, *units as u64)).collect()
    }
}

/// The result of claiming a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// This instance may work on it.
    Granted,
    /// Another live instance holds it.
    HeldBy(InstanceId),
}

/// A durable destination of events.
///
/// # Requirements
///
/// - **Atomic per trace.** Of the events of one trace in a call, all become durable or none, and no reader ever sees only
///   some of them. Events of different traces in one call may become durable separately.
/// - **Idempotent.** An event that is already stored (see [`EventId`](crate::EventId)), or that occurs twice in a call, is
///   skipped; the first one is kept. After an error, and after a call that was dropped because its deadline passed, the
///   identical call may be repeated.
/// - **In order.** An emitter never has two calls with events of the same trace in flight, and sends later events of a
///   trace only after the earlier ones were acknowledged. Two instances may write to one trace at once: a job continues
///   the trace of the request that enqueued it. And events may arrive in any order, as in an import.
///
/// Emitters call a store on a thread of its own: see [`StoreConfig::open`].
pub trait TraceStore: Send + Sync + 'static {
    /// The name of this store in delivery reports and errors, as in `sqlite`. Never a path or a connection string.
    fn name(&self) -> &str;

    /// Makes events durable. When it returns `Ok`, all of them survive a crash.
    ///
    /// It may block its thread for as long as a disk write takes, but no longer: emitters drop the future when its deadline
    /// has passed, which a blocked thread can't notice. Work that a dropped call started elsewhere may still be in progress
    /// when the identical call is repeated.
    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>>;

    /// Does some of the work of the call of [`append`](Self::append) that follows, which will begin with these events; delivery
    /// says so while it waits for the emitters that it has just released, with more events each time. It promises nothing: no
    /// reader sees them, and a call that begins with other events, or another call, undoes it, as one without events does.
    /// Does nothing by default. Only stores that take events of any traces, one call at a time, are asked to.
    fn prepare(&self, _events: &[Arc<TraceEvent>]) {}

    /// How to append events on the emitting thread; `None`, the default, if appending may have to wait. Called once, when
    /// the store is opened.
    fn inline(&self) -> Option<Arc<dyn AppendInline>> {
        None
    }

    /// The limits on one call of [`append`](Self::append).
    fn limits(&self) -> Limits {
        Limits::new()
    }

    /// How long a group may wait for emitters that the previous group has just released. Stores where a call has a cost
    /// benefit from a short delay. One of less than 1 ms blocks the thread of delivery: timers of a runtime measure no less.
    fn group_commit_delay(&self) -> Duration {
        Duration::ZERO
    }

    /// How the lease of this instance is kept.
    fn lease(&self) -> Lease {
        Lease::ForLife
    }

    /// Renews the lease of this instance; called once per [interval](Lease::Heartbeat), whatever else is in progress, and
    /// never if the lease is [for life](Lease::ForLife). It must not bring back an instance that was
    /// [closed](Self::close).
    fn heartbeat(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Claims the exclusive right to work on a run. Of several instances that claim it at the same time, in this process or
    /// in any other, exactly one is granted it. The claim lasts until it is [released](Self::release) or the lease of its
    /// holder ends; claiming again what one already holds is granted. The run need not exist yet. An instance whose own
    /// lease has expired gets [`AppendError::Unavailable`]: it may claim again after its next renewal.
    fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>>;

    /// Releases a claimed run; does nothing if this instance does not hold it.
    fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>>;

    /// The readers of this store. They may be used after the store was [closed](Self::close).
    fn readers(&self) -> Readers;

    /// The account of the work that the store does on its own. Called once, when the store is opened.
    fn upkeep(&self) -> Upkeep {
        Upkeep::default()
    }

    /// The account of what a service charges for the operations of this store and its readers. Called once, when the store is
    /// opened.
    fn charges(&self) -> Charges {
        Charges::default()
    }

    /// Releases the lease and every claim. Open spans of this instance are *interrupted* from now on. This is the last call
    /// that an emitter makes.
    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>>;
}

/// Appends to a store without switching threads: for in-memory stores, whose steps should cost no more than that and should
/// not depend on a clock that a test has paused.
///
/// Emitters use it only while no earlier event waits for the store, so that the store sees them in order.
pub trait AppendInline: Send + Sync {
    /// Appends one event at once. `true` is the same as `Ok` of [`TraceStore::append`]; `false` means that nothing was
    /// appended, and that `append` should be called, which can wait and return an error. May be called from several threads
    /// at a time, and must neither block nor emit events.
    fn append_inline(&self, event: &Arc<TraceEvent>) -> bool;
}
