//! [`Spool`], where events wait while the store is away.

use std::sync::Arc;

use crate::{AppendError, BoxFuture, Instance, OpenError, TraceEvent};

/// The configuration of a spool: nothing is opened before [`open`](Self::open).
pub trait SpoolConfig: Send + Sync + 'static {
    /// Opens the spool, for this instance alone: while it is open, opening it elsewhere is
    /// [`Unavailable`](OpenError::Unavailable). What an earlier process left in it will be drained by this one.
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn Spool>, OpenError>>;
}

/// A local outbox: durable, bounded, in order. While it contains events, new events are appended to it, so that the store
/// sees them in order.
pub trait Spool: Send + Sync + 'static {
    /// The name of this spool in errors and logs.
    fn name(&self) -> &str;

    /// Makes a group durable at the end of the spool, all or none. A full spool returns
    /// [`AppendError::Unavailable`]. An event that the spool will never accept is [`AppendError::Rejected`]; it is dropped
    /// and counted, and the others are pushed again without it.
    fn push<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>>;

    /// The first events with their positions, at most `limit`, without removing them.
    fn peek(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Spooled>, AppendError>>;

    /// Removes every event up to and including this position. Idempotent, so that a removal whose response was lost can be
    /// repeated.
    fn remove_through(&self, position: u64) -> BoxFuture<'_, Result<(), AppendError>>;

    /// How much is waiting.
    fn usage(&self) -> BoxFuture<'_, Result<SpoolUsage, AppendError>>;

    /// Closes the spool, so that another instance can open it.
    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>>;
}

/// An event that waits in a spool.
#[derive(Debug, Clone, PartialEq)]
pub struct Spooled {
    /// Its place in the spool: greater than those before it, never used again, not necessarily without gaps.
    pub position: u64,
    /// The event.
    pub event: Arc<TraceEvent>,
}

/// How much is waiting in a spool, and its capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolUsage {
    /// Events that wait.
    pub events: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// The capacity in bytes.
    pub capacity_bytes: u64,
}
