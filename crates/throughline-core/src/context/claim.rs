//! [`Claimed`], a run that this process alone works on.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use throughline_model::{Claim, InstanceId, TraceId};
use tokio::sync::oneshot;

use super::failure::NotRecorded;
use crate::delivery::Calls;
use crate::hub::Hub;

/// A run that this process has claimed, or may have, until it is dropped.
pub(super) struct Claimed {
    in_hand: Option<InHand>,
    /// Not the hub: the last handle of an emitter must not be dropped on the thread of its store.
    calls: Calls,
}

/// What this process has claimed. The store grants an instance what it holds already: within the process this decides.
#[derive(Default)]
pub(crate) struct Claims(Mutex<HashMap<TraceId, Hand>>);

enum Hand {
    AtWork,
    /// It is being given back to the store; these wait for it.
    Releasing(Vec<oneshot::Sender<()>>),
}

/// An entry of [`Claims`].
struct InHand {
    claims: Arc<Claims>,
    trace_id: TraceId,
}

/// Why a run could not be claimed.
pub(super) enum NotClaimed {
    /// This instance works on it already.
    ByUs,
    /// Another instance does.
    By(InstanceId),
    /// The store did not say.
    Failed(NotRecorded),
}

impl NotClaimed {
    /// The same as an error about this run.
    pub(super) fn into_error(self, hub: &Hub, trace_id: TraceId) -> NotRecorded {
        match self {
            Self::ByUs => NotRecorded::AtWork { trace_id, instance: hub.instance },
            Self::By(instance) => NotRecorded::AtWork { trace_id, instance },
            Self::Failed(error) => error,
        }
    }
}

impl Claimed {
    /// Claims a run, or says that somebody else has it.
    pub(super) async fn take(hub: &Arc<Hub>, trace_id: TraceId) -> Result<Self, NotClaimed> {
        let Some(store) = &hub.store else { return Err(NotClaimed::Failed(NotRecorded::NoStore)) };
        while !hub.claims.take(trace_id).await {
            if hub.claims.is_at_work(trace_id) {
                return Err(NotClaimed::ByUs);
            }
        }
        let in_hand = InHand { claims: Arc::clone(&hub.claims), trace_id };
        let claimed = Self { in_hand: Some(in_hand), calls: store.calls.clone() };
        // It goes along with the call: if nobody waits any more, it is released, but after it was claimed.
        let answer = store.calls.call(move |store| {
            Box::pin(async move { (store.ask(|store| store.claim(trace_id)).await, claimed) })
        });
        match answer.await {
            Some((Ok(Claim::Granted), claimed)) => Ok(claimed),
            Some((Ok(Claim::HeldBy(instance)), mut claimed)) => {
                // There is nothing to give back.
                claimed.in_hand = None;
                Err(NotClaimed::By(instance))
            }
            Some((Ok(_), _)) => Err(NotClaimed::ByUs),
            Some((Err(error), _)) => Err(NotClaimed::Failed(NotRecorded::Store {
                reason: format!("the run could not be claimed: {error}").into(),
                retryable: error.is_retryable(),
            })),
            None => Err(NotClaimed::Failed(NotRecorded::ShutDown)),
        }
    }
}

impl Claims {
    /// Takes a run in hand, unless it is; waits until one that is being released is.
    async fn take(&self, trace_id: TraceId) -> bool {
        let released = match self.lock().entry(trace_id) {
            Entry::Vacant(place) => {
                place.insert(Hand::AtWork);
                return true;
            }
            Entry::Occupied(mut hand) => match hand.get_mut() {
                Hand::AtWork => return false,
                Hand::Releasing(waiting) => {
                    let (tx, rx) = oneshot::channel();
                    waiting.push(tx);
                    rx
                }
            },
        };
        // Dropped without a word it is released, too.
        let _ = released.await;
        false
    }

    fn is_at_work(&self, trace_id: TraceId) -> bool {
        matches!(self.lock().get(&trace_id), Some(Hand::AtWork))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TraceId, Hand>> {
        // No code of others runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let Some(in_hand) = self.in_hand.take() else { return };
        in_hand.claims.lock().insert(in_hand.trace_id, Hand::Releasing(Vec::new()));
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
        // Those who wait are woken by the end of the channel.
        let hand = self.claims.lock().remove(&self.trace_id);
        drop(hand);
    }
}
