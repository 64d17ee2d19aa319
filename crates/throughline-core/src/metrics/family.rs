//! [`Family`]: the series of one metric, cached by the values of their labels, and kept from growing without bound.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

use super::catalogue::{self, Description, Metric};
use super::series::sealed::Sealed as _;
use super::series::{Counter, Gauge, Histogram, Instrument};
use super::{Measured, Meter, naming};
use throughline_model::Text;

/// The value that stands for all values of a label beyond its cap.
pub const OVERFLOW: &str = "_overflow";

/// Longer values are cut.
const VALUE_LIMIT: usize = 128;

/// Series of one metric. The caps of single labels multiply, and what is cached here lives as long as the meter.
const SERIES_LIMIT: usize = 10_000;

/// The series of a counter.
pub type CounterFamily<const N: usize> = Family<Counter, N>;
/// The series of a gauge.
pub type GaugeFamily<const N: usize> = Family<Gauge, N>;
/// The series of a histogram.
pub type HistogramFamily<const N: usize> = Family<Histogram, N>;

/// The series of one metric of the [catalogue], by the values of its `N` labels: obtained from a [`Meter`], to be kept by
/// the code that records. Cheap to clone; all copies from one meter share the series and their limits.
///
/// Label values are redacted, cut to 128 bytes, and bounded: each label has a
/// [cap](super::Metrics::label_cap), and what comes after is folded into [`OVERFLOW`]. Only the routes of a service are not
/// capped: its own code bounds them. A metric has at most 10,000
/// series; of further ones all labels are folded.
pub struct Family<I, const N: usize>(Option<Arc<Cache<I, N>>>);

struct Cache<I, const N: usize> {
    description: &'static Description,
    measured: Arc<Measured>,
    known: RwLock<Known<I, N>>,
    overflows: [OnceLock<Counter>; N],
}

struct Known<I, const N: usize> {
    series: HashTable<([Text; N], I)>,
    values: [BTreeSet<Text>; N],
}

impl<I: Instrument, const N: usize> Family<I, N> {
    pub(super) fn new(meter: &Meter, metric: &'static Metric<I, N>) -> Self {
        let Some(instruments) = &meter.0 else { return Self(None) };
        let description = metric.description();
        let mut families = instruments.families.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = families.get(description.name)
            && let Ok(cache) = Arc::clone(known).downcast()
        {
            return Self(Some(cache));
        }
        let cache = Arc::new(Cache::new(&instruments.measured, description));
        families.insert(description.name, Arc::<Cache<I, N>>::clone(&cache));
        // Not under the lock: the recorder is somebody else's code.
        drop(families);
        naming::describe(&instruments.measured, description);
        Self(Some(cache))
    }

    /// The series of these label values, in the order in which the catalogue has the labels; an empty value leaves its
    /// label out. Keep it if the values stay the same.
    pub fn with(&self, values: [&str; N]) -> I {
        let Some(cache) = &self.0 else { return I::default() };
        let known = cache.known.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.find(&values) {
            return series.clone();
        }
        drop(known);
        cache.unseen(values)
    }
}

impl<I: Instrument, const N: usize> Known<I, N> {
    fn find(&self, values: &[&str; N]) -> Option<&I> {
        let found = self.series.find(hash(values), |(own, _)| own.iter().zip(values).all(|(a, b)| a == b));
        found.map(|(_, series)| series)
    }
}

impl<I: Instrument, const N: usize> Cache<I, N> {
    fn new(measured: &Arc<Measured>, description: &'static Description) -> Self {
        let known = Known { series: HashTable::new(), values: std::array::from_fn(|_| BTreeSet::new()) };
        let overflows = std::array::from_fn(|_| OnceLock::new());
        Self { description, measured: Arc::clone(measured), known: RwLock::new(known), overflows }
    }

    /// Values that are new, folded, or changed by the redactor. Only what is in the end a series of its own is kept,
    /// so that a flood of values costs time and no memory.
    #[cold]
    fn unseen(&self, values: [&str; N]) -> I {
        let values = values.map(|value| cut(self.measured.redactor.findable(None, value)));
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let found = self.folded(&known, &values).and_then(|folded| {
            let series = known.find(&folded.values.each_ref().map(Text::as_str))?.clone();
            Some((folded.labels, series))
        });
        drop(known);
        if let Some((labels, series)) = found {
            self.count_overflows(labels);
            return series;
        }
        let folded = {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            self.admit(&mut known, &values);
            self.folded(&known, &values).unwrap_or_else(|| Folded::all(&values))
        };
        self.count_overflows(folded.labels);
        // Not under the lock: the recorder is somebody else's code.
        let plain = folded.values.each_ref().map(Text::as_str);
        let series = I::register(&self.measured, &naming::keys(&self.measured, self.description, &plain));
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.find(&plain) {
            return series.clone();
        }
        let hash = hash(&plain);
        known.series.insert_unique(hash, (folded.values, series.clone()), |(own, _)| {
            self::hash(&own.each_ref().map(Text::as_str))
        });
        series
    }

    /// Records values that their labels have room for.
    fn admit(&self, known: &mut Known<I, N>, values: &[Text; N]) {
        for (at, value) in values.iter().enumerate() {
            let seen = &mut known.values[at];
            let room = seen.len() < self.measured.metrics.label_cap || self.is_of_code(at);
            if !value.is_empty() && room {
                seen.insert(value.clone());
            }
        }
    }

    /// The values as they are kept; `None` if one of them is new and there is room for it.
    fn folded(&self, known: &Known<I, N>, values: &[Text; N]) -> Option<Folded<N>> {
        let mut folded = Folded { values: values.clone(), labels: [false; N] };
        for (at, value) in values.iter().enumerate() {
            let seen = &known.values[at];
            if value.is_empty() || seen.contains(value) {
                continue;
            }
            if seen.len() < self.measured.metrics.label_cap || self.is_of_code(at) {
                return None;
            }
            folded.fold(at);
        }
        let is_new = known.find(&folded.values.each_ref().map(Text::as_str)).is_none();
        if is_new && known.series.len() >= SERIES_LIMIT {
            return Some(Folded::all(values));
        }
        Some(folded)
    }

    /// Whether the values of a label are bounded by the service's own code.
    fn is_of_code(&self, label: usize) -> bool {
        catalogue::OF_CODE.contains(&self.description.labels[label])
    }

    fn count_overflows(&self, labels: [bool; N]) {
        labels.iter().enumerate().filter(|(_, folded)| **folded).for_each(|(at, _)| self.count_overflow(at));
    }

    fn count_overflow(&self, label: usize) {
        let counter = match self.overflows[label].get() {
            Some(counter) => counter,
            None => {
                // Not while the cell is locked: the recorder is somebody else's code.
                let counter = self.register_overflow(label);
                self.overflows[label].get_or_init(|| counter)
            }
        };
        counter.increment(1);
    }

    fn register_overflow(&self, label: usize) -> Counter {
        let overflow = catalogue::LABEL_OVERFLOW.description();
        self.measured.describe(overflow.name, overflow.kind, overflow);
        let values = [self.description.name, self.description.labels[label]];
        let keys = naming::keys(&self.measured, overflow, &values);
        Counter::register(&self.measured, &keys)
    }
}

/// Label values as they are kept, and which of them stand for others.
struct Folded<const N: usize> {
    values: [Text; N],
    labels: [bool; N],
}

impl<const N: usize> Folded<N> {
    /// All of them, of a metric that has too many series.
    fn all(values: &[Text; N]) -> Self {
        let mut folded = Self { values: values.clone(), labels: [false; N] };
        (0..N).filter(|at| !values[*at].is_empty()).for_each(|at| folded.fold(at));
        folded
    }

    fn fold(&mut self, label: usize) {
        self.values[label] = Text::literal(OVERFLOW);
        self.labels[label] = true;
    }
}

fn hash<const N: usize>(values: &[&str; N]) -> u64 {
    FxBuildHasher.hash_one(values)
}

fn cut(value: Cow<'_, str>) -> Text {
    if value.len() <= VALUE_LIMIT {
        value.into()
    } else {
        value[..value.floor_char_boundary(VALUE_LIMIT)].to_owned().into()
    }
}

impl<I, const N: usize> Clone for Family<I, N> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<I, const N: usize> fmt::Debug for Family<I, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Family").field(&self.0.as_ref().map(|cache| cache.description.name)).finish()
    }
}
