//! The registry: which names are taken by what, and where a key leads.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use metrics::{Key, Label, SharedString, Unit};
use rustc_hash::FxHashMap;
use throughline_core::metrics::catalogue::{self, Kind};

use crate::buckets::Buckets;
use crate::family::{Admitted, Cell, Count, Family, Level};
use crate::histogram::Histogram;
use crate::name;

/// Families of one type; more are refused.
const FAMILY_LIMIT: usize = 5000;

/// All families.
pub(crate) struct Registry {
    counters: Table<Arc<Count>>,
    gauges: Table<Arc<Level>>,
    histograms: Table<Arc<Histogram>>,
    names: Names,
    pub(crate) buckets: Buckets,
    /// Series of a family; more are folded.
    series_limit: usize,
}

/// The families of one type.
struct Table<C> {
    /// By their names as they are exposed, but without a counter's `_total`.
    families: RwLock<BTreeMap<Arc<str>, Arc<Family<C>>>>,
    /// Where keys lead that were seen before, as their callers spell them.
    known: RwLock<FxHashMap<Key, C>>,
}

/// A family of any type.
pub(crate) enum AnyFamily {
    Counter(Arc<Family<Arc<Count>>>),
    Gauge(Arc<Family<Arc<Level>>>),
    Histogram(Arc<Family<Arc<Histogram>>>),
}

impl AnyFamily {
    /// As it is exposed, but without a counter's `_total`.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Counter(family) => &family.name,
            Self::Gauge(family) => &family.name,
            Self::Histogram(family) => &family.name,
        }
    }
}

/// What is said of a family.
#[derive(Clone)]
pub(crate) struct Described {
    pub(crate) unit: Option<Unit>,
    pub(crate) help: SharedString,
}

impl Registry {
    pub(crate) fn new(buckets: Buckets, series_limit: usize) -> Self {
        Self {
            counters: Table::default(),
            gauges: Table::default(),
            histograms: Table::default(),
            names: Names::default(),
            buckets,
            series_limit,
        }
    }

    /// The cell of a counter; `None` if its name is refused.
    pub(crate) fn counter(&self, key: &Key) -> Option<Arc<Count>> {
        self.cell(&self.counters, key)
    }

    /// The cell of a gauge; `None` if its name is refused.
    pub(crate) fn gauge(&self, key: &Key) -> Option<Arc<Level>> {
        self.cell(&self.gauges, key)
    }

    /// The cell of a histogram; `None` if its name is refused.
    pub(crate) fn histogram(&self, key: &Key) -> Option<Arc<Histogram>> {
        self.cell(&self.histograms, key)
    }

    /// Says what a family means; the last word counts.
    pub(crate) fn describe(&self, kind: Kind, given: &str, described: Described) {
        let name = exposed(kind, given);
        let mut all = self.names.described.write().unwrap_or_else(PoisonError::into_inner);
        if all.len() < 3 * FAMILY_LIMIT || all.contains_key(&name) {
            all.insert(name, described);
        }
    }

    /// What was said of a family.
    pub(crate) fn described(&self, name: &str) -> Option<Described> {
        self.names.described.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All families in the order of their names.
    pub(crate) fn families(&self) -> Vec<AnyFamily> {
        let mut all: Vec<_> = self.counters.families().into_iter().map(AnyFamily::Counter).collect();
        all.extend(self.gauges.families().into_iter().map(AnyFamily::Gauge));
        all.extend(self.histograms.families().into_iter().map(AnyFamily::Histogram));
        all.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        all
    }

    fn cell<C: Cell>(&self, table: &Table<C>, key: &Key) -> Option<C> {
        if let Some(cell) = table.known.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return Some(cell.clone());
        }
        let family = self.family(table, key.name())?;
        let Admitted { cell, folded } = family.admit(key, self.series_limit);
        if folded {
            self.count_folded(&family.name);
        } else if family.may_remember(self.series_limit) {
            table.known.write().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), cell.clone());
        }
        Some(cell)
    }

    fn family<C: Cell>(&self, table: &Table<C>, given: &str) -> Option<Arc<Family<C>>> {
        let name = exposed(C::KIND, given);
        if let Some(family) = table.families.read().unwrap_or_else(PoisonError::into_inner).get(&*name) {
            return Some(Arc::clone(family));
        }
        let refused = {
            let mut families = table.families.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(family) = families.get(&*name) {
                return Some(Arc::clone(family));
            }
            if families.len() >= FAMILY_LIMIT {
                "there are too many names already; put what varies into a label"
            } else if !self.names.claim(&name, C::KIND) {
                "another metric of another type has samples of that name"
            } else {
                let family = Arc::new(Family::new(name.clone(), self.bounds::<C>(given, &name)));
                families.insert(name.into(), Arc::clone(&family));
                return Some(family);
            }
        };
        // Not under the lock: who takes the warning may measure something.
        self.names.refuse(&name, C::KIND, refused);
        None
    }

    fn bounds<C: Cell>(&self, given: &str, name: &str) -> Arc<[f64]> {
        if C::KIND == Kind::Histogram {
            self.buckets.of(given, self.described(name).and_then(|described| described.unit))
        } else {
            Arc::default()
        }
    }

    /// One more key had no place in this family.
    fn count_folded(&self, name: &str) {
        let overflow = catalogue::LABEL_OVERFLOW.description();
        let help = SharedString::const_str(overflow.help);
        self.describe(Kind::Counter, overflow.name, Described { unit: None, help });
        let key = Key::from_parts(overflow.name, vec![Label::new("metric", name.to_owned())]);
        // Not through `cell`: were this family itself full, it would count itself for ever.
        if let Some(family) = self.family(&self.counters, overflow.name) {
            metrics::CounterFn::increment(&*family.admit(&key, self.series_limit).cell, 1);
        }
    }
}

/// A family's name as it is exposed, but without a counter's `_total`.
fn exposed(kind: Kind, given: &str) -> String {
    let given = if kind == Kind::Counter { given.strip_suffix(name::TOTAL).unwrap_or(given) } else { given };
    name::metric(given).into_owned()
}

impl<C> Default for Table<C> {
    fn default() -> Self {
        Self { families: RwLock::default(), known: RwLock::default() }
    }
}

impl<C> Table<C> {
    fn families(&self) -> Vec<Arc<Family<C>>> {
        self.families.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// Who has which name, and what was said of it.
#[derive(Default)]
struct Names {
    /// The names of samples, and of families in OpenMetrics.
    taken: Mutex<HashSet<String>>,
    described: RwLock<HashMap<String, Described>>,
    /// Names that were refused and of which a warning was given.
    refused: Mutex<HashSet<String>>,
}

impl Names {
    /// Takes the names of a family's samples; `false` if one of them is taken.
    fn claim(&self, name: &str, kind: Kind) -> bool {
        let suffixes: &[&str] = match kind {
            Kind::Counter => &["", name::TOTAL, "_created"],
            Kind::Gauge => &[""],
            Kind::Histogram => &["", "_bucket", "_count", "_sum", "_created"],
        };
        let names = || suffixes.iter().map(|suffix| format!("{name}{suffix}"));
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free = !names().any(|name| taken.contains(&name));
        if free {
            taken.extend(names());
        }
        free
    }

    /// Warns of a name, once.
    fn refuse(&self, name: &str, kind: Kind, reason: &str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < FAMILY_LIMIT && refused.insert(name.to_owned()) {
            drop(refused);
            let kind = kind.as_str();
            tracing::warn!(target: "throughline", name, kind, "a metric is not measured: {reason}");
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics::CounterFn;

    use super::*;

    fn registry() -> Registry {
        Registry::new(Buckets::default(), 100)
    }

    #[test]
    fn a_name_has_one_type() {
        let registry = registry();
        assert!(registry.histogram(&Key::from_name("work")).is_some());
        assert!(registry.counter(&Key::from_name("work_total")).is_none());
        assert!(registry.gauge(&Key::from_name("work_count")).is_none());
        assert!(registry.gauge(&Key::from_name("workers")).is_some());
        assert_eq!(registry.families().iter().map(AnyFamily::name).collect::<Vec<_>>(), ["work", "workers"]);
    }

    #[test]
    fn every_name_of_the_catalogue_is_admitted_beside_all_the_others() {
        let registry = registry();
        let mut names = HashSet::new();
        for (_, metric) in catalogue::all() {
            let aliases = metric.aliases.iter().map(|alias| (alias.kind, alias.name.replace(['{', '}'], "")));
            for (kind, name) in std::iter::once((metric.kind, metric.name.to_owned())).chain(aliases) {
                let key = Key::from_name(name.clone());
                let admitted = match kind {
                    Kind::Counter => registry.counter(&key).is_some(),
                    Kind::Gauge => registry.gauge(&key).is_some(),
                    Kind::Histogram => registry.histogram(&key).is_some(),
                };
                assert!(admitted, "{name} clashes");
                names.insert(name);
            }
        }
        assert_eq!(registry.families().len(), names.len());
    }

    #[test]
    fn what_is_folded_is_counted() {
        let registry = registry();
        for path in 0..250 {
            let key = Key::from_parts("hits", vec![Label::new("path", format!("/{path}"))]);
            registry.counter(&key).unwrap().increment(1);
        }
        let overflow =
            Key::from_parts(catalogue::LABEL_OVERFLOW.description().name, vec![Label::new("metric", "hits")]);
        assert_eq!(registry.counter(&overflow).unwrap().parts().0, 150);
    }

    #[test]
    fn names_without_end_are_refused() {
        let registry = registry();
        for name in 0..FAMILY_LIMIT {
            assert!(registry.gauge(&Key::from_name(format!("n{name}"))).is_some());
        }
        assert!(registry.gauge(&Key::from_name("one_more")).is_none());
    }
}
