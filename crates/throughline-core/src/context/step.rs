//! [`Step`], the long form of a step.

use std::future::Future;

use serde::Serialize;
use serde_json::Map;

use super::failure::NotRecorded;
use super::failures::{Caught, Made};
use super::future::{Capture, Deferred, TraceFuture};
use super::span::Label;
use super::spec::{Details, SpanSpec};
use super::{Decision, TraceContext};
use crate::payload::to_payload;
use throughline_model::StepError;
use throughline_model::{Link, Relation, SpanId, Text, names};

/// A step that is being configured; it runs when [`run`](Self::run) is awaited.
///
/// ```
/// # use throughline_core::TraceContext;
/// # type Error = Box<dyn std::error::Error + Send + Sync>;
/// # async fn example(ctx: TraceContext) -> Result<(), Error> {
/// let score: u32 = ctx
///     .step("stage:score")
///     .input(&("loan-42", 25_000))
///     .tag("expensive")
///     .capture_output()
///     .run(|ctx| async move {
///         ctx.event("business:scored", serde_json::json!({ "bureau": "first" })).await?;
///         Ok::<_, Error>(712)
///     })
///     .await??;
/// # Ok(())
/// # }
/// ```
#[must_use = "a step does nothing before it is run"]
pub struct Step {
    context: TraceContext,
    label: Label,
    details: Box<Details>,
}

impl Step {
    pub(super) fn new(context: TraceContext, name: Text) -> Self {
        Self::labelled(context, Label::Step(name))
    }

    pub(super) fn labelled(context: TraceContext, label: Label) -> Self {
        Self { context, label, details: Box::default() }
    }

    /// The input of the step, stored as `data.input`, redacted and truncated. What JSON lacks is written
    /// [in the nearest way](crate::to_payload).
    pub fn input(mut self, input: &impl Serialize) -> Self {
        self.details.set_input(input);
        self
    }

    /// A tag, to filter by.
    pub fn tag(mut self, tag: impl Into<Text>) -> Self {
        self.details.tags.push(tag.into());
        self
    }

    /// An attribute: a short, searchable value; steps inside inherit it.
    pub fn attr(mut self, key: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.details.attrs.push((key.into(), value.into()));
        self
    }

    /// Which attempt this is, from 1.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.details.attempt = Some(attempt);
        self
    }

    /// Links it to the span that it retries.
    pub fn retry_of(self, earlier: SpanId) -> Self {
        self.link(Relation::RetryOf, earlier)
    }

    /// Links it to the decision that caused it.
    pub fn decided_by(self, decision: &Decision) -> Self {
        self.link(Relation::DecidedBy, decision.span_id())
    }

    /// Links it to another span of the same trace.
    pub fn link(mut self, rel: Relation, span: SpanId) -> Self {
        self.details.links.push(Link::to(rel, span));
        self
    }

    /// How many steps will run inside, so that each says "step 4 of 10".
    pub fn steps(mut self, total: u32) -> Self {
        self.details.announced_steps = total;
        self
    }

    /// Does not count it as one of the steps that its parent announced; calls to dependencies are not counted.
    pub fn unnumbered(mut self) -> Self {
        self.details.unnumbered = true;
        self
    }

    pub(super) fn continuing(mut self, continues: Option<(SpanId, u32)>) -> Self {
        self.details.continues = continues;
        self
    }

    /// Stores what the step returns as `data.output`, redacted and truncated.
    pub fn capture_output(self) -> CapturingStep {
        CapturingStep(self)
    }

    /// Runs the step. The closure is given the step's own context.
    pub fn run<C, F, T, E, K>(self, body: C) -> TraceFuture<Deferred<C, F>, Result<T, E>>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        self.run_capturing(body, Capture { error: error_of::<T, E, K>, output: |_| None })
    }

    /// Runs a step that cannot fail.
    pub fn run_infallible<C, F>(self, body: C) -> TraceFuture<Deferred<C, F>, F::Output>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future,
    {
        self.run_capturing(body, Capture::INFALLIBLE)
    }

    /// Runs the step up to `attempts` times, until it succeeds. Each attempt is a separate span that links to the previous
    /// one; the closure gets its number, from 1, and may wait before it retries. In a run that was
    /// [resumed](crate::Throughline::resume) the attempts of the previous instance are counted in what is recorded.
    ///
    /// # Errors
    /// The last attempt's error, or [`NotRecorded`] if an attempt could not be recorded.
    pub async fn retry<C, F, T, E, K>(self, attempts: u32, mut body: C) -> Result<Result<T, E>, NotRecorded>
    where
        C: FnMut(TraceContext, u32) -> F,
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        let mut attempt = 1;
        let mut before: Option<(SpanId, u32)> = None;
        // The first attempt may be a further one at a step that was begun before the run was resumed.
        let is_resumed = self.context.0.run.resumption.is_some();
        loop {
            let mut step = Self {
                context: self.context.clone(),
                label: self.label.clone(),
                details: Box::new(Details {
                    input: self.details.input.clone(),
                    attrs: self.details.attrs.clone(),
                    tags: self.details.tags.clone(),
                    links: self.details.links.clone(),
                    announced_steps: self.details.announced_steps,
                    unnumbered: self.details.unnumbered,
                    ..Details::default()
                }),
            };
            match before {
                Some((span, number)) => step = step.attempt(number.saturating_add(1)).retry_of(span),
                None if is_resumed => {}
                None => step = step.attempt(attempt),
            }
            let mut span = None;
            let tried = step
                .run(|context| {
                    span = Some((context.span_id(), context.attempt().unwrap_or(1)));
                    body(context, attempt)
                })
                .await?;
            if tried.is_ok() || attempt >= attempts {
                return Ok(tried);
            }
            before = span;
            attempt += 1;
        }
    }

    pub(super) fn run_capturing<C, F>(
        self,
        body: C,
        capture: Capture<F::Output>,
    ) -> TraceFuture<Deferred<C, F>, F::Output>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future,
    {
        let recording = self.context.0.recording;
        let off = (!recording).then(|| self.context.clone());
        TraceFuture::new(recording, Deferred::new(body, off), capture, || self.spec())
    }

    pub(super) fn run_future<F, T, E, K>(self, future: F) -> TraceFuture<F, Result<T, E>>
    where
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        let capture = Capture { error: error_of::<T, E, K>, output: |_| None };
        TraceFuture::new(self.context.0.recording, future, capture, || self.spec())
    }

    pub(super) fn spec(self) -> SpanSpec {
        SpanSpec::Step {
            context: self.context,
            label: self.label,
            details: Some(self.details),
            made: Made::now(),
        }
    }
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What was said of the step has not been redacted yet.
        f.debug_struct("Step").field("context", &self.context).finish_non_exhaustive()
    }
}

/// A [`Step`] that stores its output.
#[derive(Debug)]
#[must_use = "a step does nothing before it is run"]
pub struct CapturingStep(Step);

impl CapturingStep {
    /// Runs the step; its result, if it succeeds, is stored as `data.output`.
    pub fn run<C, F, T, E, K>(self, body: C) -> TraceFuture<Deferred<C, F>, Result<T, E>>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future<Output = Result<T, E>>,
        T: Serialize,
        E: StepError<K>,
    {
        self.0.run_capturing(
            body,
            Capture { error: error_of::<T, E, K>, output: |result| output_of(result.as_ref().ok()?) },
        )
    }

    /// Runs a step that cannot fail; its result is stored as `data.output`.
    pub fn run_infallible<C, F>(self, body: C) -> TraceFuture<Deferred<C, F>, F::Output>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future,
        F::Output: Serialize,
    {
        self.0.run_capturing(body, Capture { error: |_| None, output: |output| output_of(output) })
    }
}

pub(super) fn error_of<T, E: StepError<K>, K>(result: &Result<T, E>) -> Option<Caught> {
    result.as_ref().err().map(Caught::of)
}

fn output_of(output: &impl Serialize) -> Option<Map<String, serde_json::Value>> {
    Some(Map::from_iter([(names::data::OUTPUT.to_owned(), to_payload(output))]))
}
