//! [`Span`]: the events of one step, seen as one.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::TraceQuery;
use super::kind::{Fact, Kind};
use throughline_model::names::{self, data, tags};
use throughline_model::{
    ErrorInfo, InstanceId, Link, Relation, RunState, SpanId, Status, Text, Timestamp, TraceEvent,
};

/// A span of a [`TraceQuery`]: a step with its start and its end, or a point event. A view, cheap to copy.
#[derive(Clone, Copy)]
pub struct Span<'q> {
    pub(super) query: &'q TraceQuery,
    pub(super) index: u32,
}

impl<'q> Span<'q> {
    /// The id of the span.
    pub fn id(&self) -> SpanId {
        self.first_event().span_id
    }

    /// Its events in the order of `seq`; there is at least one.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &'q TraceEvent> + use<'q> {
        let query = self.query;
        query.index.members_of(self.index).iter().map(move |place| query.event_at(*place))
    }

    /// The event that started the span, or the point event; `None` if it was lost.
    pub fn start(&self) -> Option<&'q TraceEvent> {
        Some(self.first_event()).filter(|event| event.seq == 0)
    }

    /// The event that ended the span, or the point event; `None` while it is open.
    pub fn end(&self) -> Option<&'q TraceEvent> {
        (self.status() != Status::Pending).then(|| self.last_event())
    }

    /// The parent span.
    pub fn parent(&self) -> Option<Self> {
        let parent = self.query.index.parent_of(self.index)?;
        Some(self.query.at(parent))
    }

    /// The child spans, in the order in which they began.
    pub fn children(&self) -> impl DoubleEndedIterator<Item = Self> + use<'q> {
        let query = self.query;
        query.index.children_of(self.index).iter().map(move |index| query.at(*index))
    }

    /// How many spans enclose this one.
    pub fn depth(&self) -> usize {
        self.query.index.outline().depth[self.index as usize] as usize
    }

    /// The name of the span: `workflow:loan-approval` or `saga:booking` if the workflow or the saga has a name,
    /// `POST /loans/{id}` if a request matched a route, `dependency:http carrier-api` if it is a call to a dependency with a
    /// name, the event type of its start for all others.
    pub fn name(&self) -> Cow<'q, str> {
        let workflow = || self.find(|event| event.workflow.as_deref());
        names::of_span(&self.first_event().event_type, workflow, |key| self.attr(key))
    }

    /// The status of its last event: `pending` while the span is open.
    pub fn status(&self) -> Status {
        self.kind().status
    }

    fn kind(&self) -> Kind {
        self.query.kinds()[self.index as usize]
    }

    /// Whether this is so of it.
    pub(super) fn has(&self, fact: Fact) -> bool {
        self.kind().has(fact)
    }

    /// The state of the span. An open span is running, interrupted or unfinished, depending on whether its owner is alive,
    /// is dead, or never held a lease.
    pub fn state(&self) -> RunState {
        match self.status() {
            Status::Pending => self.query.open_state(self.owner()),
            ended => RunState::of(ended, throughline_model::Liveness::Imported),
        }
    }

    /// The instance of its latest event.
    pub fn owner(&self) -> InstanceId {
        self.last_event().instance
    }

    /// Whether it was left open on purpose: no process has it in hand, and none died in it.
    pub(super) fn is_left_to_nobody(&self) -> bool {
        self.status() == Status::Pending && self.owner() == InstanceId::NOBODY
    }

    /// Whether it is a point event: something that happened and took no time.
    pub fn is_point(&self) -> bool {
        self.has(Fact::Point)
    }

    /// Whether it is a run of a workflow, nested ones included.
    pub fn is_workflow(&self) -> bool {
        self.has(Fact::Workflow)
    }

    /// Whether it is a saga.
    pub fn is_saga(&self) -> bool {
        self.has(Fact::Saga)
    }

    /// Whether it says that a saga begins to undo.
    pub(super) fn is_compensating(&self) -> bool {
        self.has(Fact::Compensating)
    }

    /// Whether one of its events has attributes or a payload.
    pub(super) fn has_payload(&self) -> bool {
        self.has(Fact::Payload)
    }

    /// Whether it undoes another span.
    pub fn is_compensation(&self) -> bool {
        self.has_tag(tags::COMPENSATION) || self.linked(Relation::Compensates).next().is_some()
    }

    /// Whether it is a decision with alternatives.
    pub fn is_decision(&self) -> bool {
        self.has_tag(tags::DECISION)
    }

    /// When its first event happened.
    pub fn started(&self) -> Timestamp {
        self.first_event().timestamp
    }

    /// When it ended; `None` while it is open.
    pub fn ended(&self) -> Option<Timestamp> {
        self.end().map(|event| event.timestamp)
    }

    /// How long it took; `None` for point events and while it is open. By the emitter's monotonic clock if that was
    /// recorded, else from the first event to the last; `None` as well if these have no times that tell.
    pub fn duration(&self) -> Option<Duration> {
        self.duration_us().map(Duration::from_micros)
    }

    pub(super) fn duration_us(&self) -> Option<u64> {
        let end = self.end()?;
        let start = self.first_event();
        let tells =
            !end.has_tag(tags::UNTIMED) && !start.has_tag(tags::UNTIMED) && start.timestamp <= end.timestamp;
        let measured = || u64::try_from(end.timestamp.since(start.timestamp).as_micros()).ok();
        end.duration_us.or_else(|| measured().filter(|_| tells && !self.is_point() && end.seq != start.seq))
    }

    /// Why it failed.
    pub fn error(&self) -> Option<&'q ErrorInfo> {
        self.end()?.error.as_deref()
    }

    /// Its input.
    pub fn input(&self) -> Option<&'q Value> {
        self.events().find_map(|event| event.data.as_ref()?.get(data::INPUT))
    }

    /// Its output.
    pub fn output(&self) -> Option<&'q Value> {
        self.data(data::OUTPUT)
    }

    /// A field of its payload; the latest event that has it counts.
    pub fn data(&self, key: &str) -> Option<&'q Value> {
        self.events().rev().find_map(|event| event.data.as_ref()?.get(key))
    }

    /// Which attempt it is, from 1.
    pub fn attempt(&self) -> Option<u32> {
        self.find(|event| event.attempt)
    }

    /// The value of an attribute; the latest event that has it counts.
    pub fn attr(&self, key: &str) -> Option<&'q str> {
        self.events().rev().find_map(|event| event.attrs.get(key))
    }

    /// Whether one of its events carries a tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.has(Fact::Tags) && self.events().any(|event| event.has_tag(tag))
    }

    /// Its links to other spans, without duplicates.
    pub fn links(&self) -> impl Iterator<Item = &'q Link> + use<'q> {
        let first = self.first_event();
        let events = self.has(Fact::Links).then(|| self.events().enumerate()).into_iter().flatten();
        let news = move |(at, link): &(usize, &'q Link)| *at == 0 || !first.links.contains(link);
        let links = events.flat_map(|(at, event)| event.links.iter().map(move |link| (at, link)));
        links.filter(news).map(|(_, link)| link)
    }

    /// The spans of this trace that it links in this way.
    pub fn linked(&self, rel: Relation) -> impl Iterator<Item = SpanId> + use<'q> {
        // Its trace is asked only where there is a link, which few spans have.
        let first = self.first_event();
        self.links()
            .filter(move |link| link.rel == rel && link.trace_id.is_none_or(|other| other == first.trace_id))
            .map(|link| link.span_id)
    }

    /// A summary of it.
    pub fn summary(&self) -> SpanSummary {
        let first = self.first_event();
        SpanSummary {
            span_id: first.span_id,
            name: self.name().into_owned().into(),
            state: self.state(),
            point: self.is_point(),
            started: first.timestamp,
            offset_us: self.query.offset_us(first),
            duration_us: self.duration_us(),
            attempt: self.attempt(),
            step_index: self.find(|event| event.step_index),
            step_total: self.find(|event| event.step_total),
            error: self.error().cloned(),
        }
    }

    pub(super) fn first_event(&self) -> &'q TraceEvent {
        self.query.event_at(self.query.index.members_of(self.index)[0])
    }

    pub(super) fn last_event(&self) -> &'q TraceEvent {
        self.query.event_at(self.end_place())
    }

    /// Where in the timeline its first event stands.
    pub(super) fn start_place(&self) -> u32 {
        self.query.index.members_of(self.index)[0]
    }

    /// Where in the timeline its last event stands.
    pub(super) fn end_place(&self) -> u32 {
        let members = self.query.index.members_of(self.index);
        members[members.len() - 1]
    }

    /// Where in the timeline the events stand with which another instance continued it.
    pub(super) fn resumptions(&self) -> impl Iterator<Item = u32> + use<'q> {
        let query = self.query;
        let mut before = None;
        query.index.members_of(self.index).iter().copied().filter(move |place| {
            let event = query.event_at(*place);
            let is_another = before.replace(event.instance).is_some_and(|before| before != event.instance);
            let says_so = [names::WORKFLOW_RESUMED, names::SAGA_RESUMED].contains(&event.event_type.as_str());
            event.status == Status::Pending
                && event.seq > 0
                && event.instance != InstanceId::NOBODY
                && (is_another || says_so)
        })
    }

    fn find<T>(&self, fact: impl Fn(&'q TraceEvent) -> Option<T>) -> Option<T> {
        self.events().find_map(fact)
    }
}

impl fmt::Debug for Span<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Span({} {} {})", self.id(), self.name(), self.state())
    }
}

/// Two views are equal if they show the same span of the same query.
impl PartialEq for Span<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.query, other.query) && self.index == other.index
    }
}

impl Eq for Span<'_> {}

/// A summary of a span, as used in answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SpanSummary {
    /// The span.
    pub span_id: SpanId,
    /// Its [name](Span::name).
    pub name: Text,
    /// Its state.
    pub state: RunState,
    /// Whether it is a point event.
    #[serde(skip_serializing_if = "is_false")]
    pub point: bool,
    /// When it started.
    pub started: Timestamp,
    /// The same, in microseconds from the first event of the run.
    pub offset_us: u64,
    /// How many microseconds it took, if it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
    /// Which attempt it is, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The 4 of "step 4 of 10".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_index: Option<u32>,
    /// The 10 of "step 4 of 10".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_total: Option<u32>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInfo>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
