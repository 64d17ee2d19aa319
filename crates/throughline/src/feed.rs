//! Events as they happen: live feeds and their watchers, and in-process sinks.
//!
//! ```
//! use std::future::poll_fn;
//! use throughline::Throughline;
//! use throughline::feed::{MemoryFeed, StreamItem, WatchRequest};
//! use throughline::store::Filter;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let throughline = Throughline::builder("loan-service").feed(MemoryFeed::new()).build()?;
//! let stream = throughline.stream().ok_or("this feed can be watched")?;
//! let mut events = stream.watch(WatchRequest::new().filter(Filter::new().event_type("business:*"))).await?;
//!
//! let run = throughline.workflow("loan-approval").run(|ctx| async move {
//!     ctx.event("business:offered", "3.2 %").await
//! });
//! run.await??;
//! // The same as `futures::StreamExt::next`.
//! let item = poll_fn(|cx| events.as_mut().poll_next(cx)).await.ok_or("it does not end by itself")??;
//! assert!(matches!(item, StreamItem::Event { event, .. } if event.event_type == "business:offered"));
//! # Ok(())
//! # }
//! ```

pub use throughline_core::MemoryFeed;
pub use throughline_model::{
    EventSink, EventStream, FeedConfig, LiveFeed, SinkAccount, StreamItem, TraceStream, WatchFrom,
    WatchRequest,
};
#[cfg(feature = "redis")]
pub use throughline_redis::RedisFeed;
