//! [`StepLayer`]: each call of a service is a step of the run around it.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use throughline_core::fold::History;
use throughline_core::metrics::{GaugeFamily, catalogue};
use throughline_core::names::{COMPENSATE_PREFIX, STEP_PREFIX, attrs, tags};
use throughline_core::{BoxError, SpanId, Status, Step, Text, Throughline, TraceContext, to_payload};
use tower_layer::Layer;

use crate::failure::{Failure, passed_on};
use crate::previous::history;
use crate::service::{Inner, Record, Recorded, RecordedService};

/// An executor's description of a step.
#[must_use = "a description does nothing by itself"]
pub struct StepCall {
    id: Text,
    step_type: Text,
    name: Option<Text>,
    attempt: u32,
    input: Option<Value>,
    resource: Option<Text>,
    compensable: bool,
    compensates: Option<Original>,
    within: Option<TraceContext>,
    attrs: Vec<(Text, Text)>,
}

/// The step that a compensation undoes.
enum Original {
    Id(Text),
    Span(SpanId),
}

impl StepCall {
    /// The step with this id in its workflow. Its events are called `step:` and the id, unless it is
    /// [named](Self::named); it has the id as the attribute [`step_id`](attrs::STEP_ID).
    pub fn new(id: impl Into<Text>) -> Self {
        Self {
            id: id.into(),
            step_type: Text::default(),
            name: None,
            attempt: 1,
            input: None,
            resource: None,
            compensable: false,
            compensates: None,
            within: None,
            attrs: Vec::new(),
        }
    }

    /// What kind of step it is, in few different values, as in `http` or `script`: the attribute
    /// [`step_type`](attrs::STEP_TYPE), a label of its metrics.
    pub fn step_type(mut self, step_type: impl Into<Text>) -> Self {
        self.step_type = step_type.into();
        self
    }

    /// What its events are called, as in `stage:credit-check`; in few different values.
    pub fn named(mut self, event_type: impl Into<Text>) -> Self {
        self.name = Some(event_type.into());
        self
    }

    /// Which attempt at the step this is, from 1. From the second on the step links the attempt before, which is
    /// found in the store: by its step id among the steps of the workflow or job around it, or, if this
    /// [compensates](Self::compensates) a step, among the attempts to undo that. If the store does not answer within two
    /// seconds the link is missing, and the log says so.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The input of the step, stored as `data.input`, redacted and truncated. A part that cannot be turned into JSON becomes
    /// a text that says so.
    pub fn input(mut self, input: &impl Serialize) -> Self {
        self.input = Some(to_payload(input));
        self
    }

    /// That the step must be undone if its run fails: the compensation ledger says whether it was.
    pub fn compensable(mut self) -> Self {
        self.compensable = true;
        self
    }

    /// What the step creates and its compensation removes, as in `funds-reservation r-17`.
    pub fn resource(mut self, resource: impl Into<Text>) -> Self {
        self.resource = Some(resource.into());
        self
    }

    /// That this call undoes the step with this id in the same workflow or job: it is recorded as `compensate:` and that
    /// step's name and links it. The step is looked up in the store, so this also works in a process that did not run
    /// it, and in a later attempt at the job. A step with this id in another workflow or job of the trace is left alone;
    /// to undo that, name its [span](Self::compensates_span). If the store does not answer within two seconds the link
    /// is missing, and the compensation ledger will call the step *missing*.
    pub fn compensates(mut self, step_id: impl Into<Text>) -> Self {
        self.compensates = Some(Original::Id(step_id.into()));
        self
    }

    /// That this call undoes a step of which the executor knows the span; else as [`compensates`](Self::compensates).
    /// The span is [`TraceContext::span_id`] of the context in which the step ran.
    pub fn compensates_span(mut self, span: SpanId) -> Self {
        self.compensates = Some(Original::Span(span));
        self
    }

    /// The context that the step belongs to. Without it that is the current one, which a spawned task does not have.
    pub fn within(mut self, context: &TraceContext) -> Self {
        self.within = Some(context.clone());
        self
    }

    /// An attribute: a short, searchable value; steps inside inherit it.
    pub fn attr(mut self, key: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.attrs.push((key.into(), value.into()));
        self
    }

    /// The step, ready to be run, and what its metrics call its kind.
    async fn begin(self, throughline: &Throughline, context: &TraceContext) -> (Step, Text) {
        let mut name = match &self.name {
            Some(name) => name.clone(),
            None => format!("{STEP_PREFIX}{}", self.id).into(),
        };
        let is_retry = self.attempt > 1;
        let history = match &self.compensates {
            Some(Original::Id(_)) => Some(history_around(throughline, context).await),
            _ if is_retry => Some(history_around(throughline, context).await),
            _ => None,
        };
        let steps = |id: &Text| match &history {
            Some((history, around)) => {
                history.steps(*around, &throughline.redactor().findable(Some(attrs::STEP_ID), id))
            }
            None => Vec::new(),
        };
        let mut step;
        let before;
        if let Some(original) = &self.compensates {
            let originals = match original {
                Original::Span(span) => vec![*span],
                Original::Id(id) => {
                    let done: Vec<_> =
                        steps(id).into_iter().filter(|span| span.status == Status::Success).collect();
                    name = done.last().map_or_else(|| id.clone(), |span| span.event_type.clone());
                    done.iter().map(|span| span.id).collect()
                }
            };
            step = context.compensation(&name, &originals);
            before = history.as_ref().and_then(|(history, _)| history.last_compensation_of(&originals));
            let undone = name.split_once(':').map_or(&*name, |(_, undone)| undone);
            name = format!("{COMPENSATE_PREFIX}{undone}").into();
        } else {
            step = context.step(name.clone());
            before = steps(&self.id).pop();
        }
        if is_retry {
            step = step.attempt(self.attempt);
            if let Some(before) = before {
                step = step.retry_of(before.id);
            }
        }
        if self.compensable {
            step = step.tag(Text::literal(tags::COMPENSABLE));
        }
        let step_type = Some(self.step_type).filter(|step_type| !step_type.is_empty());
        let kind = step_type.clone().unwrap_or(name);
        let own = [
            (attrs::STEP_ID, Some(self.id)),
            (attrs::STEP_TYPE, step_type),
            (attrs::RESOURCE, self.resource),
        ];
        let own = own.into_iter().filter_map(|(key, value)| Some((Text::literal(key), value?)));
        for (key, value) in own.chain(self.attrs) {
            step = step.attr(key, value);
        }
        let step = match &self.input {
            Some(input) => step.input(input),
            None => step,
        };
        (step, kind)
    }
}

/// What the run has done so far, and the span that will be the parent of a step started in this context.
async fn history_around(throughline: &Throughline, context: &TraceContext) -> (History, SpanId) {
    let around = context.propagation().traceparent.map_or_else(|| context.span_id(), |parent| parent.span_id);
    (history(throughline, context.trace_id(), Some(around)).await, around)
}

impl fmt::Debug for StepCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The id and the input have not been redacted yet.
        f.debug_struct("StepCall").field("attempt", &self.attempt).finish_non_exhaustive()
    }
}

type Describe<R> = Arc<dyn Fn(&R) -> StepCall + Send + Sync>;

/// The layer around a service that runs the steps of workflows: each call is a step of the run around it. A closure
/// says of each request which step it is.
///
/// Its context is the one that the description [names](StepCall::within), else the current one, as it is inside a
/// [`WorkflowLayer`](crate::WorkflowLayer). A step outside every run is called anyway, but not recorded, and the log
/// has a warning.
///
/// An executor without tower calls [`run`](Self::run), which does the same. Errors are boxed, as
/// [`WorkflowLayer`](crate::WorkflowLayer) explains.
///
/// ```
/// use throughline_core::Throughline;
/// use throughline_workflow::{StepCall, StepLayer};
///
/// struct Node {
///     id: String,
///     kind: String,
///     undoes: Option<String>,
/// }
///
/// fn layer(throughline: &Throughline) -> StepLayer<Node> {
///     StepLayer::new(throughline, |node: &Node| {
///         let call = StepCall::new(node.id.clone()).step_type(node.kind.clone());
///         match &node.undoes {
///             Some(undone) => call.compensates(undone.clone()),
///             None => call.compensable(),
///         }
///     })
/// }
/// ```
pub struct StepLayer<R> {
    throughline: Throughline,
    describe: Describe<R>,
    active: GaugeFamily<1>,
}

impl<R> StepLayer<R> {
    /// The layer for services that take requests of this type.
    pub fn new(throughline: &Throughline, describe: impl Fn(&R) -> StepCall + Send + Sync + 'static) -> Self {
        Self {
            throughline: throughline.clone(),
            describe: Arc::new(describe),
            active: throughline.meter().gauge(&catalogue::STEPS_ACTIVE),
        }
    }

    /// Runs one step, for executors without tower: all that the [service](RecordedService) does.
    ///
    /// ```
    /// # use throughline_core::BoxError;
    /// # use throughline_workflow::StepLayer;
    /// # struct Node { id: String }
    /// # async fn execute(node: Node) -> Result<usize, std::io::Error> { Ok(node.id.len()) }
    /// async fn executor(nodes: Vec<Node>, steps: StepLayer<Node>) -> Result<(), BoxError> {
    ///     for node in nodes {
    ///         steps.run(node, |node| execute(node)).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// The closure's own, boxed; or a [`NotRecorded`](throughline_core::NotRecorded) if the step could not be recorded
    /// and the closure was not called.
    pub fn run<C, F, T, E>(
        &self,
        request: R,
        execute: C,
    ) -> impl Future<Output = Result<T, BoxError>> + use<R, C, F, T, E>
    where
        C: FnOnce(R) -> F,
        F: Future<Output = Result<T, E>>,
        E: Into<BoxError>,
    {
        let mut call = (self.describe)(&request);
        let context = call.within.take().or_else(TraceContext::current);
        let (throughline, active) = (self.throughline.clone(), self.active.clone());
        async move {
            let Some(context) = context else {
                tracing::warn!(
                    target: "throughline",
                    "a step is not recorded because it is outside every run: put a WorkflowLayer around its executor, or \
                     describe the step with .within(context)"
                );
                return execute(request).await.map_err(Into::into);
            };
            let (step, kind) = call.begin(&throughline, &context).await;
            let done = step.run(move |_| {
                let active = active.with([&kind]).hold();
                let running = execute(request);
                async move {
                    let _active = active;
                    running.await.map_err(Failure::of)
                }
            });
            passed_on(done.await)
        }
    }
}

impl<R> Clone for StepLayer<R> {
    fn clone(&self) -> Self {
        let Self { throughline, describe, active } = self;
        Self { throughline: throughline.clone(), describe: Arc::clone(describe), active: active.clone() }
    }
}

impl<R> fmt::Debug for StepLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StepLayer").field("throughline", &self.throughline).finish_non_exhaustive()
    }
}

impl<S, R> Layer<S> for StepLayer<R> {
    type Service = RecordedService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        RecordedService::new(inner, self.clone())
    }
}

impl<R: Send + 'static> Record<R> for StepLayer<R> {
    fn record<S: Inner<R>>(&self, request: R, mut service: S) -> Recorded<S, R> {
        Box::pin(self.run(request, move |request| service.call(request)))
    }
}
