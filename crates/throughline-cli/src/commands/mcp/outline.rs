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

/// The spans of a part in the order of the tree, in about so many tokens. What leads to the cause comes first, then what
/// failed or is open, then what is nearest to the top.
pub(super) fn outline(query: &TraceQuery, part: Part, room: usize) -> Outline {
    let tops = tops(query, part);
    let order = preorder(&tops);
    let mut chosen: BTreeMap<SpanId, String> = BTreeMap::new();
    let mut left = room;
    let mut choose = |span: Span<'_>| -> bool {
        if chosen.contains_key(&span.id()) {
            return true;
        }
        let line = line(span);
        // With its indent, and with what is said of spans inside it that are not shown.
        let cost = estimate(&line) + 2 + span.children().next().map_or(0, |_| 8);
        let fits = cost <= left;
        if fits {
            left -= cost;
            chosen.insert(span.id(), line);
        }
        fits
    };
    let inside = |span: Span<'_>| order.binary_search_by_key(&span.id(), |(id, _)| *id).is_ok();
    let cause = query.failure();
    let matters = query.spans().filter(|span| !matches!(span.state(), RunState::Succeeded));
    let mut has_room = true;
    for span in cause.into_iter().chain(matters) {
        has_room =
            has_room && query.path(span.id()).into_iter().filter(|span| inside(*span)).all(&mut choose);
    }
    let mut level = tops.clone();
    while has_room && !level.is_empty() {
        has_room = level.iter().copied().all(&mut choose);
        level = level.into_iter().flat_map(|span| span.children()).collect();
    }
    let of = order.len();
    let shown = chosen.len();
    Outline { lines: write(tops, &chosen), shown, of }
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
fn write(tops: Vec<Span<'_>>, chosen: &BTreeMap<SpanId, String>) -> Vec<String> {
    let mut lines = Vec::new();
    // The siblings that are left at each depth, and how many were left out there.
    let mut levels = vec![(tops.into_iter(), 0_u64)];
    while let Some((siblings, hidden)) = levels.last_mut() {
        let next = siblings.next();
        match next.and_then(|span| Some((span, chosen.get(&span.id())?))) {
            Some((span, line)) => {
                lines.push(indented(levels.len(), line));
                levels.push((span.children().collect::<Vec<_>>().into_iter(), 0));
            }
            None if next.is_some() => *hidden += 1,
            None => {
                let hidden = *hidden;
                if hidden > 0 {
                    lines.push(indented(levels.len(), &format!("⋮ {} more", group(hidden))));
                }
                levels.pop();
            }
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
