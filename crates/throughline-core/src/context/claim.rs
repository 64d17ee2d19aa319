//! [`Claimed`], a run that this process alone works on.

use std::collections::HashSet;
use std::sync::{Arc, MutexGuard, PoisonError};

use throughline_model::{Claim, TraceId};

use super::failure::NotRecorded;
use crate::hub::Hub;

/// A run that this process has claimed, until it is dropped.
pub(super) struct Claimed {
    in_hand: Option<InHand>,
}

/// The store grants an instance what it holds already: within the process the hub decides.
struct InHand {
    hub: Arc<Hub>,
    trace_id: TraceId,
}

impl Claimed {
    /// Claims a run, or says that somebody else has it.
    pub(super) async fn take(hub: &Arc<Hub>, trace_id: TraceId) -> Result<Self, NotRecorded> {
        let Some(store) = &hub.store else { return Err(NotRecorded::NoSuchRun(trace_id)) };
        if !claims(hub).insert(trace_id) {
            return Err(NotRecorded::StillRunning(trace_id));
        }
        let claimed = Self { in_hand: Some(InHand { hub: Arc::clone(hub), trace_id }) };
        let answer =
            store.calls.call(move |store| Box::pin(async move { store.claim(trace_id).await })).await;
        match answer {
            Some(Ok(Claim::Granted)) => Ok(claimed),
            Some(Ok(_)) => Err(NotRecorded::StillRunning(trace_id)),
            Some(Err(error)) => Err(NotRecorded::Store {
                reason: format!("the run could not be claimed: {error}").into(),
                retryable: error.is_retryable(),
            }),
            None => Err(NotRecorded::ShutDown),
        }
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let Some(in_hand) = self.in_hand.take() else { return };
        let hub = Arc::clone(&in_hand.hub);
        let Some(store) = &hub.store else { return };
        store.calls.send(move |store| {
            Box::pin(async move {
                if let Err(error) = store.release(in_hand.trace_id).await {
                    let trace_id = in_hand.trace_id;
                    tracing::warn!(target: "throughline", %trace_id, %error, "the claim was not released");
                }
                // Not before: a claim that follows must not be granted and then released.
                drop(in_hand);
            })
        });
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        claims(&self.hub).remove(&self.trace_id);
    }
}

fn claims(hub: &Hub) -> MutexGuard<'_, HashSet<TraceId>> {
    // No code of others runs under this lock.
    hub.claims.lock().unwrap_or_else(PoisonError::into_inner)
}
