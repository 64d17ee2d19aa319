//! [`SagaStep`], a step that can be undone.

use std::future::Future;

use serde::Serialize;

use super::compensate::{Completed, UndoInput, UndoStep, boxed_undo};
use super::{EarlierStep, Saga, UnderWayStep};
use crate::context::failure::NotRecorded;
use crate::context::{Decision, Step, TraceContext};
use throughline_model::names::{attrs, tags};
use throughline_model::{SpanId, StepError, Text};

/// A step of a saga that is being configured.
#[must_use = "a step does nothing before it is run"]
pub struct SagaStep<I> {
    saga: Saga,
    step: Step,
    name: Text,
    input: I,
    resource: Option<Text>,
    undo: Option<UndoInput<I>>,
    when_in_doubt: bool,
}

impl SagaStep<()> {
    pub(super) fn new(saga: &Saga, name: Text) -> Self {
        Self {
            saga: saga.clone(),
            step: saga.context.step(name.clone()),
            name,
            input: (),
            resource: None,
            undo: None,
            when_in_doubt: false,
        }
    }

    /// The input of the step, stored as `data.input`, redacted and truncated. The compensation gets the same input: it is a
    /// function of it, so that another process can call it that has only the input.
    pub fn input<I: Serialize + Clone + Send + 'static>(self, input: I) -> SagaStep<I> {
        let Self { saga, step, name, resource, when_in_doubt, .. } = self;
        let step = step.input(&input);
        SagaStep { saga, step, name, input, resource, undo: None, when_in_doubt }
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

    /// Undoes the step even if it failed, panicked, was dropped or never ended because the process died: it may have had its
    /// effect, and nobody knows. Its compensation must then do no harm where there is nothing to undo, as that of a
    /// reservation which is released by its number. Without this such a step is reported as *in doubt*.
    pub fn compensate_when_in_doubt(mut self) -> Self {
        self.when_in_doubt = true;
        self.step = self.step.tag(tags::COMPENSATE_WHEN_IN_DOUBT);
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
    pub fn decided_by(mut self, decision: &Decision) -> Self {
        self.step = self.step.decided_by(decision);
        self
    }

    /// Runs the step. If the previous instance began it, it is run again, as the next attempt.
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
        let earlier = match self.saga.earlier_step(&self.name) {
            Some(earlier) if !earlier.standing.is_empty() => earlier,
            earlier => return self.run_after(earlier, body).await,
        };
        let resource = self.resource.or(earlier.resource);
        let under_way = with_input(self.undo, self.input.clone()).map(|undo| {
            let step = Completed { step: self.name, spans: earlier.standing, resource, undo };
            UnderWay::new(&self.saga, step)
        });
        let recovered = recover(self.input).await;
        if let Some(under_way) = under_way {
            // What the previous instance did stands, whatever came of recovering it.
            under_way.end(false, None);
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
        let Self { saga, mut step, name, input, resource, undo, when_in_doubt } = self;
        let mut standing = Vec::new();
        if let Some(earlier) = earlier {
            step = step.attempt(earlier.attempt.unwrap_or(1).saturating_add(1)).retry_of(earlier.span);
            standing = earlier.standing;
        }
        let given = input.clone();
        let undo = with_input(undo, input);
        let under_way =
            undo.map(|undo| UnderWay::new(&saga, Completed { step: name, spans: standing, resource, undo }));
        let mut own = None;
        let done = step
            .run(|context| {
                if let Some(under_way) = &under_way {
                    under_way.begins(when_in_doubt.then(|| context.span_id()));
                }
                own = Some(context.clone());
                body(given, context)
            })
            .await;
        if let Some(under_way) = under_way {
            under_way.end(matches!(done, Ok(Ok(_))), own.as_ref());
        }
        done
    }
}

/// A step of a saga that has not ended. If it never does, because its future is dropped or panics, the saga undoes it as far
/// as it is to be undone then: what the previous instance did, and the step itself if it says so.
struct UnderWay<'s> {
    saga: &'s Saga,
    number: u64,
}

impl<'s> UnderWay<'s> {
    fn new(saga: &'s Saga, step: Completed) -> Self {
        let mut state = saga.state();
        let number = state.next;
        state.next += 1;
        state.under_way.push(UnderWayStep { number, has_begun: false, step });
        drop(state);
        Self { saga, number }
    }

    /// The step begins; its span is undone in any case, if it is given.
    fn begins(&self, undone: Option<SpanId>) {
        let mut state = self.saga.state();
        if let Some(own) = state.under_way.iter_mut().find(|other| other.number == self.number) {
            own.has_begun = true;
            own.step.spans.splice(0..0, undone);
        }
    }

    fn end(self, well: bool, own: Option<&TraceContext>) {
        let mut state = self.saga.state();
        let own_place = state.under_way.iter().position(|other| other.number == self.number);
        let Some(at) = own_place else { return };
        let mut under_way = state.under_way.remove(at);
        let step = &mut under_way.step;
        if let Some(own) = own {
            if well && !step.spans.contains(&own.span_id()) {
                step.spans.insert(0, own.span_id());
            }
            step.resource = step.resource.take().or_else(|| own.0.late_attr(attrs::RESOURCE));
        }
        state.settle(under_way);
    }
}

/// The compensation of a step whose input is known.
fn with_input<I: Send + 'static>(undo: Option<UndoInput<I>>, input: I) -> Option<UndoStep> {
    let undo = undo?;
    Some(Box::new(move |context| undo(input, context)))
}

impl<I> std::fmt::Debug for SagaStep<I> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SagaStep").field("context", &self.saga.context).finish_non_exhaustive()
    }
}
