//! What is usual: what ended before, by the hour of the week.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::statistics::{Spread, log_of_none, robust};
use super::{Compared, Minute, WINDOWS_OF_AN_HOUR};

const HOURS_OF_A_DAY: i64 = 24;
const HOURS_OF_A_WEEK: i64 = 7 * HOURS_OF_A_DAY;
/// From how many windows on the same hour of a week, or of a day, is compared with itself: three of them.
const OF_AN_HOUR: usize = 18;
/// What has to be known before a share or a time is unusual: so many windows, in which so many ended.
const LEAST_WINDOWS: usize = 6;
const LEAST_BEFORE: u64 = 200;
/// From how many windows of the same hour of other days on it is known how many end in it: of six days, one is of a weekend.
const OF_A_WEEK: usize = 36;

/// What ended in a window that is over.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Past {
    pub(super) total: u64,
    pub(super) failed: u64,
    /// How many ended in its busiest minute.
    pub(super) heap: u64,
    /// The logarithm of the 95th percentile, if enough ended.
    pub(super) log_p95: Option<f64>,
}

impl Past {
    /// A window of these minutes.
    pub(super) fn of<'a>(minutes: impl Iterator<Item = &'a Minute> + Clone) -> Self {
        let heap = minutes.clone().map(|minute| minute.total).max().unwrap_or(0);
        let all = Minute::all(minutes);
        Self { total: all.total, failed: all.failed, heap, log_p95: all.log_p95() }
    }
}

/// What is usual.
pub(super) struct Known {
    /// Every window since the first one that is known in full, by its hour of the week.
    hours: BTreeMap<i64, Vec<Past>>,
    /// What was worked out of them.
    usual: BTreeMap<i64, Rc<Before>>,
    counts: BTreeMap<i64, Option<Rc<Counts>>>,
    spreads: Option<Spreads>,
    /// Which part of what ends on any day ends on the quietest one of the week.
    quietest: f64,
    /// How many would have ended in the longest time in which nothing did.
    pub(super) longest_silence: f64,
}

/// A time in which nothing ended.
pub(super) struct Silence {
    /// How many usually end in it.
    pub(super) usual: f64,
    /// How many would have, at least.
    pub(super) missed: f64,
    /// The logarithm of how probable it is.
    pub(super) log: f64,
    /// What the last of its windows was compared with.
    pub(super) compared_with: Compared,
}

/// How far windows are from the middle of their hour, of all hours: an hour alone is known from a few windows, of which the deviation
/// is often far too small.
#[derive(Debug, Clone, Copy, Default)]
struct Spreads {
    log_p95: f64,
    count: f64,
}

/// What a window is compared with.
pub(super) struct Before {
    pub(super) total: u64,
    pub(super) failed: u64,
    /// The 95th percentiles, and of how many durations they are.
    pub(super) log_p95: Spread,
    pub(super) timed: u64,
    pub(super) compared_with: Compared,
    is_enough: bool,
    /// Unless too little is known.
    pub(super) counts: Option<Rc<Counts>>,
}

/// How many end in a window.
#[derive(Debug)]
pub(super) struct Counts {
    pub(super) windows: u64,
    pub(super) total: u64,
    /// Of [`stable`] numbers.
    pub(super) spread: Spread,
    /// What one in twenty windows does not reach, or does not exceed.
    pub(super) low: u64,
    pub(super) high: u64,
    /// How many end at once: in the busiest minute of 19 of 20 windows.
    pub(super) heap: u64,
    pub(super) compared_with: Compared,
}

/// A number of ends as one with a deviation of 1, however many end on average.
pub(super) fn stable(count: u64) -> f64 {
    2.0 * (count as f64 + 0.375).sqrt()
}

impl Known {
    /// What is known of windows before this one.
    pub(super) fn new(past: &BTreeMap<i64, Past>, until: i64) -> Self {
        let mut known = Self {
            hours: BTreeMap::new(),
            usual: BTreeMap::new(),
            counts: BTreeMap::new(),
            spreads: None,
            quietest: 1.0,
            longest_silence: 0.0,
        };
        let Some(first) = past.keys().next() else { return known };
        // Of the first window, the beginning may be missing.
        for window in first + 1..until {
            known.learn(window, past.get(&window).copied().unwrap_or_default());
        }
        known.quietest = known.quietest();
        // The last one may not be over.
        for (before, after) in past.keys().zip(past.keys().skip(1)) {
            let silence = (before + 1 < *after).then(|| known.silence(before + 1..*after)).flatten();
            let missed = silence.map_or(0.0, |silence| silence.missed);
            known.longest_silence = known.longest_silence.max(missed);
        }
        known
    }

    pub(super) fn learn(&mut self, window: i64, past: Past) {
        let hour = window.div_euclid(WINDOWS_OF_AN_HOUR);
        self.hours.entry(hour.rem_euclid(HOURS_OF_A_WEEK)).or_default().push(past);
        self.usual.clear();
        self.counts.clear();
        // A few windows more change little of what hundreds say.
        if window.rem_euclid(WINDOWS_OF_AN_HOUR) == 0 {
            self.spreads = None;
        }
    }

    /// A silence of so many windows; nothing if too little is known of one of them.
    pub(super) fn silence(&mut self, windows: std::ops::Range<i64>) -> Option<Silence> {
        let mut silence = Silence { usual: 0.0, missed: 0.0, log: 0.0, compared_with: Compared::All };
        let mut of_hour: BTreeMap<i64, u64> = BTreeMap::new();
        for window in windows {
            let hour = window.div_euclid(WINDOWS_OF_AN_HOUR).rem_euclid(HOURS_OF_A_WEEK);
            let counts = self.counts(hour)?;
            let silent = of_hour.entry(hour).or_default();
            // As long as days are compared with each other, each may be as quiet as a Sunday.
            let is_of_week = counts.compared_with == Compared::HourOfWeek;
            let total = counts.total as f64 * if is_of_week { 1.0 } else { self.quietest };
            silence.usual += counts.total as f64 / counts.windows as f64;
            silence.missed += total / counts.windows as f64;
            silence.log += log_of_none(total, counts.windows + *silent);
            silence.compared_with = counts.compared_with;
            *silent += 1;
        }
        Some(silence)
    }

    fn quietest(&self) -> f64 {
        let mut days: BTreeMap<i64, (u64, usize)> = BTreeMap::new();
        for (hour, windows) in &self.hours {
            let (total, of) = days.entry(hour / HOURS_OF_A_DAY).or_default();
            *total += windows.iter().map(|past| past.total).sum::<u64>();
            *of += windows.len();
        }
        let mean = |(total, of): (u64, usize)| total as f64 / of as f64;
        let all = mean(days.values().fold((0, 0), |(total, of), day| (total + day.0, of + day.1)));
        let quietest = days.values().map(|day| mean(*day)).fold(all, f64::min);
        if all > 0.0 { quietest / all } else { 1.0 }
    }

    /// What windows of an hour are compared with.
    pub(super) fn before(&mut self, hour: i64) -> Rc<Before> {
        let hour = hour.rem_euclid(HOURS_OF_A_WEEK);
        if let Some(before) = self.usual.get(&hour) {
            return Rc::clone(before);
        }
        let spreads = self.spreads();
        let of = |compared_with| {
            let windows: Vec<_> = self.windows(hour, compared_with).copied().collect();
            let ended = windows.iter().filter(|past| past.total > 0).count();
            (Before::of(&windows, compared_with, spreads), ended)
        };
        let enough = [Compared::HourOfWeek, Compared::HourOfDay].into_iter().map(of);
        let mut same = enough.filter(|(before, ended)| before.is_enough && *ended >= OF_AN_HOUR);
        let mut before = same.next().unwrap_or_else(|| of(Compared::All)).0;
        before.counts = self.counts(hour);
        let before = Rc::new(before);
        self.usual.insert(hour, Rc::clone(&before));
        before
    }

    /// The windows that those of an hour are compared with.
    fn windows(&self, hour: i64, compared: Compared) -> impl Iterator<Item = &Past> {
        let is_same = move |other: i64| match compared {
            Compared::HourOfWeek => other == hour,
            Compared::HourOfDay => (other - hour).rem_euclid(HOURS_OF_A_DAY) == 0,
            Compared::All => true,
        };
        self.hours.iter().filter(move |(other, _)| is_same(**other)).flat_map(|(_, windows)| windows)
    }

    /// How many end in windows of an hour; nothing if there are too few to say.
    fn counts(&mut self, hour: i64) -> Option<Rc<Counts>> {
        if let Some(counts) = self.counts.get(&hour) {
            return counts.clone();
        }
        let spreads = self.spreads();
        let of = |(compared_with, least)| {
            let windows: Vec<_> = self.windows(hour, compared_with).collect();
            (windows.len() >= least).then(|| Rc::new(Counts::of(&windows, compared_with, spreads)))
        };
        let counts =
            [(Compared::HourOfWeek, OF_AN_HOUR), (Compared::HourOfDay, OF_A_WEEK)].into_iter().find_map(of);
        self.counts.insert(hour, counts.clone());
        counts
    }

    fn spreads(&mut self) -> Spreads {
        *self.spreads.get_or_insert_with(|| {
            let (mut log_p95, mut count) = (Vec::new(), Vec::new());
            let from_middle = |mut values: Vec<f64>, all: &mut Vec<f64>| {
                let middle = robust(&mut values.clone()).middle;
                values.iter_mut().for_each(|value| *value -= middle);
                all.append(&mut values);
            };
            for windows in self.hours.values() {
                from_middle(windows.iter().filter_map(|past| past.log_p95).collect(), &mut log_p95);
                from_middle(windows.iter().map(|past| stable(past.total)).collect(), &mut count);
            }
            Spreads { log_p95: robust(&mut log_p95).deviation, count: robust(&mut count).deviation }
        })
    }
}

impl Before {
    fn of(windows: &[Past], compared_with: Compared, spreads: Spreads) -> Self {
        let total = windows.iter().map(|past| past.total).sum();
        let ended = windows.iter().filter(|past| past.total > 0).count();
        let timed = windows.iter().filter(|past| past.log_p95.is_some());
        let mut log_p95s: Vec<_> = windows.iter().filter_map(|past| past.log_p95).collect();
        Self {
            total,
            failed: windows.iter().map(|past| past.failed).sum(),
            timed: timed.map(|past| past.total).sum(),
            log_p95: robust(&mut log_p95s).at_least(spreads.log_p95),
            compared_with,
            is_enough: ended >= LEAST_WINDOWS && total >= LEAST_BEFORE,
            counts: None,
        }
    }

    pub(super) fn is_enough(&self) -> bool {
        self.is_enough
    }

    /// Whether enough is known of how long it takes.
    pub(super) fn is_timed(&self) -> bool {
        self.log_p95.of >= LEAST_WINDOWS
    }
}

impl Counts {
    fn of(windows: &[&Past], compared_with: Compared, spreads: Spreads) -> Self {
        let sorted = |count: fn(&Past) -> u64| {
            let mut counts: Vec<_> = windows.iter().map(|past| count(past)).collect();
            counts.sort_unstable();
            counts
        };
        let (counts, heaps) = (sorted(|past| past.total), sorted(|past| past.heap));
        let one_in_twenty = counts.len() / 20;
        let mut stable: Vec<_> = counts.iter().map(|count| stable(*count)).collect();
        Self {
            windows: counts.len() as u64,
            total: counts.iter().sum(),
            spread: robust(&mut stable).at_least(spreads.count),
            low: counts[one_in_twenty],
            high: counts[counts.len() - 1 - one_in_twenty],
            heap: heaps[heaps.len() - 1 - one_in_twenty],
            compared_with,
        }
    }
}
