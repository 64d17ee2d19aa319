//! Threads with a runtime of their own, on which stores and feeds live.

use std::time::Duration;

use futures_timer::Delay;
use throughline_model::{BoxFuture, OpenError};
use tokio::sync::oneshot;

use super::FOR_EVER;
#[cfg(test)]
use crate::simulation;

/// Keeps the runtime of a thread running until it is dropped.
pub(crate) struct KeepAlive(#[expect(dead_code, reason = "held for what its drop does")] oneshot::Sender<()>);

/// Starts a thread that opens something on a runtime of its own, waits until it is open, and runs it. When that ends,
/// the runtime keeps running what was spawned on it for as long as the [`KeepAlive`] is held.
pub(super) fn start<T, R>(
    name: &'static str,
    open: impl FnOnce() -> BoxFuture<'static, Result<T, OpenError>> + Send + 'static,
    opened: impl FnOnce(&T) -> R + Send + 'static,
    run: impl FnOnce(T) -> BoxFuture<'static, ()> + Send + 'static,
) -> Result<(R, KeepAlive), OpenError>
where
    R: Send + 'static,
{
    #[cfg(test)]
    if simulation::is_on() {
        let (keep_alive, _) = oneshot::channel();
        return simulation::start(open, opened, run).map(|opened| (opened, KeepAlive(keep_alive)));
    }
    let unusable = move |source: std::io::Error| OpenError::Unusable {
        store: name,
        reason: "its delivery thread could not be started".to_owned(),
        source: Some(Box::new(source)),
    };
    let (tx, rx) = std::sync::mpsc::sync_channel(1);
    let (keep_alive, dropped) = oneshot::channel();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = tx.send(Err(unusable(error)));
                    return;
                }
            };
            match runtime.block_on(open()) {
                Ok(destination) => {
                    if tx.send(Ok(opened(&destination))).is_ok() {
                        runtime.block_on(run(destination));
                        // An error says that the sender was dropped, which is what is waited for.
                        let _ = runtime.block_on(dropped);
                    }
                }
                Err(error) => {
                    let _ = tx.send(Err(error));
                }
            }
        })
        .map_err(unusable)?;
    let opened = rx.recv().unwrap_or_else(|_| {
        Err(OpenError::Unusable {
            store: name,
            reason: "it panicked while it was opened".to_owned(),
            source: None,
        })
    })?;
    Ok((opened, KeepAlive(keep_alive)))
}

/// Blocks on something elsewhere and completes when that is done: the caller's runtime may have no timer.
pub(crate) async fn on_helper_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (tx, rx) = oneshot::channel();
    std::thread::Builder::new()
        .name("throughline-wait".to_owned())
        .spawn(move || {
            // A caller that no longer waits ignores this.
            let _ = tx.send(work());
        })
        .ok()?;
    rx.await.ok()
}

/// Completes after this time, on whatever runtime the caller has.
pub(crate) fn timer(time: Duration) -> BoxFuture<'static, ()> {
    #[cfg(test)]
    if simulation::is_on() {
        return Box::pin(tokio::time::sleep(time));
    }
    Box::pin(Delay::new(time.min(FOR_EVER)))
}
