//! [`run`], which builds the events of a run by hand.

use std::collections::HashMap;
use std::time::Duration;

use crate::names::{
    WORKFLOW_CANCELLED, WORKFLOW_COMPLETED, WORKFLOW_FAILED, WORKFLOW_RESUMED, WORKFLOW_STARTED, tags,
};
use crate::{ErrorInfo, InstanceId, SpanId, Status, Text, Timestamp, TraceEvent, TraceId};

/// Starts to build the events of a run of this workflow, on a clock that moves a millisecond with each event.
///
/// ```
/// use throughline_model::testing::{run, tree};
///
/// let mut loan = run("loan-approval").key("loan-42");
/// let reserve = loan.begin("stage:reserve-funds");
/// loan.succeed(reserve);
/// let sign = loan.begin("stage:sign");
/// loan.fail(sign, "Timeout", "nobody answered");
/// loan.fail_run("Timeout", "nobody answered");
/// assert_eq!(
///     tree(&loan.events()),
///     "workflow:started > workflow:failed failed [Timeout]\n  \
///        stage:reserve-funds success\n  \
///        stage:sign failed [Timeout]\n"
/// );
/// ```
pub fn run(workflow: &str) -> RunBuilder {
    RunBuilder {
        trace_id: TraceId::random(),
        workflow: Text::from(workflow.to_owned()),
        key: None,
        service: Text::literal("test-service"),
        instance: InstanceId::IMPORTED,
        clock: Timestamp::from_micros(1_772_357_400_000_000),
        next_n: 0,
        root: span(1),
        next_span: 2,
        open: HashMap::new(),
        events: Vec::new(),
    }
}

/// Builds the events of a run; see [`run`].
///
/// The root span begins with the first event that is recorded; what says who runs it and when
/// ([`key`](Self::key), [`at`](Self::at)…) comes before.
#[derive(Debug, Clone)]
pub struct RunBuilder {
    trace_id: TraceId,
    workflow: Text,
    key: Option<Text>,
    service: Text,
    instance: InstanceId,
    clock: Timestamp,
    next_n: u64,
    root: SpanId,
    next_span: u64,
    /// The last event of each span that has not ended, and when the span began.
    open: HashMap<SpanId, (Timestamp, TraceEvent)>,
    events: Vec<TraceEvent>,
}

/// Span ids count from 1 in every run, so that a store which takes a span id for unique across runs is found
/// out.
fn span(number: u64) -> SpanId {
    SpanId::from_u64(number).unwrap_or_else(SpanId::random)
}

impl RunBuilder {
    /// The business key; it also gives the trace id.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.trace_id = TraceId::from_key(key);
        self.key = Some(Text::from(key.to_owned()));
        self
    }

    /// The service; `test-service` by default.
    #[must_use]
    pub fn service(mut self, service: &str) -> Self {
        self.service = Text::from(service.to_owned());
        self
    }

    /// The instance that emits; [`InstanceId::IMPORTED`] by default.
    #[must_use]
    pub fn instance(mut self, instance: InstanceId) -> Self {
        self.instance = instance;
        self
    }

    /// When the run starts; 2026-03-01T09:30:00Z by default.
    #[must_use]
    pub fn at(mut self, start: Timestamp) -> Self {
        self.clock = start;
        self
    }

    /// The trace that the events belong to.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The root span, begun if it was not.
    pub fn root(&mut self) -> SpanId {
        if self.events.is_empty() {
            self.start(self.root, None, WORKFLOW_STARTED.to_owned());
        }
        self.root
    }

    /// Begins a step below the root.
    pub fn begin(&mut self, event_type: &str) -> SpanId {
        let root = self.root();
        self.begin_in(root, event_type)
    }

    /// Begins a step below another span.
    pub fn begin_in(&mut self, parent: SpanId, event_type: &str) -> SpanId {
        let span = self.new_span();
        self.start(span, Some(parent), event_type.to_owned());
        span
    }

    /// Records a point event below the root.
    pub fn point(&mut self, event_type: &str) -> SpanId {
        let root = self.root();
        self.point_in(root, event_type)
    }

    /// Records a point event below a span.
    pub fn point_in(&mut self, parent: SpanId, event_type: &str) -> SpanId {
        let span = self.new_span();
        let mut event = self.event(span, event_type.to_owned());
        event.parent_span_id = Some(parent);
        self.events.push(event);
        span
    }

    /// Ends a step well. A span that is not open is left as it is; this goes for all ways to end one.
    pub fn succeed(&mut self, span: SpanId) {
        self.end(span, Status::Success, None);
    }

    /// Ends a step with an error.
    pub fn fail(&mut self, span: SpanId, kind: &str, message: &str) {
        self.end(span, Status::Failed, Some(error(kind, message)));
    }

    /// Ends a step because it was dropped.
    pub fn cancel(&mut self, span: SpanId) {
        self.end(span, Status::Cancelled, None);
    }

    /// Ends the run well.
    pub fn complete_run(&mut self) {
        self.root();
        self.end(self.root, Status::Success, None);
    }

    /// Ends the run with an error.
    pub fn fail_run(&mut self, kind: &str, message: &str) {
        self.root();
        self.end(self.root, Status::Failed, Some(error(kind, message)));
    }

    /// Ends the run because it was dropped.
    pub fn cancel_run(&mut self) {
        self.root();
        self.end(self.root, Status::Cancelled, None);
    }

    /// Another instance takes the run over; it emits what follows.
    pub fn resume(&mut self, instance: InstanceId) {
        self.root();
        self.instance = instance;
        let seq = self.events.iter().filter(|event| event.span_id == self.root).count() as u32;
        let mut event = self.event(self.root, WORKFLOW_RESUMED.to_owned());
        event.seq = seq;
        event.status = Status::Pending;
        self.open.insert(self.root, (event.timestamp, event.clone()));
        self.events.push(event);
    }

    /// The caller of a span is gone, and the span continues without it. A span that is not open is left as it is.
    pub fn detach(&mut self, span: SpanId, event_type: &str) {
        let Some((began, last)) = self.open.remove(&span) else { return };
        let stamp = self.event(span, event_type.to_owned());
        let mut event = TraceEvent {
            event_type: stamp.event_type,
            seq: last.seq + 1,
            timestamp: stamp.timestamp,
            instance: stamp.instance,
            n: stamp.n,
            data: None,
            ..last
        };
        event.tags.push(Text::literal(tags::DETACHED));
        self.open.insert(span, (began, event.clone()));
        self.events.push(event);
    }

    /// Lets time pass until the next event.
    pub fn pass(&mut self, time: Duration) {
        self.clock = self.clock.plus(time);
    }

    /// Changes the event that was recorded last, and what the end of its span takes over from it: attributes,
    /// tags, links, attempt and steps.
    pub fn edit(&mut self, change: impl FnOnce(&mut TraceEvent)) {
        self.root();
        let Some(last) = self.events.last_mut() else { return };
        change(last);
        if let Some((_, open)) = self.open.get_mut(&last.span_id) {
            open.clone_from(last);
        }
    }

    /// The events so far, as they were recorded.
    pub fn events(&self) -> Vec<TraceEvent> {
        self.events.clone()
    }

    fn new_span(&mut self) -> SpanId {
        let span = span(self.next_span);
        self.next_span += 1;
        span
    }

    fn event(&mut self, span: SpanId, event_type: String) -> TraceEvent {
        let mut event = TraceEvent::new(self.trace_id, span, event_type, self.clock, &self.service);
        event.instance = self.instance;
        event.n = self.next_n;
        event.workflow = Some(self.workflow.clone());
        event.correlation_id.clone_from(&self.key);
        self.next_n += 1;
        self.clock = self.clock.plus(Duration::from_millis(1));
        event
    }

    fn start(&mut self, span: SpanId, parent: Option<SpanId>, event_type: String) {
        let mut event = self.event(span, event_type);
        event.parent_span_id = parent;
        event.status = Status::Pending;
        self.open.insert(span, (event.timestamp, event.clone()));
        self.events.push(event);
    }

    fn end(&mut self, span: SpanId, status: Status, error: Option<ErrorInfo>) {
        let Some((began, last)) = self.open.remove(&span) else { return };
        let event_type = match (span == self.root, status) {
            (false, _) => last.event_type.clone(),
            (true, Status::Failed) => Text::literal(WORKFLOW_FAILED),
            (true, Status::Cancelled) => Text::literal(WORKFLOW_CANCELLED),
            (true, _) => Text::literal(WORKFLOW_COMPLETED),
        };
        let stamp = self.event(span, String::new());
        self.events.push(TraceEvent {
            event_type,
            seq: last.seq + 1,
            timestamp: stamp.timestamp,
            instance: stamp.instance,
            n: stamp.n,
            status,
            duration_us: Some(stamp.timestamp.since(began).as_micros() as u64),
            error: error.map(Box::new),
            data: None,
            ..last
        });
    }
}

fn error(kind: &str, message: &str) -> ErrorInfo {
    ErrorInfo {
        kind: Text::from(kind.to_owned()),
        message: Text::from(message.to_owned()),
        chain: Vec::new(),
    }
}
