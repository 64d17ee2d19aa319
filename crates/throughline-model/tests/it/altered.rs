//! A store that breaks one promise, or makes use of one liberty that the contract leaves.

mod reader;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use throughline_model::testing::RemoteStore;
use throughline_model::{
    AppendError, BoxFuture, Claim, EventId, Instance, InstanceId, Lease, Limits, OpenError, Readers, SpanId,
    StoreConfig, Timestamp, TraceAnalytics, TraceEvent, TraceId, TraceStore,
};

use self::reader::{AlteredReader, Miscounting, NoAnswers};
use crate::remote_store::refused_event;

/// What is different from a sound store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// No question across runs is supported: this is allowed.
    NoAnalytics,
    /// Events of a trace come in the order in which they were identified.
    OrderById,
    /// A call is appended in two parts.
    SplitsCalls,
    /// What stands beside a refused event is appended.
    KeepsPartOfATrace,
    /// An event that is appended again takes the place of the first.
    KeepsTheLast,
    /// What is appended again is there twice.
    KeepsRepetitions,
    /// Takes fewer events than it says.
    TakesLessThanItSays,
    /// Takes fewer calls at once than it says.
    TakesFewerCallsThanItSays,
    /// Every instance that asks is granted the run.
    GrantsEveryClaim,
    /// Asks who holds a run, and then takes it.
    ClaimsInTwoSteps,
    /// Asking again for what one holds is refused.
    RefusesItsHolder,
    /// Anybody can release a run.
    ReleasesForOthers,
    /// A claim outlives the instance that closes the store.
    ClaimsOutliveClose,
    /// A claim outlives the lease of its holder.
    ClaimsOutliveLeases,
    /// A claim makes an event.
    ClaimsMakeRuns,
    /// An instance that has closed the store comes back with a late renewal.
    RenewsAfterClose,
    /// Leases expire before the time that is said.
    ExpiresEarly,
    /// A lease that is late by one renewal expires.
    NoRoomForALateRenewal,
    /// An instance that nobody knows counts as imported.
    TakesUnknownForImported,
    /// Each time the secret is another.
    TellsEachAnotherSecret,
    TakesJobsOfAllQueuesForOne,
    /// A page of events begins with the last one of the page before.
    EventsRepeat,
    /// A page of runs leaves out the first run after the page before.
    RunsAreSkipped,
    /// A page of a run ends early when it is full, and names no next.
    TraceEndsEarly,
    /// Of a span by itself only the first event is answered.
    SpansHaveNoEnd,
    /// Pages are counted from the newest event.
    PagesByOffset,
    /// Pages of open runs are counted from the oldest.
    OpenPagesByOffset,
    /// A page that is full names a next one, though there is nothing more.
    FullPagesNameNext,
    /// Cursors are not looked at closely.
    TakesAnyCursor,
    /// Open runs come in the order of their ids.
    OpenRunsById,
    /// The last event of an open run is its first.
    LastEventIsTheFirst,
    /// The check before a deployment looks at one page of runs.
    ChecksOnePage,
    /// Readers by themselves see what was there when they were opened.
    ReadersAreStale,
    /// Readers by themselves fail once an instance has closed the store.
    ReadersEndWithTheStore,
    /// Readers answer on the runtime on which the store was opened, and nowhere else.
    ReadersKeepToTheirRuntime,
    /// One failed run too many.
    MiscountsFailures,
}

use Change::*;

/// A store with a change.
#[derive(Clone)]
pub(crate) struct Altered {
    inner: RemoteStore,
    change: Change,
    claims: Arc<Mutex<HashMap<TraceId, InstanceId>>>,
    versions: Arc<Mutex<Versions>>,
    is_closed: Arc<AtomicBool>,
}

/// Events that were appended more than once.
#[derive(Default)]
struct Versions {
    last: HashMap<EventId, TraceEvent>,
    repeated: Vec<TraceEvent>,
}

impl Altered {
    pub(crate) fn new(change: Change) -> Self {
        let limits = match change {
            TakesFewerCallsThanItSays => Limits::new().events(50).by_trace(4),
            _ => Limits::new().events(50),
        };
        Self {
            inner: RemoteStore::new().limits(limits).stopped_clock(),
            change,
            claims: Arc::default(),
            versions: Arc::default(),
            is_closed: Arc::default(),
        }
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.inner.advance(time);
    }

    fn is(&self, change: Change) -> bool {
        self.change == change
    }

    fn claims(&self) -> MutexGuard<'_, HashMap<TraceId, InstanceId>> {
        self.claims.lock().unwrap()
    }

    fn around(&self, readers: Readers, by_itself: bool) -> Readers {
        let reader = AlteredReader { inner: readers.reader, store: self.clone(), by_itself };
        let analytics: Arc<dyn TraceAnalytics> = match self.change {
            NoAnalytics => Arc::new(NoAnswers),
            MiscountsFailures => Arc::new(Miscounting(readers.analytics)),
            _ => readers.analytics,
        };
        Readers { reader: Arc::new(reader), analytics }
    }
}

impl StoreConfig for Altered {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let store = self.clone();
        Box::pin(async move {
            let inner = store.inner.open(instance.clone()).await?;
            Ok(Arc::new(OpenAltered { inner, instance, store }) as Arc<dyn TraceStore>)
        })
    }

    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        let store = self.clone();
        Box::pin(async move {
            if !store.is(ReadersAreStale) {
                return Ok(store.around(store.inner.open_readers().await?, true));
            }
            let copy = RemoteStore::new();
            let writer = copy.open(Instance::new(InstanceId::random(), "copy")).await?;
            for event in store.inner.events() {
                writer.append(&[Arc::new(event)]).await.unwrap();
            }
            copy.open_readers().await
        })
    }
}

struct OpenAltered {
    inner: Arc<dyn TraceStore>,
    instance: Instance,
    store: Altered,
}

impl OpenAltered {
    fn note_versions(&self, events: &[Arc<TraceEvent>]) {
        let mut versions = self.store.versions.lock().unwrap();
        for event in events {
            if versions.last.insert(event.id(), TraceEvent::clone(event)).is_some() {
                versions.repeated.push(TraceEvent::clone(event));
            }
        }
    }

    /// A claim by the store's own book.
    async fn claim_by_book(&self, trace: TraceId) -> Claim {
        let me = self.instance.id;
        let holder = self.store.claims().get(&trace).copied();
        if self.store.is(ClaimsInTwoSteps) {
            tokio::task::yield_now().await;
        }
        match holder {
            Some(holder) if holder == me && self.store.is(RefusesItsHolder) => Claim::HeldBy(holder),
            Some(holder) if holder != me => Claim::HeldBy(holder),
            _ => {
                self.store.claims().insert(trace, me);
                Claim::Granted
            }
        }
    }
}

impl TraceStore for OpenAltered {
    fn name(&self) -> &str {
        "altered"
    }

    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            self.note_versions(events);
            match self.store.change {
                SplitsCalls => {
                    let (first, second) = events.split_at(events.len() / 2);
                    self.inner.append(first).await?;
                    self.inner.append(second).await
                }
                KeepsPartOfATrace => {
                    let refused = |event: &TraceEvent| event.event_type == refused_event().event_type;
                    let taken: Vec<_> = events.iter().filter(|event| !refused(event)).cloned().collect();
                    self.inner.append(&taken).await?;
                    match events.iter().position(|event| refused(event)) {
                        Some(index) => Err(AppendError::Rejected { index, reason: "too long".to_owned() }),
                        None => Ok(()),
                    }
                }
                _ => self.inner.append(events).await,
            }
        })
    }

    fn limits(&self) -> Limits {
        match self.store.change {
            TakesLessThanItSays => self.inner.limits().events(51),
            TakesFewerCallsThanItSays => self.inner.limits().by_trace(5),
            _ => self.inner.limits(),
        }
    }

    fn lease(&self) -> Lease {
        match (self.store.change, self.inner.lease()) {
            (ExpiresEarly, Lease::Heartbeat { interval, expires_after }) => {
                Lease::Heartbeat { interval, expires_after: 2 * expires_after }
            }
            (NoRoomForALateRenewal, Lease::Heartbeat { interval, .. }) => {
                Lease::Heartbeat { interval, expires_after: 2 * interval }
            }
            (_, lease) => lease,
        }
    }

    fn heartbeat(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            if self.store.is(RenewsAfterClose) {
                self.store.inner.open(self.instance.clone()).await.unwrap();
            }
            self.inner.heartbeat().await
        })
    }

    fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>> {
        Box::pin(async move {
            match self.store.change {
                GrantsEveryClaim => Ok(Claim::Granted),
                ClaimsInTwoSteps | RefusesItsHolder | ReleasesForOthers | ClaimsOutliveClose
                | ClaimsOutliveLeases => Ok(self.claim_by_book(trace).await),
                ClaimsMakeRuns => {
                    let span = SpanId::from_u64(u64::MAX).unwrap();
                    let claimed = TraceEvent::new(trace, span, "claimed", Timestamp::now(), "store");
                    self.inner.append(&[Arc::new(claimed)]).await?;
                    self.inner.claim(trace).await
                }
                _ => self.inner.claim(trace).await,
            }
        })
    }

    fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            let is_any = self.store.is(ReleasesForOthers);
            self.store
                .claims()
                .retain(|claimed, holder| *claimed != trace || !(is_any || *holder == self.instance.id));
            self.inner.release(trace).await
        })
    }

    fn readers(&self) -> Readers {
        self.store.around(self.inner.readers(), false)
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        self.store.is_closed.store(true, Ordering::SeqCst);
        if !self.store.is(ClaimsOutliveClose) {
            self.store.claims().retain(|_, holder| *holder != self.instance.id);
        }
        self.inner.close()
    }
}
