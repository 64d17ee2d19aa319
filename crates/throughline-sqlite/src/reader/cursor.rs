//! The cursors of this store: where in the order of events, or of runs, a page ended.

use throughline_model::{Cursor, EventId, InstanceId, Timestamp, TraceEvent, TraceId};

use crate::error::Fault;

/// The place of an event among all events.
pub(super) type Place = (Timestamp, InstanceId, u64, EventId);

pub(super) fn place(event: &TraceEvent) -> Place {
    (event.timestamp, event.instance, event.n, event.id())
}

pub(super) fn of_event(event: &TraceEvent) -> Cursor {
    Cursor::new(format!(
        "event:{}:{}:{}:{}",
        event.timestamp.as_micros(),
        event.instance,
        event.n,
        event.id()
    ))
}

pub(super) fn of_run(started: Timestamp, trace_id: TraceId) -> Cursor {
    Cursor::new(format!("run:{}:{trace_id}", started.as_micros()))
}

pub(super) fn event(cursor: &Cursor) -> Result<Place, Fault> {
    let read = || {
        let mut parts = cursor.as_str().strip_prefix("event:")?.split(':');
        let place = (
            Timestamp::from_micros(parts.next()?.parse().ok()?),
            parts.next()?.parse().ok()?,
            parts.next()?.parse().ok()?,
            EventId {
                trace_id: parts.next()?.parse().ok()?,
                span_id: parts.next()?.parse().ok()?,
                seq: parts.next()?.parse().ok()?,
            },
        );
        parts.next().is_none().then_some(place)
    };
    read().ok_or_else(|| foreign(cursor, "events"))
}

pub(super) fn run(cursor: &Cursor) -> Result<(Timestamp, TraceId), Fault> {
    let read = || {
        let (started, trace_id) = cursor.as_str().strip_prefix("run:")?.split_once(':')?;
        Some((Timestamp::from_micros(started.parse().ok()?), trace_id.parse().ok()?))
    };
    read().ok_or_else(|| foreign(cursor, "runs"))
}

fn foreign(cursor: &Cursor, of: &str) -> Fault {
    let shown: String = cursor.as_str().chars().take(64).collect();
    Fault::Question(format!(
        "`{shown}` is not a cursor of this store for {of}; hand back `next` of the page before"
    ))
}
