//! Less of what is noisy: so many lines in a time, or one in so many.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::Level;

/// Whether a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admitted,
    RateLimited,
    SampledOut,
}

#[derive(Debug, Default)]
pub(crate) struct Limits {
    /// Those of longer targets first.
    rules: Vec<Rule>,
    rate_limited: AtomicU64,
    sampled_out: AtomicU64,
}

#[derive(Debug)]
struct Rule {
    target: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Rate(Mutex<Bucket>),
    Sample { one_in: u64, seen: AtomicU64 },
}

/// A bucket of tokens, one for each line, that fills up at a constant rate.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    most: f64,
    per_second: f64,
    filled: Instant,
}

impl Limits {
    pub(crate) fn limit(&mut self, target: String, lines: u32, per: Duration) {
        let most = f64::from(lines);
        let per_second = most / per.as_secs_f64().max(f64::MIN_POSITIVE);
        let bucket = Bucket { tokens: most, most, per_second, filled: Instant::now() };
        self.add(Rule { target, kind: Kind::Rate(Mutex::new(bucket)) });
    }

    pub(crate) fn sample(&mut self, target: String, one_in: u32) {
        let one_in = u64::from(one_in.max(1));
        self.add(Rule { target, kind: Kind::Sample { one_in, seen: AtomicU64::new(0) } });
    }

    fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
        self.rules.sort_by_key(|rule| std::cmp::Reverse(rule.target.len()));
    }

    /// Of the limits of one kind, that of the longest target applies.
    pub(crate) fn judge(&self, target: &str, level: Level) -> Verdict {
        let (mut is_sampled, mut is_limited) = (false, false);
        for rule in self.rules.iter().filter(|rule| target.starts_with(&rule.target)) {
            match &rule.kind {
                // What went wrong is worth a line each time.
                Kind::Sample { .. } if is_sampled || level <= Level::WARN => {}
                Kind::Sample { one_in, seen } => {
                    is_sampled = true;
                    if !seen.fetch_add(1, Ordering::Relaxed).is_multiple_of(*one_in) {
                        self.sampled_out.fetch_add(1, Ordering::Relaxed);
                        return Verdict::SampledOut;
                    }
                }
                Kind::Rate(_) if is_limited => {}
                Kind::Rate(bucket) => {
                    is_limited = true;
                    if !bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now()) {
                        self.rate_limited.fetch_add(1, Ordering::Relaxed);
                        return Verdict::RateLimited;
                    }
                }
            }
        }
        Verdict::Admitted
    }

    pub(crate) fn rate_limited(&self) -> u64 {
        self.rate_limited.load(Ordering::Relaxed)
    }

    pub(crate) fn sampled_out(&self) -> u64 {
        self.sampled_out.load(Ordering::Relaxed)
    }
}

impl Bucket {
    fn take(&mut self, now: Instant) -> bool {
        let new = now.saturating_duration_since(self.filled).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + new).min(self.most);
        self.filled = self.filled.max(now);
        let is_one_left = self.tokens >= 1.0;
        if is_one_left {
            self.tokens -= 1.0;
        }
        is_one_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_noisy_target_is_limited_and_others_are_not() {
        let mut limits = Limits::default();
        limits.limit("hyper".to_owned(), 3, HOUR);
        let of_hyper = (0..10).map(|_| limits.judge("hyper::client", Level::ERROR));
        assert_eq!(of_hyper.filter(|verdict| *verdict == Verdict::Admitted).count(), 3);
        assert_eq!(limits.rate_limited(), 7);
        assert_eq!(limits.judge("loans", Level::INFO), Verdict::Admitted);
    }

    #[test]
    fn a_bucket_fills_up_again_but_not_beyond_its_size() {
        let now = Instant::now();
        let mut bucket = Bucket { tokens: 2.0, most: 2.0, per_second: 1.0, filled: now };
        let mut taken = |at: u64| bucket.take(now + Duration::from_secs(at));
        assert_eq!([taken(0), taken(0), taken(0), taken(1), taken(1)], [true, true, false, true, false]);
        assert_eq!([taken(100), taken(100), taken(100)], [true, true, false]);
        // A clock that was read by another thread a moment before.
        assert_eq!([taken(99), taken(101), taken(101)], [false, true, false]);
    }

    #[test]
    fn one_line_in_so_many_is_written_and_every_warning() {
        let mut limits = Limits::default();
        limits.sample("cache".to_owned(), 10);
        let admitted =
            |level| (0..100).filter(|_| limits.judge("cache::reads", level) == Verdict::Admitted).count();
        assert_eq!(admitted(Level::INFO), 10);
        assert_eq!(admitted(Level::WARN), 100);
        assert_eq!(limits.sampled_out(), 90);
    }

    #[test]
    fn the_longest_target_decides() {
        let mut limits = Limits::default();
        limits.limit("loans".to_owned(), 0, HOUR);
        limits.limit("loans::audit".to_owned(), 1, HOUR);
        assert_eq!(limits.judge("loans::audit", Level::INFO), Verdict::Admitted);
        assert_eq!(limits.judge("loans::audit", Level::INFO), Verdict::RateLimited);
        assert_eq!(limits.judge("loans::cache", Level::INFO), Verdict::RateLimited);
    }
}
