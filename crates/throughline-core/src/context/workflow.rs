//! [`Workflow`]: a run, as it is started.

use std::future::Future;
use std::sync::Arc;

use serde::Serialize;

use super::future::{Capture, Deferred, TraceFuture};
use super::keyed::Unique;
use super::propagation::Propagation;
use super::span::Label;
use super::spec::{RunSpec, SpanSpec};
use super::{TraceContext, request, step};
use crate::hub::Hub;
use throughline_model::StepError;
use throughline_model::{Link, Relation, SpanId, Text, TraceId, names};

/// A run that is being configured; it starts when [`run`](Self::run) is awaited.
#[must_use = "a workflow does nothing before it is run"]
pub struct Workflow(Box<RunSpec>);

impl Workflow {
    pub(crate) fn new(hub: Arc<Hub>, name: Text) -> Self {
        Self(Box::new(RunSpec { workflow: Some(name), ..RunSpec::new(hub) }))
    }

    pub(super) fn resuming(hub: Arc<Hub>, trace_id: TraceId) -> Self {
        Self(Box::new(RunSpec { resumes: Some(trace_id), ..RunSpec::new(hub) }))
    }

    pub(super) fn child(parent: &TraceContext, name: Text) -> Self {
        let mut workflow = Self::new(Arc::clone(&parent.0.run.hub), name);
        workflow.0.own_trace = true;
        workflow.0.caller = Some(TraceContext(super::current::parent_for(Arc::clone(&parent.0))));
        workflow
    }

    /// The business key of the run, by which it is found; stored as its correlation id, as a pseudonym if it looks like
    /// personal data.
    ///
    /// Each run has a trace of its own, also of those under one key of one workflow and service: the key stands as its latest
    /// run stands. A run that follows one that failed, was cancelled or interrupted is recorded as the next attempt and
    /// linked to it as `retry_of`; one that its process left open is closed by that, unless it has a saga that could be
    /// undone. To learn this, the start of the run reads the store, for two seconds at most, and
    /// waits as long again to close one that was left open. To continue an
    /// interrupted run in its own trace, use [`run_or_resume`](Self::run_or_resume).
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

    /// Lets at most one run under its [key](Self::key) be at work, in this process or in any other that uses the store. If
    /// there is one, this run does not start, and [`NotRecorded::AtWork`](crate::NotRecorded::AtWork) has its id. An emitter
    /// that is [off](crate::ThroughlineBuilder::disabled) knows of no other runs, and refuses none.
    pub fn unique(mut self) -> Self {
        self.0.unique = self.0.unique.max(Unique::WhileAtWork);
        self
    }

    /// As [`unique`](Self::unique), and lets at most one run under its key succeed. If one has,
    /// [`NotRecorded::HasSucceeded`](crate::NotRecorded::HasSucceeded) has its id.
    pub fn once(mut self) -> Self {
        self.0.unique = Unique::UntilSuccess;
        self
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

    /// Resumes the latest run under this [key](Self::key) if its process left it open, in its own trace, or else starts one.
    /// Like a [`unique`](Self::unique) run it does not start while another one under its key is at work. What is said here of
    /// a new run, such as its input, does not count for one that is resumed.
    ///
    /// ```
    /// # use throughline_core::{BoxError, Throughline};
    /// # async fn example(throughline: Throughline) -> Result<(), BoxError> {
    /// # async fn score() -> Result<u32, BoxError> { Ok(712) }
    /// throughline
    ///     .workflow("loan-approval")
    ///     .key("loan-42")
    ///     .run_or_resume(|ctx| async move {
    ///         if !ctx.completed_before("stage:credit-check") {
    ///             ctx.trace("stage:credit-check", score()).await??;
    ///         }
    ///         Ok::<_, BoxError>(())
    ///     })
    ///     .await??;
    /// # Ok(())
    /// # }
    /// ```
    pub fn run_or_resume<C, F, T, E, K>(mut self, body: C) -> TraceFuture<Deferred<C, F>, Result<T, E>>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        self.0.or_resume = true;
        self.run(body)
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
