//! What caused a failure: the rules of [`throughline_model::fold::Causes`], applied to a query.

use std::borrow::Cow;

use super::{Span, TraceQuery};
use throughline_model::fold::{self, Found, Ground, SpanFacts};
use throughline_model::{RunState, Status};

/// Facts about every span of a query, each worked out once for all.
pub(super) struct Causes<'q> {
    pub(super) query: &'q TraceQuery,
    rules: fold::Causes<'q>,
}

impl<'q> Causes<'q> {
    pub(super) fn new(query: &'q TraceQuery) -> Self {
        let facts = query.spans().filter_map(|span| {
            let parent = query.index.parent_of(span.index);
            SpanFacts::of(span.events(), parent, (span.start_place(), span.end_place()), |id| {
                query.index.find(id)
            })
        });
        Self { query, rules: fold::Causes::new(facts.collect()) }
    }

    pub(super) fn at(&self, index: u32) -> Span<'q> {
        self.query.at(index)
    }

    /// Whether it was tried again.
    pub(super) fn is_retried(&self, span: Span<'q>) -> bool {
        self.rules.is_retried(span.index)
    }

    /// The last attempt at the same thing: the span itself where it was not tried again.
    pub(super) fn last_attempt(&self, span: u32) -> u32 {
        self.rules.last_attempt(span)
    }

    /// Whether it is a compensation or part of one.
    pub(super) fn is_in_compensation(&self, span: Span<'q>) -> bool {
        self.rules.is_in_compensation(span.index)
    }

    /// The innermost span around it, or itself, that was tried again.
    pub(super) fn within_retried(&self, span: Span<'q>) -> Option<u32> {
        self.rules.within_retried(span.index)
    }

    /// Whether the parent began other work after this span had ended.
    pub(super) fn is_tolerated(&self, span: Span<'q>) -> bool {
        self.rules.is_tolerated(span.index)
    }

    /// Whether its name says that it puts something right, or tells somebody, after something has gone wrong.
    pub(super) fn is_aftermath(&self, span: Span<'q>) -> bool {
        self.rules.is_named_as_aftermath(span.index)
    }

    /// The span that brought a failed one down.
    pub(super) fn culprit(&self, span: Span<'q>) -> Option<(Span<'q>, Ground)> {
        self.rules.culprit(span.index, Status::Failed).map(|(culprit, ground)| (self.at(culprit), ground))
    }

    /// The span that something that failed comes from: itself, if nothing else brought it down.
    pub(super) fn origin_of(&self, span: Span<'q>) -> Span<'q> {
        self.at(self.rules.descend(span.index, Status::Failed).cause)
    }

    /// Of a cause that was found as one of several, the others, in the order in which they failed.
    pub(super) fn as_likely(&self, found: &Found) -> Vec<Span<'q>> {
        self.rules.as_likely(found).into_iter().map(|other| self.at(other)).collect()
    }

    /// If a cause was found because what ended the work is called as if it cleaned up: that, which may be the cause as well.
    pub(super) fn perhaps_cleaned_up(&self, found: &Found) -> Option<Span<'q>> {
        self.rules
            .perhaps_cleaned_up(found)
            .map(|other| self.at(other))
            .filter(|other| other.index != found.cause)
    }

    /// The words of the error of a span, for [`is_called_by_name`](Self::is_called_by_name).
    pub(super) fn said_by(&self, span: Span<'_>) -> Vec<Cow<'q, str>> {
        self.rules.said_by(span.index)
    }

    /// Whether an error that has these words calls a span by its name.
    pub(super) fn is_called_by_name(&self, said: &[Cow<'_, str>], span: Span<'_>) -> bool {
        self.rules.is_called_by_name(said, span.index)
    }

    /// The last failure inside a span that may have brought it down although nothing says so.
    pub(super) fn may_come_from(&self, span: u32) -> Option<Span<'q>> {
        self.rules.may_come_from(span).map(|inside| self.at(inside))
    }

    /// Whether two failures are of one kind, but of different things: the items of a batch.
    pub(super) fn are_items(&self, one: Span<'q>, other: Span<'q>) -> bool {
        self.rules.are_items(one.index, other.index)
    }

    /// Whether the error of a span says that something was taken from it, and the cause may have done that.
    pub(super) fn is_taken_along(&self, span: Span<'q>, cause: Span<'_>) -> bool {
        self.rules.is_taken_along(span.index, cause.index)
    }

    pub(super) fn find(&self) -> Option<Found> {
        let (standing, state) = self.query.standing()?;
        match state {
            RunState::Failed => Some(self.rules.descend(standing.index, Status::Failed)),
            RunState::Cancelled => Some(self.rules.descend(standing.index, Status::Cancelled)),
            RunState::Interrupted => Some(self.longest_open(standing)),
            RunState::Running | RunState::Unfinished => None,
            RunState::Succeeded => Some(self.rules.descend(self.rules.failed_top()?, Status::Failed)),
        }
    }

    /// The step a dead process was in: of the open spans without an open child, the first that began. What a later
    /// process tried again is not it, nor what the process itself had left open before it died.
    fn longest_open(&self, top: Span<'q>) -> Found {
        let mut open = vec![top];
        let mut leaves: Vec<Span<'q>> = Vec::new();
        while let Some(at) = open.pop() {
            let left = at.children().filter(|child| {
                let was_left_before = child.is_left_to_nobody()
                    && at.state() == RunState::Interrupted
                    && !at.is_left_to_nobody();
                child.state() == RunState::Interrupted && !self.is_retried(*child) && !was_left_before
            });
            let before = open.len();
            open.extend(left);
            if open.len() == before {
                leaves.push(at);
            }
        }
        let cause = leaves.into_iter().min_by_key(Span::start_place).unwrap_or(top);
        Found::at(top.index, cause.index)
    }
}
