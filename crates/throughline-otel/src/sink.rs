//! The end of the exporter that sees the events.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use throughline_model::{
    BoxError, BoxFuture, DropReason, EventSink, Instance, OpenError, Readers, SinkAccount, Status,
    TraceEvent, TraceId,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::config::Otlp;
use crate::deadline::Deadline;
use crate::export::{Exporter, Flush};
use crate::ledger::Ledger;
use crate::sampler::Sampling;

/// The name of the sink in reports.
const NAME: &str = "otlp";

/// How long events are gathered before they are looked at: what is shown at once is shown within a second.
const GATHER: Duration = Duration::from_millis(50);
/// How many events are looked at without further ado.
const ENOUGH: usize = 1024;

/// What the exporter's thread is told of.
#[derive(Debug)]
pub(crate) enum Seen {
    /// An event to be exported.
    Event(Arc<TraceEvent>),
    /// The end of a run that failed and was not sampled.
    Failed(Arc<TraceEvent>),
}

/// Events on their way to the exporter's thread.
#[derive(Debug)]
pub(crate) struct Intake {
    state: Mutex<State>,
    capacity: usize,
    arrived: Notify,
    enough: Notify,
}

#[derive(Debug, Default)]
struct State {
    seen: Vec<Seen>,
    is_closed: bool,
}

impl Intake {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { state: Mutex::default(), capacity, arrived: Notify::new(), enough: Notify::new() }
    }

    fn offer(&self, seen: Seen) -> Result<(), DropReason> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_closed {
            return Err(DropReason::Shutdown);
        }
        if state.seen.len() >= self.capacity {
            return Err(DropReason::QueueFull);
        }
        state.seen.push(seen);
        let count = state.seen.len();
        drop(state);
        match count {
            1 => self.arrived.notify_one(),
            ENOUGH => self.enough.notify_one(),
            _ => {}
        }
        Ok(())
    }

    /// Waits until there is something to look at.
    pub(crate) async fn arrival(&self) {
        self.arrived.notified().await;
        // Either will do.
        let _ = tokio::time::timeout(GATHER, self.enough.notified()).await;
    }

    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).seen)
    }

    /// Takes what there is, and nothing more comes.
    pub(crate) fn close(&self) -> Vec<Seen> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_closed = true;
        std::mem::take(&mut state.seen)
    }
}

/// An exporter at work.
pub(crate) struct Running {
    intake: Arc<Intake>,
    ledger: Arc<Ledger>,
    commands: mpsc::UnboundedSender<Flush>,
    /// Until when what is under way may take.
    deadline: watch::Sender<Option<Instant>>,
    sampling: Sampling,
    whole_failed_runs: bool,
}

impl Running {
    fn take(&self, event: &Arc<TraceEvent>) {
        if !self.sampling.samples(event) {
            if self.whole_failed_runs && event.is_root() && event.status == Status::Failed {
                // Says that the run is to be looked up, and is not accepted itself.
                let _ = self.intake.offer(Seen::Failed(Arc::clone(event)));
            }
            return;
        }
        self.ledger.accept(1);
        if let Err(why) = self.intake.offer(Seen::Event(Arc::clone(event))) {
            self.ledger.lose(why, 1);
        }
    }

    async fn flush(&self, timeout: Duration, closes: bool) {
        // The rest of the time is for what follows from it: the figures are right when this returns.
        let until = Instant::now().checked_add(timeout / 10 * 9).unwrap_or_else(far_away);
        let (done, is_done) = oneshot::channel();
        if self.commands.send(Flush { until, closes, done }).is_ok() {
            self.deadline.send_replace(Some(until));
            // An error says that the exporter has ended, which is as good.
            let _ = is_done.await;
            self.deadline.send_replace(None);
        }
    }
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(365 * 24 * 3600)
}

impl Otlp {
    async fn send_on(&self, timeout: Duration, closes: bool) {
        if let Some(running) = self.running.get() {
            running.flush(timeout, closes).await;
        }
    }
}

impl EventSink for Otlp {
    fn name(&self) -> &str {
        NAME
    }

    fn on_event(&self, event: &Arc<TraceEvent>) {
        if let Some(running) = self.running.get() {
            running.take(event);
        }
    }

    fn open(&self, instance: &Instance, readers: Option<&Readers>) -> Result<(), OpenError> {
        let unusable =
            |reason: String, source: Option<BoxError>| OpenError::Unusable { store: NAME, reason, source };
        let (commands, receiver) = mpsc::unbounded_channel();
        let running = Running {
            intake: Arc::new(Intake::new(self.batching.capacity)),
            ledger: Arc::default(),
            commands,
            deadline: watch::Sender::new(None),
            sampling: Sampling::new(self.sampler),
            whole_failed_runs: self.whole_failed_runs,
        };
        let plan = Exporter::plan(self, instance, readers, &running.intake, &running.ledger);
        let deadline = Deadline::new(running.deadline.subscribe());
        let (opened, is_open) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("throughline-otlp".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = opened.send(Err(unusable(
                        "its runtime could not be started".to_owned(),
                        Some(error.into()),
                    )));
                    return;
                }
            };
            match runtime.block_on(plan.open(deadline)) {
                Ok(exporter) => {
                    if opened.send(Ok(())).is_ok() {
                        runtime.block_on(exporter.run(receiver));
                    }
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            }
        });
        thread.map_err(|error| unusable("its thread could not be started".to_owned(), Some(error.into())))?;
        let panicked = || unusable("it panicked while it was opened".to_owned(), None);
        is_open.recv().unwrap_or_else(|_| Err(panicked()))?;
        self.running
            .set(running)
            .map_err(|_| unusable("it is open already: give each emitter one of its own".to_owned(), None))
    }

    fn samples(&self, trace: TraceId) -> bool {
        self.running.get().is_none_or(|running| running.sampling.samples_run(trace))
    }

    fn flush(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.send_on(timeout, false))
    }

    fn close(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.send_on(timeout, true))
    }

    fn account(&self) -> Option<SinkAccount> {
        Some(self.running.get().map(|running| running.ledger.account()).unwrap_or_default())
    }
}
