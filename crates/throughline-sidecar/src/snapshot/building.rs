//! [`Building`]: a family of series while its page is read.

use std::collections::BTreeMap;

use super::{Errors, Family, Percentiles};
use crate::page::{Kind, Sample};

/// How many bounds of buckets are told apart in a family; one that has more has no percentiles.
pub(super) const MOST_BOUNDS: usize = 300;
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

/// A value, and by how much it grew.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sum {
    pub(super) value: f64,
    pub(super) increase: f64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        // JSON has no infinity.
        self.value = (self.value + other.value).clamp(f64::MIN, f64::MAX);
        self.increase = (self.increase + other.increase).clamp(f64::MIN, f64::MAX);
    }
}

#[derive(Default)]
pub(super) struct Building {
    pub(super) kind: Option<Kind>,
    series: u64,
    sum: Sum,
    errors: Option<Sum>,
    /// By their upper bounds.
    pub(super) buckets: BTreeMap<u64, (f64, Sum)>,
    has_too_many_bounds: bool,
    /// Percentiles that the service computed, of the series that has the highest ones.
    quantiles: [Option<f64>; 3],
}

/// What a sample is of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
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

impl Building {
    pub(super) fn of(kind: Kind) -> Self {
        Self { kind: Some(kind), ..Self::default() }
    }

    pub(super) fn add(&mut self, role: Role, sample: &Sample<'_>, sum: Sum) {
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
                    let order = order(bound);
                    if self.buckets.len() >= MOST_BOUNDS && !self.buckets.contains_key(&order) {
                        self.has_too_many_bounds = true;
                        return;
                    }
                    self.buckets.entry(order).or_insert((bound, Sum::default())).1.add(sum);
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

    pub(super) fn finished(&self, name: String, is_first: bool, restarted: bool) -> Family {
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
        if self.has_too_many_bounds {
            return None;
        }
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
pub(super) fn add_counters_of_failures(families: &mut [Family]) {
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
