//! [`Diff`]: what was different in another run, say the last good one?

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::{Decision, Problem, Span, SpanSummary, TraceQuery};
use throughline_model::{RunSummary, Text};

/// How a run differs from another. Returned by [`TraceQuery::diff`]; *here* is this run, *there* the other.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Diff {
    /// This run.
    pub here: Option<RunSummary>,
    /// The other run.
    pub there: Option<RunSummary>,
    /// Where they first diverged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_divergence: Option<Divergence>,
    /// The input values that differ at the first divergence, or at the nearest enclosing span whose input differs.
    pub inputs: Vec<InputChange>,
    /// Attributes that differ, each at the outermost span at which it does.
    pub attrs: Vec<AttrChange>,
    /// Decisions that chose differently.
    pub choices: Vec<ChoiceChange>,
    /// Spans that ended differently.
    pub changed: Vec<StateChange>,
    /// Spans that happened only here.
    pub only_here: Vec<UnmatchedSpan>,
    /// Spans that happened only there.
    pub only_there: Vec<UnmatchedSpan>,
    /// Spans that took at least [`Diff::SLOWER`] times as long here as there and [`Diff::SLOWER_US`] more, unless a single
    /// span inside explains it; the greatest difference first.
    pub slower: Vec<SlowerSpan>,
    /// Data problems of both: what is missing or contradictory in their events.
    pub problems: Vec<Problem>,
}

impl Diff {
    /// From how many times the duration a span counts as slower.
    pub const SLOWER: f64 = 2.0;
    /// From how many microseconds more a span counts as slower.
    pub const SLOWER_US: u64 = 5_000;

    /// Whether both runs did the same with the same results; they may have taken different time.
    pub fn is_same(&self) -> bool {
        self.first_divergence.is_none()
    }
}

/// Where two runs first diverged.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Divergence {
    /// What was different.
    pub kind: DivergenceKind,
    /// The path to the span: names from the root down, joined by ` › `, with `#2` for the second of the same name in the
    /// same place. Of a long path only the last few.
    pub path: String,
    /// The span in the run in which it happened; in this run if it happened in both.
    pub span: SpanSummary,
}

/// What was different at the first divergence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DivergenceKind {
    /// A decision chose differently.
    Choice,
    /// A span ended differently.
    State,
    /// A span happened only here.
    OnlyHere,
    /// A span happened only there.
    OnlyThere,
}

/// A span of one run without a counterpart in the other.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct UnmatchedSpan {
    /// The path to it, as in [`Divergence::path`].
    pub path: String,
    /// The span.
    pub span: SpanSummary,
    /// The number of its descendants; they have no counterpart either, and are not listed.
    pub below: usize,
}

/// A span that ended differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StateChange {
    /// The path to it, as in [`Divergence::path`].
    pub path: String,
    /// The span in this run.
    pub here: SpanSummary,
    /// The span in the other run.
    pub there: SpanSummary,
}

/// A span that took much longer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SlowerSpan {
    /// The path to it, as in [`Divergence::path`].
    pub path: String,
    /// Microseconds here.
    pub here_us: u64,
    /// Microseconds there.
    pub there_us: u64,
}

/// A decision that chose differently.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ChoiceChange {
    /// The path to it, as in [`Divergence::path`].
    pub path: String,
    /// The decision in this run.
    pub here: Decision,
    /// The decision in the other run.
    pub there: Decision,
}

/// An attribute that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AttrChange {
    /// The path to the span, as in [`Divergence::path`].
    pub path: String,
    /// The name of the attribute.
    pub key: Text,
    /// The value here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub here: Option<Text>,
    /// The value there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there: Option<Text>,
}

/// A value that differs between two inputs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct InputChange {
    /// The name of the span with this input.
    pub span: Text,
    /// Where in the input, as a [JSON pointer](https://www.rfc-editor.org/rfc/rfc6901); empty for all of it.
    pub pointer: String,
    /// The value here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub here: Option<Value>,
    /// The value there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub there: Option<Value>,
}

/// Two runs laid beside each other.
struct Pairing<'a> {
    here: &'a TraceQuery,
    there: &'a TraceQuery,
    /// For each span here its counterpart there, and the other way round.
    in_there: Vec<Option<u32>>,
    in_here: Vec<Option<u32>>,
    /// Which of its name it is among its siblings, from 1.
    nth_here: Vec<u32>,
    nth_there: Vec<u32>,
}

/// A span at which two runs differ: of this run, or of the other if it did not happen here.
#[derive(Clone, Copy)]
enum Found<'a> {
    Here(Span<'a>),
    There(Span<'a>),
}

impl TraceQuery {
    /// Compares this run with another, say the last good one. Spans are each other's counterparts if they have the
    /// same name in the same place: the second `stage:poll` of a workflow is compared with the second there.
    pub fn diff(&self, other: &Self) -> Diff {
        let pairing = Pairing::new(self, other);
        let first = pairing.first_divergence();
        Diff {
            here: self.summary(),
            there: other.summary(),
            inputs: first.map_or_else(Vec::new, |(_, found)| pairing.inputs(found)),
            first_divergence: first.map(|(kind, found)| pairing.divergence(kind, found)),
            attrs: pairing.attrs(),
            choices: pairing.pairs().filter_map(|(here, there)| pairing.choice_change(here, there)).collect(),
            changed: pairing
                .pairs()
                .filter(|(here, there)| here.state() != there.state())
                .map(|(here, there)| StateChange {
                    path: pairing.path_here(here),
                    here: here.summary(),
                    there: there.summary(),
                })
                .collect(),
            only_here: unmatched(self, &pairing.in_there, &pairing.nth_here),
            only_there: unmatched(other, &pairing.in_here, &pairing.nth_there),
            slower: pairing.slower(),
            problems: self.problems().iter().chain(other.problems()).cloned().collect(),
        }
    }
}

impl<'a> Pairing<'a> {
    fn new(here: &'a TraceQuery, there: &'a TraceQuery) -> Self {
        // A place is the place of the parent, a name and a number among siblings of that name.
        let mut places: HashMap<(Option<u32>, String, u32), (u32, u32)> = HashMap::new();
        let nth_there = ordinals(there);
        let mut place_there = vec![0; nth_there.len()];
        for &index in &there.index.outline().rows {
            let parent = there.index.parent_of(index).map(|parent| place_there[parent as usize]);
            let key = (parent, there.at(index).name().into_owned(), nth_there[index as usize]);
            let place = places.len() as u32;
            place_there[index as usize] = place;
            places.insert(key, (place, index));
        }
        let nth_here = ordinals(here);
        let mut place_here: Vec<Option<u32>> = vec![None; nth_here.len()];
        let mut in_there = vec![None; nth_here.len()];
        let mut in_here = vec![None; nth_there.len()];
        for &index in &here.index.outline().rows {
            let parent = here.index.parent_of(index).map(|parent| place_here[parent as usize]);
            // A child of what has no counterpart has none.
            if parent == Some(None) {
                continue;
            }
            let key = (parent.flatten(), here.at(index).name().into_owned(), nth_here[index as usize]);
            if let Some((place, twin)) = places.get(&key) {
                place_here[index as usize] = Some(*place);
                in_there[index as usize] = Some(*twin);
                in_here[*twin as usize] = Some(index);
            }
        }
        Self { here, there, in_there, in_here, nth_here, nth_there }
    }

    /// The spans that happened in both runs, in the order in which they began here.
    fn pairs(&self) -> impl Iterator<Item = (Span<'a>, Span<'a>)> {
        self.here.spans().filter_map(|span| Some((span, self.there.at(self.in_there[span.index as usize]?))))
    }

    fn path_here(&self, span: Span<'_>) -> String {
        path(span, &self.nth_here)
    }

    fn choice_change(&self, here: Span<'_>, there: Span<'_>) -> Option<ChoiceChange> {
        if !here.is_decision() {
            return None;
        }
        let (chosen_here, chosen_there) = (Decision::of(here), Decision::of(there));
        (chosen_here.choice != chosen_there.choice).then(|| ChoiceChange {
            path: self.path_here(here),
            here: chosen_here,
            there: chosen_there,
        })
    }

    /// Differences stand where they became apparent in this run: a choice or a new span when it began, another
    /// end when it ended. What did not happen here stands after what came before it there.
    fn first_divergence(&self) -> Option<(DivergenceKind, Found<'a>)> {
        use DivergenceKind::{Choice, OnlyHere, OnlyThere, State};
        let both = self.pairs().filter_map(|(here, there)| {
            let (place, kind) = if self.choice_change(here, there).is_some() {
                (here.start_place(), Choice)
            } else if here.state() != there.state() {
                (here.end_place(), State)
            } else {
                return None;
            };
            Some((place, kind, Found::Here(here)))
        });
        let only_here = self.here.spans().filter(|span| self.in_there[span.index as usize].is_none());
        let only_here = only_here.map(|here| (here.start_place(), OnlyHere, Found::Here(here)));
        let mut only_there = Vec::new();
        let siblings = (0..self.there.index.len()).map(|parent| self.there.index.children_of(parent));
        for siblings in siblings.chain([self.there.index.tops.as_slice()]) {
            let around = siblings.first().and_then(|first| self.there.index.parent_of(*first));
            let mut place = match around.map(|parent| self.in_here[parent as usize]) {
                None => 0,
                Some(Some(twin)) => self.here.at(twin).start_place(),
                // Only what lies in a counterpart has a place in this run.
                Some(None) => continue,
            };
            for &sibling in siblings {
                match self.in_here[sibling as usize] {
                    Some(twin) => place = place.max(self.here.at(twin).end_place()),
                    None => only_there.push((place, OnlyThere, Found::There(self.there.at(sibling)))),
                }
            }
        }
        both.chain(only_here)
            .chain(only_there)
            .min_by_key(|(place, kind, ..)| (*place, *kind))
            .map(|(_, kind, found)| (kind, found))
    }

    fn divergence(&self, kind: DivergenceKind, found: Found<'a>) -> Divergence {
        let (path, span) = match found {
            Found::Here(here) => (self.path_here(here), here.summary()),
            Found::There(there) => (path(there, &self.nth_there), there.summary()),
        };
        Divergence { kind, path, span }
    }

    /// How the inputs differ at the first divergence, or at the nearest span around it where they do.
    fn inputs(&self, found: Found<'a>) -> Vec<InputChange> {
        let start = match found {
            Found::Here(here) => Some(here),
            Found::There(there) => std::iter::successors(Some(there), Span::parent)
                .find_map(|span| self.in_here[span.index as usize])
                .map(|twin| self.here.at(twin)),
        };
        let given = std::iter::successors(start, Span::parent).find_map(|here| {
            let there = self.there.at(self.in_there[here.index as usize]?);
            (here.input() != there.input()).then_some((here, there))
        });
        let Some((here, there)) = given else { return Vec::new() };
        let name: Text = here.name().into_owned().into();
        let changes = changes(here.input(), there.input());
        let change = |(pointer, here, there): (String, Option<&Value>, Option<&Value>)| InputChange {
            span: name.clone(),
            pointer,
            here: here.cloned(),
            there: there.cloned(),
        };
        changes.into_iter().map(change).collect()
    }

    /// Attributes that differ between counterparts, unless they differ in the same way around them.
    fn attrs(&self) -> Vec<AttrChange> {
        let mut found = Vec::new();
        for (here, there) in self.pairs() {
            let twin = |span: Span<'a>| Some(self.there.at(self.in_there[span.index as usize]?));
            let around = here.parent().and_then(|parent| Some((parent, twin(parent)?)));
            let events = here.events().chain(there.events());
            let keys: BTreeSet<&Text> =
                events.flat_map(|event| event.attrs.iter().map(|(key, _)| key)).collect();
            for key in keys {
                let values = (here.attr(key), there.attr(key));
                let is_around =
                    around.is_some_and(|(here, there)| (here.attr(key), there.attr(key)) == values);
                if values.0 != values.1 && !is_around {
                    let text = |value: Option<&str>| value.map(|value| Text::from(value.to_owned()));
                    found.push(AttrChange {
                        path: self.path_here(here),
                        key: key.clone(),
                        here: text(values.0),
                        there: text(values.1),
                    });
                }
            }
        }
        found
    }

    fn slower(&self) -> Vec<SlowerSpan> {
        let mut more: Vec<u64> = vec![0; self.in_there.len()];
        let mut greatest_inside = more.clone();
        for (here, there) in self.pairs() {
            let (Some(took), Some(took_there)) = (here.duration_us(), there.duration_us()) else { continue };
            let extra = took.saturating_sub(took_there);
            more[here.index as usize] = extra;
            if let Some(parent) = here.parent() {
                let inside = &mut greatest_inside[parent.index as usize];
                *inside = (*inside).max(extra);
            }
        }
        let slower = |(here, there): (Span<'a>, Span<'a>)| {
            let (took, took_there) = (here.duration_us()?, there.duration_us()?);
            let extra = more[here.index as usize];
            let much = extra >= Diff::SLOWER_US && took as f64 >= took_there as f64 * Diff::SLOWER;
            let explained = greatest_inside[here.index as usize] >= extra.div_ceil(2);
            (much && !explained).then(|| SlowerSpan {
                path: self.path_here(here),
                here_us: took,
                there_us: took_there,
            })
        };
        let mut slower: Vec<SlowerSpan> = self.pairs().filter_map(slower).collect();
        slower.sort_by_key(|span| std::cmp::Reverse(span.here_us - span.there_us));
        slower
    }
}

/// The outermost spans without a counterpart.
fn unmatched(query: &TraceQuery, twins: &[Option<u32>], nth: &[u32]) -> Vec<UnmatchedSpan> {
    let is_unmatched = |span: &Span<'_>| twins[span.index as usize].is_none();
    query
        .spans()
        .filter(|span| is_unmatched(span) && !span.parent().is_some_and(|parent| is_unmatched(&parent)))
        .map(|span| UnmatchedSpan {
            path: path(span, nth),
            span: span.summary(),
            below: query.index.outline().subtree(span.index).len() - 1,
        })
        .collect()
}

/// For each span which of its name it is among its siblings, from 1.
fn ordinals(query: &TraceQuery) -> Vec<u32> {
    let mut ordinals = vec![0; query.index.len() as usize];
    let mut seen: HashMap<(Option<u32>, String), u32> = HashMap::new();
    for span in query.spans() {
        let nth = seen.entry((query.index.parent_of(span.index), span.name().into_owned())).or_default();
        *nth += 1;
        ordinals[span.index as usize] = *nth;
    }
    ordinals
}

/// The way to a span in names; of a long way the last few.
fn path(span: Span<'_>, nth: &[u32]) -> String {
    const LAST: usize = 8;
    let mut names: Vec<String> = Vec::new();
    for span in std::iter::successors(Some(span), Span::parent) {
        if names.len() == LAST {
            names.push("…".to_owned());
            break;
        }
        let name = span.name();
        names.push(match nth[span.index as usize] {
            1 => name.into_owned(),
            nth => format!("{name}#{nth}"),
        });
    }
    names.reverse();
    names.join(" › ")
}

/// The places where two values differ, objects and lists of the same length taken apart.
fn changes<'v>(
    here: Option<&'v Value>,
    there: Option<&'v Value>,
) -> Vec<(String, Option<&'v Value>, Option<&'v Value>)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), here, there)];
    while let Some((pointer, here, there)) = open.pop() {
        if here == there {
            continue;
        }
        let inner = |key: &str| format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
        match (here, there) {
            (Some(Value::Object(a)), Some(Value::Object(b))) => {
                let new = b.keys().filter(|key| !a.contains_key(*key));
                let mut fields: Vec<_> =
                    a.keys().chain(new).map(|key| (inner(key), a.get(key), b.get(key))).collect();
                fields.reverse();
                open.append(&mut fields);
            }
            (Some(Value::Array(a)), Some(Value::Array(b))) if a.len() == b.len() => {
                let items = a.iter().zip(b).enumerate().rev();
                open.extend(items.map(|(at, (a, b))| (inner(&at.to_string()), Some(a), Some(b))));
            }
            _ => found.push((pointer, here, there)),
        }
    }
    found
}
