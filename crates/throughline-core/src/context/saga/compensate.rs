//! Undoing the steps of a saga.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use serde_json::json;

use super::{Compensated, CompensationOutcome, Saga, SagaState};
use crate::context::TraceContext;
use crate::context::future::Capture;
use crate::panics::describe_panic;
use crate::redaction;
use throughline_model::names::{self, attrs};
use throughline_model::{BoxFuture, ErrorInfo, SpanId, StepError, Text};

/// A step that is undone if its saga fails.
pub(super) struct Completed {
    pub(super) step: Text,
    /// The attempts at it that are undone.
    pub(super) spans: Vec<SpanId>,
    pub(super) resource: Option<Text>,
    pub(super) undo: UndoStep,
}

pub(super) type UndoStep = Box<dyn FnOnce(TraceContext) -> Undoing + Send>;
pub(super) type UndoInput<I> = Box<dyn FnOnce(I, TraceContext) -> Undoing + Send>;

/// A saga that is being undone: it needs nothing of its caller.
pub(super) type Compensating = BoxFuture<'static, Vec<Compensated>>;

/// A compensation at work. A type of its own, for the compiler can't prove a future `Send` that holds a boxed one and
/// the closure that makes it.
pub(super) struct Undoing(BoxFuture<'static, Result<(), Described>>);

impl Future for Undoing {
    type Output = Result<(), Described>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// An error that has been described already.
#[derive(Debug)]
pub(super) struct Described(ErrorInfo);

pub(super) fn boxed_undo<I, C, F, E, K>(undo: C) -> UndoInput<I>
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

impl Saga {
    /// Whether a step succeeded, or may have, that is to be undone.
    pub(super) fn has_something_to_undo(&self) -> bool {
        let state = self.state();
        !state.completed.is_empty()
            || state.under_way.iter().any(|under_way| !under_way.step.spans.is_empty())
    }

    /// Whether a step of the previous instance stands that has not been reached again: nobody said yet how to undo it.
    pub(super) fn has_unreached_steps(&self) -> bool {
        self.state().earlier.values().flatten().any(|step| !step.standing.is_empty())
    }

    /// Undoes everything, the last to end first.
    pub(super) fn compensate_all(&self) -> Compensating {
        let saga = self.clone();
        Box::pin(async move {
            let (steps, not_undone) = saga.take_steps();
            let mut compensated = Vec::with_capacity(steps.len() + not_undone.len());
            if steps.is_empty() {
                return not_undone;
            }
            // That the undoing began is worth knowing; that it could not be said must not keep it from being done.
            let _ = saga.event(names::SAGA_COMPENSATING, json!({ "steps": steps.len() })).await;
            for step in steps.into_iter().rev() {
                compensated.push(saga.compensate_step(step).await);
            }
            compensated.extend(not_undone);
            compensated
        })
    }

    /// What is to be undone, in the order of their ends, and what can't be: what has not been reached again of what the
    /// previous instance did, and what is in doubt.
    fn take_steps(&self) -> (Vec<Completed>, Vec<Compensated>) {
        let mut state = self.state();
        for under_way in std::mem::take(&mut state.under_way) {
            state.settle(under_way);
        }
        let SagaState { completed, in_doubt, earlier, .. } = std::mem::take(&mut *state);
        drop(state);
        let by_name: BTreeMap<_, _> = earlier.into_iter().collect();
        let unreached = by_name.into_iter().flat_map(|(name, steps)| {
            let standing = steps.into_iter().filter(|step| !step.standing.is_empty());
            standing.map(move |step| (name.clone(), step.resource, CompensationOutcome::NotRegistered))
        });
        let in_doubt =
            in_doubt.into_iter().map(|(step, resource)| (step, resource, CompensationOutcome::InDoubt));
        let not_undone = unreached.chain(in_doubt);
        let not_undone =
            not_undone.map(|(step, resource, outcome)| self.compensated(step, resource, outcome)).collect();
        (completed, not_undone)
    }

    async fn compensate_step(&self, step: Completed) -> Compensated {
        let Completed { step, spans, resource, undo } = step;
        let tried = self.context.compensation(&step, &spans);
        let capture: Capture<Result<(), Described>> = Capture {
            error: |result| result.as_ref().err().map(|error| error.0.clone().into()),
            output: |_| None,
        };
        let tried = match &resource {
            Some(resource) => tried.attr(attrs::RESOURCE, resource.clone()),
            None => tried,
        };
        // A panic of one compensation is that one's failure: the others must still be tried.
        let outcome = match AssertUnwindSafe(tried.run_capturing(undo, capture)).catch_unwind().await {
            Ok(Ok(Ok(()))) => CompensationOutcome::Undone,
            Ok(Ok(Err(Described(error)))) => CompensationOutcome::Failed(error),
            Ok(Err(error)) => CompensationOutcome::NotStarted(error),
            Err(panic) => CompensationOutcome::Failed(describe_panic(&*panic)),
        };
        self.compensated(step, resource, outcome)
    }

    /// What is returned about a compensation is what is recorded of it: it will be logged as it is.
    pub(super) fn compensated(
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
}
