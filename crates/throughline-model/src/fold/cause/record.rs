//! The spans of a run as the rules about causes see them.

use std::collections::HashMap;

use crate::fold::Position;
use crate::names::tags;
use crate::{ErrorInfo, Relation, SpanId, Status, TraceEvent};

/// Beside how many failures a span is known to have begun.
const NAMED_BESIDE: usize = 8;

/// What the rules about causes need to know of a span.
#[derive(Debug, Clone)]
pub struct SpanFacts<'e> {
    /// Its first event.
    pub(super) first: &'e TraceEvent,
    /// Its last event.
    pub(super) last: &'e TraceEvent,
    /// The status of its last event, and the error that it ended with: here, too, for they are asked for so often that the
    /// events are not to be visited for them.
    pub(super) status: Status,
    error: Option<&'e ErrorInfo>,
    /// Whether it is a point event. One that says that another run was begun is none: that is work.
    pub(super) is_point: bool,
    /// The span around it.
    pub(super) parent: Option<u32>,
    /// The places of its first and its last event among all.
    pub(super) began: u32,
    pub(super) ended: u32,
    /// Whether it undoes another span.
    pub(super) undoes: bool,
    /// The span whose error it ended with.
    pub(super) failed_by: Option<u32>,
    /// Whether it ended with the error of a span of another run.
    pub(super) failed_elsewhere: bool,
    others: Option<Box<Others>>,
}

/// Other spans that a span names, as few do.
#[derive(Debug, Clone, Default)]
struct Others {
    retries: Vec<u32>,
    beside: Vec<u32>,
}

impl<'e> SpanFacts<'e> {
    /// The facts of the span with these events, of which there is at least one; `find` gives the number of a span of
    /// the run.
    pub fn of(
        mut events: impl Iterator<Item = &'e TraceEvent>,
        parent: Option<u32>,
        (began, ended): (u32, u32),
        find: impl Fn(SpanId) -> Option<u32>,
    ) -> Option<Self> {
        let first = events.next()?;
        let mut facts = Self {
            first,
            last: first,
            status: first.status,
            error: None,
            is_point: false,
            parent,
            began,
            ended,
            undoes: false,
            failed_by: None,
            failed_elsewhere: false,
            others: None,
        };
        facts.read(first, &find);
        for event in events {
            facts.last = event;
            facts.read(event, &find);
        }
        facts.status = facts.last.status;
        facts.error = facts.last.error.as_deref().filter(|error| {
            let says_anything =
                !error.message.is_empty() || !error.kind.is_empty() || !error.chain.is_empty();
            facts.status != Status::Pending && says_anything
        });
        let began_a_run = || first.links.iter().any(|link| link.rel == Relation::Began);
        facts.is_point = first.seq == 0
            && first.status != Status::Pending
            && std::ptr::eq(first, facts.last)
            && !began_a_run();
        Some(facts)
    }

    /// The facts of all spans of a run, given the events of each.
    pub(super) fn of_spans(spans: &[Vec<&'e TraceEvent>]) -> Vec<Self> {
        let by_id: HashMap<SpanId, u32> =
            spans.iter().zip(0..).map(|(events, at)| (events[0].span_id, at)).collect();
        let mut places: Vec<(Position, u32, bool)> = Vec::with_capacity(2 * spans.len());
        for (events, span) in spans.iter().zip(0..) {
            places.push((Position::of(events[0]), span, false));
            places.push((Position::of(events[events.len() - 1]), span, true));
        }
        places.sort_unstable();
        let mut ends = vec![(0, 0); spans.len()];
        for ((_, span, is_end), place) in places.into_iter().zip(0..) {
            let ends = &mut ends[span as usize];
            if is_end { ends.1 = place } else { ends.0 = place }
        }
        let find = |id: SpanId| by_id.get(&id).copied();
        let facts = spans.iter().zip(ends).filter_map(|(events, ends)| {
            let named = events.iter().find_map(|event| {
                let elsewhere = event.parent_trace_id.is_some_and(|trace| trace != event.trace_id);
                event.parent_span_id.filter(|_| !elsewhere)
            });
            Self::of(events.iter().copied(), named.and_then(find), ends, find)
        });
        facts.collect()
    }

    fn read(&mut self, event: &'e TraceEvent, find: impl Fn(SpanId) -> Option<u32>) {
        self.undoes |= event.has_tag(tags::COMPENSATION);
        for link in &event.links {
            let target =
                || find(link.span_id).filter(|_| link.trace_id.is_none_or(|trace| trace == event.trace_id));
            match link.rel {
                Relation::Compensates => {
                    self.undoes |= link.trace_id.is_none_or(|trace| trace == event.trace_id);
                }
                Relation::RetryOf => {
                    let target = target().filter(|span| !self.retries().contains(span));
                    self.others.get_or_insert_default().retries.extend(target);
                }
                Relation::FailedBy => {
                    self.failed_by = target().or(self.failed_by);
                    self.failed_elsewhere |= link.trace_id.is_some_and(|trace| trace != event.trace_id);
                }
                Relation::Beside if self.beside().len() < NAMED_BESIDE => {
                    self.others.get_or_insert_default().beside.extend(target());
                }
                Relation::Beside
                | Relation::DecidedBy
                | Relation::CausedBy
                | Relation::Began
                | Relation::Other(_) => {}
            }
        }
    }

    /// Whether its type is of this area.
    pub(super) fn is_of(&self, area: &str) -> bool {
        self.first.event_type.starts_with(area)
    }

    /// The error that it ended with, if that says anything.
    pub(super) fn error(&self) -> Option<&'e ErrorInfo> {
        self.error
    }

    /// What it tries again.
    pub(super) fn retries(&self) -> &[u32] {
        self.others.as_ref().map_or(&[], |others| &others.retries)
    }

    /// What had failed beside it before it began.
    pub(super) fn beside(&self) -> &[u32] {
        self.others.as_ref().map_or(&[], |others| &others.beside)
    }
}

/// All spans, and who is whose child.
pub(super) struct Record<'e> {
    pub(super) spans: Vec<SpanFacts<'e>>,
    /// The spans, parents before their children.
    pub(super) rows: Vec<u32>,
    children: Vec<u32>,
    /// Where the children of a span begin in `children`; one more entry than there are spans.
    starts: Vec<u32>,
}

impl<'e> Record<'e> {
    pub(super) fn new(mut spans: Vec<SpanFacts<'e>>) -> Self {
        cut_circles(&mut spans);
        let mut starts = vec![0_u32; spans.len() + 1];
        spans.iter().filter_map(|span| span.parent).for_each(|parent| starts[parent as usize + 1] += 1);
        for span in 1..starts.len() {
            starts[span] += starts[span - 1];
        }
        let mut next = starts.clone();
        let mut children = vec![0; starts.last().map_or(0, |last| *last as usize)];
        let mut open = Vec::new();
        for (at, span) in (0_u32..).zip(&spans) {
            match span.parent {
                Some(parent) => {
                    children[next[parent as usize] as usize] = at;
                    next[parent as usize] += 1;
                }
                None => open.push(at),
            }
        }
        let mut record = Self { spans, rows: Vec::new(), children, starts };
        open.reverse();
        while let Some(span) = open.pop() {
            record.rows.push(span);
            open.extend(record.children(span).iter().rev());
        }
        record
    }

    /// The spans directly below another, in the order in which they began.
    pub(super) fn children(&self, span: u32) -> &[u32] {
        let span = span as usize;
        &self.children[self.starts[span] as usize..self.starts[span + 1] as usize]
    }

    /// The child of a span in which another lies, or which it is; `None` if it lies elsewhere, or very deep.
    pub(super) fn ancestor_below(&self, span: u32, around: u32) -> Option<u32> {
        const DEEPEST: usize = 64;
        let parent = |at: &u32| self.spans[*at as usize].parent;
        std::iter::successors(Some(span), parent).take(DEEPEST).find(|at| parent(at) == Some(around))
    }
}

/// Cuts each circle of parents, as broken records have, above its earliest span.
fn cut_circles(spans: &mut [SpanFacts<'_>]) {
    // Where every parent began before its children there is no circle.
    if (0_u32..).zip(&*spans).all(|(at, span)| span.parent.is_none_or(|parent| parent < at)) {
        return;
    }
    // The walk on which a span was met first; a span met again on the same walk closes a circle.
    let mut walks: Vec<Option<usize>> = vec![None; spans.len()];
    for start in 0..spans.len() {
        let mut at = Some(start);
        while let Some(span) = at.filter(|span| walks[*span].is_none()) {
            walks[span] = Some(start);
            at = spans[span].parent.map(|parent| parent as usize);
        }
        let Some(met) = at.filter(|met| walks[*met] == Some(start)) else { continue };
        let circle = std::iter::successors(spans[met].parent.map(|parent| parent as usize), |span| {
            spans[*span].parent.map(|parent| parent as usize).filter(|_| *span != met)
        });
        let earliest = circle.min().unwrap_or(met);
        spans[earliest].parent = None;
    }
}
