//! [`Limits`]: how often failures of one kind are reported.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many kinds are told apart at a time. Whatever is beyond shares one allowance.
const KINDS: usize = 1024;

/// So many reports of one fingerprint in so much time.
pub(crate) struct Limits {
    most: u32,
    within: Duration,
    hasher: RandomState,
    windows: Mutex<HashMap<u64, Window>>,
}

struct Window {
    began: Instant,
    count: u32,
}

impl Limits {
    pub(crate) fn new(most: u32, within: Duration) -> Self {
        Self { most, within, hasher: RandomState::new(), windows: Mutex::default() }
    }

    /// Whether one more of this kind may be reported now.
    pub(crate) fn allow(&self, fingerprint: &[impl AsRef<str>], now: Instant) -> bool {
        let parts: Vec<&str> = fingerprint.iter().map(AsRef::as_ref).collect();
        let mut kind = self.hasher.hash_one(parts);
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= KINDS && !windows.contains_key(&kind) {
            windows.retain(|_, window| now.saturating_duration_since(window.began) < self.within);
            if windows.len() >= KINDS {
                kind = 0;
            }
        }
        let window = windows.entry(kind).or_insert(Window { began: now, count: 0 });
        if now.saturating_duration_since(window.began) >= self.within {
            *window = Window { began: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        window.count <= self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn so_many_of_a_kind_are_allowed_in_each_span_of_time_and_kinds_do_not_share() {
        let (limits, start) = (Limits::new(2, MINUTE), Instant::now());
        let allowed = |kind: &str, at| limits.allow(&[kind], at);
        assert_eq!([0; 4].map(|_| allowed("a", start)), [true, true, false, false]);
        assert!(allowed("b", start));
        assert!(!allowed("a", start + Duration::from_secs(59)));
        assert!(allowed("a", start + MINUTE));
    }

    #[test]
    fn parts_of_a_fingerprint_do_not_run_together() {
        let (limits, start) = (Limits::new(1, MINUTE), Instant::now());
        assert!(limits.allow(&["ab", "c"], start) && limits.allow(&["a", "bc"], start));
    }

    #[test]
    fn kinds_without_end_take_no_memory_without_end_and_no_allowance_of_each() {
        let (limits, start) = (Limits::new(1, MINUTE), Instant::now());
        let allowed = (0..10 * KINDS).filter(|kind| limits.allow(&[kind.to_string()], start)).count();
        assert_eq!(allowed, KINDS + 1);
        assert!(limits.windows.lock().unwrap().len() <= KINDS + 1);
        assert!(limits.allow(&["another"], start + MINUTE));
    }
}
