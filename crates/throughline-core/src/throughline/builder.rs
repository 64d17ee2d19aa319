//! [`ThroughlineBuilder`], how a service describes what it records, and [`BuildError`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use futures_util::future::{Either, select};
use throughline_model::{
    BoxFuture, EventSink, FeedConfig, Instance, InstanceId, OpenError, Readers, SpoolConfig, StoreConfig,
    Text, TraceStream,
};
use throughline_redact::{Redaction, RedactionError, Redactor};

use super::Throughline;
use crate::delivery::{
    Durability, FeedDelivery, Retry, Room, StoreDelivery, WhenFull, not_opened_in, on_helper_thread, timer,
};
use crate::hub::{Hub, Sink};
use crate::metrics::{EventMetrics, Meter, Metrics, MetricsError, measure_delivery};
use crate::panics::remember_locations;
use crate::propagators::Propagators;

/// Configures how a service records its runs; nothing is opened before [`build`](Self::build).
#[must_use = "nothing is recorded before build()"]
pub struct ThroughlineBuilder {
    service: Text,
    store: Option<Arc<dyn StoreConfig>>,
    spool: Option<Box<dyn SpoolConfig>>,
    feeds: Vec<Arc<dyn FeedConfig>>,
    sinks: Vec<Box<dyn EventSink>>,
    metrics: Option<Metrics>,
    redaction: Redaction,
    propagators: Propagators,
    durability: Durability,
    retry: Retry,
    capacity: usize,
    when_full: Option<WhenFull>,
    open_timeout: Duration,
    version: Option<Text>,
    panic_locations: bool,
    disabled: bool,
}

impl ThroughlineBuilder {
    pub(crate) fn new(service: Text) -> Self {
        Self {
            service,
            store: None,
            spool: None,
            feeds: Vec::new(),
            sinks: Vec::new(),
            metrics: None,
            redaction: Redaction::standard(),
            propagators: Propagators::default(),
            durability: Durability::default(),
            retry: Retry::default(),
            capacity: 8192,
            when_full: None,
            open_timeout: Duration::from_secs(30),
            version: None,
            panic_locations: false,
            disabled: false,
        }
    }

    /// Where events are stored durably; a step waits for it before it begins. At most one.
    pub fn store(mut self, store: impl StoreConfig) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Where events wait while the store is unavailable, instead of blocking the workflow. A service then starts while its store is
    /// away, too: the store is opened when it is there.
    pub fn spool(mut self, spool: impl SpoolConfig) -> Self {
        self.spool = Some(Box::new(spool));
        self
    }

    /// Where events are published as they happen: bounded, never awaited. May be called several times.
    pub fn feed(mut self, feed: impl FeedConfig) -> Self {
        self.feeds.push(Arc::new(feed));
        self
    }

    /// An in-process receiver of events. May be called several times.
    pub fn sink(mut self, sink: impl EventSink) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    /// The recorder of metrics: durations and outcomes of runs and steps, measurements of middleware and hooks, and the
    /// figures of delivery. Nothing is measured without it.
    pub fn metrics(mut self, metrics: impl Into<Metrics>) -> Self {
        self.metrics = Some(metrics.into());
        self
    }

    /// How events are redacted; [`Redaction::standard`] by default.
    pub fn redaction(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// In which formats a context travels in the headers of requests; W3C Trace Context and Baggage by default.
    pub fn propagators(mut self, propagators: Propagators) -> Self {
        self.propagators = propagators;
        self
    }

    /// Whether a step waits until its start is stored.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How often a failing store is retried, and with which backoff.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// How many events may wait for each destination, 8192 by default. When the store's queue is full, no step begins
    /// before there is room, but the ends of running steps are still accepted; when a feed's is full, events are dropped and
    /// counted.
    pub fn queue_capacity(mut self, events: usize) -> Self {
        self.capacity = events;
        self
    }

    /// What a step or an event does that finds no room in the store's queue. By default it waits for as long as all
    /// attempts of [`retry`](Self::retry) may take, and then fails.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = Some(when_full);
        self
    }

    /// How long a store or a feed may take to be opened, 30 seconds by default. A store that takes longer is away: with a
    /// [spool](Self::spool) the service starts meanwhile, and otherwise the build fails. A new release may have to migrate a large
    /// store first, which takes longer once.
    pub fn open_timeout(mut self, timeout: Duration) -> Self {
        self.open_timeout = timeout;
        self
    }

    /// The version of the service, as in `env!("CARGO_PKG_VERSION")`: stores keep it of each process, so that it can be said
    /// which one was running when a run failed or its process died.
    pub fn version(mut self, version: impl Into<Text>) -> Self {
        self.version = Some(version.into());
        self
    }

    /// Records of each panic in a step where it happened, as in `at src/pay.rs:81`. Only a panic hook knows that, and there is
    /// one for the whole process: this installs one in front of the one that there is. A hook that is set later, and does not
    /// call the one before it, turns this off.
    pub fn panic_locations(mut self) -> Self {
        self.panic_locations = true;
        self
    }

    /// Records nothing at all, at almost no cost.
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.disabled = disabled;
        self
    }

    /// Opens the store and the feeds and starts delivery. Blocks until they are open; the readers of the store run on the
    /// store's own runtime, for as long as this handle exists.
    ///
    /// # Errors
    /// When the configuration is inconsistent, a redaction pattern is invalid, or a destination can't be opened. A store that is
    /// away is no error where there is a [spool](Self::spool).
    pub fn build(self) -> Result<Throughline, BuildError> {
        let opened = self.open()?;
        let readers = opened.store.as_ref().map(|store| store.readers.clone());
        let stream = opened.feeds.iter().find_map(|feed| feed.stream.clone());
        Ok(opened.into_throughline(readers, stream))
    }

    /// As [`build`](Self::build), without blocking; and the readers of the store and the stream of the feed are opened on
    /// the caller's runtime, so that they can be used for as long as that runs.
    ///
    /// # Errors
    /// Those of [`build`](Self::build).
    pub async fn build_async(self) -> Result<Throughline, BuildError> {
        let store = self.store.clone().filter(|_| !self.disabled);
        let feeds = if self.disabled { Vec::new() } else { self.feeds.clone() };
        let patience = self.open_timeout;
        let opened =
            on_helper_thread(move || self.open()).await.ok_or_else(|| OpenError::Unavailable {
                store: "throughline",
                reason: "the system starts no thread to open it on".to_owned(),
                source: None,
            })??;
        let readers = match (store, &opened.store) {
            // They are there when the store is.
            (Some(_), Some(delivery)) if delivery.is_late() => Some(delivery.readers.clone()),
            (Some(config), Some(delivery)) => {
                let readers = in_time(config.open_readers(), patience, config.name()).await?;
                Some(delivery.with_spool(readers))
            }
            _ => None,
        };
        let mut stream = None;
        for config in feeds {
            if stream.is_none() {
                stream = in_time(config.open_stream(), patience, "feed").await?;
            }
        }
        Ok(opened.into_throughline(readers, stream))
    }

    fn open(self) -> Result<OpenDestinations, BuildError> {
        if self.service.trim().is_empty() {
            return Err(BuildError::NoService);
        }
        if self.spool.is_some() && self.store.is_none() {
            return Err(BuildError::SpoolWithoutStore);
        }
        if self.capacity == 0 || self.capacity > tokio::sync::Semaphore::MAX_PERMITS {
            return Err(BuildError::QueueCapacity { given: self.capacity });
        }
        let redactor = self.redaction.build()?;
        let mut instance = Instance::new(InstanceId::random(), redactor.name(&self.service))
            .runs_on(redactor.name(&host_name()), std::process::id());
        if let Some(version) = &self.version {
            instance = instance.version(redactor.name(version));
        }
        let mut opened = OpenDestinations {
            instance: instance.clone(),
            enabled: !self.disabled,
            redactor,
            propagators: self.propagators,
            durability: self.durability,
            store: None,
            feeds: Vec::new(),
            sinks: Vec::new(),
            meter: Meter::off(),
        };
        if self.disabled {
            return Ok(opened);
        }
        if self.panic_locations {
            remember_locations();
        }
        if let Some(metrics) = self.metrics {
            opened.meter = metrics.into_meter(opened.redactor.clone())?;
        }
        let is_metered = opened.meter.is_on();
        if self.store.is_none() && self.feeds.is_empty() && self.sinks.is_empty() && !is_metered {
            return Err(BuildError::NoDestination);
        }
        if let Some(config) = self.store {
            let room = Room { capacity: self.capacity, when_full: self.when_full };
            let (retry, patience) = (self.retry, self.open_timeout);
            let delivery = StoreDelivery::start(config, self.spool, instance.clone(), retry, room, patience)?;
            if let Some(secret) = &delivery.secret {
                opened.redactor.pseudonym_key_if_unset(secret.as_bytes());
            }
            opened.store = Some(delivery);
        }
        // Where nobody has a secret, keys that look like personal data must be told apart at least.
        opened.redactor.pseudonym_key_if_unset(&rand::random::<[u8; 32]>());
        for config in self.feeds {
            let feed = FeedDelivery::start(config, instance.clone(), self.capacity, self.open_timeout)?;
            opened.feeds.push(feed);
        }
        for sink in self.sinks {
            sink.open(&instance, opened.store.as_ref().map(|store| &store.readers))?;
            opened.sinks.push(Sink::new(sink));
        }
        if is_metered {
            opened.sinks.push(Sink::new(Box::new(EventMetrics::new(&opened.meter))));
        }
        Ok(opened)
    }
}

/// What is opened on the runtime of the caller, whatever kind that is, if it takes no longer than this.
async fn in_time<T>(
    opening: BoxFuture<'_, Result<T, OpenError>>,
    patience: Duration,
    name: &'static str,
) -> Result<T, OpenError> {
    match select(opening, timer(patience)).await {
        Either::Left((opened, _)) => opened,
        Either::Right(_) => Err(not_opened_in(patience, name)),
    }
}

/// What has been opened, except for the readers.
struct OpenDestinations {
    instance: Instance,
    enabled: bool,
    redactor: Redactor,
    propagators: Propagators,
    durability: Durability,
    store: Option<StoreDelivery>,
    feeds: Vec<FeedDelivery>,
    sinks: Vec<Sink>,
    meter: Meter,
}

impl OpenDestinations {
    fn into_throughline(self, readers: Option<Readers>, stream: Option<Arc<dyn TraceStream>>) -> Throughline {
        let Self { instance, enabled, redactor, propagators, durability, store, feeds, sinks, meter } = self;
        let service = instance.service;
        Throughline(Arc::new_cyclic(|hub: &std::sync::Weak<Hub>| Hub {
            service: service.clone(),
            instance: instance.id,
            enabled,
            stopping: AtomicBool::new(false),
            redactor,
            propagators,
            durability,
            n: AtomicU64::new(0),
            store,
            readers,
            stream,
            feeds,
            sinks,
            claims: Arc::default(),
            background: Arc::default(),
            ledger_metrics: {
                let hub = hub.clone();
                measure_delivery(&meter, service.clone(), move || hub.upgrade().map(|hub| hub.report()))
            },
            meter,
        }))
    }
}

impl fmt::Debug for ThroughlineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThroughlineBuilder").field("redaction", &self.redaction).finish_non_exhaustive()
    }
}

/// Why a [`Throughline`] could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The service has no name.
    #[error("the service has no name: give one, as in Throughline::builder(\"loan-service\")")]
    NoService,
    /// Nothing would be recorded.
    #[error(
        "nothing would be recorded: add .store(..), .feed(..), .sink(..) or .metrics(..), or say .disabled(true)"
    )]
    NoDestination,
    /// There is a spool but no store.
    #[error("a spool holds events while the store is away, but there is no store: add .store(..)")]
    SpoolWithoutStore,
    /// The capacity of the queues is out of range.
    #[error("queue_capacity must be between 1 and {}, got {given}", tokio::sync::Semaphore::MAX_PERMITS)]
    QueueCapacity {
        /// What was asked for.
        given: usize,
    },
    /// The configuration of the metrics is invalid.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The configuration of the redaction is invalid.
    #[error(transparent)]
    Redaction(#[from] RedactionError),
    /// A destination can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// What this machine is called.
#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}
