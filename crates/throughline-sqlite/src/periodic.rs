//! [`Periodic`], a thread of an open store that does something again and again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use throughline_model::OpenError;

use crate::error::STORE;

/// A thread that works until this is dropped.
#[derive(Debug)]
pub(crate) struct Periodic {
    ended: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Periodic {
    /// Starts a thread that works at once, and again after the pause that the work answers; after this one, if it panicked.
    pub(crate) fn start(
        name: &'static str,
        after_a_panic: Duration,
        mut work: impl FnMut() -> Duration + Send + 'static,
    ) -> Result<Self, OpenError> {
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let signal = Arc::clone(&ended);
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let mut pause = Duration::ZERO;
                while !wait(&signal, pause) {
                    // The panic hook has reported it.
                    pause = catch_unwind(AssertUnwindSafe(&mut work)).unwrap_or(after_a_panic);
                }
            })
            .map_err(|error| OpenError::Unavailable {
                store: STORE,
                reason: format!("the operating system can't start the thread `{name}`"),
                source: Some(error.into()),
            })?;
        Ok(Self { ended, thread: Some(thread) })
    }
}

impl Drop for Periodic {
    fn drop(&mut self) {
        *self.ended.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ended.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // It catches its panics.
            let _ = thread.join();
        }
    }
}

/// Waits that long, or until the end; returns whether the end has come.
fn wait(signal: &(Mutex<bool>, Condvar), pause: Duration) -> bool {
    let ended = signal.0.lock().unwrap_or_else(PoisonError::into_inner);
    let (ended, _) =
        signal.1.wait_timeout_while(ended, pause, |ended| !*ended).unwrap_or_else(PoisonError::into_inner);
    *ended
}
