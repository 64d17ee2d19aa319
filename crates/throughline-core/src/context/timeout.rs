//! [`Timeout`], a time limit that what it cancels knows of.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use throughline_model::BoxFuture;

use super::TraceContext;
use super::cancellation::{CancelledBy, passed};
use super::future::resume_panic_of_drop;
use crate::delivery::timer;

/// A time limit has passed: what was to be done within it was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", passed(*.limit))]
#[non_exhaustive]
pub struct DeadlinePassed {
    /// The limit.
    pub limit: Duration,
}

pin_project! {
    /// A future with a time limit: returned by [`TraceContext::timeout`]. Lazy, like every future: the time begins with the
    /// first poll.
    #[must_use = "futures do nothing unless polled"]
    pub struct Timeout<F> {
        #[pin]
        future: Option<F>,
        limit: Duration,
        delay: Option<BoxFuture<'static, ()>>,
    }
}

impl TraceContext {
    /// Gives a future so much time. If that passes the future is dropped, and the steps in it are recorded as cancelled by
    /// the deadline.
    ///
    /// Two questions, two `?`: the outer error says that the time has passed, the inner one is the future's own. The time is
    /// that of the system's clock, on every runtime: tokio's paused clock does not make it pass. Tokio's own timer panics on a
    /// runtime that was built without one, and nothing tells beforehand.
    ///
    /// Of other time limits, such as `tokio::time::timeout`, a step does not know why it is dropped. If the step around it
    /// ends with the error of tokio's, it is linked to the step that was given up, as `failed_by`; for limits of one's own
    /// there is [`CancelledBy::Deadline`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use throughline_core::{BoxError, TraceContext};
    ///
    /// # async fn ask_carrier() -> Result<u32, BoxError> { Ok(4) }
    /// async fn quote(ctx: &TraceContext) -> Result<u32, BoxError> {
    ///     let asked = ctx.dependency("http", "carrier-api", ask_carrier());
    ///     let quote = ctx.timeout(Duration::from_millis(250), asked).await???;
    ///     Ok(quote)
    /// }
    /// ```
    pub fn timeout<F: Future>(&self, limit: Duration, future: F) -> Timeout<F> {
        Timeout { future: Some(future), limit, delay: None }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, DeadlinePassed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // Polled again after it was ready: never wakes, as a fused future would.
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Pending };
        if let Poll::Ready(output) = future.poll(cx) {
            this.future.set(None);
            return Poll::Ready(Ok(output));
        }
        let limit = *this.limit;
        ready!(this.delay.get_or_insert_with(|| timer(limit)).as_mut().poll(cx));
        let dropped = CancelledBy::Deadline(limit)
            .while_dropping(|| catch_unwind(AssertUnwindSafe(|| this.future.set(None))));
        resume_panic_of_drop(dropped);
        Poll::Ready(Err(DeadlinePassed { limit }))
    }
}

impl<F> std::fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timeout").field("limit", &self.limit).finish_non_exhaustive()
    }
}
