//! [`FaultyStore`], a store that fails on demand.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::CallFaults;
use super::reader::FaultyReader;
use crate::{
    AppendError, BoxFuture, Charges, Claim, Instance, Lease, Limits, OpenError, ReadError, Readers,
    StoreConfig, TraceEvent, TraceId, TraceStore, Upkeep,
};

/// Wraps a store that fails when its [`Faults`] say so: for tests of what happens while a store is away.
///
/// ```
/// use throughline_model::testing::{FaultyStore, RemoteStore};
/// use throughline_model::AppendError;
///
/// let store = FaultyStore::around(RemoteStore::new());
/// let faults = store.faults();
/// faults.fail_next(2, || AppendError::Unavailable {
///     reason: "away".to_owned(),
///     retry_after: None,
///     source: None,
/// });
/// faults.heartbeat().hold();
/// // Hand `store` to the emitter, let the workflow run, and then:
/// assert_eq!(faults.attempts(), 0);
/// ```
pub struct FaultyStore {
    inner: Box<dyn StoreConfig>,
    faults: Faults,
}

impl FaultyStore {
    /// Wraps a store, which works as it does until a fault is planned.
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
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let (inner, faults) = (self.inner.open(instance), self.faults.clone());
        Box::pin(async move {
            let inner = faults.open().meet(inner).await?;
            Ok(Arc::new(OpenFaultyStore { inner, faults }) as Arc<dyn TraceStore>)
        })
    }

    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        let (inner, faults) = (self.inner.open_readers(), self.faults.clone());
        Box::pin(async move {
            let readers = faults.open().meet(inner).await?;
            Ok(faults.around(readers))
        })
    }
}

/// Says when a [`FaultyStore`] fails, and counts what it was asked. Clones are handles of the same.
///
/// The methods that plan faults here are about [appends](Self::append); each of the other calls of a store has a plan of
/// its own.
#[derive(Clone)]
pub struct Faults {
    open: CallFaults<OpenError>,
    append: CallFaults,
    heartbeat: CallFaults,
    claim: CallFaults,
    release_claim: CallFaults,
    close: CallFaults,
    read: CallFaults<ReadError>,
}

impl Faults {
    fn new() -> Self {
        Self {
            open: CallFaults::new(),
            append: CallFaults::new(),
            heartbeat: CallFaults::new(),
            claim: CallFaults::new(),
            release_claim: CallFaults::new(),
            close: CallFaults::new(),
            read: CallFaults::new(),
        }
    }

    /// What [`StoreConfig::open`] and [`StoreConfig::open_readers`] meet.
    pub fn open(&self) -> &CallFaults<OpenError> {
        &self.open
    }

    /// What [`TraceStore::append`] meets.
    pub fn append(&self) -> &CallFaults {
        &self.append
    }

    /// What [`TraceStore::heartbeat`] meets.
    pub fn heartbeat(&self) -> &CallFaults {
        &self.heartbeat
    }

    /// What [`TraceStore::claim`] meets.
    pub fn claim(&self) -> &CallFaults {
        &self.claim
    }

    /// What [`TraceStore::release`] meets.
    pub fn release_claim(&self) -> &CallFaults {
        &self.release_claim
    }

    /// What [`TraceStore::close`] meets.
    pub fn close(&self) -> &CallFaults {
        &self.close
    }

    /// What the questions to the store's [reader](crate::TraceReader) meet.
    pub fn read(&self) -> &CallFaults<ReadError> {
        &self.read
    }

    /// The next so many appends fail with this error, and append nothing. What was planned before comes first;
    /// `u64::MAX` is until [healed](Self::heal).
    pub fn fail_next(&self, appends: u64, error: impl Fn() -> AppendError + Send + Sync + 'static) {
        self.append.fail_next(appends, error);
    }

    /// The next so many appends are done, but answered with [`AppendError::Unavailable`] as if the acknowledgement had
    /// got lost.
    pub fn lose_next(&self, appends: u64) {
        self.append.lose_next(appends);
    }

    /// The next so many appends are done, but never answered: they end when the caller drops them.
    pub fn never_answer_next(&self, appends: u64) {
        self.append.never_answer_next(appends);
    }

    /// The next so many appends panic, and append nothing.
    pub fn panic_next(&self, appends: u64) {
        self.append.panic_next(appends);
    }

    /// From now on all calls go well; those that are held are still held.
    pub fn heal(&self) {
        let Self { open, append, heartbeat, claim, release_claim, close, read } = self;
        open.heal();
        [append, heartbeat, claim, release_claim, close].into_iter().for_each(CallFaults::heal);
        read.heal();
    }

    /// From now on appends wait, as on a store that does not answer, until [released](Self::release).
    pub fn hold(&self) {
        self.append.hold();
    }

    /// Lets appends continue.
    pub fn release(&self) {
        self.append.release();
    }

    /// How many appends the store was asked for, whatever became of them.
    pub fn attempts(&self) -> u64 {
        self.append.attempts()
    }

    /// Waits until the store was asked for so many appends in all.
    pub async fn attempted(&self, appends: u64) {
        self.append.attempted(appends).await;
    }

    fn around(&self, readers: Readers) -> Readers {
        let reader = FaultyReader { inner: readers.reader, faults: self.read.clone() };
        Readers { reader: Arc::new(reader), ..readers }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { open, append, heartbeat, claim, release_claim, close, read } = self;
        f.debug_struct("Faults")
            .field("open", open)
            .field("append", append)
            .field("heartbeat", heartbeat)
            .field("claim", claim)
            .field("release_claim", release_claim)
            .field("close", close)
            .field("read", read)
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
        Box::pin(self.faults.append.meet(self.inner.append(events)))
    }

    fn prepare(&self, events: &[Arc<TraceEvent>]) {
        self.inner.prepare(events);
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }

    fn group_commit_delay(&self) -> Duration {
        self.inner.group_commit_delay()
    }

    fn lease(&self) -> Lease {
        self.inner.lease()
    }

    fn heartbeat(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(self.faults.heartbeat.meet(self.inner.heartbeat()))
    }

    fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>> {
        Box::pin(self.faults.claim.meet(self.inner.claim(trace)))
    }

    fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(self.faults.release_claim.meet(self.inner.release(trace)))
    }

    fn readers(&self) -> Readers {
        self.faults.around(self.inner.readers())
    }

    fn upkeep(&self) -> Upkeep {
        self.inner.upkeep()
    }

    fn charges(&self) -> Charges {
        self.inner.charges()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(self.faults.close.meet(self.inner.close()))
    }
}
