//! [`Saga`]: steps that are undone, in reverse, if one of them fails.

mod outcome;
mod recovery;

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use serde::Serialize;
use serde_json::json;

pub use outcome::{Compensated, CompensationOutcome, SagaFailed};
pub use recovery::SagaRecovery;

use super::failure::NotRecorded;
use super::future::Capture;
use super::span::Label;
use super::{Step, TraceContext};
use crate::redaction;
use throughline_model::BoxFuture;
use throughline_model::StepError;
use throughline_model::fold::{History, PastSpan};
use throughline_model::names::{self, attrs, tags};
use throughline_model::{ErrorInfo, SpanId, Status, Text};

/// A saga that is being configured; it starts when [`run`](Self::run) is awaited.
///
/// ```
/// # use throughline_core::TraceContext;
/// # #[derive(Clone, serde::Serialize)] struct Loan { id: u32, amount: u32 }
/// # type Error = Box<dyn std::error::Error + Send + Sync>;
/// # async fn reserve(_: &Loan) -> Result<u32, Error> { Ok(1) }
/// # async fn release(_: Loan) -> Result<(), Error> { Ok(()) }
/// # async fn pay_out(_: u32) -> Result<(), Error> { Ok(()) }
/// # async fn example(ctx: TraceContext, loan: Loan) -> Result<(), Error> {
/// ctx.saga("loan-approval")
///     .run(|saga| async move {
///         let reservation = saga
///             .step("stage:reserve-funds")
///             .input(loan)
///             .compensate(|loan, _ctx| release(loan))
///             .run(|loan, _ctx| async move { reserve(&loan).await })
///             .await??;
///         // If this fails, the funds are released, and the error comes back with what was undone.
///         saga.trace("stage:pay-out", pay_out(reservation)).await?
///     })
///     .await??;
/// # Ok(())
/// # }
/// ```
#[must_use = "a saga does nothing before it is run"]
#[derive(Debug)]
pub struct SagaBuilder {
    context: TraceContext,
    name: Text,
    steps: u32,
}

impl SagaBuilder {
    pub(super) fn new(context: TraceContext, name: Text) -> Self {
        Self { context, name, steps: 0 }
    }

    /// How many steps the saga will have, so that each says "step 4 of 10".
    pub fn steps(mut self, total: u32) -> Self {
        self.steps = total;
        self
    }

    /// Runs the saga. If the closure's future fails or panics, the steps that succeeded and have a compensation are undone,
    /// the last to end first; a compensation that fails does not prevent the others from running.
    ///
    /// In a run that was [resumed](crate::Throughline::resume) the saga continues where the store says it stopped: a step
    /// that succeeded in the previous instance is not run again if it says how to [recover](SagaStep::run_or_recover) its
    /// result.
    ///
    /// # Errors
    /// The outer error says that the saga never ran; the inner one is the closure's own, with what became of the
    /// compensations.
    pub async fn run<C, F, T, E, K>(self, body: C) -> Result<Result<T, SagaFailed<E>>, NotRecorded>
    where
        C: FnOnce(Saga) -> F,
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        let earlier = PreviousSaga::of(&self.context, &self.name);
        if earlier.as_ref().is_some_and(PreviousSaga::was_being_undone) {
            return Err(NotRecorded::BeingUndone { saga: self.name });
        }
        let capture: Capture<Result<T, SagaFailed<E>>> = Capture {
            error: |result| result.as_ref().err().map(|failed| failed.error.describe()),
            output: |_| None,
        };
        self.builder(&earlier)
            .run_capturing(
                |context| async move {
                    let saga = Saga::new(context, earlier);
                    let cause = match catch(body(saga.clone())).await {
                        Ok(Ok(value)) => return Ok(value),
                        Ok(Err(error)) => Ok(error),
                        Err(panic) => Err(panic),
                    };
                    let compensations = saga.compensate_all().await;
                    match cause {
                        Ok(error) => Err(SagaFailed { error, compensations }),
                        Err(panic) => resume_unwind(panic),
                    }
                },
                capture,
            )
            .await
    }

    /// Undoes what an interrupted saga left behind, in a run that was [resumed](crate::Throughline::resume), without
    /// running it forward again.
    pub fn undo(self) -> SagaRecovery {
        SagaRecovery::new(self)
    }

    fn builder(&self, earlier: &Option<PreviousSaga>) -> Step {
        let continues = earlier.as_ref().map(|earlier| (earlier.saga, earlier.next_seq));
        Step::labelled(self.context.clone(), Label::Saga)
            .attr(attrs::SAGA, self.name.clone())
            .steps(self.steps)
            .unnumbered()
            .continuing(continues)
    }
}

/// A saga of the same name that the previous instance left open.
struct PreviousSaga {
    history: Arc<History>,
    saga: SpanId,
    next_seq: u32,
}

impl PreviousSaga {
    fn of(context: &TraceContext, name: &str) -> Option<Self> {
        let history = context.0.run.history.clone()?;
        let (saga, next_seq) = history.open_saga(name).map(|saga| (saga.id, saga.next_seq))?;
        Some(Self { history, saga, next_seq })
    }

    fn was_being_undone(&self) -> bool {
        self.history.children(self.saga).any(|span| span.event_type == names::SAGA_COMPENSATING)
    }

    /// The steps that succeeded, in the order of their ends.
    fn completed(&self) -> Vec<&PastSpan> {
        let mut completed: Vec<_> =
            self.history.children(self.saga).filter(|span| span.status == Status::Success).collect();
        completed.sort_by_key(|span| span.ended);
        completed
    }
}

/// A saga that runs: the context of its span, and the steps that can be undone. Cheap to clone.
#[derive(Clone)]
pub struct Saga {
    context: TraceContext,
    state: Arc<Mutex<SagaState>>,
}

#[derive(Default)]
struct SagaState {
    /// In the order of their ends.
    completed: Vec<Completed>,
    /// What the previous instance did: steps that succeeded and have not been reached again yet, by name.
    earlier: HashMap<Text, Vec<EarlierStep>>,
}

struct EarlierStep {
    span: SpanId,
    attempt: Option<u32>,
    resource: Option<Text>,
    undone: bool,
}

struct Completed {
    step: Text,
    spans: Vec<SpanId>,
    resource: Option<Text>,
    undo: UndoStep,
}

type UndoStep = Box<dyn FnOnce(TraceContext) -> Undoing + Send>;
type UndoInput<I> = Box<dyn FnOnce(I, TraceContext) -> Undoing + Send>;

/// A compensation at work. A type of its own, for the compiler can't prove a future `Send` that holds a boxed one and
/// the closure that makes it.
struct Undoing(BoxFuture<'static, Result<(), Described>>);

impl Future for Undoing {
    type Output = Result<(), Described>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// An error that has been described already.
#[derive(Debug)]
struct Described(ErrorInfo);

impl Saga {
    fn new(context: TraceContext, earlier: Option<PreviousSaga>) -> Self {
        let mut state = SagaState::default();
        for span in earlier.iter().flat_map(PreviousSaga::completed) {
            let step = EarlierStep {
                span: span.id,
                attempt: span.attempt,
                resource: span.resource.clone(),
                undone: span.is_undone,
            };
            state.earlier.entry(span.event_type.clone()).or_default().push(step);
        }
        Self { context, state: Arc::new(Mutex::new(state)) }
    }

    /// Configures a step of the saga. Without a compensation it is an ordinary step.
    pub fn step(&self, name: impl Into<Text>) -> SagaStep<()> {
        let name = name.into();
        SagaStep {
            saga: self.clone(),
            step: self.context.step(name.clone()),
            name,
            input: (),
            resource: None,
            undo: None,
        }
    }

    fn state(&self) -> MutexGuard<'_, SagaState> {
        // No code of others runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is returned about a compensation is what is recorded of it: it will be logged as it is.
    fn compensated(
        &self,
        step: Text,
        resource: Option<Text>,
        mut outcome: CompensationOutcome,
    ) -> Compensated {
        let redactor = &self.context.0.run.hub.redactor;
        if let CompensationOutcome::Failed(error) = &mut outcome {
            redaction::error_info(redactor, error);
        }
        let resource = resource.map(|resource| redactor.findable(Some(attrs::RESOURCE), &resource).into());
        Compensated { step: redactor.name(&step).into(), resource, outcome }
    }

    async fn compensate_all(&self) -> Vec<Compensated> {
        let completed = std::mem::take(&mut self.state().completed);
        let mut compensated = Vec::with_capacity(completed.len());
        if completed.is_empty() {
            return compensated;
        }
        // That the undoing began is worth knowing; that it could not be said must not keep it from being done.
        let _ = self.event(names::SAGA_COMPENSATING, json!({ "steps": completed.len() })).await;
        for step in completed.into_iter().rev() {
            let tried = self.context.compensation(&step.step, &step.spans);
            let undo = step.undo;
            let capture: Capture<Result<(), Described>> = Capture {
                error: |result| result.as_ref().err().map(|error| error.0.clone()),
                output: |_| None,
            };
            let tried = match &step.resource {
                Some(resource) => tried.attr(attrs::RESOURCE, resource.clone()),
                None => tried,
            };
            // A panic of one compensation is that one's failure: the others must still be tried.
            let outcome = match catch(tried.run_capturing(undo, capture)).await {
                Ok(Ok(Ok(()))) => CompensationOutcome::Undone,
                Ok(Ok(Err(Described(error)))) => CompensationOutcome::Failed(error),
                Ok(Err(error)) => CompensationOutcome::NotStarted(error),
                Err(panic) => CompensationOutcome::Failed(ErrorInfo::of_panic(&*panic)),
            };
            compensated.push(self.compensated(step.step, step.resource, outcome));
        }
        compensated
    }
}

/// Steps can be started through the saga as through any context.
impl Deref for Saga {
    type Target = TraceContext;
    fn deref(&self) -> &TraceContext {
        &self.context
    }
}

impl std::fmt::Debug for Saga {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Saga").field("context", &self.context).finish_non_exhaustive()
    }
}

/// A step of a saga that is being configured.
#[must_use = "a step does nothing before it is run"]
pub struct SagaStep<I> {
    saga: Saga,
    step: Step,
    name: Text,
    input: I,
    resource: Option<Text>,
    undo: Option<UndoInput<I>>,
}

impl SagaStep<()> {
    /// The input of the step, stored as `data.input`, redacted and truncated. The compensation gets the same input: it is a
    /// function of it, so that another process can call it that has only the input.
    pub fn input<I: Serialize + Clone + Send + 'static>(self, input: I) -> SagaStep<I> {
        let Self { saga, step, name, resource, .. } = self;
        let step = step.input(&input);
        SagaStep { saga, step, name, input, resource, undo: None }
    }
}

impl<I: Clone + Send + 'static> SagaStep<I> {
    /// How to undo the step if the saga fails after it succeeded. Set the [input](SagaStep::input) first.
    pub fn compensate<C, F, E, K>(mut self, undo: C) -> Self
    where
        C: FnOnce(I, TraceContext) -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: StepError<K>,
    {
        self.undo = Some(boxed_undo(undo));
        self.step = self.step.tag(tags::COMPENSABLE);
        self
    }

    /// What the step creates and its compensation removes, as in `funds-reservation r-17`: it is orphaned if the
    /// compensation fails. If it is known only later, call [`annotate`](TraceContext::annotate)`("resource", ..)` in the
    /// step.
    pub fn resource(mut self, resource: impl Into<Text>) -> Self {
        let resource = resource.into();
        self.step = self.step.attr(attrs::RESOURCE, resource.clone());
        self.resource = Some(resource);
        self
    }

    /// A tag, to filter by.
    pub fn tag(mut self, tag: impl Into<Text>) -> Self {
        self.step = self.step.tag(tag);
        self
    }

    /// An attribute: a short, searchable value.
    pub fn attr(mut self, key: impl Into<Text>, value: impl Into<Text>) -> Self {
        self.step = self.step.attr(key, value);
        self
    }

    /// Links it to the decision that caused it.
    pub fn decided_by(mut self, decision: &super::Decision) -> Self {
        self.step = self.step.decided_by(decision);
        self
    }

    /// Runs the step. If it succeeded in the previous instance it is run again, as the next attempt.
    ///
    /// # Errors
    /// The outer error says that the step never ran; the inner one is its own.
    pub async fn run<C, F, T, E, K>(self, body: C) -> Result<Result<T, E>, NotRecorded>
    where
        C: FnOnce(I, TraceContext) -> F,
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        let earlier = self.saga.earlier_step(&self.name);
        self.run_after(earlier, body).await
    }

    /// Runs the step, unless it succeeded in the previous instance: then `recover` returns its result from its input, and
    /// nothing is recorded.
    ///
    /// # Errors
    /// The outer error says that the step never ran; the inner one is its own or that of `recover`.
    pub async fn run_or_recover<C, F, R, G, T, E, K>(
        self,
        body: C,
        recover: R,
    ) -> Result<Result<T, E>, NotRecorded>
    where
        C: FnOnce(I, TraceContext) -> F,
        F: Future<Output = Result<T, E>>,
        R: FnOnce(I) -> G,
        G: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        let Some(earlier) = self.saga.earlier_step(&self.name).filter(|earlier| !earlier.undone) else {
            return self.run_after(None, body).await;
        };
        let recovered = recover(self.input.clone()).await;
        if recovered.is_ok() {
            let resource = self.resource.or(earlier.resource);
            complete(&self.saga, self.name, vec![earlier.span], resource, self.undo, self.input);
        }
        Ok(recovered)
    }

    async fn run_after<C, F, T, E, K>(
        self,
        earlier: Option<EarlierStep>,
        body: C,
    ) -> Result<Result<T, E>, NotRecorded>
    where
        C: FnOnce(I, TraceContext) -> F,
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        let Self { saga, mut step, name, input, resource, undo } = self;
        let mut spans = Vec::new();
        if let Some(earlier) = earlier {
            step = step.attempt(earlier.attempt.unwrap_or(1) + 1).retry_of(earlier.span);
            spans.extend((!earlier.undone).then_some(earlier.span));
        }
        let given = input.clone();
        let mut own = None;
        let done = step
            .run(|context| {
                own = Some(context.clone());
                body(given, context)
            })
            .await;
        let mut resource = resource;
        if let (Ok(Ok(_)), Some(own)) = (&done, own) {
            spans.insert(0, own.span_id());
            resource = resource.or_else(|| own.0.late_attr(attrs::RESOURCE));
        }
        // What the previous instance did must be undone even if this attempt failed.
        if !spans.is_empty() {
            complete(&saga, name, spans, resource, undo, input);
        }
        done
    }
}

impl<I> std::fmt::Debug for SagaStep<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SagaStep").field("context", &self.saga.context).finish_non_exhaustive()
    }
}

impl Saga {
    /// The first step of this name that succeeded in the previous instance and has not been reached again yet.
    fn earlier_step(&self, name: &str) -> Option<EarlierStep> {
        let mut state = self.state();
        let steps = state.earlier.get_mut(name)?;
        (!steps.is_empty()).then(|| steps.remove(0))
    }
}

fn boxed_undo<I, C, F, E, K>(undo: C) -> UndoInput<I>
where
    C: FnOnce(I, TraceContext) -> F + Send + 'static,
    F: Future<Output = Result<(), E>> + Send + 'static,
    E: StepError<K>,
{
    Box::new(move |input, context| {
        let undoing = undo(input, context);
        Undoing(Box::pin(async move {
            let undone = undoing.await;
            undone.map_err(|error| Described(error.describe()))
        }))
    })
}

fn complete<I: Send + 'static>(
    saga: &Saga,
    step: Text,
    spans: Vec<SpanId>,
    resource: Option<Text>,
    undo: Option<UndoInput<I>>,
    input: I,
) {
    let Some(undo) = undo else { return };
    let undo: UndoStep = Box::new(move |context| undo(input, context));
    saga.state().completed.push(Completed { step, spans, resource, undo });
}

/// Awaits a future and catches its panic.
async fn catch<F: Future>(future: F) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}
