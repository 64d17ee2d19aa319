//! [`Story`]: events with fixed ids and times, in the order in which they happen.

use serde_json::{Map, Value, json};

use crate::TraceQuery;
use throughline_model::names::{self, attrs, data, tags};
use throughline_model::{
    ErrorInfo, InstanceId, Link, Liveness, Relation, SpanId, Status, Timestamp, TraceEvent, TraceId,
};

pub(super) const ALIVE: InstanceId = InstanceId::from_u64(1);
pub(super) const DEAD: InstanceId = InstanceId::from_u64(2);

/// Tells a run event by event. Time stands still until [`wait`](Self::wait).
#[derive(Clone)]
pub(super) struct Story {
    trace: TraceId,
    key: &'static str,
    now: i64,
    instance: InstanceId,
    spans: u64,
    pub(super) events: Vec<TraceEvent>,
}

impl Story {
    pub(super) fn new(key: &'static str) -> Self {
        Self {
            trace: TraceId::from_key(key),
            key,
            now: 1_772_357_400_000_000,
            instance: ALIVE,
            spans: 0xa0,
            events: Vec::new(),
        }
    }

    /// A run with an open root, the usual beginning.
    pub(super) fn started(key: &'static str) -> (Self, SpanId) {
        let mut story = Self::new(key);
        let root = story.open(None, names::WORKFLOW_STARTED);
        (story, root)
    }

    pub(super) fn wait(&mut self, millis: i64) -> &mut Self {
        self.now += millis * 1_000;
        self
    }

    /// What follows is emitted by another instance.
    pub(super) fn by(&mut self, instance: InstanceId) -> &mut Self {
        self.instance = instance;
        self
    }

    fn push(&mut self, span: SpanId, event_type: &str, status: Status) {
        let (event_type, timestamp) = (event_type.to_owned(), Timestamp::from_micros(self.now));
        let mut event = TraceEvent::new(self.trace, span, event_type, timestamp, "loan-service");
        event.instance = self.instance;
        event.n = self.events.len() as u64;
        event.status = status;
        event.workflow = Some("loan-approval".into());
        event.correlation_id = Some(self.key.into());
        self.events.push(event);
    }

    fn new_span(&mut self) -> SpanId {
        self.spans += 1;
        SpanId::from_u64(self.spans).unwrap()
    }

    /// Starts a span.
    pub(super) fn open(&mut self, parent: impl Into<Option<SpanId>>, event_type: &str) -> SpanId {
        let span = self.new_span();
        self.push(span, event_type, Status::Pending);
        let parent = parent.into();
        self.last(|event| event.parent_span_id = parent);
        span
    }

    /// A point event.
    pub(super) fn point(&mut self, parent: SpanId, event_type: &str) -> SpanId {
        let span = self.new_span();
        self.push(span, event_type, Status::Success);
        self.last(|event| event.parent_span_id = Some(parent));
        span
    }

    /// Changes the last event.
    pub(super) fn last(&mut self, change: impl FnOnce(&mut TraceEvent)) -> &mut Self {
        change(self.events.last_mut().unwrap());
        self
    }

    pub(super) fn data(&mut self, key: &str, value: Value) -> &mut Self {
        self.last(|event| {
            event.data.get_or_insert_with(Map::new).insert(key.to_owned(), value);
        })
    }

    pub(super) fn input(&mut self, value: Value) -> &mut Self {
        self.data(data::INPUT, value)
    }

    pub(super) fn output(&mut self, value: Value) -> &mut Self {
        self.data(data::OUTPUT, value)
    }

    pub(super) fn tag(&mut self, tag: &'static str) -> &mut Self {
        self.last(|event| event.tags.push(tag.into()))
    }

    pub(super) fn attr(&mut self, key: &'static str, value: &'static str) -> &mut Self {
        self.last(|event| event.attrs = event.attrs.with(key, value))
    }

    pub(super) fn link(&mut self, rel: Relation, span: SpanId) -> &mut Self {
        self.last(|event| event.links.push(Link::to(rel, span)))
    }

    pub(super) fn step_of(&mut self, index: u32, total: u32) -> &mut Self {
        self.last(|event| (event.step_index, event.step_total) = (Some(index), Some(total)))
    }

    /// Continues a span: another event like its last, without what only belonged to that.
    pub(super) fn more(&mut self, span: SpanId, status: Status) -> &mut Self {
        let before = self.events.iter().rev().find(|event| event.span_id == span).unwrap().clone();
        let started = self.events.iter().find(|event| event.span_id == span).unwrap().timestamp;
        let event_type = match (before.event_type.split_once(':'), status) {
            (Some((area @ ("workflow" | "saga"), _)), _) => {
                let what = match status {
                    Status::Pending => "resumed",
                    Status::Success => "completed",
                    Status::Failed => "failed",
                    Status::Cancelled => "cancelled",
                };
                format!("{area}:{what}")
            }
            _ => before.event_type.to_string(),
        };
        self.push(span, &event_type, status);
        let now = Timestamp::from_micros(self.now);
        self.last(|event| {
            event.seq = before.seq + 1;
            (event.parent_span_id, event.tags, event.attrs) =
                (before.parent_span_id, before.tags, before.attrs);
            (event.workflow, event.attempt) = (before.workflow, before.attempt);
            (event.step_index, event.step_total) = (before.step_index, before.step_total);
            if status != Status::Pending {
                event.duration_us = Some(now.since(started).as_micros() as u64);
            }
        })
    }

    pub(super) fn ok(&mut self, span: SpanId) -> &mut Self {
        self.more(span, Status::Success)
    }

    pub(super) fn cancel(&mut self, span: SpanId) -> &mut Self {
        self.more(span, Status::Cancelled)
    }

    pub(super) fn fail(&mut self, span: SpanId, kind: &'static str, message: &'static str) -> &mut Self {
        self.more(span, Status::Failed).last(|event| {
            event.error =
                Some(Box::new(ErrorInfo { kind: kind.into(), message: message.into(), chain: Vec::new() }));
        })
    }

    pub(super) fn chain(&mut self, sources: &[&'static str]) -> &mut Self {
        self.last(|event| {
            if let Some(error) = &mut event.error {
                error.chain = sources.iter().map(|source| (*source).into()).collect();
            }
        })
    }

    /// A step that takes so many milliseconds and succeeds.
    pub(super) fn step(&mut self, parent: SpanId, event_type: &str, millis: i64) -> SpanId {
        let span = self.open(parent, event_type);
        self.wait(millis).ok(span);
        span
    }

    /// A saga of this name.
    pub(super) fn saga(&mut self, parent: SpanId, name: &'static str) -> SpanId {
        let saga = self.open(parent, names::SAGA_STARTED);
        self.attr(attrs::SAGA, name);
        saga
    }

    /// A completed step that has a compensation.
    pub(super) fn compensable(
        &mut self,
        parent: SpanId,
        event_type: &str,
        millis: i64,
        resource: &'static str,
    ) -> SpanId {
        let span = self.open(parent, event_type);
        self.tag(tags::COMPENSABLE);
        self.wait(millis).ok(span).attr(attrs::RESOURCE, resource);
        span
    }

    /// Starts to undo a step.
    pub(super) fn undo(&mut self, parent: SpanId, step: SpanId) -> SpanId {
        let name = self.events.iter().find(|event| event.span_id == step).unwrap().event_type.clone();
        let name = name.split_once(':').map_or(name.as_str(), |(_, name)| name).to_owned();
        let span = self.open(parent, &format!("{}{name}", names::COMPENSATE_PREFIX));
        self.tag(tags::COMPENSATION).link(Relation::Compensates, step);
        span
    }

    pub(super) fn decision(&mut self, parent: SpanId, event_type: &str, choice: &str) -> SpanId {
        let span = self.point(parent, event_type);
        self.tag(tags::DECISION).data(data::CHOICE, json!(choice));
        span
    }

    pub(super) fn query(&self) -> TraceQuery {
        TraceQuery::new(self.events.clone())
            .with_liveness(|instance| if instance == DEAD { Liveness::Dead } else { Liveness::Alive })
    }
}

/// The name of a span, for assertions.
pub(super) fn name(span: crate::Span<'_>) -> String {
    span.name().into_owned()
}
