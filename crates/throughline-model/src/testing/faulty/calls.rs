//! [`CallFaults`], what the calls of one operation meet.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::{AppendError, OpenError, ReadError};

/// Says what the next calls of one operation meet, and counts the calls. Clones are handles of the same plan.
///
/// What is planned first is met first; when the plan is used up, calls go through. A call that is
/// [held](Self::hold) meets the plan once it is released.
///
/// ```
/// use throughline_model::testing::{FaultyStore, RemoteStore};
/// use throughline_model::{Instance, InstanceId, StoreConfig, TraceId};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = FaultyStore::around(RemoteStore::new());
/// let claims = store.faults().claim().clone();
/// let open = store.open(Instance::new(InstanceId::random(), "loan-service")).await?;
/// claims.lose_next(1);
/// let trace = TraceId::from_key("loan-42");
/// assert!(open.claim(trace).await.is_err(), "granted, but the answer was lost");
/// assert!(open.claim(trace).await.is_ok(), "asking again is granted");
/// assert_eq!(claims.attempts(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct CallFaults<E = AppendError> {
    shared: Arc<Shared<E>>,
}

struct Shared<E> {
    plan: Mutex<VecDeque<Planned<E>>>,
    held: watch::Sender<bool>,
    attempts: watch::Sender<u64>,
}

/// What so many of the next calls meet.
struct Planned<E> {
    left: u64,
    fault: Fault<E>,
}

enum Fault<E> {
    Fail(Arc<dyn Fn() -> E + Send + Sync>),
    LoseAnswer,
    NeverAnswer,
    Panic,
}

impl<E> Clone for Fault<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Fail(error) => Self::Fail(Arc::clone(error)),
            Self::LoseAnswer => Self::LoseAnswer,
            Self::NeverAnswer => Self::NeverAnswer,
            Self::Panic => Self::Panic,
        }
    }
}

/// An error that can say that no answer came.
pub trait NoAnswer {
    fn no_answer() -> Self;
}

const LOST: &str = "the answer was lost";

impl NoAnswer for AppendError {
    fn no_answer() -> Self {
        Self::Unavailable { reason: LOST.to_owned(), retry_after: None, source: None }
    }
}

impl NoAnswer for ReadError {
    fn no_answer() -> Self {
        Self::Unavailable { reason: LOST.to_owned(), source: None }
    }
}

impl NoAnswer for OpenError {
    fn no_answer() -> Self {
        Self::Unavailable { store: "faulty", reason: LOST.to_owned(), source: None }
    }
}

impl<E> CallFaults<E> {
    pub(super) fn new() -> Self {
        let shared = Shared {
            plan: Mutex::new(VecDeque::new()),
            held: watch::Sender::new(false),
            attempts: watch::Sender::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The next so many calls fail with this error and do nothing; `u64::MAX` is until [healed](Self::heal).
    pub fn fail_next(&self, calls: u64, error: impl Fn() -> E + Send + Sync + 'static) {
        self.plan_next(calls, Fault::Fail(Arc::new(error)));
    }

    /// The next so many calls are done, but answered as *unavailable*, as if the answer had got lost.
    pub fn lose_next(&self, calls: u64) {
        self.plan_next(calls, Fault::LoseAnswer);
    }

    /// The next so many calls are done, but never answered: they end when the caller drops them.
    pub fn never_answer_next(&self, calls: u64) {
        self.plan_next(calls, Fault::NeverAnswer);
    }

    /// The next so many calls panic, and do nothing. The panic hook is not called.
    pub fn panic_next(&self, calls: u64) {
        self.plan_next(calls, Fault::Panic);
    }

    /// From now on calls go well; those that are held are still held.
    pub fn heal(&self) {
        self.plan().clear();
    }

    /// From now on calls wait, as on a server that does not answer, until [released](Self::release).
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Lets calls continue.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// How many calls there were, whatever became of them.
    pub fn attempts(&self) -> u64 {
        *self.shared.attempts.borrow()
    }

    /// Waits until there were so many calls in all.
    pub async fn attempted(&self, calls: u64) {
        // The sender is held by `self`, so that the channel can't close.
        let _ = self.shared.attempts.subscribe().wait_for(|attempts| *attempts >= calls).await;
    }

    fn plan_next(&self, calls: u64, fault: Fault<E>) {
        self.plan().push_back(Planned { left: calls, fault });
    }

    fn plan(&self) -> MutexGuard<'_, VecDeque<Planned<E>>> {
        self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next call meets.
    fn take(&self) -> Option<Fault<E>> {
        let mut plan = self.plan();
        while plan.front().is_some_and(|planned| planned.left == 0) {
            plan.pop_front();
        }
        let planned = plan.front_mut()?;
        planned.left -= 1;
        Some(planned.fault.clone())
    }
}

impl<E: NoAnswer> CallFaults<E> {
    /// Makes a call, or what the plan has instead.
    pub(super) async fn meet<T>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let mut held = self.shared.held.subscribe();
        self.shared.attempts.send_modify(|attempts| *attempts += 1);
        // The sender is held by `self`, so that the channel can't close.
        let _ = held.wait_for(|held| !held).await;
        match self.take() {
            None => call.await,
            Some(Fault::Fail(error)) => Err(error()),
            Some(Fault::LoseAnswer) => {
                call.await?;
                Err(E::no_answer())
            }
            Some(Fault::NeverAnswer) => {
                call.await?;
                std::future::pending().await
            }
            Some(Fault::Panic) => std::panic::resume_unwind(Box::new("a panic on demand")),
        }
    }
}

impl<E> Clone for CallFaults<E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<E> fmt::Debug for CallFaults<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallFaults")
            .field("planned", &self.plan().iter().map(|planned| planned.left).collect::<Vec<_>>())
            .field("held", &*self.shared.held.borrow())
            .field("attempts", &self.attempts())
            .finish()
    }
}
