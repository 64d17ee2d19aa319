//! How a run stands: [`RunSummary`], [`RunState`], [`OpenRun`].

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fold::{Position, Spans, place_in_span};
use crate::names::{HTTP_REQUEST, RETRY_SCHEDULED, attrs};
use crate::{ErrorInfo, InstanceId, SpanId, Status, Text, Timestamp, TraceEvent, TraceId};

/// A summary of one run, as shown in lists. [`RunSummary::of`] defines it; the conformance suite holds every store to that.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunSummary {
    /// The run.
    pub trace_id: TraceId,
    /// Its state.
    pub state: RunState,
    /// The workflow named by its root, or else by the first event that names one.
    pub workflow: Option<Text>,
    /// The service that started it.
    pub service: Text,
    /// Its business key: that of its root, or else of the first event that has one.
    pub correlation_id: Option<Text>,
    /// Its root span; `None` if no event of that is known.
    pub root: Option<RootSummary>,
    /// When its first event happened.
    pub started: Timestamp,
    /// When its root span, and everything detached from it, had ended.
    pub ended: Option<Timestamp>,
    /// How long its root span took, with everything detached from it.
    pub duration_us: Option<u64>,
    /// Its first failed event, whether or not the run recovered.
    pub first_failure: Option<FailureSummary>,
    /// What went wrong, if it has ended and something did for good: the origin, by the rules of
    /// [`Causes`](crate::fold::Causes).
    pub cause: Option<FailureSummary>,
}

impl RunSummary {
    /// A summary with only these fields; the others are empty.
    pub fn new(trace_id: TraceId, state: RunState, service: impl Into<Text>, started: Timestamp) -> Self {
        Self {
            trace_id,
            state,
            workflow: None,
            service: service.into(),
            correlation_id: None,
            root: None,
            started,
            ended: None,
            duration_us: None,
            first_failure: None,
            cause: None,
        }
    }
}

impl RunSummary {
    /// Whether it is interrupted and can be resumed. What a process left of an HTTP request, or of a job that its queue
    /// delivers again, can't: it stays interrupted until it is undone, abandoned or old enough to be removed.
    pub fn waits_to_be_resumed(&self) -> bool {
        self.state == RunState::Interrupted && self.can_be_resumed()
    }

    /// Whether it has not ended, no process is known to work on it, and its root is one that can be resumed.
    pub fn can_be_resumed(&self) -> bool {
        matches!(self.state, RunState::Interrupted | RunState::Unfinished)
            && self.root.as_ref().is_some_and(|root| root.is_resumable)
    }
}

/// The root span of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RootSummary {
    /// The span.
    pub span_id: SpanId,
    /// Its type as it began: `workflow:started`, `http:request`, `job:payout`.
    pub event_type: Text,
    /// What to call it: `POST /loans/{id}` if it is a request that matched a route, else its type.
    pub name: Text,
    /// Which attempt the run is, of those under its key.
    pub attempt: Option<u32>,
    /// Whether the run can be resumed, should it be interrupted: the root began as a workflow, is not
    /// [detached](crate::names::tags::DETACHED), and neither succeeded nor failed.
    pub is_resumable: bool,
}

impl RootSummary {
    /// The root span with this first event, whose last event has this status.
    pub fn of(first: &TraceEvent, last: Status) -> Self {
        Self {
            span_id: first.span_id,
            event_type: first.event_type.clone(),
            name: match (first.attrs.get(attrs::HTTP_METHOD), first.attrs.get(attrs::HTTP_ROUTE)) {
                (Some(method), Some(route)) if first.event_type == HTTP_REQUEST => {
                    Text::from(format!("{method} {route}"))
                }
                _ => first.event_type.clone(),
            },
            attempt: first.attempt,
            is_resumable: first.workflow.is_some()
                && !first.is_detached()
                && matches!(last, Status::Pending | Status::Cancelled),
        }
    }
}

/// A failure of a run: the first, or the one that is its cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureSummary {
    /// The span that failed.
    pub span_id: SpanId,
    /// What to call it: `dependency:http carrier-api` if it is a call to a dependency, `workflow:order` if it is a run of a
    /// workflow; see [`names::of_span`](crate::names::of_span).
    pub name: Text,
    /// The type of the failed event.
    pub event_type: Text,
    /// The error, if one was recorded.
    pub error: Option<ErrorInfo>,
    /// The 4 of "step 4 of 10": of the span, or of the innermost step around it. Of a first failure only its own.
    pub step_index: Option<u32>,
    /// The 10 of "step 4 of 10".
    pub step_total: Option<u32>,
}

impl FailureSummary {
    /// The summary of a failed event among the events of its run.
    pub fn among<'e>(event: &TraceEvent, events: impl IntoIterator<Item = &'e TraceEvent>) -> Self {
        let mut summary = Self::from(event);
        if event.step_index.is_none() && event.parent_span_id.is_some() {
            let firsts: HashMap<SpanId, &TraceEvent> = events
                .into_iter()
                .filter(|event| event.seq == 0)
                .map(|event| (event.span_id, event))
                .collect();
            let around = step_around(event, firsts.len(), |span| firsts.get(&span).copied());
            (summary.step_index, summary.step_total) = around;
        }
        summary
    }
}

/// The number of a step, and of how many: of the span of this event, or of the innermost step around it.
fn step_around<'e>(
    event: &'e TraceEvent,
    spans: usize,
    first_of: impl Fn(SpanId) -> Option<&'e TraceEvent>,
) -> (Option<u32>, Option<u32>) {
    // As many as there are spans: broken records may have them in a circle.
    let around =
        std::iter::successors(Some(event), |inner| first_of(inner.parent_span_id?)).take(spans.max(1));
    let step = around.into_iter().find(|event| event.step_index.is_some());
    (step.and_then(|step| step.step_index), step.and_then(|step| step.step_total))
}

fn name_of(event: &TraceEvent) -> Text {
    let name = event.span_name();
    if *name == *event.event_type { event.event_type.clone() } else { name.into_owned().into() }
}

impl From<&TraceEvent> for FailureSummary {
    fn from(event: &TraceEvent) -> Self {
        Self {
            span_id: event.span_id,
            name: name_of(event),
            event_type: event.event_type.clone(),
            error: event.error.as_deref().cloned(),
            step_index: event.step_index,
            step_total: event.step_total,
        }
    }
}

/// The state of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It has not ended, and the process that runs it is alive.
    Running,
    /// It has not ended, and the process that ran it is dead.
    Interrupted,
    /// It has not ended, and it is not known whether a process is working on it: it was imported, or its instance is
    /// unknown.
    Unfinished,
    /// Its root span, and everything detached from it, succeeded.
    Succeeded,
    /// Its root span, or something detached from it, ended with an error or a panic.
    Failed,
    /// Its root span, or something detached from it, was dropped.
    Cancelled,
}

impl RunState {
    /// The state of a run whose root span has this status and, if that is `pending`, whose last instance has this liveness.
    pub fn of(root: Status, instance: Liveness) -> Self {
        match (root, instance) {
            (Status::Success, _) => Self::Succeeded,
            (Status::Failed, _) => Self::Failed,
            (Status::Cancelled, _) => Self::Cancelled,
            (Status::Pending, Liveness::Alive) => Self::Running,
            (Status::Pending, Liveness::Dead) => Self::Interrupted,
            (Status::Pending, Liveness::Imported | Liveness::Unknown) => Self::Unfinished,
        }
    }

    /// Whether the run has not ended: it is running, interrupted or unfinished.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Running | Self::Interrupted | Self::Unfinished)
    }

    /// How the run ended: the status of its root span, which is [`Status::Pending`] while the run has not ended.
    pub const fn outcome(self) -> Status {
        match self {
            Self::Running | Self::Interrupted | Self::Unfinished => Status::Pending,
            Self::Succeeded => Status::Success,
            Self::Failed => Status::Failed,
            Self::Cancelled => Status::Cancelled,
        }
    }

    /// The state as text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Unfinished => "unfinished",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Whether an instance is alive, according to its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// It holds its lease.
    Alive,
    /// Its lease was released or has expired.
    Dead,
    /// It never had one, but there are events of it: they were imported.
    Imported,
    /// The store can't tell: it knows of no lease and no event of such an instance.
    Unknown,
}

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OpenRun {
    /// The run.
    pub summary: RunSummary,
    /// The innermost open span that started last; `None` if only the root is open.
    pub current: Option<CurrentStep>,
    /// When its last event happened.
    pub last_event: Timestamp,
    /// The instance that has the current step in hand, or else the root; `None` if neither is known.
    pub instance: Option<InstanceId>,
    /// When what failed is tried again, as [the run said last](crate::names::RETRY_SCHEDULED); that may be over.
    pub next_retry: Option<Timestamp>,
}

impl OpenRun {
    /// The open run that these events of one trace describe, in any order; the caller supplies the summary. Steps that
    /// another instance left open before the run was resumed, or before the job that they belong to was retried, are not
    /// current: no process is working on them.
    pub fn of<'e>(summary: RunSummary, events: impl IntoIterator<Item = &'e TraceEvent>) -> Self {
        let mut last_event = None;
        let mut spans: Spans<&TraceEvent> = Spans::new();
        let mut resumed: Option<&TraceEvent> = None;
        let mut retried: HashSet<SpanId> = HashSet::new();
        let mut scheduled: Option<&TraceEvent> = None;
        for event in events {
            last_event = last_event.max(Some(event.timestamp));
            spans.add(event);
            let resumes = event.status == Status::Pending && event.seq > 0 && event.is_root();
            if resumes && resumed.is_none_or(|other| place_in_span(event) > place_in_span(other)) {
                resumed = Some(event);
            }
            if event.is_detached() {
                retried.extend(event.retried());
            }
            let is_later = scheduled.is_none_or(|other| Position::of(event) > Position::of(other));
            if event.event_type == RETRY_SCHEDULED && is_later {
                scheduled = Some(event);
            }
        }
        let is_left_over = |event: &TraceEvent| {
            resumed.is_some_and(|resumed| {
                event.instance != resumed.instance && Position::of(event) < Position::of(resumed)
            })
        };
        let is_step = |event: &TraceEvent| !event.is_root() || event.is_detached();
        let mut given_up = GivenUp { spans: &spans, retried, known: HashMap::new() };
        let current = spans
            .iter()
            .filter(|span| span.is_open())
            .map(|span| (span.first(), span.last()))
            .filter(|(_, last)| is_step(last) && !is_left_over(last) && !given_up.contains(last))
            .max_by_key(|(_, last)| Position::of(last));
        let root = summary.root.as_ref().and_then(|root| spans.get(root.span_id));
        let in_hand = current.map(|(_, last)| *last).or_else(|| root.map(|root| *root.last()));
        let current = current.map(|(first, event)| {
            let first_of = |span| spans.get(span).map(|span| *span.first());
            let (step_index, step_total) = step_around(event, spans.len(), first_of);
            CurrentStep {
                span_id: event.span_id,
                name: name_of(first),
                // What came later says how it continues, not what it is: `saga:left_open`.
                event_type: first.event_type.clone(),
                started: event.timestamp,
                attempt: event.attempt,
                step_index,
                step_total,
            }
        });
        Self {
            last_event: last_event.unwrap_or(summary.started),
            instance: in_hand.map(|event| event.instance),
            next_retry: scheduled.and_then(|event| event.attrs.get(attrs::RETRY_AT)?.parse().ok()),
            summary,
            current,
        }
    }
}

/// The spans of a run that lie in one that was tried again, or in a circle, as broken records may.
struct GivenUp<'a> {
    spans: &'a Spans<&'a TraceEvent>,
    retried: HashSet<SpanId>,
    /// What has been found out: a chain of spans is walked once, however many of them are asked for.
    known: HashMap<SpanId, bool>,
}

impl GivenUp<'_> {
    fn contains(&mut self, event: &TraceEvent) -> bool {
        let mut walked = Vec::new();
        let mut above = Some(event);
        let given_up = loop {
            let Some(span) = above else { break false };
            if self.retried.contains(&span.span_id) {
                break true;
            }
            match self.known.entry(span.span_id) {
                Entry::Occupied(known) => break *known.get(),
                // A walk that comes by here again before it is known otherwise goes in a circle.
                Entry::Vacant(place) => place.insert(true),
            };
            walked.push(span.span_id);
            let parent = span.parent_span_id.filter(|_| !span.is_root());
            above = parent.and_then(|parent| self.spans.get(parent)).map(|span| *span.last());
        };
        if !given_up {
            self.known.extend(walked.into_iter().map(|span| (span, false)));
        }
        given_up
    }
}

/// The step that an open run is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CurrentStep {
    /// The step's span.
    pub span_id: SpanId,
    /// What to call it: `dependency:http carrier-api` if it is a call to a dependency; see
    /// [`names::of_span`](crate::names::of_span).
    pub name: Text,
    /// The step's type as it began: `stage:score`, `saga:started`.
    pub event_type: Text,
    /// When it started; if it was resumed or left since, when that was.
    pub started: Timestamp,
    /// Which attempt it is.
    pub attempt: Option<u32>,
    /// The 4 of "step 4 of 10": its own, or that of the innermost step around it.
    pub step_index: Option<u32>,
    /// The 10 of "step 4 of 10".
    pub step_total: Option<u32>,
}

/// A run that has not ended, without its current step.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OpenSummary {
    /// The run.
    pub summary: RunSummary,
    /// When its last event happened.
    pub last_event: Timestamp,
}

impl OpenSummary {
    /// An open run whose last event happened then.
    pub fn new(summary: RunSummary, last_event: Timestamp) -> Self {
        Self { summary, last_event }
    }
}

/// Whether a deployment would interrupt a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeployCheck {
    /// Runs in progress.
    pub running: Vec<OpenSummary>,
    /// Runs of a live process in which nothing has happened for a while.
    pub stuck: Vec<OpenSummary>,
    /// Runs whose process is dead.
    pub interrupted: Vec<OpenSummary>,
}

impl DeployCheck {
    /// Safe if nothing is running and nothing is stuck. A deployment does not affect interrupted runs, but they should be
    /// resumed.
    pub fn is_safe(&self) -> bool {
        self.running.is_empty() && self.stuck.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names;

    #[test]
    fn the_current_step_is_named_by_what_it_began_as_and_not_by_how_it_was_left() {
        let (trace, at) = (TraceId::from_key("loan-1"), Timestamp::from_micros);
        let [root, saga] = [1, 2].map(|id| SpanId::from_u64(id).unwrap());
        let event = |span, event_type, micros, seq| {
            let mut event = TraceEvent::new(trace, span, event_type, at(micros), "loan-service");
            (event.seq, event.status) = (seq, Status::Pending);
            event.parent_span_id = Some(root).filter(|root| *root != span);
            event
        };
        for left in [names::SAGA_LEFT_OPEN, names::SAGA_DETACHED] {
            let events = [
                event(root, names::WORKFLOW_STARTED, 1, 0),
                event(saga, names::SAGA_STARTED, 2, 0),
                event(saga, left, 3, 1),
            ];
            let summary = RunSummary::new(trace, RunState::Interrupted, "loan-service", at(1));
            let current = OpenRun::of(summary, &events).current.unwrap();
            assert_eq!((&*current.event_type, current.started), (names::SAGA_STARTED, at(3)));
        }
    }
}
