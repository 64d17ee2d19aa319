//! [`Comparison`]: what was different in runs of the same workflow that succeeded?

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::explain::{Certainty, Says, Statement};
use super::{Divergence, DivergenceKind, Explanation, Span, TraceQuery};
use crate::duration::duration;
use throughline_model::names::attrs;
use throughline_model::{RunSummary, Status, Text, Timestamp};

/// How a run differs from good runs of its workflow, as far as that may have to do with how it ended. Returned by
/// [`TraceQuery::compare`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The good run that is nearest by input, attributes and steps; of equally near ones the first that was passed in.
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
}

impl Comparison {
    /// How many differences are listed.
    pub const DIFFERENCES: usize = 10;
    /// From how many times its usual duration a span counts as slow, and how many microseconds more.
    pub const SLOW: u64 = 3;
    /// From how many microseconds more a span counts as slow.
    pub const SLOW_US: u64 = 20_000;
}

/// Something that is the same in all good runs and not in this one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// What differs.
    pub kind: DifferenceKind,
    /// Its name: of an attribute, of a step, a JSON pointer into the input.
    pub name: Text,
    /// What it is in good runs; `None` if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usual: Option<Text>,
    /// What it is here; `None` if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub here: Option<Text>,
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
    /// A value of the run's input.
    Input,
    /// A step that good runs have before the place of the cause.
    MissingStep,
    /// A step before the cause that no good run has.
    NewStep,
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
}

/// Attributes that are other in each run, that say how a span ended, or that are a part of its name.
const OWN: [&str; 12] = [
    attrs::SAGA,
    attrs::DEPENDENCY,
    attrs::HTTP_METHOD,
    attrs::HTTP_ROUTE,
    attrs::REQUEST_ID,
    attrs::EXECUTION,
    attrs::JOB_ID,
    attrs::CAUSED_BY,
    attrs::RESOURCE,
    attrs::HTTP_STATUS,
    attrs::CALL_REQUEST_SIZE,
    attrs::CALL_RESPONSE_SIZE,
];
/// How many values of an input are looked at.
const VALUES: usize = 256;

impl TraceQuery {
    /// Compares this run with runs of the same workflow that succeeded, the latest first. `until` is the moment up to which
    /// open spans have taken their time. `None` if there are no good runs.
    pub fn compare(&self, good: &[Self], until: Timestamp) -> Option<Comparison> {
        let here = Traits::of(self);
        let others: Vec<Traits> = good.iter().map(Traits::of).collect();
        let near = |at: &usize| (here.in_common(&others[*at]), std::cmp::Reverse(*at));
        let nearest = (0..good.len()).max_by_key(near)?;
        let cause = self.find_cause().map(|found| self.at(found.cause));
        let mut differences = here.attributes(&others);
        differences.extend(here.inputs(&others));
        differences.extend(self.steps(good, cause));
        differences.truncate(Comparison::DIFFERENCES);
        Some(Comparison {
            nearest: good[nearest].summary()?,
            runs: good.len(),
            first_divergence: self.divergence_before(&good[nearest], cause),
            differences,
            slow: self.slow(good, until),
        })
    }

    fn divergence_before(&self, good: &Self, cause: Option<Span<'_>>) -> Option<Divergence> {
        let first = self.diff(good).first_divergence?;
        // What ended in the same way as the run is not where it left the way.
        let is_before = cause.is_none_or(|cause| first.span.started <= cause.last_event().timestamp);
        let is_cause = cause.is_some_and(|cause| cause.id() == first.span.span_id);
        (is_before && !is_cause).then_some(first)
    }

    /// Steps that good runs have before the place of the cause, and steps that none of them has.
    fn steps(&self, good: &[Self], cause: Option<Span<'_>>) -> Vec<Difference> {
        let Some(cause) = cause else { return Vec::new() };
        let before = |query: &Self, end: u32| -> BTreeSet<Text> {
            let steps = query
                .spans()
                .filter(|span| span.start_place() < end && !span.is_workflow() && !span.is_point());
            steps.map(|span| span.name().into_owned().into()).collect()
        };
        let here = before(self, cause.start_place() + 1);
        let name = cause.name();
        let (mut always, mut ever): (Option<BTreeSet<Text>>, BTreeSet<Text>) = (None, BTreeSet::new());
        for query in good {
            // Where there is no counterpart of the cause, nobody knows what should have come before it.
            let place = query.spans().find(|span| span.name() == name).map(|span| span.start_place());
            if let Some(place) = place {
                let own = before(query, place);
                always = Some(match always {
                    None => own,
                    Some(always) => always.intersection(&own).cloned().collect(),
                });
            }
            ever.extend(before(query, u32::MAX));
        }
        let step = |kind, name: &Text| Difference { kind, name: name.clone(), usual: None, here: None };
        let always = always.unwrap_or_default();
        let missing = always.difference(&here).map(|name| step(DifferenceKind::MissingStep, name));
        // What is new inside a new step says nothing more.
        let is_new = |span: &Span<'_>| !ever.contains(span.name().as_ref());
        let inside_new: BTreeSet<Text> = self
            .spans()
            .filter(|span| span.parent().is_some_and(|parent| !parent.is_workflow() && is_new(&parent)))
            .map(|span| span.name().into_owned().into())
            .collect();
        let new = here.difference(&ever).filter(|name| !inside_new.contains(*name));
        let new = new.map(|name| step(DifferenceKind::NewStep, name));
        missing.chain(new).collect()
    }

    /// Spans that take much longer than the median of their name, unless one inside explains it.
    fn slow(&self, good: &[Self], until: Timestamp) -> Vec<Usual> {
        let mut usual: HashMap<Text, Vec<u64>> = HashMap::new();
        for span in good.iter().flat_map(Self::spans).filter(|span| span.status() == Status::Success) {
            if let Some(took) = span.duration_us() {
                usual.entry(span.name().into_owned().into()).or_default().push(took);
            }
        }
        for durations in usual.values_mut() {
            durations.sort_unstable();
        }
        let mut slow: Vec<(u32, Usual)> = Vec::new();
        for span in self.spans().filter(|span| !span.is_point()) {
            let name: Text = span.name().into_owned().into();
            let Some(durations) = usual.get(&name) else { continue };
            let usual_us = durations[durations.len() / 2];
            let open = span.status() == Status::Pending;
            let so_far = || u64::try_from(until.since(span.started()).as_micros()).unwrap_or(u64::MAX);
            let Some(here_us) = span.duration_us().or_else(|| open.then(so_far)) else { continue };
            let more = here_us.saturating_sub(usual_us);
            let by_new_step = span.children().any(|child| {
                child.duration_us().is_some_and(|took| took >= here_us / 2)
                    && !usual.contains_key(child.name().as_ref())
            });
            if !by_new_step && more >= Comparison::SLOW_US && here_us / Comparison::SLOW >= usual_us {
                slow.push((span.index, Usual { name, here_us, usual_us, open }));
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
    /// Adds what a comparison with good runs says to the statements.
    pub fn add_comparison(&mut self, comparison: &Comparison) {
        let ends = |run: &RunSummary| {
            let root = run.root.as_ref()?;
            Some((root.span_id, Text::from(format!("{}:{}:0", run.trace_id, root.span_id))))
        };
        let runs: Vec<_> =
            [self.run.as_ref(), Some(&comparison.nearest)].into_iter().flatten().filter_map(ends).collect();
        let mut say = |text: String| {
            self.statements.push(Statement {
                says: Says::Differs,
                certainty: Certainty::Compared,
                text,
                spans: runs.iter().map(|(span, _)| *span).collect(),
                events: runs.iter().map(|(_, event)| event.clone()).collect(),
            });
        };
        for difference in &comparison.differences {
            say(difference.sentence(comparison.runs));
        }
        let is_said = |first: &Divergence| {
            comparison.differences.iter().any(|difference| difference.name == first.span.name)
        };
        if let Some(first) = comparison.first_divergence.as_ref().filter(|first| !is_said(first)) {
            let how = match first.kind {
                DivergenceKind::Choice => "chose differently",
                DivergenceKind::State => "ended differently",
                DivergenceKind::OnlyHere => "happened only here",
                DivergenceKind::OnlyThere => "did not happen here",
            };
            say(format!("it left the way of the nearest good run at {}, which {how}", first.span.name));
        }
        for slow in &comparison.slow {
            let now = if slow.open { "so far" } else { "now" };
            say(format!(
                "{}: {} usually, {} {now}",
                slow.name,
                duration(slow.usual_us),
                duration(slow.here_us)
            ));
        }
    }
}

impl Difference {
    fn sentence(&self, runs: usize) -> String {
        let goods =
            if runs == 1 { "the last good run".to_owned() } else { format!("the last {runs} good runs") };
        let arrow = |value: &Option<Text>| value.as_deref().unwrap_or("nothing").to_owned();
        let name = &self.name;
        match self.kind {
            DifferenceKind::MissingStep => format!("{name} is missing, which {goods} had before this"),
            DifferenceKind::NewStep if runs == 1 => format!("{name} is new: {goods} did not have it"),
            DifferenceKind::NewStep => format!("{name} is new: none of {goods} had it"),
            DifferenceKind::Input => {
                format!("input {name}: {} → {} since {goods}", arrow(&self.usual), arrow(&self.here))
            }
            DifferenceKind::Version => {
                format!("version {} → {} since {goods}", arrow(&self.usual), arrow(&self.here))
            }
            DifferenceKind::Attribute => {
                format!("{name} {} → {} since {goods}", arrow(&self.usual), arrow(&self.here))
            }
        }
    }

    /// Another version of the service.
    pub fn version(usual: impl Into<Text>, here: impl Into<Text>) -> Self {
        Self {
            kind: DifferenceKind::Version,
            name: Text::from("version"),
            usual: Some(usual.into()),
            here: Some(here.into()),
        }
    }
}

/// What is known of a run before anything went wrong.
struct Traits {
    attrs: BTreeMap<Text, BTreeSet<Text>>,
    input: BTreeMap<String, String>,
    steps: BTreeSet<Text>,
}

impl Traits {
    fn of(query: &TraceQuery) -> Self {
        let mut attrs: BTreeMap<Text, BTreeSet<Text>> = BTreeMap::new();
        for event in query.ordered_events().filter(|event| event.seq == 0) {
            for (key, value) in event.attrs.iter().filter(|(key, _)| !OWN.contains(&key.as_str())) {
                let values = attrs.entry(key.clone()).or_default();
                if values.len() < VALUES {
                    values.insert(value.clone());
                }
            }
        }
        let mut input = BTreeMap::new();
        let inputs = query.root().and_then(|root| root.input()).into_iter();
        let mut open: Vec<(String, &Value)> = inputs.map(|value| (String::new(), value)).collect();
        while let Some((pointer, value)) = open.pop().filter(|_| input.len() < VALUES) {
            match value {
                Value::Object(fields) => {
                    open.extend(fields.iter().map(|(key, value)| (format!("{pointer}/{key}"), value)));
                }
                Value::Array(items) => {
                    open.extend(items.iter().enumerate().map(|(at, item)| (format!("{pointer}/{at}"), item)));
                }
                value => {
                    input.insert(pointer, value.to_string());
                }
            }
        }
        let steps = query.spans().map(|span| span.name().into_owned().into()).collect();
        Self { attrs, input, steps }
    }

    /// In how many things it is like another.
    fn in_common(&self, other: &Self) -> usize {
        let attrs = self.attrs.iter().filter(|(key, values)| other.attrs.get(*key) == Some(*values)).count();
        let inputs = self.input.iter().filter(|(key, value)| other.input.get(*key) == Some(*value)).count();
        attrs + inputs + self.steps.intersection(&other.steps).count()
    }

    fn attributes(&self, good: &[Self]) -> Vec<Difference> {
        let keys: BTreeSet<&Text> =
            self.attrs.keys().chain(good.iter().flat_map(|run| run.attrs.keys())).collect();
        let text = |values: Option<&BTreeSet<Text>>| {
            values.map(|values| Text::from(values.iter().map(Text::as_str).collect::<Vec<_>>().join(", ")))
        };
        let differing = keys.into_iter().filter_map(|key| {
            let (usual, here) =
                differing(key, good.iter().map(|run| text(run.attrs.get(key))), text(self.attrs.get(key)))?;
            Some(Difference { kind: DifferenceKind::Attribute, name: key.clone(), usual, here })
        });
        differing.collect()
    }

    fn inputs(&self, good: &[Self]) -> Vec<Difference> {
        let keys: BTreeSet<&String> =
            self.input.keys().chain(good.iter().flat_map(|run| run.input.keys())).collect();
        let text = |value: Option<&String>| value.map(|value| Text::from(value.clone()));
        let differing = keys.into_iter().filter_map(|key| {
            let (usual, here) =
                differing(key, good.iter().map(|run| text(run.input.get(key))), text(self.input.get(key)))?;
            Some(Difference { kind: DifferenceKind::Input, name: key.clone().into(), usual, here })
        });
        differing.collect()
    }
}

/// The value that all good runs have and this one does not, unless it is of a kind that is other in each run.
fn differing(
    key: &str,
    mut good: impl ExactSizeIterator<Item = Option<Text>>,
    here: Option<Text>,
) -> Option<(Option<Text>, Option<Text>)> {
    let runs = good.len();
    let usual = good.next()?;
    if usual == here || good.any(|other| other != usual) {
        return None;
    }
    // Two runs that agree may do so by chance, and one agrees with itself.
    let identifies = |value: &Option<Text>| value.as_deref().is_some_and(|value| is_id(key, value));
    // What counts up is other in each run too: `order-3` and `order-4`.
    let skeleton =
        |value: &Option<Text>| value.as_deref().map(|value| value.replace(|c: char| c.is_ascii_digit(), ""));
    let is_own = identifies(&here) || identifies(&usual) || skeleton(&here) == skeleton(&usual);
    (runs > 2 || !is_own).then_some((usual, here))
}

/// Whether a value looks like that of an id, a number or a time, which is other in each run.
fn is_id(key: &str, value: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let value = value.trim_matches('"');
    let digits = value.chars().filter(char::is_ascii_digit).count();
    key.ends_with("id")
        || key.ends_with("key")
        || key.ends_with("uuid")
        || (value.len() >= 8 && value.chars().all(|c| c.is_ascii_hexdigit() || c == '-'))
        || (digits > 0 && digits * 2 >= value.len())
}
