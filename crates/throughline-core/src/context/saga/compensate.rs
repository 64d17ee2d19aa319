//! Undoing the steps of a saga.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use serde_json::json;

use super::{Compensated, CompensationOutcome, Saga, UnderWayStep};
use crate::context::TraceContext;
use crate::context::future::Capture;
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

    /// Undoes everything, the last to end first.
    pub(super) fn compensate_all(&self) -> Compensating {
        let saga = self.clone();
        Box::pin(async move {
            let (steps, in_doubt) = saga.take_steps();
            let in_doubt = in_doubt
                .into_iter()
                .map(|(step, resource)| saga.compensated(step, resource, CompensationOutcome::InDoubt));
            let mut compensated = Vec::with_capacity(steps.len());
            if steps.is_empty() {
                return in_doubt.collect();
            }
            // That the undoing began is worth knowing; that it could not be said must not keep it from being done.
            let _ = saga.event(names::SAGA_COMPENSATING, json!({ "steps": steps.len() })).await;
            for step in steps.into_iter().rev() {
                compensated.push(saga.compensate_step(step).await);
            }
            compensated.extend(in_doubt);
            compensated
        })
    }

    /// What is to be undone, in the order of their ends, and what is in doubt.
    fn take_steps(&self) -> (Vec<Completed>, Vec<(Text, Option<Text>)>) {
        let mut state = self.state();
        let (mut steps, mut in_doubt) =
            (std::mem::take(&mut state.completed), std::mem::take(&mut state.in_doubt));
        for UnderWayStep { has_begun, step, .. } in state.under_way.drain(..) {
            match step.spans.is_empty() {
                false => steps.push(step),
                true if has_begun => in_doubt.push((step.step, step.resource)),
                true => {}
            }
        }
        (steps, in_doubt)
    }

    async fn compensate_step(&self, step: Completed) -> Compensated {
        let Completed { step, spans, resource, undo } = step;
        let tried = self.context.compensation(&step, &spans);
        let capture: Capture<Result<(), Described>> =
            Capture { error: |result| result.as_ref().err().map(|error| error.0.clone()), output: |_| None };
        let tried = match &resource {
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
