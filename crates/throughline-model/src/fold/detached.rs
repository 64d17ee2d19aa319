//! What is detached from a run.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::Mark;
use crate::{SpanId, Status};

/// The spans that are detached from a run, each by its last event, and the spans that these tried again. A request may put
/// a hundred thousand jobs into a queue: whether anything is open is known without a look at each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Detached<K> {
    last: HashMap<SpanId, Mark<K>>,
    retried: HashSet<SpanId>,
    /// How many of the spans were not tried again.
    counting: usize,
    /// How many of those have not ended.
    open: usize,
}

impl<K> Default for Detached<K> {
    fn default() -> Self {
        Self { last: HashMap::new(), retried: HashSet::new(), counting: 0, open: 0 }
    }
}

impl<K> Detached<K> {
    /// Takes note that a span was tried again; says whether that was not known.
    pub(super) fn retry(&mut self, span: SpanId) -> bool {
        let is_new = self.retried.insert(span);
        if is_new && let Some(mark) = self.last.get(&span) {
            self.counting -= 1;
            self.open -= is_open(mark);
        }
        is_new
    }

    /// Keeps the later of the two events of a span; says whether anything is different.
    pub(super) fn keep_last(&mut self, mut mark: Mark<K>) -> bool {
        if !mark.is_root && mark.status != Status::Pending {
            // How it ended is for those around it to tell.
            mark.status = Status::Success;
        }
        let counts = usize::from(!self.is_retried(mark.span_id()));
        let opens = counts * is_open(&mark);
        match self.last.entry(mark.span_id()) {
            Entry::Vacant(place) => {
                place.insert(mark);
                self.counting += counts;
                self.open += opens;
                true
            }
            Entry::Occupied(mut kept) => {
                let is_later = mark.position.in_span() > kept.get().position.in_span();
                if is_later {
                    self.open = self.open + opens - counts * is_open(kept.get());
                    kept.insert(mark);
                }
                is_later
            }
        }
    }

    pub(super) fn contains(&self, span: SpanId) -> bool {
        self.last.contains_key(&span)
    }

    pub(super) fn is_retried(&self, span: SpanId) -> bool {
        self.retried.contains(&span)
    }

    /// The last event of each span.
    pub(super) fn marks(&self) -> impl Iterator<Item = &Mark<K>> {
        self.last.values()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.last.is_empty()
    }

    /// Whether there is a span that was not tried again.
    pub(super) fn counts(&self) -> bool {
        self.counting > 0
    }

    /// Whether one of those has not ended.
    pub(super) fn is_open(&self) -> bool {
        self.open > 0
    }
}

fn is_open<K>(mark: &Mark<K>) -> usize {
    usize::from(mark.status == Status::Pending)
}
