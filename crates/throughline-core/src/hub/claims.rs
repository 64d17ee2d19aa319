//! What this process has claimed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use throughline_model::TraceId;
use tokio::sync::oneshot;

/// What this process has claimed. The store grants an instance what it holds already: within the process this decides.
#[derive(Default)]
pub(crate) struct Claims(Mutex<HashMap<TraceId, Hand>>);

enum Hand {
    AtWork,
    /// It is being given back to the store; these wait for it.
    Releasing(Vec<oneshot::Sender<()>>),
}

/// A run that this process has in hand until this is dropped.
pub(crate) struct InHand {
    claims: Arc<Claims>,
    trace_id: TraceId,
}

impl InHand {
    /// Takes a run in hand, or answers `None` if it is taken already; if it is being released, waits for that first.
    pub(crate) async fn take(claims: &Arc<Claims>, trace_id: TraceId) -> Option<Self> {
        loop {
            let released = match claims.lock().entry(trace_id) {
                Entry::Vacant(place) => {
                    place.insert(Hand::AtWork);
                    return Some(Self { claims: Arc::clone(claims), trace_id });
                }
                Entry::Occupied(mut hand) => match hand.get_mut() {
                    Hand::AtWork => return None,
                    Hand::Releasing(waiting) => {
                        let (tx, rx) = oneshot::channel();
                        waiting.push(tx);
                        rx
                    }
                },
            };
            // The sender is dropped when the run is released.
            let _ = released.await;
        }
    }

    pub(crate) fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// It is being given back to the store.
    pub(crate) fn is_being_released(&self) {
        self.claims.lock().insert(self.trace_id, Hand::Releasing(Vec::new()));
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        // Those who wait are woken after the lock is free again.
        let hand = self.claims.lock().remove(&self.trace_id);
        drop(hand);
    }
}

impl Claims {
    fn lock(&self) -> MutexGuard<'_, HashMap<TraceId, Hand>> {
        // No code of others runs under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
