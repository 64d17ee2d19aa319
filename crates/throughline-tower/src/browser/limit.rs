//! How much is taken in a time.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How many seconds' worth may come at once.
const BURST_SECONDS: f64 = 10.0;

/// A bucket that fills steadily: nobody takes more than is in it.
#[derive(Debug)]
pub(super) struct Limit {
    per_second: f64,
    level: Mutex<Level>,
}

#[derive(Debug)]
struct Level {
    left: f64,
    at: Instant,
}

impl Limit {
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        let level = Level { left: per_second * BURST_SECONDS, at: Instant::now() };
        Self { per_second, level: Mutex::new(level) }
    }

    /// Whether so many may come now.
    pub(super) fn admits(&self, count: u32) -> bool {
        self.admits_at(Instant::now(), count)
    }

    fn admits_at(&self, now: Instant, count: u32) -> bool {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = now.saturating_duration_since(level.at).as_secs_f64() * self.per_second;
        level.left = (level.left + filled).min(self.per_second * BURST_SECONDS);
        level.at = level.at.max(now);
        let admits = level.left >= f64::from(count);
        if admits {
            level.left -= f64::from(count);
        }
        admits
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Limit;

    #[test]
    fn ten_seconds_worth_may_come_at_once_and_then_no_more_than_is_filled() {
        let (limit, start) = (Limit::new(10), Instant::now());
        assert!(limit.admits_at(start, 100));
        assert!(!limit.admits_at(start, 1));
        let later = start + Duration::from_secs(2);
        assert!(!limit.admits_at(later, 21), "what is refused takes nothing");
        assert!(limit.admits_at(later, 20));
        assert!(!limit.admits_at(start, 1), "a clock that is read late fills nothing");
        assert!(
            !limit.admits_at(start + Duration::from_secs(3600), 101),
            "no more than ten seconds' worth is kept"
        );
    }
}
