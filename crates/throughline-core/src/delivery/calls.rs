//! Calls of a store from elsewhere, made on the store's own thread and runtime.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use throughline_model::{AppendError, BoxFuture, TraceStore};
use tokio::sync::{mpsc, oneshot};

use super::Condition;

type Call = Box<dyn FnOnce(Asked) -> BoxFuture<'static, ()> + Send>;

/// The sending side of calls to the store.
#[derive(Clone)]
pub(crate) struct Calls(mpsc::UnboundedSender<Call>);

/// The store's side of it.
pub(super) struct Received {
    calls: mpsc::UnboundedReceiver<Call>,
    deadline: Duration,
    condition: Arc<Condition>,
}

/// The store, on its own thread.
pub(crate) struct Asked {
    store: Arc<dyn TraceStore>,
    deadline: Duration,
    condition: Arc<Condition>,
}

/// A way to call a store, each time for so long. Each call is awaited by its caller, so that their number is bounded
/// by that of the tasks that wait.
pub(super) fn calls(deadline: Duration, condition: Arc<Condition>) -> (Calls, Received) {
    let (tx, calls) = mpsc::unbounded_channel();
    (Calls(tx), Received { calls, deadline, condition })
}

impl Calls {
    /// Makes a call and waits for its answer; `None` once the store is closed. If nobody waits for the answer any more it
    /// is dropped, but not before the call has ended.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(Asked) -> BoxFuture<'static, T> + Send + 'static,
    ) -> Option<T> {
        let (tx, rx) = oneshot::channel();
        self.send(|store| {
            let answer = call(store);
            Box::pin(async move {
                // A caller that no longer waits ignores this.
                let _ = tx.send(answer.await);
            })
        });
        rx.await.ok()
    }

    /// Makes a call whose answer nobody waits for.
    pub(crate) fn send(&self, call: impl FnOnce(Asked) -> BoxFuture<'static, ()> + Send + 'static) {
        // A store that is closed has returned all that a call could ask for.
        let _ = self.0.send(Box::new(call));
    }
}

impl Asked {
    /// Asks the store something. A panic is an error like any other, and what takes too long is given up: nobody knows
    /// what became of it then.
    pub(crate) async fn ask<'a, T>(
        &'a self,
        call: impl FnOnce(&'a dyn TraceStore) -> BoxFuture<'a, Result<T, AppendError>>,
    ) -> Result<T, AppendError> {
        let answer = tokio::time::timeout(self.deadline, self.condition.guard(|| call(&*self.store))).await;
        answer.unwrap_or_else(|_| {
            Err(AppendError::Unavailable {
                reason: format!("it did not answer within {:?}", self.deadline),
                retry_after: None,
                source: None,
            })
        })
    }
}

impl Received {
    /// Makes the calls, side by side; never ends.
    pub(super) async fn serve(mut self, store: &Arc<dyn TraceStore>) {
        let mut under_way = FuturesUnordered::new();
        let mut is_open = true;
        loop {
            tokio::select! {
                biased;
                call = self.calls.recv(), if is_open => match call {
                    Some(call) => {
                        let (store, condition) = (Arc::clone(store), Arc::clone(&self.condition));
                        let asked = Asked { store, deadline: self.deadline, condition };
                        under_way.push(call(asked));
                    }
                    None => is_open = false,
                },
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
                else => std::future::pending().await,
            }
        }
    }
}
