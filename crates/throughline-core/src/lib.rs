//! The core of Throughline: contexts, sagas, delivery, metrics, and the memory store.
//!
//! Most users add the façade `throughline` instead. To write a store, a feed or a sink of your own, `throughline-model`
//! is enough.
//!
//! Everything that happens becomes a [`TraceEvent`]. A [`Throughline`] starts runs, and a [`TraceContext`] is the current
//! position in one. Every destination and every query is a function of the events:
//! [`TraceStore`] keeps them, [`LiveFeed`] publishes them as they happen, [`EventSink`] sees them in process,
//! [`TraceReader`] and [`TraceAnalytics`] find them, and [`TraceQuery`] explains one run without any I/O. Figures go to
//! the [`metrics`] recorder that the service chooses.

pub mod beside;
mod context;
mod delivery;
pub mod env;
mod hub;
pub mod log;
mod memory;
pub mod metrics;
pub mod open;
mod panics;
mod payload;
mod propagators;
mod redaction;
pub mod sampling;
#[cfg(test)]
mod simulation;
#[cfg(feature = "testing")]
pub mod testing;
mod throughline;
mod veil;

pub use context::{
    CancelledBy, CapturingStep, Compensated, CompensationOutcome, DeadlinePassed, Decision, DecisionDraft,
    Deferred, EventDraft, InContext, InContextFuture, NotRecorded, OnCancel, ParseTraceParentError,
    Propagation, RequestDetails, RequestSpan, RequestStart, Resume, Saga, SagaBuilder, SagaFailed,
    SagaRecovery, SagaStep, Settled, Step, Timeout, TraceContext, TraceFuture, TraceParent, Workflow,
};
pub use delivery::{
    DeliveryReport, DestinationKind, DestinationReport, Durability, LastFailure, QueueReport, Retry, WhenFull,
};
pub use memory::{MemoryFeed, MemoryStore};
pub use panics::{
    PanicId, catch_recorded, describe_panic, panic_begins, panic_place, panics_are_recorded_here,
};
pub use payload::to_payload;
pub use propagators::{ParsePropagatorsError, Propagator, Propagators};
pub use redaction::{redact_event, redact_event_counted};
pub use throughline::{BuildError, Throughline, ThroughlineBuilder};
pub use throughline_model::{
    AppendError, AppendInline, Attrs, BoxError, BoxFuture, Bucket, Charges, ChoiceOutcome, Claim,
    CurrentStep, Cursor, DeployCheck, DropReason, ErrorInfo, EventId, EventSink, EventStream, FailureSummary,
    FeedConfig, Filter, Histogram, HotSpot, Instance, InstanceId, JobAttempt, JobKey, Lease, Limits, Link,
    LiveFeed, Liveness, MergedReader, OpenError, OpenRun, OpenSummary, Page, Paged, PagedAnalytics,
    ParseIdError, ParseStatusError, ParseTimestampError, Process, Rate, ReadError, Readers, Refused,
    Relation, RootSummary, RunState, RunSummary, SCHEMA_VERSION, Scope, Secret, SinkAccount, SlowSpan,
    SpanId, Spool, SpoolConfig, SpoolReader, SpoolUsage, Spooled, StageTimes, Status, StepError, StoreConfig,
    StreamItem, Text, Timestamp, TraceAnalytics, TraceEvent, TraceId, TraceReader, TraceStore, TraceStream,
    TypeMatch, TypeRate, Upkeep, UpkeepFailures, WatchFrom, WatchRequest, fold, kind, names,
};
#[cfg(feature = "testing")]
pub use throughline_model::{feed_conformance, store_conformance};
pub use throughline_query as query;
pub use throughline_query::TraceQuery;
pub use throughline_redact::{Redaction, RedactionError, Redactor};
pub use veil::{Shown, Veil};

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
