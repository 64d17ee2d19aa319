//! What a recorder has measured so far, as data: for exporters that are not asked but send.

use throughline_model::Timestamp;

use super::Exemplar;
use super::catalogue::{Kind, Unit};

/// A recorder that can say what it has measured.
pub trait MetricSource: Send + Sync + 'static {
    /// The current value of every metric. It may read from the operating system: call it where blocking for a moment is
    /// allowed.
    fn snapshot(&self) -> MetricSnapshot;
}

/// What was measured up to now.
#[derive(Debug, Clone)]
pub struct MetricSnapshot {
    /// Since when it is added up.
    pub since: Timestamp,
    /// The metrics, by name.
    pub families: Vec<MetricFamily>,
}

/// The series of one metric.
#[derive(Debug, Clone)]
pub struct MetricFamily {
    /// Its name as in Prometheus, but without a counter's `_total`.
    pub name: String,
    /// What kind it is.
    pub kind: Kind,
    /// What it is measured in, if that is known.
    pub unit: Option<Unit>,
    /// Its meaning; empty if nobody said.
    pub help: String,
    /// The series.
    pub series: Vec<MetricSeries>,
}

/// The value of a metric for one set of labels.
#[derive(Debug, Clone)]
pub struct MetricSeries {
    /// Names and values.
    pub labels: Vec<(String, String)>,
    /// What was measured.
    pub value: MetricValue,
}

/// What was measured.
#[derive(Debug, Clone)]
pub enum MetricValue {
    /// A number of things.
    Count(u64),
    /// Any other number.
    Number(f64),
    /// How many values lie in each bucket.
    Buckets(MetricBuckets),
}

/// How many values lie in each bucket.
#[derive(Debug, Clone)]
pub struct MetricBuckets {
    /// The upper bounds, included, in ascending order; what lies above them all is in a bucket of its own.
    pub bounds: Vec<f64>,
    /// How many values there are in each, one more than there are bounds.
    pub counts: Vec<u64>,
    /// The sum of all values.
    pub sum: f64,
    /// Values that came from runs, at most one for each bucket.
    pub examples: Vec<MetricExample>,
}

/// A value, and the run that it came from.
#[derive(Debug, Clone, Copy)]
pub struct MetricExample {
    /// The run.
    pub run: Exemplar,
    /// The value.
    pub value: f64,
    /// When it was measured.
    pub at: Timestamp,
}
