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

mod context;
mod delivery;
pub mod env;
mod hub;
mod memory;
pub mod metrics;
mod redaction;
mod throughline;

pub use context::{
    CapturingStep, Compensated, CompensationOutcome, Decision, DecisionDraft, Deferred, EventDraft,
    InContext, InContextFuture, NotRecorded, NotStarted, ParseTraceParentError, Propagation, RequestDetails,
    RequestSpan, RequestStart, Resume, Saga, SagaBuilder, SagaFailed, SagaStep, Step, TraceContext,
    TraceFuture, TraceParent, Undo, Workflow,
};
pub use delivery::{Account, DeliveryReport, DropReason, Retry};
pub use memory::{MemoryFeed, MemoryStore};
pub use redaction::{Redaction, RedactionError, Redactor};
pub use throughline::{BuildError, Durability, Throughline, ThroughlineBuilder};
pub use throughline_model::{
    AppendError, Attrs, BoxError, BoxFuture, Bucket, ChoiceOutcome, CurrentStep, Cursor, DeployCheck,
    ErrorInfo, EventId, EventSink, EventStream, FailureSummary, FeedConfig, Filter, Histogram, HotSpot,
    Instance, InstanceId, Link, LiveFeed, Liveness, OpenError, OpenRun, Page, Paged, ParseIdError,
    ParseStatusError, ParseTimestampError, Rate, ReadError, Rel, RunState, RunSummary, SCHEMA_VERSION, Scope,
    SlowSpan, SpanId, Spool, SpoolConfig, StageTimes, Status, StepError, StoreConfig, StreamItem, Text,
    Timestamp, TraceAnalytics, TraceEvent, TraceId, TraceReader, TraceStore, TraceStream, TypeMatch,
    TypeRate, fold, kind, names,
};
#[cfg(feature = "testing")]
pub use throughline_model::{feed_conformance, store_conformance, testing};
pub use throughline_query as query;
pub use throughline_query::TraceQuery;
