//! [`MemoryFeed`], a live feed within the process.

use std::sync::Arc;

use futures_util::stream;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use throughline_model::{AppendError, BoxFuture, Instance, OpenError};
use throughline_model::{EventStream, FeedConfig, LiveFeed, StreamItem, TraceStream};
use throughline_model::{ReadError, TraceEvent, TraceId};

/// A bounded live feed within the process.
///
/// Clones are handles of one feed: keep one to [watch](TraceStream::watch), hand the other to the emitter.
/// Publishers never wait. A watcher that falls more than the capacity behind is told how many events it
/// missed; watching a single run, that count includes events of other runs, since nobody looked at them.
#[derive(Debug, Clone)]
pub struct MemoryFeed {
    sender: broadcast::Sender<Arc<TraceEvent>>,
}

impl MemoryFeed {
    /// How many events are kept for slow watchers unless told otherwise.
    pub const DEFAULT_CAPACITY: usize = 4096;
    /// The places are allocated at once, so that there is a limit to what may be asked for.
    const MAX_CAPACITY: usize = 1 << 20;

    /// A feed of the [default capacity](Self::DEFAULT_CAPACITY).
    pub fn new() -> Self {
        Self { sender: broadcast::Sender::new(Self::DEFAULT_CAPACITY) }
    }

    /// Keeps so many events for slow watchers: from 1 to about a million, rounded up to a power of two. To
    /// be called before the feed is cloned or watched: what was there before is not carried over.
    #[must_use]
    pub fn capacity(self, events: usize) -> Self {
        Self { sender: broadcast::Sender::new(events.clamp(1, Self::MAX_CAPACITY)) }
    }
}

impl Default for MemoryFeed {
    fn default() -> Self {
        Self::new()
    }
}

impl FeedConfig for MemoryFeed {
    fn open(self: Box<Self>, _: Instance) -> BoxFuture<'static, Result<Arc<dyn LiveFeed>, OpenError>> {
        Box::pin(async move { Ok(Arc::new(*self) as Arc<dyn LiveFeed>) })
    }
}

impl LiveFeed for MemoryFeed {
    fn name(&self) -> &str {
        "memory"
    }

    fn publish<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            for event in events {
                // An error says that nobody watches, which is no failure of the feed.
                let _ = self.sender.send(Arc::clone(event));
            }
            Ok(())
        })
    }

    fn stream(&self) -> Option<Arc<dyn TraceStream>> {
        Some(Arc::new(self.clone()))
    }
}

impl TraceStream for MemoryFeed {
    fn watch(&self, trace: Option<TraceId>) -> BoxFuture<'_, Result<EventStream, ReadError>> {
        // Subscribed at the call, not at the first poll: "from now on" begins when the watch is asked for.
        let receiver = self.sender.subscribe();
        Box::pin(async move {
            let items = stream::unfold(receiver, move |mut receiver| async move {
                loop {
                    match receiver.recv().await {
                        Ok(event) if trace.is_none_or(|wanted| wanted == event.trace_id) => {
                            return Some((Ok(StreamItem::Event(event)), receiver));
                        }
                        Ok(_) => {}
                        Err(RecvError::Lagged(missed)) => {
                            return Some((Ok(StreamItem::Missed(missed)), receiver));
                        }
                        Err(RecvError::Closed) => return None,
                    }
                }
            });
            Ok(Box::pin(items) as EventStream)
        })
    }
}
