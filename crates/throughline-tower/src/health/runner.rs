//! [`Slot`], a check with its last finding and the flight that brings the next.

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

/// How much later than the flight those who wait for it give up: it knows more than they do.
const GRACE: Duration = Duration::from_millis(50);

/// What a check says: a note about what it saw, or why it fails.
pub(super) type Asked = Result<Option<String>, BoxError>;

/// A check, its last finding, and the flight that brings the next.
pub(super) struct Slot {
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
    last: Option<Arc<Finding>>,
    flight: Option<Flight>,
    /// What was given up and may still be at it.
    given_up: Option<AbortHandle>,
}

/// A check that is being asked.
#[derive(Clone)]
pub(super) struct Flight {
    deadline: Instant,
    landed: watch::Receiver<Option<Arc<Finding>>>,
}

/// What came of asking a check. Its texts are redacted.
pub(super) struct Finding {
    pub(super) outcome: Result<Option<String>, String>,
    pub(super) took: Duration,
    pub(super) at: Instant,
}

/// A finding that is young enough, or the flight that brings one.
pub(super) enum Fresh {
    Known(Arc<Finding>),
    Awaited(Flight, Duration),
}

impl Slot {
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

    /// The last finding if it is young enough; else joins the flight under way, or begins one. The flight is nobody's:
    /// it lands even if all who wait for it have gone.
    pub(super) fn fresh(self: &Arc<Self>) -> Fresh {
        let mut state = self.state();
        if let Some(last) = state.last.as_ref().filter(|last| last.at.elapsed() < self.ttl) {
            return Fresh::Known(Arc::clone(last));
        }
        let Ok(runtime) = Handle::try_current() else {
            return Fresh::Known(self.land(&mut state, Err(NO_RUNTIME.to_owned()), Duration::ZERO));
        };
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.is_under_way()) {
            return Fresh::Awaited(flight.clone(), self.timeout);
        }
        if state.given_up.as_ref().is_some_and(|task| !task.is_finished()) {
            let again = format!("it was not back within {:?}, and still is not", self.timeout);
            return Fresh::Known(self.land(&mut state, Err(again), self.timeout));
        }
        let flight = self.take_off(&runtime);
        state.flight = Some(flight.clone());
        Fresh::Awaited(flight, self.timeout)
    }

    fn take_off(self: &Arc<Self>, runtime: &Handle) -> Flight {
        let (tell, landed) = watch::channel(None);
        let started = Instant::now();
        let deadline = started + self.timeout;
        let (slot, asked) = (Arc::clone(self), self.ask.start(runtime));
        runtime.spawn(async move {
            let task = asked.abort_handle();
            let outcome = match within(slot.timeout, asked).await {
                Some(Ok(Ok(note))) => Ok(note),
                Some(Ok(Err(error))) => Err(with_causes(&*error)),
                Some(Err(error)) => match error.try_into_panic() {
                    Ok(panic) => Err(format!("it panicked: {}", ErrorInfo::of_panic(&*panic).message)),
                    Err(_) => Err(RUNTIME_GONE.to_owned()),
                },
                None => {
                    task.abort();
                    Err(too_late(slot.timeout))
                }
            };
            let took = started.elapsed();
            slot.duration.record_duration(took);
            let mut state = slot.state();
            state.flight = None;
            state.given_up = Some(task);
            let finding = slot.land(&mut state, outcome, took);
            drop(state);
            tell.send_replace(Some(finding));
        });
        Flight { deadline, landed }
    }

    fn land(
        &self,
        state: &mut State,
        outcome: Result<Option<String>, String>,
        took: Duration,
    ) -> Arc<Finding> {
        let presentable = |text: String| -> String {
            // Redacted before it is cut: half a secret has no shape any more.
            self.redactor.text(&text).chars().take(LONGEST_TEXT).collect()
        };
        let outcome = outcome.map(|note| note.map(presentable)).map_err(presentable);
        self.status.set(if outcome.is_ok() { 1.0 } else { 0.0 });
        let was_well = state.last.as_ref().is_none_or(|last| last.outcome.is_ok());
        match &outcome {
            Err(error) if was_well => {
                tracing::warn!(target: "throughline", check = %self.name, %error, "a health check fails");
            }
            Ok(_) if !was_well => {
                tracing::info!(target: "throughline", check = %self.name, "a health check passes again");
            }
            _ => {}
        }
        let finding = Arc::new(Finding { outcome, took, at: Instant::now() });
        state.last = Some(Arc::clone(&finding));
        finding
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a future so long and no longer. On timers of its own, for a runtime may have none, and Tokio tells of that
/// by a panic only.
async fn within<F: Future>(time: Duration, future: F) -> Option<F::Output> {
    let (mut future, mut timer) = (pin!(future), Delay::new(time));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Pin::new(&mut timer).poll(cx).map(|()| None),
    })
    .await
}

const NO_RUNTIME: &str = "checks are asked on a Tokio runtime, and this thread is in none";
const RUNTIME_GONE: &str = "the runtime on which it was asked has been shut down";

fn too_late(timeout: Duration) -> String {
    format!("no answer within {timeout:?}")
}

impl Flight {
    /// A runtime that shuts down takes its flights with it.
    fn is_under_way(&self) -> bool {
        self.landed.has_changed().is_ok()
    }
}

impl Fresh {
    /// Waits for the finding; hardly beyond the check's deadline, whatever the flight's thread is doing.
    pub(super) async fn wait(self) -> Arc<Finding> {
        let (mut flight, timeout) = match self {
            Self::Known(finding) => return finding,
            Self::Awaited(flight, timeout) => (flight, timeout),
        };
        let left = (flight.deadline + GRACE).saturating_duration_since(Instant::now());
        let outcome = match within(left, flight.landed.wait_for(Option::is_some)).await {
            Some(Ok(landed)) => match landed.clone() {
                Some(finding) => return finding,
                None => Err(RUNTIME_GONE.to_owned()),
            },
            Some(Err(_)) => Err(RUNTIME_GONE.to_owned()),
            None => Err(too_late(timeout)),
        };
        Arc::new(Finding { outcome, took: timeout, at: Instant::now() })
    }
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |error: &&(dyn Error + 'static)| (*error).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
