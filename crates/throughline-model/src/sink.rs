//! [`EventSink`], an in-process destination of events.

use crate::TraceEvent;

/// Sees every event on the thread that emits it: metrics, error reporters, your own.
///
/// A sink must be quick and must not block; if it panics, the panic is caught and counted, and the workflow
/// goes on.
pub trait EventSink: Send + Sync + 'static {
    /// What the ledger calls this sink.
    fn name(&self) -> &str;

    /// Takes note of an event, which is redacted already.
    fn on_event(&self, event: &TraceEvent);
}
