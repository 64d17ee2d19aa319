//! [`Resume`]: continuing a run that a dead process left open.

use std::sync::Arc;

use throughline_model::fold::{History, PastSpan, root_event};
use throughline_model::names::attrs;
use throughline_model::{
    InstanceId, RunState, RunSummary, Status, StepError, TraceEvent, TraceId, TraceReader,
};

use super::claim::Claimed;
use super::failure::NotRecorded;
use super::future::{Deferred, TraceFuture};
use super::keyed::{RunClaims, in_time};
use super::spec::{Details, Resumed, RunSpec};
use super::{TraceContext, Workflow};
use crate::hub::Hub;

/// A run to resume; it continues when [`run`](Self::run) is awaited.
#[must_use = "nothing is resumed before it is run"]
pub struct Resume {
    hub: Arc<Hub>,
    trace_id: TraceId,
}

impl std::fmt::Debug for Resume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resume").field("trace_id", &self.trace_id).finish_non_exhaustive()
    }
}

impl Resume {
    pub(crate) fn new(hub: Arc<Hub>, trace_id: TraceId) -> Self {
        Self { hub, trace_id }
    }

    /// Resumes the run: reads its progress from the store (names and statuses, never payloads), records
    /// `workflow:resumed` on its root, and runs the closure.
    ///
    /// The closure starts from the top; nothing is skipped automatically. Its [sagas](TraceContext::saga) know which steps
    /// succeeded before and undo them if necessary; [`TraceContext::completed_before`] says so for any step. Steps that were
    /// begun before are recorded as their next attempt.
    ///
    /// # Errors
    /// [`NotRecorded`] if there is no such run, it has ended or can't be resumed, or an instance is at work on it: of
    /// several that resume it at the same time one does, and the others are told who. Also if the store does not respond.
    pub fn run<C, F, T, E, K>(self, body: C) -> TraceFuture<Deferred<C, F>, Result<T, E>>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        Workflow::resuming(self.hub, self.trace_id).run(body)
    }
}

impl TraceContext {
    /// Whether a step of this name succeeded before the process died, in a run that was
    /// [resumed](crate::Throughline::resume); `false` in every other run.
    pub fn completed_before(&self, event_type: &str) -> bool {
        let run = &self.0.run;
        let Some(before) = &run.resumption else { return false };
        before.history.has_completed(&run.hub.redactor.name(event_type))
    }
}

/// Claims a run that can be resumed.
pub(super) async fn claim(hub: &Arc<Hub>, trace_id: TraceId) -> Result<Claimed, NotRecorded> {
    let reader = Arc::clone(&hub.readers.as_ref().ok_or(NotRecorded::NoStore)?.reader);
    // Looked at twice: before the claim, so that what can't be resumed is claimed by nobody, and after it, for another
    // process may have resumed the run and ended it in between. Where another has claimed it that may be all it finds, too.
    resumable(&*reader, trace_id).await?;
    let claim = Claimed::take(hub, trace_id).await;
    resumable(&*reader, trace_id).await?;
    claim.map_err(|not_claimed| not_claimed.into_error(hub, trace_id))
}

/// Reads what is known of a claimed run. What a caller said of the new run, such as its input, does not count.
pub(super) async fn prepare(
    asked: Box<RunSpec>,
    trace_id: TraceId,
    claim: Claimed,
    key: Option<Claimed>,
) -> Result<Box<RunSpec>, NotRecorded> {
    let hub = Arc::clone(&asked.hub);
    let reader = Arc::clone(&hub.readers.as_ref().ok_or(NotRecorded::NoStore)?.reader);
    let events = events(&*reader, trace_id).await?;
    let root = root_event(&events).ok_or(NotRecorded::NoSuchRun(trace_id))?;
    let history = History::of(&events);
    let root_span = history.span(root.span_id).ok_or(NotRecorded::NoSuchRun(trace_id))?;
    let (next_seq, started) = (root_span.next_seq, root_span.started);
    let is_being_undone = |span: &&PastSpan| {
        span.is_saga() && span.status == Status::Pending && history.is_being_undone(span.id)
    };
    if let Some(saga) = history.spans().find(is_being_undone) {
        let name = saga.attrs.get(attrs::SAGA).unwrap_or_default();
        return Err(NotRecorded::BeingUndone { trace_id, saga: name.to_owned().into() });
    }
    let spec = RunSpec {
        workflow: root.workflow.clone(),
        label: asked.label,
        details: Details {
            tags: root.tags.clone(),
            attempt: root.attempt,
            announced_steps: root.step_total.unwrap_or(asked.details.announced_steps),
            continues: Some((root.span_id, next_seq)),
            ..Details::default()
        },
        resumed: Some(Resumed {
            trace_id,
            correlation_id: root.correlation_id.clone(),
            attrs: root.attrs.clone(),
            started,
            history,
        }),
        claims: Some(RunClaims::new(Some(claim), key)),
        ..RunSpec::new(hub)
    };
    Ok(Box::new(spec))
}

/// The summary of a run that can be resumed.
async fn resumable(reader: &dyn TraceReader, trace_id: TraceId) -> Result<RunSummary, NotRecorded> {
    let summary = summary(reader, trace_id).await?;
    match (summary.state, &summary.root) {
        _ if summary.can_be_resumed() => Ok(summary),
        (RunState::Running, _) => {
            Err(NotRecorded::AtWork { trace_id, instance: owner(reader, trace_id).await? })
        }
        (state, Some(root)) if state.is_open() => {
            Err(NotRecorded::NotResumable { trace_id, root: root.event_type.clone() })
        }
        (state, None) if state.is_open() => {
            Err(NotRecorded::NotResumable { trace_id, root: "unknown".into() })
        }
        (state, _) => Err(NotRecorded::HasEnded { trace_id, state }),
    }
}

/// What is known of a run.
pub(super) async fn summary(reader: &dyn TraceReader, trace_id: TraceId) -> Result<RunSummary, NotRecorded> {
    let found = in_time(reader.run(trace_id)).await.map_err(|error| NotRecorded::NotRead(Arc::new(error)))?;
    found.ok_or(NotRecorded::NoSuchRun(trace_id))
}

/// The events of a run, however long it takes to read them.
pub(super) async fn events(
    reader: &dyn TraceReader,
    trace_id: TraceId,
) -> Result<Vec<TraceEvent>, NotRecorded> {
    reader.trace(trace_id).await.map_err(|error| NotRecorded::NotRead(Arc::new(error)))
}

/// The instance that has a run in hand.
pub(super) async fn owner(reader: &dyn TraceReader, trace_id: TraceId) -> Result<InstanceId, NotRecorded> {
    let events = events(reader, trace_id).await?;
    let standing = throughline_model::fold::RunFold::of(&events).standing();
    standing.map(|standing| standing.owner).ok_or(NotRecorded::NoSuchRun(trace_id))
}
