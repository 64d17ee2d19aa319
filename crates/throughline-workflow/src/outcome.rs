//! [`Judged`], a future that says how it ended, however it ended.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use throughline_core::Status;

pin_project! {
    /// Runs a future that may fail, and tells its observer how it ended: with success, with an error or a panic, or
    /// dropped before its end. A future that was never polled has not begun and does not end.
    #[derive(Debug)]
    pub(crate) struct Judged<F, O: Observer> {
        #[pin]
        future: F,
        told: Told<O>,
    }
}

/// Is told how a future ended.
pub(crate) trait Observer {
    /// It is polled for the first time.
    fn begin(&mut self) {}
    /// It ended; called once.
    fn end(&mut self, status: Status);
}

#[derive(Debug)]
struct Told<O: Observer> {
    observer: O,
    begun: bool,
    ended: bool,
}

impl<O: Observer> Told<O> {
    fn end(&mut self, status: Status) {
        if self.begun && !std::mem::replace(&mut self.ended, true) {
            self.observer.end(status);
        }
    }
}

impl<O: Observer> Drop for Told<O> {
    fn drop(&mut self) {
        self.end(Status::Cancelled);
    }
}

impl<F, O: Observer> Judged<F, O> {
    pub(crate) fn new(future: F, observer: O) -> Self {
        Self { future, told: Told { observer, begun: false, ended: false } }
    }
}

impl<F, T, E, O> Future for Judged<F, O>
where
    F: Future<Output = Result<T, E>>,
    O: Observer,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if !std::mem::replace(&mut this.told.begun, true) {
            this.told.observer.begin();
        }
        match catch_unwind(AssertUnwindSafe(|| this.future.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => {
                this.told.end(if result.is_ok() { Status::Success } else { Status::Failed });
                Poll::Ready(result)
            }
            Err(panic) => {
                this.told.end(Status::Failed);
                resume_unwind(panic)
            }
        }
    }
}
