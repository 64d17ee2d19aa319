//! [`FaultyStore`], a store that fails on demand.

mod reader;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::store::{AppendError, AppendInline, BoxFuture, Instance, OpenError, StoreConfig, TraceStore};
use crate::{ReadError, TraceAnalytics, TraceEvent, TraceReader};
use reader::FaultyReader;

/// Wraps a store, to be told through [`Faults`] when to fail: for tests of what happens while a store is away.
///
/// ```
/// use throughline_core::testing::FaultyStore;
/// use throughline_core::{AppendError, MemoryStore};
///
/// let store = FaultyStore::around(MemoryStore::new());
/// let faults = store.faults();
/// faults.fail_next(2, || AppendError::Unavailable {
///     reason: "away".to_owned(),
///     retry_after: None,
///     source: None,
/// });
/// // Hand `store` to the emitter, let the workflow run, and then:
/// assert_eq!(faults.attempts(), 0);
/// ```
pub struct FaultyStore {
    inner: Box<dyn StoreConfig>,
    faults: Faults,
}

impl FaultyStore {
    /// Wraps a store, which works as it does until told otherwise.
    pub fn around(store: impl StoreConfig) -> Self {
        Self { inner: Box::new(store), faults: Faults::new() }
    }

    /// The handle that says when to fail.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyStore").field("faults", &self.faults).finish_non_exhaustive()
    }
}

impl StoreConfig for FaultyStore {
    fn open(
        self: Box<Self>,
        instance: Instance,
    ) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        Box::pin(async move {
            let inner = self.inner.open(instance).await?;
            Ok(Arc::new(OpenFaultyStore { inner, faults: self.faults }) as Arc<dyn TraceStore>)
        })
    }
}

/// Says when a [`FaultyStore`] fails, and counts what it was asked. Clones are handles of the same.
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

struct Shared {
    plan: Mutex<VecDeque<Fault>>,
    held: watch::Sender<bool>,
    attempts: watch::Sender<u64>,
    reading: Mutex<Reading>,
    reads_held: watch::Sender<bool>,
}

/// What questions meet.
#[derive(Default)]
struct Reading {
    asked: u64,
    /// So many of the next are not answered.
    failing: u64,
}

/// What the next appends meet, and how many of them.
struct Fault {
    left: u64,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Refuse(Arc<dyn Fn() -> AppendError + Send + Sync>),
    LoseAcknowledgement,
}

impl Faults {
    fn new() -> Self {
        let shared = Shared {
            plan: Mutex::new(VecDeque::new()),
            held: watch::Sender::new(false),
            attempts: watch::Sender::new(0),
            reading: Mutex::default(),
            reads_held: watch::Sender::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The next so many appends fail with this error, and append nothing. What was said before comes first;
    /// `u64::MAX` is until [healed](Self::heal).
    pub fn fail_next(&self, appends: u64, error: impl Fn() -> AppendError + Send + Sync + 'static) {
        self.plan().push_back(Fault { left: appends, kind: Kind::Refuse(Arc::new(error)) });
    }

    /// The next so many appends are done, but answered with [`AppendError::Unavailable`] as if the answer had
    /// got lost.
    pub fn lose_next(&self, appends: u64) {
        self.plan().push_back(Fault { left: appends, kind: Kind::LoseAcknowledgement });
    }

    /// The next so many questions to the store's reader fail with [`ReadError::Unavailable`]; `u64::MAX` is until
    /// [healed](Self::heal).
    pub fn fail_next_reads(&self, questions: u64) {
        self.reading().failing = questions;
    }

    /// From now on appends and questions go well; those that are held are still held.
    pub fn heal(&self) {
        self.plan().clear();
        self.reading().failing = 0;
    }

    /// From now on appends wait, as on a store that does not answer, until [released](Self::release).
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Lets appends go on.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    /// From now on questions to the store's reader wait until [released](Self::release_reads).
    pub fn hold_reads(&self) {
        self.shared.reads_held.send_replace(true);
    }

    /// Lets questions go on.
    pub fn release_reads(&self) {
        self.shared.reads_held.send_replace(false);
    }

    /// How many questions the store's reader was asked, whatever became of them.
    pub fn reads(&self) -> u64 {
        self.reading().asked
    }

    /// How many appends the store was asked for, whatever became of them.
    pub fn attempts(&self) -> u64 {
        *self.shared.attempts.borrow()
    }

    /// Waits until the store was asked for so many appends in all.
    pub async fn attempted(&self, appends: u64) {
        // The sender is held by `self`, so that the channel can't close.
        let _ = self.shared.attempts.subscribe().wait_for(|attempts| *attempts >= appends).await;
    }

    fn plan(&self) -> MutexGuard<'_, VecDeque<Fault>> {
        self.shared.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.shared.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next question meets.
    async fn read(&self) -> Result<(), ReadError> {
        let fails = {
            let mut reading = self.reading();
            reading.asked += 1;
            let fails = reading.failing > 0;
            reading.failing = reading.failing.saturating_sub(1);
            fails
        };
        // The sender is held by `self`, so that the channel can't close.
        let _ = self.shared.reads_held.subscribe().wait_for(|held| !held).await;
        match fails {
            true => Err(ReadError::Unavailable { reason: "the store is away".to_owned(), source: None }),
            false => Ok(()),
        }
    }

    /// What the next append meets.
    fn take(&self) -> Option<Kind> {
        let mut plan = self.plan();
        while plan.front().is_some_and(|fault| fault.left == 0) {
            plan.pop_front();
        }
        let fault = plan.front_mut()?;
        fault.left -= 1;
        Some(fault.kind.clone())
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("planned", &self.plan().iter().map(|fault| fault.left).collect::<Vec<_>>())
            .field("held", &*self.shared.held.borrow())
            .field("attempts", &self.attempts())
            .finish()
    }
}

struct OpenFaultyStore {
    inner: Arc<dyn TraceStore>,
    faults: Faults,
}

impl TraceStore for OpenFaultyStore {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            let mut held = self.faults.shared.held.subscribe();
            self.faults.shared.attempts.send_modify(|attempts| *attempts += 1);
            // The sender is held by `self.faults`, so that the channel can't close.
            let _ = held.wait_for(|held| !held).await;
            match self.faults.take() {
                None => self.inner.append(events).await,
                Some(Kind::Refuse(error)) => Err(error()),
                Some(Kind::LoseAcknowledgement) => {
                    self.inner.append(events).await?;
                    Err(AppendError::Unavailable {
                        reason: "the acknowledgement was lost".to_owned(),
                        retry_after: None,
                        source: None,
                    })
                }
            }
        })
    }

    // Every append goes through the delivery thread, whatever the inner store can do: there the faults are met.
    fn inline(&self) -> Option<Arc<dyn AppendInline>> {
        None
    }

    fn linger(&self) -> Duration {
        self.inner.linger()
    }

    fn heartbeat(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.inner.heartbeat()
    }

    fn heartbeat_interval(&self) -> Option<Duration> {
        self.inner.heartbeat_interval()
    }

    fn reader(&self) -> Arc<dyn TraceReader> {
        Arc::new(FaultyReader { inner: self.inner.reader(), faults: self.faults.clone() })
    }

    fn analytics(&self) -> Arc<dyn TraceAnalytics> {
        self.inner.analytics()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.inner.close()
    }
}
