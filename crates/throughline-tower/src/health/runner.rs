//! [`CheckRunner`], which runs a check and keeps its last result.

use std::error::Error;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures_timer::Delay;
use throughline_core::metrics::{Gauge, Histogram, catalogue};
use throughline_core::{BoxError, ErrorInfo, Redactor, Text, Throughline};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Gate;
use super::check::Ask;

/// The longest text of a check that is kept, in characters.
const LONGEST_TEXT: usize = 1024;

/// How much longer than the check's own timeout its callers wait: the run knows more than they do.
const GRACE: Duration = Duration::from_millis(50);

/// What a check answers: a note about what it saw, or why it fails.
pub(super) type Answer = Result<Option<String>, BoxError>;

/// A check, its last result, and the run in flight that brings the next one.
pub(super) struct CheckRunner {
    pub(super) name: Text,
    pub(super) required: bool,
    pub(super) gate: Gate,
    ask: Ask,
    timeout: Duration,
    ttl: Duration,
    redactor: Redactor,
    status: Gauge,
    duration: Histogram,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<Arc<CheckResult>>,
    in_flight: Option<InFlight>,
    /// The run before, which may still be busy if it timed out.
    previous: Option<AbortHandle>,
}

/// A run of a check that has not completed yet.
#[derive(Clone)]
pub(super) struct InFlight {
    started: Instant,
    result: watch::Receiver<Option<Arc<CheckResult>>>,
}

/// How a run of a check completed. Its texts are redacted.
pub(super) struct CheckResult {
    pub(super) outcome: Result<Option<String>, String>,
    pub(super) took: Duration,
    pub(super) at: Instant,
}

/// A result that is recent enough, or the run that will bring one.
pub(super) enum Fresh {
    Known(Arc<CheckResult>),
    Awaited(InFlight, Duration),
}

/// What is to be done for a fresh result, decided under the lock and done without it.
enum Next {
    Use(Fresh),
    Start(watch::Sender<Option<Arc<CheckResult>>>, InFlight),
    Fail(String, Duration),
}

impl CheckRunner {
    pub(super) fn new(
        name: Text,
        ask: Ask,
        (timeout, ttl): (Duration, Duration),
        (required, gate): (bool, Gate),
        throughline: &Throughline,
    ) -> Self {
        let (redactor, meter) = (throughline.redactor().clone(), throughline.meter());
        let status = meter.gauge(&catalogue::HEALTH_CHECK_STATUS).with([&name]);
        let duration = meter.histogram(&catalogue::HEALTH_CHECK_DURATION).with([&name]);
        let state = Mutex::default();
        Self { name, required, gate, ask, timeout, ttl, redactor, status, duration, state }
    }

    /// The last result if it is recent enough; else joins the run in flight, or starts one. The run belongs to nobody:
    /// it completes even if everyone who waits for it has gone.
    pub(super) fn fresh(self: &Arc<Self>) -> Fresh {
        let runtime = Handle::try_current().ok();
        match self.next(runtime.is_some()) {
            Next::Use(fresh) => fresh,
            Next::Fail(error, took) => Fresh::Known(self.complete(Err(error), took, |_| ())),
            Next::Start(tx, in_flight) => {
                // Not under the lock: a runtime may call hooks of the service when it spawns.
                if let Some(runtime) = runtime {
                    self.start(&runtime, tx);
                }
                Fresh::Awaited(in_flight, self.timeout)
            }
        }
    }

    fn next(&self, has_runtime: bool) -> Next {
        let mut state = self.state();
        if let Some(last) = state.last.as_ref().filter(|last| last.at.elapsed() < self.ttl) {
            return Next::Use(Fresh::Known(Arc::clone(last)));
        }
        if !has_runtime {
            return Next::Fail(NO_RUNTIME.to_owned(), Duration::ZERO);
        }
        if let Some(in_flight) = state.in_flight.as_ref().filter(|in_flight| in_flight.is_running()) {
            return Next::Use(Fresh::Awaited(in_flight.clone(), self.timeout));
        }
        if state.previous.as_ref().is_some_and(|previous| !previous.is_finished()) {
            let still_busy = format!("no answer within {:?}, and it is still running", self.timeout);
            return Next::Fail(still_busy, self.timeout);
        }
        let (tx, result) = watch::channel(None);
        let in_flight = InFlight { started: Instant::now(), result };
        state.in_flight = Some(in_flight.clone());
        Next::Start(tx, in_flight)
    }

    fn start(self: &Arc<Self>, runtime: &Handle, tx: watch::Sender<Option<Arc<CheckResult>>>) {
        let started = Instant::now();
        let (runner, asked) = (Arc::clone(self), self.ask.start(runtime));
        runtime.spawn(async move {
            let task = asked.abort_handle();
            let outcome = match within(runner.timeout, asked).await {
                Some(Ok(Ok(note))) => Ok(note),
                Some(Ok(Err(error))) => Err(with_causes(&*error)),
                Some(Err(error)) => match error.try_into_panic() {
                    Ok(panic) => Err(format!("it panicked: {}", ErrorInfo::of_panic(&*panic).message)),
                    Err(_) => Err(RUNTIME_GONE.to_owned()),
                },
                None => {
                    task.abort();
                    Err(too_late(runner.timeout))
                }
            };
            let took = started.elapsed();
            runner.duration.record_duration(took);
            let result = runner.complete(outcome, took, |state| {
                state.in_flight = None;
                state.previous = Some(task);
            });
            tx.send_replace(Some(result));
        });
    }

    /// Keeps a result. What it calls is other people's code (the recorder, the subscriber), so none of it runs under the
    /// lock.
    fn complete(
        &self,
        outcome: Result<Option<String>, String>,
        took: Duration,
        settle: impl FnOnce(&mut State),
    ) -> Arc<CheckResult> {
        let presentable = |text: String| -> String {
            // Redacted before it is cut: half a secret has no shape any more.
            self.redactor.text(&text).chars().take(LONGEST_TEXT).collect()
        };
        let outcome = outcome.map(|note| note.map(presentable)).map_err(presentable);
        let result = Arc::new(CheckResult { outcome, took, at: Instant::now() });
        let before = {
            let mut state = self.state();
            settle(&mut state);
            state.last.replace(Arc::clone(&result))
        };
        self.show_status();
        let was_passing = before.is_none_or(|before| before.outcome.is_ok());
        match &result.outcome {
            Err(error) if was_passing => {
                tracing::warn!(target: "throughline", check = %self.name, %error, "a health check fails");
            }
            Ok(_) if !was_passing => {
                tracing::info!(target: "throughline", check = %self.name, "a health check passes again");
            }
            _ => {}
        }
        result
    }

    /// Sets the gauge to the last result, and again if there is a newer one by then: of several that do so at once, the
    /// one that comes last has seen the newest.
    fn show_status(&self) {
        let mut shown = self.state().last.clone();
        while let Some(result) = shown {
            self.status.set(if result.outcome.is_ok() { 1.0 } else { 0.0 });
            shown = self.state().last.clone().filter(|last| !Arc::ptr_eq(last, &result));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a future so long and no longer. On timers of its own, for a runtime may have none, and Tokio says so only by
/// a panic.
async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let (mut future, mut timer) = (pin!(future), Delay::new(time));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Pin::new(&mut timer).poll(cx).map(|()| None),
    })
    .await
}

const NO_RUNTIME: &str = "checks run on a Tokio runtime, and this thread has none";
const RUNTIME_GONE: &str = "the runtime on which it ran has been shut down";

fn too_late(timeout: Duration) -> String {
    format!("no answer within {timeout:?}")
}

impl InFlight {
    /// A runtime that shuts down takes its tasks with it.
    fn is_running(&self) -> bool {
        self.result.has_changed().is_ok()
    }
}

impl Fresh {
    /// Waits for the result; hardly longer than the check's deadline, whatever the thread that runs it is doing.
    pub(super) async fn wait(self) -> Arc<CheckResult> {
        let (mut in_flight, timeout) = match self {
            Self::Known(result) => return result,
            Self::Awaited(in_flight, timeout) => (in_flight, timeout),
        };
        let left = timeout.saturating_add(GRACE).saturating_sub(in_flight.started.elapsed());
        let result = within(left, in_flight.result.wait_for(Option::is_some)).await;
        let outcome = match result.map(|result| result.map(|result| result.clone())) {
            Some(Ok(Some(result))) => return result,
            Some(Ok(None) | Err(_)) => Err(RUNTIME_GONE.to_owned()),
            None => Err(too_late(timeout)),
        };
        Arc::new(CheckResult { outcome, took: timeout, at: Instant::now() })
    }
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error: &&(dyn Error + 'static)| (*error).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
