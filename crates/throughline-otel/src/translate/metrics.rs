//! Metrics as messages of OTLP.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
    exemplar, number_data_point,
};
use throughline_core::metrics::catalogue::Kind;
use throughline_core::metrics::{
    MetricBuckets, MetricExample, MetricFamily, MetricSeries, MetricSnapshot, MetricValue,
};
use throughline_model::Timestamp;

use super::{Attributes, nanos};
use crate::semconv;

/// A message has so many series of one metric at most, so that a batch that is too large can be halved.
const SERIES: usize = 256;

/// All that was measured, added up since the recorder began.
pub(crate) fn metrics(snapshot: MetricSnapshot) -> Vec<Metric> {
    let (since, now) = (snapshot.since, Timestamp::now());
    snapshot.families.into_iter().flat_map(|family| of_family(family, since, now)).collect()
}

fn of_family(family: MetricFamily, since: Timestamp, now: Timestamp) -> Vec<Metric> {
    let named = semconv::metric(&family.name, family.kind, family.unit);
    let span = Span { since: nanos(since), now: nanos(now) };
    let of_series = |series: &[MetricSeries]| {
        let sum = |is_monotonic| {
            Data::Sum(Sum {
                data_points: series.iter().filter_map(|series| span.number(series)).collect(),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
                is_monotonic,
            })
        };
        match family.kind {
            Kind::Counter => sum(true),
            Kind::Gauge if named.is_sum => sum(false),
            Kind::Gauge => Data::Gauge(Gauge {
                data_points: series.iter().filter_map(|series| span.number(series)).collect(),
            }),
            Kind::Histogram => Data::Histogram(Histogram {
                data_points: series.iter().filter_map(|series| span.buckets(series)).collect(),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
            }),
        }
    };
    let messages = family.series.chunks(SERIES).map(|series| Metric {
        name: named.name.to_string(),
        description: family.help.clone(),
        unit: named.unit.to_owned(),
        data: Some(of_series(series)),
        ..Metric::default()
    });
    messages.collect()
}

/// The time that data points are of.
struct Span {
    since: u64,
    now: u64,
}

impl Span {
    fn number(&self, series: &MetricSeries) -> Option<NumberDataPoint> {
        let value = match series.value {
            MetricValue::Count(count) => match i64::try_from(count) {
                Ok(count) => number_data_point::Value::AsInt(count),
                Err(_) => number_data_point::Value::AsDouble(count as f64),
            },
            MetricValue::Number(number) => number_data_point::Value::AsDouble(number),
            MetricValue::Buckets(_) => return None,
        };
        Some(NumberDataPoint {
            attributes: attributes(series).into(),
            start_time_unix_nano: self.since,
            time_unix_nano: self.now,
            value: Some(value),
            ..NumberDataPoint::default()
        })
    }

    fn buckets(&self, series: &MetricSeries) -> Option<HistogramDataPoint> {
        let MetricValue::Buckets(MetricBuckets { bounds, counts, sum, examples }) = &series.value else {
            return None;
        };
        // A sum that may fall says nothing of how it was added up.
        let is_signed = bounds.first().is_some_and(|lowest| *lowest < 0.0);
        Some(HistogramDataPoint {
            attributes: attributes(series).into(),
            start_time_unix_nano: self.since,
            time_unix_nano: self.now,
            count: counts.iter().sum(),
            sum: (!is_signed).then_some(*sum),
            bucket_counts: counts.clone(),
            explicit_bounds: bounds.clone(),
            exemplars: examples.iter().map(exemplar).collect(),
            ..HistogramDataPoint::default()
        })
    }
}

fn exemplar(example: &MetricExample) -> Exemplar {
    Exemplar {
        time_unix_nano: nanos(example.at),
        trace_id: example.run.trace_id.to_bytes().to_vec(),
        span_id: super::span_id(example.run.span_id),
        value: Some(exemplar::Value::AsDouble(example.value)),
        ..Exemplar::default()
    }
}

fn attributes(series: &MetricSeries) -> Attributes {
    let mut attributes = Attributes::new(usize::MAX);
    for (label, value) in &series.labels {
        let key = semconv::label(label);
        match value.parse() {
            Ok(number) if semconv::is_number(key) => attributes.number(key, number),
            _ => attributes.text(key, value),
        }
    }
    attributes
}
