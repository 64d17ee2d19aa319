//! [`SagaRecovery`]: undoing what an interrupted saga left behind, without running it forward again.

use std::collections::HashMap;
use std::future::Future;

use super::{Compensated, CompensationOutcome, SagaFailed};
use super::{Completed, PreviousSaga, Saga, SagaBuilder, UndoStep, boxed_undo};
use crate::context::TraceContext;
use crate::context::failure::NotRecorded;
use crate::context::future::Capture;
use throughline_model::StepError;
use throughline_model::{ErrorInfo, Text};

/// What an interrupted saga needs in order to be undone: for each step its input again, and its compensation.
#[must_use = "nothing is undone before run()"]
pub struct SagaRecovery {
    builder: SagaBuilder,
    inputs: HashMap<Text, Vec<UndoStep>>,
}

impl SagaRecovery {
    pub(super) fn new(builder: SagaBuilder) -> Self {
        Self { builder, inputs: HashMap::new() }
    }

    /// A step that may have succeeded before the process died: what it was given, and how it is undone. For several
    /// steps of one name call it once for each, in the order of their ends.
    pub fn step<I, C, F, E, K>(mut self, name: impl Into<Text>, input: I, undo: C) -> Self
    where
        I: Send + 'static,
        C: FnOnce(I, TraceContext) -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: StepError<K>,
    {
        let undo = boxed_undo(undo);
        self.inputs.entry(name.into()).or_default().push(Box::new(move |context| undo(input, context)));
        self
    }

    /// Undoes what succeeded and is not undone yet, the last to end first. The saga ends as failed: it was
    /// interrupted.
    ///
    /// # Errors
    /// The outer error says that nothing was tried; the inner one always comes, and says what became of each step.
    pub async fn run(self) -> Result<SagaFailed<Text>, NotRecorded> {
        let Self { builder, mut inputs } = self;
        let Some(earlier) = PreviousSaga::of(&builder.context, &builder.name) else {
            return Err(NotRecorded::NoSuchSaga { saga: builder.name });
        };
        let mut completed = Vec::new();
        let mut unregistered = Vec::new();
        for span in earlier.completed().into_iter().filter(|span| span.is_compensable) {
            let undo = inputs
                .get_mut(&span.event_type)
                .filter(|undos| !undos.is_empty())
                .map(|undos| undos.remove(0));
            let (step, resource) = (span.event_type.clone(), span.resource.clone());
            match undo.filter(|_| !span.is_undone) {
                Some(undo) => completed.push(Completed { step, spans: vec![span.id], resource, undo }),
                None if span.is_undone => {}
                None => {
                    unregistered.push(Compensated {
                        step,
                        resource,
                        outcome: CompensationOutcome::NotRegistered,
                    });
                }
            }
        }
        let capture: Capture<SagaFailed<Text>> = Capture {
            error: |failed| {
                let message = failed.error.clone();
                Some(ErrorInfo { kind: Text::literal("interrupted"), message, chain: Vec::new() })
            },
            output: |_| None,
        };
        builder
            .builder(&Some(earlier))
            .run_capturing(
                |context| async move {
                    let saga = Saga::new(context, None);
                    saga.state().completed = completed;
                    let mut compensations = saga.compensate_all().await;
                    compensations.extend(unregistered);
                    let error = Text::literal("the process died before the saga ended");
                    SagaFailed { error, compensations }
                },
                capture,
            )
            .await
    }
}

impl std::fmt::Debug for SagaRecovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SagaRecovery").field("saga", &self.builder).finish_non_exhaustive()
    }
}
