//! The heart of Throughline: events, contexts, sagas, redaction, delivery, and the questions a run can answer.
//!
//! Most users add the façade `throughline` instead. This crate alone is what you need to write a store, a feed or a
//! sink of your own; the conformance suite that proves it comes with the feature `testing`.
//!
//! Everything that happens becomes a [`TraceEvent`]. [`Throughline`] is where runs begin, a [`TraceContext`] is
//! where code stands in one, and every destination and every question is a function of the events:
//! [`TraceStore`] keeps them, [`LiveFeed`] shows them as they happen, [`EventSink`] sees them in process,
//! [`TraceReader`] and [`TraceAnalytics`] find them, and [`TraceQuery`] explains one run without any I/O. What can be
//! counted goes to the [`metrics`] recorder that the service chooses.

mod analytics;
mod attrs;
mod context;
mod delivery;
pub mod env;
mod event;
mod feed;
mod hub;
mod ids;
mod memory;
pub mod metrics;
pub mod names;
pub mod query;
mod reader;
mod redaction;
mod sink;
mod spool;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod text;
mod throughline;
mod time;

pub use analytics::{
    Bucket, ChoiceOutcome, Histogram, HotSpot, Rate, Scope, SlowSpan, StageTimes, TraceAnalytics, TypeRate,
};
pub use attrs::Attrs;
pub use context::{
    CapturingStep, Compensated, CompensationOutcome, Decision, DecisionDraft, Deferred, EventDraft,
    InContext, InContextFuture, NotRecorded, ParseTraceParentError, Propagation, RequestDetails, RequestSpan,
    RequestStart, Resume, Saga, SagaBuilder, SagaFailed, SagaStep, Step, StepError, TraceContext,
    TraceFuture, TraceParent, Undo, Workflow, kind,
};
pub use delivery::{Account, DeliveryReport, DropReason, Retry};
pub use event::{ErrorInfo, Link, ParseStatusError, Rel, SCHEMA_VERSION, Status, TraceEvent};
pub use feed::{EventStream, FeedConfig, LiveFeed, StreamItem, TraceStream};
pub use ids::{EventId, InstanceId, ParseIdError, SpanId, TraceId};
pub use memory::{MemoryFeed, MemoryStore};
pub use query::TraceQuery;
pub use reader::{
    CurrentStep, Cursor, DeployCheck, FailureSummary, Filter, Liveness, OpenRun, Page, Paged, ReadError,
    RunState, RunSummary, TraceReader, TypeMatch,
};
pub use redaction::{Redaction, RedactionError, Redactor};
pub use sink::EventSink;
pub use spool::{Spool, SpoolConfig};
pub use store::{AppendError, BoxError, BoxFuture, Instance, OpenError, StoreConfig, TraceStore};
pub use text::Text;
pub use throughline::{BuildError, Durability, Throughline, ThroughlineBuilder};
pub use time::{ParseTimestampError, Timestamp};
