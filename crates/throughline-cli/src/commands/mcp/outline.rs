//! A part of the tree of a run: the spans that matter most, as many as there is room for.

use std::collections::BTreeMap;

use throughline_core::query::{Span, TraceQuery};
use throughline_core::{RunState, SpanId};

use super::tokens::estimate;
use crate::output::{clean, group, micros};

/// How many characters of an error are shown beside a span.
const ERROR: usize = 160;
/// How deep a line is indented at most.
const INDENT: usize = 12;

/// Which part of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    /// Inside this span; of the whole run by default.
    pub(super) span: Option<SpanId>,
    /// Of the spans directly inside it those after this one.
    pub(super) after: Option<SpanId>,
}

/// What is shown of a run.
pub(super) struct Outline {
    pub(super) lines: Vec<String>,
    /// How many spans are shown, of how many.
    pub(super) shown: usize,
    pub(super) of: usize,
}

/// Spans that there is room for.
struct Chosen {
    lines: BTreeMap<SpanId, String>,
    /// Where a way that is too long for the room goes on: from the first span of it that is not shown, so many levels below, at
    /// another.
    bridge: Option<Bridge>,
    room: usize,
}

struct Bridge {
    from: SpanId,
    to: SpanId,
    levels: usize,
}

/// How many tokens a line takes that says how many levels are not shown.
const BRIDGE: usize = 8;

impl Chosen {
    /// Chooses a span if there is room for it.
    fn choose(&mut self, span: Span<'_>) -> bool {
        if self.lines.contains_key(&span.id()) {
            return true;
        }
        let line = line(span);
        let cost = cost(span, &line);
        let fits = cost <= self.room;
        if fits {
            self.room -= cost;
            self.lines.insert(span.id(), line);
        }
        fits
    }

    /// Chooses the way to a span; of one that is too long its beginning, and its end, which matters most.
    fn choose_way(&mut self, way: &[Span<'_>]) -> bool {
        let costs: Vec<usize> = way.iter().map(|span| cost(*span, &line(*span))).collect();
        let all: usize = costs.iter().sum();
        if all > self.room {
            let head = fitting(costs.iter(), self.room / 4);
            let left = self.room.saturating_sub(costs[..head].iter().sum::<usize>() + BRIDGE);
            let tail = way.len() - fitting(costs[head..].iter().rev(), left);
            if let (Some(from), Some(to)) = (way.get(head), way.get(tail)) {
                self.bridge = Some(Bridge { from: from.id(), to: to.id(), levels: tail - head });
                self.room = self.room.saturating_sub(BRIDGE);
            }
            way[..head].iter().chain(&way[tail..]).for_each(|span| {
                self.choose(*span);
            });
            return false;
        }
        way.iter().all(|span| self.choose(*span))
    }
}

/// How many of these costs, one after the other, there is room for.
fn fitting<'a>(costs: impl Iterator<Item = &'a usize>, mut room: usize) -> usize {
    costs.take_while(|cost| room.checked_sub(**cost).map(|left| room = left).is_some()).count()
}

/// How many tokens a span takes, with its indent, and with what is said of spans inside it that are not shown.
fn cost(span: Span<'_>, line: &str) -> usize {
    estimate(line) + 2 + span.children().next().map_or(0, |_| 8)
}

/// The spans of a part in the order of the tree, in about so many tokens. What leads to the cause comes first, then what
/// failed or is open, then what is nearest to the top.
pub(super) fn outline(query: &TraceQuery, part: Part, room: usize) -> Outline {
    let tops = tops(query, part);
    let order = preorder(&tops);
    let mut chosen = Chosen { lines: BTreeMap::new(), bridge: None, room };
    let inside = |span: &Span<'_>| order.binary_search_by_key(&span.id(), |(id, _)| *id).is_ok();
    let way = |span: Span<'_>| query.path(span.id()).into_iter().filter(&inside).collect::<Vec<_>>();
    let mut has_room = query.failure().is_none_or(|cause| chosen.choose_way(&way(cause)));
    for span in query.spans().filter(|span| !matches!(span.state(), RunState::Succeeded)) {
        has_room = has_room && way(span).into_iter().all(|span| chosen.choose(span));
    }
    let mut level = tops.clone();
    while has_room && !level.is_empty() {
        has_room = level.iter().all(|span| chosen.choose(*span));
        level = level.into_iter().flat_map(|span| span.children()).collect();
    }
    let of = order.len();
    let shown = chosen.lines.len();
    Outline { lines: write(query, tops, &chosen), shown, of }
}

/// The spans at the top of a part.
fn tops(query: &TraceQuery, part: Part) -> Vec<Span<'_>> {
    let all: Vec<Span<'_>> = match part.span {
        Some(id) => match part.after {
            // The span itself was shown with the ones before.
            Some(_) => query.children(id).collect(),
            None => query.span(id).into_iter().collect(),
        },
        None => query.spans().filter(|span| span.parent().is_none()).collect(),
    };
    match part.after {
        Some(after) => all.into_iter().skip_while(|span| span.id() != after).skip(1).collect(),
        None => all,
    }
}

/// All spans of a part, by their ids.
fn preorder<'q>(tops: &[Span<'q>]) -> Vec<(SpanId, Span<'q>)> {
    let mut all = Vec::new();
    let mut left: Vec<Span<'q>> = tops.to_vec();
    while let Some(span) = left.pop() {
        all.push((span.id(), span));
        left.extend(span.children());
    }
    all.sort_by_key(|(id, _)| *id);
    all
}

/// A line for each span that was chosen, and below its siblings how many were not.
fn write(query: &TraceQuery, tops: Vec<Span<'_>>, chosen: &Chosen) -> Vec<String> {
    let mut lines = Vec::new();
    // The siblings that are left at each depth, and how many were left out there.
    let mut levels = vec![(tops.into_iter(), 0_u64)];
    while let Some((siblings, hidden)) = levels.last_mut() {
        let Some(span) = siblings.next() else {
            let hidden = *hidden;
            if hidden > 0 {
                lines.push(indented(levels.len(), &format!("⋮ {} more", group(hidden))));
            }
            levels.pop();
            continue;
        };
        match (chosen.lines.get(&span.id()), &chosen.bridge) {
            (Some(line), _) => {
                lines.push(indented(levels.len(), line));
                levels.push((span.children().collect::<Vec<_>>().into_iter(), 0));
            }
            (None, Some(bridge)) if bridge.from == span.id() => {
                lines.push(indented(levels.len(), &format!("⋮ {} levels", group(bridge.levels as u64))));
                let below: Vec<_> = query.span(bridge.to).into_iter().collect();
                levels.push((below.into_iter(), 0));
            }
            (None, _) => *hidden += 1,
        }
    }
    lines
}

fn indented(depth: usize, line: &str) -> String {
    format!("{}{line}", " ".repeat((depth - 1).min(INDENT)))
}

/// A span in a line: its id, how it ended, its name, how long it took, its error.
fn line(span: Span<'_>) -> String {
    let mut line = format!("{} {} {}", span.id(), span.state(), clean(&span.name()));
    if let Some(attempt) = span.attempt().filter(|attempt| *attempt > 1) {
        line.push_str(&format!(" attempt {attempt}"));
    }
    if let Some(took) = span.duration() {
        line.push_str(&format!(" {}", micros(u64::try_from(took.as_micros()).unwrap_or(u64::MAX))));
    }
    if let Some(error) = span.error() {
        let message: String = error.message.chars().take(ERROR).collect();
        line.push_str(&format!(": {}: {}", clean(&error.kind), clean(&message)));
    }
    line
}
