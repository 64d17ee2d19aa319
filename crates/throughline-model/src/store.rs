//! [`TraceStore`], where events are kept.

use std::sync::Arc;
use std::time::Duration;

use crate::{
    AppendError, BoxFuture, InstanceId, OpenError, Text, TraceAnalytics, TraceEvent, TraceId, TraceReader,
};

/// Who opens a store or a feed: one process of one service, from its start to its end.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Instance {
    /// The instance whose lease the store keeps while it is open.
    pub id: InstanceId,
    /// The service's name.
    pub service: Text,
}

impl Instance {
    /// An instance of a service.
    pub fn new(id: InstanceId, service: impl Into<Text>) -> Self {
        Self { id, service: service.into() }
    }
}

/// The description of a store: nothing is touched before it is opened.
pub trait StoreConfig: Send + Sync + 'static {
    /// Opens the store and takes out the lease of this instance.
    ///
    /// Emitters open it on a thread and a tokio runtime of their own, so that connections do not depend on the runtime
    /// of the caller. The store may use that runtime until it is dropped.
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>>;

    /// Opens the store for reading alone: without a lease, without making it, and without the right to write. What is
    /// opened may use the tokio runtime that it is opened on for as long as it lives.
    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>>;
}

/// Who answers the questions about what a store keeps.
#[derive(Clone)]
pub struct Readers {
    /// The questions about single runs.
    pub reader: Arc<dyn TraceReader>,
    /// The questions across runs.
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

/// What a store takes at a time. Delivery keeps to it; a group that does not fit is split, and the parts of one trace
/// follow each other in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// How many events a call of [`append`](TraceStore::append) may have, at least 1.
    pub events: usize,
    /// How many bytes of JSON the events of a call may have. An event that is larger by itself is sent alone.
    pub bytes: usize,
    /// Whether the events of a call must be of one trace.
    pub one_trace: bool,
    /// How many calls may be under way at once, each with traces of its own; at least 1. Where it is more, each call has
    /// events of one trace alone.
    pub in_flight: usize,
}

impl Limits {
    /// Groups of up to 512 events of any traces, of any size, one at a time.
    pub const fn new() -> Self {
        Self { events: 512, bytes: usize::MAX, one_trace: false, in_flight: 1 }
    }

    /// At most so many events a call.
    #[must_use]
    pub const fn events(mut self, events: usize) -> Self {
        self.events = events;
        self
    }

    /// At most so many bytes of JSON a call.
    #[must_use]
    pub const fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Each call with events of one trace alone, and so many calls under way at once.
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
    /// It holds by itself until the process ends, as the lock of a file does.
    ForLife,
    /// It must be renewed.
    Heartbeat {
        /// How often it is renewed.
        interval: Duration,
        /// How long after the last renewal the instance counts as dead: three intervals or more, so that one renewal
        /// that is late does no harm.
        expires_after: Duration,
    },
}

impl Lease {
    /// A lease that is renewed this often and expires after three intervals without.
    pub const fn heartbeat(interval: Duration) -> Self {
        Self::Heartbeat { interval, expires_after: interval.saturating_mul(3) }
    }
}

/// Who may work on a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// This instance may.
    Granted,
    /// Another instance that lives holds it.
    HeldBy(InstanceId),
}

/// A durable destination of events.
///
/// # What a store promises
///
/// - **Atomic per trace.** Of the events of one trace in a call, all become durable or none, and no reader ever sees a
///   part of them. Events of different traces in one call may become durable apart from each other.
/// - **Idempotent.** An event that is there already (see [`EventId`](crate::EventId)) is skipped; the first that came is
///   kept. After an error, and after a call that was dropped because its deadline passed, the identical call may be made
///   again.
/// - **In order.** Emitters make no two calls at once with events of one trace, and no call with later events of a trace
///   before the earlier ones are acknowledged.
pub trait TraceStore: Send + Sync + 'static {
    /// What the ledger and errors call this store, as in `sqlite`. Never a path or a connection string.
    fn name(&self) -> &str;

    /// Makes events durable. When it returns `Ok`, every one of them will be there after a crash.
    ///
    /// It may block its thread for as long as a disk takes, but no longer: emitters drop the future when its deadline
    /// has passed, which a blocked thread can't notice.
    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>>;

    /// How events are appended by the thread that emits them; `None`, the default, where appending may have to wait. Asked
    /// once, when the store is opened.
    fn inline(&self) -> Option<Arc<dyn AppendInline>> {
        None
    }

    /// What [`append`](Self::append) takes at a time.
    fn limits(&self) -> Limits {
        Limits::new()
    }

    /// How long a group may wait for emitters that the group before has just released. Stores that pay per
    /// group rather than per event gain by a short delay.
    fn group_commit_delay(&self) -> Duration {
        Duration::ZERO
    }

    /// How the lease of this instance is kept.
    fn lease(&self) -> Lease {
        Lease::ForLife
    }

    /// Renews the lease of this instance; called once an [interval](Lease::Heartbeat), whatever else is under way.
    fn heartbeat(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Asks for a run to be this instance's to work on. Of several instances that ask at once, one is granted it, in
    /// this process or in any other. It is held until it is [released](Self::release) or the lease of its holder ends;
    /// asking again for what one holds is granted. The run need not be there yet. An instance whose own lease has expired
    /// is answered [`AppendError::Unavailable`]: it may ask again after its next renewal.
    fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>>;

    /// Gives back a run that was claimed; nothing happens if this instance does not hold it.
    fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>>;

    /// Who answers the questions about what this store keeps.
    fn readers(&self) -> Readers;

    /// Gives the lease back, and with it every claim. Open spans of this instance are *interrupted* from now on.
    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>>;
}

/// Appends to a store without a change of threads: for stores in memory, whose steps should cost no more than that, and
/// should not depend on a clock that a test has paused.
///
/// Emitters use it only while no earlier event waits for the store, so that the store sees them in order.
pub trait AppendInline: Send + Sync {
    /// Appends one event at once. `true` is what `Ok` is of [`TraceStore::append`]; `false` means that nothing was
    /// appended, and that `append` should be asked, which can wait and say what is wrong. May be called from several
    /// threads at a time, and must neither block nor emit events.
    fn append_inline(&self, event: &Arc<TraceEvent>) -> bool;
}
