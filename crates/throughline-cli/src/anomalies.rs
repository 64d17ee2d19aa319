//! What is unusual in how often something fails, and in how long it takes: pure, from what ended when.

mod statistics;

use std::collections::BTreeMap;

use throughline_core::{Histogram, Timestamp};

use statistics::{at_least, robust};

const MINUTE: i64 = 60_000_000;
/// How many minutes are looked at together.
const WINDOW: i64 = 10;
const HOURS_OF_A_DAY: i64 = 24;
const HOURS_OF_A_WEEK: i64 = 7 * HOURS_OF_A_DAY;

/// What has to be known before anything is unusual: so many windows, in which so many ended.
const LEAST_WINDOWS: usize = 6;
const LEAST_BEFORE: u64 = 200;
/// From how many windows on the same hour of a week, or of a day, is compared with itself: three of them.
const OF_AN_HOUR: usize = 18;

/// How improbable so many failures have to be. There are 10,080 minutes in a week, and each is looked at with the nine before it.
const IMPROBABLE: f64 = 1e-5;
/// How many failures are too few to speak of, and how much greater the share has to be.
const LEAST_FAILED: u64 = 5;
/// The share of failures below which nothing is unusual: of much traffic, improbably many can still be very few.
const LEAST_SHARE: f64 = 0.001;
const TIMES_AS_MANY: f64 = 1.5;

/// How many deviations from the median the 95th percentile has to be, and how much greater.
const DEVIATIONS: f64 = 5.0;
const TIMES_AS_LONG: f64 = 2.0;
/// Of fewer durations there is no such percentile.
const LEAST_DURATIONS: u64 = 30;
/// The least deviation, of logarithms: no clock is so steady that less says something.
const LEAST_DEVIATION: f64 = 0.05;

/// What ended in a minute.
#[derive(Debug, Default)]
struct Minute {
    total: u64,
    failed: u64,
    durations: Histogram,
}

/// What ended in a window that is over.
#[derive(Debug, Clone, Copy)]
struct Past {
    total: u64,
    failed: u64,
    /// The logarithm of the 95th percentile, if enough ended.
    log_p95: Option<f64>,
}

/// How one kind of thing ended, minute by minute.
#[derive(Debug, Default)]
pub(crate) struct Series {
    /// At which moment of a minute minutes begin: so that the last one ends with what is judged.
    phase: i64,
    /// From when on minutes are kept apart.
    from: i64,
    until: i64,
    minutes: BTreeMap<i64, Minute>,
    /// Before that: windows, and the one that is being filled.
    past: BTreeMap<i64, Past>,
    filling: Option<(i64, Minute)>,
}

/// What was unusual.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unusual {
    pub(crate) measure: Measure,
    /// The beginning of the first window in which it was, and the end of the last.
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    /// In the window in which it was most unusual: a share of failures, or a 95th percentile in microseconds.
    pub(crate) value: f64,
    /// What is usual.
    pub(crate) usual: f64,
    /// How improbable so many failures are, or how many deviations from the median the percentile is.
    pub(crate) score: f64,
    /// What it was compared with.
    pub(crate) compared_with: Compared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    Failures,
    Duration,
}

/// What a window is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compared {
    HourOfWeek,
    HourOfDay,
    All,
}

impl Series {
    /// A series of which what ended between these moments is judged.
    pub(crate) fn new(from: Timestamp, until: Timestamp) -> Self {
        let phase = until.as_micros().rem_euclid(MINUTE);
        let mut series = Self { phase, ..Self::default() };
        series.from = series.minute(from).div_euclid(WINDOW) * WINDOW;
        series.until = series.minute(until);
        series
    }

    fn minute(&self, moment: Timestamp) -> i64 {
        (moment.as_micros() - self.phase).div_euclid(MINUTE)
    }

    fn moment(&self, minute: i64) -> Timestamp {
        Timestamp::from_micros(minute * MINUTE + self.phase)
    }

    /// Adds what ended. Time may go forwards or backwards from one to the next, but should not return to a window it has left.
    pub(crate) fn add(&mut self, ended: Timestamp, failed: bool, duration_us: Option<u64>) {
        let minute = self.minute(ended);
        if minute >= self.from {
            return self.minutes.entry(minute).or_default().add(failed, duration_us);
        }
        let window = minute.div_euclid(WINDOW);
        if self.filling.as_ref().is_some_and(|(filling, _)| *filling != window) {
            self.close();
        }
        let (_, filling) = self.filling.get_or_insert_with(|| (window, Minute::default()));
        filling.add(failed, duration_us);
    }

    fn close(&mut self) {
        if let Some((window, minute)) = self.filling.take() {
            self.past.insert(window, minute.past());
        }
    }

    /// What was unusual: each minute is judged with the nine before it, by what is usual until then.
    pub(crate) fn unusual(mut self) -> Vec<Unusual> {
        self.close();
        let mut known = Known::new(&self.past);
        let mut found: Vec<Unusual> = Vec::new();
        // What is unusual does not become usual: it is left out of what others are compared with.
        let mut last_unusual = [i64::MIN; 2];
        for minute in self.from + WINDOW - 1..self.until {
            let learnt = minute - 2 * WINDOW + 1;
            if learnt >= self.from && learnt.rem_euclid(WINDOW) == 0 {
                let window = self.window(learnt + WINDOW - 1);
                let is_usual = last_unusual.iter().all(|last| *last < learnt);
                if window.total > 0 && is_usual {
                    known.learn(learnt.div_euclid(WINDOW), window.past());
                }
            }
            if self.minutes.range(minute - WINDOW + 1..=minute).next().is_none() {
                continue;
            }
            let window = self.window(minute);
            // Of a window across the hour, what is usual in either of them is usual.
            let (before, compared_with) = known.before(minute);
            let first = minute - WINDOW + 1;
            let earlier = (first.div_euclid(60) != minute.div_euclid(60)).then(|| known.before(first).0);
            let is_usual =
                |judge: Judge| earlier.as_ref().is_some_and(|before| judge(&window, before).is_none());
            let judges: [(Measure, Judge); 2] =
                [(Measure::Failures, failures), (Measure::Duration, durations)];
            for (measure, judge) in judges {
                let Some((value, usual, score)) = judge(&window, &before) else { continue };
                if is_usual(judge) {
                    continue;
                }
                let until = self.moment(minute + 1);
                let from = self.moment(first);
                last_unusual[measure as usize] = minute;
                let same = found.iter_mut().rev().find(|one| one.measure == measure && one.until >= from);
                match same {
                    Some(one) => {
                        one.until = until;
                        if is_worse(measure, score, one.score) {
                            (one.value, one.usual, one.score) = (value, usual, score);
                            one.compared_with = compared_with;
                        }
                    }
                    None => found.push(Unusual { measure, from, until, value, usual, score, compared_with }),
                }
            }
        }
        found
    }

    /// What ended in the minute and the nine before it.
    fn window(&self, minute: i64) -> Minute {
        let mut window = Minute::default();
        for (_, one) in self.minutes.range(minute - WINDOW + 1..=minute) {
            window.total += one.total;
            window.failed += one.failed;
            one.durations.buckets().for_each(|(bucket, count)| window.durations.add(bucket, count));
        }
        window
    }
}

fn is_worse(measure: Measure, score: f64, than: f64) -> bool {
    match measure {
        Measure::Failures => score < than,
        Measure::Duration => score > than,
    }
}

impl Minute {
    fn add(&mut self, failed: bool, duration_us: Option<u64>) {
        self.total += 1;
        self.failed += u64::from(failed);
        if let Some(duration) = duration_us {
            self.durations.record(duration);
        }
    }

    fn log_p95(&self) -> Option<f64> {
        // Within a bucket of the histogram, durations are told apart by no more than 1/32.
        (self.durations.count() >= LEAST_DURATIONS)
            .then(|| (self.durations.quantile(0.95).max(1) as f64).ln())
    }

    fn past(&self) -> Past {
        Past { total: self.total, failed: self.failed, log_p95: self.log_p95() }
    }
}

/// What is usual, by the hour of the week and of the day and altogether.
struct Known {
    all: Vec<Past>,
    by_week: BTreeMap<i64, Vec<Past>>,
    by_day: BTreeMap<i64, Vec<Past>>,
}

impl Known {
    fn new(past: &BTreeMap<i64, Past>) -> Self {
        let mut known = Self { all: Vec::new(), by_week: BTreeMap::new(), by_day: BTreeMap::new() };
        past.iter().for_each(|(window, past)| known.learn(*window, *past));
        known
    }

    fn learn(&mut self, window: i64, past: Past) {
        let hour = (window * WINDOW).div_euclid(60);
        self.all.push(past);
        self.by_week.entry(hour.rem_euclid(HOURS_OF_A_WEEK)).or_default().push(past);
        self.by_day.entry(hour.rem_euclid(HOURS_OF_A_DAY)).or_default().push(past);
    }

    /// What a minute is compared with: the same hour of other weeks, if there are enough; else that of other days; else all.
    fn before(&self, minute: i64) -> (Before, Compared) {
        let hour = minute.div_euclid(60);
        let of = |known: &BTreeMap<i64, Vec<Past>>, hours: i64| {
            let same = known.get(&hour.rem_euclid(hours)).filter(|past| past.len() >= OF_AN_HOUR);
            same.map(|past| Before::of(past)).filter(Before::is_enough)
        };
        of(&self.by_week, HOURS_OF_A_WEEK)
            .map(|before| (before, Compared::HourOfWeek))
            .or_else(|| of(&self.by_day, HOURS_OF_A_DAY).map(|before| (before, Compared::HourOfDay)))
            .unwrap_or_else(|| (Before::of(&self.all), Compared::All))
    }
}

/// What a window is compared with.
struct Before {
    windows: usize,
    total: u64,
    failed: u64,
    log_p95s: Vec<f64>,
}

impl Before {
    fn of(past: &[Past]) -> Self {
        Self {
            windows: past.len(),
            total: past.iter().map(|past| past.total).sum(),
            failed: past.iter().map(|past| past.failed).sum(),
            log_p95s: past.iter().filter_map(|past| past.log_p95).collect(),
        }
    }

    fn is_enough(&self) -> bool {
        self.windows >= LEAST_WINDOWS && self.total >= LEAST_BEFORE
    }
}

/// Says what is unusual in a window, and what is usual before.
type Judge = fn(&Minute, &Before) -> Option<(f64, f64, f64)>;

/// Whether too many failed: which share did, which is usual, and how improbable so many are.
fn failures(window: &Minute, before: &Before) -> Option<(f64, f64, f64)> {
    if !before.is_enough() || window.failed < LEAST_FAILED {
        return None;
    }
    let share = window.failed as f64 / window.total as f64;
    let usual = before.failed as f64 / before.total as f64;
    if share < LEAST_SHARE.max(usual * TIMES_AS_MANY) {
        return None;
    }
    let probability = at_least(window.failed, window.total, before.failed, before.total);
    (probability < IMPROBABLE).then_some((share, usual, probability))
}

/// Whether it took too long: the 95th percentile, the usual one, and how many deviations that is away.
fn durations(window: &Minute, before: &Before) -> Option<(f64, f64, f64)> {
    if before.log_p95s.len() < LEAST_WINDOWS {
        return None;
    }
    let p95 = window.log_p95()?;
    let (median, deviation) = robust(&mut before.log_p95s.clone());
    let deviations = (p95 - median) / deviation.max(LEAST_DEVIATION);
    let is_unusual = deviations > DEVIATIONS && p95 - median > TIMES_AS_LONG.ln();
    is_unusual.then_some((p95.exp(), median.exp(), deviations))
}

#[cfg(test)]
mod tests;
