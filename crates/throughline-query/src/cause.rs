//! What caused a failure: the facts about retries, compensations and parents that all answers share.
//!
//! The rules, in short:
//!
//! - A failed attempt that was retried stands for nothing: the last attempt speaks for all of them.
//! - What fails while others are undone is a consequence, not a cause.
//! - A failed span was brought down by a failed child if their errors agree, or if nothing was begun after the
//!   child had failed. If the parent went on to other work, it had tolerated that failure.
//! - What was abandoned failed for the reason that was given.
//! - The cause is where the descent ends.

use super::index::NONE;
use super::{Span, TraceQuery};
use throughline_model::names::errors;
use throughline_model::{ErrorInfo, Relation, RunState, Status};

/// Facts about every span of a query, each worked out once for all.
pub(super) struct Causes<'q> {
    pub(super) query: &'q TraceQuery,
    /// The next attempt at the same thing.
    pub(super) retried_by: Vec<u32>,
    /// The last attempt at the same thing: the span itself where it was not retried.
    pub(super) last_attempt: Vec<u32>,
    /// Whether the span is a compensation or part of one.
    pub(super) in_compensation: Vec<bool>,
    /// The innermost span around it, or itself, that was retried.
    pub(super) within_retried: Vec<u32>,
    /// When the span last began work of its own, as a place in the timeline: the start of its last child that is
    /// neither a point nor a compensation.
    last_work: Vec<u32>,
    /// Whether something below failed, or was cancelled, that is neither compensation nor a retried attempt.
    failure_below: Vec<bool>,
    cancellation_below: Vec<bool>,
}

/// What went wrong in a run, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Found {
    /// The span that is the cause.
    pub(super) span: Option<u32>,
    /// The span whose end is explained: the one by which the run stands, or what failed within a run that did not.
    pub(super) top: Option<u32>,
}

impl TraceQuery {
    pub(super) fn find_cause(&self) -> Found {
        Causes::new(self).find()
    }
}

impl<'q> Causes<'q> {
    pub(super) fn new(query: &'q TraceQuery) -> Self {
        let len = query.index.len() as usize;
        let mut causes = Self {
            query,
            retried_by: vec![NONE; len],
            last_attempt: (0..query.index.len()).collect(),
            in_compensation: vec![false; len],
            within_retried: vec![NONE; len],
            last_work: vec![0; len],
            failure_below: vec![false; len],
            cancellation_below: vec![false; len],
        };
        causes.follow_retries();
        causes.look_down();
        causes.look_up();
        causes
    }

    fn follow_retries(&mut self) {
        // For each attempt the first at the same thing, and for each first one the last so far: several attempts may
        // name the same attempt before them.
        let mut first: Vec<u32> = self.last_attempt.clone();
        let mut last = first.clone();
        for retry in self.query.spans() {
            for original in retry.linked(Relation::RetryOf).filter_map(|id| self.query.index.find(id)) {
                // A retry begins after what it retries: links that say otherwise could go in circles.
                if original < retry.index {
                    let chain = first[original as usize];
                    let before = std::mem::replace(&mut last[chain as usize], retry.index);
                    if before != retry.index {
                        self.retried_by[before as usize] = retry.index;
                    }
                    first[retry.index as usize] = chain;
                }
            }
        }
        for span in (0..self.retried_by.len()).rev() {
            let next = self.retried_by[span];
            if next != NONE {
                self.last_attempt[span] = self.last_attempt[next as usize];
            }
        }
    }

    /// What a span takes from the spans around it.
    fn look_down(&mut self) {
        for &index in &self.query.index.outline().rows {
            let span = self.at(index);
            let parent = span.parent().map(|parent| parent.index as usize);
            let at = index as usize;
            let compensation = span.is_compensation();
            self.in_compensation[at] =
                compensation || parent.is_some_and(|parent| self.in_compensation[parent]);
            self.within_retried[at] = match parent {
                _ if self.retried_by[at] != NONE => index,
                Some(parent) => self.within_retried[parent],
                None => NONE,
            };
            if let Some(parent) = parent.filter(|_| !compensation && !span.is_point()) {
                self.last_work[parent] = self.last_work[parent].max(span.start_place());
            }
        }
    }

    /// What a span takes from the spans below it.
    fn look_up(&mut self) {
        for &index in self.query.index.outline().rows.iter().rev() {
            let (at, status) = (index as usize, self.at(index).status());
            if !self.in_compensation[at]
                && self.retried_by[at] == NONE
                && let Some(parent) = self.query.index.parent_of(index)
            {
                let parent = parent as usize;
                self.failure_below[parent] |= self.failure_below[at] || status == Status::Failed;
                self.cancellation_below[parent] |= self.cancellation_below[at] || status == Status::Cancelled;
            }
        }
    }

    pub(super) fn at(&self, index: u32) -> Span<'q> {
        self.query.at(index)
    }

    /// Whether the parent began other work after this span had ended.
    pub(super) fn is_tolerated(&self, span: Span<'q>) -> bool {
        span.parent().is_some_and(|parent| self.last_work[parent.index as usize] > span.end_place())
    }

    pub(super) fn find(&self) -> Found {
        let Some(standing) = self.query.standing() else { return Found::default() };
        match standing.state() {
            RunState::Failed => self.descend(standing, Status::Failed),
            RunState::Cancelled => self.descend(standing, Status::Cancelled),
            RunState::Interrupted => self.innermost_open(standing),
            RunState::Running | RunState::Unfinished => Found::default(),
            RunState::Succeeded => {
                self.failed_top().map_or(Found::default(), |top| self.descend(top, Status::Failed))
            }
        }
    }

    /// In a run that did not fail, the failure that matters most: of a workflow rather than of a saga, of a saga
    /// rather than of a step, and the first of these.
    fn failed_top(&self) -> Option<Span<'q>> {
        let rank = |span: &Span<'q>| (!span.is_workflow(), !span.is_saga(), span.index);
        self.query.spans().filter(|span| self.is_loose_failure(*span)).min_by_key(rank)
    }

    /// A failure that is not part of a greater one, nor was made good by trying again.
    fn is_loose_failure(&self, span: Span<'q>) -> bool {
        span.status() == Status::Failed
            && !self.in_compensation[span.index as usize]
            && self.within_retried[span.index as usize] == NONE
            && span.parent().is_none_or(|parent| parent.status() != Status::Failed)
    }

    fn descend(&self, top: Span<'q>, status: Status) -> Found {
        let (mut at, mut cause) = (top, top);
        while let Some(child) = self.culprit(at, status) {
            at = child;
            // A span whose end was not recorded is on the way to a cause, never the cause itself.
            if at.status() == status {
                cause = at;
            }
        }
        Found { span: Some(cause.index), top: Some(top.index) }
    }

    /// The child that brought a span down.
    pub(super) fn culprit(&self, span: Span<'q>, status: Status) -> Option<Span<'q>> {
        // Somebody closed it and said why, whatever had happened in it before or was undone since.
        if span.error().is_some_and(|error| error.kind == errors::ABANDONED) {
            return None;
        }
        let suspects = || {
            span.children().filter(|child| {
                !self.in_compensation[child.index as usize] && self.retried_by[child.index as usize] == NONE
            })
        };
        let first = |spans: &mut dyn Iterator<Item = Span<'q>>| spans.min_by_key(|child| child.end_place());
        let same_end = || suspects().filter(|child| child.status() == status);
        first(&mut same_end().filter(|child| same_error(span.error(), child.error())))
            .or_else(|| first(&mut same_end().filter(|child| !self.is_tolerated(*child))))
            .or_else(|| {
                // The child's end was not recorded, or it continues without its parent, but something in it ended so.
                let below = match status {
                    Status::Cancelled => &self.cancellation_below,
                    _ => &self.failure_below,
                };
                first(
                    &mut suspects()
                        .filter(|child| child.status() == Status::Pending && below[child.index as usize]),
                )
            })
    }

    /// The step a dead process was in: of the open spans without an open child, the last that began. What a later process
    /// tried again is not it, nor what the process itself had left open before it died.
    fn innermost_open(&self, top: Span<'q>) -> Found {
        let mut at = top;
        let is_left = |at: &Span<'q>, child: &Span<'q>| {
            let was_left_before =
                child.is_left_to_nobody() && at.state() == RunState::Interrupted && !at.is_left_to_nobody();
            child.state() == RunState::Interrupted
                && self.retried_by[child.index as usize] == NONE
                && !was_left_before
        };
        while let Some(child) = at.children().rev().find(|child| is_left(&at, child)) {
            at = child;
        }
        Found { span: Some(at.index), top: Some(top.index) }
    }
}

/// Whether a parent's error is its child's, passed on as it was or with more words around it, by itself or as one of the
/// errors behind another.
fn same_error(parent: Option<&ErrorInfo>, child: Option<&ErrorInfo>) -> bool {
    let (Some(parent), Some(child)) = (parent, child) else { return false };
    let message = child.message.as_str();
    // A short message may be part of another by chance.
    let passes_on = |text: &str| text == message || (message.len() >= 8 && text.contains(message));
    !message.is_empty() && (passes_on(&parent.message) || parent.chain.iter().any(|source| passes_on(source)))
}
