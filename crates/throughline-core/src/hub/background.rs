//! Work that continues after its caller has gone.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// How many sagas of an emitter continue without their callers.
#[derive(Default)]
pub(crate) struct Background {
    sagas: Mutex<usize>,
    none: Condvar,
}

/// One of them, until it is dropped.
pub(crate) struct InBackground(Arc<Background>);

impl Background {
    pub(crate) fn begin(self: &Arc<Self>) -> InBackground {
        *self.sagas() += 1;
        InBackground(Arc::clone(self))
    }

    fn sagas(&self) -> MutexGuard<'_, usize> {
        // No code of others runs under this lock.
        self.sagas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_idle(&self) -> bool {
        *self.sagas() == 0
    }

    /// Blocks this thread until all have ended, but not beyond the deadline.
    pub(crate) fn wait_idle(&self, deadline: Instant) {
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.none.wait_timeout_while(self.sagas(), left, |sagas| *sagas > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for InBackground {
    fn drop(&mut self) {
        *self.0.sagas() -= 1;
        self.0.none.notify_all();
    }
}
