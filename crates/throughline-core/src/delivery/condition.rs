//! [`Condition`], what the answers to its calls say of a destination.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use throughline_model::{AppendError, BoxFuture, ErrorInfo, Text, Timestamp};
use tokio::time::Instant;

use super::LastFailure;

/// How many panics in a row say that a destination is broken.
const PANICS_IN_A_ROW: u32 = 3;
/// How long a destination that panicked so often counts as broken, unless it does so again: if it counted as broken until
/// it takes something, a service that gets no traffic because of that would never find out that it works again.
const BROKEN_BY_PANICS_FOR: Duration = Duration::from_secs(30);

/// How often a destination panicked, and whether it is broken.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    panics: AtomicU64,
    panics_in_a_row: AtomicU32,
    is_broken: AtomicBool,
    why: Mutex<Option<Broken>>,
    last_failure: Mutex<Option<LastFailure>>,
}

#[derive(Debug)]
struct Broken {
    reason: Text,
    /// Until when it counts as such; `None` until it takes something.
    until: Option<Instant>,
}

impl Condition {
    /// A call of other people's code: its panic is an error like any other, and the thread that delivers lives on.
    pub(crate) async fn guard<'a, T>(
        &self,
        call: impl FnOnce() -> BoxFuture<'a, Result<T, AppendError>>,
    ) -> Result<T, AppendError> {
        match guarded(call).await {
            Ok(answer) => answer,
            Err(panic) => {
                self.panics.fetch_add(1, Ordering::Relaxed);
                Err(AppendError::Unavailable { reason: panic, retry_after: None, source: None })
            }
        }
    }

    /// The same for a call that hands over events: what it answers says whether the destination is broken. One that keeps
    /// panicking is, so another attempt is of no use.
    pub(crate) async fn deliver<'a>(
        &self,
        call: impl FnOnce() -> BoxFuture<'a, Result<(), AppendError>>,
    ) -> Result<(), AppendError> {
        match guarded(call).await {
            Ok(Ok(())) => {
                self.went_well();
                Ok(())
            }
            Ok(Err(error)) => {
                self.failed(&error.to_string());
                self.panics_in_a_row.store(0, Ordering::Relaxed);
                if let AppendError::Broken { reason, .. } = &error {
                    self.set_broken(Broken { reason: reason.clone().into(), until: None });
                }
                Err(error)
            }
            Err(panic) => match self.panicked(&panic) {
                true => Err(AppendError::Broken { reason: panic, source: None }),
                false => Err(AppendError::Unavailable { reason: panic, retry_after: None, source: None }),
            },
        }
    }

    /// It took what it was given.
    #[inline]
    pub(crate) fn went_well(&self) {
        if self.panics_in_a_row.load(Ordering::Relaxed) > 0 {
            self.panics_in_a_row.store(0, Ordering::Relaxed);
        }
        if self.is_broken.load(Ordering::Relaxed) {
            self.is_broken.store(false, Ordering::Relaxed);
            *self.why() = None;
        }
    }

    /// It panicked; answers whether it has done so too often by now.
    pub(crate) fn panicked(&self, reason: &str) -> bool {
        self.failed(reason);
        self.panics.fetch_add(1, Ordering::Relaxed);
        let in_a_row = self.panics_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let is_broken = in_a_row >= PANICS_IN_A_ROW;
        if is_broken {
            let reason = format!("{reason} ({in_a_row} times in a row)").into();
            self.set_broken(Broken { reason, until: Some(Instant::now() + BROKEN_BY_PANICS_FOR) });
        }
        is_broken
    }

    fn failed(&self, reason: &str) {
        let failure = LastFailure { at: Timestamp::now(), reason: reason.to_owned().into() };
        *self.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    /// When it did not take what it was given the last time.
    pub(crate) fn last_failure(&self) -> Option<LastFailure> {
        self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_broken(&self, broken: Broken) {
        *self.why() = Some(broken);
        self.is_broken.store(true, Ordering::Relaxed);
    }

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Why it is broken, if it is.
    pub(crate) fn broken(&self) -> Option<Text> {
        let why = self.why();
        let broken = why.as_ref().filter(|broken| broken.until.is_none_or(|until| Instant::now() < until));
        broken.map(|broken| broken.reason.clone())
    }

    fn why(&self) -> MutexGuard<'_, Option<Broken>> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a panic says of itself.
pub(crate) fn describe_panic(panic: &(dyn std::any::Any + Send)) -> String {
    format!("it panicked: {}", ErrorInfo::of_panic(panic).message)
}

async fn guarded<'a, T>(
    call: impl FnOnce() -> BoxFuture<'a, Result<T, AppendError>>,
) -> Result<Result<T, AppendError>, String> {
    let answer = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(future) => AssertUnwindSafe(future).catch_unwind().await,
        Err(panic) => Err(panic),
    };
    answer.map_err(|panic| describe_panic(&*panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn call(condition: &Condition, answer: Option<Result<(), AppendError>>) -> Result<(), AppendError> {
        let call = async { answer.unwrap_or_else(|| std::panic::resume_unwind(Box::new("ouch"))) };
        condition.deliver(|| Box::pin(call)).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_keeps_panicking_is_broken_until_it_works_or_is_due_for_another_try() {
        let condition = Condition::default();
        for panics in 1..PANICS_IN_A_ROW {
            assert!(call(&condition, None).await.unwrap_err().is_retryable());
            assert_eq!((condition.panics(), condition.broken()), (u64::from(panics), None));
        }
        assert!(matches!(call(&condition, None).await, Err(AppendError::Broken { .. })));
        assert_eq!(condition.broken().as_deref(), Some("it panicked: ouch (3 times in a row)"));
        tokio::time::advance(BROKEN_BY_PANICS_FOR).await;
        assert_eq!(condition.broken(), None);
        assert!(matches!(call(&condition, None).await, Err(AppendError::Broken { .. })));
        assert!(condition.broken().is_some());
        call(&condition, Some(Ok(()))).await.unwrap();
        assert_eq!((condition.panics(), condition.broken()), (4, None));
        assert!(call(&condition, None).await.unwrap_err().is_retryable());
    }

    #[tokio::test(start_paused = true)]
    async fn what_says_that_it_is_broken_is_so_until_it_works() {
        let condition = Condition::default();
        let gone = AppendError::Broken { reason: "its file is gone".to_owned(), source: None };
        call(&condition, Some(Err(gone))).await.unwrap_err();
        tokio::time::advance(BROKEN_BY_PANICS_FOR * 100).await;
        assert_eq!(condition.broken().as_deref(), Some("its file is gone"));
        call(&condition, Some(Ok(()))).await.unwrap();
        assert_eq!(condition.broken(), None);
        let last = condition.last_failure().unwrap();
        assert!(last.reason.contains("its file is gone") && last.at <= Timestamp::now(), "{last:?}");
    }
}
