//! The registry as data, for exporters that send.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use throughline_core::Timestamp;
use throughline_core::metrics::catalogue::Unit;
use throughline_core::metrics::{
    MetricBuckets, MetricExample, MetricFamily, MetricSeries, MetricSnapshot, MetricValue,
};

use crate::family::{Cell, Count, Family, Level};
use crate::histogram::Histogram;
use crate::name;
use crate::registry::{AnyFamily, Registry};

/// Every metric that is there.
pub(crate) fn snapshot(registry: &Registry, since: Timestamp) -> MetricSnapshot {
    let families = registry.families();
    let families = families.iter().map(|family| match family {
        AnyFamily::Counter(family) => read(registry, family, counted),
        AnyFamily::Gauge(family) => read(registry, family, leveled),
        AnyFamily::Histogram(family) => read(registry, family, distributed),
    });
    MetricSnapshot { since, families: families.collect() }
}

fn read<C: Cell>(registry: &Registry, family: &Family<C>, value: impl Fn(&C) -> MetricValue) -> MetricFamily {
    let described = registry.described(&family.name);
    let series = family.series();
    let series = series
        .iter()
        .map(|(labels, cell)| MetricSeries { labels: name::read_labels(labels), value: value(cell) });
    let unit = described.as_ref().and_then(|described| match described.unit? {
        metrics::Unit::Count => Some(Unit::Count),
        metrics::Unit::Seconds => Some(Unit::Seconds),
        metrics::Unit::Bytes => Some(Unit::Bytes),
        _ => None,
    });
    MetricFamily {
        name: family.name.clone(),
        kind: C::KIND,
        unit,
        help: described.map(|described| described.help.into_owned()).unwrap_or_default(),
        series: series.collect(),
    }
}

fn counted(count: &Arc<Count>) -> MetricValue {
    match count.parts() {
        (whole, 0.0) => MetricValue::Count(whole),
        (whole, read) => MetricValue::Number(whole as f64 + read),
    }
}

fn leveled(level: &Arc<Level>) -> MetricValue {
    MetricValue::Number(f64::from_bits(level.load(Ordering::Relaxed)))
}

fn distributed(histogram: &Arc<Histogram>) -> MetricValue {
    let (buckets, sum) = histogram.read();
    let up_to = |at: usize| at.checked_sub(1).and_then(|at| buckets.get(at)).map_or(0, |one| one.cumulative);
    let examples = buckets.iter().filter_map(|bucket| bucket.exemplar.as_ref());
    MetricValue::Buckets(MetricBuckets {
        bounds: buckets.iter().map(|bucket| bucket.le).filter(|le| le.is_finite()).collect(),
        counts: buckets
            .iter()
            .enumerate()
            .map(|(at, bucket)| bucket.cumulative.saturating_sub(up_to(at)))
            .collect(),
        sum,
        examples: examples
            .map(|sample| MetricExample { run: sample.run, value: sample.value, at: sample.at })
            .collect(),
    })
}
