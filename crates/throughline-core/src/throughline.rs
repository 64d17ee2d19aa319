//! [`Throughline`], the handle that everything starts from, and its builder.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use crate::context::{Resume, Workflow};
use crate::delivery::{FeedDelivery, StoreDelivery, on_helper_thread};
use crate::hub::{Hub, Sink};
use crate::metrics::{EventMetrics, Meter, Metrics, MetricsError, measure_ledger};
use crate::redaction::{Redaction, RedactionError, Redactor};
use crate::{DeliveryReport, Retry};
use throughline_model::{
    EventSink, FeedConfig, Instance, InstanceId, OpenError, ReadError, SpoolConfig, StoreConfig, Text,
    TraceAnalytics, TraceId, TraceReader, TraceStream,
};
use throughline_query::TraceQuery;

/// Records what workflows do: the handle that a service keeps, cheap to clone.
///
/// ```
/// use throughline_core::{MemoryStore, NotStarted, Throughline};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let throughline = Throughline::builder("loan-service").store(store.clone()).build()?;
///
/// let offer = throughline
///     .workflow("loan-approval")
///     .key("loan-42")
///     .run(|ctx| async move {
///         let score = ctx.trace("stage:credit-check", async { Ok::<_, NotStarted>(712) }).await??;
///         Ok::<_, NotStarted>(score > 700)
///     })
///     .await??;
///
/// assert!(offer);
/// assert_eq!(store.events().len(), 4); // two starts, two ends
/// # throughline.shutdown(std::time::Duration::from_secs(5)).await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Throughline(pub(crate) Arc<Hub>);

impl Throughline {
    /// Begins to describe how a service records its runs.
    pub fn builder(service: impl Into<Text>) -> ThroughlineBuilder {
        ThroughlineBuilder {
            service: service.into(),
            store: None,
            spool: None,
            feeds: Vec::new(),
            sinks: Vec::new(),
            metrics: None,
            redaction: Redaction::standard(),
            durability: Durability::default(),
            retry: Retry::default(),
            capacity: 8192,
            disabled: false,
        }
    }

    /// Begins a run of a workflow.
    ///
    /// With a [`key`](Workflow::key) the run has a trace of its own, the same whenever the key is the same;
    /// started inside another run it links that as `caused_by`. Without a key it stays in the trace of the
    /// [current](crate::TraceContext::current) context, if there is one.
    pub fn workflow(&self, name: impl Into<Text>) -> Workflow {
        Workflow::new(self.clone(), name.into())
    }

    /// Continues a run that another instance left unfinished, in the same trace.
    pub fn resume(&self, trace_id: TraceId) -> Resume {
        Resume::new(self.clone(), trace_id)
    }

    /// The questions about single runs; `None` without a store.
    pub fn reader(&self) -> Option<Arc<dyn TraceReader>> {
        self.0.store.as_ref().map(|store| Arc::clone(&store.reader))
    }

    /// The questions across runs; `None` without a store.
    pub fn analytics(&self) -> Option<Arc<dyn TraceAnalytics>> {
        self.0.store.as_ref().map(|store| Arc::clone(&store.analytics))
    }

    /// What happens now; `None` without a feed that can be read from here.
    pub fn stream(&self) -> Option<Arc<dyn TraceStream>> {
        self.0.feeds.iter().find_map(|feed| feed.stream.clone())
    }

    /// One run, ready to be questioned.
    ///
    /// # Errors
    /// When the store does not answer, or there is none.
    pub async fn query(&self, trace_id: TraceId) -> Result<TraceQuery, ReadError> {
        let reader = self.reader().ok_or_else(|| ReadError::BadQuestion {
            reason: "nothing is kept without a store: add .store(..) to the builder".to_owned(),
        })?;
        TraceQuery::read(&*reader, trace_id).await
    }

    /// The pseudonym under which a value is kept in `correlation_id`, attributes and tags if the redactor
    /// hits it, else the value itself: what finders must look for.
    pub fn findable(&self, value: &str) -> Text {
        self.0.redactor.findable(None, value).into()
    }

    /// Where middleware and hooks get the series of the [metrics](crate::metrics) that they record.
    pub fn meter(&self) -> &Meter {
        &self.0.meter
    }

    /// What takes out of events what must not leave the process: for what layers show or log by themselves.
    pub fn redactor(&self) -> &Redactor {
        &self.0.redactor
    }

    /// What became of the events so far, for each destination.
    pub fn ledger(&self) -> DeliveryReport {
        self.0.report()
    }

    /// Waits until nothing is pending, at most for `timeout`, and says what became of the events.
    pub async fn flush(&self, timeout: Duration) -> DeliveryReport {
        let (hub, deadline) = (Arc::clone(&self.0), Instant::now() + timeout);
        let waited = on_helper_thread(move || {
            hub.queues().for_each(|queue| queue.wait_idle(deadline));
            hub.report()
        });
        waited.await.unwrap_or_else(|| self.0.report())
    }

    /// Takes no new steps, delivers what there is, gives the lease back, and says what was delivered, what is
    /// pending (in the spool, or because the store did not answer in time) and what was lost. Returns after
    /// `timeout` at the latest, whatever the store does.
    pub async fn shutdown(&self, timeout: Duration) -> DeliveryReport {
        let (hub, now) = (Arc::clone(&self.0), Instant::now());
        // The delivery threads stop trying a little earlier, so that what they gave up is in the report.
        let (give_up, deadline) = (now + timeout.mul_f64(0.9), now + timeout);
        self.0.queues().for_each(|queue| queue.close(give_up));
        let waited = on_helper_thread(move || {
            hub.queues().for_each(|queue| queue.wait_finished(deadline));
            hub.report()
        });
        waited.await.unwrap_or_else(|| self.0.report())
    }
}

impl fmt::Debug for Throughline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throughline")
            .field("service", &self.0.service)
            .field("instance", &self.0.instance)
            .field("ledger", &self.0.report())
            .finish_non_exhaustive()
    }
}

/// How a step and its start in the store hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// A step begins when its start is durable.
    #[default]
    Strict,
    /// A step begins at once, and ends when both it and its start are done: one round trip to the store less,
    /// at the price that a step may have begun although it is then reported as
    /// [not started](crate::NotStarted).
    Pipelined,
}

/// Describes how a service records its runs; nothing is touched before [`build`](Self::build).
#[must_use = "nothing is recorded before build()"]
pub struct ThroughlineBuilder {
    service: Text,
    store: Option<Box<dyn StoreConfig>>,
    spool: Option<Box<dyn SpoolConfig>>,
    feeds: Vec<Box<dyn FeedConfig>>,
    sinks: Vec<Box<dyn EventSink>>,
    metrics: Option<Metrics>,
    redaction: Redaction,
    durability: Durability,
    retry: Retry,
    capacity: usize,
    disabled: bool,
}

impl ThroughlineBuilder {
    /// Where events are kept: durable, awaited before a step goes on. At most one.
    pub fn store(mut self, store: impl StoreConfig) -> Self {
        self.store = Some(Box::new(store));
        self
    }

    /// Where events wait while the store is away, instead of blocking the workflow.
    pub fn spool(mut self, spool: impl SpoolConfig) -> Self {
        self.spool = Some(Box::new(spool));
        self
    }

    /// Where events are seen as they happen: bounded, never awaited. Called again, one more.
    pub fn feed(mut self, feed: impl FeedConfig) -> Self {
        self.feeds.push(Box::new(feed));
        self
    }

    /// What sees events in this process. Called again, one more.
    pub fn sink(mut self, sink: impl EventSink) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    /// Where measurements go: durations and outcomes of runs and steps, what middleware and hooks measure, and the
    /// ledger. Nothing is measured without it.
    pub fn metrics(mut self, metrics: impl Into<Metrics>) -> Self {
        self.metrics = Some(metrics.into());
        self
    }

    /// What must not leave the process; [`Redaction::standard`] unless said otherwise.
    pub fn redaction(mut self, redaction: Redaction) -> Self {
        self.redaction = redaction;
        self
    }

    /// How a step and its start in the store hang together.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How often and how patiently a failing store is asked again.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// How many events may wait for each destination, 8192 unless said otherwise. When the store's queue is full, no step
    /// begins before there is room, while the ends of those that run are taken all the same; when a feed's is full, events
    /// are dropped and counted.
    pub fn queue_capacity(mut self, events: usize) -> Self {
        self.capacity = events;
        self
    }

    /// Records nothing at all, at hardly any cost.
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.disabled = disabled;
        self
    }

    /// Opens the store and the feeds and starts to deliver.
    ///
    /// # Errors
    /// When the combination makes no sense, a pattern of the redaction is wrong, or a destination can't be
    /// opened.
    pub fn build(self) -> Result<Throughline, BuildError> {
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
        let instance = Instance::new(InstanceId::random(), redactor.name(&self.service));
        let (mut store, mut feeds, mut sinks) = (None, Vec::new(), Vec::new());
        let mut meter = Meter::off();
        if !self.disabled {
            if let Some(metrics) = self.metrics {
                meter = metrics.into_meter(redactor.clone())?;
            }
            if self.store.is_none() && self.feeds.is_empty() && self.sinks.is_empty() && !meter.is_on() {
                return Err(BuildError::NoDestination);
            }
            if let Some(config) = self.store {
                let delivery =
                    StoreDelivery::start(config, self.spool, instance.clone(), self.retry, self.capacity)?;
                store = Some(delivery);
            }
            for config in self.feeds {
                feeds.push(FeedDelivery::start(config, instance.clone(), self.capacity)?);
            }
            sinks = self.sinks.into_iter().map(Sink::new).collect();
            if meter.is_on() {
                sinks.push(Sink::new(Box::new(EventMetrics::new(&meter))));
            }
        }
        Ok(Throughline(Arc::new_cyclic(|hub| Hub {
            service: instance.service,
            instance: instance.id,
            enabled: !self.disabled,
            redactor,
            durability: self.durability,
            n: AtomicU64::new(0),
            store,
            feeds,
            sinks,
            ledger_metrics: measure_ledger(&meter, hub.clone()),
            meter,
        })))
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
    /// A spool has nothing to stand in for.
    #[error("a spool holds events while the store is away, but there is no store: add .store(..)")]
    SpoolWithoutStore,
    /// A queue of this capacity is no use.
    #[error("a queue of {given} events is no use: .queue_capacity(..) wants at least 1 and less than 2^60")]
    QueueCapacity {
        /// What was asked for.
        given: usize,
    },
    /// The metrics can't be had as they were described.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The redaction can't be used as it is.
    #[error(transparent)]
    Redaction(#[from] RedactionError),
    /// A destination can't be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}
