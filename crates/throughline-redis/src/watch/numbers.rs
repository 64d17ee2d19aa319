//! Which numbers of an instance never came.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use throughline_model::InstanceId;
use tokio::time::Instant;

/// How long the number of an event may be outstanding: emitters number events before they queue them, so neighbours
/// may change places.
const OUTSTANDING: Duration = Duration::from_secs(1);

/// How many instances are followed. One more, and all are forgotten and learned anew.
const INSTANCES: usize = 1024;

/// How many gaps of an instance may be outstanding; of more, the first is given up.
const GAPS: usize = 64;

/// The numbers that each instance gave its events.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    instances: HashMap<InstanceId, Line>,
    /// Events that were given up, and have not been reported.
    given_up: u64,
}

/// The numbers of one instance.
#[derive(Debug)]
struct Line {
    /// The one after the highest that came.
    next: u64,
    /// Numbers below that which did not come: the first of each gap, the one after its last, and since when it is known.
    gaps: BTreeMap<u64, (u64, Instant)>,
}

impl Numbers {
    /// An event with this number came.
    pub(crate) fn came(&mut self, instance: InstanceId, n: u64, now: Instant) {
        if self.instances.len() == INSTANCES && !self.instances.contains_key(&instance) {
            self.instances.clear();
        }
        let after = n.saturating_add(1);
        let Some(line) = self.instances.get_mut(&instance) else {
            self.instances.insert(instance, Line { next: after, gaps: BTreeMap::new() });
            return;
        };
        if n < line.next {
            line.fill(n);
            return;
        }
        if n > line.next {
            line.gaps.insert(line.next, (n, now));
            if line.gaps.len() > GAPS
                && let Some((from, (to, _))) = line.gaps.pop_first()
            {
                self.given_up = self.given_up.saturating_add(to - from);
            }
        }
        line.next = after;
    }

    /// How many events did not come in time, since this was last asked.
    pub(crate) fn missed(&mut self, now: Instant) -> Option<u64> {
        let mut missed = std::mem::take(&mut self.given_up);
        for line in self.instances.values_mut() {
            line.gaps.retain(|from, (to, since)| {
                let is_late = now.saturating_duration_since(*since) >= OUTSTANDING;
                missed = missed.saturating_add(if is_late { *to - *from } else { 0 });
                !is_late
            });
        }
        (missed > 0).then_some(missed)
    }

    /// Forgets all: what is missing has been said otherwise.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Line {
    /// The number came after all.
    fn fill(&mut self, n: u64) {
        let gap = self.gaps.range(..=n).next_back().map(|(from, (to, since))| (*from, *to, *since));
        let Some((from, to, since)) = gap.filter(|(_, to, _)| n < *to) else { return };
        self.gaps.remove(&from);
        if from < n {
            self.gaps.insert(from, (n, since));
        }
        if n + 1 < to {
            self.gaps.insert(n + 1, (to, since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: InstanceId = InstanceId::from_u64(1);
    const B: InstanceId = InstanceId::from_u64(2);

    #[test]
    fn a_jump_is_missed_once_and_only_when_its_time_is_over() {
        let (mut numbers, now) = (Numbers::default(), Instant::now());
        numbers.came(A, 10, now);
        numbers.came(B, 0, now);
        numbers.came(A, 15, now);
        assert_eq!(numbers.missed(now), None, "they may still come");
        assert_eq!(numbers.missed(now + OUTSTANDING), Some(4));
        assert_eq!(numbers.missed(now + OUTSTANDING), None);
        numbers.came(A, 16, now);
        numbers.came(B, 1, now);
        assert_eq!(numbers.missed(now + OUTSTANDING), None);
    }

    #[test]
    fn numbers_that_come_in_another_order_are_not_missed() {
        let (mut numbers, now) = (Numbers::default(), Instant::now());
        for n in [3, 9, 5, 4, 8, 6, 7, 1, 2, 9, 5] {
            numbers.came(A, n, now);
        }
        assert_eq!(numbers.missed(now + OUTSTANDING), None);
        for n in [20, 14, 12] {
            numbers.came(A, n, now);
        }
        assert_eq!(numbers.missed(now + OUTSTANDING), Some(8), "10, 11, 13 and 15 to 19");
    }

    #[test]
    fn many_gaps_take_no_more_room_than_a_few() {
        let (mut numbers, now) = (Numbers::default(), Instant::now());
        for n in 0..10_000 {
            numbers.came(A, 2 * n, now);
        }
        assert!(numbers.instances[&A].gaps.len() <= GAPS);
        assert_eq!(numbers.missed(now + OUTSTANDING), Some(9_999));
        for instance in 0..10_000 {
            numbers.came(InstanceId::from_u64(instance), 0, now);
        }
        assert!(numbers.instances.len() <= INSTANCES);
        numbers.came(A, u64::MAX, now);
        numbers.came(A, u64::MAX, now);
    }
}
