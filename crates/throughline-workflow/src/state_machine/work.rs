//! Which entities' work runs on this thread: work that waits for its own entity would wait for ever.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::sync::Mutex;

thread_local! {
    /// The addresses of their locks, which are held and so stay where they are.
    static RUNNING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Whether this is called by the work of a transition that holds the lock.
pub(super) fn is_running(order: &Mutex<()>) -> bool {
    RUNNING.try_with(|running| running.borrow().contains(&ptr::from_ref(order).addr())).unwrap_or(false)
}

pin_project! {
    /// The work of a transition that holds the lock.
    pub(super) struct InWork<'a, F> {
        order: &'a Mutex<()>,
        #[pin]
        work: F,
    }
}

impl<'a, F> InWork<'a, F> {
    pub(super) fn new(order: &'a Mutex<()>, work: F) -> Self {
        Self { order, work }
    }
}

impl<F: Future> Future for InWork<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = Entered::new(ptr::from_ref(*this.order).addr());
        this.work.poll(cx)
    }
}

struct Entered;

impl Entered {
    fn new(order: usize) -> Self {
        // A thread that is ending keeps no list.
        let _ = RUNNING.try_with(|running| running.borrow_mut().push(order));
        Self
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _ = RUNNING.try_with(|running| running.borrow_mut().pop());
    }
}
