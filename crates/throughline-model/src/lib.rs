//! The model of Throughline: events, the state of a run as derived from them, and the contracts of everything that keeps
//! or shows events.
//!
//! This crate is all you need to write a store, a feed, a sink or a spool of your own; the feature `testing` adds
//! conformance suites for them. It has no runtime, does no I/O and prints nothing.
//!
//! - [`TraceEvent`] is one thing that happened, in one trace. Everything else is a function of events.
//! - [`fold`] derives the state of a span, and of a run, from its events.
//! - [`TraceStore`], [`TraceReader`], [`TraceAnalytics`], [`LiveFeed`], [`TraceStream`], [`EventSink`] and [`Spool`]
//!   are the contracts; [`StoreConfig`], [`FeedConfig`] and [`SpoolConfig`] describe what will be opened.
//! - [`names`] has every name that Throughline itself gives to events, tags, attributes and payload fields.
//!
//! ```
//! use throughline_model::{RunState, RunSummary, Liveness, SpanId, Status, Timestamp, TraceEvent, TraceId};
//!
//! let (trace, root) = (TraceId::from_key("loan-42"), SpanId::from_u64(1).ok_or("a span id is not zero")?);
//! let start = Timestamp::from_micros(1_790_000_000_000_000);
//! let mut event = TraceEvent::new(trace, root, "workflow:started", start, "loan-service");
//! event.status = Status::Pending;
//!
//! let summary = RunSummary::of([&event], |_| Liveness::Alive).ok_or("there is an event")?;
//! assert_eq!(summary.state, RunState::Running);
//! # Ok::<(), &str>(())
//! ```

mod analytics;
mod attrs;
mod cursor;
mod error;
mod event;
mod feed;
mod filter;
pub mod fold;
mod future;
mod ids;
mod job;
mod json;
pub mod names;
mod page;
mod process;
mod reader;
mod run;
mod scope;
mod sink;
mod spool;
mod step_error;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod time;

pub use analytics::{
    Bucket, ChoiceOutcome, Histogram, HotSpot, Log, LoggedRun, PagedAnalytics, Rate, SlowSpan, StageTimes,
    TraceAnalytics, TypeRate,
};
pub use attrs::Attrs;
pub use cursor::Cursor;
pub use error::{AppendError, BoxError, OpenError, ReadError};
pub use event::{ErrorInfo, Link, ParseStatusError, Relation, SCHEMA_VERSION, Status, TraceEvent};
pub use feed::{EventStream, FeedConfig, LiveFeed, StreamItem, TraceStream, WatchFrom, WatchRequest};
pub use filter::{Filter, TypeMatch};
pub use future::BoxFuture;
pub use ids::{EventId, InstanceId, ParseIdError, SpanId, TraceId};
pub use job::{JobAttempt, JobKey};
pub use page::{Page, Paged};
pub use process::Process;
pub use reader::{Secret, TraceReader};
pub use run::{
    CurrentStep, DeployCheck, FailureSummary, Liveness, OpenRun, OpenSummary, RootSummary, RunState,
    RunSummary,
};
pub use scope::Scope;
pub use sink::{DropReason, EventSink, SinkAccount};
pub use spool::{MergedReader, Refused, Spool, SpoolConfig, SpoolReader, SpoolUsage, Spooled};
pub use step_error::{StepError, kind};
pub use store::{
    AppendInline, Charges, Claim, Instance, Lease, Limits, Readers, StoreConfig, TraceStore, Upkeep,
    UpkeepFailures,
};
pub use text::Text;
pub use time::{Moment, ParseTimestampError, Timestamp};

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
