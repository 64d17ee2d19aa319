//! [`Spool`], where events wait while the store is away.

use std::sync::Arc;

use crate::TraceEvent;
use crate::{AppendError, BoxFuture, Instance, OpenError};

/// The description of a spool: nothing is touched before it is opened.
pub trait SpoolConfig: Send + 'static {
    /// Opens the spool; what an earlier process left in it will be drained by this one.
    fn open(self: Box<Self>, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn Spool>, OpenError>>;
}

/// A local outbox: durable, bounded, in order. While it holds anything, new events go behind it, so that the
/// store sees them in order.
pub trait Spool: Send + Sync + 'static {
    /// What the ledger calls this spool.
    fn name(&self) -> &str;

    /// Makes a group durable at the end of the spool, all or none. A full spool answers
    /// [`AppendError::Unavailable`].
    fn push<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>>;

    /// The first events, at most `limit`, without removing them.
    fn peek(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Arc<TraceEvent>>, AppendError>>;

    /// Removes the first `count` events.
    fn remove(&self, count: usize) -> BoxFuture<'_, Result<(), AppendError>>;

    /// How many events wait.
    fn waiting(&self) -> BoxFuture<'_, Result<u64, AppendError>>;
}
