//! Events that were made elsewhere.

use throughline_model::TraceEvent;

use crate::context::{NotRecorded, recorded_or_why};
use crate::hub::{Delivery, Emitted, Hub};
use crate::redaction::redact_event;

/// Redacts events, hands them to every destination, and waits until the store has them.
pub(crate) async fn record(
    hub: &Hub,
    events: impl IntoIterator<Item = TraceEvent>,
) -> Result<(), NotRecorded> {
    if !hub.enabled {
        return Ok(());
    }
    let mut awaited = Vec::new();
    for mut event in events {
        if let Some(store) = &hub.store
            && !store.queue.try_reserve()
            && !store.queue.reserve().await
        {
            return Err(NotRecorded::ShutDown);
        }
        redact_event(&hub.redactor, &mut event);
        match hub.emit_as_it_is(event, Delivery::Awaited) {
            Emitted::Awaiting(ack) => awaited.push(ack),
            Emitted::NotAwaited => {}
            Emitted::Closed => return Err(NotRecorded::ShutDown),
        }
    }
    for ack in awaited {
        recorded_or_why(ack.await)?;
    }
    Ok(())
}
