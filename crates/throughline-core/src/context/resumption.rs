//! [`Resumption`]: what the spans of a resumed run have to do with those that were there before.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use throughline_model::fold::{History, PastSpan};
use throughline_model::{Moment, Relation, SpanId, Status, Text, Timestamp};

use super::span::{Label, Span};
use super::spec::Details;

/// What a run had done before it was resumed.
pub(crate) struct Resumption {
    pub(super) history: History,
    started: Timestamp,
    not_reached: Mutex<NotReached>,
    sagas_reached: Mutex<HashSet<SpanId>>,
}

/// By parent and name the spans that have not been reached again, in the order of their starts.
type NotReached = HashMap<SpanId, HashMap<Text, VecDeque<SpanId>>>;

impl Resumption {
    pub(super) fn new(history: History, started: Timestamp) -> Self {
        let mut not_reached = NotReached::new();
        for span in history.spans().filter(|span| !span.is_compensation) {
            let Some(parent) = span.parent else { continue };
            let siblings = not_reached.entry(parent).or_default();
            siblings.entry(span.event_type.clone()).or_default().push_back(span.id);
        }
        Self { history, started, not_reached: Mutex::new(not_reached), sagas_reached: Mutex::default() }
    }

    /// The first saga of this name that was left open or succeeded, and has not been reached again: also one that succeeded is
    /// gone through again, and its steps are not to be done again. One that failed or was cancelled is over.
    pub(super) fn reach_saga(&self, name: &str) -> Option<&PastSpan> {
        let mut reached = self.sagas_reached.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sagas = self.history.sagas(name);
        sagas.find(|saga| matches!(saga.status, Status::Pending | Status::Success) && reached.insert(saga.id))
    }

    /// The saga was not run, and may be reached another time.
    pub(super) fn leave_saga(&self, saga: SpanId) {
        self.sagas_reached.lock().unwrap_or_else(PoisonError::into_inner).remove(&saga);
    }

    /// The step that was begun before and is begun again now: the one that it says it tries again, or else the first of its
    /// name, below the same parent, that has not been reached again.
    pub(super) fn begun(&self, parent: &Span, label: &Label, details: Option<&Details>) -> Option<&PastSpan> {
        let Label::Step(name) = label else { return None };
        let name = parent.run.hub.redactor.name(name);
        let mut not_reached = self.not_reached.lock().unwrap_or_else(PoisonError::into_inner);
        let siblings = parent.earlier.and_then(|parent| not_reached.get_mut(&parent));
        let of_name = siblings.and_then(|siblings| siblings.get_mut(&*name));
        let links = details.into_iter().flat_map(|details| &details.links);
        let tried_again = links.filter(|link| link.rel == Relation::RetryOf && link.trace_id.is_none());
        if let Some(before) = tried_again.filter_map(|link| self.history.span(link.span_id)).last() {
            if let Some(of_name) = of_name {
                of_name.retain(|id| *id != before.id);
            }
            return Some(before);
        }
        if details.is_some_and(|details| details.attempt.is_some() || details.continues.is_some()) {
            return None;
        }
        self.history.span(of_name?.pop_front()?)
    }

    /// What a span takes over from the same span, or from the attempt before it: that span, for how long it had been open,
    /// and how many of the steps in it were numbered.
    pub(super) fn left_off(
        &self,
        continues: Option<(SpanId, u32)>,
        before: Option<&PastSpan>,
    ) -> (Option<SpanId>, u64, u32) {
        let Some((id, _)) = continues else { return (before.map(|before| before.id), 0, 0) };
        let began = self.history.span(id).map_or(self.started, |span| span.started);
        let open_for = Moment::now().timestamp().since(began);
        let numbered = self.history.children(id).filter_map(|span| span.step_index).max();
        (Some(id), u64::try_from(open_for.as_micros()).unwrap_or(u64::MAX), numbered.unwrap_or(0))
    }
}
