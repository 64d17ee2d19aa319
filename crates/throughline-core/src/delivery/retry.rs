//! How long to wait before a store is asked again.

use std::time::Duration;

/// Retries with exponential backoff and full jitter. A store that asks for a longer wait (`retry_after`) gets it, up to
/// [`max_delay`](Self::max_delay): nobody else says how long the steps of a service wait.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// How often a group is tried in all, before those who wait get the error; at least once.
    pub attempts: u32,
    /// The upper bound of the first wait; it doubles from try to try.
    pub base_delay: Duration,
    /// The upper bound of every wait, whatever the store asks for.
    pub max_delay: Duration,
    /// How long one attempt may take. What became of the events of an attempt that took longer is unknown, and they are
    /// sent again as they were, which a store skips where it has them. A claim of a run, which is tried once, may take as
    /// long.
    pub attempt_timeout: Duration,
}

impl Default for Retry {
    /// 9 attempts of up to 10 s, 50 ms doubling to 2 s between them: that a store was away for less than about five
    /// seconds is not noticed.
    fn default() -> Self {
        Self {
            attempts: 9,
            base_delay: Duration::from_millis(50),
            max_delay: Duration::from_secs(2),
            attempt_timeout: Duration::from_secs(10),
        }
    }
}

impl Retry {
    /// So many attempts, the waits between them as by default.
    pub fn attempts(attempts: u32) -> Self {
        Self { attempts, ..Self::default() }
    }

    /// The same with other bounds on the waits.
    #[must_use]
    pub fn delays(mut self, base: Duration, max: Duration) -> Self {
        (self.base_delay, self.max_delay) = (base, max);
        self
    }

    /// The same with another bound on the duration of one attempt.
    #[must_use]
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// How long all attempts and the waits between them take at most: nobody waits longer than that for a store which
    /// takes nothing.
    pub(crate) fn longest(&self) -> Duration {
        let attempts = self.attempts.max(1);
        self.attempt_timeout
            .saturating_mul(attempts)
            .saturating_add(self.max_delay.saturating_mul(attempts - 1))
    }

    /// The wait after a number of failed attempts.
    pub(crate) fn delay(&self, failed: u32, retry_after: Option<Duration>) -> Duration {
        let bound = self.base_delay.saturating_mul(1 << failed.saturating_sub(1).min(20)).min(self.max_delay);
        let jittered = rand::random_range(Duration::ZERO..=bound);
        jittered.max(retry_after.unwrap_or_default().min(self.max_delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_honour_the_servers_wish_within_it() {
        let retry = Retry::default();
        for failed in 1..40 {
            let bound = Duration::from_millis(50 << (failed - 1).min(6)).min(Duration::from_secs(2));
            assert!(retry.delay(failed, None) <= bound);
        }
        assert_eq!(retry.delay(1, Some(Duration::from_secs(1))), Duration::from_secs(1));
        for endless in [Duration::from_secs(9), Duration::MAX] {
            assert_eq!(retry.delay(1, Some(endless)), retry.max_delay);
        }
        let patient = Retry::default().delays(Duration::MAX, Duration::MAX);
        assert_eq!(patient.delay(u32::MAX, Some(Duration::MAX)), Duration::MAX);
    }
}
