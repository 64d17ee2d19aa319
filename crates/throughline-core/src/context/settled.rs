//! [`Settled`], the wait for what a run's steps did not wait for.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use tokio::sync::oneshot;

use super::TraceContext;
use super::failure::NotRecorded;
use super::future::recorded_or_why;
use super::span::Run;
use crate::delivery::queue::Ack;

/// What says whether the ends of a run's steps are recorded for which nobody has waited: that of the last one, for the events
/// of a run are stored in their order.
#[derive(Default)]
pub(super) struct LastEnd(Mutex<Option<Shared<Ack>>>);

impl LastEnd {
    pub(super) fn set(&self, end: Ack) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(end.shared());
    }

    /// The emitter was shut down before.
    pub(super) fn set_lost(&self) {
        self.set(oneshot::channel().1);
    }

    fn get(&self) -> Option<Shared<Ack>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Waits for the ends of those steps of a run that returned before their ends were recorded. Returned by
/// [`TraceContext::settled`].
#[must_use = "futures do nothing unless polled"]
pub struct Settled {
    /// Until it is polled.
    run: Option<Arc<Run>>,
    last_end: Option<Shared<Ack>>,
}

impl Future for Settled {
    type Output = Result<(), NotRecorded>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(run) = self.run.take() {
            let Some(last_end) = run.last_end.get() else { return Poll::Ready(Ok(())) };
            self.last_end = Some(last_end);
            if let Some(store) = &run.hub.store {
                store.queue.hurry();
            }
        }
        // Polled again after it was ready: never wakes, as a fused future would.
        let Some(end) = &mut self.last_end else { return Poll::Pending };
        let said = ready!(Pin::new(end).poll(cx));
        self.last_end = None;
        Poll::Ready(recorded_or_why(said))
    }
}

impl std::fmt::Debug for Settled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settled").finish_non_exhaustive()
    }
}

impl TraceContext {
    /// Waits until the ends of all steps of this run that have returned in this process are recorded. With
    /// [`Durability::Coalesced`](crate::Durability::Coalesced) a step returns before that; the next step or event of the run,
    /// an answer of the HTTP layer and the end of the run wait for it, and so does code that tells others in another way.
    /// Otherwise steps have waited themselves, and this is ready at once.
    ///
    /// # Errors
    ///
    /// If the store did not take the end of the step that returned last. The end stays pending, and is stored once the store
    /// takes events again, before anything that comes after it.
    ///
    /// ```
    /// use throughline_core::{Durability, NotRecorded, TraceContext};
    ///
    /// # async fn pay() -> Result<String, std::io::Error> { Ok("receipt 17".to_owned()) }
    /// # async fn print(receipt: &str) {}
    /// async fn pay_and_print(ctx: &TraceContext) -> Result<(), Box<dyn std::error::Error>> {
    ///     let receipt = ctx.trace("stage:payment", pay()).await??;
    ///     ctx.settled().await?;
    ///     print(&receipt).await;
    ///     Ok(())
    /// }
    /// ```
    pub fn settled(&self) -> Settled {
        Settled { run: Some(Arc::clone(&self.0.run)), last_end: None }
    }
}
