//! A store that was away when its emitter was built, and is opened when it is there: until then a spool takes all events.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use throughline_model::{
    AppendError, BoxFuture, Bucket, ChoiceOutcome, Claim, DeployCheck, Filter, HotSpot, Instance, InstanceId,
    JobAttempt, JobKey, Lease, Limits, Liveness, OpenError, OpenRun, OpenSummary, Page, Paged, Process, Rate,
    ReadError, Readers, RunSummary, Scope, Secret, SlowSpan, StageTimes, StoreConfig, TraceAnalytics,
    TraceEvent, TraceId, TraceReader, TraceStore, TypeRate,
};
use tokio::sync::Mutex;

use super::describe_panic;

/// How long after a failed attempt the next one is made: at first, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// After so long without an answer it is said that the store is still away.
const PATIENCE: Duration = Duration::from_secs(30);

/// What every store takes in a call: how much this one takes is known when it is open.
const CAUTIOUS: Limits = Limits::new().events(64).bytes(256 << 10).by_trace(1);

/// A store that is being opened.
pub(super) type Opening = BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>>;

/// A store that is opened later.
pub(super) struct LateStore {
    config: Arc<dyn StoreConfig>,
    instance: Instance,
    name: &'static str,
    /// An opening that has begun and not ended; it may hold the lease.
    under_way: Mutex<Option<Opening>>,
    open: Arc<OnceLock<Arc<dyn TraceStore>>>,
}

impl LateStore {
    /// The store behind this configuration, if what kept it from being opened may pass; it may still be being opened.
    pub(super) fn after(
        error: OpenError,
        under_way: Option<Opening>,
        config: Arc<dyn StoreConfig>,
        instance: Instance,
    ) -> Result<Self, OpenError> {
        let OpenError::Unavailable { store: name, .. } = error else { return Err(error) };
        tracing::warn!(
            target: "throughline",
            store = name,
            %error,
            "the store is away: the spool takes all events until it can be opened, and the pseudonyms of this process cannot \
             be found by others"
        );
        Ok(Self { config, instance, name, under_way: Mutex::new(under_way), open: Arc::default() })
    }

    /// Opens the store, however often that has to be tried.
    pub(super) async fn open(&self) {
        let mut pause = PAUSE;
        let mut under_way = self.under_way.lock().await;
        while self.open.get().is_none() {
            let opening = match &mut *under_way {
                Some(opening) => opening,
                None => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    let (config, instance) = (Arc::clone(&self.config), self.instance.clone());
                    under_way.insert(Box::pin(async move { config.open(instance).await }))
                }
            };
            // Whatever takes long, such as a migration, is not begun again and again.
            let opened = loop {
                match tokio::time::timeout(PATIENCE, self.guarded(opening)).await {
                    Ok(opened) => break opened,
                    Err(_) => tracing::warn!(
                        target: "throughline",
                        store = self.name,
                        "the store is still away: it has not answered for {PATIENCE:?}"
                    ),
                }
            };
            *under_way = None;
            match opened {
                Ok(store) => {
                    tracing::info!(target: "throughline", store = self.name, "the store is open");
                    let _ = self.open.set(store);
                }
                Err(error) if error.is_retryable() => {
                    tracing::warn!(target: "throughline", store = self.name, %error, "the store is still away");
                }
                // At the start of a process this would have ended it; now the spool holds what there is.
                Err(error) => {
                    tracing::error!(target: "throughline", store = self.name, %error, "the store cannot be opened");
                }
            }
        }
    }

    /// What becomes of an opening; a panic is an error like any other.
    async fn guarded(&self, opening: &mut Opening) -> Result<Arc<dyn TraceStore>, OpenError> {
        AssertUnwindSafe(opening).catch_unwind().await.unwrap_or_else(|panic| {
            Err(OpenError::Unusable { store: self.name, reason: describe_panic(&*panic), source: None })
        })
    }

    /// The store, once it is open.
    pub(super) fn get(&self) -> Option<&Arc<dyn TraceStore>> {
        self.open.get()
    }

    fn store(&self) -> Result<&Arc<dyn TraceStore>, AppendError> {
        self.get().ok_or_else(|| AppendError::Unavailable {
            reason: "it was away when this process started, and could not be opened since".to_owned(),
            retry_after: None,
            source: None,
        })
    }
}

impl TraceStore for LateStore {
    fn name(&self) -> &str {
        self.name
    }

    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move { self.store()?.append(events).await })
    }

    fn prepare(&self, events: &[Arc<TraceEvent>]) {
        if let Some(store) = self.get() {
            store.prepare(events);
        }
    }

    fn limits(&self) -> Limits {
        self.get().map_or(CAUTIOUS, |store| store.limits())
    }

    fn group_commit_delay(&self) -> Duration {
        self.get().map_or(Duration::ZERO, |store| store.group_commit_delay())
    }

    fn lease(&self) -> Lease {
        self.get().map_or(Lease::ForLife, |store| store.lease())
    }

    fn heartbeat(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move { self.store()?.heartbeat().await })
    }

    fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>> {
        Box::pin(async move { self.store()?.claim(trace).await })
    }

    fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move { self.store()?.release(trace).await })
    }

    fn readers(&self) -> Readers {
        Readers::of(LateReader(Arc::clone(&self.open)))
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            // What is half open may hold the lease, and only who has opened it can give that back.
            let under_way = self.under_way.lock().await.take();
            let opened = match under_way {
                Some(mut opening) => self.guarded(&mut opening).await.ok(),
                None => None,
            };
            match opened.as_ref().or(self.get()) {
                Some(store) => store.close().await,
                None => Ok(()),
            }
        })
    }
}

/// The readers of a store that is opened later.
struct LateReader(Arc<OnceLock<Arc<dyn TraceStore>>>);

impl LateReader {
    fn readers(&self) -> Result<Readers, ReadError> {
        self.0.get().map(|store| store.readers()).ok_or_else(|| ReadError::Unavailable {
            reason: "it was away when this process started, and could not be opened since".to_owned(),
            source: None,
        })
    }
}

/// Asks the readers of the open store.
macro_rules! ask {
    ($readers:ident: $($question:ident($($name:ident: $kind:ty),*) -> $answer:ty;)*) => {$(
        fn $question<'a>(&'a self $(, $name: $kind)*) -> BoxFuture<'a, Result<$answer, ReadError>> {
            Box::pin(async move { self.readers()?.$readers.$question($($name),*).await })
        }
    )*};
}

impl TraceReader for LateReader {
    ask! { reader:
        trace(id: TraceId) -> Vec<TraceEvent>;
        trace_page(id: TraceId, page: &'a Page) -> Paged<TraceEvent>;
        last_attempt(id: TraceId, job: &'a JobKey) -> Option<JobAttempt>;
        events(filter: &'a Filter, page: &'a Page) -> Paged<TraceEvent>;
        runs(filter: &'a Filter, page: &'a Page) -> Paged<RunSummary>;
        runs_without_causes(filter: &'a Filter, page: &'a Page) -> Paged<RunSummary>;
        run(id: TraceId) -> Option<RunSummary>;
        open_runs(page: &'a Page) -> Paged<OpenRun>;
        open_summaries(page: &'a Page) -> Paged<OpenSummary>;
        liveness(instances: &'a [InstanceId]) -> Vec<Liveness>;
        processes(instances: &'a [InstanceId]) -> Vec<Option<Process>>;
        secret() -> Option<Secret>;
        find_by_id_prefix(prefix: &'a str, limit: usize) -> Vec<TraceId>;
        safe_to_deploy(stuck_after: Duration) -> DeployCheck;
    }
}

impl TraceAnalytics for LateReader {
    ask! { analytics:
        failure_rate(scope: &'a Scope) -> Rate;
        failure_rate_by_type(scope: &'a Scope) -> Vec<TypeRate>;
        slowest_stages(scope: &'a Scope, limit: usize) -> Vec<StageTimes>;
        slowest_spans(scope: &'a Scope, limit: usize) -> Vec<SlowSpan>;
        compensation_rate(scope: &'a Scope) -> Rate;
        hot_spots(scope: &'a Scope, limit: usize) -> Vec<HotSpot>;
        decision_outcomes(scope: &'a Scope) -> Vec<ChoiceOutcome>;
        over_time(scope: &'a Scope, width: Duration) -> Vec<Bucket>;
    }
}
