//! Delivery: from the code that emits to stores, feeds and sinks.
//!
//! Each store and each feed has a thread and a current-thread tokio runtime of its own, so that nothing depends
//! on the runtime of the caller and a shutdown cannot deadlock with it. Emitting code talks to that thread
//! through a bounded [`queue::Queue`]. A store that can append without waiting does so on the emitting thread instead,
//! while nothing waits in its queue: see [`AppendInline`](crate::AppendInline).

mod feed;
mod ledger;
pub(crate) mod queue;
mod retry;
mod store;

use std::time::{Duration, Instant};

pub(crate) use feed::FeedDelivery;
pub(crate) use ledger::Counters;
pub use ledger::{Account, DeliveryReport, DropReason};
pub use retry::Retry;
pub(crate) use store::StoreDelivery;

use crate::{AppendError, OpenError};

/// Why a store did not take an event.
#[derive(Debug, thiserror::Error)]
#[error("the store `{store}` did not record it after {attempts} attempt(s): {error}")]
pub(crate) struct DeliveryFailure {
    pub(crate) store: String,
    pub(crate) attempts: u32,
    #[source]
    pub(crate) error: AppendError,
}

/// Starts a thread that opens something on a runtime of its own, waits until it is open, and goes on with it.
fn start<T, R>(
    name: &'static str,
    open: impl FnOnce() -> crate::BoxFuture<'static, Result<T, OpenError>> + Send + 'static,
    opened: impl FnOnce(&T) -> R + Send + 'static,
    run: impl FnOnce(T, &tokio::runtime::Runtime) + Send + 'static,
) -> Result<R, OpenError>
where
    R: Send + 'static,
{
    let unusable = move |source: std::io::Error| OpenError::Unusable {
        store: name,
        reason: "its delivery thread could not be started".to_owned(),
        source: Some(Box::new(source)),
    };
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = tell.send(Err(unusable(error)));
                    return;
                }
            };
            match runtime.block_on(open()) {
                Ok(destination) => {
                    if tell.send(Ok(opened(&destination))).is_ok() {
                        run(destination, &runtime);
                    }
                }
                Err(error) => {
                    let _ = tell.send(Err(error));
                }
            }
        })
        .map_err(unusable)?;
    told.recv().unwrap_or_else(|_| {
        Err(OpenError::Unusable {
            store: name,
            reason: "it panicked while it was opened".to_owned(),
            source: None,
        })
    })
}

/// Blocks on something elsewhere and completes when that is done: the caller's runtime may have no timer.
pub(crate) async fn on_helper_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("throughline-wait".to_owned())
        .spawn(move || {
            let _ = tell.send(work());
        })
        .ok()?;
    told.await.ok()
}

/// A wait that ends early when the queue is asked to stop before.
fn until(delay: Duration, stop_by: Option<Instant>) -> Instant {
    let wanted = Instant::now() + delay;
    stop_by.map_or(wanted, |stop_by| wanted.min(stop_by))
}
