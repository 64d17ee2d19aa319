//! [`EventSink`], an in-process destination of events, and [`SinkAccount`], what became of those that one keeps.

use std::sync::Arc;
use std::time::Duration;

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

    /// What became of the events so far, for a sink that sends them on later. By default an event counts as delivered when
    /// [`on_event`](Self::on_event) returns.
    fn account(&self) -> Option<SinkAccount> {
        None
    }
}

/// What became of the events of a sink that sends them on. What was accepted and is in no other figure is pending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SinkAccount {
    /// Events that it has taken on. What it leaves out by choice, such as by sampling, is not among them.
    pub accepted: u64,
    /// Events that the other end acknowledged.
    pub delivered: u64,
    /// Events for which there was no room.
    pub queue_full: u64,
    /// Events that the other end did not accept after all attempts.
    pub unavailable: u64,
    /// Events that the other end permanently rejects.
    pub rejected: u64,
    /// Events that were not sent before the process shut down.
    pub shutdown: u64,
}
