//! OpenTelemetry export of Throughline: what a service records goes out as traces over OTLP, with the trace and span ids
//! that its store has; what it [measures](Otlp::metrics) and [logs](Otlp::log_lines) goes to the same collector, by choice.
//!
//! [`Otlp`] is a sink for `Throughline::builder(..).sink(..)`. Each span is sent when it has ended, with the ids, the parent, the
//! links and the status of its events; its start is sent at once, so that a step that takes an hour is seen while it runs
//! ([`OpenSpans`]). Names follow the semantic conventions where they have one, and begin with `throughline.` where they have none.
//!
//! # What becomes of the events
//!
//! The code that emits never waits. The delivery report says of each event what became of it: delivered is what the collector
//! acknowledged, and what it rejects, does not take for a minute or leaves unanswered at shutdown is dropped with its reason.
//! With an [outbox](Otlp::outbox) the spans that it does not take wait on disk instead.
//!
//! # Other tracing beside it
//!
//! Ids are those of the events, so they agree with what `traceparent` carries: spans that another service makes below or above a step
//! are parts of the same trace. So are those that other libraries make in this process, with the feature `sdk` and its module `bridge`.

mod assemble;
mod backlog;
#[cfg(feature = "sdk")]
pub mod bridge;
mod config;
mod deadline;
mod env;
mod export;
mod intake;
mod ledger;
mod lines;
mod lookup;
mod metrics;
mod outbox;
mod resource;
mod sampler;
mod semconv;
mod ship;
mod sink;
#[cfg(feature = "tls")]
mod tls;
mod translate;
mod transport;
mod wire;
mod worker;

pub use config::{Exceptions, OpenSpans, Otlp, Protocol};
pub use lines::OtlpLogs;
pub use metrics::OtlpMetrics;
pub use sampler::Sampler;

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
