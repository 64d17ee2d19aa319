//! [`Workflow`] and [`Resume`]: runs, started and resumed.

use std::future::Future;
use std::sync::Arc;

use serde::Serialize;

use super::claim::Claimed;
use super::failure::NotRecorded;
use super::future::{Capture, Deferred, TraceFuture};
use super::propagation::Propagation;
use super::span::Label;
use super::spec::{Details, Resumed, RunSpec, SpanSpec};
use super::{TraceContext, request, step};
use crate::hub::Hub;
use throughline_model::StepError;
use throughline_model::fold::History;
use throughline_model::{Link, Relation, RunState, SpanId, Text, TraceEvent, TraceId, names};

/// A run that is being configured; it starts when [`run`](Self::run) is awaited.
#[must_use = "a workflow does nothing before it is run"]
pub struct Workflow(Box<RunSpec>);

impl Workflow {
    pub(crate) fn new(hub: Arc<Hub>, name: Text) -> Self {
        Self(Box::new(RunSpec {
            hub,
            label: Label::Workflow,
            workflow: Some(name),
            key: None,
            caller: None,
            own_trace: false,
            remote: None,
            resumed: None,
            details: Details::default(),
        }))
    }

    pub(super) fn child(parent: &TraceContext, name: Text) -> Self {
        let mut workflow = Self::new(Arc::clone(&parent.0.run.hub), name);
        workflow.0.own_trace = true;
        workflow.0.caller = Some(TraceContext(super::current::parent_for(&parent.0)));
        workflow
    }

    /// The business key of the run: the trace id is derived from it, and it is stored as correlation id, so that the run
    /// has one trace across restarts and can be found by its key.
    pub fn key(mut self, key: impl Into<Text>) -> Self {
        self.0.key = Some(key.into());
        self
    }

    /// The tenant for whom it runs: the attribute [`tenant`](names::attrs::TENANT), a label of its metrics.
    pub fn tenant(self, tenant: impl Into<Text>) -> Self {
        self.attr(Text::literal(names::attrs::TENANT), tenant)
    }

    /// An executor's id of the run: its [key](Self::key), and the attribute [`execution`](names::attrs::EXECUTION).
    pub fn execution(self, execution: impl Into<Text>) -> Self {
        let execution = execution.into();
        self.key(execution.clone()).attr(Text::literal(names::attrs::EXECUTION), execution)
    }

    /// Uses this event type for the start and the end of the run's root, as for a step, instead of `workflow:started`,
    /// `workflow:completed`…
    pub fn event_type(mut self, event_type: impl Into<Text>) -> Self {
        self.0.label = Label::Step(event_type.into());
        self
    }

    /// Marks it as detached: nothing waits for it, but if it continues the trace of another process, that run does not end
    /// before this one has. See [`names::tags::DETACHED`].
    pub fn detached(self) -> Self {
        self.tag(Text::literal(names::tags::DETACHED))
    }

    /// Links it to the span of the same trace that it retries.
    pub fn retry_of(mut self, earlier: SpanId) -> Self {
        self.0.details.links.push(Link::to(Relation::RetryOf, earlier));
        self
    }

    /// The trace that the run will have, if it has a [key](Self::key).
    pub fn trace_id(&self) -> Option<TraceId> {
        self.0.correlation_id(&self.0.hub).ok()?.map(|key| TraceId::from_key(&key))
    }

    /// An attribute: a short, searchable value; all steps inherit it: tenant, execution, user…
    pub fn attr(mut self, key: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.0.details.attrs.push((key.into(), value.into()));
        self
    }

    /// A tag, to filter by.
    pub fn tag(mut self, tag: impl Into<Text>) -> Self {
        self.0.details.tags.push(tag.into());
        self
    }

    /// The input of the run, stored as `data.input`, redacted and truncated.
    pub fn input(mut self, input: &impl Serialize) -> Self {
        self.0.details.set_input(input);
        self
    }

    /// How many steps the run will have, so that each says "step 4 of 10".
    pub fn steps(mut self, total: u32) -> Self {
        self.0.details.announced_steps = total;
        self
    }

    /// Which attempt of the run this is, from 1.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.0.details.attempt = Some(attempt);
        self
    }

    /// Continues the trace of the sender of the request or the job.
    pub fn continue_from(mut self, propagation: Propagation) -> Self {
        self.0.remote = Some(propagation);
        self
    }

    /// Runs the workflow. The closure is given the context of the run's root.
    pub fn run<C, F, T, E, K>(self, body: C) -> TraceFuture<Deferred<C, F>, Result<T, E>>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        self.run_capturing(body, Capture { error: step::error_of::<T, E, K>, output: |_| None })
    }

    /// Runs a workflow that cannot fail.
    pub fn run_infallible<C, F>(self, body: C) -> TraceFuture<Deferred<C, F>, F::Output>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future,
    {
        self.run_capturing(body, Capture::INFALLIBLE)
    }

    fn run_capturing<C, F>(
        self,
        body: C,
        capture: Capture<F::Output>,
    ) -> TraceFuture<Deferred<C, F>, F::Output>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future,
    {
        let hub = Arc::clone(&self.0.hub);
        let off = (!hub.enabled)
            .then(|| request::unrecorded(&hub, self.0.remote.clone().unwrap_or_default(), None));
        TraceFuture::new(hub.enabled, Deferred::new(body, off), capture, || SpanSpec::Run(self.0))
    }
}

impl std::fmt::Debug for Workflow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The name, the key and what else was said have not been redacted yet.
        f.debug_struct("Workflow").finish_non_exhaustive()
    }
}

/// A run to resume; it continues when [`run`](Self::run) is awaited.
#[must_use = "nothing is resumed before it is run"]
pub struct Resume {
    hub: Arc<Hub>,
    trace_id: TraceId,
}

impl std::fmt::Debug for Resume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resume").field("trace_id", &self.trace_id).finish_non_exhaustive()
    }
}

impl Resume {
    pub(crate) fn new(hub: Arc<Hub>, trace_id: TraceId) -> Self {
        Self { hub, trace_id }
    }

    /// Resumes the run: reads its progress from the store (names and statuses, never payloads), records
    /// `workflow:resumed` on its root, and runs the closure.
    ///
    /// The closure starts from the top; nothing is skipped automatically. Its [sagas](TraceContext::saga) know which steps
    /// succeeded before and undo them if necessary; [`TraceContext::completed_before`] says so for any step.
    ///
    /// # Errors
    /// [`NotRecorded`] if there is no such run, it has ended, it is running, or another process has just resumed it (only
    /// one of several succeeds). Also if the store does not respond.
    pub async fn run<C, F, T, E, K>(self, body: C) -> Result<Result<T, E>, NotRecorded>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        let Self { hub, trace_id } = self;
        // Looked at twice: before the claim, so that what can't be resumed is claimed by nobody, and after it, for
        // another process may have resumed the run and ended it in between.
        interrupted_run(&hub, trace_id).await?;
        let _claim = Claimed::take(&hub, trace_id).await?;
        let events = interrupted_run(&hub, trace_id).await?;
        let root = events.iter().find(|event| event.is_root()).ok_or(NotRecorded::NoSuchRun(trace_id))?;
        let history = History::of(&events);
        let next_seq = history.span(root.span_id).map_or(1, |span| span.next_seq);
        let spec = RunSpec {
            label: Label::Workflow,
            workflow: root.workflow.clone(),
            key: None,
            caller: None,
            own_trace: true,
            remote: None,
            details: Details {
                tags: root.tags.clone(),
                attempt: root.attempt,
                announced_steps: root.step_total.unwrap_or(0),
                continues: Some((root.span_id, next_seq)),
                ..Details::default()
            },
            resumed: Some(Resumed {
                trace_id,
                correlation_id: root.correlation_id.clone(),
                attrs: root.attrs.clone(),
                history: Arc::new(history),
            }),
            hub,
        };
        Workflow(Box::new(spec)).run(body).await
    }
}

impl TraceContext {
    /// Whether a step of this name succeeded before the process died, in a run that was
    /// [resumed](crate::Throughline::resume); `false` in every other run.
    pub fn completed_before(&self, event_type: &str) -> bool {
        self.0.run.history.as_ref().is_some_and(|history| history.has_completed(event_type))
    }
}

/// The events of a run that can be resumed.
async fn interrupted_run(hub: &Hub, trace_id: TraceId) -> Result<Vec<TraceEvent>, NotRecorded> {
    let reader =
        hub.readers.as_ref().map(|readers| &readers.reader).ok_or(NotRecorded::NoSuchRun(trace_id))?;
    let not_read = |error| NotRecorded::NotRead(Arc::new(error));
    let summary = reader.run(trace_id).await.map_err(not_read)?.ok_or(NotRecorded::NoSuchRun(trace_id))?;
    match summary.state {
        RunState::Interrupted | RunState::Unfinished => reader.trace(trace_id).await.map_err(not_read),
        RunState::Running => Err(NotRecorded::StillRunning(trace_id)),
        state => Err(NotRecorded::HasEnded { trace_id, state }),
    }
}
