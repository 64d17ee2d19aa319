//! [`OtlpMetrics`]: what is measured, sent every minute.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::bytes::Bytes;
use throughline_core::metrics::MetricSource;
use throughline_model::{BoxFuture, EventSink, Instance, OpenError, Readers, SinkAccount, TraceEvent};
use tokio::time::Instant;

use crate::backlog::Item;
use crate::config::{Batching, Otlp};
use crate::deadline::at;
use crate::ledger::Ledger;
use crate::ship::{Parcel, Plan, Shipping, Source};
use crate::translate;
use crate::wire::{OfProcess, Request, encoded};

/// The name of the sink in reports.
const NAME: &str = "otlp_metrics";

/// Exports what is measured: a sink for `Throughline::builder(..).sink(..)`, made by [`Otlp::metrics`].
///
/// It has a thread of its own. The delivery report says of each data point what became of it.
#[must_use = "nothing is exported before it is given to the builder"]
pub struct OtlpMetrics {
    source: Arc<dyn MetricSource>,
    interval: Duration,
    is_off: bool,
    plan: Plan,
    shipping: Shipping,
}

impl Otlp {
    /// Exports what this recorder measures to the same collector, every minute and when the emitter is flushed or shut down; by
    /// the names of the semantic conventions, with exemplars. A second sink beside this one:
    ///
    /// ```
    /// # use throughline_otel::Otlp;
    /// # fn with(source: impl throughline_core::metrics::MetricSource) {
    /// let otlp = Otlp::new();
    /// let metrics = otlp.metrics(source);
    /// let builder = throughline_core::Throughline::builder("loan-service").sink(otlp).sink(metrics);
    /// # }
    /// ```
    pub fn metrics(&self, source: impl MetricSource) -> OtlpMetrics {
        // A snapshot is as large as what is measured, and the next one replaces what of it still waits.
        let batching = Batching { delay: Duration::ZERO, capacity: usize::MAX, ..self.batching };
        OtlpMetrics {
            source: Arc::new(source),
            interval: self.interval,
            is_off: self.has_no_metrics,
            plan: Plan::new(self, &self.metrics, batching),
            shipping: Shipping::default(),
        }
    }
}

impl OtlpMetrics {
    /// How often metrics are sent, every minute by default.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }
}

impl EventSink for OtlpMetrics {
    fn name(&self) -> &str {
        NAME
    }

    fn on_event(&self, _: &Arc<TraceEvent>) {}

    fn open(&self, instance: &Instance, _: Option<&Readers>) -> Result<(), OpenError> {
        if self.is_off {
            return Ok(());
        }
        let ticks = Ticks {
            source: Arc::clone(&self.source),
            ledger: Arc::clone(&self.shipping.ledger),
            interval: self.interval,
            next: Instant::now().checked_add(self.interval),
        };
        self.shipping.open(NAME, &self.plan, instance, ticks)
    }

    fn flush(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.shipping.flush(timeout, false))
    }

    fn close(&self, timeout: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.shipping.flush(timeout, true))
    }

    fn account(&self) -> Option<SinkAccount> {
        Some(self.shipping.account())
    }
}

/// Without what an address may have in it.
impl fmt::Debug for OtlpMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpMetrics")
            .field("metrics", &self.plan.place())
            .field("interval", &self.interval)
            .finish_non_exhaustive()
    }
}

/// What is measured, again and again.
struct Ticks {
    source: Arc<dyn MetricSource>,
    ledger: Arc<Ledger>,
    interval: Duration,
    /// Never, if nobody lives to see it.
    next: Option<Instant>,
}

impl Source for Ticks {
    type Parcel = Measured;

    const WHAT: &'static str = "metrics";

    const IS_A_STATE: bool = true;

    async fn wait(&mut self) {
        at(self.next).await;
    }

    fn take(&mut self) -> Vec<Measured> {
        if self.next.is_some_and(|next| next <= Instant::now()) { self.take_now(false) } else { Vec::new() }
    }

    fn take_now(&mut self, _: bool) -> Vec<Measured> {
        self.next = Instant::now().checked_add(self.interval);
        let measured: Vec<_> = translate::metrics(self.source.snapshot()).iter().map(Measured::new).collect();
        self.ledger.accept(measured.iter().map(|measured| measured.points as u64).sum());
        measured
    }
}

/// Data points of a metric.
struct Measured {
    metric: Bytes,
    points: usize,
}

impl Measured {
    fn new(metric: &Metric) -> Self {
        let points = match &metric.data {
            Some(Data::Gauge(gauge)) => gauge.data_points.len(),
            Some(Data::Sum(sum)) => sum.data_points.len(),
            Some(Data::Histogram(histogram)) => histogram.data_points.len(),
            _ => 0,
        };
        Self { metric: encoded(metric), points }
    }
}

impl Item for Measured {
    fn bytes(&self) -> usize {
        self.metric.len()
    }

    fn weight(&self) -> usize {
        self.points
    }
}

impl Parcel for Measured {
    fn request<'p>(resource: &Resource, parcels: impl Iterator<Item = &'p Self>) -> Request {
        let metrics = parcels.map(|measured| measured.metric.clone()).collect();
        Request { processes: vec![OfProcess::new(resource.clone(), translate::scope(), metrics)] }
    }
}
