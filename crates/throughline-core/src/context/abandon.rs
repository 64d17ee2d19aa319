//! Closing for good what a dead process left open.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_timer::Delay;
use futures_util::future::{Either, select};
use throughline_model::fold::{History, RunFold, by_span, root_event};
use throughline_model::names::{self, errors};
use throughline_model::{ErrorInfo, InstanceId, Moment, RunState, SpanId, Status, Text, TraceEvent, TraceId};

use super::claim::{Claimed, NotClaimed};
use super::failure::NotRecorded;
use super::ingest::record;
use super::keyed::PATIENCE;
use super::resume::{events, owner, summary};
use crate::hub::Hub;

/// Closes a run for good: it counts as failed, for this reason.
pub(crate) async fn abandon(hub: &Arc<Hub>, trace_id: TraceId, reason: &str) -> Result<(), NotRecorded> {
    let reader = Arc::clone(&hub.readers.as_ref().ok_or(NotRecorded::NoStore)?.reader);
    let is_open = async || match summary(&*reader, trace_id).await?.state {
        RunState::Interrupted | RunState::Unfinished => Ok(()),
        RunState::Running => {
            Err(NotRecorded::AtWork { trace_id, instance: owner(&*reader, trace_id).await? })
        }
        state => Err(NotRecorded::HasEnded { trace_id, state }),
    };
    is_open().await?;
    let claim = Claimed::take(hub, trace_id).await;
    is_open().await?;
    let _claim = claim.map_err(|not_claimed| not_claimed.into_error(hub, trace_id))?;
    close(hub, &events(&*reader, trace_id).await?, reason).await
}

/// Closes a run that its process left open, because `by` does the work again from the start. One of which something stands
/// that could be undone, or of which only a job is left, stays open. That this run was not closed, or not in time, is no
/// reason not to do its work; the answer is who has it in hand at this moment, to resume, undo or abandon it.
pub(super) async fn superseded(
    hub: &Arc<Hub>,
    trace_id: TraceId,
    claim: Option<Claimed>,
    by: TraceId,
) -> Option<InstanceId> {
    let closed = async {
        let reader = Arc::clone(&hub.readers.as_ref().ok_or(NotRecorded::NoStore)?.reader);
        let claim = match claim {
            Some(claim) => Ok(claim),
            None => Claimed::take(hub, trace_id).await,
        };
        let _claim = match claim {
            Ok(claim) => claim,
            Err(NotClaimed::Failed(error)) => return Err(error),
            Err(NotClaimed::By(instance)) => return Ok(Some(instance)),
            Err(NotClaimed::ByUs) => return Ok(Some(hub.instance)),
        };
        match summary(&*reader, trace_id).await?.state {
            RunState::Interrupted => {}
            RunState::Running => return Ok(Some(owner(&*reader, trace_id).await?)),
            _ => return Ok(None),
        }
        let events = events(&*reader, trace_id).await?;
        // What is left of a run that did its work is a job, which its queue delivers again.
        let has_done_its_work =
            RunFold::of(&events).last().is_some_and(|last| last.status == Status::Success);
        if has_done_its_work || History::of(&events).has_standing_steps() {
            return Ok(None);
        }
        let reason = format!("its process died, and its work was started again as the run {by}");
        close(hub, &events, &reason).await.map(|()| None)
    };
    let closed = match select(pin!(closed), Delay::new(PATIENCE)).await {
        Either::Left((closed, _)) => closed.map_err(|error| error.to_string()),
        Either::Right(_) => Err(format!("the store took longer than {PATIENCE:?}")),
    };
    closed.unwrap_or_else(|error| {
        tracing::warn!(target: "throughline", %trace_id, %error, "a run that is done again was not closed");
        None
    })
}

/// Ends the root of a run, and what is detached from it, where they are open.
async fn close(hub: &Hub, events: &[TraceEvent], reason: &str) -> Result<(), NotRecorded> {
    let retried: HashSet<SpanId> =
        events.iter().filter(|event| event.is_detached()).flat_map(TraceEvent::retried).collect();
    let spans = by_span(events);
    let root = root_event(events);
    let decides = |span: &&Vec<&TraceEvent>| match root {
        Some(root) => {
            let id = span[0].span_id;
            id == root.span_id || (!retried.contains(&id) && span.iter().any(|event| event.is_detached()))
        }
        None => true,
    };
    let at = Moment::now().timestamp();
    let ends = spans.iter().filter(decides).filter_map(|span| {
        let (first, last) = (span.first()?, span.last()?);
        (last.status == Status::Pending).then(|| TraceEvent {
            seq: last.seq.saturating_add(1),
            event_type: Text::literal(names::WORKFLOW_ABANDONED),
            timestamp: at,
            instance: hub.instance,
            n: hub.n.fetch_add(1, Ordering::Relaxed),
            status: Status::Failed,
            duration_us: u64::try_from(at.since(first.timestamp).as_micros()).ok(),
            error: Some(Box::new(ErrorInfo {
                kind: Text::literal(errors::ABANDONED),
                message: reason.to_owned().into(),
                chain: Vec::new(),
            })),
            data: None,
            links: Vec::new(),
            service: hub.service.clone(),
            ..TraceEvent::clone(last)
        })
    });
    record(hub, ends.collect::<Vec<_>>()).await
}
