//! Delivery: from the code that emits to stores, feeds and sinks.
//!
//! Each store and each feed has a thread and a current-thread tokio runtime of its own, so that nothing depends
//! on the runtime of the caller and a shutdown cannot deadlock with it. Emitting code talks to that thread
//! through a bounded [`queue::Queue`]. A store that can append without waiting does so on the emitting thread instead,
//! while nothing waits in its queue: see [`AppendInline`](crate::AppendInline).

mod calls;
mod condition;
mod durability;
mod feed;
mod group;
mod late;
mod lease;
mod locks;
mod outbox;
pub(crate) mod queue;
mod report;
mod retry;
mod store;
mod thread;
mod when_full;
mod worker;

use std::time::{Duration, Instant};

use throughline_model::{AppendError, OpenError};

pub(crate) use calls::Calls;
pub(crate) use condition::{Condition, describe_panic};
pub use durability::Durability;
pub(crate) use feed::FeedDelivery;
pub(crate) use queue::Stop;
pub(crate) use report::Counters;
pub use report::{DeliveryReport, DestinationKind, DestinationReport, LastFailure, QueueReport};
pub use retry::Retry;
pub(crate) use store::{NoRoom, Room, StoreDelivery};
pub(crate) use thread::{on_helper_thread, timer};
pub(crate) use throughline_model::DropReason;
pub use when_full::WhenFull;

/// The error of what took too long to be opened.
pub(crate) fn not_opened_in(limit: Duration, store: &'static str) -> OpenError {
    OpenError::Unavailable {
        store,
        reason: format!(
            "it could not be opened within {limit:?}; if it is reached and takes longer, as for a migration, raise open_timeout"
        ),
        source: None,
    }
}

/// Why a store did not accept an event.
#[derive(Debug, thiserror::Error)]
#[error("the store `{store}` did not accept it after {attempts} attempt(s): {error}")]
pub(crate) struct DeliveryFailure {
    pub(crate) store: String,
    pub(crate) attempts: u32,
    #[source]
    pub(crate) error: AppendError,
}

/// Longer than anybody waits, and short enough to be added to any moment.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The moment after this time, which may be as long as anybody likes.
pub(crate) fn later(timeout: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(timeout.min(FOR_EVER)).unwrap_or(now)
}

/// The same by the clock of this thread's runtime, which a test may stop.
pub(crate) fn later_here(timeout: Duration) -> tokio::time::Instant {
    let now = tokio::time::Instant::now();
    now.checked_add(timeout.min(FOR_EVER)).unwrap_or(now)
}
