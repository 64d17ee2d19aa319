//! What the tests of contexts, sagas and delivery share.

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
