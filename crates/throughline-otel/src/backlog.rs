//! What waits to be sent, and when it is due.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Batching;

/// The shortest time between two attempts, and the longest that is not asked for by the collector.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// The same for a collector that does not take such things at all.
const REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));

/// A collector that asks for more is asked again anyway.
const LONGEST: Duration = Duration::from_secs(3600);

/// Something that is sent.
pub(crate) trait Item {
    /// About how many bytes it takes.
    fn bytes(&self) -> usize;
    /// How many events in memory it stands for, one at least.
    fn weight(&self) -> usize;
}

/// Items in their order, sent from the front in batches.
pub(crate) struct Backlog<T> {
    /// What they are, for people.
    what: &'static str,
    items: VecDeque<(Instant, T)>,
    bytes: usize,
    weight: usize,
    /// How many the next batch may have: fewer after one was too large.
    at_most: usize,
    batching: Batching,
    /// How often the collector has put us off.
    put_off: u32,
    not_before: Instant,
    is_urgent: bool,
    /// Whether the last attempt failed: said once, not for each batch.
    is_in_trouble: bool,
}

impl<T: Item> Backlog<T> {
    pub(crate) fn new(what: &'static str, batching: Batching) -> Self {
        Self {
            what,
            items: VecDeque::new(),
            bytes: 0,
            weight: 0,
            at_most: batching.spans,
            batching,
            put_off: 0,
            not_before: Instant::now(),
            is_urgent: false,
            is_in_trouble: false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Takes one more, or gives it back if there is no room.
    pub(crate) fn push(&mut self, item: T) -> Result<(), T> {
        if self.weight >= self.batching.capacity {
            return Err(item);
        }
        self.bytes += item.bytes();
        self.weight += item.weight();
        self.items.push_back((Instant::now(), item));
        Ok(())
    }

    /// What there is is sent without waiting for more.
    pub(crate) fn hurry(&mut self) {
        self.is_urgent = !self.items.is_empty();
    }

    /// When a batch is to be sent.
    pub(crate) fn due(&self) -> Option<Instant> {
        let (first, _) = self.items.front()?;
        let is_full = self.items.len() >= self.batching.spans || self.bytes >= self.batching.bytes;
        let is_part = self.at_most < self.batching.spans;
        let delay = if is_full || is_part || self.is_urgent { Duration::ZERO } else { self.batching.delay };
        // A delay that has no end is one until the batch is full.
        Some(first.checked_add(delay)?.max(self.not_before))
    }

    /// When it may be tried at the earliest.
    pub(crate) fn not_before(&self) -> Instant {
        self.not_before
    }

    /// How many items the next batch has.
    pub(crate) fn batch(&self) -> usize {
        self.fitting(self.items.iter().map(|(_, item)| item))
    }

    /// How many of these, which wait elsewhere, fit into a batch.
    pub(crate) fn fitting<'i>(&self, items: impl Iterator<Item = &'i T>) -> usize
    where
        T: 'i,
    {
        let mut bytes = 0;
        let fits = |item: &&T| {
            bytes += item.bytes();
            bytes <= self.batching.bytes
        };
        // One that is too large by itself is sent by itself.
        items.take(self.at_most).take_while(fits).count().max(1)
    }

    pub(crate) fn first(&self, count: usize) -> impl Iterator<Item = &T> {
        self.items.iter().take(count).map(|(_, item)| item)
    }

    /// Takes the first ones out.
    pub(crate) fn take(&mut self, count: usize) -> Vec<T> {
        let taken: Vec<_> = self.items.drain(..count.min(self.items.len())).map(|(_, item)| item).collect();
        self.bytes -= taken.iter().map(Item::bytes).sum::<usize>();
        self.weight -= taken.iter().map(Item::weight).sum::<usize>();
        self.is_urgent &= !self.items.is_empty();
        taken
    }

    /// Takes those out that have been tried for longer than anybody has patience.
    pub(crate) fn take_overdue(&mut self) -> Vec<T> {
        let is_overdue = |(since, _): &&(Instant, T)| since.elapsed() > self.batching.patience;
        let count = self.items.iter().take_while(is_overdue).count();
        self.take(count)
    }

    /// A batch was taken.
    pub(crate) fn went_well(&mut self) {
        self.is_in_trouble = false;
        self.may_grow();
    }

    /// Says why a batch was not taken.
    pub(crate) fn trouble(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_in_trouble, true) {
            tracing::warn!(target: "throughline", what = self.what, reason, "the collector did not take a batch");
        }
    }

    /// There was an answer that is final: the next batch may be larger.
    pub(crate) fn may_grow(&mut self) {
        self.put_off = 0;
        self.at_most = self.at_most.saturating_mul(2).min(self.batching.spans);
    }

    /// A batch of this size was too large; answers whether a smaller one can be tried.
    pub(crate) fn halve(&mut self, count: usize) -> bool {
        self.at_most = (count / 2).max(1);
        count > 1
    }

    /// The collector has no time: tried again after the time that it asks for, or after more and more.
    pub(crate) fn put_off(&mut self, asked: Option<Duration>) {
        let backoff = self.backoff(BACKOFF);
        self.wait(asked.unwrap_or(backoff).min(self.batching.patience).clamp(BACKOFF.0, LONGEST));
    }

    /// The collector takes nothing of the kind, and is asked again after more and more time. Answers what there is, which it
    /// would not take either.
    pub(crate) fn refused(&mut self) -> Vec<T> {
        let backoff = self.backoff(REFUSED);
        self.wait(backoff);
        self.take(self.items.len())
    }

    fn backoff(&mut self, (shortest, longest): (Duration, Duration)) -> Duration {
        let backoff = shortest.saturating_mul(1 << self.put_off.min(16)).min(longest);
        self.put_off = self.put_off.saturating_add(1);
        // Many processes must not come back at the same moment.
        backoff / 100 * rand::random_range(50..=100)
    }

    fn wait(&mut self, wait: Duration) {
        let now = Instant::now();
        self.not_before = now.checked_add(wait).unwrap_or(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Sized(usize);

    impl Item for Sized {
        fn bytes(&self) -> usize {
            self.0
        }

        fn weight(&self) -> usize {
            1
        }
    }

    fn backlog(sizes: impl IntoIterator<Item = usize>) -> Backlog<Sized> {
        let second = Duration::from_secs(1);
        let mut backlog = Backlog::new(
            "items",
            Batching { delay: second, spans: 8, bytes: 100, capacity: 20, patience: second },
        );
        for size in sizes {
            assert!(backlog.push(Sized(size)).is_ok());
        }
        backlog
    }

    #[test]
    fn a_batch_is_bounded_by_count_and_by_bytes_and_has_one_item_at_least() {
        assert_eq!(backlog([1; 20]).batch(), 8);
        assert_eq!(backlog([40; 20]).batch(), 2);
        assert_eq!(backlog([1000, 1]).batch(), 1);
    }

    #[test]
    fn a_full_backlog_takes_no_more() {
        let mut full = backlog([1; 20]);
        assert!(full.push(Sized(1)).is_err());
        full.take(1);
        assert!(full.push(Sized(1)).is_ok());
    }

    #[test]
    fn what_is_too_large_is_halved_down_to_one_and_grows_again() {
        let mut backlog = backlog([1; 20]);
        let mut sizes = Vec::new();
        while backlog.halve(backlog.batch()) {
            sizes.push(backlog.batch());
        }
        assert_eq!(sizes, [4, 2, 1]);
        let grown = std::iter::repeat_with(|| {
            backlog.went_well();
            backlog.batch()
        });
        assert_eq!(grown.take(4).collect::<Vec<_>>(), [2, 4, 8, 8]);
    }

    #[test]
    fn a_batch_is_due_when_it_is_full_or_has_waited_or_is_urgent() {
        let now = Instant::now();
        assert!(backlog([1; 8]).due().unwrap() <= Instant::now());
        assert!(backlog([200]).due().unwrap() <= Instant::now());
        assert!(backlog([1]).due().unwrap() >= now + Duration::from_secs(1));
        let mut urgent = backlog([1]);
        urgent.hurry();
        assert!(urgent.due().unwrap() <= Instant::now());
        assert!(backlog([]).due().is_none());
    }

    #[test]
    fn limits_may_be_as_long_as_anybody_likes() {
        let ever = Duration::MAX;
        let batching = Batching { delay: ever, spans: 2, bytes: 100, capacity: 20, patience: ever };
        let mut backlog = Backlog::new("items", batching);
        assert!(backlog.push(Sized(1)).is_ok());
        assert_eq!(backlog.due(), None);
        backlog.put_off(Some(ever));
        assert!(backlog.push(Sized(1)).is_ok());
        assert!(backlog.due().is_some() && backlog.take_overdue().is_empty());
    }

    #[test]
    fn a_collector_that_takes_nothing_of_a_kind_is_asked_less_and_less_often_and_nothing_waits_for_it() {
        let mut backlog = backlog([1; 8]);
        let mut last = Instant::now();
        for wait in [2_500, 5_000, 10_000] {
            assert!(backlog.push(Sized(1)).is_ok());
            assert!(!backlog.refused().is_empty() && backlog.len() == 0);
            let next = backlog.not_before();
            assert!(next - Instant::now() > Duration::from_millis(wait - 100), "{wait}");
            assert!(next > last);
            last = next;
        }
    }

    #[test]
    fn a_collector_is_asked_again_when_it_wants_to_be() {
        let mut backlog = backlog([1; 8]);
        let now = Instant::now();
        backlog.put_off(Some(Duration::from_millis(700)));
        assert!(backlog.due().unwrap() >= now + Duration::from_millis(700));
        // But not later than anybody has patience for.
        backlog.put_off(Some(Duration::from_secs(3600)));
        assert!(backlog.due().unwrap() <= Instant::now() + Duration::from_secs(1));
    }
}
