//! [`TraceStore`], where events are kept.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::{InstanceId, Text, TraceAnalytics, TraceEvent, TraceReader};

/// A boxed future, as the traits of stores and feeds return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A box for what went wrong underneath.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Who opens a store or a feed: one process life of one service.
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
///
/// Emitters open it on a thread and a tokio runtime of their own, so that connections do not depend on the
/// runtime of the caller.
pub trait StoreConfig: Send + 'static {
    /// Opens the store and takes out the lease of this instance.
    fn open(
        self: Box<Self>,
        instance: Instance,
    ) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>>;
}

/// A durable destination of events.
///
/// Emitters call [`append`](Self::append) from one task at a time and in order. `append` may block its thread:
/// the emitter's delivery thread serves this store alone.
pub trait TraceStore: Send + Sync + 'static {
    /// What the ledger and errors call this store, as in `sqlite`. Never a path or a connection string.
    fn name(&self) -> &str;

    /// Makes a group of events durable, all or none. When it returns `Ok`, every event of the group will be
    /// there after a crash. An event that is there already (see [`EventId`](crate::EventId)) is passed over.
    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>>;

    /// How events are appended by the thread that emits them; `None`, the default, where appending may have to wait. Asked
    /// once, when the store is opened.
    fn inline(&self) -> Option<Arc<dyn AppendInline>> {
        None
    }

    /// How long a group may wait for emitters that the group before has just released. Stores that pay per
    /// group rather than per event gain by a moment of patience.
    fn linger(&self) -> Duration {
        Duration::ZERO
    }

    /// Renews the lease of this instance; called about every [`heartbeat_interval`](Self::heartbeat_interval).
    fn heartbeat(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// How often the lease must be renewed; `None` where it holds by itself until the process ends.
    fn heartbeat_interval(&self) -> Option<Duration> {
        None
    }

    /// The questions this store answers, trace by trace.
    fn reader(&self) -> Arc<dyn TraceReader>;

    /// The questions this store answers across traces.
    fn analytics(&self) -> Arc<dyn TraceAnalytics>;

    /// Gives the lease back. Open spans of this instance are *interrupted* from now on.
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

/// Why a store or a feed could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It can't be reached, or is busy; trying again may help.
    #[error("{store} cannot be reached: {reason}")]
    Unavailable {
        /// The store's name.
        store: &'static str,
        /// What to look at.
        reason: String,
        /// What went wrong underneath.
        #[source]
        source: Option<BoxError>,
    },
    /// It can't be used as it is; trying again does not help.
    #[error("{store} cannot be used: {reason}")]
    Unusable {
        /// The store's name.
        store: &'static str,
        /// What is wrong, and the mend.
        reason: String,
        /// What went wrong underneath.
        #[source]
        source: Option<BoxError>,
    },
}

impl OpenError {
    /// Whether the same call may go well later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Why a group of events was not appended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The store did not answer, or answered that it is busy, full or throttled. The group may or may not be
    /// there; appending the identical group again is safe.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// What is wrong.
        reason: String,
        /// How long the server asked to wait, where it did.
        retry_after: Option<Duration>,
        /// What went wrong underneath.
        #[source]
        source: Option<BoxError>,
    },
    /// The store will never take the event at this place of the group; the others were not appended either.
    #[error("the store refuses the event: {reason}")]
    Rejected {
        /// The place in the group.
        index: usize,
        /// Why.
        reason: String,
    },
    /// The store will never take anything again, as it is.
    #[error("the store has failed: {reason}")]
    Broken {
        /// What is wrong, and the mend.
        reason: String,
        /// What went wrong underneath.
        #[source]
        source: Option<BoxError>,
    },
}

impl AppendError {
    /// Whether the identical group may be taken later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
