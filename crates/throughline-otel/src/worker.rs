//! A thread of an exporter, with a runtime of its own, and those who wait for it.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use throughline_model::{BoxError, OpenError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::deadline::Deadline;

/// How long what there is may take if nobody waits for it.
pub(crate) const AT_LEISURE: Duration = Duration::from_secs(10);

/// What an exporter's thread is asked to do.
pub(crate) type Commands = mpsc::UnboundedReceiver<Flush>;

/// An exporter at work.
#[derive(Debug)]
pub(crate) struct Worker {
    commands: mpsc::UnboundedSender<Flush>,
    /// Until when what is under way may take, because somebody waits for it.
    deadlines: Deadlines,
}

thread_local! {
    static IS_EXPORTER: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is that of an exporter.
pub(crate) fn is_exporter() -> bool {
    IS_EXPORTER.get()
}

impl Worker {
    /// Starts the thread of a sink of this name. What is opened there runs there, until it is closed or nobody can ask any more.
    pub(crate) fn start<R, F>(
        sink: &'static str,
        open: impl FnOnce(Deadline, Commands) -> F + Send + 'static,
    ) -> Result<Self, OpenError>
    where
        F: Future<Output = Result<R, OpenError>>,
        R: Future<Output = ()>,
    {
        let unusable = move |reason: &str, source: Option<BoxError>| OpenError::Unusable {
            store: sink,
            reason: reason.to_owned(),
            source,
        };
        let (commands, receiver) = mpsc::unbounded_channel();
        let worker = Self { commands, deadlines: Deadlines::default() };
        let deadline = Deadline::new(worker.deadlines.subscribe());
        let (opened, is_open) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("throughline-otlp".to_owned()).spawn(move || {
            IS_EXPORTER.set(true);
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ =
                        opened.send(Err(unusable("its runtime could not be started", Some(error.into()))));
                    return;
                }
            };
            match runtime.block_on(open(deadline, receiver)) {
                Ok(running) => {
                    if opened.send(Ok(())).is_ok() {
                        runtime.block_on(running);
                    }
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            }
        });
        thread.map_err(|error| unusable("its thread could not be started", Some(error.into())))?;
        is_open.recv().unwrap_or_else(|_| Err(unusable("it panicked while it was opened", None)))?;
        Ok(worker)
    }

    /// Waits until what there is has been sent, at most for this time.
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

/// Why a sink can't be opened twice.
pub(crate) fn open_already(sink: &'static str) -> OpenError {
    OpenError::Unusable {
        store: sink,
        reason: "it is open already: give each emitter one of its own".to_owned(),
        source: None,
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
        let worker = Worker { commands, deadlines: Deadlines::default() };
        let seen = worker.deadlines.subscribe();
        {
            let mut flush = std::pin::pin!(worker.flush(Duration::from_secs(60), false));
            let waiting =
                std::future::poll_fn(|cx| std::task::Poll::Ready(flush.as_mut().poll(cx).is_pending()));
            assert!(waiting.await);
            assert!(received.try_recv().is_ok() && seen.borrow().is_some());
        }
        assert_eq!(*seen.borrow(), None);
    }
}
