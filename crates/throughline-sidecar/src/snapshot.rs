//! [`Snapshot`]: what a page said, by family of series, and what it said more than the page before.

mod building;

use std::hash::{Hash, Hasher};
use std::io::{self, BufRead};

use rustc_hash::{FxHashMap, FxHasher};
use serde::{Deserialize, Serialize};

use crate::page::{self, Kind, Said, Sample};
use building::{Building, Role, Sum, add_counters_of_failures};

/// How many series are compared with the scrape before; of others it is not known what is new.
const MOST_SERIES: usize = 2_000_000;
/// How many families are kept; others are counted.
const MOST_FAMILIES: usize = 2_000;
/// How many names are remembered of which a page said what they are.
const MOST_KINDS: usize = 10 * MOST_FAMILIES;
/// The longest name of a family that is kept, in bytes.
const LONGEST_NAME: usize = 500;
/// How many processes of one page are told apart by when they started.
const MOST_PROCESSES: usize = 1_000;
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

impl Snapshot {
    /// What there is to say of a target that does not answer.
    pub(crate) fn away(target: &str, at: &str, error: &str) -> Self {
        Self {
            at: at.to_owned(),
            target: target.to_owned(),
            up: false,
            error: Some(error.to_owned()),
            took_ms: 0,
            uptime_seconds: None,
            restarted: false,
            series: 0,
            malformed: 0,
            left_out: 0,
            families: Vec::new(),
        }
    }
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
    started: FxHashMap<u64, f64>,
    is_first: bool,
}

impl Memory {
    pub(crate) fn new() -> Self {
        Self { is_first: true, ..Self::default() }
    }

    /// Whether a process started again, by when each of them says that it started.
    fn has_restarted(&self, started: &FxHashMap<u64, f64>) -> bool {
        let has_moved = |(before, now): (&f64, &f64)| (before - now).abs() > 1.0;
        // Of a page of one process, whatever labels it has by now.
        if let Some(both) = only(&self.started).zip(only(started)) {
            return has_moved(both);
        }
        started.iter().filter_map(|(id, now)| self.started.get(id).zip(Some(now))).any(has_moved)
    }
}

fn only(started: &FxHashMap<u64, f64>) -> Option<&f64> {
    started.values().next().filter(|_| started.len() == 1)
}

/// What a page said.
pub(crate) struct Read {
    pub(crate) summary: page::Summary,
    pub(crate) families: Vec<Family>,
    pub(crate) left_out: u64,
    pub(crate) uptime_seconds: Option<f64>,
    pub(crate) restarted: bool,
}

/// Reads a page and compares it with the one before. Nothing is remembered of a page that breaks off.
pub(crate) fn read(page: impl BufRead, memory: &mut Memory, now: f64) -> io::Result<Read> {
    let mut reader = Reader::new(memory);
    let summary = page::read(page, |said| reader.take(said))?;
    let Reader { families, names, counters, started, uptime, left_out, .. } = reader;
    let restarted = memory.has_restarted(&started);
    // Of several processes, it is not known which of them counts what: what starts again is then told by its value alone.
    let counts_anew = restarted && started.len() == 1;
    // Of several, the one that started last.
    let youngest = started.values().copied().reduce(f64::max);
    let is_first = memory.is_first;
    *memory = Memory { counters, started, is_first: false };
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort();
    let families = names.into_iter().map(|(name, at)| families[at].finished(name, is_first, counts_anew));
    let mut families: Vec<_> = families.collect();
    add_counters_of_failures(&mut families);
    let uptime_seconds = uptime.or(youngest.map(|started| (now - started).max(0.0)));
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
    started: FxHashMap<u64, f64>,
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
            started: FxHashMap::default(),
            uptime: None,
            left_out: 0,
        }
    }

    fn take(&mut self, said: Said<'_>) {
        match said {
            Said::Type { name, kind } => {
                self.last = None;
                let is_known = self.kinds.contains_key(name);
                if name.len() <= LONGEST_NAME && (is_known || self.kinds.len() < MOST_KINDS) {
                    self.kinds.insert(name.to_owned(), kind);
                }
            }
            Said::Sample(sample) => self.sample(&sample),
        }
    }

    fn sample(&mut self, sample: &Sample<'_>) {
        if sample.name == START && sample.value.is_finite() {
            if self.started.len() < MOST_PROCESSES {
                self.started.insert(identity(sample), sample.value);
            }
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
                    None if self.families.len() >= MOST_FAMILIES || family.len() > LONGEST_NAME => {
                        return None;
                    }
                    None => {
                        self.families.push(Building::of(kind));
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

#[cfg(test)]
mod tests;
