//! [`Outbox`]: what waits to be sent to Sentry, and what became of it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sentry::Envelope;
use throughline_core::{DropReason, SinkAccount};

use crate::endpoint::{Endpoint, items_counted};

/// How much may wait. One failure is one job, so that only a storm of different failures fills it.
const CAPACITY: usize = 256;

/// How long the thread stays when there is nothing to do.
const IDLE: Duration = Duration::from_secs(5);

/// A bounded queue with a thread that lives while there is work. Nobody ever waits for that thread without a time limit, and
/// nothing joins it: a server that hangs must not hang the service.
#[derive(Clone, Default)]
pub(crate) struct Outbox(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something was put in, or all is done.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// How many jobs wait or are in hand.
    unfinished: usize,
    account: SinkAccount,
    has_thread: bool,
}

enum Job {
    Send {
        endpoint: Arc<Endpoint>,
        envelope: Box<Envelope>,
    },
    /// Makes a report, where the thread that knows of the failure must not.
    Report(Box<dyn FnOnce() + Send>),
}

impl Job {
    /// How many events and transactions it has.
    fn count(&self) -> u64 {
        match self {
            Self::Send { envelope, .. } => items_counted(envelope),
            Self::Report(_) => 0,
        }
    }

    /// How many are lost with it: a report that is not made is lost as the event that it would have been.
    fn loss(&self) -> u64 {
        match self {
            Self::Send { .. } => self.count(),
            Self::Report(_) => 1,
        }
    }
}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has an envelope sent that is redacted already.
    pub(crate) fn send(&self, endpoint: Arc<Endpoint>, envelope: Envelope) {
        self.push(Job::Send { endpoint, envelope: Box::new(envelope) });
    }

    /// Has a report made on the thread of the outbox. It does not panic, as it is called by a panic hook.
    pub(crate) fn report_later(&self, report: impl FnOnce() + Send + 'static) {
        self.push(Job::Report(Box::new(report)));
    }

    fn push(&self, job: Job) {
        let mut state = self.state();
        if state.queue.len() >= CAPACITY {
            return state.lose_all(DropReason::QueueFull, job.loss());
        }
        if !state.has_thread {
            let outbox = self.clone();
            let thread = thread::Builder::new().name("throughline-sentry".to_owned());
            if thread.spawn(move || outbox.work()).is_err() {
                return state.lose_all(DropReason::Unavailable, job.loss());
            }
            state.has_thread = true;
        }
        state.account.accepted += job.count();
        state.queue.push_back(job);
        state.unfinished += 1;
        self.0.changed.notify_all();
    }

    fn work(&self) {
        crate::hook::this_thread_reports();
        while let Some(job) = self.next() {
            let (count, loss) = (job.count(), job.loss());
            let done = catch_unwind(AssertUnwindSafe(|| match job {
                Job::Send { endpoint, envelope } => endpoint.send(*envelope),
                Job::Report(report) => {
                    report();
                    Vec::new()
                }
            }));
            let mut state = self.state();
            match done {
                Ok(lost) => {
                    state.account.delivered +=
                        count - lost.iter().map(|(_, lost)| lost).sum::<u64>().min(count);
                    lost.into_iter().for_each(|(reason, lost)| state.lose(reason, lost));
                }
                Err(_) => {
                    state.account.accepted += loss - count;
                    state.lose(DropReason::Panicked, loss);
                }
            }
            state.unfinished -= 1;
            self.0.changed.notify_all();
        }
    }

    /// The next job; `None` if none came for a while, and this thread is to end.
    fn next(&self) -> Option<Job> {
        let mut state = self.state();
        loop {
            if let Some(job) = state.queue.pop_front() {
                return Some(job);
            }
            let waited = self.0.changed.wait_timeout_while(state, IDLE, |state| state.queue.is_empty());
            let (woken, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if timeout.timed_out() && state.queue.is_empty() {
                state.has_thread = false;
                return None;
            }
        }
    }

    /// Waits until all is done; answers whether it is.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        let started = Instant::now();
        let mut state = self.state();
        while state.unfinished > 0 {
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return false;
            }
            state = self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Something that was meant for Sentry is not even put in.
    pub(crate) fn lose(&self, reason: DropReason) {
        self.state().lose_all(reason, 1);
    }

    /// Something went to a transport that is not ours, and is pending until that says that it is through.
    pub(crate) fn accept_elsewhere(&self) {
        self.state().account.accepted += 1;
    }

    /// That transport is through.
    pub(crate) fn delivered_elsewhere(&self, count: u64) {
        self.state().account.delivered += count;
    }

    pub(crate) fn account(&self) -> SinkAccount {
        self.state().account.clone()
    }
}

impl State {
    /// Loses what has not been accepted yet.
    fn lose_all(&mut self, reason: DropReason, count: u64) {
        self.account.accepted += count;
        self.lose(reason, count);
    }

    fn lose(&mut self, reason: DropReason, count: u64) {
        if count > 0 {
            *self.account.dropped.entry(reason).or_default() += count;
        }
    }
}
