//! [`Claimed`], a run that this process alone works on.

use std::sync::Arc;

use throughline_model::{Claim, InstanceId, TraceId};

use super::failure::NotRecorded;
use crate::delivery::Calls;
use crate::hub::{Hub, InHand};

/// A run that this process has claimed, or may have, until it is dropped.
pub(super) struct Claimed {
    in_hand: Option<InHand>,
    /// Not the hub: the last handle of an emitter must not be dropped on the thread of its store.
    calls: Calls,
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
        let in_hand = InHand::take(&hub.claims, trace_id).await.ok_or(NotClaimed::ByUs)?;
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

impl Drop for Claimed {
    fn drop(&mut self) {
        let Some(in_hand) = self.in_hand.take() else { return };
        in_hand.is_being_released();
        self.calls.send(move |store| {
            Box::pin(async move {
                let trace_id = in_hand.trace_id();
                if let Err(error) = store.ask(|store| store.release(trace_id)).await {
                    tracing::warn!(target: "throughline", %trace_id, %error, "the claim was not released");
                }
                // Not before: a claim that follows must not be granted and then released.
                drop(in_hand);
            })
        });
    }
}
