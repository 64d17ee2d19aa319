//! The heart of Throughline.

mod analytics;
mod attrs;
mod event;
mod feed;
mod ids;
mod memory;
pub mod names;
pub mod query;
mod reader;
mod sink;
mod spool;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod time;

pub use analytics::{
    Bucket, ChoiceOutcome, Histogram, HotSpot, Rate, Scope, SlowSpan, StageTimes, TraceAnalytics, TypeRate,
};
pub use attrs::Attrs;
pub use event::{ErrorInfo, Link, ParseStatusError, Rel, SCHEMA_VERSION, Status, TraceEvent};
pub use feed::{EventStream, FeedConfig, LiveFeed, StreamItem, TraceStream};
pub use ids::{EventId, InstanceId, ParseIdError, SpanId, TraceId};
pub use memory::{MemoryFeed, MemoryStore};
pub use query::TraceQuery;
pub use reader::{
    CurrentStep, Cursor, DeployCheck, FailureSummary, Filter, Liveness, OpenRun, Page, Paged, ReadError,
    RunState, RunSummary, TraceReader, TypeMatch,
};
pub use sink::EventSink;
pub use spool::{Spool, SpoolConfig};
pub use store::{AppendError, BoxError, BoxFuture, Instance, OpenError, StoreConfig, TraceStore};
pub use text::Text;
pub use time::{ParseTimestampError, Timestamp};
