//! [`Resumption`]: what the spans of a resumed run have to do with those that were there before.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use throughline_model::fold::{History, PastSpan};
use throughline_model::{Moment, Relation, SpanId, Status, Text, Timestamp, names};

use super::span::{Label, Run, Span};
use super::spec::Details;

/// What a run had done before it was resumed.
pub(crate) struct Resumption {
    pub(super) history: History,
    started: Timestamp,
    not_reached: Mutex<NotReached>,
    /// The sagas that are gone through again: each is once, for two would write into one span.
    sagas_reached: Mutex<HashSet<SpanId>>,
}

/// By parent and name the steps that have not been reached again, in the order of their starts: of each its last attempt.
type NotReached = HashMap<SpanId, HashMap<Text, VecDeque<SpanId>>>;

impl Resumption {
    pub(super) fn new(history: History, started: Timestamp) -> Self {
        let tried_again: HashSet<SpanId> =
            history.spans().filter_map(|span| tried_before(&history, span)).collect();
        let mut not_reached = NotReached::new();
        for span in history.spans().filter(|span| !span.is_compensation && !tried_again.contains(&span.id)) {
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
    pub(super) fn begun(
        &self,
        parent: &Span,
        run: &Run,
        label: &Label,
        details: Option<&Details>,
    ) -> Option<&PastSpan> {
        let name = match label {
            Label::Step(name) => name.as_str(),
            Label::Workflow => names::WORKFLOW_STARTED,
            Label::Saga => return None,
        };
        let mut not_reached = self.not_reached.lock().unwrap_or_else(PoisonError::into_inner);
        let siblings = parent.earlier.and_then(|parent| not_reached.get_mut(&parent));
        let of_name = siblings.and_then(|siblings| siblings.get_mut(name));
        let links = details.into_iter().flat_map(|details| &details.links);
        let tried_again = links.filter(|link| link.rel == Relation::RetryOf && link.trace_id.is_none());
        if let Some(before) = tried_again.filter_map(|link| self.history.span(link.span_id)).last() {
            if let Some(of_name) = of_name {
                // Most often they come in the order in which they came before.
                match of_name.front() == Some(&before.id) {
                    true => drop(of_name.pop_front()),
                    false => of_name.retain(|id| *id != before.id),
                }
            }
            return Some(before);
        }
        if details.is_some_and(|details| details.attempt.is_some() || details.continues.is_some()) {
            return None;
        }
        let of_name = of_name?;
        // All workflows within a run begin with the same name, each with one of its own.
        let is_same = |id: &SpanId| self.history.span(*id).is_some_and(|span| span.workflow == run.workflow);
        let at = of_name.iter().position(is_same)?;
        self.history.span(of_name.remove(at)?)
    }

    /// The number of a step: that of its first attempt which has one.
    pub(super) fn step_index(&self, of: &PastSpan) -> Option<u32> {
        // Broken records may go in circles.
        let mut seen = HashSet::new();
        let mut attempt = of;
        while attempt.step_index.is_none() && seen.insert(attempt.id) {
            attempt = self.history.span(tried_before(&self.history, attempt)?)?;
        }
        attempt.step_index
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

/// The attempt at the same step that a span says it tries again.
fn tried_before(history: &History, span: &PastSpan) -> Option<SpanId> {
    let retried = span.links.iter().filter(|link| link.rel == Relation::RetryOf);
    let mut before = retried.filter_map(|link| history.span(link.span_id));
    let attempt = before.rfind(|before| before.id != span.id && before.event_type == span.event_type);
    attempt.map(|before| before.id)
}
