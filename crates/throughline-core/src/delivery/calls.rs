//! Calls of a store from elsewhere, made on the store's own thread and runtime.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use throughline_model::{BoxFuture, TraceStore};
use tokio::sync::{mpsc, oneshot};

type Call = Box<dyn FnOnce(Arc<dyn TraceStore>) -> BoxFuture<'static, ()> + Send>;

/// The sending side of calls to the store.
pub(crate) struct Calls(mpsc::UnboundedSender<Call>);

/// The store's side of it.
pub(super) struct Received(mpsc::UnboundedReceiver<Call>);

/// A way to call a store. Each call is awaited by its caller, so that their number is bounded by that of the
/// tasks that wait.
pub(super) fn calls() -> (Calls, Received) {
    let (tx, rx) = mpsc::unbounded_channel();
    (Calls(tx), Received(rx))
}

impl Calls {
    /// Makes a call and waits for its answer; `None` once the store is closed.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(Arc<dyn TraceStore>) -> BoxFuture<'static, T> + Send + 'static,
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
    pub(crate) fn send(
        &self,
        call: impl FnOnce(Arc<dyn TraceStore>) -> BoxFuture<'static, ()> + Send + 'static,
    ) {
        // A store that is closed has returned all that a call could ask for.
        let _ = self.0.send(Box::new(call));
    }
}

impl Received {
    /// Makes the calls, side by side; never ends.
    pub(super) async fn serve(mut self, store: &Arc<dyn TraceStore>) {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                call = self.0.recv() => match call {
                    Some(call) => under_way.push(call(Arc::clone(store))),
                    None => std::future::pending().await,
                },
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
            }
        }
    }
}
