//! [`SpanFold`] and [`Spans`]: how spans stand.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::{Change, Placed};
use crate::{InstanceId, SpanId, Status};

/// One span, by its first and its last event in the [order of the span](super::place_in_span).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanFold<E> {
    first: E,
    last: E,
}

impl<E: Placed + Clone> SpanFold<E> {
    /// A span of which this event is known.
    pub fn new(event: E) -> Self {
        Self { first: event.clone(), last: event }
    }

    /// Adds another event of the span. [`Change::Everything`] says that it is the first from now on,
    /// [`Change::Course`] that it is the last.
    pub fn add(&mut self, event: E) -> Change {
        let place = event.position().in_span();
        let is_first = place < self.first.position().in_span();
        let is_last = place > self.last.position().in_span();
        match (is_first, is_last) {
            (true, _) => {
                self.first = event;
                Change::Everything
            }
            (false, true) => {
                self.last = event;
                Change::Course
            }
            (false, false) => Change::Nothing,
        }
    }

    /// Its first event.
    pub fn first(&self) -> &E {
        &self.first
    }

    /// Its last event.
    pub fn last(&self) -> &E {
        &self.last
    }

    /// Its status: `pending` while it is open.
    pub fn status(&self) -> Status {
        self.last.status()
    }

    /// Whether it has not ended.
    pub fn is_open(&self) -> bool {
        self.status() == Status::Pending
    }

    /// The instance that has it in hand: that of its last event.
    pub fn owner(&self) -> InstanceId {
        self.last.position().instance
    }

    /// The `seq` of what comes next.
    pub fn next_seq(&self) -> u32 {
        self.last.position().id.seq.saturating_add(1)
    }
}

/// All spans of one run, by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spans<E> {
    spans: HashMap<SpanId, SpanFold<E>>,
    open: usize,
}

impl<E> Default for Spans<E> {
    fn default() -> Self {
        Self { spans: HashMap::new(), open: 0 }
    }
}

impl<E: Placed + Clone> Spans<E> {
    /// No spans.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event of the run; says what changed about its span.
    pub fn add(&mut self, event: E) -> Change {
        match self.spans.entry(event.position().id.span_id) {
            Entry::Occupied(mut span) => {
                let span = span.get_mut();
                let was_open = usize::from(span.is_open());
                let change = span.add(event);
                self.open = self.open + usize::from(span.is_open()) - was_open;
                change
            }
            Entry::Vacant(place) => {
                self.open += usize::from(place.insert(SpanFold::new(event)).is_open());
                Change::Everything
            }
        }
    }

    /// The span of this id.
    pub fn get(&self, id: SpanId) -> Option<&SpanFold<E>> {
        self.spans.get(&id)
    }

    /// All of them, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &SpanFold<E>> {
        self.spans.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// How many have not ended.
    pub fn open(&self) -> usize {
        self.open
    }
}

impl<E: Placed + Clone> Extend<E> for Spans<E> {
    fn extend<I: IntoIterator<Item = E>>(&mut self, events: I) {
        events.into_iter().for_each(|event| {
            self.add(event);
        });
    }
}

impl<E: Placed + Clone> FromIterator<E> for Spans<E> {
    fn from_iter<I: IntoIterator<Item = E>>(events: I) -> Self {
        let mut spans = Self::new();
        spans.extend(events);
        spans
    }
}
