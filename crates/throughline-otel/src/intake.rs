//! The way of the events to the exporter's thread.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use throughline_model::{DropReason, Status, TraceEvent};
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::ledger::Ledger;
use crate::sampler::Sampling;

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
    pub(crate) intake: Arc<Intake>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) commands: mpsc::UnboundedSender<Flush>,
    /// Until when what is under way may take, because somebody waits for it.
    pub(crate) deadlines: Deadlines,
    pub(crate) sampling: Sampling,
    pub(crate) whole_failed_runs: bool,
}

impl Running {
    pub(crate) fn take(&self, event: &Arc<TraceEvent>) {
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

    pub(crate) async fn flush(&self, timeout: Duration, closes: bool) {
        // The rest of the time is for what follows from it: the figures are right when this returns.
        let until = Instant::now().checked_add(timeout / 10 * 9).unwrap_or_else(far_away);
        let (done, is_done) = oneshot::channel();
        if self.commands.send(Flush { until, closes, done }).is_ok() {
            let _waiting = self.deadlines.add(until);
            // An error says that the exporter has ended, which is as good.
            let _ = is_done.await;
        }
    }
}

/// Until when those wait that flush; what is under way has to keep to the first of these moments.
#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    open: Mutex<Vec<Instant>>,
    first: watch::Sender<Option<Instant>>,
}

impl Deadlines {
    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Instant>> {
        self.first.subscribe()
    }

    fn add(&self, until: Instant) -> Waiting<'_> {
        self.change(|open| open.push(until));
        Waiting { deadlines: self, until }
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Instant>)) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut open);
        self.first.send_replace(open.iter().min().copied());
    }
}

/// Somebody who waits, and stops waiting when this is dropped: at the end, or because the future was dropped before.
struct Waiting<'d> {
    deadlines: &'d Deadlines,
    until: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.deadlines.change(|open| {
            if let Some(at) = open.iter().position(|until| *until == self.until) {
                open.swap_remove(at);
            }
        });
    }
}

fn far_away() -> Instant {
    Instant::now() + Duration::from_secs(365 * 24 * 3600)
}

/// Somebody waits until everything is sent.
#[derive(Debug)]
pub(crate) struct Flush {
    pub(crate) until: Instant,
    /// Nothing comes after it.
    pub(crate) closes: bool,
    pub(crate) done: oneshot::Sender<()>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_keeps_to_the_first_of_those_who_wait_and_to_nobody_who_has_left() {
        let (deadlines, now) = (Deadlines::default(), Instant::now());
        let seen = deadlines.subscribe();
        let [near, far] = [1, 60].map(|seconds| now + Duration::from_secs(seconds));
        let waits_long = deadlines.add(far);
        let leaves_early = deadlines.add(near);
        assert_eq!(*seen.borrow(), Some(near));
        drop(leaves_early);
        assert_eq!(*seen.borrow(), Some(far));
        drop(waits_long);
        assert_eq!(*seen.borrow(), None);
    }

    #[tokio::test]
    async fn a_flush_that_is_dropped_leaves_no_deadline_behind() {
        let (commands, mut received) = mpsc::unbounded_channel();
        let running = Running {
            intake: Arc::new(Intake::new(8)),
            ledger: Arc::default(),
            commands,
            deadlines: Deadlines::default(),
            sampling: Sampling::new(crate::Sampler::AlwaysOn),
            whole_failed_runs: false,
        };
        let seen = running.deadlines.subscribe();
        {
            let mut flush = std::pin::pin!(running.flush(Duration::from_secs(60), false));
            let waiting =
                std::future::poll_fn(|cx| std::task::Poll::Ready(flush.as_mut().poll(cx).is_pending()));
            assert!(waiting.await);
            assert!(received.try_recv().is_ok() && seen.borrow().is_some());
        }
        assert_eq!(*seen.borrow(), None);
    }
}
