//! The index of a trace: which events form a span, which spans are whose children.
//!
//! Everything is a sorted array of numbers. Ids are compared as `u64`, children lie in one array next to each
//! other (compressed sparse rows), and nothing is allocated for a single span, so that ten thousand events are
//! indexed in well under a millisecond. The events themselves are never moved.

use std::sync::OnceLock;

use super::problem::{Problem, ProblemKind, Problems};
use crate::{SpanId, Status, TraceEvent, TraceId};

/// Stands for "no span". Indices are `u32`: four thousand million events do not fit into memory.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Default)]
pub(super) struct Index {
    /// Places of events in the input, in the order of the events.
    pub(super) timeline: Vec<u32>,
    /// The spans in the order of their first event.
    spans: Vec<Node>,
    /// Places in `timeline`, span by span, each in the order of `seq`.
    members: Vec<u32>,
    /// Indices of spans, parent by parent, each in the order of `spans`.
    children: Vec<u32>,
    /// Where the children of a span begin in `children`; one more entry than there are spans.
    child_starts: Vec<u32>,
    /// Spans without a parent, in order.
    pub(super) tops: Vec<u32>,
    /// Ids and what they are the ids of, sorted.
    by_id: Vec<(u64, u32)>,
    pub(super) problems: Vec<Problem>,
    outline: OnceLock<Outline>,
}

#[derive(Clone, Copy)]
struct Node {
    parent: u32,
    members: u32,
    len: u32,
}

/// The tree written down from top to bottom: a span's descendants follow it at once.
#[derive(Default)]
pub(super) struct Outline {
    /// The spans, parents before children.
    pub(super) rows: Vec<u32>,
    /// Where in `rows` a span stands.
    pub(super) row: Vec<u32>,
    /// Where in `rows` its descendants end.
    pub(super) end: Vec<u32>,
    /// How many spans are around it.
    pub(super) depth: Vec<u32>,
}

/// What the index needs of an event, read in one pass over the large events.
#[derive(Clone, Copy)]
struct Row {
    span: u64,
    /// Zero where there is none in this trace.
    parent: u64,
    seq: u32,
    ended: bool,
}

impl Index {
    pub(super) fn new(events: &[TraceEvent]) -> Self {
        let mut problems = Problems::default();
        let Some(first) = events.first() else { return Self { child_starts: vec![0], ..Self::default() } };

        let mut rows = Vec::with_capacity(events.len());
        let (mut in_order, mut one_trace) = (true, true);
        let mut before = None;
        for event in events {
            one_trace &= event.trace_id == first.trace_id;
            // What is equal is not in order: it is told apart by identity.
            let order = Some(event.order());
            in_order &= before < order;
            before = order;
            let parent = match event.parent_trace_id {
                Some(trace) if trace != event.trace_id => None,
                _ => event.parent_span_id,
            };
            rows.push(Row {
                span: event.span_id.to_u64(),
                parent: parent.map_or(0, SpanId::to_u64),
                seq: event.seq,
                ended: event.status != Status::Pending,
            });
        }

        let mut timeline: Vec<u32> = (0..events.len() as u32).collect();
        if !one_trace {
            leave_out_other_traces(events, &mut timeline, &mut problems);
        }
        if !in_order {
            sort(events, &mut timeline);
        }
        let mut keys = keys(&rows, &timeline);
        if let Some(doubles) = doubles(events, &timeline, &keys, &mut problems) {
            let mut place = 0..;
            timeline.retain(|_| place.next().is_none_or(|place| doubles.binary_search(&place).is_err()));
            keys = self::keys(&rows, &timeline);
        }

        let mut index = Self::group(timeline, &keys);
        index.adopt(events, &rows, &mut problems);
        index.cut_cycles(events, &mut problems);
        index.list_children();
        index.look_over(events, &rows, &mut problems);
        index.problems = problems.into_list();
        index
    }

    /// Makes spans of the sorted keys, numbered in the order of their first event.
    fn group(timeline: Vec<u32>, keys: &[u128]) -> Self {
        let mut groups: Vec<(u64, u32, u32)> = Vec::with_capacity(keys.len());
        let mut members = Vec::with_capacity(keys.len());
        let mut group_at = vec![NONE; timeline.len()];
        for group in keys.chunk_by(|a, b| span_of(*a) == span_of(*b)) {
            let first = group.iter().map(|key| place_of(*key)).min().unwrap_or(0);
            group_at[first as usize] = groups.len() as u32;
            groups.push((span_of(group[0]), members.len() as u32, group.len() as u32));
            members.extend(group.iter().map(|key| place_of(*key)));
        }
        let mut spans = Vec::with_capacity(groups.len());
        let mut by_id: Vec<(u64, u32)> = groups.iter().map(|(id, ..)| (*id, NONE)).collect();
        for group in group_at.into_iter().filter(|group| *group != NONE) {
            let (_, start, len) = groups[group as usize];
            by_id[group as usize].1 = spans.len() as u32;
            spans.push(Node { parent: NONE, members: start, len });
        }
        Self { timeline, spans, members, by_id, ..Self::default() }
    }

    /// Finds the parent of each span.
    fn adopt(&mut self, events: &[TraceEvent], rows: &[Row], problems: &mut Problems) {
        // Siblings often follow each other: the last parent is the likeliest.
        let mut last = (0, NONE);
        for span in 0..self.spans.len() {
            let row = |place: &u32| rows[self.timeline[*place as usize] as usize];
            let parent =
                self.members_of(span as u32).iter().map(|place| row(place).parent).find(|id| *id != 0);
            let Some(parent) = parent else { continue };
            if parent != last.0 {
                last = (parent, self.find_u64(parent).unwrap_or(NONE));
            }
            let id = self.first_event(events, span as u32).span_id;
            if last.1 == span as u32 {
                problems.note(ProblemKind::Cycle, id);
            } else if last.1 != NONE {
                self.spans[span].parent = last.1;
                if last.1 > span as u32 {
                    problems.note(ProblemKind::ChildBeforeParent, id);
                }
            } else if !self.first_event(events, span as u32).is_root() {
                problems.note(ProblemKind::Orphan, id);
            }
        }
    }

    /// Cuts each circle of parents above its earliest span.
    fn cut_cycles(&mut self, events: &[TraceEvent], problems: &mut Problems) {
        // Where every parent began before its children there is no circle.
        if self
            .spans
            .iter()
            .enumerate()
            .all(|(span, node)| node.parent == NONE || (node.parent as usize) < span)
        {
            return;
        }
        // The walk on which a span was met first; a span met again on the same walk closes a circle.
        let mut walk = vec![NONE; self.spans.len()];
        for start in 0..self.spans.len() as u32 {
            let mut span = start;
            while span != NONE && walk[span as usize] == NONE {
                walk[span as usize] = start;
                span = self.spans[span as usize].parent;
            }
            if span == NONE || walk[span as usize] != start {
                continue;
            }
            let (mut earliest, mut at) = (span, self.spans[span as usize].parent);
            while at != span {
                earliest = earliest.min(at);
                at = self.spans[at as usize].parent;
            }
            self.spans[earliest as usize].parent = NONE;
            problems.note(ProblemKind::Cycle, self.first_event(events, earliest).span_id);
        }
    }

    fn list_children(&mut self) {
        let mut starts = vec![0_u32; self.spans.len() + 1];
        for node in self.spans.iter().filter(|node| node.parent != NONE) {
            starts[node.parent as usize + 1] += 1;
        }
        for span in 1..starts.len() {
            starts[span] += starts[span - 1];
        }
        let mut next = starts.clone();
        self.children = vec![NONE; starts.last().map_or(0, |last| *last as usize)];
        for (span, node) in self.spans.iter().enumerate() {
            if node.parent == NONE {
                self.tops.push(span as u32);
            } else {
                let at = &mut next[node.parent as usize];
                self.children[*at as usize] = span as u32;
                *at += 1;
            }
        }
        self.child_starts = starts;
    }

    /// Notes what is odd about the events of single spans and about the roots.
    fn look_over(&self, events: &[TraceEvent], rows: &[Row], problems: &mut Problems) {
        for span in 0..self.spans.len() as u32 {
            let row = |place: &u32| rows[self.timeline[*place as usize] as usize];
            let members = self.members_of(span);
            let id = || self.first_event(events, span).span_id;
            if row(&members[0]).seq != 0 {
                problems.note(ProblemKind::NoStart, id());
            }
            if members.windows(2).any(|pair| row(&pair[0]).ended && row(&pair[1]).ended) {
                problems.note(ProblemKind::SeveralEnds, id());
            }
        }
        let mut roots = self.tops.iter().map(|top| self.first_event(events, *top)).filter(|e| e.is_root());
        match (roots.next(), roots.next(), self.tops.first()) {
            (None, _, Some(top)) => {
                problems.note(ProblemKind::NoRoot, self.first_event(events, *top).span_id)
            }
            (Some(_), Some(second), _) => {
                problems.note(ProblemKind::SeveralRoots, second.span_id);
                roots.for_each(|root| problems.note(ProblemKind::SeveralRoots, root.span_id));
            }
            _ => {}
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.spans.len() as u32
    }

    pub(super) fn find(&self, id: SpanId) -> Option<u32> {
        self.find_u64(id.to_u64())
    }

    fn find_u64(&self, id: u64) -> Option<u32> {
        let at = self.by_id.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.by_id[at].1)
    }

    /// Places in the timeline of the events of a span, in the order of `seq`.
    pub(super) fn members_of(&self, span: u32) -> &[u32] {
        let node = self.spans[span as usize];
        &self.members[node.members as usize..(node.members + node.len) as usize]
    }

    fn first_event<'e>(&self, events: &'e [TraceEvent], span: u32) -> &'e TraceEvent {
        &events[self.timeline[self.members_of(span)[0] as usize] as usize]
    }

    pub(super) fn parent_of(&self, span: u32) -> Option<u32> {
        let parent = self.spans[span as usize].parent;
        (parent != NONE).then_some(parent)
    }

    pub(super) fn children_of(&self, span: u32) -> &[u32] {
        let span = span as usize;
        &self.children[self.child_starts[span] as usize..self.child_starts[span + 1] as usize]
    }

    /// The siblings that began after a span.
    pub(super) fn later_siblings(&self, span: u32) -> &[u32] {
        let siblings = self.parent_of(span).map_or(self.tops.as_slice(), |parent| self.children_of(parent));
        &siblings[siblings.partition_point(|sibling| *sibling <= span)..]
    }

    pub(super) fn outline(&self) -> &Outline {
        self.outline.get_or_init(|| {
            let len = self.spans.len();
            let mut outline = Outline {
                rows: Vec::with_capacity(len),
                row: vec![0; len],
                end: vec![0; len],
                depth: vec![0; len],
            };
            // A stack of its own: a chain may be deeper than the thread's stack.
            let mut open: Vec<u32> = self.tops.iter().rev().copied().collect();
            while let Some(span) = open.pop() {
                outline.row[span as usize] = outline.rows.len() as u32;
                outline.rows.push(span);
                outline.depth[span as usize] =
                    self.parent_of(span).map_or(0, |parent| outline.depth[parent as usize] + 1);
                open.extend(self.children_of(span).iter().rev());
            }
            for at in (0..outline.rows.len()).rev() {
                let span = outline.rows[at] as usize;
                let end = outline.end[span].max(at as u32 + 1);
                outline.end[span] = end;
                if let Some(parent) = self.parent_of(span as u32) {
                    outline.end[parent as usize] = outline.end[parent as usize].max(end);
                }
            }
            outline
        })
    }
}

impl Outline {
    /// Whether a span is `ancestor` or lies below it.
    pub(super) fn is_within(&self, span: u32, ancestor: u32) -> bool {
        let row = self.row[span as usize];
        self.row[ancestor as usize] <= row && row < self.end[ancestor as usize]
    }

    /// A span and all that is below it, parents before children.
    pub(super) fn subtree(&self, span: u32) -> &[u32] {
        &self.rows[self.row[span as usize] as usize..self.end[span as usize] as usize]
    }
}

/// Span, `seq` and place of each event in one number, sorted.
fn keys(rows: &[Row], timeline: &[u32]) -> Vec<u128> {
    let key = |(place, at): (usize, &u32)| {
        let row = &rows[*at as usize];
        u128::from(row.span) << 64 | u128::from(row.seq) << 32 | place as u128
    };
    let mut keys: Vec<u128> = timeline.iter().enumerate().map(key).collect();
    keys.sort_unstable();
    keys
}

fn span_of(key: u128) -> u64 {
    (key >> 64) as u64
}

fn place_of(key: u128) -> u32 {
    key as u32
}

/// Events by time, instance and `n`; what is still equal, by its identity.
fn sort(events: &[TraceEvent], timeline: &mut [u32]) {
    let time = |at: u32| (events[at as usize].timestamp.as_micros() as u64) ^ (1 << 63);
    let mut keys: Vec<u128> =
        timeline.iter().map(|at| u128::from(time(*at)) << 64 | u128::from(*at)).collect();
    keys.sort_unstable();
    for (at, key) in timeline.iter_mut().zip(keys) {
        *at = place_of(key);
    }
    let full = |at: &u32| {
        let event = &events[*at as usize];
        (event.order(), event.span_id, event.seq)
    };
    for tied in timeline.chunk_by_mut(|a, b| events[*a as usize].timestamp == events[*b as usize].timestamp) {
        if tied.len() > 1 {
            tied.sort_unstable_by_key(full);
        }
    }
}

/// A query is about one trace: of several the one with the most events is kept.
fn leave_out_other_traces(events: &[TraceEvent], timeline: &mut Vec<u32>, problems: &mut Problems) {
    let mut counts = std::collections::BTreeMap::<TraceId, usize>::new();
    for event in events {
        *counts.entry(event.trace_id).or_default() += 1;
    }
    let kept = counts.iter().rev().max_by_key(|(_, count)| **count).map(|(id, _)| *id);
    timeline.retain(|at| {
        let event = &events[*at as usize];
        let keep = Some(event.trace_id) == kept;
        if !keep {
            problems.note(ProblemKind::OtherTrace, event.span_id);
        }
        keep
    });
}

/// The places of events whose identity another event has too, sorted; `None` if there are none.
fn doubles(
    events: &[TraceEvent],
    timeline: &[u32],
    keys: &[u128],
    problems: &mut Problems,
) -> Option<Vec<u32>> {
    let mut doubles = Vec::new();
    let event = |key: u128| &events[timeline[place_of(key) as usize] as usize];
    for same in keys.chunk_by(|a, b| a >> 32 == b >> 32).filter(|same| same.len() > 1) {
        // Which of them is kept must not depend on the order of the input.
        let text = |key: u128| serde_json::to_string(event(key)).unwrap_or_default();
        let kept = same.iter().min_by_key(|key| (event(**key).order(), text(**key)));
        for key in same.iter().filter(|key| Some(*key) != kept) {
            let equal = kept.is_some_and(|kept| event(*kept) == event(*key));
            let kind = if equal { ProblemKind::Duplicate } else { ProblemKind::Conflict };
            problems.note(kind, event(*key).span_id);
            doubles.push(place_of(*key));
        }
    }
    doubles.sort_unstable();
    (!doubles.is_empty()).then_some(doubles)
}
