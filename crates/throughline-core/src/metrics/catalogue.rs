//! The catalogue: every metric of Throughline, defined once.
//!
//! Names follow the [OpenTelemetry semantic conventions](https://opentelemetry.io/docs/specs/semconv/) where there is
//! one, in Prometheus' spelling; what has none is `throughline_…`. Times are in seconds, sizes in bytes. The
//! [aliases](Alias) are the names that services used before, given by a [`Profile`](super::Profile).

mod calls;
mod http;
mod library;
mod resources;
mod web;
mod work;

use std::fmt;
use std::marker::PhantomData;

pub use calls::*;
pub use http::*;
pub use library::*;
pub use resources::*;
pub use web::*;
pub use work::*;

use super::{Counter, Gauge, Histogram};

/// Every metric, area by area.
pub fn all() -> impl Iterator<Item = (&'static str, &'static Description)> {
    let areas = [
        ("HTTP", HTTP),
        ("Calls across transports, and dependencies", CALLS),
        ("Workflows, steps, jobs and queues", WORK),
        ("States, resources and health", RESOURCES),
        ("Browsers", WEB),
        ("Throughline itself, the process and its runtime", LIBRARY),
    ];
    areas.into_iter().flat_map(|(area, metrics)| metrics.iter().map(move |metric| (area, *metric)))
}

/// Labels whose values are bounded by a service's own code. They are not capped.
pub(super) const OF_CODE: &[&str] = &["http_route"];

/// A metric of the catalogue: `K` is [`Counter`], [`Gauge`] or [`Histogram`], `N` the number of its labels.
pub struct Metric<K, const N: usize> {
    pub(super) description: Description,
    kind: PhantomData<fn() -> K>,
}

impl<K, const N: usize> Metric<K, N> {
    const fn new(description: Description) -> Self {
        assert!(description.labels.len() == N);
        Self { description, kind: PhantomData }
    }

    /// What is known of it.
    pub const fn description(&self) -> &Description {
        &self.description
    }
}

impl<K, const N: usize> fmt::Debug for Metric<K, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metric").field(&self.description.name).finish()
    }
}

/// What is known of a metric.
#[derive(Debug)]
#[non_exhaustive]
pub struct Description {
    /// Its name, as Prometheus spells it.
    pub name: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// What it is measured in.
    pub unit: Unit,
    /// Its meaning: the help text.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// The upper bounds of a histogram's buckets, without the infinite one; empty for others.
    pub buckets: &'static [f64],
    /// Its previous names.
    pub aliases: &'static [Alias],
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only goes up.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts values by size.
    Histogram,
}

impl Kind {
    /// The kind as Prometheus calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What a metric is measured in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// Things that can be counted, or a number without a unit.
    Count,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// The unit as metric names end in it; empty for counts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Count => "",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
        }
    }

    pub(super) const fn of_facade(self) -> metrics::Unit {
        match self {
            Self::Count => metrics::Unit::Count,
            Self::Seconds => metrics::Unit::Seconds,
            Self::Bytes => metrics::Unit::Bytes,
        }
    }
}

/// Another name for a metric, which a [`Profile`](super::Profile) turns on.
#[derive(Debug)]
#[non_exhaustive]
pub struct Alias {
    /// The name; `{prefix}` stands for the profile's prefix, any other name in braces for the value of that label.
    pub name: &'static str,
    /// Its kind: a counter may be made of a histogram.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [AliasLabel],
    /// Which series it is made of; all if `None`.
    pub only: Option<Only>,
}

/// Which series an [`Alias`] is made of.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Only {
    /// A label of the metric.
    pub label: &'static str,
    /// Whether a series with this value of the label belongs to them.
    pub belongs: fn(&str) -> bool,
}

/// A label of an [`Alias`].
#[derive(Debug)]
#[non_exhaustive]
pub struct AliasLabel {
    /// Its name.
    pub name: &'static str,
    /// The label of the metric whose value it has.
    pub of: &'static str,
    /// What becomes of the value.
    pub map: fn(&str) -> &str,
}

impl Alias {
    const fn counter(name: &'static str, labels: &'static [AliasLabel]) -> Self {
        Self { name, kind: Kind::Counter, labels, only: None }
    }

    const fn gauge(name: &'static str, labels: &'static [AliasLabel]) -> Self {
        Self { name, kind: Kind::Gauge, labels, only: None }
    }

    const fn histogram(name: &'static str, labels: &'static [AliasLabel]) -> Self {
        Self { name, kind: Kind::Histogram, labels, only: None }
    }

    const fn only(mut self, label: &'static str, belongs: fn(&str) -> bool) -> Self {
        self.only = Some(Only { label, belongs });
        self
    }
}

const fn label(name: &'static str, of: &'static str) -> AliasLabel {
    AliasLabel { name, of, map: |value| value }
}

const fn mapped(name: &'static str, of: &'static str, map: fn(&str) -> &str) -> AliasLabel {
    AliasLabel { name, of, map }
}

/// `success`, `failed`, `cancelled` as the executors before had it.
fn completed(status: &str) -> &str {
    if status == "success" { "completed" } else { status }
}

fn is_success(status: &str) -> bool {
    status == "success"
}

fn is_no_success(status: &str) -> bool {
    !is_success(status)
}

fn true_for_success(status: &str) -> &str {
    if is_success(status) { "true" } else { "false" }
}

/// Defines metrics, and a list with the description of each.
macro_rules! catalogue {
    ($all:ident: $(
        $id:ident: $kind:ident[$($label:literal),*] = $name:literal, $unit:ident, $help:literal
        $(, buckets: $buckets:expr)? $(, aliases: [$($alias:expr),* $(,)?])?;
    )*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help)]
            pub static $id: Metric<$kind, { <[&str]>::len(&[$($label),*]) }> = Metric::new(Description {
                name: $name,
                kind: Kind::$kind,
                unit: Unit::$unit,
                help: $help,
                labels: &[$($label),*],
                buckets: { const NONE: &[f64] = &[]; let buckets = NONE; $(let _ = buckets; let buckets: &[f64] = $buckets;)? buckets },
                aliases: &[$($($alias),*)?],
            });
        )*
        pub(super) static $all: &[&Description] = &[$($id.description()),*];
    };
}
use catalogue;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let mut seen = BTreeSet::new();
        for (_, metric) in all() {
            let Description { name, kind, unit, buckets, help, .. } = metric;
            assert!(seen.insert(*name), "{name} is defined twice");
            assert!(
                name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_'),
                "{name}"
            );
            assert_eq!(*kind == Kind::Counter, name.ends_with("_total"), "{name}");
            let stem = name.strip_suffix("_total").unwrap_or(name);
            assert!(stem.ends_with(unit.as_str()), "{name} is in {unit:?}");
            assert_eq!(*kind == Kind::Histogram, !buckets.is_empty(), "{name}");
            assert!(buckets.is_sorted_by(|a, b| a < b), "{name}");
            assert!(help.ends_with('.'), "{name}: {help}");
        }
    }

    #[test]
    fn aliases_refer_to_labels_that_are_there_and_to_kinds_that_can_be_made() {
        for (_, metric) in all() {
            for alias in metric.aliases {
                for label in alias.labels {
                    assert!(metric.labels.contains(&label.of), "{}: {}", alias.name, label.of);
                }
                if let Some(only) = alias.only {
                    assert!(metric.labels.contains(&only.label), "{}: {only:?}", alias.name);
                }
                let made = alias.kind == metric.kind
                    || (alias.kind == Kind::Counter && metric.kind == Kind::Histogram);
                assert!(made, "{} cannot be made of {}", alias.name, metric.name);
                for placeholder in alias.name.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                    let known = placeholder == "prefix" || metric.labels.contains(&placeholder);
                    assert!(known, "{}: {placeholder}", alias.name);
                }
            }
        }
    }
}
