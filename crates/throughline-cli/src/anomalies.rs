//! What is unusual in how often something ends and fails, and in how long it takes: pure, from what ended when.

mod judges;
mod known;
mod statistics;

use std::collections::BTreeMap;

use throughline_core::{Histogram, Timestamp};

use judges::{Judge, LEAST_DURATIONS, Verdict, durations, failures, silence, too_few, too_many};
use known::{Known, Past};

const MINUTE: i64 = 60_000_000;
/// How many minutes are looked at together.
const WINDOW: i64 = 10;
const WINDOWS_OF_AN_HOUR: i64 = 60 / WINDOW;

/// What ended in a minute, or in ten.
#[derive(Debug, Default)]
struct Minute {
    total: u64,
    failed: u64,
    durations: Histogram,
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
    filling: Option<(i64, [Minute; WINDOW as usize])>,
}

/// What was unusual.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unusual {
    pub(crate) measure: Measure,
    /// The beginning of the first window in which it was, and the end of the last.
    pub(crate) from: Timestamp,
    pub(crate) until: Timestamp,
    /// In the window in which it was most unusual: a share of failures, a 95th percentile in microseconds, or how many end an hour.
    pub(crate) value: f64,
    /// What is usual.
    pub(crate) usual: f64,
    /// How improbable so many failures or ends are, or how many deviations from the median the percentile is.
    pub(crate) score: f64,
    /// What it was compared with.
    pub(crate) compared_with: Compared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measure {
    Failures,
    Duration,
    /// Fewer end than usual.
    Fewer,
    /// More end than usual.
    More,
}

impl Measure {
    const ALL: [(Self, Judge); 4] = [
        (Self::Failures, failures),
        (Self::Duration, durations),
        (Self::Fewer, too_few),
        (Self::More, too_many),
    ];

    /// How many minutes before and after a window count as it: what ends at a full hour can do so a little earlier.
    fn slack(self) -> i64 {
        match self {
            Self::Failures | Self::Duration => 0,
            Self::Fewer | Self::More => WINDOW,
        }
    }

    fn is_worse(self, score: f64, than: f64) -> bool {
        match self {
            Self::Duration => score > than,
            Self::Failures | Self::Fewer | Self::More => score < than,
        }
    }
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
        let (_, filling) = self.filling.get_or_insert_with(|| (window, Default::default()));
        filling[minute.rem_euclid(WINDOW) as usize].add(failed, duration_us);
    }

    fn close(&mut self) {
        if let Some((window, minutes)) = self.filling.take() {
            self.past.insert(window, Past::of(minutes.iter()));
        }
    }

    /// What was unusual: each minute is judged with the nine before it, by what is usual until then.
    pub(crate) fn unusual(mut self) -> Vec<Unusual> {
        self.close();
        let mut known = Known::new(&self.past, self.from.div_euclid(WINDOW));
        let mut found = Found::default();
        for minute in self.from + WINDOW - 1..self.until {
            let learnt = minute - 2 * WINDOW + 1;
            if learnt >= self.from && learnt.rem_euclid(WINDOW) == 0 && found.is_usual(learnt) {
                let minutes = self.minutes.range(learnt..learnt + WINDOW).map(|(_, minute)| minute);
                known.learn(learnt.div_euclid(WINDOW), Past::of(minutes));
            }
            let window = self.window(minute);
            let first = minute - WINDOW + 1;
            for (measure, judge) in Measure::ALL {
                // Of a window across the hour, what is usual in either of them is usual.
                let hours = [first - measure.slack(), minute + measure.slack()].map(|at| at.div_euclid(60));
                let Some(verdict) = judge(&window, &known.before(hours[1])) else { continue };
                if hours[0] != hours[1] && judge(&window, &known.before(hours[0])).is_none() {
                    continue;
                }
                found.add(measure, (first, minute + 1), verdict);
            }
            if (minute + 1).rem_euclid(WINDOW) == 0 {
                self.judge_silence(&mut known, minute + 1, &mut found);
            }
        }
        found.all.iter().map(|(measure, minutes, verdict)| self.told(*measure, *minutes, *verdict)).collect()
    }

    /// What seldom ends is missed after longer than ten minutes: the silence before a minute is judged as a whole, unless that was
    /// said of it before anything is judged.
    fn judge_silence(&self, known: &mut Known, until: i64, found: &mut Found) {
        let last = self.minutes.range(..until).next_back().map(|(last, _)| last.div_euclid(WINDOW));
        let Some(last) = last.or_else(|| self.past.keys().next_back().copied()) else { return };
        let mut until_window = |until: i64| silence(known, last + 1..until.div_euclid(WINDOW));
        let Some(verdict) = until_window(until) else { return };
        if until_window(self.from).is_none() {
            found.add(Measure::Fewer, ((last + 1) * WINDOW, until), verdict);
        }
    }

    fn told(&self, measure: Measure, (from, until): (i64, i64), verdict: Verdict) -> Unusual {
        let Verdict { value, usual, score, compared_with } = verdict;
        Unusual {
            measure,
            from: self.moment(from),
            until: self.moment(until),
            value,
            usual,
            score,
            compared_with,
        }
    }

    /// What ended in the minute and the nine before it.
    fn window(&self, minute: i64) -> Minute {
        Minute::all(self.minutes.range(minute - WINDOW + 1..=minute).map(|(_, minute)| minute))
    }
}

/// What was unusual in which minutes so far.
#[derive(Default)]
struct Found {
    all: Vec<(Measure, (i64, i64), Verdict)>,
    /// The minute after the last one in which anything was unusual.
    until: Option<i64>,
}

impl Found {
    fn add(&mut self, measure: Measure, (from, until): (i64, i64), verdict: Verdict) {
        self.until = Some(until);
        let same = self.all.iter_mut().rev().find(|(of, (_, ended), _)| *of == measure && *ended >= from);
        let Some((_, minutes, worst)) = same else {
            return self.all.push((measure, (from, until), verdict));
        };
        minutes.1 = until;
        if measure.is_worse(verdict.score, worst.score) {
            *worst = verdict;
        }
    }

    /// Whether nothing was unusual since a minute. What is unusual does not become usual: it is left out of what others are
    /// compared with.
    fn is_usual(&self, since: i64) -> bool {
        self.until.is_none_or(|until| until <= since)
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

    /// How many durations are longer, in microseconds.
    fn longer_than(&self, micros: f64) -> u64 {
        let is_longer = |bucket: &(u16, u64)| Histogram::upper_bound(bucket.0) as f64 > micros;
        self.durations.buckets().filter(is_longer).map(|(_, count)| count).sum()
    }

    /// What ended in some minutes.
    fn all<'a>(minutes: impl Iterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for one in minutes {
            all.total += one.total;
            all.failed += one.failed;
            one.durations.buckets().for_each(|(bucket, count)| all.durations.add(bucket, count));
        }
        all
    }
}

#[cfg(test)]
mod tests;
