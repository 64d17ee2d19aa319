//! [`Comparison`]: what was different in runs of the same workflow that succeeded?

mod put_up_with;
mod traits;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::explain::headline::PERHAPS_CLEANED_UP;
use super::explain::{Certainty, Says, Statement};
use super::{Divergence, DivergenceKind, Explanation, Span, TraceQuery};
use crate::cause::Causes;
use crate::duration::duration;
pub use put_up_with::PutUpWith;
#[cfg(feature = "render")]
pub(crate) use put_up_with::without_digits;
use throughline_model::fold::Ground;
use throughline_model::names::tags;
use throughline_model::{RunSummary, Status, Text, Timestamp, TraceEvent};
use traits::Traits;

/// How a run differs from good runs of its workflow, as far as that may have to do with how it ended. Returned by
/// [`TraceQuery::compare`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The good run that is nearest by what was recorded of it and by its steps; of equally near ones the first that was passed
    /// in.
    pub nearest: RunSummary,
    /// How many good runs it was compared with.
    pub runs: usize,
    /// The first step at which it left the way of the nearest, if that was before its cause had failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_divergence: Option<Divergence>,
    /// What is the same in all good runs and not here, at most [`Comparison::DIFFERENCES`].
    pub differences: Vec<Difference>,
    /// Spans that take much longer than they usually do, at most [`Comparison::DIFFERENCES`].
    pub slow: Vec<Usual>,
    /// What went wrong here before the cause had failed, the cause among it, and in the same way in all good runs: what they put
    /// up with is no suspect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub put_up_with: Vec<PutUpWith>,
}

impl Comparison {
    /// How many differences are listed.
    pub const DIFFERENCES: usize = 10;
    /// From how many times its usual duration a span counts as slow, and how many microseconds more.
    pub const SLOW: u64 = 3;
    /// From how many microseconds more a span counts as slow.
    pub const SLOW_US: u64 = 50_000;
}

/// Something that is the same in all good runs and not in this one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// What differs.
    pub kind: DifferenceKind,
    /// Its name: of an attribute, of a step, a JSON pointer into a payload, behind the name of the step whose payload it is.
    pub name: Text,
    /// What it is in good runs; `None` if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usual: Option<Text>,
    /// What it is here; `None` if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub here: Option<Text>,
    /// The events that say so, as `trace:span:seq`: of this run first, then of the good ones. What is not there is missing
    /// from the run whose start is named.
    pub events: Vec<Text>,
}

/// What kind of thing differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DifferenceKind {
    /// An attribute of the run or of a step.
    Attribute,
    /// The version of the service.
    Version,
    /// A value of the input of the run, or of one of its steps.
    Input,
    /// A value of the output of a step.
    Output,
    /// A value in the payload of an event.
    Data,
    /// The tags of a step or an event.
    Tags,
    /// What a decision chose.
    Choice,
    /// A step that good runs have before the place of the cause.
    MissingStep,
    /// A step before the cause that no good run has.
    NewStep,
    /// How a step ended that was taken for cleaning up because of its name: it is a part of the work, for it succeeded in good runs.
    Outcome,
}

/// A span that takes much longer than it usually does.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Usual {
    /// The name of the span.
    pub name: Text,
    /// Microseconds here; so far, if it is open.
    pub here_us: u64,
    /// The median of the good runs, in microseconds.
    pub usual_us: u64,
    /// Whether it has not ended.
    pub open: bool,
    /// The events that say so, as `trace:span:seq`: its last one here, and the end of a span in a good run that took the usual
    /// time.
    pub events: Vec<Text>,
}

impl TraceQuery {
    /// Compares this run with runs of the same workflow that succeeded, the latest first. `until` is the moment up to which
    /// open spans have taken their time. `None` if there are no good runs.
    pub fn compare(&self, good: &[Self], until: Timestamp) -> Option<Comparison> {
        let cause = self.find_cause().map(|found| self.at(found.cause));
        let here = Traits::of(self, cause);
        let others: Vec<Traits> = good.iter().map(|query| Traits::of(query, None)).collect();
        let near = |at: &usize| (here.in_common(&others[*at]), std::cmp::Reverse(*at));
        let nearest = (0..good.len()).max_by_key(near)?;
        let mut differences = here.differences(&others);
        differences.extend(self.usual_work(good));
        differences.extend(self.steps(good, cause));
        differences.truncate(Comparison::DIFFERENCES);
        Some(Comparison {
            nearest: good[nearest].summary()?,
            runs: good.len(),
            first_divergence: self.divergence_before(&good[nearest], cause),
            differences,
            slow: self.slow(good, until),
            put_up_with: put_up_with::put_up_with(
                self,
                good,
                cause.map_or(u32::MAX, |cause| cause.end_place()),
            ),
        })
    }

    /// In how many things it is like another run: values and attributes that were recorded, and steps.
    pub fn in_common(&self, other: &Self) -> usize {
        Traits::of(self, None).in_common(&Traits::of(other, None))
    }

    fn divergence_before(&self, good: &Self, cause: Option<Span<'_>>) -> Option<Divergence> {
        let first = self.diff(good).first_divergence?;
        // What ended in the same way as the run is not where it left the way.
        let is_before = cause.is_none_or(|cause| first.span.started <= cause.last_event().timestamp);
        let mut brought_down = std::iter::successors(cause, Span::parent).chain(self.root());
        let is_of_it = brought_down.any(|span| span.id() == first.span.span_id);
        (is_before && !is_of_it).then_some(first)
    }

    /// What failed last and was taken for cleaning up because of its name, if it succeeded in all good runs.
    fn usual_work(&self, good: &[Self]) -> Option<Difference> {
        let found = self.find_cause()?;
        if !found.steps.iter().any(|(_, ground)| *ground == Ground::PerhapsCleanedUp) {
            return None;
        }
        let last = Causes::new(self).perhaps_cleaned_up(found)?;
        let name = last.name();
        let succeeded = |query: &Self| {
            let mut spans = query.spans();
            let span = spans.find(|span| span.name() == name && span.status() == Status::Success)?;
            Some(id(span.last_event()))
        };
        let there = good.iter().map(succeeded).collect::<Option<Vec<_>>>()?;
        Some(Difference {
            kind: DifferenceKind::Outcome,
            name: name.into_owned().into(),
            usual: Some(Status::Success.as_str().into()),
            here: Some(last.status().as_str().into()),
            events: [id(last.last_event())].into_iter().chain(there).collect(),
        })
    }

    /// Steps that good runs have before the place of the cause, and steps that none of them has.
    fn steps(&self, good: &[Self], cause: Option<Span<'_>>) -> Vec<Difference> {
        let Some(cause) = cause else { return Vec::new() };
        // The steps by name, each with its first event.
        let before = |query: &Self, end: u32| -> BTreeMap<Text, Text> {
            // Of what went wrong on the way something else is said.
            let is_step = |span: &Span<'_>| {
                !span.is_workflow()
                    && (!span.is_point() || span.status() == Status::Success && !span.has_tag(tags::FALLBACK))
            };
            let steps = query.spans().filter(|span| span.start_place() < end && is_step(span));
            let mut by_name = BTreeMap::new();
            for span in steps {
                by_name.entry(span.name().into_owned().into()).or_insert_with(|| id(span.first_event()));
            }
            by_name
        };
        let here = before(self, cause.start_place() + 1);
        let name = cause.name();
        let (mut before_it, mut ever): (Vec<BTreeMap<Text, Text>>, BTreeSet<Text>) = Default::default();
        for query in good {
            // Where there is no counterpart of the cause, nobody knows what should have come before it.
            let place = query.spans().find(|span| span.name() == name).map(|span| span.start_place());
            before_it.extend(place.map(|place| before(query, place)));
            ever.extend(before(query, u32::MAX).into_keys());
        }
        let step = |kind, name: &Text, events| Difference {
            kind,
            name: name.clone(),
            usual: None,
            here: None,
            events,
        };
        let in_all =
            |name: &Text| before_it.iter().map(|run| run.get(name).cloned()).collect::<Option<Vec<_>>>();
        let candidates = before_it.first().into_iter().flat_map(BTreeMap::keys);
        let missing = candidates.filter(|name| !here.contains_key(*name)).filter_map(|name| {
            let events = [id(cause.first_event())].into_iter().chain(in_all(name)?).collect();
            Some(step(DifferenceKind::MissingStep, name, events))
        });
        // What is new inside a new step says nothing more.
        let is_new = |span: &Span<'_>| !ever.contains(span.name().as_ref());
        let inside_new: BTreeSet<Text> = self
            .spans()
            .filter(|span| span.parent().is_some_and(|parent| !parent.is_workflow() && is_new(&parent)))
            .map(|span| span.name().into_owned().into())
            .collect();
        let new = here.iter().filter(|(name, _)| !ever.contains(*name) && !inside_new.contains(*name));
        let new = new.map(|(name, event)| {
            let starts = good.iter().filter_map(start);
            step(DifferenceKind::NewStep, name, [event.clone()].into_iter().chain(starts).collect())
        });
        missing.chain(new).collect()
    }

    /// Spans that take much longer than the median of their name, unless one inside explains it.
    fn slow(&self, good: &[Self], until: Timestamp) -> Vec<Usual> {
        let mut usual: HashMap<Text, Vec<(u64, Text)>> = HashMap::new();
        for span in good.iter().flat_map(Self::spans).filter(|span| span.status() == Status::Success) {
            if let Some(took) = span.duration_us() {
                let durations = usual.entry(span.name().into_owned().into()).or_default();
                durations.push((took, id(span.last_event())));
            }
        }
        for durations in usual.values_mut() {
            durations.sort_unstable();
        }
        let mut slow: Vec<(u32, Usual)> = Vec::new();
        for span in self.spans().filter(|span| !span.is_point()) {
            let name: Text = span.name().into_owned().into();
            let Some(durations) = usual.get(&name) else { continue };
            let (usual_us, ref by) = durations[durations.len() / 2];
            let open = span.status() == Status::Pending;
            let so_far = || u64::try_from(until.since(span.started()).as_micros()).unwrap_or(u64::MAX);
            let Some(here_us) = span.duration_us().or_else(|| open.then(so_far)) else { continue };
            let more = here_us.saturating_sub(usual_us);
            let by_new_step = span.children().any(|child| {
                child.duration_us().is_some_and(|took| took >= here_us / 2)
                    && !usual.contains_key(child.name().as_ref())
            });
            if !by_new_step && more >= Comparison::SLOW_US && here_us / Comparison::SLOW >= usual_us {
                let events = vec![id(span.last_event()), by.clone()];
                slow.push((span.index, Usual { name, here_us, usual_us, open, events }));
            }
        }
        let outline = self.index.outline();
        let explained = |(at, span): &(u32, Usual)| {
            slow.iter().any(|(other, inside)| {
                other != at && outline.is_within(*other, *at) && inside.here_us >= span.here_us / 2
            })
        };
        // Many slow spans are not each other's explanation: a few are enough to know.
        let most = slow.len().min(64);
        let mut left: Vec<Usual> =
            slow[..most].iter().filter(|span| !explained(span)).map(|(_, span)| span.clone()).collect();
        left.sort_by_key(|span| std::cmp::Reverse(span.here_us - span.usual_us));
        left.truncate(Comparison::DIFFERENCES);
        left
    }
}

impl Explanation {
    /// Adds what a comparison with good runs says to the statements. What was put up with in these, too, is no suspect.
    pub fn add_comparison(&mut self, comparison: &Comparison) {
        self.clear_of_suspicion(comparison);
        let start = |run: &RunSummary| {
            let root = run.root.as_ref()?;
            Some(Text::from(format!("{}:{}:0", run.trace_id, root.span_id)))
        };
        let starts: Vec<Text> =
            [self.run.as_ref(), Some(&comparison.nearest)].into_iter().flatten().filter_map(start).collect();
        let mut say = |text: String, events: &[Text]| {
            let events = if events.is_empty() { &starts } else { events };
            let span = |event: &Text| event.split(':').nth(1)?.parse().ok();
            self.statements.push(Statement {
                says: Says::Differs,
                certainty: Certainty::Compared,
                text,
                spans: events.iter().filter_map(span).collect(),
                events: events.to_vec(),
            });
        };
        for difference in &comparison.differences {
            say(difference.sentence(comparison.runs), &difference.events);
        }
        if comparison.differences.iter().any(|difference| difference.kind == DifferenceKind::Outcome) {
            self.headline = self.headline.replace(PERHAPS_CLEANED_UP, ", which is no clean-up");
        }
        let is_said = |first: &Divergence| {
            let is_of_it = |it: &Difference| it.kind != DifferenceKind::Tags && it.name == first.span.name;
            comparison.differences.iter().any(is_of_it)
        };
        if let Some(first) = comparison.first_divergence.as_ref().filter(|first| !is_said(first)) {
            let how = match first.kind {
                DivergenceKind::Choice => "chose differently",
                DivergenceKind::State => "ended differently",
                DivergenceKind::OnlyHere => "happened only here",
                DivergenceKind::OnlyThere => "did not happen here",
            };
            let run = if first.kind == DivergenceKind::OnlyThere {
                Some(&comparison.nearest)
            } else {
                self.run.as_ref()
            };
            let event = run.map(|run| format!("{}:{}:0", run.trace_id, first.span.span_id).into());
            let text = format!("it left the way of the nearest good run at {}, which {how}", first.span.name);
            say(text, event.as_slice());
        }
        for slow in &comparison.slow {
            let now = if slow.open { "so far" } else { "now" };
            let (usual, here) = (duration(slow.usual_us), duration(slow.here_us));
            say(format!("{}: {usual} usually, {here} {now}", slow.name), &slow.events);
        }
    }
}

impl Explanation {
    /// Says of what was put up with in good runs, too, that it is no suspect.
    fn clear_of_suspicion(&mut self, comparison: &Comparison) {
        let goods = goods(comparison.runs);
        let cause = self.cause.as_ref().map(|cause| cause.span.span_id);
        let mut told: Vec<&Text> = Vec::new();
        for it in &comparison.put_up_with {
            let before = self.statements.len();
            self.statements.retain(|statement| statement.suspect() != Some(it.span_id));
            let is_cause = cause == Some(it.span_id);
            if !is_cause && (before == self.statements.len() || told.contains(&&it.name)) {
                continue;
            }
            told.push(&it.name);
            let then = match is_cause {
                true => "what brought this one down may be something else",
                false => "it is no suspect",
            };
            self.statements.push(Statement {
                says: Says::PutUpWith,
                certainty: Certainty::Compared,
                text: format!("{} went wrong in the same way in {goods}, too: {then}", it.name),
                spans: vec![it.span_id],
                events: it.events.clone(),
            });
        }
    }
}

/// What to call the good runs that a run was compared with.
fn goods(runs: usize) -> String {
    if runs == 1 { "the last good run".to_owned() } else { format!("the last {runs} good runs") }
}

impl Difference {
    fn sentence(&self, runs: usize) -> String {
        let goods = goods(runs);
        let name = &self.name;
        let what = match self.kind {
            DifferenceKind::Outcome => {
                return format!(
                    "{name} succeeded in {goods}: it is a part of the work, and may be the origin"
                );
            }
            DifferenceKind::MissingStep => {
                return format!("{name} is missing, which {goods} had before this");
            }
            DifferenceKind::NewStep if runs == 1 => return format!("{name} is new: {goods} did not have it"),
            DifferenceKind::NewStep => return format!("{name} is new: none of {goods} had it"),
            DifferenceKind::Attribute | DifferenceKind::Version => name.to_string(),
            DifferenceKind::Input => format!("input {name}:"),
            DifferenceKind::Output => format!("output {name}:"),
            DifferenceKind::Data => format!("data {name}:"),
            DifferenceKind::Tags => format!("tags {name}:"),
            DifferenceKind::Choice => format!("choice {name}:"),
        };
        let value = |value: &Option<Text>| shortened(value.as_deref().unwrap_or("nothing"));
        format!("{what} {} → {} since {goods}", value(&self.usual), value(&self.here))
    }

    /// Another version of the service.
    pub fn version(usual: impl Into<Text>, here: impl Into<Text>) -> Self {
        Self {
            kind: DifferenceKind::Version,
            name: Text::from("version"),
            usual: Some(usual.into()),
            here: Some(here.into()),
            events: Vec::new(),
        }
    }
}

/// A value, as far as it fits a sentence.
fn shortened(value: &str) -> String {
    const LONGEST: usize = 60;
    match value.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &value[..at]),
        None => value.to_owned(),
    }
}

fn id(event: &TraceEvent) -> Text {
    event.id().to_string().into()
}

/// The event with which a run begins.
fn start(query: &TraceQuery) -> Option<Text> {
    query.root().map(|root| id(root.first_event()))
}
