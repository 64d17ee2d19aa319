//! Which entities' work runs on this thread: work that waits for its own entity would wait for ever.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

thread_local! {
    static RUNNING: RefCell<Vec<Mark>> = const { RefCell::new(Vec::new()) };
}

/// Stands for an entity: the address of what it is kept in, which is kept as long as the work runs.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Mark(usize);

impl Mark {
    pub(super) fn of<T>(entity: &T) -> Self {
        Self(std::ptr::from_ref(entity).addr())
    }

    /// Whether this is called by work that belongs to a transition of the entity.
    pub(super) fn is_running(self) -> bool {
        RUNNING.try_with(|running| running.borrow().contains(&self)).unwrap_or(false)
    }
}

pin_project! {
    /// The work of a transition.
    pub(super) struct InWork<F> {
        of: Mark,
        #[pin]
        work: F,
    }
}

impl<F> InWork<F> {
    pub(super) fn new(of: Mark, work: F) -> Self {
        Self { of, work }
    }
}

impl<F: Future> Future for InWork<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = Entered::new(*this.of);
        this.work.poll(cx)
    }
}

struct Entered;

impl Entered {
    fn new(mark: Mark) -> Self {
        // A thread that is ending keeps no list.
        let _ = RUNNING.try_with(|running| running.borrow_mut().push(mark));
        Self
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _ = RUNNING.try_with(|running| running.borrow_mut().pop());
    }
}
