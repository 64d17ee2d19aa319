//! [`EventSink`], an in-process destination of events.

use std::sync::Arc;
use std::time::Duration;

use crate::{BoxFuture, TraceEvent};

/// Sees every event on the thread that emits it: metrics, error reporters, exporters.
///
/// A sink must be quick and must not block; if it panics, the panic is caught and counted, and the workflow
/// continues.
pub trait EventSink: Send + Sync + 'static {
    /// The name of this sink in delivery reports.
    fn name(&self) -> &str;

    /// Called with each event, which is already redacted. A sink that keeps it clones the `Arc`, not the event.
    fn on_event(&self, event: &Arc<TraceEvent>);

    /// Sends the events that the sink has buffered, and returns when that is done or after this time: part of
    /// `Throughline::flush` and `Throughline::shutdown`.
    fn flush(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        let _ = timeout;
        Box::pin(std::future::ready(()))
    }
}
