//! [`SagaRecovery`]: undoing what a saga left behind, without running it forward again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;
use std::sync::Arc;

use super::super::failures::Identity;
use super::compensate::{Completed, UndoStep, boxed_undo};
use super::detached::in_background;
use super::{Compensated, CompensationOutcome, Saga, SagaFailed, saga_step};
use crate::context::TraceContext;
use crate::context::claim::Claimed;
use crate::context::failure::NotRecorded;
use crate::context::future::{begin_span, finish_span};
use crate::context::keyed::in_time;
use crate::context::resume::{events, owner, summary};
use crate::context::resumption::Resumption;
use crate::context::settled::LastEnd;
use crate::context::span::{End, Label, Run};
use crate::context::spec::{Above, Details, root};
use crate::hub::Hub;
use throughline_model::fold::{History, PastSagaStep, PastSpan, RunFold};
use throughline_model::names::{self, attrs, errors, tags};
use throughline_model::{
    Attrs, ErrorInfo, InstanceId, Liveness, RunState, SpanId, Status, StepError, Text, TraceEvent, TraceId,
};

/// What a saga needs in order to be undone by somebody else: for each step its input again, and its compensation.
#[must_use = "nothing is undone before run()"]
pub struct SagaRecovery {
    hub: Arc<Hub>,
    trace_id: TraceId,
    saga: Text,
    /// Name and compensation of each step, as they were given.
    inputs: Vec<(Text, UndoStep)>,
    when_in_doubt: bool,
}

impl SagaRecovery {
    pub(crate) fn new(hub: Arc<Hub>, trace_id: TraceId, saga: Text) -> Self {
        Self { hub, trace_id, saga, inputs: Vec::new(), when_in_doubt: false }
    }

    /// A step that may have succeeded: what it was given, and how it is undone. For several steps of one name call it once
    /// for each that succeeded, in the order in which they did, be they undone already or not: so that each is undone with
    /// its own input.
    pub fn step<I, C, F, E, K>(mut self, name: impl Into<Text>, input: I, undo: C) -> Self
    where
        I: Send + 'static,
        C: FnOnce(I, TraceContext) -> F + Send + 'static,
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: StepError<K>,
    {
        let undo = boxed_undo(undo);
        self.inputs.push((name.into(), Box::new(move |context| undo(input, context))));
        self
    }

    /// Undoes also the steps of which nobody knows whether they had their effect, because they failed, were dropped, or never
    /// ended. Steps that said [the same](super::SagaStep::compensate_when_in_doubt) are undone anyway.
    pub fn compensate_when_in_doubt(mut self) -> Self {
        self.when_in_doubt = true;
        self
    }

    /// Undoes what succeeded and is not undone yet, the last to end first. Once all of it is undone, a saga that had not ended
    /// is cancelled, and its run has failed, if nothing else of it could be undone; until then both stay open.
    ///
    /// # Errors
    /// [`NotRecorded`] if nothing was tried: there is no such run, saga or step, an instance is at work on it, or the store
    /// does not respond. Otherwise the answer says what became of each step. If the runtime ends meanwhile,
    /// [`NotRecorded::ShutDown`]: some steps may have been undone then.
    pub async fn run(self) -> Result<SagaFailed<Text>, NotRecorded> {
        let (hub, trace_id) = (Arc::clone(&self.hub), self.trace_id);
        let reader = Arc::clone(&hub.readers.as_ref().ok_or(NotRecorded::NoStore)?.reader);
        let is_left = async || match summary(&*reader, trace_id).await?.state {
            RunState::Running => {
                Err(NotRecorded::AtWork { trace_id, instance: owner(&*reader, trace_id).await? })
            }
            _ => Ok(()),
        };
        is_left().await?;
        let claim = Claimed::take(&hub, trace_id).await;
        is_left().await?;
        let claim = Arc::new(claim.map_err(|not_claimed| not_claimed.into_error(&hub, trace_id))?);
        let recorded = events(&*reader, trace_id).await?;
        let fold = RunFold::of(&recorded);
        let head = fold.head().ok_or(NotRecorded::NoSuchRun(trace_id))?.key;
        let run = run_of(&hub, head, History::of(&recorded));
        let before = run.resumption.clone().ok_or(NotRecorded::NoSuchRun(trace_id))?;
        let context = place(&run, head, &before.history);
        let failed = self.undo(&context, &before, Arc::clone(&claim)).await?;
        let is_open = fold.last().is_some_and(|last| last.status == Status::Pending);
        if is_open && failed.orphaned().next().is_none() {
            match events(&*reader, trace_id).await {
                Ok(recorded) if History::of(&recorded).has_standing_steps() => {}
                Ok(_) => finish_span(&context.0, End::failed(interrupted())).await,
                // What was undone is to be known all the same. Undoing once more closes the run.
                Err(error) => {
                    tracing::warn!(target: "throughline", %error, %trace_id, "a run stays open after its saga was undone");
                }
            }
        }
        Ok(failed)
    }

    async fn undo(
        self,
        context: &TraceContext,
        before: &Resumption,
        claim: Arc<Claimed>,
    ) -> Result<SagaFailed<Text>, NotRecorded> {
        let (hub, history) = (&context.0.run.hub, &before.history);
        let name = hub.redactor.findable(Some(attrs::SAGA), &self.saga);
        let candidates: Vec<_> = history.sagas(&name).filter(|saga| saga.status != Status::Success).collect();
        let ids: HashSet<SpanId> = candidates.iter().map(|saga| saga.id).collect();
        let when_in_doubt = self.when_in_doubt;
        let mut steps = history.compensable_steps_of(|saga| ids.contains(&saga));
        let has_something_to_undo = |saga: &&&PastSpan| {
            let steps = steps.get(&saga.id);
            steps.is_some_and(|steps| steps.iter().any(|step| is_to_be_undone(step, when_in_doubt)))
        };
        let last = candidates.iter().rev().find(has_something_to_undo).or(candidates.last());
        let saga = *last.ok_or_else(|| NotRecorded::NoSuchSaga { saga: self.saga.clone() })?;
        let steps = steps.remove(&saga.id).unwrap_or_default();
        let (status, error) = match saga.status {
            Status::Pending => (Status::Cancelled, None),
            status => (status, saga.error.clone()),
        };
        let message = match (&error, saga.status) {
            (Some(error), _) => error.message.clone(),
            (None, Status::Pending) => Text::literal("it was interrupted"),
            (None, _) => Text::literal("it was cancelled"),
        };
        let failed = |compensations| SagaFailed { error: message, compensations, as_error: |_| None };
        let was_open = saga.status == Status::Pending;
        if was_open {
            is_in_nobodys_hand(hub, saga).await?;
        }

        let mut completed = Vec::new();
        let (mut unregistered, mut in_doubt) = (Vec::new(), Vec::new());
        let mut inputs: HashMap<Text, VecDeque<UndoStep>> = HashMap::new();
        for (name, undo) in self.inputs {
            inputs.entry(hub.redactor.name(&name).into()).or_default().push_back(undo);
        }
        if let Some(step) = not_named(&steps, &inputs, when_in_doubt) {
            return Err(NotRecorded::NoSuchStep { saga: self.saga, step });
        }
        for step in steps {
            let is_to_be_undone = is_to_be_undone(&step, when_in_doubt);
            if !is_to_be_undone && !step.has_succeeded() && !step.is_undone() {
                in_doubt.push((step.last().event_type.clone(), step.last().resource.clone()));
                continue;
            }
            let undo = inputs.get_mut(&step.last().event_type).and_then(VecDeque::pop_front);
            if !is_to_be_undone {
                continue;
            }
            let (name, resource) = (step.last().event_type.clone(), step.last().resource.clone());
            let mut spans: Vec<_> = step.standing().map(|span| span.id).collect();
            if spans.is_empty() {
                spans.push(step.last().id);
            }
            match undo {
                Some(undo) => completed.push(Completed { step: name, spans, resource, undo }),
                None => unregistered.push((name, resource)),
            }
        }
        // Where the saga stands: below the span that it was below.
        let above = match saga.parent {
            Some(parent) if parent != context.span_id() => TraceContext(root(
                Arc::clone(&context.0.run),
                Label::Step(Text::default()),
                &mut Details { continues: Some((parent, 0)), ..Details::default() },
                context.attrs().clone(),
                Above::default(),
            )),
            _ => context.clone(),
        };
        let (has_work, continues) = (!completed.is_empty(), Some((saga.id, saga.next_seq)));
        let spec =
            saga_step(&above, self.saga).tag(Text::literal(tags::DETACHED)).continuing(continues).spec();
        let not_undone = move |saga: &Saga| {
            let unregistered =
                unregistered.into_iter().map(|step| (step, CompensationOutcome::NotRegistered));
            let in_doubt = in_doubt.into_iter().map(|step| (step, CompensationOutcome::InDoubt));
            let both = unregistered.chain(in_doubt);
            both.map(|((step, resource), outcome)| saga.compensated(step, resource, outcome))
                .collect::<Vec<_>>()
        };
        if !has_work && !was_open {
            return Ok(failed(not_undone(&Saga::new(context.clone(), None))));
        }
        // A caller that no longer waits does not cut it off.
        let undoing = in_background(hub, async move {
            let held = begin_span(spec).await?;
            let saga = Saga::new(TraceContext(Arc::clone(held.span())), None);
            saga.state().completed = completed;
            let mut compensations = saga.compensate_all().await;
            compensations.extend(not_undone(&saga));
            let is_left = |step: &Compensated| {
                !matches!(step.outcome, CompensationOutcome::Undone | CompensationOutcome::InDoubt)
            };
            if was_open && compensations.iter().any(is_left) {
                // It stays open, for those who undo the rest.
                drop(held);
            } else {
                held.finish(End { status, error, identity: Identity::UNKNOWN, output: None }).await;
            }
            drop(claim);
            Ok(compensations)
        });
        undoing.await.unwrap_or(Err(NotRecorded::ShutDown)).map(failed)
    }
}

/// A saga may be at work although its run has ended: in a task that outlives the run's root.
async fn is_in_nobodys_hand(hub: &Hub, saga: &PastSpan) -> Result<(), NotRecorded> {
    let reader = &hub.readers.as_ref().ok_or(NotRecorded::NoStore)?.reader;
    let (instance, trace_id) = (saga.last_event.instance, saga.last_event.id.trace_id);
    if instance == InstanceId::NOBODY {
        return Ok(());
    }
    let liveness = in_time(reader.liveness(&[instance])).await;
    match liveness.map_err(|error| NotRecorded::NotRead(Arc::new(error)))?.contains(&Liveness::Alive) {
        true => Err(NotRecorded::AtWork { trace_id, instance }),
        false => Ok(()),
    }
}

/// A step that has to be undone, if none of those is among the ones that are named. Some of the named ones may never have
/// begun; but if none of the names fits, they are wrong.
fn not_named(
    steps: &[PastSagaStep<'_>],
    named: &HashMap<Text, VecDeque<UndoStep>>,
    when_in_doubt: bool,
) -> Option<Text> {
    let mut wanted = steps.iter().filter(|step| is_to_be_undone(step, when_in_doubt));
    let first = wanted.clone().next().filter(|_| !named.is_empty())?;
    let is_named = wanted.any(|step| named.contains_key(&step.last().event_type));
    (!is_named).then(|| first.last().event_type.clone())
}

fn is_to_be_undone(step: &PastSagaStep<'_>, when_in_doubt: bool) -> bool {
    let says_so = || step.attempts.iter().any(|span| span.is_compensated_when_in_doubt);
    step.stands() || (step.is_in_doubt() && (when_in_doubt || says_so()))
}

/// Why a run has failed that its process left open.
fn interrupted() -> ErrorInfo {
    ErrorInfo {
        kind: Text::literal(errors::INTERRUPTED),
        message: Text::literal("the process died before the saga ended"),
        chain: Vec::new(),
    }
}

/// A run of the store, as far as what is recorded in it now needs that.
fn run_of(hub: &Arc<Hub>, head: &TraceEvent, history: History) -> Arc<Run> {
    Arc::new(Run {
        hub: Arc::clone(hub),
        trace_id: head.trace_id,
        random: false,
        sampled: true,
        is_remote: false,
        correlation_id: head.correlation_id.clone(),
        workflow: head.workflow.clone(),
        tracestate: None,
        baggage: Attrs::new(),
        baggage_properties: Attrs::new(),
        request_id: None,
        resumption: Some(Arc::new(Resumption::new(history, head.timestamp))),
        detached: Arc::default(),
        last_end: LastEnd::default(),
        lazy_root: None,
    })
}

/// The root of the run, which has begun before.
fn place(run: &Arc<Run>, head: &TraceEvent, history: &History) -> TraceContext {
    let label = match &*head.event_type {
        names::WORKFLOW_STARTED => Label::Workflow,
        _ => Label::Step(head.event_type.clone()),
    };
    let next_seq = history.span(head.span_id).map_or(1, |span| span.next_seq);
    let mut details = Details {
        tags: head.tags.clone(),
        attempt: head.attempt,
        continues: Some((head.span_id, next_seq)),
        ..Details::default()
    };
    let (parent_span_id, parent_trace_id) = (head.parent_span_id, head.parent_trace_id);
    let above = Above { parent_span_id, parent_trace_id, ..Above::default() };
    TraceContext(root(Arc::clone(run), label, &mut details, head.attrs.clone(), above))
}

impl std::fmt::Debug for SagaRecovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SagaRecovery").field("saga", &self.saga).finish_non_exhaustive()
    }
}
