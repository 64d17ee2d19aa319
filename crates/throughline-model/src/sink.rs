//! [`EventSink`], an in-process destination of events, and [`SinkAccount`], what became of those that one keeps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::{BoxFuture, Instance, OpenError, Readers, TraceEvent, TraceId};

/// Sees every event on the thread that emits it: metrics, error reporters, exporters.
///
/// A sink must be quick and must not block; if it panics, the panic is caught and counted, and the workflow
/// continues.
pub trait EventSink: Send + Sync + 'static {
    /// The name of this sink in delivery reports.
    fn name(&self) -> &str;

    /// Called with each event, which is already redacted. A sink that keeps it clones the `Arc`, not the event.
    fn on_event(&self, event: &Arc<TraceEvent>);

    /// Called once, before the first event: the place to start threads and to open connections. A sink that looks runs up
    /// keeps the readers of the store, if there is one.
    ///
    /// # Errors
    /// When the sink can't work as it is configured: the emitter is not built then.
    fn open(&self, instance: &Instance, readers: Option<&Readers>) -> Result<(), OpenError> {
        let _ = (instance, readers);
        Ok(())
    }

    /// Whether this sink takes the events of a run, for the flag `sampled` of the `traceparent` that is sent on to others.
    fn samples(&self, trace: TraceId) -> bool {
        let _ = trace;
        true
    }

    /// From which threshold on, of 56 random bits, this sink takes runs, for `ot=th:…` of the `tracestate` that is sent on to others. `None` by
    /// default, and where it leaves that to the caller of a run that did not begin here.
    fn threshold(&self, trace: TraceId, begins_here: bool) -> Option<u64> {
        let _ = (trace, begins_here);
        None
    }

    /// Sends the events that the sink has buffered, and returns when that is done or after this time: part of
    /// `Throughline::flush`.
    fn flush(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        let _ = timeout;
        Box::pin(std::future::ready(()))
    }

    /// The last [`flush`](Self::flush), part of `Throughline::shutdown`: what is not sent after this time is dropped and counted.
    fn close(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        self.flush(timeout)
    }

    /// What became of what the sink made of the events, if it sends that on by itself: the delivery report shows these
    /// figures in place of the number of events that the sink was shown. `None` by default: an event is delivered when
    /// [`on_event`](Self::on_event) returns.
    fn account(&self) -> Option<SinkAccount> {
        None
    }
}

/// What became of what a sink sends on by itself, in its own units: reports, batches, spans. What was accepted and is
/// neither delivered nor dropped is pending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkAccount {
    /// What it made of the events and meant to send.
    pub accepted: u64,
    /// What the other side acknowledged.
    pub delivered: u64,
    /// What was not sent, or not taken, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
}

/// Why an event did not reach a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DropReason {
    /// A bounded queue was full.
    QueueFull,
    /// The destination did not accept it after all retries, and the emitter got the error.
    Unavailable,
    /// The destination permanently rejects it.
    Rejected,
    /// A sink panicked on it.
    Panicked,
    /// The process shut down before the destination acknowledged it. If a response was still outstanding, it may have been
    /// delivered nevertheless.
    Shutdown,
    /// There were too many: by a limit of the sink's own, or by one that the destination told.
    RateLimited,
    /// The destination is to get only a share of them, or a filter took it out.
    Sampled,
}

impl DropReason {
    /// Every reason, in the order in which they are counted.
    pub const ALL: [Self; 7] = [
        Self::QueueFull,
        Self::Unavailable,
        Self::Rejected,
        Self::Panicked,
        Self::Shutdown,
        Self::RateLimited,
        Self::Sampled,
    ];

    /// The reason as it is written in metrics and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Unavailable => "unavailable",
            Self::Rejected => "rejected",
            Self::Panicked => "panicked",
            Self::Shutdown => "shutdown",
            Self::RateLimited => "rate_limited",
            Self::Sampled => "sampled",
        }
    }
}
