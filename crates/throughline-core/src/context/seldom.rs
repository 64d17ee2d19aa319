//! [`Seldom`], for what most spans have no use for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Something behind a lock that is seldom touched: to find out that it was not takes no lock.
#[derive(Default)]
pub(crate) struct Seldom<T> {
    touched: AtomicBool,
    value: Mutex<T>,
}

impl<T> Seldom<T> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.touched.store(true, Ordering::Relaxed);
        self.guard()
    }

    /// What is in there, unless it is still what it was at first.
    #[inline]
    pub(crate) fn if_touched(&self) -> Option<MutexGuard<'_, T>> {
        self.touched.load(Ordering::Relaxed).then(|| self.guard())
    }

    fn guard(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
