//! [`Kind`]: what is asked of every span again and again.

use throughline_model::names;
use throughline_model::{Status, TraceEvent};

/// What kind of span it is, in four bytes: the events of a large run do not fit into any cache, and to visit them for every
/// question is what takes time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// The status of its last event.
    pub(super) status: Status,
    facts: u16,
}

/// Something that a span is or has.
#[derive(Debug, Clone, Copy)]
#[repr(u16)]
pub(super) enum Fact {
    /// It is a point event.
    Point = 1,
    /// It is a run of a workflow.
    Workflow = 1 << 1,
    /// It is a saga.
    Saga = 1 << 2,
    /// It says that a saga begins to undo.
    Compensating = 1 << 3,
    /// It has tags.
    Tags = 1 << 4,
    /// It has links.
    Links = 1 << 5,
    /// It has attributes or a payload.
    Payload = 1 << 6,
    /// One of its events failed.
    Failure = 1 << 7,
    /// One of its events names a workflow.
    NamesWorkflow = 1 << 8,
    /// One of its events has a correlation id.
    NamesKey = 1 << 9,
}

impl Kind {
    /// What the events of a span say, in their order.
    pub(super) fn of<'e>(mut events: impl Iterator<Item = &'e TraceEvent>) -> Self {
        let mut kind = Self { status: Status::Pending, facts: 0 };
        let Some(first) = events.next() else { return kind };
        kind.note(Fact::Workflow, names::is_workflow(&first.event_type));
        kind.note(Fact::Saga, names::is_saga(&first.event_type));
        kind.note(Fact::Compensating, first.event_type == names::SAGA_COMPENSATING);
        kind.add(first);
        let mut is_alone = true;
        for event in events {
            is_alone = false;
            kind.add(event);
        }
        kind.note(Fact::Point, is_alone && first.seq == 0 && first.status != Status::Pending);
        kind
    }

    fn add(&mut self, event: &TraceEvent) {
        self.status = event.status;
        self.note(Fact::Tags, !event.tags.is_empty());
        self.note(Fact::Links, !event.links.is_empty());
        self.note(Fact::Payload, !event.attrs.is_empty() || event.data.is_some());
        self.note(Fact::Failure, event.status == Status::Failed);
        self.note(Fact::NamesWorkflow, event.workflow.is_some());
        self.note(Fact::NamesKey, event.correlation_id.is_some());
    }

    fn note(&mut self, fact: Fact, is_so: bool) {
        self.facts |= if is_so { fact as u16 } else { 0 };
    }

    pub(super) fn has(self, fact: Fact) -> bool {
        self.facts & fact as u16 != 0
    }
}
