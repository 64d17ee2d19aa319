//! [`Observed`], a future that reports how it ended.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use throughline_core::Status;

pin_project! {
    /// Runs a future that may fail, and reports to its observer how it ended: with success, with an error or a panic, or
    /// dropped before its end. A future that was never polled has not started and does not end.
    #[derive(Debug)]
    pub(crate) struct Observed<F, O: Observer> {
        #[pin]
        future: F,
        progress: Progress<O>,
    }
}

/// Learns how a future ended.
pub(crate) trait Observer {
    /// It is polled for the first time.
    fn begin(&mut self) {}
    /// It ended; called once.
    fn end(&mut self, status: Status);
}

#[derive(Debug)]
struct Progress<O: Observer> {
    observer: O,
    started: bool,
    ended: bool,
}

impl<O: Observer> Progress<O> {
    fn end(&mut self, status: Status) {
        if self.started && !std::mem::replace(&mut self.ended, true) {
            self.observer.end(status);
        }
    }
}

impl<O: Observer> Drop for Progress<O> {
    fn drop(&mut self) {
        self.end(Status::Cancelled);
    }
}

impl<F, O: Observer> Observed<F, O> {
    pub(crate) fn new(future: F, observer: O) -> Self {
        Self { future, progress: Progress { observer, started: false, ended: false } }
    }
}

impl<F, T, E, O> Future for Observed<F, O>
where
    F: Future<Output = Result<T, E>>,
    O: Observer,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if !std::mem::replace(&mut this.progress.started, true) {
            this.progress.observer.begin();
        }
        match catch_unwind(AssertUnwindSafe(|| this.future.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => {
                this.progress.end(if result.is_ok() { Status::Success } else { Status::Failed });
                Poll::Ready(result)
            }
            Err(panic) => {
                this.progress.end(Status::Failed);
                resume_unwind(panic)
            }
        }
    }
}
