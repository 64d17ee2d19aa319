//! [`History`]: what a run did so far.

use std::collections::{HashMap, HashSet};

use super::{Placed, Position, SpanFold, by_span};
use crate::names::{JOB_PREFIX, WORKFLOW_STARTED, attrs, tags};
use crate::{Attrs, ErrorInfo, Link, Relation, SpanId, Status, Text, Timestamp, TraceEvent};

/// What a run did so far, here or in another process: names and statuses, never payloads. It is what resumption, and
/// a further attempt at a step or a job, build on.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// In the order of their starts.
    pub(super) spans: Vec<PastSpan>,
    pub(super) by_id: HashMap<SpanId, usize>,
    /// Of each span, here or above, the one that the nearest workflow or job began with. What is in none belongs together
    /// too.
    works: Vec<Option<usize>>,
}

/// A span of a [`History`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PastSpan {
    /// The span.
    pub id: SpanId,
    /// The span around it.
    pub parent: Option<SpanId>,
    /// What it was called as it began.
    pub event_type: Text,
    /// The workflow that it was part of as it began.
    pub workflow: Option<Text>,
    /// Its status: `pending` if no end was recorded.
    pub status: Status,
    /// Which attempt it was.
    pub attempt: Option<u32>,
    /// The 4 of "step 4 of 10".
    pub step_index: Option<u32>,
    /// When it began.
    pub started: Timestamp,
    /// Its small facts as it began.
    pub attrs: Attrs,
    /// The error that it ended with.
    pub error: Option<ErrorInfo>,
    /// What it did, as the last event knows that says so: see [`attrs::RESOURCE`].
    pub resource: Option<Text>,
    /// What it has to do with other spans of the run.
    pub links: Vec<Link>,
    /// Whether it can be undone.
    pub is_compensable: bool,
    /// Whether it is to be undone even if it may have had no effect: see [`tags::COMPENSATE_WHEN_IN_DOUBT`].
    pub is_compensated_when_in_doubt: bool,
    /// Whether it undoes another span.
    pub is_compensation: bool,
    /// Whether a compensation of it succeeded.
    pub is_undone: bool,
    /// The `seq` of its next event.
    pub next_seq: u32,
    /// The place of its last event.
    pub last_event: Position,
    /// The place of its end; `None` if none was recorded.
    pub ended: Option<Position>,
}

impl PastSpan {
    /// The events are those of one span, in its order.
    fn of(events: &[&TraceEvent]) -> Option<Self> {
        let first = *events.first()?;
        let mut span = SpanFold::new(first);
        let mut links: Vec<Link> = Vec::new();
        for event in events {
            span.add(event);
            for link in event.links.iter().filter(|link| link.trace_id.is_none_or(|id| id == event.trace_id))
            {
                if !links.contains(link) {
                    links.push(link.clone());
                }
            }
        }
        let has_tag = |tag| events.iter().any(|event| event.has_tag(tag));
        let resource = events.iter().rev().find_map(|event| event.attrs.get(attrs::RESOURCE));
        Some(Self {
            id: first.span_id,
            parent: first.parent_span_id,
            event_type: first.event_type.clone(),
            workflow: first.workflow.clone(),
            status: span.status(),
            attempt: first.attempt,
            step_index: first.step_index,
            started: first.timestamp,
            attrs: first.attrs.clone(),
            error: span.last().error.as_deref().cloned(),
            resource: resource.map(|resource| Text::from(resource.to_owned())),
            links,
            is_compensable: has_tag(tags::COMPENSABLE),
            is_compensated_when_in_doubt: has_tag(tags::COMPENSATE_WHEN_IN_DOUBT),
            is_compensation: has_tag(tags::COMPENSATION),
            is_undone: false,
            next_seq: span.next_seq(),
            last_event: span.last().position(),
            ended: (!span.is_open()).then(|| span.last().position()),
        })
    }

    /// Whether it is a saga.
    pub fn is_saga(&self) -> bool {
        self.attrs.get(attrs::SAGA).is_some() && self.event_type.starts_with("saga:")
    }

    pub(super) fn linked(&self, rel: Relation) -> impl Iterator<Item = SpanId> {
        self.links.iter().filter(move |link| link.rel == rel).map(|link| link.span_id)
    }
}

impl History {
    /// The history that these events of one run tell, in any order.
    pub fn of<'e>(events: impl IntoIterator<Item = &'e TraceEvent>) -> Self {
        let mut spans: Vec<_> = by_span(events).iter().filter_map(|events| PastSpan::of(events)).collect();
        let by_id: HashMap<_, _> = spans.iter().enumerate().map(|(at, span)| (span.id, at)).collect();
        let successes = spans.iter().filter(|span| span.status == Status::Success);
        let undone: Vec<_> = successes.flat_map(|span| span.linked(Relation::Compensates)).collect();
        for at in undone.iter().filter_map(|span| by_id.get(span)) {
            spans[*at].is_undone = true;
        }
        let mut history = Self { spans, by_id, works: Vec::new() };
        history.works = history.nearest(|at| history.begins_work(at));
        history
    }

    /// For each span the nearest one, here or above, of which this is so. Each chain of spans is walked once: records may
    /// be very deep.
    pub(super) fn nearest(&self, is_so: impl Fn(usize) -> bool) -> Vec<Option<usize>> {
        let mut nearest: Vec<Option<Option<usize>>> = vec![None; self.spans.len()];
        for start in 0..self.spans.len() {
            let mut walked = Vec::new();
            let mut at = Some(start);
            let found = loop {
                let Some(span) = at else { break None };
                if let Some(known) = nearest[span] {
                    break known;
                }
                if is_so(span) {
                    nearest[span] = Some(at);
                    break at;
                }
                // Broken records may go in circles, in which nothing is so.
                nearest[span] = Some(None);
                walked.push(span);
                at = self.above(span);
            };
            for span in walked {
                nearest[span] = Some(found);
            }
        }
        nearest.into_iter().map(Option::flatten).collect()
    }

    /// All spans, in the order of their starts.
    pub fn spans(&self) -> impl DoubleEndedIterator<Item = &PastSpan> {
        self.spans.iter()
    }

    /// The span of this id.
    pub fn span(&self, id: SpanId) -> Option<&PastSpan> {
        self.by_id.get(&id).map(|at| &self.spans[*at])
    }

    /// The spans directly below another, in the order of their starts.
    pub fn children(&self, parent: SpanId) -> impl Iterator<Item = &PastSpan> {
        self.spans().filter(move |span| span.parent == Some(parent))
    }

    /// Whether a step of this name succeeded.
    pub fn has_completed(&self, event_type: &str) -> bool {
        self.spans().any(|span| span.status == Status::Success && span.event_type == event_type)
    }

    /// The steps with this id that the workflow or job around a span has begun, in this attempt at it and in earlier
    /// ones; compensations are left out. The same id in another job of the run is another step.
    pub fn steps(&self, around: SpanId, step_id: &str) -> Vec<&PastSpan> {
        let works = self.attempts_at_the_work_around(around);
        let found = self.spans.iter().enumerate().filter(|(at, span)| {
            !span.is_compensation
                && span.attrs.get(attrs::STEP_ID) == Some(step_id)
                && works.contains(&self.work_around(Some(*at)))
        });
        found.map(|(_, span)| span).collect()
    }

    /// The last compensation of any of these steps.
    pub fn last_compensation_of(&self, originals: &[SpanId]) -> Option<&PastSpan> {
        let undoes =
            |span: &PastSpan| span.linked(Relation::Compensates).any(|span| originals.contains(&span));
        self.spans().rev().find(|span| span.is_compensation && undoes(span))
    }

    pub(super) fn above(&self, at: usize) -> Option<usize> {
        self.by_id.get(&self.spans[at].parent?).copied()
    }

    /// Whether a workflow or a job begins with a span.
    fn begins_work(&self, at: usize) -> bool {
        let span = &self.spans[at];
        let names_another = |above: usize| span.workflow != self.spans[above].workflow;
        span.event_type == WORKFLOW_STARTED
            || span.event_type.starts_with(JOB_PREFIX)
            || (span.workflow.is_some() && self.above(at).is_some_and(names_another))
    }

    fn work_around(&self, at: Option<usize>) -> Option<usize> {
        self.works[at?]
    }

    /// The workflow or job around a span, and the earlier attempts at it: those it links as `retry_of`, and, where it
    /// is a part of a job that was tried before, what was the same part of that attempt.
    fn attempts_at_the_work_around(&self, around: SpanId) -> HashSet<Option<usize>> {
        let (mut nested, mut seen) = (Vec::new(), HashSet::new());
        let mut work = self.work_around(self.by_id.get(&around).copied());
        while let Some(at) = work.filter(|at| seen.insert(*at)) {
            nested.push(at);
            work = self.work_around(self.above(at));
        }
        let mut attempts = HashSet::from([None]);
        let mut outer = None;
        for work in nested.into_iter().rev() {
            let earlier = attempts.into_iter().filter(|attempt| *attempt != outer);
            let mut found: Vec<usize> = earlier.filter_map(|attempt| self.part_of(attempt, work)).collect();
            found.push(work);
            attempts = HashSet::new();
            while let Some(attempt) = found.pop() {
                if attempts.insert(Some(attempt)) {
                    let retried = self.spans[attempt].linked(Relation::RetryOf);
                    found.extend(retried.filter_map(|span| self.by_id.get(&span)));
                }
            }
            outer = Some(work);
        }
        attempts
    }

    /// The part of an attempt that is called as another; if several are, nobody knows which it was.
    fn part_of(&self, attempt: Option<usize>, other: usize) -> Option<usize> {
        let called = |at: usize| (&self.spans[at].event_type, &self.spans[at].workflow);
        let is_part = |at: &usize| {
            *at != other
                && called(*at) == called(other)
                && self.begins_work(*at)
                && self.work_around(self.above(*at)) == attempt
        };
        let mut parts = (0..self.spans.len()).filter(is_part);
        parts.next().filter(|_| parts.next().is_none())
    }
}
