//! [`TraceContext`]: where code stands in a run, and everything that it can say from there.

mod abandon;
mod cancellation;
mod claim;
mod current;
mod decision;
mod event;
mod failure;
mod failures;
mod future;
mod ingest;
mod keyed;
mod lazy;

mod propagation;
mod request;
mod resume;
mod resumption;
mod saga;
mod seldom;
mod settled;
mod span;
mod spec;
mod step;
mod timeout;
mod workflow;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

pub(crate) use abandon::abandon;
pub use cancellation::CancelledBy;
pub use current::{InContext, InContextFuture};
pub use decision::{Decision, DecisionDraft};
pub use event::EventDraft;
pub use failure::NotRecorded;
pub use future::{Deferred, TraceFuture};
pub(crate) use ingest::record as ingest;
pub use propagation::{ParseTraceParentError, Propagation, TraceParent};
pub use request::{RequestDetails, RequestSpan, RequestStart};
pub use resume::Resume;
pub use saga::{
    Compensated, CompensationOutcome, OnCancel, Saga, SagaBuilder, SagaFailed, SagaRecovery, SagaStep,
};
pub use settled::Settled;
pub use step::{CapturingStep, Step};
pub use timeout::{DeadlinePassed, Timeout};
pub use workflow::Workflow;

use future::Capture;
use span::{Label, Span};
use spec::SpanSpec;
use throughline_model::StepError;
use throughline_model::names;
use throughline_model::{Attrs, SpanId, Text, Timestamp, TraceId};

/// The current position in a run: an open span. Cheap to clone, and can be sent to other threads and tasks.
///
/// **Parents.** A step that is started through a context becomes a child of the [current](Self::current) span if that
/// is a descendant of the context's span in the same trace, else of the context's span itself. So nested steps nest
/// whichever context they are started through, and a step in a spawned task, which has no current span, becomes a child of
/// the context that the task was given.
#[derive(Clone)]
pub struct TraceContext(pub(crate) Arc<Span>);

impl TraceContext {
    /// Traces a step: records its start, runs the future, records its end.
    ///
    /// Two questions, two `?`: the outer error says that the step never ran because its start could not be
    /// recorded; the inner is the step's own. For a future that does not return a `Result` there is
    /// [`trace_infallible`](Self::trace_infallible); for inputs, outputs, tags and attempts
    /// [`step`](Self::step).
    ///
    /// ```
    /// # use throughline_core::{NotRecorded, TraceContext};
    /// # async fn example(ctx: TraceContext) -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn score() -> Result<u32, std::io::Error> { Ok(712) }
    /// let score = ctx.trace("stage:credit-check", async { score().await }).await??;
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn trace<F, T, E, K>(&self, name: impl Into<Text>, future: F) -> TraceFuture<F, Result<T, E>>
    where
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        self.run_step(name, future, Capture { error: step::error_of::<T, E, K>, output: |_| None })
    }

    /// Traces a step that cannot fail.
    #[inline]
    pub fn trace_infallible<F: Future>(&self, name: impl Into<Text>, future: F) -> TraceFuture<F, F::Output> {
        self.run_step(name, future, Capture::INFALLIBLE)
    }

    #[inline]
    fn run_step<F: Future>(
        &self,
        name: impl Into<Text>,
        future: F,
        capture: Capture<F::Output>,
    ) -> TraceFuture<F, F::Output> {
        TraceFuture::new(self.0.recording, future, capture, || SpanSpec::Step {
            context: self.clone(),
            label: Label::Step(name.into()),
            details: None,
            made: failures::Made::now(),
        })
    }

    /// The long form of a step, with input, output, tags, links and attempts.
    pub fn step(&self, name: impl Into<Text>) -> Step {
        Step::new(self.clone(), name.into())
    }

    /// Traces a call to an external dependency: `kind` is a word such as `db`, `queue` or `http`, `target` its name, as in
    /// `postgres`.
    pub fn dependency<F, T, E, K>(
        &self,
        kind: &str,
        target: impl Into<Text>,
        future: F,
    ) -> TraceFuture<F, Result<T, E>>
    where
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        self.dependency_step(kind, target).run_future(future)
    }

    /// The long form of a [`dependency`](Self::dependency), with inputs, attributes and attempts.
    pub fn dependency_step(&self, kind: &str, target: impl Into<Text>) -> Step {
        let step = self.step(format!("{}{kind}", names::DEPENDENCY_PREFIX)).unnumbered();
        step.tag(names::tags::DEPENDENCY).attr(names::attrs::DEPENDENCY, target)
    }

    /// Traces the compensation of a step, for code that already has a saga engine. `step` is the name of the step that is
    /// undone and `original` its span.
    pub fn compensate<F, T, E, K>(
        &self,
        step: &str,
        original: SpanId,
        future: F,
    ) -> TraceFuture<F, Result<T, E>>
    where
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        self.compensation(step, &[original]).run_future(future)
    }

    /// The long form of [`compensate`](Self::compensate); `originals` are the attempts of the step that took effect.
    pub fn compensation(&self, step: &str, originals: &[SpanId]) -> Step {
        // Redacted before it is cut: half a secret has no shape any more.
        let step = self.0.run.hub.redactor.name(step);
        let name = step.split_once(':').map_or(&*step, |(_, name)| name);
        let builder = self.step(format!("{}{name}", names::COMPENSATE_PREFIX)).unnumbered();
        let builder = builder.tag(names::tags::COMPENSATION);
        originals.iter().fold(builder, |builder, original| {
            builder.link(throughline_model::Relation::Compensates, *original)
        })
    }

    /// Records that something happened, with a payload, as in `json!({ "score": 712 })`: an object becomes the
    /// event's `data`, anything else its field `value`. Await it.
    pub fn event(&self, event_type: impl Into<Text>, data: impl Into<Value>) -> EventDraft {
        EventDraft::new(self.clone(), event_type.into(), to_map(data.into()))
    }

    /// Records that something failed and that the code continues without it: what it does instead, and the error. If
    /// something goes wrong later, this is where to look. Await it.
    ///
    /// ```
    /// # use throughline_core::{NotRecorded, TraceContext};
    /// # async fn read_limit() -> Result<u32, std::io::Error> { Ok(7) }
    /// # async fn example(ctx: TraceContext) -> Result<(), NotRecorded> {
    /// let limit = match ctx.trace("stage:read-limit", read_limit()).await? {
    ///     Ok(limit) => limit,
    ///     Err(error) => {
    ///         ctx.fallback("no limit known, 0 taken", &error).await?;
    ///         0
    ///     }
    /// };
    /// # Ok(())
    /// # }
    /// ```
    pub fn fallback<E: StepError<K>, K>(&self, message: impl Into<Text>, error: &E) -> EventDraft {
        let data = Map::from_iter([(names::data::MESSAGE.to_owned(), message.into().as_str().into())]);
        let event = EventDraft::new(self.clone(), Text::literal(names::FALLBACK), Some(data));
        event.tag(Text::literal(names::tags::FALLBACK)).tolerating(error.describe())
    }

    /// Records when what failed will be tried again: those who ask what runs are told how long it still waits. Nothing is waited for
    /// here. Await it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use throughline_core::{BoxError, NotRecorded, TraceContext};
    /// # async fn ask_bureau() -> Result<u32, BoxError> { Ok(7) }
    /// # async fn example(ctx: TraceContext) -> Result<u32, BoxError> {
    /// let score = ctx.step("stage:credit-score").retry(3, |ctx, attempt| async move {
    ///     if attempt > 1 {
    ///         let wait = Duration::from_secs(30);
    ///         ctx.retry_in(wait).await?;
    ///         tokio::time::sleep(wait).await;
    ///     }
    ///     ask_bureau().await
    /// });
    /// # score.await?
    /// # }
    /// ```
    pub fn retry_in(&self, wait: Duration) -> EventDraft {
        let at = Timestamp::now().plus(wait).to_string();
        EventDraft::new(self.clone(), Text::literal(names::RETRY_SCHEDULED), None)
            .attr(Text::literal(names::attrs::RETRY_AT), at)
    }

    /// Records a decision: what was considered, what was chosen, why, and how confidently. Await it.
    pub fn decision(&self, event_type: impl Into<Text>) -> DecisionDraft {
        DecisionDraft::new(self.clone(), event_type.into())
    }

    /// Configures a saga: steps that are undone, in reverse order, if one of them fails.
    pub fn saga(&self, name: impl Into<Text>) -> SagaBuilder {
        SagaBuilder::new(self.clone(), name.into())
    }

    /// Configures a child workflow, in a separate trace that names this one as its parent.
    pub fn child_workflow(&self, name: impl Into<Text>) -> Workflow {
        Workflow::child(self, name.into())
    }

    /// Adds an attribute that became known while the step runs; it is recorded with the step's end. If a key is set several
    /// times, the last value is kept.
    pub fn annotate(&self, key: impl Into<Text>, value: impl Into<Text>) {
        let (key, value) = (key.into(), value.into());
        self.0.tell_tracing(&key, &value);
        let mut late = self.0.late_attrs.lock();
        match late.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = value,
            None => late.push((key, value)),
        }
    }

    /// The run.
    pub fn trace_id(&self) -> TraceId {
        self.0.run.trace_id
    }

    /// Whether anything of the run is recorded: a request's root span is written only once something happens in it.
    pub fn is_recorded(&self) -> bool {
        self.0.recording && self.0.run.lazy_root.as_deref().is_none_or(lazy::LazyRoot::is_written)
    }

    /// The span of this context.
    pub fn span_id(&self) -> SpanId {
        self.0.id
    }

    /// The business key of the run, as it is stored.
    pub fn correlation_id(&self) -> Option<&str> {
        self.0.run.correlation_id.as_deref()
    }

    /// The workflow that runs.
    pub fn workflow_name(&self) -> Option<&str> {
        self.0.run.workflow.as_deref()
    }

    /// Which attempt the span of this context is, if that is known: of a run, those under its [key](Workflow::key) are
    /// counted.
    pub fn attempt(&self) -> Option<u32> {
        self.0.attempt
    }

    /// The attributes that steps inherit from this context, as they are stored.
    pub fn attrs(&self) -> &Attrs {
        self.0.attrs()
    }

    /// An attribute as it is stored: one that was [annotated](Self::annotate) here or in a span around this one, or else one
    /// of [`attrs`](Self::attrs).
    pub fn attr(&self, key: &str) -> Option<Text> {
        let mut around = Some(&self.0);
        while let Some(span) = around {
            if let Some(value) = span.late_attr(key) {
                return Some(self.0.run.hub.redactor.findable(Some(key), &value).into());
            }
            around = span.parent.as_ref();
        }
        self.attrs().get(key).map(|value| Cow::Borrowed(value).into())
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceContext")
            .field("trace_id", &self.trace_id())
            .field("span_id", &self.span_id())
            .field("workflow", &self.workflow_name())
            .finish_non_exhaustive()
    }
}

fn to_map(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => (!map.is_empty()).then_some(map),
        Value::Null => None,
        other => Some(Map::from_iter([("value".to_owned(), other)])),
    }
}
