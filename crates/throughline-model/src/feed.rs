//! [`LiveFeed`] and [`TraceStream`]: what happens now.

use std::pin::Pin;
use std::sync::Arc;

use futures_core::Stream;

use crate::{AppendError, BoxFuture, Cursor, Filter, Instance, OpenError, ReadError, TraceEvent, TraceId};

/// The configuration of a feed: nothing is opened before [`open`](Self::open).
pub trait FeedConfig: Send + Sync + 'static {
    /// Opens the feed on the emitter's own thread and runtime.
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn LiveFeed>, OpenError>>;

    /// Opens only the reading end of the feed, on the caller's runtime; `None` if it can't be watched from here.
    fn open_stream(&self) -> BoxFuture<'static, Result<Option<Arc<dyn TraceStream>>, OpenError>>;
}

/// A live destination of events. Emitters never wait for it: events that it does not accept in time are dropped and
/// counted.
pub trait LiveFeed: Send + Sync + 'static {
    /// The name of this feed in delivery reports and errors. Never a connection string.
    fn name(&self) -> &str;

    /// Publishes a group of events in order. After an error the first of them may have been published all the same.
    fn publish<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>>;

    /// The other end of the feed, where it can be read from here.
    fn stream(&self) -> Option<Arc<dyn TraceStream>>;
}

/// Watches events as they happen.
pub trait TraceStream: Send + Sync + 'static {
    /// Events that match, as they happen; dropping the stream ends the watch. Events that were missed, because the watcher
    /// was slow or its cursor is too old, are reported as [`StreamItem::Missed`], never skipped silently.
    ///
    /// # Errors
    /// When the stream does not answer, or the cursor is of another stream.
    fn watch(&self, request: WatchRequest) -> BoxFuture<'_, Result<EventStream, ReadError>>;
}

/// What to watch, and where to start. The default is everything, from now on.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct WatchRequest {
    /// The run, if it is one.
    pub trace: Option<TraceId>,
    /// Which events.
    pub filter: Filter,
    /// Where to begin.
    pub from: WatchFrom,
}

/// Where a watch starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum WatchFrom {
    /// With what happens from now on.
    #[default]
    Now,
    /// With what came after this cursor of an [event](StreamItem::Event): how a watcher resumes, as a browser does with
    /// [`Last-Event-ID`](https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header).
    After(Cursor),
}

impl WatchRequest {
    /// Everything, from now on.
    pub fn new() -> Self {
        Self::default()
    }

    /// Events of this run alone.
    #[must_use]
    pub fn trace(mut self, trace: TraceId) -> Self {
        self.trace = Some(trace);
        self
    }

    /// Events that match.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Beginning with what came after this cursor.
    #[must_use]
    pub fn after(mut self, cursor: Cursor) -> Self {
        self.from = WatchFrom::After(cursor);
        self
    }

    /// Whether an event is to be seen.
    pub fn matches(&self, event: &TraceEvent) -> bool {
        self.trace.is_none_or(|trace| trace == event.trace_id) && self.filter.matches(event)
    }
}

/// A stream of events as they happen.
pub type EventStream = Pin<Box<dyn Stream<Item = Result<StreamItem, ReadError>> + Send>>;

/// What a watcher sees.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StreamItem {
    /// An event happened.
    Event {
        /// The event.
        event: Arc<TraceEvent>,
        /// Where it stands in the stream: [`WatchFrom::After`] it the next one follows.
        cursor: Cursor,
    },
    /// Events happened that the watcher can't be shown any more; how many, where the stream knows. Those that the
    /// request does not match may be counted.
    Missed(Option<u64>),
}
