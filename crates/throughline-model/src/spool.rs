//! [`Spool`], where events wait while the store is away.

use std::sync::Arc;

use crate::{AppendError, BoxFuture, Instance, OpenError, TraceEvent};

/// The description of a spool: nothing is touched before it is opened.
pub trait SpoolConfig: Send + Sync + 'static {
    /// Opens the spool, for this instance alone: while it is open, opening it elsewhere is
    /// [`Unavailable`](OpenError::Unavailable). What an earlier process left in it will be drained by this one.
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn Spool>, OpenError>>;
}

/// A local outbox: durable, bounded, in order. While it holds anything, new events go behind it, so that the
/// store sees them in order.
pub trait Spool: Send + Sync + 'static {
    /// What the ledger calls this spool.
    fn name(&self) -> &str;

    /// Makes a group durable at the end of the spool, all or none. A full spool answers
    /// [`AppendError::Unavailable`]. An event that the spool will never take is [`AppendError::Rejected`]; it is dropped and
    /// counted, and the others are pushed again without it.
    fn push<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>>;

    /// The first events with their positions, at most `limit`, without removing them.
    fn peek(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Spooled>, AppendError>>;

    /// Removes every event up to this position, which is included. Doing it again changes nothing, so that a removal
    /// whose answer was lost can be repeated.
    fn remove_through(&self, position: u64) -> BoxFuture<'_, Result<(), AppendError>>;

    /// How much waits.
    fn usage(&self) -> BoxFuture<'_, Result<SpoolUsage, AppendError>>;

    /// Gives the spool back, for another instance to open.
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

/// How much waits in a spool, and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolUsage {
    /// Events that wait.
    pub events: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// How many bytes there may be.
    pub capacity_bytes: u64,
}
