//! Delivery: from the code that emits to stores, feeds and sinks.
//!
//! Each store and each feed has a thread and a current-thread tokio runtime of its own, so that nothing depends
//! on the runtime of the caller and a shutdown cannot deadlock with it. Emitting code talks to that thread
//! through a bounded [`queue::Queue`]. A store that can append without waiting does so on the emitting thread instead,
//! while nothing waits in its queue: see [`AppendInline`](crate::AppendInline).

mod calls;
mod durability;
mod feed;
mod group;
mod lease;
mod outbox;
pub(crate) mod queue;
mod report;
mod retry;
mod store;
mod thread;
mod worker;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use throughline_model::{AppendError, BoxFuture, ErrorInfo};

pub(crate) use calls::Calls;
pub use durability::Durability;
pub(crate) use feed::FeedDelivery;
pub(crate) use queue::Stop;
pub(crate) use report::Counters;
pub use report::{DeliveryReport, DestinationReport, DropReason};
pub use retry::Retry;
pub(crate) use store::StoreDelivery;
pub(crate) use thread::on_helper_thread;

/// Why a store did not accept an event.
#[derive(Debug, thiserror::Error)]
#[error("the store `{store}` did not accept it after {attempts} attempt(s): {error}")]
pub(crate) struct DeliveryFailure {
    pub(crate) store: String,
    pub(crate) attempts: u32,
    #[source]
    pub(crate) error: AppendError,
}

/// A call of foreign code: its panic is an error like any other, and the thread that delivers lives on.
async fn guarded<'a, T>(
    call: impl FnOnce() -> BoxFuture<'a, Result<T, AppendError>>,
) -> Result<T, AppendError> {
    let answer = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(future) => AssertUnwindSafe(future).catch_unwind().await,
        Err(panic) => Err(panic),
    };
    answer.unwrap_or_else(|panic| {
        Err(AppendError::Unavailable {
            reason: format!("it panicked: {}", ErrorInfo::of_panic(&*panic).message),
            retry_after: None,
            source: None,
        })
    })
}

/// The moment after this time, which may be as long as anybody likes.
pub(crate) fn later(timeout: Duration) -> Instant {
    const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    let now = Instant::now();
    now.checked_add(timeout.min(FOR_EVER)).unwrap_or(now)
}
