//! From events to spans: what has begun waits here until it ends.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use throughline_model::names::tags;
use throughline_model::{SpanId, Status, Timestamp, TraceEvent, TraceId};

/// How many point events a span keeps; those after them become spans of their own.
const POINTS: usize = 128;

/// A span of which no more is expected.
#[derive(Debug, Clone, Default)]
pub(crate) struct Finished {
    /// Its events in their order, at least one.
    pub(crate) events: Vec<Arc<TraceEvent>>,
    /// The point events in it.
    pub(crate) points: Vec<Arc<TraceEvent>>,
    /// When it was closed because its process had died.
    pub(crate) interrupted_at: Option<Timestamp>,
    /// How many events are to be accounted for when it is known what became of it.
    pub(crate) owed: u64,
}

impl Finished {
    fn of(event: Arc<TraceEvent>) -> Self {
        Self { events: vec![event], owed: 1, ..Self::default() }
    }

    /// Whether its beginning is not among its events.
    pub(crate) fn is_fragment(&self) -> bool {
        self.events.first().is_some_and(|first| first.seq > 0)
    }

    /// All its events, those in it last.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<TraceEvent>> {
        self.events.iter().chain(&self.points)
    }
}

/// What an event amounts to.
#[derive(Debug)]
pub(crate) enum Amounts {
    /// A span began, and this is its start.
    Began(Arc<TraceEvent>),
    /// A span ended.
    Ended(Finished),
    /// It waits for the end of its span.
    Waits,
    /// There is no room for it.
    NoRoom,
}

/// The spans that are open.
#[derive(Debug)]
pub(crate) struct Assembler {
    open: HashMap<(TraceId, SpanId), Open>,
    /// Events in them.
    held: usize,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Open {
    events: Vec<Arc<TraceEvent>>,
    points: Vec<Arc<TraceEvent>>,
    /// Events that have been accounted for already.
    settled: u64,
}

impl Assembler {
    /// For so many events at most.
    pub(crate) fn new(capacity: usize) -> Self {
        Self { open: HashMap::new(), held: 0, capacity }
    }

    /// Takes an event.
    pub(crate) fn take(&mut self, event: Arc<TraceEvent>) -> Amounts {
        match (event.status, event.seq) {
            (Status::Pending, _) => self.began(event),
            (_, 0) => self.happened(event),
            _ => Amounts::Ended(self.ended(event)),
        }
    }

    fn began(&mut self, event: Arc<TraceEvent>) -> Amounts {
        if self.held >= self.capacity {
            return Amounts::NoRoom;
        }
        self.held += 1;
        match self.open.entry((event.trace_id, event.span_id)) {
            // It says more of a span that is open: that it is detached from now on.
            Entry::Occupied(open) => {
                open.into_mut().events.push(event);
                Amounts::Waits
            }
            Entry::Vacant(place) => {
                place.insert(Open { events: vec![Arc::clone(&event)], ..Open::default() });
                Amounts::Began(event)
            }
        }
    }

    /// A point event belongs to the span around it, unless others refer to it or it to others: then it is a span, for only
    /// spans have ids and links.
    fn happened(&mut self, event: Arc<TraceEvent>) -> Amounts {
        let around = event.parent_span_id.filter(|_| is_a_mere_point(&event));
        let around = around.and_then(|parent| self.open.get_mut(&(event.trace_id, parent)));
        match around.filter(|open| open.points.len() < POINTS && self.held < self.capacity) {
            Some(open) => {
                self.held += 1;
                open.points.push(event);
                Amounts::Waits
            }
            None => Amounts::Ended(Finished::of(event)),
        }
    }

    fn ended(&mut self, event: Arc<TraceEvent>) -> Finished {
        let Some(mut open) = self.open.remove(&(event.trace_id, event.span_id)) else {
            return Finished::of(event);
        };
        let held = open.events.len() + open.points.len();
        self.held -= held;
        open.events.push(event);
        Finished {
            owed: held as u64 + 1 - open.settled,
            events: open.events,
            points: open.points,
            interrupted_at: None,
        }
    }

    /// Closes a span because its process had died at that time.
    pub(crate) fn interrupted(&mut self, trace: TraceId, span: SpanId, at: Timestamp) -> Option<Finished> {
        let open = self.open.remove(&(trace, span))?;
        let held = open.events.len() + open.points.len();
        self.held -= held;
        Some(Finished {
            owed: held as u64 - open.settled,
            events: open.events,
            points: open.points,
            interrupted_at: Some(at),
        })
    }

    /// The start of a span has arrived by itself; answers whether that was not known.
    pub(crate) fn start_arrived(&mut self, trace: TraceId, span: SpanId) -> bool {
        let open = self.open.get_mut(&(trace, span)).filter(|open| open.settled == 0);
        open.map(|open| open.settled = 1).is_some()
    }

    /// Whether a span is open here.
    pub(crate) fn has(&self, trace: TraceId, span: SpanId) -> bool {
        self.open.contains_key(&(trace, span))
    }

    /// Gives up what is open; answers how many events that leaves to be accounted for.
    pub(crate) fn abandon(&mut self) -> u64 {
        self.held = 0;
        let owed = |(_, open): (_, Open)| (open.events.len() + open.points.len()) as u64 - open.settled;
        self.open.drain().map(owed).sum()
    }
}

/// Whether a point event stands for itself alone.
pub(crate) fn is_a_mere_point(event: &TraceEvent) -> bool {
    event.links.is_empty()
        && event.duration_us.is_none()
        && !event.has_tag(tags::DECISION)
        && !event.is_root()
}
