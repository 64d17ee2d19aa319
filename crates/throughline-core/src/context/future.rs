//! [`TraceFuture`], the life of a step.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;
use serde_json::{Map, Value};

use super::current::Entered;
use super::failure::NotRecorded;
use super::failures::{Caught, Identity, Place};
use super::keyed::RunClaims;
use super::span::{End, Span};
use super::spec::{SpanSpec, StartedSpan};
use super::{TraceContext, cancellation};
use crate::delivery::Durability;
use crate::delivery::queue::{Ack, Dependency};
use crate::hub::Emitted;
use crate::panics::{RecordedPanic, catch_recorded, describe_panic};
use throughline_model::{BoxFuture, InstanceId, Status, names};

pin_project! {
    /// A step: it records its start, runs the future, and records its end. Returned by
    /// [`TraceContext::trace`] and similar methods; lazy, like every future.
    ///
    /// Completes with `Ok` and the future's own output, or with [`NotRecorded`] if its start could not be
    /// recorded, in which case the future was not polled. If it is dropped before it completes, it records `cancelled`; a
    /// panic is recorded as failed and then resumed.
    ///
    /// `T` is the future's output. It is a parameter of its own because with `F::Output` the compiler cannot prove that a
    /// task is `Send` if it holds a step whose closure borrows
    /// ([rust#110338](https://github.com/rust-lang/rust/issues/110338)).
    #[must_use = "a step does nothing unless it is awaited"]
    pub struct TraceFuture<F, T> {
        #[pin]
        future: Option<F>,
        capture: Capture<T>,
        state: State<T>,
    }

    impl<F, T> PinnedDrop for TraceFuture<F, T> {
        fn drop(this: Pin<&mut Self>) {
            // As little as possible where nothing is recorded.
            if let State::Running { .. } | State::Starting { .. } = this.state {
                this.cancel();
            }
        }
    }
}

/// What an output says about the step.
pub(super) struct Capture<T> {
    pub(super) error: fn(&T) -> Option<Caught>,
    pub(super) output: fn(&T) -> Option<Map<String, Value>>,
}

impl<T> Capture<T> {
    /// The output of a future that cannot fail.
    pub(super) const INFALLIBLE: Self = Self { error: |_| None, output: |_| None };

    fn end(&self, output: &T) -> End {
        let (error, identity) = (self.error)(output)
            .map_or((None, Identity::UNKNOWN), |caught| (Some(caught.info), caught.identity));
        let status = if error.is_some() { Status::Failed } else { Status::Success };
        End { status, error, identity, output: (self.output)(output) }
    }
}

// With a tag of its own: whether anything is recorded is asked three times in the life of a step that is not, and a tag
// hidden in some field costs more to read. As wide as what is behind it: behind a narrow one the compiler copies the rest in
// pieces that overlap, for which a processor has to wait.
#[repr(u64)]
enum State<T> {
    /// Nothing is recorded.
    Off,
    New(SpanSpec),
    /// Finds out whether the run may start and what ran before it, or waits for a place in the queue.
    Waiting(BoxFuture<'static, Result<SpanSpec, NotRecorded>>),
    /// The store has the start and has not said so yet.
    Starting {
        span: Arc<Span>,
        tracing: Option<Arc<tracing::Span>>,
        ack: Ack,
        /// Held for as long as the run is at work.
        claims: Option<Box<RunClaims>>,
    },
    Running {
        span: Arc<Span>,
        tracing: Option<Arc<tracing::Span>>,
        start: Option<Ack>,
        claims: Option<Box<RunClaims>>,
    },
    /// The store has the end and has not said so yet.
    Ending {
        outcome: Outcome<T>,
        start: Option<Ack>,
        end: Option<Ack>,
        #[expect(dead_code, reason = "held for what its drop does")]
        claims: Option<Box<RunClaims>>,
    },
    Done,
}

enum Outcome<T> {
    Output(T),
    /// In a box, so that futures that do not panic are no larger for it.
    Panic(Box<RecordedPanic>),
}

impl<F: Future<Output = T>, T> TraceFuture<F, T> {
    #[inline]
    pub(super) fn new(
        recording: bool,
        future: F,
        capture: Capture<T>,
        spec: impl FnOnce() -> SpanSpec,
    ) -> Self {
        let state = if recording { State::New(spec()) } else { State::Off };
        Self { future: Some(future), capture, state }
    }
}

impl<F, T> TraceFuture<F, T> {
    /// Ends the step before its future has completed.
    // Not a part of every drop: most futures have completed by then.
    #[inline(never)]
    fn cancel(self: Pin<&mut Self>) {
        let mut this = self.project();
        // The claims are given back once the end is on its way.
        let (open, start, _claims) = match std::mem::replace(this.state, State::Done) {
            State::Starting { span, ack, claims, .. } => (span, Some(ack), claims),
            State::Running { span, start, claims, .. } => (span, start, claims),
            _ => return,
        };
        let reason = cancellation::reason(&open);
        // What runs inside is cancelled first, in the context of this span and for the same reason.
        let entered = Entered::new(Arc::clone(&open));
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            cancellation::while_dropping(reason.clone(), || this.future.set(None));
        }));
        drop(entered);
        open.end_unawaited(End::cancelled(reason), start.map(Dependency::Start));
        resume_panic_of_drop(dropped);
    }
}

impl<F: Future<Output = T>, T> Future for TraceFuture<F, T> {
    type Output = Result<T, NotRecorded>;

    // Next to nothing where nothing is recorded: all else is in `poll_recorded`.
    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !matches!(self.state, State::Off) {
            return self.poll_recorded(cx);
        }
        match self.project().future.as_pin_mut() {
            Some(future) => future.poll(cx).map(Ok),
            None => Poll::Pending,
        }
    }
}

impl<F: Future<Output = T>, T> TraceFuture<F, T> {
    fn poll_recorded(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, NotRecorded>> {
        let place = Place::of(&*self, cx.waker());
        let mut this = self.project();
        loop {
            match this.state {
                State::New(_) => {
                    let State::New(spec) = std::mem::replace(this.state, State::Done) else { continue };
                    *this.state = match reserve(spec) {
                        Ok(spec) => start(spec, place.clone())?,
                        Err(waiting) => State::Waiting(waiting),
                    };
                }
                State::Waiting(waiting) => {
                    let spec = ready!(waiting.as_mut().poll(cx));
                    *this.state = State::Done;
                    *this.state = start(spec?, place.clone())?;
                }
                State::Starting { ack, .. } => {
                    let recorded = ready!(Pin::new(ack).poll(cx));
                    let state = std::mem::replace(this.state, State::Done);
                    let State::Starting { span, tracing, claims, .. } = state else { continue };
                    if let Err(cause) = recorded_or_why(recorded) {
                        this.future.set(None);
                        // Those who saw it start see it end.
                        span.end_in_process();
                        return Poll::Ready(Err(cause));
                    }
                    span.tell_caller();
                    *this.state = State::Running { span, tracing, start: None, claims };
                }
                State::Running { span, tracing, start, claims } => {
                    let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Pending };
                    let entered = Entered::new(Arc::clone(span));
                    let polled = {
                        let _entered = tracing.as_ref().map(|span| span.enter());
                        catch_recorded(|| future.poll(cx))
                    };
                    let (outcome, end) = match polled {
                        Ok(Poll::Pending) => return Poll::Pending,
                        Ok(Poll::Ready(output)) => {
                            let end = this.capture.end(&output);
                            (Outcome::Output(output), end)
                        }
                        Err(panic) => {
                            let end = End::failed(describe_panic(&*panic));
                            let by = (span.run.trace_id, span.id);
                            (Outcome::Panic(Box::new(RecordedPanic { payload: panic, by })), end)
                        }
                    };
                    // What the future still holds belongs to the step.
                    this.future.set(None);
                    drop(entered);
                    if let Some(tracing) = tracing {
                        tracing.record("status", end.status.as_str());
                    }
                    let emitted = span.end_step(end);
                    let (start, claims) = (start.take(), claims.take());
                    *this.state = match (emitted, start) {
                        (Emitted::Awaiting(end), start) => {
                            State::Ending { outcome, start, end: Some(end), claims }
                        }
                        (_, Some(start)) => State::Ending { outcome, start: Some(start), end: None, claims },
                        (_, None) => {
                            *this.state = State::Done;
                            return Poll::Ready(Ok(finish(outcome)));
                        }
                    };
                }
                State::Ending { start, end, .. } => {
                    // A failure to record the end leaves it pending: the outcome is the caller's anyway.
                    if let Some(ack) = end {
                        let _ = ready!(Pin::new(ack).poll(cx));
                        *end = None;
                    }
                    let recorded = match start {
                        Some(ack) => recorded_or_why(ready!(Pin::new(ack).poll(cx))),
                        None => Ok(()),
                    };
                    let State::Ending { outcome, .. } = std::mem::replace(this.state, State::Done) else {
                        continue;
                    };
                    return Poll::Ready(match (outcome, recorded) {
                        (Outcome::Output(_), Err(cause)) => Err(cause),
                        (outcome, _) => Ok(finish(outcome)),
                    });
                }
                // Polled again after it was ready: never wakes, as a fused future would.
                State::Off | State::Done => return Poll::Pending,
            }
        }
    }
}

/// Resumes a panic that happened in a drop, unless this thread is panicking already: that would abort the process.
pub(super) fn resume_panic_of_drop(dropped: std::thread::Result<()>) {
    if let Err(panic) = dropped
        && !std::thread::panicking()
    {
        resume_unwind(panic);
    }
}

fn finish<T>(outcome: Outcome<T>) -> T {
    match outcome {
        Outcome::Output(output) => output,
        Outcome::Panic(panic) => panic.resume(),
    }
}

/// A saga that no future of its own runs. If it is dropped before it ended, it says that nobody works on it any more: it can
/// be undone by others then, although this process lives.
pub(super) struct Held {
    span: Arc<Span>,
    has_ended: bool,
}

impl Held {
    pub(super) fn new(span: Arc<Span>) -> Self {
        Self { span, has_ended: false }
    }

    pub(super) fn span(&self) -> &Arc<Span> {
        &self.span
    }

    /// Ends it, and waits until that is recorded, or it is known that it will not be.
    pub(super) async fn finish(mut self, end: End) {
        self.has_ended = true;
        finish_span(&self.span, end).await;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.has_ended {
            self.span.stay_open(names::SAGA_LEFT_OPEN, Some(InstanceId::NOBODY));
        }
    }
}

/// Begins a saga that no future of its own runs, and waits until its start is recorded.
pub(super) async fn begin_span(spec: SpanSpec) -> Result<Held, NotRecorded> {
    let spec = match reserve(spec) {
        Ok(spec) => spec,
        Err(waiting) => waiting.await?,
    };
    match start::<()>(spec, Place::default())? {
        State::Starting { span, ack, .. } => {
            let mut held = Held::new(span);
            match recorded_or_why(ack.await) {
                Ok(()) => Ok(held),
                Err(cause) => {
                    held.has_ended = true;
                    held.span.end_in_process();
                    Err(cause)
                }
            }
        }
        State::Running { span, .. } => Ok(Held::new(span)),
        _ => Err(NotRecorded::ShutDown),
    }
}

/// Ends a span that no future runs in, and waits until its end is recorded, or it is known that it will not be.
pub(super) async fn finish_span(span: &Span, end: End) {
    if !span.recording {
        return;
    }
    if let Emitted::Awaiting(ack) = span.end(end) {
        // It stays pending otherwise, and the ledger counts it.
        let _ = ack.await;
    }
}

/// Takes a place for the start in the store's queue, or says how to wait until the span may start.
fn reserve(spec: SpanSpec) -> Result<SpanSpec, BoxFuture<'static, Result<SpanSpec, NotRecorded>>> {
    match spec {
        SpanSpec::Run(run) if run.is_to_be_prepared() => Err(Box::pin(async {
            let spec = SpanSpec::Run(run.prepare().await?);
            reserve_in_turn(spec).await
        })),
        spec => match &spec.hub().store {
            Some(store) if !store.queue.try_reserve() => Err(Box::pin(reserve_in_turn(spec))),
            _ => Ok(spec),
        },
    }
}

async fn reserve_in_turn(spec: SpanSpec) -> Result<SpanSpec, NotRecorded> {
    if let Some(store) = &spec.hub().store {
        store.reserve().await?;
    }
    Ok(spec)
}

/// Opens the span and emits its start; its place is held.
fn start<T>(mut spec: SpanSpec, place: Place) -> Result<State<T>, NotRecorded> {
    let claims = match &mut spec {
        SpanSpec::Run(run) => run.claims.take(),
        SpanSpec::Step { .. } => None,
    };
    let StartedSpan { span, input, links } = spec.open(place);
    let tracing = span.open_tracing();
    let root = span.ensure_root();
    let emitted = span.emit_start(input, links, root);
    Ok(match emitted {
        Emitted::NotAwaited => {
            span.tell_caller();
            State::Running { span, tracing, start: None, claims }
        }
        Emitted::Awaiting(ack) if span.run.hub.durability == Durability::Pipelined => {
            span.tell_caller();
            State::Running { span, tracing, start: Some(ack), claims }
        }
        Emitted::Awaiting(ack) => State::Starting { span, tracing, ack, claims },
        Emitted::Closed => {
            span.end_in_process();
            return Err(NotRecorded::ShutDown);
        }
    })
}

/// What the store said of an event.
pub(crate) fn recorded_or_why(
    said: Result<Result<(), Arc<crate::delivery::DeliveryFailure>>, tokio::sync::oneshot::error::RecvError>,
) -> Result<(), NotRecorded> {
    match said {
        Ok(Ok(())) => Ok(()),
        Ok(Err(failure)) => Err(NotRecorded::of(&failure)),
        Err(_) => Err(NotRecorded::ShutDown),
    }
}

impl<F, T> std::fmt::Debug for TraceFuture<F, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            State::Off => "off",
            State::New(_) => "new",
            State::Waiting(_) | State::Starting { .. } => "starting",
            State::Running { .. } => "running",
            State::Ending { .. } => "ending",
            State::Done => "done",
        };
        f.debug_struct("TraceFuture").field("state", &state).finish_non_exhaustive()
    }
}

pin_project! {
    /// A future that is made by a closure in the context of its step.
    #[must_use = "futures do nothing unless polled"]
    pub struct Deferred<C, F> {
        make: Option<C>,
        // The context to give when nothing is recorded; else it is the current one.
        off: Option<TraceContext>,
        #[pin]
        future: Option<F>,
    }
}

impl<C, F> Deferred<C, F> {
    pub(super) fn new(make: C, off: Option<TraceContext>) -> Self {
        Self { make: Some(make), off, future: None }
    }
}

impl<C: FnOnce(TraceContext) -> F, F: Future> Future for Deferred<C, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if this.make.is_some()
            && let Some(context) = this.off.take().or_else(TraceContext::current)
            && let Some(make) = this.make.take()
        {
            this.future.set(Some(make(context)));
        }
        match this.future.as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        }
    }
}

impl<C, F> std::fmt::Debug for Deferred<C, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deferred").finish_non_exhaustive()
    }
}
