//! [`Claimed`], a run that this process alone works on.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use throughline_model::{Claim, TraceId};

use super::failure::NotRecorded;
use crate::delivery::Calls;
use crate::hub::Hub;

/// A run that this process has claimed, or may have, until it is dropped.
pub(super) struct Claimed {
    in_hand: Option<InHand>,
    /// Not the hub: the last handle of an emitter must not be dropped on the thread of its store.
    calls: Calls,
}

/// The store grants an instance what it holds already: within the process this decides.
struct InHand {
    claims: Arc<Mutex<HashSet<TraceId>>>,
    trace_id: TraceId,
}

impl Claimed {
    /// Claims a run, or says that somebody else has it.
    pub(super) async fn take(hub: &Arc<Hub>, trace_id: TraceId) -> Result<Self, NotRecorded> {
        let Some(store) = &hub.store else { return Err(NotRecorded::NoSuchRun(trace_id)) };
        if !lock(&hub.claims).insert(trace_id) {
            return Err(NotRecorded::StillRunning(trace_id));
        }
        let in_hand = InHand { claims: Arc::clone(&hub.claims), trace_id };
        let claimed = Self { in_hand: Some(in_hand), calls: store.calls.clone() };
        // It goes along with the call: if nobody waits any more, it is released, but after it was claimed.
        let answer = store.calls.call(move |store| {
            Box::pin(async move { (store.ask(|store| store.claim(trace_id)).await, claimed) })
        });
        match answer.await {
            Some((Ok(Claim::Granted), claimed)) => Ok(claimed),
            Some((Ok(_), _)) => Err(NotRecorded::StillRunning(trace_id)),
            Some((Err(error), _)) => Err(NotRecorded::Store {
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
        self.calls.send(move |store| {
            Box::pin(async move {
                let trace_id = in_hand.trace_id;
                if let Err(error) = store.ask(|store| store.release(trace_id)).await {
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
        lock(&self.claims).remove(&self.trace_id);
    }
}

fn lock(claims: &Mutex<HashSet<TraceId>>) -> MutexGuard<'_, HashSet<TraceId>> {
    // No code of others runs under this lock.
    claims.lock().unwrap_or_else(PoisonError::into_inner)
}
