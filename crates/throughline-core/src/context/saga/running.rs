//! [`SagaRun`], the life of a saga.

use std::any::Any;
use std::error::Error;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use tokio::runtime::Handle;

use super::compensate::Compensating;
use super::{OnCancel, Saga, SagaFailed};
use crate::context::future::resume_panic_of_drop;

pin_project! {
    /// A saga: it runs the closure's future and, if that fails, the compensations. If it is dropped before it ended, what is
    /// left of that continues without it.
    pub(super) struct SagaRun<F, E> {
        #[pin]
        body: Option<F>,
        saga: Saga,
        on_cancel: OnCancel,
        // Where it continues.
        runtime: Option<Handle>,
        as_error: fn(&E) -> Option<&(dyn Error + 'static)>,
        undoing: Option<Undoing<E>>,
        has_ended: bool,
    }

    impl<F, E> PinnedDrop for SagaRun<F, E> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if *this.has_ended {
                return;
            }
            // Its steps are cancelled first.
            let dropped = catch_unwind(AssertUnwindSafe(|| this.body.set(None)));
            let undoing = this.undoing.take().map(|undoing| undoing.compensating);
            this.saga.continue_without_caller(undoing, *this.on_cancel, this.runtime.take());
            resume_panic_of_drop(dropped);
        }
    }
}

struct Undoing<E> {
    compensating: Compensating,
    cause: Cause<E>,
}

/// Why a saga is undone.
enum Cause<E> {
    Error(E),
    Panic(Box<dyn Any + Send>),
}

impl<F, E> SagaRun<F, E> {
    pub(super) fn new(
        body: F,
        saga: Saga,
        on_cancel: OnCancel,
        as_error: fn(&E) -> Option<&(dyn Error + 'static)>,
    ) -> Self {
        let runtime = Handle::try_current().ok();
        Self { body: Some(body), saga, on_cancel, runtime, as_error, undoing: None, has_ended: false }
    }
}

impl<F, T, E> Future for SagaRun<F, E>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<T, SagaFailed<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(body) = this.body.as_mut().as_pin_mut() {
            let polled = match catch_unwind(AssertUnwindSafe(|| body.poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(outcome)) => Ok(outcome),
                Err(panic) => Err(panic),
            };
            // What the future still holds belongs to its steps.
            let dropped = catch_unwind(AssertUnwindSafe(|| this.body.set(None)));
            let cause = match (polled, dropped) {
                (Ok(Ok(value)), Ok(())) => {
                    *this.has_ended = true;
                    return Poll::Ready(Ok(value));
                }
                (Ok(Err(error)), Ok(())) => Cause::Error(error),
                (Err(panic), _) | (Ok(_), Err(panic)) => Cause::Panic(panic),
            };
            *this.undoing = Some(Undoing { compensating: this.saga.compensate_all(), cause });
        }
        let Some(undoing) = this.undoing else { return Poll::Pending };
        let compensations = ready!(undoing.compensating.as_mut().poll(cx));
        *this.has_ended = true;
        match this.undoing.take().map(|undoing| undoing.cause) {
            Some(Cause::Error(error)) => {
                Poll::Ready(Err(SagaFailed { error, compensations, as_error: *this.as_error }))
            }
            Some(Cause::Panic(panic)) => resume_unwind(panic),
            None => Poll::Pending,
        }
    }
}
