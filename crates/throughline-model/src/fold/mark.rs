//! [`Mark`], what a fold keeps of an event.

use std::ops::Deref;

use super::Position;
use crate::{InstanceId, SpanId, Status, Text, Timestamp, TraceEvent};

/// What has a place among events: an event, however it is held, or what is kept of one.
pub trait Placed {
    /// Its place among all events.
    fn position(&self) -> Position;
    /// Its state.
    fn status(&self) -> Status;
}

impl<E: Deref<Target = TraceEvent>> Placed for E {
    fn position(&self) -> Position {
        Position::of(self)
    }

    fn status(&self) -> Status {
        self.status
    }
}

/// What a [`RunFold`](super::RunFold) keeps of an event that the state of its run depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark<K> {
    /// The store's own handle of the event: the number of its row, say, or the event itself.
    pub key: K,
    /// Its place among all events.
    pub position: Position,
    /// Its status.
    pub status: Status,
    /// Whether it is a [root event](TraceEvent::is_root).
    pub is_root: bool,
    /// Whether its span [has a parent in another process](TraceEvent::has_remote_parent).
    pub has_remote_parent: bool,
    /// How long the span took that it ends.
    pub duration_us: Option<u64>,
    /// The service that emitted it.
    pub service: Text,
    /// The workflow that it names.
    pub workflow: Option<Text>,
    /// The business key that it names.
    pub correlation_id: Option<Text>,
}

impl<K> Mark<K> {
    /// The mark of an event, to be found again by this key.
    pub fn of(key: K, event: &TraceEvent) -> Self {
        Self {
            key,
            position: Position::of(event),
            status: event.status,
            is_root: event.is_root(),
            has_remote_parent: event.has_remote_parent(),
            duration_us: event.duration_us,
            service: event.service.clone(),
            workflow: event.workflow.clone(),
            correlation_id: event.correlation_id.clone(),
        }
    }

    /// The span that the event belongs to.
    pub fn span_id(&self) -> SpanId {
        self.position.id.span_id
    }

    /// The instance that emitted the event.
    pub fn instance(&self) -> InstanceId {
        self.position.instance
    }

    /// When the event happened.
    pub fn timestamp(&self) -> Timestamp {
        self.position.timestamp
    }
}

impl<K> Placed for Mark<K> {
    fn position(&self) -> Position {
        self.position
    }

    fn status(&self) -> Status {
        self.status
    }
}
