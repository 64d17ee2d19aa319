//! Which events a watcher has seen.

use std::collections::{HashSet, VecDeque};

use throughline_model::EventId;

/// The identities of the last events. A publisher sends a group again if it does not know whether it arrived, and
/// the second copy follows the first closely.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    seen: HashSet<EventId>,
    order: VecDeque<EventId>,
}

impl Repeats {
    /// How many events are remembered: several times what is sent at once.
    const KEPT: usize = 4096;

    /// Whether an event is seen for the first time.
    pub(crate) fn is_new(&mut self, id: EventId) -> bool {
        if !self.seen.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > Self::KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use throughline_model::{SpanId, TraceId};

    use super::*;

    #[test]
    fn an_event_is_new_once_for_as_long_as_it_is_remembered() {
        let id =
            |seq| EventId { trace_id: TraceId::from_key("a"), span_id: SpanId::from_u64(1).unwrap(), seq };
        let mut repeats = Repeats::default();
        assert!(repeats.is_new(id(0)));
        assert!(!repeats.is_new(id(0)));
        for seq in 1..=Repeats::KEPT as u32 {
            assert!(repeats.is_new(id(seq)));
        }
        assert!(!repeats.is_new(id(1)), "the last ones are remembered");
        assert!(repeats.is_new(id(0)), "the oldest was forgotten");
        assert_eq!(repeats.seen.len(), repeats.order.len());
    }
}
