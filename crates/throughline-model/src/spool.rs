//! [`Spool`], where events wait while the store is away, and [`SpoolReader`], which shows them in the meantime.

mod merged;

use std::sync::Arc;

use serde::Serialize;

use crate::{AppendError, BoxFuture, Instance, OpenError, ReadError, Text, TraceEvent, TraceId};

pub use merged::MergedReader;

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

    /// Takes the event at this position out of the queue because the store will never accept it, and keeps it with the reason,
    /// so that somebody can look at it: of many such events the latest thousand at least. Idempotent like a removal.
    fn set_aside<'a>(&'a self, position: u64, reason: &'a str) -> BoxFuture<'a, Result<(), AppendError>>;

    /// How much is waiting.
    fn usage(&self) -> BoxFuture<'_, Result<SpoolUsage, AppendError>>;

    /// Reads what waits, beside the process that fills and drains the spool.
    fn reader(&self) -> Arc<dyn SpoolReader>;

    /// Closes the spool, so that another instance can open it.
    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>>;
}

/// Reads what waits in a spool. Like a [`TraceReader`](crate::TraceReader) it may be called from any thread and many times at
/// once, and must not block for long.
///
/// An event is in the store before it leaves the spool. To miss none, read the spool first and then the store,
/// as [`MergedReader`] does.
pub trait SpoolReader: Send + Sync + 'static {
    /// The events of one run that wait, in the order in which they were pushed.
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>>;

    /// Runs of which events wait, in the order of their ids: those that come after this one, at most `limit`.
    fn traces(&self, after: Option<TraceId>, limit: usize) -> BoxFuture<'_, Result<Vec<TraceId>, ReadError>>;

    /// What waits behind this position, or from the beginning, in order: at most `limit` events.
    fn waiting(&self, after: Option<u64>, limit: usize) -> BoxFuture<'_, Result<Vec<Spooled>, ReadError>>;

    /// What was [set aside](Spool::set_aside), the latest first, at most `limit`.
    fn refused(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Refused>, ReadError>>;

    /// How much waits.
    fn usage(&self) -> BoxFuture<'_, Result<SpoolUsage, ReadError>>;
}

/// An event that the store did not accept, and never will.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refused {
    /// Why, as the store said.
    pub reason: Text,
    /// The event.
    pub event: Arc<TraceEvent>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SpoolUsage {
    /// Events that wait.
    pub events: u64,
    /// Bytes that they take.
    pub bytes: u64,
    /// The capacity in bytes.
    pub capacity_bytes: u64,
    /// Events that were [set aside](Spool::set_aside), which count for nothing else.
    pub refused: u64,
}
