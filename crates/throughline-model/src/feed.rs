//! [`LiveFeed`] and [`TraceStream`]: what happens now.

use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;

use crate::{AppendError, BoxFuture, Instance, OpenError};
use crate::{ReadError, TraceEvent, TraceId};

/// The description of a feed: nothing is touched before it is opened.
pub trait FeedConfig: Send + 'static {
    /// Opens the feed on the emitter's own thread and runtime.
    fn open(self: Box<Self>, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn LiveFeed>, OpenError>>;
}

/// A live destination of events. Emitters never wait for it: what it does not take in time is dropped and
/// counted.
pub trait LiveFeed: Send + Sync + 'static {
    /// What the ledger and errors call this feed. Never a connection string.
    fn name(&self) -> &str;

    /// Publishes a group of events in order.
    fn publish<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>>;

    /// The other end of the feed, where it can be read from here.
    fn stream(&self) -> Option<Arc<dyn TraceStream>>;
}

/// Watches events as they happen.
pub trait TraceStream: Send + Sync + 'static {
    /// Events of one run, or of all, from now on; dropping the stream ends the watch. What was missed because
    /// the watcher was slow is said as [`StreamItem::Missed`], never passed over in silence.
    fn watch(&self, trace: Option<TraceId>) -> BoxFuture<'_, Result<EventStream, ReadError>>;
}

/// A stream of events as they happen.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<StreamItem, ReadError>> + Send>>;

/// What a watcher sees.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StreamItem {
    /// An event happened.
    Event(Arc<TraceEvent>),
    /// So many events happened that the watcher was too slow for.
    Missed(u64),
}
