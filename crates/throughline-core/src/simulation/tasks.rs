//! The delivery threads of a simulated process, as tasks of the simulation's own runtime.

use std::cell::RefCell;

use futures_util::FutureExt as _;
use throughline_model::{BoxFuture, OpenError};
use tokio::task::JoinHandle;

thread_local! {
    static STARTED: RefCell<Option<Vec<JoinHandle<()>>>> = const { RefCell::new(None) };
}

/// Whether this thread simulates.
pub(crate) fn is_on() -> bool {
    STARTED.with_borrow(Option::is_some)
}

/// Opens a destination and starts its task.
pub(crate) fn start<T, R>(
    open: impl FnOnce() -> BoxFuture<'static, Result<T, OpenError>>,
    opened: impl FnOnce(&T) -> R,
    run: impl FnOnce(T) -> BoxFuture<'static, ()>,
) -> Result<R, OpenError> {
    let destination = open().now_or_never().expect("what is simulated opens at once")?;
    let told = opened(&destination);
    let task = tokio::spawn(run(destination));
    STARTED.with_borrow_mut(|started| started.as_mut().expect("a simulation").push(task));
    Ok(told)
}

/// Lets this thread simulate until it is dropped.
pub(super) struct Simulating(());

impl Simulating {
    pub(super) fn begin() -> Self {
        STARTED.set(Some(Vec::new()));
        Self(())
    }
}

impl Drop for Simulating {
    fn drop(&mut self) {
        STARTED.set(None);
    }
}

/// The tasks of what has been built since this was asked last.
pub(super) fn started() -> Vec<JoinHandle<()>> {
    STARTED.with_borrow_mut(|started| started.as_mut().map(std::mem::take)).unwrap_or_default()
}
