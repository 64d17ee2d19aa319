//! The clock of the service, by which leases expire.

use std::sync::atomic::{AtomicI64, Ordering};

use throughline_model::Timestamp;

/// How far the clock of the service is ahead of ours, as far as its answers tell.
///
/// A document says in which second it was written. Where our clock agrees with that it is used as it is, for it counts
/// microseconds; where it does not, it is put right by as much as is certain.
#[derive(Debug, Default)]
pub(crate) struct ServiceClock(AtomicI64);

impl ServiceClock {
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_micros(Timestamp::now().as_micros().saturating_add(self.0.load(Ordering::Relaxed)))
    }

    /// Whether our clock does not agree with it.
    pub(crate) fn is_put_right(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    /// A request that was sent and answered at these moments of our clock was done in this second of the other one.
    pub(crate) fn observe(&self, sent: Timestamp, second: i64, answered: Timestamp) {
        let begin = second.saturating_mul(1_000_000);
        let least = begin.saturating_sub(answered.as_micros());
        let most = begin.saturating_add(1_000_000).saturating_sub(sent.as_micros());
        if least <= most {
            self.0.store(0.clamp(least, most), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(sent: i64, second: i64, answered: i64) -> i64 {
        let clock = ServiceClock::default();
        clock.observe(Timestamp::from_micros(sent), second, Timestamp::from_micros(answered));
        clock.0.load(Ordering::Relaxed)
    }

    #[test]
    fn a_clock_that_agrees_with_the_service_is_used_as_it_is() {
        assert_eq!(offset(5_200_000, 5, 5_300_000), 0);
        assert_eq!(offset(4_999_000, 5, 5_001_000), 0);
        assert_eq!(offset(5_990_000, 5, 6_010_000), 0);
    }

    #[test]
    fn a_clock_that_is_behind_or_ahead_is_put_right_by_what_is_certain() {
        // At most 100.3 s have passed here when at least 105 s have there.
        assert_eq!(offset(100_200_000, 105, 100_300_000), 4_700_000);
        assert_eq!(offset(105_200_000, 100, 105_300_000), -4_200_000);
    }
}
