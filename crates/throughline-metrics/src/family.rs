//! Families: the series of one name, and how many of them there may be.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use metrics::{CounterFn, Key, Label};
use throughline_core::metrics::OVERFLOW;
use throughline_core::metrics::catalogue::Kind;

use crate::histogram::Histogram;
use crate::name;

/// What the values of a series are kept in: cheap to clone, the same for all who ask for the series.
pub(crate) trait Cell: Clone {
    const KIND: Kind;

    /// The label that the type has for itself.
    const RESERVED_LABEL: Option<&'static str> = None;

    fn new(bounds: &Arc<[f64]>) -> Self;
}

/// What a counter has counted.
#[derive(Default)]
pub(crate) struct Count {
    whole: AtomicU64,
    /// The bits of an `f64`. The façade counts in whole numbers; what is read from the system may have a fraction.
    read: AtomicU64,
}

impl Count {
    /// Sets the part that is kept elsewhere, by someone who never goes back.
    pub(crate) fn set_read(&self, value: f64) {
        self.read.store(value.to_bits(), Ordering::Relaxed);
    }

    /// The whole part, and the part that may have a fraction.
    pub(crate) fn parts(&self) -> (u64, f64) {
        (self.whole.load(Ordering::Relaxed), f64::from_bits(self.read.load(Ordering::Relaxed)))
    }
}

impl CounterFn for Count {
    fn increment(&self, by: u64) {
        self.whole.fetch_add(by, Ordering::Relaxed);
    }

    fn absolute(&self, sum: u64) {
        self.whole.fetch_max(sum, Ordering::Relaxed);
    }
}

impl Cell for Arc<Count> {
    const KIND: Kind = Kind::Counter;

    fn new(_: &Arc<[f64]>) -> Self {
        Self::default()
    }
}

/// The bits of an `f64`.
pub(crate) type Level = AtomicU64;

impl Cell for Arc<Level> {
    const KIND: Kind = Kind::Gauge;

    fn new(_: &Arc<[f64]>) -> Self {
        Self::default()
    }
}

impl Cell for Arc<Histogram> {
    const KIND: Kind = Kind::Histogram;
    const RESERVED_LABEL: Option<&'static str> = Some("le");

    fn new(bounds: &Arc<[f64]>) -> Self {
        Self::new(Histogram::new(Arc::clone(bounds)))
    }
}

/// The series of one name.
pub(crate) struct Family<C> {
    /// As it is exposed, but without a counter's `_total`.
    pub(crate) name: String,
    /// Of a histogram.
    bounds: Arc<[f64]>,
    /// By their labels as these are exposed.
    series: RwLock<BTreeMap<Box<str>, C>>,
    /// How many keys lead here without being looked at again.
    remembered: AtomicUsize,
}

/// The cell of a key.
pub(crate) struct Admitted<C> {
    pub(crate) cell: C,
    /// Whether others share the cell because there were too many.
    pub(crate) folded: bool,
}

impl<C: Cell> Family<C> {
    pub(crate) fn new(name: String, bounds: Arc<[f64]>) -> Self {
        Self { name, bounds, series: RwLock::default(), remembered: AtomicUsize::new(0) }
    }

    pub(crate) fn series(&self) -> RwLockReadGuard<'_, BTreeMap<Box<str>, C>> {
        self.series.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cell of a key; beyond `limit` series, the one whose labels all have the value [`OVERFLOW`].
    pub(crate) fn admit(&self, key: &Key, limit: usize) -> Admitted<C> {
        let labels = name::labels(key.labels(), C::RESERVED_LABEL, Label::value);
        let own = |cell: &C| Admitted { cell: cell.clone(), folded: false };
        if let Some(cell) = self.series().get(&*labels) {
            return own(cell);
        }
        let mut series = self.series.write().unwrap_or_else(PoisonError::into_inner);
        let full = series.len() >= limit;
        match series.entry(labels.into()) {
            Entry::Occupied(entry) => return own(entry.get()),
            // The series without labels is one, and cannot flood anything.
            Entry::Vacant(entry) if !full || entry.key().is_empty() => {
                return own(entry.insert(C::new(&self.bounds)));
            }
            Entry::Vacant(_) => {}
        }
        let folded = name::labels(key.labels(), C::RESERVED_LABEL, |_| OVERFLOW);
        let cell = series.entry(folded.into()).or_insert_with(|| C::new(&self.bounds)).clone();
        Admitted { cell, folded: true }
    }

    /// Whether one more key may be remembered as leading here. A series can be spelt in many ways.
    pub(crate) fn may_remember(&self, limit: usize) -> bool {
        self.remembered
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < limit).then_some(n + 1))
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(labels: &[(&'static str, String)]) -> Key {
        let labels = labels.iter().map(|(name, value)| Label::new(*name, value.clone()));
        Key::from_parts("hits", labels.collect::<Vec<_>>())
    }

    #[test]
    fn too_many_series_are_folded_into_one() {
        let family = Family::<Arc<Count>>::new("hits".into(), Arc::default());
        for path in 0..1000 {
            family.admit(&key(&[("path", format!("/{path}"))]), 10).cell.increment(1);
        }
        assert_eq!(family.series().len(), 11);
        assert_eq!(family.series()[r#"path="_overflow""#].parts().0, 990);
        assert!(!family.admit(&key(&[("path", "/3".into())]), 10).folded, "what was there first stays");
        assert!(!family.admit(&key(&[]), 10).folded, "the series without labels has its place");
    }

    #[test]
    fn two_spellings_are_one_series() {
        let family = Family::<Arc<Count>>::new("hits".into(), Arc::default());
        family.admit(&key(&[("b", "2".into()), ("http.route", "/".into())]), 10).cell.increment(1);
        family.admit(&key(&[("http_route", "/".into()), ("b", "2".into())]), 10).cell.increment(1);
        let series = family.series();
        assert_eq!(
            series.iter().map(|(labels, cell)| (&**labels, cell.parts().0)).collect::<Vec<_>>(),
            [(r#"b="2",http_route="/""#, 2)]
        );
    }
}
