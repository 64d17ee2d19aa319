//! Events that were made elsewhere.

use std::collections::VecDeque;

use throughline_model::TraceEvent;

use super::failure::NotRecorded;
use super::future::recorded_or_why;
use crate::hub::{Delivery, Emitted, Hub};
use crate::redaction::redact_event;

/// How many events may be with the store at once: enough for its groups to be full. An import of any length then needs
/// no more memory than that, and ends soon after the first event that the store does not take.
const MOST_AWAITED: usize = 2048;

/// Redacts events, hands them to every destination, and waits until the store has them.
pub(crate) async fn record(
    hub: &Hub,
    events: impl IntoIterator<Item = TraceEvent>,
) -> Result<(), NotRecorded> {
    if !hub.enabled {
        return Ok(());
    }
    let mut awaited = VecDeque::new();
    for mut event in events {
        if awaited.len() == MOST_AWAITED
            && let Some(ack) = awaited.pop_front()
        {
            recorded_or_why(ack.await)?;
        }
        if let Some(store) = &hub.store {
            store.reserve().await?;
        }
        redact_event(&hub.redactor, &mut event);
        match hub.emit_as_it_is(event, Delivery::Awaited { root: None }) {
            Emitted::Awaiting(ack) => awaited.push_back(ack),
            Emitted::NotAwaited => {}
            Emitted::Closed => return Err(NotRecorded::ShutDown),
        }
    }
    for ack in awaited {
        recorded_or_why(ack.await)?;
    }
    Ok(())
}
