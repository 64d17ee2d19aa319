//! [`Snapshot`]: what a page said, by family of series, and what it said more than the page before.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::io::{self, BufRead};

use rustc_hash::{FxHashMap, FxHasher};
use serde::{Deserialize, Serialize};

use crate::page::{self, Kind, Said, Sample};

/// How many series are compared with the scrape before; of others it is not known what is new.
const MOST_SERIES: usize = 2_000_000;
/// How many families are kept; others are counted.
const MOST_FAMILIES: usize = 2_000;
/// Labels that say how something ended.
const OUTCOMES: [&str; 9] = [
    "status",
    "code",
    "status_code",
    "http_status",
    "http_status_code",
    "http_response_status_code",
    "outcome",
    "result",
    "error_type",
];
/// What names of counters of failures end with, before `_total`.
const OF_FAILURES: [&str; 6] = ["_err", "_errs", "_error", "_errors", "_failed", "_failures"];
/// Since when a process runs, as clients of Prometheus say it, and for how long, as others do.
const START: &str = "process_start_time_seconds";
const UPTIME: &str = "uptime_seconds";

/// One scrape, by family: a line of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When, in RFC 3339.
    pub at: String,
    /// The address that was scraped, without user, password and query.
    pub target: String,
    /// Whether it answered with a page.
    pub up: bool,
    /// Why it did not.
    pub error: Option<String>,
    /// How long that took.
    pub took_ms: u64,
    /// For how long its process runs, if the page says so.
    pub uptime_seconds: Option<f64>,
    /// Whether its process started again since the scrape before.
    pub restarted: bool,
    /// How many series the page has.
    pub series: u64,
    /// How many lines of it could not be read.
    pub malformed: u64,
    /// How many of its series are in families that were left out, because there are too many.
    pub left_out: u64,
    /// What it says, by name.
    pub families: Vec<Family>,
}

/// The series of one name, taken together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// How many series it has.
    pub series: u64,
    /// The sum of their values; of a histogram or a summary, how often something was counted.
    pub value: f64,
    /// By how much that grew since the scrape before; what starts again counts from zero. `null` at the first scrape, and of what
    /// does not only grow.
    pub increase: Option<f64>,
    /// How much of it failed, if a label or another counter says so.
    pub errors: Option<Errors>,
    /// The percentiles of what was counted since the scrape before, or, where that is nothing, ever.
    pub percentiles: Option<Percentiles>,
}

/// How much of a family failed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    /// The sum of the values of series that stand for failures.
    pub value: f64,
    /// By how much that grew.
    pub increase: Option<f64>,
    /// Which part of the whole failed: since the scrape before, or, where nothing happened, ever.
    pub share: f64,
}

/// Percentiles, interpolated within buckets as Prometheus does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// Of 95 %.
    pub p95: f64,
    /// Of 99 %.
    pub p99: f64,
}

/// What a scrape leaves to the next one.
#[derive(Default)]
pub(crate) struct Memory {
    counters: FxHashMap<u64, f64>,
    started: Option<f64>,
    is_first: bool,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self { is_first: true, ..Self::default() }
    }
}

/// What a page said.
pub(crate) struct Read {
    pub(crate) summary: page::Summary,
    pub(crate) families: Vec<Family>,
    pub(crate) left_out: u64,
    pub(crate) uptime_seconds: Option<f64>,
    pub(crate) restarted: bool,
}

/// A value, and by how much it grew.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    value: f64,
    increase: f64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        // JSON has no infinity.
        self.value = (self.value + other.value).clamp(f64::MIN, f64::MAX);
        self.increase = (self.increase + other.increase).clamp(f64::MIN, f64::MAX);
    }
}

#[derive(Default)]
struct Building {
    kind: Option<Kind>,
    series: u64,
    sum: Sum,
    errors: Option<Sum>,
    /// By their upper bounds.
    buckets: BTreeMap<u64, (f64, Sum)>,
    /// Percentiles that the service computed, of the series that has the highest ones.
    quantiles: [Option<f64>; 3],
}

/// What a sample is of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Its value.
    Counter,
    Gauge,
    /// How often.
    Count,
    Bucket,
    Quantile,
    /// The sum of what was counted.
    Other,
}

/// Reads a page and compares it with the one before. Nothing is remembered of a page that breaks off.
pub(crate) fn read(page: impl BufRead, memory: &mut Memory, now: f64) -> io::Result<Read> {
    let mut reader = Reader::new(memory);
    let summary = page::read(page, |said| match said {
        Said::Type { name, kind } => {
            reader.kinds.insert(name.to_owned(), kind);
            reader.last = None;
        }
        Said::Sample(sample) => reader.sample(&sample),
    })?;
    let Reader { families, names, counters, started, uptime, left_out, .. } = reader;
    let restarted = memory.started.zip(started).is_some_and(|(before, now)| (before - now).abs() > 1.0);
    let is_first = memory.is_first;
    *memory = Memory { counters, started, is_first: false };
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort();
    let families = names.into_iter().map(|(name, at)| families[at].finished(name, is_first, restarted));
    let mut families: Vec<_> = families.collect();
    add_counters_of_failures(&mut families);
    let uptime_seconds = uptime.or(started.map(|started| (now - started).max(0.0)));
    Ok(Read { summary, families, left_out, uptime_seconds, restarted })
}

struct Reader<'a> {
    before: &'a Memory,
    kinds: FxHashMap<String, Kind>,
    names: FxHashMap<String, usize>,
    families: Vec<Building>,
    counters: FxHashMap<u64, f64>,
    /// The sample before: its name, its family and what it is of it.
    last: Option<(String, usize, Role)>,
    started: Option<f64>,
    uptime: Option<f64>,
    left_out: u64,
}

impl<'a> Reader<'a> {
    fn new(before: &'a Memory) -> Self {
        Self {
            before,
            kinds: FxHashMap::default(),
            names: FxHashMap::default(),
            families: Vec::new(),
            counters: FxHashMap::with_capacity_and_hasher(before.counters.len(), rustc_hash::FxBuildHasher),
            last: None,
            started: None,
            uptime: None,
            left_out: 0,
        }
    }

    fn sample(&mut self, sample: &Sample<'_>) {
        if sample.name == START && sample.value.is_finite() {
            self.started = Some(sample.value);
        } else if sample.name.ends_with(UPTIME) && sample.value.is_finite() {
            self.uptime = Some(sample.value);
        }
        if self.is_of_a_creation(&sample.name) {
            return;
        }
        let Some((at, role)) = self.family_of(sample) else {
            self.left_out += 1;
            return;
        };
        let only_grows = matches!(role, Role::Counter | Role::Count | Role::Bucket);
        let increase = if only_grows { self.increase(sample) } else { 0.0 };
        self.families[at].add(role, sample, Sum { value: sample.value, increase });
    }

    /// Whether it says when a series was created, and nothing of what the series counts.
    fn is_of_a_creation(&self, name: &str) -> bool {
        let kind = name.strip_suffix("_created").and_then(|base| self.kinds.get(base));
        matches!(kind, Some(Kind::Counter | Kind::Histogram | Kind::Summary))
    }

    fn family_of(&mut self, sample: &Sample<'_>) -> Option<(usize, Role)> {
        let name = &*sample.name;
        let (at, role) = match &self.last {
            Some((last, at, role)) if last == name => (*at, *role),
            _ => {
                let (family, kind, role) = self.resolve(sample);
                let at = match self.names.get(family) {
                    Some(at) => *at,
                    None if self.families.len() >= MOST_FAMILIES => return None,
                    None => {
                        self.families.push(Building { kind: Some(kind), ..Building::default() });
                        self.names.insert(family.to_owned(), self.families.len() - 1);
                        self.families.len() - 1
                    }
                };
                self.last = Some((name.to_owned(), at, role));
                (at, role)
            }
        };
        Some((at, role))
    }

    /// The family that a sample belongs to. Of a counter, OpenMetrics leaves `_total` out of the family's name; the name of the
    /// sample is what people know.
    fn resolve<'s>(&self, sample: &'s Sample<'_>) -> (&'s str, Kind, Role) {
        let name = &*sample.name;
        match self.kinds.get(name) {
            Some(Kind::Counter) => return (name, Kind::Counter, Role::Counter),
            Some(Kind::Summary) => return (name, Kind::Summary, Role::Quantile),
            Some(kind @ (Kind::Gauge | Kind::Unknown)) => return (name, *kind, Role::Gauge),
            Some(Kind::Histogram) | None => {}
        }
        let is = |base: &str, kind| self.kinds.get(base) == Some(&kind);
        if let Some(base) = name.strip_suffix("_bucket")
            && (is(base, Kind::Histogram) || sample.labels.iter().any(|(label, _)| label == "le"))
        {
            return (base, Kind::Histogram, Role::Bucket);
        }
        for (suffix, role) in [("_count", Role::Count), ("_sum", Role::Other)] {
            let Some(base) = name.strip_suffix(suffix) else { continue };
            if let Some(kind @ (Kind::Histogram | Kind::Summary)) = self.kinds.get(base) {
                return (base, *kind, role);
            }
            // Of a histogram whose kind the page does not say, buckets came first.
            if let Some(at) = self.names.get(base)
                && self.families[*at].kind == Some(Kind::Histogram)
            {
                return (base, Kind::Histogram, role);
            }
        }
        match name.ends_with("_total") {
            true => (name, Kind::Counter, Role::Counter),
            false => (name, Kind::Unknown, Role::Gauge),
        }
    }

    fn increase(&mut self, sample: &Sample<'_>) -> f64 {
        let id = identity(sample);
        if self.counters.len() < MOST_SERIES {
            self.counters.insert(id, sample.value);
        }
        match self.before.counters.get(&id) {
            Some(before) if *before <= sample.value => sample.value - before,
            // It started again, or is new: it began at zero.
            _ => sample.value,
        }
    }
}

/// A series, in whatever order its labels are.
fn identity(sample: &Sample<'_>) -> u64 {
    let of = |parts: &[&str]| {
        let mut hasher = FxHasher::default();
        parts.hash(&mut hasher);
        hasher.finish()
    };
    let labels = sample.labels.iter().map(|(name, value)| of(&[name, value]));
    let sum = labels.fold(0, u64::wrapping_add);
    let mut hasher = FxHasher::default();
    (&*sample.name, sum).hash(&mut hasher);
    hasher.finish()
}

impl Building {
    fn add(&mut self, role: Role, sample: &Sample<'_>, sum: Sum) {
        // What is not a number says nothing, and what is beyond all numbers is no part of a sum.
        if !sum.value.is_finite() {
            self.series += u64::from(matches!(role, Role::Counter | Role::Gauge | Role::Count));
            return;
        }
        match role {
            Role::Counter | Role::Gauge | Role::Count => {
                self.series += 1;
                self.sum.add(sum);
                if role != Role::Gauge
                    && let Some(is_error) = is_error(sample)
                {
                    self.errors.get_or_insert_default().add(if is_error { sum } else { Sum::default() });
                }
            }
            Role::Bucket => {
                let bound = sample.labels.iter().find(|(label, _)| label == "le");
                if let Some(bound) = bound.and_then(|(_, bound)| bound.parse::<f64>().ok()) {
                    self.buckets.entry(order(bound)).or_insert((bound, Sum::default())).1.add(sum);
                }
            }
            Role::Quantile => {
                let quantile = sample.labels.iter().find(|(label, _)| label == "quantile");
                let at = quantile.and_then(|(_, quantile)| match quantile.parse::<f64>().ok()? {
                    0.5 => Some(0),
                    0.95 => Some(1),
                    0.99 => Some(2),
                    _ => None,
                });
                if let Some(at) = at {
                    let known = self.quantiles[at].unwrap_or(sum.value);
                    self.quantiles[at] = Some(known.max(sum.value));
                }
            }
            Role::Other => {}
        }
    }

    fn finished(&self, name: String, is_first: bool, restarted: bool) -> Family {
        // What a process counted that has just started is all new.
        let increase = |sum: Sum| if restarted { sum.value } else { sum.increase };
        let kind = self.kind.unwrap_or(Kind::Unknown);
        let only_grows = !matches!(kind, Kind::Gauge | Kind::Unknown) && !is_first;
        let errors = self.errors.map(|errors| {
            let of_all = only_grows.then(|| increase(self.sum));
            let increase = only_grows.then(|| increase(errors));
            Errors {
                value: errors.value,
                increase,
                share: share(errors.value, increase, self.sum.value, of_all),
            }
        });
        let percentiles = match kind {
            Kind::Summary => match self.quantiles {
                [Some(p50), Some(p95), Some(p99)] => Some(Percentiles { p50, p95, p99 }),
                _ => None,
            },
            _ => self.percentiles(&|sum| if is_first { sum.value } else { increase(sum) }),
        };
        Family {
            name,
            kind,
            series: self.series,
            value: self.sum.value,
            increase: only_grows.then(|| increase(self.sum)),
            errors,
            percentiles,
        }
    }

    fn percentiles(&self, recent: &dyn Fn(Sum) -> f64) -> Option<Percentiles> {
        let buckets = |of: &dyn Fn(Sum) -> f64| -> Vec<_> {
            self.buckets.values().map(|(bound, sum)| (*bound, of(*sum))).collect()
        };
        let of = |buckets: &[(f64, f64)]| {
            let [p50, p95, p99] = [0.5, 0.95, 0.99].map(|part| quantile(part, buckets));
            let all = Percentiles { p50: p50?, p95: p95?, p99: p99? };
            [all.p50, all.p95, all.p99].iter().all(|value| value.is_finite()).then_some(all)
        };
        of(&buckets(recent)).or_else(|| of(&buckets(&|sum| sum.value)))
    }
}

/// A number that orders as floats do.
fn order(bound: f64) -> u64 {
    let bits = bound.to_bits();
    if bound.is_sign_negative() { !bits } else { bits | 1 << 63 }
}

fn is_error(sample: &Sample<'_>) -> Option<bool> {
    let outcome = sample.labels.iter().filter(|(label, _)| OUTCOMES.contains(&&**label));
    outcome
        .map(|(label, value)| match (&**label, &**value) {
            ("error_type", kind) => !kind.is_empty(),
            (_, code) if code.len() == 3 && code.starts_with('5') => true,
            (_, word) => ["err", "error", "fail", "failed", "failure", "timeout", "interrupted"]
                .iter()
                .any(|failure| word.eq_ignore_ascii_case(failure)),
        })
        .reduce(|a, b| a || b)
}

/// Which part failed of what is new, or of all where nothing is.
fn share(value: f64, increase: Option<f64>, of: f64, of_increase: Option<f64>) -> f64 {
    match (increase, of_increase) {
        (Some(increase), Some(of)) if of > 0.0 => (increase / of).min(1.0),
        _ if of > 0.0 => (value / of).min(1.0),
        _ => 0.0,
    }
}

/// Where a counter of failures stands beside one of everything, as `requests_err` beside `requests_total`.
fn add_counters_of_failures(families: &mut [Family]) {
    let counted: BTreeMap<String, (f64, Option<f64>)> = families
        .iter()
        .filter(|family| family.kind == Kind::Counter)
        .map(|family| (family.name.clone(), (family.value, family.increase)))
        .collect();
    for family in families.iter_mut().filter(|family| family.kind == Kind::Counter && family.errors.is_none())
    {
        let stem = family.name.strip_suffix("_total").unwrap_or(&family.name);
        let all = OF_FAILURES
            .iter()
            .find_map(|ending| stem.strip_suffix(ending))
            .and_then(|stem| counted.get(&format!("{stem}_total")).or_else(|| counted.get(stem)));
        if let Some((of, of_increase)) = all {
            let (value, increase) = (family.value, family.increase);
            family.errors =
                Some(Errors { value, increase, share: share(value, increase, *of, *of_increase) });
        }
    }
}

/// As `histogram_quantile` of Prometheus: linear within a bucket, and no higher than the last bound.
fn quantile(part: f64, buckets: &[(f64, f64)]) -> Option<f64> {
    let (last, total) = *buckets.last()?;
    if !last.is_infinite() || total <= 0.0 || total.is_nan() || buckets.len() < 2 {
        return None;
    }
    let rank = part * total;
    let at = buckets.iter().position(|(_, count)| *count >= rank)?;
    let (bound, count) = buckets[at];
    let (below, before) = match at {
        0 if bound <= 0.0 => return Some(bound),
        0 => (0.0, 0.0),
        at => buckets[at - 1],
    };
    if bound.is_infinite() {
        return Some(below);
    }
    let within = count - before;
    Some(if within > 0.0 { below + (bound - below) * (rank - before) / within } else { bound })
}

#[cfg(test)]
mod tests;
