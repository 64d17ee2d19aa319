//! The context of the code that runs on this thread.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::ThreadId;

use super::TraceContext;
use super::span::Span;
use crate::metrics::Exemplar;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Span>>> = const { RefCell::new(None) };
    /// How often this thread began to run code of a span.
    static TURN: Cell<u64> = const { Cell::new(0) };
}

/// One stretch of time in which a thread runs code of spans, as in one poll of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Turn {
    thread: ThreadId,
    n: u64,
}

/// The turn that this thread is in, if it runs code of a span.
pub(super) fn turn() -> Option<Turn> {
    let is_in_one = CURRENT.try_with(|current| current.borrow().is_some()).unwrap_or_default();
    is_in_one.then(last_turn)
}

/// The turn that this thread is in, or was in last.
pub(super) fn last_turn() -> Turn {
    Turn { thread: std::thread::current().id(), n: TURN.get() }
}

/// The current span, if this thread runs code of one.
pub(super) fn current() -> Option<Arc<Span>> {
    // A thread that is ending has no current span.
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// The parent of what is started through `own`: the current span if it descends from it, else `own`.
pub(super) fn parent_for(own: Arc<Span>) -> Arc<Span> {
    let below = CURRENT.try_with(|current| {
        let current = current.borrow();
        let below = |current: &&Arc<Span>| !Arc::ptr_eq(current, &own) && current.descends_from(&own);
        current.as_ref().filter(below).map(Arc::clone)
    });
    below.ok().flatten().unwrap_or(own)
}

/// Makes a span the current one until the guard goes.
pub(super) struct Entered {
    before: Option<Arc<Span>>,
}

impl Entered {
    pub(super) fn new(span: Arc<Span>) -> Self {
        let before = CURRENT.try_with(|current| current.replace(Some(span))).ok().flatten();
        if before.is_none() {
            TURN.set(TURN.get().wrapping_add(1));
        }
        Self { before }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        // What was current is dropped after the borrow has ended.
        let own = CURRENT.try_with(|current| current.replace(before)).ok().flatten();
        drop(own);
    }
}

pin_project_lite::pin_project! {
    /// A future that runs in a context: made by [`InContext::in_context`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct InContextFuture<F> {
        #[pin]
        future: F,
        context: TraceContext,
    }
}

impl<F: Future> Future for InContextFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.context.scope(|| this.future.poll(cx))
    }
}

/// Takes a context along to another task.
pub trait InContext: Future + Sized {
    /// Runs the future in this context: what it starts has the context's span as its parent, wherever it is
    /// polled.
    ///
    /// ```
    /// # use throughline_core::{InContext, TraceContext};
    /// # async fn example(ctx: TraceContext) {
    /// tokio::spawn(async { /* TraceContext::current() is ctx */ }.in_context(&ctx));
    /// # }
    /// ```
    fn in_context(self, context: &TraceContext) -> InContextFuture<Self> {
        InContextFuture { future: self, context: context.clone() }
    }
}

impl<F: Future> InContext for F {}

impl TraceContext {
    /// The context of the step that runs here; `None` outside of every step. It does not follow a spawned task
    /// or thread by itself: see [`InContext::in_context`] and [`scope`](Self::scope).
    pub fn current() -> Option<Self> {
        current().map(Self)
    }

    /// Runs a closure in this context, for threads and `spawn_blocking`.
    pub fn scope<T>(&self, run: impl FnOnce() -> T) -> T {
        let _current = Entered::new(Arc::clone(&self.0));
        let tracing = self.0.tracing();
        let _entered = tracing.as_ref().map(|span| span.enter());
        run()
    }
}

impl Exemplar {
    /// The run that is measured right now on this thread: the [current](TraceContext::current) one, if anything of
    /// it is recorded.
    pub fn current() -> Option<Self> {
        Self::given().or_else(|| {
            let context = TraceContext::current()?;
            context.is_recorded().then(|| Self { trace_id: context.trace_id(), span_id: context.span_id() })
        })
    }
}
