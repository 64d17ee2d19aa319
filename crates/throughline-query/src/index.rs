//! The index of a trace: which events form a span, which spans are whose children.
//!
//! Everything is an array of numbers. The members of a span lie in one array next to each other, and so do the
//! children of a span (compressed sparse rows); nothing is allocated for a single span, so that ten thousand events
//! are indexed in well under a millisecond. The events themselves are never moved.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

use super::problem::{Problem, ProblemKind, Problems};
use throughline_model::fold::{Position, root_event};
use throughline_model::{SpanId, Status, TraceEvent, TraceId};

/// Stands for "no span". Indices are `u32`: four thousand million events do not fit into memory.
pub(super) const NONE: u32 = u32::MAX;

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
    /// The span of the root event, if there is one.
    pub(super) root: Option<u32>,
    ids: Ids,
    pub(super) problems: Vec<Problem>,
    outline: OnceLock<Outline>,
}

#[derive(Clone, Copy)]
struct Node {
    id: u64,
    parent: u32,
    /// Where its events begin in `members`, and how many there are.
    members: u32,
    len: u32,
}

/// Finds spans by id: a table with open addressing, at most two thirds full.
struct Ids {
    /// Indices of spans.
    slots: Vec<u32>,
    /// Random, so that nobody can choose ids that meet in one slot.
    multiplier: u64,
}

impl Ids {
    fn with_room_for(count: usize) -> Self {
        let slots = (count + count / 2 + 1).next_power_of_two();
        Self { slots: vec![NONE; slots], multiplier: RandomState::new().hash_one(()) | 1 }
    }

    /// The slot of an id, or the one where it would stand.
    fn slot(&self, id: u64, spans: &[Node]) -> usize {
        let mask = self.slots.len() - 1;
        let mut slot = (id.wrapping_mul(self.multiplier) >> 32) as usize & mask;
        while self.slots[slot] != NONE && spans[self.slots[slot] as usize].id != id {
            slot = (slot + 1) & mask;
        }
        slot
    }
}

/// The tree written down from top to bottom: a span's descendants follow it at once.
pub(super) struct Outline {
    /// The spans, parents before children.
    pub(super) rows: Vec<u32>,
    /// Where in `rows` a span stands.
    pub(super) row: Vec<u32>,
    /// Where in `rows` its descendants end.
    pub(super) end: Vec<u32>,
    /// How many spans enclose it.
    pub(super) depth: Vec<u32>,
}

/// What there is to remember of an event.
#[derive(Clone, Copy)]
struct Mark {
    span: u32,
    seq: u32,
    ended: bool,
}

/// What one pass over the large events finds out.
struct Scan {
    marks: Vec<Mark>,
    spans: Vec<Node>,
    /// The id of the parent that the first event of a span names; zero where none in this trace does.
    parents: Vec<u64>,
    ids: Ids,
    in_order: bool,
    one_trace: bool,
    /// Whether all events of each span name the same parent, or none.
    one_parent: bool,
}

impl Scan {
    /// Reads these events, numbering the spans as they come.
    fn of<'e>(events: impl ExactSizeIterator<Item = &'e TraceEvent>) -> Self {
        let count = events.len();
        let mut scan = Self {
            marks: Vec::with_capacity(count),
            spans: Vec::with_capacity(count / 2 + 1),
            parents: Vec::with_capacity(count / 2 + 1),
            ids: Ids::with_room_for(count),
            in_order: true,
            one_trace: true,
            one_parent: true,
        };
        let (mut before, mut trace) = (None, None);
        for event in events {
            scan.one_trace &= *trace.get_or_insert(event.trace_id) == event.trace_id;
            // What is equal is not in order: it is told apart by identity.
            let order = Some(event.order());
            scan.in_order &= before < order;
            before = order;

            let parent = parent_id(event);
            let id = event.span_id.to_u64();
            let slot = scan.ids.slot(id, &scan.spans);
            let mut span = scan.ids.slots[slot];
            if span == NONE {
                span = scan.spans.len() as u32;
                scan.ids.slots[slot] = span;
                scan.spans.push(Node { id, parent: NONE, members: 0, len: 0 });
                scan.parents.push(parent);
            }
            scan.one_parent &= scan.parents[span as usize] == parent;
            scan.spans[span as usize].len += 1;
            scan.marks.push(Mark { span, seq: event.seq, ended: event.status != Status::Pending });
        }
        scan
    }
}

/// The id of the parent within the trace, zero where there is none.
fn parent_id(event: &TraceEvent) -> u64 {
    let elsewhere = event.parent_trace_id.is_some_and(|trace| trace != event.trace_id);
    event.parent_span_id.filter(|_| !elsewhere).map_or(0, SpanId::to_u64)
}

impl Index {
    pub(super) fn new(events: &[TraceEvent]) -> Self {
        let mut problems = Problems::default();
        let mut timeline: Vec<u32> = (0..events.len() as u32).collect();
        let mut scan = Scan::of(events.iter());
        // Most often the events are those of one trace and in order, and one pass is all.
        if !scan.one_trace {
            leave_out_other_traces(events, &mut timeline, &mut problems);
        }
        if !scan.in_order {
            sort(events, &mut timeline);
        }
        let rescan = |timeline: &[u32]| Scan::of(timeline.iter().map(|at| &events[*at as usize]));
        if !scan.one_trace || !scan.in_order {
            scan = rescan(&timeline);
        }
        let mut members = members(&mut scan);
        if let Some(doubles) = doubles(events, &timeline, &scan, &members, &mut problems) {
            let mut place = 0..;
            timeline.retain(|_| place.next().is_none_or(|place| doubles.binary_search(&place).is_err()));
            scan = rescan(&timeline);
            members = self::members(&mut scan);
        }

        let Scan { spans, ids, marks, mut parents, one_parent, .. } = scan;
        let mut index = Self {
            timeline,
            spans,
            members,
            children: Vec::new(),
            child_starts: Vec::new(),
            tops: Vec::new(),
            root: None,
            ids,
            problems: Vec::new(),
            outline: OnceLock::new(),
        };
        if !one_parent {
            for span in 0..index.len() {
                let named = |place: &u32| parent_id(&events[index.timeline[*place as usize] as usize]);
                parents[span as usize] =
                    index.members_of(span).iter().map(named).find(|parent| *parent != 0).unwrap_or(0);
            }
        }
        index.look_at_spans(events, &marks, &mut problems);
        index.adopt(events, &parents, &mut problems);
        index.cut_cycles(events, &mut problems);
        index.list_children();
        index.find_root(events);
        index.look_at_roots(events, &mut problems);
        index.problems = problems.into_list();
        index
    }

    /// Notes the data problems of single spans.
    fn look_at_spans(&self, events: &[TraceEvent], marks: &[Mark], problems: &mut Problems) {
        for (span, node) in self.spans.iter().enumerate() {
            let members = self.members_of(span as u32);
            let mark = |place: u32| marks[place as usize];
            let note = |kind, problems: &mut Problems| {
                if let Some(id) = SpanId::from_u64(node.id) {
                    problems.note(kind, id);
                }
            };
            if mark(members[0]).seq != 0 {
                note(ProblemKind::NoStart, problems);
            }
            if members.windows(2).any(|pair| mark(pair[0]).ended && mark(pair[1]).ended) {
                note(ProblemKind::SeveralEnds, problems);
            }
            let at = |place: u32| events[self.timeline[place as usize] as usize].timestamp;
            let (first, last) = (members[0], members[members.len() - 1]);
            // What comes later in the timeline is not earlier.
            if last < first && mark(last).ended && at(last) < at(first) {
                note(ProblemKind::EndBeforeStart, problems);
            }
        }
    }

    /// Finds the parent of each span.
    fn adopt(&mut self, events: &[TraceEvent], parents: &[u64], problems: &mut Problems) {
        // Siblings often follow each other: the last parent is the likeliest.
        let mut last = (0, NONE);
        for (span, parent) in parents.iter().enumerate().filter(|(_, parent)| **parent != 0) {
            let span = span as u32;
            if *parent != last.0 {
                last = (*parent, self.ids.slots[self.ids.slot(*parent, &self.spans)]);
            }
            if last.1 < span {
                self.spans[span as usize].parent = last.1;
            } else {
                self.adopt_with_problem(events, span, last.1, problems);
            }
        }
    }

    /// A parent that did not begin before its child.
    fn adopt_with_problem(&mut self, events: &[TraceEvent], span: u32, parent: u32, problems: &mut Problems) {
        let first = self.first_event(events, span);
        if parent == NONE {
            if !first.is_root() {
                problems.note(ProblemKind::Orphan, first.span_id);
            }
        } else if parent == span {
            problems.note(ProblemKind::Cycle, first.span_id);
        } else {
            problems.note(ProblemKind::ChildBeforeParent, first.span_id);
            self.spans[span as usize].parent = parent;
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

    fn find_root(&mut self, events: &[TraceEvent]) {
        let all = || self.timeline.iter().map(|at| &events[*at as usize]);
        // Most runs begin with it.
        let root = all().next().filter(|first| first.is_root() && !first.has_remote_parent());
        let root = root.or_else(|| root_event(all()));
        self.root = root.and_then(|root| self.find(root.span_id));
    }

    fn look_at_roots(&self, events: &[TraceEvent], problems: &mut Problems) {
        let mut roots = self.tops.iter().map(|top| self.first_event(events, *top)).filter(|e| e.is_root());
        match (roots.next(), roots.next(), self.tops.first()) {
            (None, _, Some(top)) => {
                problems.note(ProblemKind::NoRoot, self.first_event(events, *top).span_id);
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
        let span = self.ids.slots[self.ids.slot(id.to_u64(), &self.spans)];
        (span != NONE).then_some(span)
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
    /// Whether a span is `ancestor` or is below it.
    pub(super) fn is_within(&self, span: u32, ancestor: u32) -> bool {
        let row = self.row[span as usize];
        self.row[ancestor as usize] <= row && row < self.end[ancestor as usize]
    }

    /// A span and all that is below it, parents before children.
    pub(super) fn subtree(&self, span: u32) -> &[u32] {
        &self.rows[self.row[span as usize] as usize..self.end[span as usize] as usize]
    }
}

/// Places in the timeline, span by span, each in the [order of the span](throughline_model::fold::place_in_span); the
/// spans learn where theirs begin.
fn members(scan: &mut Scan) -> Vec<u32> {
    let mut end = 0;
    for node in &mut scan.spans {
        end += node.len;
        node.members = end;
    }
    // From the last to the first: what was the end of a span's members becomes their beginning.
    let mut members = vec![NONE; scan.marks.len()];
    for (place, mark) in scan.marks.iter().enumerate().rev() {
        let node = &mut scan.spans[mark.span as usize];
        node.members -= 1;
        members[node.members as usize] = place as u32;
    }
    // The timeline is in the order of positions: what stands later there stands later among those of equal `seq`.
    let seq = |place: &u32| scan.marks[*place as usize].seq;
    for node in scan.spans.iter().filter(|node| node.len > 1) {
        let members = &mut members[node.members as usize..(node.members + node.len) as usize];
        if !members.is_sorted_by_key(seq) {
            members.sort_by_key(seq);
        }
    }
    members
}

/// The places of events whose identity another event has too, sorted; `None` if there are none.
fn doubles(
    events: &[TraceEvent],
    timeline: &[u32],
    scan: &Scan,
    members: &[u32],
    problems: &mut Problems,
) -> Option<Vec<u32>> {
    let identity = |place: &u32| (scan.marks[*place as usize].span, scan.marks[*place as usize].seq);
    let event = |place: &u32| &events[timeline[*place as usize] as usize];
    let mut doubles = Vec::new();
    for same in members.chunk_by(|a, b| identity(a) == identity(b)).filter(|same| same.len() > 1) {
        // Which of them is kept must not depend on the order of the input.
        let text = |place: &u32| serde_json::to_string(event(place)).unwrap_or_default();
        let kept = same.iter().min_by_key(|place| (event(place).order(), text(place)));
        for place in same.iter().filter(|place| Some(*place) != kept) {
            let equal = kept.is_some_and(|kept| event(kept) == event(place));
            let kind = if equal { ProblemKind::Duplicate } else { ProblemKind::Conflict };
            problems.note(kind, event(place).span_id);
            doubles.push(*place);
        }
    }
    doubles.sort_unstable();
    (!doubles.is_empty()).then_some(doubles)
}

/// Events by [`Position`].
fn sort(events: &[TraceEvent], timeline: &mut [u32]) {
    let time = |at: u32| (events[at as usize].timestamp.as_micros() as u64) ^ (1 << 63);
    let mut keys: Vec<u128> =
        timeline.iter().map(|at| u128::from(time(*at)) << 64 | u128::from(*at)).collect();
    keys.sort_unstable();
    for (at, key) in timeline.iter_mut().zip(keys) {
        *at = key as u32;
    }
    for tied in timeline.chunk_by_mut(|a, b| events[*a as usize].timestamp == events[*b as usize].timestamp) {
        if tied.len() > 1 {
            tied.sort_unstable_by_key(|at| Position::of(&events[*at as usize]));
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
