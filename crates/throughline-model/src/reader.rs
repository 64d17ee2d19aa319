//! [`TraceReader`], the questions about runs and events that every store answers.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Attrs, ErrorInfo, InstanceId, SpanId, Status, Text, Timestamp, TraceEvent, TraceId};
use crate::{BoxError, BoxFuture};

/// Reads what a store keeps. Every store answers the same questions with the same answers; the conformance
/// suite (feature `testing`) holds them to it.
pub trait TraceReader: Send + Sync + 'static {
    /// All events of one run in their order; empty if there is no such run.
    fn trace(&self, id: TraceId) -> BoxFuture<'_, Result<Vec<TraceEvent>, ReadError>>;

    /// Events that match, newest first.
    fn events<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<TraceEvent>, ReadError>>;

    /// Runs that match, the last started first. A run matches by its summary: its start lies in the time
    /// range, its workflow, service and correlation id are equal, every attribute stood on one of its events;
    /// and by its events: `statuses`, `event_type` and `tags` are met by any one of them (all three by the
    /// same event).
    fn runs<'a>(
        &'a self,
        filter: &'a Filter,
        page: &'a Page,
    ) -> BoxFuture<'a, Result<Paged<RunSummary>, ReadError>>;

    /// The summary of one run.
    fn run(&self, id: TraceId) -> BoxFuture<'_, Result<Option<RunSummary>, ReadError>>;

    /// Runs that have not ended: running, interrupted or unfinished; the oldest first, at most `limit`.
    fn open_runs(&self, limit: usize) -> BoxFuture<'_, Result<Vec<OpenRun>, ReadError>>;

    /// Of these instances, how each stands.
    fn liveness<'a>(&'a self, instances: &'a [InstanceId])
    -> BoxFuture<'a, Result<Vec<Liveness>, ReadError>>;

    /// Ids of runs that begin with these hex digits, at most `limit`.
    fn complete<'a>(
        &'a self,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<TraceId>, ReadError>>;

    /// Whether a deployment would cut a run short: what runs now, what is stuck (no event for `stuck_after`),
    /// what a dead process left behind.
    fn safe_to_deploy(&self, stuck_after: Duration) -> BoxFuture<'_, Result<DeployCheck, ReadError>> {
        Box::pin(async move {
            let mut check = DeployCheck::default();
            let now = Timestamp::now();
            for run in self.open_runs(usize::MAX).await? {
                match run.summary.state {
                    RunState::Running if now.since(run.last_event) >= stuck_after => check.stuck.push(run),
                    RunState::Running => check.running.push(run),
                    RunState::Interrupted => check.interrupted.push(run),
                    _ => {}
                }
            }
            Ok(check)
        })
    }
}

/// Which events or runs to find; everything that is set must hold. The default matches all.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Filter {
    /// At this moment or later.
    pub since: Option<Timestamp>,
    /// Before this moment.
    pub until: Option<Timestamp>,
    /// One of these, if any are named.
    pub statuses: Vec<Status>,
    /// The type of the event.
    pub event_type: Option<TypeMatch>,
    /// All of these.
    pub tags: Vec<Text>,
    /// All of these.
    pub attrs: Attrs,
    /// The workflow.
    pub workflow: Option<Text>,
    /// The business key.
    pub correlation_id: Option<Text>,
    /// The service that emitted it.
    pub service: Option<Text>,
}

/// How an event type is matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeMatch {
    /// It is this.
    Exact(Text),
    /// It begins with this.
    Prefix(Text),
}

impl TypeMatch {
    /// Reads `stage:*` as a prefix and anything else as the exact type.
    pub fn parse(pattern: &str) -> Self {
        match pattern.strip_suffix('*') {
            Some(prefix) => Self::Prefix(prefix.to_owned().into()),
            None => Self::Exact(pattern.to_owned().into()),
        }
    }

    /// Whether an event type matches.
    pub fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::Exact(exact) => exact == event_type,
            Self::Prefix(prefix) => event_type.starts_with(prefix.as_str()),
        }
    }
}

impl Filter {
    /// Matches everything.
    pub fn new() -> Self {
        Self::default()
    }
    /// At this moment or later.
    #[must_use]
    pub fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }
    /// Before this moment.
    #[must_use]
    pub fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }
    /// Of this status; called again, of either.
    #[must_use]
    pub fn status(mut self, status: Status) -> Self {
        self.statuses.push(status);
        self
    }
    /// Of this type, or of all types with a prefix: `stage:*`.
    #[must_use]
    pub fn event_type(mut self, pattern: &str) -> Self {
        self.event_type = Some(TypeMatch::parse(pattern));
        self
    }
    /// With this tag; called again, with both.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<Text>) -> Self {
        self.tags.push(tag.into());
        self
    }
    /// With this attribute; called again, with both.
    #[must_use]
    pub fn attr(mut self, key: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.attrs = self.attrs.with(key, value);
        self
    }
    /// Of this workflow.
    #[must_use]
    pub fn workflow(mut self, workflow: impl Into<Text>) -> Self {
        self.workflow = Some(workflow.into());
        self
    }
    /// Of the run with this business key.
    #[must_use]
    pub fn correlation_id(mut self, key: impl Into<Text>) -> Self {
        self.correlation_id = Some(key.into());
        self
    }
    /// Of this service.
    #[must_use]
    pub fn service(mut self, service: impl Into<Text>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// Whether an event is what this filter wants.
    pub fn matches(&self, event: &TraceEvent) -> bool {
        self.since.is_none_or(|since| event.timestamp >= since)
            && self.until.is_none_or(|until| event.timestamp < until)
            && self.matches_kind(event)
            && self.attrs.iter().all(|(key, value)| event.attrs.get(key) == Some(value))
            && same(&self.workflow, &event.workflow)
            && same(&self.correlation_id, &event.correlation_id)
            && self.service.as_ref().is_none_or(|service| *service == event.service)
    }

    /// Whether an event has the status, type and tags that this filter wants: the part of a filter that one
    /// event of a run must meet.
    pub fn matches_kind(&self, event: &TraceEvent) -> bool {
        (self.statuses.is_empty() || self.statuses.contains(&event.status))
            && self.event_type.as_ref().is_none_or(|wanted| wanted.matches(&event.event_type))
            && self.tags.iter().all(|tag| event.has_tag(tag))
    }
}

fn same(wanted: &Option<Text>, found: &Option<Text>) -> bool {
    wanted.is_none() || wanted == found
}

/// Which part of the answer to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// How many at most.
    pub limit: usize,
    /// Where the page before ended; `None` for the first.
    pub after: Option<Cursor>,
}

impl Page {
    /// The first so many.
    pub fn first(limit: usize) -> Self {
        Self { limit, after: None }
    }
}

/// Where a page ended: a text to hand back, of no meaning otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

impl Cursor {
    /// A cursor with a text that the store understands.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Paged<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// Where to go on; `None` if this was all.
    pub next: Option<Cursor>,
}

/// One run in a line: what a list shows. [`RunSummary::of`] defines it; every store is held to that.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunSummary {
    /// The run.
    pub trace_id: TraceId,
    /// How it stands.
    pub state: RunState,
    /// The workflow that its root names, else the first that any event names.
    pub workflow: Option<Text>,
    /// The service that started it.
    pub service: Text,
    /// Its business key: that of its root, else the first that any event has.
    pub correlation_id: Option<Text>,
    /// When its first event happened.
    pub started: Timestamp,
    /// When its root span ended, and what was detached from it.
    pub ended: Option<Timestamp>,
    /// How long its root span took, and what was detached from it.
    pub duration_us: Option<u64>,
    /// Its first failed event, whether or not the run recovered.
    pub first_failure: Option<FailureSummary>,
}

impl RunSummary {
    /// A summary of a run of which no more than this is known; the other fields are empty.
    pub fn new(trace_id: TraceId, state: RunState, service: impl Into<Text>, started: Timestamp) -> Self {
        Self {
            trace_id,
            state,
            workflow: None,
            service: service.into(),
            correlation_id: None,
            started,
            ended: None,
            duration_us: None,
            first_failure: None,
        }
    }
}

/// The first failure of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailureSummary {
    /// The span that failed.
    pub span_id: SpanId,
    /// The type of the failed event.
    pub event_type: Text,
    /// The error, where one was recorded.
    pub error: Option<ErrorInfo>,
}

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It has not ended, and the process that runs it is alive.
    Running,
    /// It has not ended, and the process that ran it is dead.
    Interrupted,
    /// It has not ended, and was imported.
    Unfinished,
    /// Its root span ended well, and so did what was detached from it.
    Succeeded,
    /// Its root span, or something that was detached from it, ended with an error or a panic.
    Failed,
    /// Its root span, or something that was detached from it, was dropped.
    Cancelled,
}

impl RunState {
    /// The state of a run whose root span ended with this status, or, if that is `pending`, whose last instance
    /// stands like this.
    pub fn of(root: Status, instance: Liveness) -> Self {
        match (root, instance) {
            (Status::Success, _) => Self::Succeeded,
            (Status::Failed, _) => Self::Failed,
            (Status::Cancelled, _) => Self::Cancelled,
            (Status::Pending, Liveness::Alive) => Self::Running,
            (Status::Pending, Liveness::Dead) => Self::Interrupted,
            (Status::Pending, Liveness::Imported) => Self::Unfinished,
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

/// How an instance stands, as its lease says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// It holds its lease.
    Alive,
    /// Its lease was given back or has run out.
    Dead,
    /// It never had one: its events were imported.
    Imported,
}

/// A run that has not ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OpenRun {
    /// The run.
    pub summary: RunSummary,
    /// The innermost open span that started last; `None` if the root is all there is.
    pub current: Option<CurrentStep>,
    /// When its last event happened.
    pub last_event: Timestamp,
}

impl OpenRun {
    /// The open run that these events of one trace show, in any order; the summary is the caller's. Steps that
    /// another instance left open before the run was resumed, or before the job that they belong to was tried
    /// again, are not current: nobody works on them.
    pub fn of(summary: RunSummary, events: &[TraceEvent]) -> Self {
        let last_event = events.iter().map(|event| event.timestamp).max().unwrap_or(summary.started);
        let place_in_span = |event: &TraceEvent| (event.seq, event.order());
        let mut lasts: HashMap<SpanId, &TraceEvent> = HashMap::new();
        for event in events {
            let last = lasts.entry(event.span_id).or_insert(event);
            if place_in_span(event) > place_in_span(last) {
                *last = event;
            }
        }
        let resumed = events
            .iter()
            .filter(|event| event.status == Status::Pending && event.seq > 0 && event.is_root())
            .max_by_key(|event| place_in_span(event));
        let is_left_over = |event: &TraceEvent| {
            resumed
                .is_some_and(|resumed| event.instance != resumed.instance && event.order() < resumed.order())
        };
        let detached = events.iter().filter(|event| event.is_detached_root());
        let retried: HashSet<SpanId> = detached.flat_map(TraceEvent::retried).collect();
        let is_given_up = |event: &TraceEvent| {
            let mut above = Some(event);
            // Broken records may go in circles.
            for _ in 0..lasts.len() {
                let Some(span) = above.filter(|span| !retried.contains(&span.span_id)) else { break };
                above =
                    span.parent_span_id.filter(|_| !span.is_root()).and_then(|up| lasts.get(&up).copied());
            }
            above.is_some()
        };
        let is_step = |event: &TraceEvent| !event.is_root() || event.is_detached_root();
        let current = lasts
            .values()
            .filter(|last| last.status == Status::Pending && is_step(last))
            .filter(|last| !is_left_over(last) && !is_given_up(last))
            .max_by_key(|last| (last.order(), last.span_id))
            .map(|event| CurrentStep {
                span_id: event.span_id,
                event_type: event.event_type.clone(),
                started: event.timestamp,
                attempt: event.attempt,
                step_index: event.step_index,
                step_total: event.step_total,
            });
        Self { summary, current, last_event }
    }
}

/// Where an open run stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CurrentStep {
    /// The step's span.
    pub span_id: SpanId,
    /// The step's type.
    pub event_type: Text,
    /// When it started.
    pub started: Timestamp,
    /// Which attempt it is.
    pub attempt: Option<u32>,
    /// The 4 of "step 4 of 10".
    pub step_index: Option<u32>,
    /// The 10 of "step 4 of 10".
    pub step_total: Option<u32>,
}

/// Whether a deployment would cut a run short.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeployCheck {
    /// Runs at work.
    pub running: Vec<OpenRun>,
    /// Runs of a living process in which nothing has happened for a while.
    pub stuck: Vec<OpenRun>,
    /// Runs whose process is dead.
    pub interrupted: Vec<OpenRun>,
}

impl DeployCheck {
    /// Safe when nothing runs and nothing is stuck. What a dead process left behind does not get worse by a
    /// deployment, but wants to be resumed.
    pub fn is_safe(&self) -> bool {
        self.running.is_empty() && self.stuck.is_empty()
    }
}

/// Why a question could not be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The store did not answer; trying again may help.
    #[error("the store did not answer: {reason}")]
    Unavailable {
        /// What is wrong.
        reason: String,
        /// What went wrong underneath.
        #[source]
        source: Option<BoxError>,
    },
    /// The question is wrong: a cursor of another store, a prefix that is not hex.
    #[error("the store can't answer that: {reason}")]
    BadQuestion {
        /// What is wrong, and the mend.
        reason: String,
    },
    /// What is stored can't be read.
    #[error("the store holds what can't be read: {reason}")]
    Damaged {
        /// What is wrong.
        reason: String,
        /// What went wrong underneath.
        #[source]
        source: Option<BoxError>,
    },
}

impl ReadError {
    /// Whether the same question may be answered later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
