//! What the events of one run amount to, whatever order they arrive in.

use std::collections::{BTreeSet, HashMap};
use std::ops::Deref;

use crate::{
    EventId, FailureSummary, Filter, InstanceId, Liveness, RunState, RunSummary, SpanId, Status, Timestamp,
    TraceEvent, TraceId,
};

/// The place of an event among all events: by (timestamp, instance, n), and where these are equal by identity,
/// so that a start stands before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// When it happened.
    pub timestamp: Timestamp,
    /// Who emitted it.
    pub instance: InstanceId,
    /// Its place within the instance.
    pub n: u64,
    /// Its identity.
    pub id: EventId,
}

impl Position {
    /// The place of this event.
    pub fn of(event: &TraceEvent) -> Self {
        Self { timestamp: event.timestamp, instance: event.instance, n: event.n, id: event.id() }
    }
}

/// The first and the last event of a span, by `seq`.
#[derive(Debug, Clone)]
struct Ends<E> {
    first: E,
    last: E,
}

/// The running sum over the events of one run from which its summary is read. Adding is commutative: a child
/// before its parent or an end before its start gives the same digest.
#[derive(Debug, Clone)]
pub struct Digest<E> {
    earliest: E,
    latest: E,
    root: Option<E>,
    names_workflow: Option<E>,
    names_key: Option<E>,
    first_failure: Option<E>,
    spans: HashMap<SpanId, Ends<E>>,
    open_spans: usize,
    detached: BTreeSet<SpanId>,
    /// What detached spans tried again.
    retried: BTreeSet<SpanId>,
}

impl<E: Clone + Deref<Target = TraceEvent>> Digest<E> {
    /// The digest of one event.
    pub fn new(event: E) -> Self {
        let mut digest = Self {
            earliest: event.clone(),
            latest: event.clone(),
            root: None,
            names_workflow: None,
            names_key: None,
            first_failure: None,
            spans: HashMap::new(),
            open_spans: 0,
            detached: BTreeSet::new(),
            retried: BTreeSet::new(),
        };
        digest.add(event);
        digest
    }

    /// Adds an event that is not in it yet.
    pub fn add(&mut self, event: E) {
        if Position::of(&event) < Position::of(&self.earliest) {
            self.earliest = event.clone();
        }
        if Position::of(&event) > Position::of(&self.latest) {
            self.latest = event.clone();
        }
        keep_earliest(&mut self.root, &event, event.is_root());
        keep_earliest(&mut self.names_workflow, &event, event.workflow.is_some());
        keep_earliest(&mut self.names_key, &event, event.correlation_id.is_some());
        keep_earliest(&mut self.first_failure, &event, event.status == Status::Failed);
        if event.is_detached_root() {
            self.detached.insert(event.span_id);
            self.retried.extend(event.retried());
        }
        self.add_to_span(event);
    }

    fn add_to_span(&mut self, event: E) {
        let is_open = |event: &E| usize::from(event.status == Status::Pending);
        let Some(span) = self.spans.get_mut(&event.span_id) else {
            self.open_spans += is_open(&event);
            self.spans.insert(event.span_id, Ends { first: event.clone(), last: event });
            return;
        };
        if place_in_span(&event) < place_in_span(&span.first) {
            span.first = event.clone();
        }
        if place_in_span(&event) > place_in_span(&span.last) {
            self.open_spans = self.open_spans + is_open(&event) - is_open(&span.last);
            span.last = event;
        }
    }

    /// The run's root span, if one of its events has appeared: the span of the earliest root event.
    fn root_span(&self) -> Option<&Ends<E>> {
        self.root.as_ref().and_then(|root| self.spans.get(&root.span_id))
    }

    /// The last events of the spans that decide how a run with a root stands: of the root span and the detached ones,
    /// but for those that were tried again.
    fn deciding<'d>(&'d self, root: &'d Ends<E>) -> impl Iterator<Item = &'d E> {
        let alone = Some(&root.last).filter(|root| !self.detached.contains(&root.span_id));
        let detached = || self.detached.iter().filter_map(|span| self.last_of(*span));
        let counts = |last: &&E| !self.retried.contains(&last.span_id);
        // Spans that all claim to try each other again decide nothing.
        let fallback =
            Some(&root.last).filter(|_| !alone.into_iter().chain(detached()).any(|last| counts(&last)));
        alone.into_iter().chain(detached()).filter(counts).chain(fallback)
    }

    /// The last event of a span.
    pub fn last_of(&self, span: SpanId) -> Option<&E> {
        self.spans.get(&span).map(|ends| &ends.last)
    }

    /// How many spans have not ended.
    pub fn open_spans(&self) -> usize {
        self.open_spans
    }

    /// When the run's first event happened.
    pub fn started(&self) -> Timestamp {
        self.earliest.timestamp
    }

    /// When the run's last event happened.
    pub fn last_event(&self) -> Timestamp {
        self.latest.timestamp
    }

    /// Whether the run has not ended.
    pub fn is_open(&self) -> bool {
        match self.root_span() {
            Some(root) => self.deciding(root).any(|last| last.status == Status::Pending),
            None => self.open_spans > 0,
        }
    }

    /// The status that decides the state of the run, and the instance that has it in hand.
    fn standing(&self) -> (Status, InstanceId) {
        if let Some(root) = self.root_span() {
            let standing = self.deciding(root).max_by_key(|last| (decides(last.status), Position::of(last)));
            return standing
                .map_or((root.last.status, root.last.instance), |last| (last.status, last.instance));
        }
        let lasts = || self.spans.values().map(|span| &span.last);
        let open =
            lasts().filter(|last| last.status == Status::Pending).max_by_key(|last| Position::of(last));
        match open {
            Some(open) => (Status::Pending, open.instance),
            None if self.first_failure.is_some() => (Status::Failed, self.latest.instance),
            None if lasts().any(|last| last.status == Status::Cancelled) => {
                (Status::Cancelled, self.latest.instance)
            }
            None => (Status::Success, self.latest.instance),
        }
    }

    /// The run in a line.
    pub fn summary(&self, liveness: impl FnOnce(InstanceId) -> Liveness) -> RunSummary {
        let root = self.root_span();
        let facts = root.map_or(&self.earliest, |root| &root.first);
        let (status, instance) = self.standing();
        let last = root.filter(|_| status != Status::Pending).and_then(|root| {
            self.deciding(root).max_by_key(|last| Position::of(last)).map(|last| (root, last))
        });
        let ended = last.map(|(_, last)| last.timestamp);
        let duration_us = last.and_then(|(root, last)| match self.detached.is_empty() {
            true => root.last.duration_us,
            false => u64::try_from(last.timestamp.since(self.started()).as_micros()).ok(),
        });
        RunSummary {
            workflow: facts
                .workflow
                .clone()
                .or_else(|| self.names_workflow.as_ref().and_then(|event| event.workflow.clone())),
            correlation_id: facts
                .correlation_id
                .clone()
                .or_else(|| self.names_key.as_ref().and_then(|event| event.correlation_id.clone())),
            ended,
            duration_us,
            first_failure: self.first_failure.as_ref().map(|event| FailureSummary {
                span_id: event.span_id,
                event_type: event.event_type.clone(),
                error: event.error.as_deref().cloned(),
            }),
            ..RunSummary::new(
                self.trace_id(),
                RunState::of(status, liveness(instance)),
                &facts.service,
                self.started(),
            )
        }
    }

    fn trace_id(&self) -> TraceId {
        self.earliest.trace_id
    }
}

/// Of the spans that decide how a run stands, those of the greatest rank do: what is open, else what failed.
pub const fn decides(status: Status) -> u8 {
    match status {
        Status::Pending => 3,
        Status::Failed => 2,
        Status::Cancelled => 1,
        Status::Success => 0,
    }
}

/// The order of the events of one span: `seq` comes first, for the clocks of two process lives may differ.
pub fn place_in_span(event: &TraceEvent) -> (u32, Position) {
    (event.seq, Position::of(event))
}

fn keep_earliest<E: Clone + Deref<Target = TraceEvent>>(kept: &mut Option<E>, event: &E, counts: bool) {
    if counts && kept.as_ref().is_none_or(|kept| Position::of(event) < Position::of(kept)) {
        *kept = Some(event.clone());
    }
}

impl RunSummary {
    /// The summary of these events of one run, in any order; `None` if there are none.
    ///
    /// This is the definition that every store is held to:
    ///
    /// - The **root span** is the span of the earliest [root event](TraceEvent::is_root). If there are several
    ///   root spans, the others are steps like any other.
    /// - The **state** is the status of the root span's last event, that with the greatest `seq`. If that is
    ///   `pending` (a start, or a resumption), the liveness of the instance that emitted it decides between
    ///   running, interrupted and unfinished.
    /// - `ended` and `duration_us` are the timestamp and the duration of that event, unless it is `pending`.
    /// - [**Detached**](crate::names::tags::DETACHED) root spans, such as the jobs that a request put into a queue,
    ///   decide together with the root span, each by its last event. A root span that a detached one tries again
    ///   (`retry_of`) is left out, be it the first. The state is `pending` if one of them is (the latest such event
    ///   names the instance), else failed if one failed, else cancelled if one was, else success. If there are any,
    ///   `ended` is the time of the latest of these events, and `duration_us` the time from `started` to it.
    /// - `service`, `workflow` and `correlation_id` are those of the root span's first event. If that names no
    ///   workflow (an HTTP request in which one runs), the earliest event that names one does; the same goes
    ///   for the correlation id.
    /// - `started` is the time of the earliest event of the run, `first_failure` its earliest event of status
    ///   `failed`, in the order of events.
    /// - A run of which **no root event** has appeared takes its facts from its earliest event. While any
    ///   of its spans is open, the instance of the latest such span decides how it stands; else it has failed
    ///   if any event failed, was cancelled if any span was, and succeeded otherwise. It has no `ended` and no
    ///   `duration_us`.
    pub fn of<'a>(
        events: impl IntoIterator<Item = &'a TraceEvent>,
        liveness: impl FnOnce(InstanceId) -> Liveness,
    ) -> Option<Self> {
        let mut events = events.into_iter();
        let mut digest = Digest::new(events.next()?);
        events.for_each(|event| digest.add(event));
        Some(digest.summary(liveness))
    }
}

/// Whether a run is what a filter wants: its summary, and the events that are asked for.
pub fn run_matches<'a>(
    filter: &Filter,
    summary: &RunSummary,
    events: impl Iterator<Item = &'a TraceEvent> + Clone,
) -> bool {
    let asks_for_events =
        !filter.statuses.is_empty() || filter.event_type.is_some() || !filter.tags.is_empty();
    filter.scope.contains(summary.started, summary.workflow.as_ref())
        && filter.service.as_ref().is_none_or(|service| *service == summary.service)
        && (filter.correlation_id.is_none() || filter.correlation_id == summary.correlation_id)
        && filter
            .attrs
            .iter()
            .all(|(key, value)| events.clone().any(|event| event.attrs.get(key) == Some(value)))
        && (!asks_for_events || events.clone().any(|event| filter.matches_kind(event)))
}
