//! What the tests of contexts, sagas and delivery share.

use std::collections::HashMap;

use throughline_core::{MemoryStore, Status, Throughline, TraceEvent};

/// An emitter with a memory store.
pub(crate) fn open() -> (Throughline, MemoryStore) {
    let store = MemoryStore::new();
    (Throughline::builder("test").store(store.clone()).build().unwrap(), store)
}

/// The first event of this type.
pub(crate) fn started(events: &[TraceEvent], event_type: &str) -> TraceEvent {
    events
        .iter()
        .find(|event| event.event_type == event_type)
        .unwrap_or_else(|| panic!("{event_type}"))
        .clone()
}

/// The last event of this type that ended something.
pub(crate) fn ended(events: &[TraceEvent], event_type: &str) -> TraceEvent {
    let mut ends =
        events.iter().filter(|event| event.event_type == event_type && event.status != Status::Pending);
    ends.next_back().unwrap_or_else(|| panic!("{event_type}")).clone()
}

/// The parent of each span by event type.
pub(crate) fn parents(events: &[TraceEvent]) -> HashMap<String, String> {
    let name = |id| events.iter().find(|event| event.span_id == id).map(|event| event.event_type.to_string());
    let starts = events.iter().filter(|event| event.seq == 0);
    starts.filter_map(|event| Some((event.event_type.to_string(), name(event.parent_span_id?)?))).collect()
}
