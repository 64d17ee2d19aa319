//! [`Saga`]: steps that are undone, in reverse, if one of them fails.

mod compensate;
mod detached;
mod outcome;
mod recovery;
mod running;
mod step;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use detached::Detached;
pub use outcome::{Compensated, CompensationOutcome, SagaFailed};
pub use recovery::SagaRecovery;
pub use step::SagaStep;

use compensate::Completed;
use running::SagaRun;

use super::failure::NotRecorded;
use super::failures::Caught;
use super::future::Capture;
use super::resumption::Resumption;
use super::span::Label;
use super::{Step, TraceContext};
use throughline_model::fold::PastSagaStep;
use throughline_model::names::attrs;
use throughline_model::{SpanId, StepError, Text};

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
    on_cancel: OnCancel,
}

/// What happens to a saga that is dropped before it ended: because the client of its handler disconnected, a time-out around
/// it passed, or another branch of a `select!` was quicker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum OnCancel {
    /// The steps that succeeded are undone without the caller, in a task on the tokio runtime that the saga ran on, or on a
    /// thread of its own if there was none. [`shutdown`](crate::Throughline::shutdown) waits for it. If the runtime or the
    /// process ends first, the saga stays open: see [`Throughline::undo`](crate::Throughline::undo).
    #[default]
    Compensate,
    /// The saga stays open, for another process to resume or to undo.
    LeaveOpen,
}

impl SagaBuilder {
    pub(super) fn new(context: TraceContext, name: Text) -> Self {
        Self { context, name, steps: 0, on_cancel: OnCancel::default() }
    }

    /// How many steps the saga will have, so that each says "step 4 of 10".
    pub fn steps(mut self, total: u32) -> Self {
        self.steps = total;
        self
    }

    /// What happens if the saga is dropped before it ended, once a step that can be undone succeeded.
    pub fn on_cancel(mut self, on_cancel: OnCancel) -> Self {
        self.on_cancel = on_cancel;
        self
    }

    /// Runs the saga. If the closure's future fails or panics, the steps that succeeded and have a compensation are undone,
    /// the last to end first; a compensation that fails does not prevent the others from running. If this future is dropped,
    /// the steps are undone without it: see [`OnCancel`].
    ///
    /// In a run that was [resumed](crate::Throughline::resume) the saga continues where the store says it stopped: a step
    /// that succeeded in the previous instance is not run again if it says how to [recover](SagaStep::run_or_recover) its
    /// result. That goes also for a saga that had succeeded as a whole. Sagas of one name are told apart by their order.
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
        let capture: Capture<Result<T, SagaFailed<E>>> = Capture {
            error: |result| result.as_ref().err().map(|failed| Caught::of(&failed.error)),
            output: |_| None,
        };
        let on_cancel = self.on_cancel;
        let builder = self.builder(earlier.as_ref());
        let ran = builder
            .run_capturing(
                |context| {
                    let saga = Saga::new(context, earlier.as_ref());
                    SagaRun::new(body(saga.clone()), saga, on_cancel, StepError::as_error)
                },
                capture,
            )
            .await;
        if let (Err(_), Some(earlier)) = (&ran, &earlier) {
            earlier.leave();
        }
        ran
    }

    fn builder(&self, earlier: Option<&PreviousSaga>) -> Step {
        let continues = earlier.map(|earlier| (earlier.saga, earlier.next_seq));
        saga_step(&self.context, self.name.clone()).steps(self.steps).continuing(continues)
    }
}

/// The span of a saga.
fn saga_step(context: &TraceContext, name: Text) -> Step {
    Step::labelled(context.clone(), Label::Saga).attr(attrs::SAGA, name).unnumbered()
}

/// A saga of the same name in the previous instance.
struct PreviousSaga {
    before: Arc<Resumption>,
    saga: SpanId,
    next_seq: u32,
}

impl PreviousSaga {
    fn of(context: &TraceContext, name: &str) -> Option<Self> {
        let before = context.0.run.resumption.clone()?;
        let name = context.0.run.hub.redactor.findable(Some(attrs::SAGA), name);
        let (saga, next_seq) = before.reach_saga(&name).map(|saga| (saga.id, saga.next_seq))?;
        Some(Self { before, saga, next_seq })
    }

    fn leave(&self) {
        self.before.leave_saga(self.saga);
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
    /// What is undone if the saga fails, in the order of their ends.
    completed: Vec<Completed>,
    /// Steps that have not ended.
    under_way: Vec<UnderWayStep>,
    /// Name and resource of those that did not succeed, and are not undone.
    in_doubt: Vec<(Text, Option<Text>)>,
    /// The number of the next step.
    next: u64,
    /// What the previous instance began: steps that have not been reached again yet, by name.
    earlier: HashMap<Text, VecDeque<EarlierStep>>,
}

impl SagaState {
    /// Takes note of what is left of a step that runs no more.
    fn settle(&mut self, UnderWayStep { has_begun, step, .. }: UnderWayStep) {
        match step.spans.is_empty() {
            false => self.completed.push(step),
            true if has_begun => self.in_doubt.push((step.step, step.resource)),
            true => {}
        }
    }
}

/// A step that has not ended. If it never does, it is undone as far as `step` names attempts; else it is in doubt.
struct UnderWayStep {
    number: u64,
    has_begun: bool,
    step: Completed,
}

/// A step that the previous instance began.
struct EarlierStep {
    /// The last attempt.
    span: SpanId,
    attempt: Option<u32>,
    resource: Option<Text>,
    /// The attempts of which the effect stands.
    standing: Vec<SpanId>,
}

impl From<&PastSagaStep<'_>> for EarlierStep {
    fn from(step: &PastSagaStep<'_>) -> Self {
        let last = step.last();
        Self {
            span: last.id,
            attempt: last.attempt,
            resource: last.resource.clone(),
            standing: step.standing().map(|span| span.id).collect(),
        }
    }
}

impl Saga {
    fn new(context: TraceContext, earlier: Option<&PreviousSaga>) -> Self {
        let mut state = SagaState::default();
        if let Some(PreviousSaga { before, saga, .. }) = earlier {
            for step in before.history.compensable_steps(*saga) {
                let name = step.last().event_type.clone();
                state.earlier.entry(name).or_default().push_back(EarlierStep::from(&step));
            }
        }
        Self { context, state: Arc::new(Mutex::new(state)) }
    }

    /// Configures a step of the saga. Without a compensation it is an ordinary step.
    pub fn step(&self, name: impl Into<Text>) -> SagaStep<()> {
        SagaStep::new(self, name.into())
    }

    fn state(&self) -> MutexGuard<'_, SagaState> {
        // No code of others runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first step of this name that the previous instance began and that has not been reached again yet.
    fn earlier_step(&self, name: &str) -> Option<EarlierStep> {
        let name = self.context.0.run.hub.redactor.name(name);
        self.state().earlier.get_mut(&*name)?.pop_front()
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
