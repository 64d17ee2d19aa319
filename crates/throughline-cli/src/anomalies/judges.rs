//! Whether a window is unusual. `docs/operations.md` says by which tests, and where they come from.

use super::known::{Before, Counts, Known, Silence, stable};
use super::statistics::{at_least, at_least_by_rate, at_most_by_rate};
use super::{Compared, Minute, WINDOWS_OF_AN_HOUR};

/// How improbable so many have to be. There are 10,080 minutes in a week, and each is looked at with the nine before it.
const IMPROBABLE: f64 = 1e-5;
/// How many failures are too few to speak of, and how much greater the share has to be.
const LEAST_FAILED: u64 = 5;
/// The share of failures below which nothing is unusual: of much traffic, improbably many can still be very few.
const LEAST_SHARE: f64 = 0.001;
const TIMES_AS_MANY_FAILED: f64 = 1.5;

/// How many deviations from the median something has to be, and how much longer.
const DEVIATIONS: f64 = 5.0;
const TIMES_AS_LONG: f64 = 2.0;
/// Of fewer durations there is no 95th percentile.
pub(super) const LEAST_DURATIONS: u64 = 30;
/// The least deviation, of logarithms: no clock is so steady that less says something.
const LEAST_DEVIATION: f64 = 0.05;
/// The share of durations that are longer than the 95th percentile.
const LONGER: f64 = 0.05;

/// How many times what 19 of 20 windows do not exceed has to end, or which part of what they reach.
const TIMES_AS_MANY: u64 = 2;
/// How many times what would have ended in the longest silence so far has to be missed.
const TIMES_AS_SILENT: f64 = 2.0;
/// How many ends are too few to be too many.
const LEAST_MANY: u64 = 30;

/// What is unusual in a window, and how much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Verdict {
    pub(super) value: f64,
    pub(super) usual: f64,
    pub(super) score: f64,
    pub(super) compared_with: Compared,
}

/// Says what is unusual in a window, and what is usual before.
pub(super) type Judge = fn(&Minute, &Before) -> Option<Verdict>;

/// Whether too many failed; the score is how improbable so many are.
pub(super) fn failures(window: &Minute, before: &Before) -> Option<Verdict> {
    if !before.is_enough() || window.failed < LEAST_FAILED {
        return None;
    }
    let value = window.failed as f64 / window.total as f64;
    let usual = before.failed as f64 / before.total as f64;
    if value < LEAST_SHARE.max(usual * TIMES_AS_MANY_FAILED) {
        return None;
    }
    let score = at_least(window.failed, window.total, before.failed as f64, before.total as f64);
    (score < IMPROBABLE).then_some(Verdict { value, usual, score, compared_with: before.compared_with })
}

/// Whether it took too long; the score is how many deviations from the median the 95th percentile is.
pub(super) fn durations(window: &Minute, before: &Before) -> Option<Verdict> {
    if !before.is_timed() {
        return None;
    }
    let p95 = window.log_p95()?;
    let spread = before.log_p95;
    let score = (p95 - spread.middle) / spread.deviation.max(LEAST_DEVIATION);
    if score <= DEVIATIONS || p95 - spread.middle <= TIMES_AS_LONG.ln() {
        return None;
    }
    // Of a few durations, the percentile is far from its middle by chance: so many are longer than it usually is.
    let usual = spread.middle.exp();
    let known = before.timed as f64;
    let chance = at_least(window.longer_than(usual), window.durations.count(), known * LONGER, known);
    let compared_with = before.compared_with;
    (chance < IMPROBABLE).then_some(Verdict { value: p95.exp(), usual, score, compared_with })
}

/// Whether fewer ended, and would have if as many as end at once had come a little late; the score is how improbable so few are.
pub(super) fn too_few(window: &Minute, before: &Before) -> Option<Verdict> {
    let counts = before.counts.as_ref()?;
    let with_heap = window.total + counts.heap;
    if with_heap * TIMES_AS_MANY >= counts.low {
        return None;
    }
    let score = at_most_by_rate(with_heap, counts.total, counts.windows);
    counts.verdict(window, counts.spread.middle - stable(with_heap), score)
}

/// Whether more ended, and would have without as many as end at once; the score is how improbable so many are.
pub(super) fn too_many(window: &Minute, before: &Before) -> Option<Verdict> {
    let counts = before.counts.as_ref()?;
    let without_heap = window.total.saturating_sub(counts.heap);
    if window.total < LEAST_MANY || without_heap <= counts.high * TIMES_AS_MANY {
        return None;
    }
    let score = at_least_by_rate(without_heap, counts.total, counts.windows);
    counts.verdict(window, stable(without_heap) - counts.spread.middle, score)
}

/// Whether nothing ended for too long, from one window to before another; the score is how improbable that is.
pub(super) fn silence(known: &mut Known, windows: std::ops::Range<i64>) -> Option<Verdict> {
    let length = windows.end - windows.start;
    let Silence { usual, missed, log, compared_with } = known.silence(windows)?;
    let is_longer = missed > TIMES_AS_SILENT * known.longest_silence;
    (is_longer && log < IMPROBABLE.ln()).then(|| Verdict {
        value: 0.0,
        usual: usual / length as f64 * WINDOWS_OF_AN_HOUR as f64,
        score: log.exp(),
        compared_with,
    })
}

impl Counts {
    /// A verdict on a window if it is that far from what is usual, and that is so improbable.
    fn verdict(&self, window: &Minute, distance: f64, score: f64) -> Option<Verdict> {
        // Where things end one by one and by chance, the deviation is 1.
        let is_far = distance > DEVIATIONS * self.spread.deviation.max(1.0);
        let an_hour = WINDOWS_OF_AN_HOUR as f64;
        (is_far && score < IMPROBABLE).then(|| Verdict {
            value: window.total as f64 * an_hour,
            usual: self.total as f64 / self.windows as f64 * an_hour,
            score,
            compared_with: self.compared_with,
        })
    }
}
