//! [`Comparison`]: what was different in runs of the same workflow that succeeded?

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use serde_json::Value;

use super::explain::{Certainty, Says, Statement};
use super::{Divergence, DivergenceKind, Explanation, Span, TraceQuery};
use crate::duration::duration;
use throughline_model::names::attrs;
use throughline_model::{RunSummary, Status, Text, Timestamp, TraceEvent};

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
    pub const SLOW_US: u64 = 50_000;
}

/// Something that is the same in all good runs and not in this one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// What differs.
    pub kind: DifferenceKind,
    /// Its name: of an attribute, of a step, a JSON pointer into the input, behind the name of the step whose input it is.
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
    /// The events that say so, as `trace:span:seq`: its last one here, and the end of a span in a good run that took the usual
    /// time.
    pub events: Vec<Text>,
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
        // The steps by name, each with its first event.
        let before = |query: &Self, end: u32| -> BTreeMap<Text, Text> {
            let steps = query
                .spans()
                .filter(|span| span.start_place() < end && !span.is_workflow() && !span.is_point());
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
    /// Adds what a comparison with good runs says to the statements.
    pub fn add_comparison(&mut self, comparison: &Comparison) {
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
            events: Vec::new(),
        }
    }
}

/// What is known of a run before anything went wrong, with the events that say so.
struct Traits {
    start: Option<Text>,
    attrs: BTreeMap<Text, (BTreeSet<Text>, Text)>,
    /// The values of inputs, by step and JSON pointer.
    input: BTreeMap<String, Given>,
    steps: BTreeSet<Text>,
}

/// A value of an input.
struct Given {
    value: String,
    event: Text,
    /// Which it is, in the order of time.
    place: usize,
}

fn id(event: &TraceEvent) -> Text {
    event.id().to_string().into()
}

/// The event with which a run begins.
fn start(query: &TraceQuery) -> Option<Text> {
    query.root().map(|root| id(root.first_event()))
}

impl Traits {
    fn of(query: &TraceQuery) -> Self {
        let mut attrs: BTreeMap<Text, (BTreeSet<Text>, Text)> = BTreeMap::new();
        for event in query.ordered_events().filter(|event| event.seq == 0) {
            for (key, value) in event.attrs.iter().filter(|(key, _)| !OWN.contains(&key.as_str())) {
                let (values, _) = attrs.entry(key.clone()).or_insert_with(|| (BTreeSet::new(), id(event)));
                if values.len() < VALUES {
                    values.insert(value.clone());
                }
            }
        }
        let mut input = BTreeMap::new();
        let mut named: BTreeSet<Cow<'_, str>> = BTreeSet::new();
        let root = query.root().map(|root| root.id());
        for span in query.spans() {
            let Some(value) = span.input() else { continue };
            // Of the run itself just where in the input it is; of several steps of a name the first.
            let place = if Some(span.id()) == root { String::new() } else { format!("{} ", span.name()) };
            if input.len() < VALUES && named.insert(span.name()) {
                read_values(place, value, &id(span.first_event()), &mut input);
            }
        }
        let steps = query.spans().map(|span| span.name().into_owned().into()).collect();
        Self { start: start(query), attrs, input, steps }
    }

    fn values(&self, key: &Text) -> Option<&BTreeSet<Text>> {
        self.attrs.get(key).map(|(values, _)| values)
    }

    fn given(&self, key: &String) -> Option<&str> {
        self.input.get(key).map(|given| given.value.as_str())
    }

    /// In how many things it is like another.
    fn in_common(&self, other: &Self) -> usize {
        let attrs = self.attrs.keys().filter(|key| self.values(key) == other.values(key)).count();
        let inputs = self.input.keys().filter(|key| self.given(key) == other.given(key)).count();
        attrs + inputs + self.steps.intersection(&other.steps).count()
    }

    fn attributes(&self, good: &[Self]) -> Vec<Difference> {
        let keys: BTreeSet<&Text> =
            self.attrs.keys().chain(good.iter().flat_map(|run| run.attrs.keys())).collect();
        let text = |run: &Self, key: &Text| {
            let values = run.values(key)?.iter().map(Text::as_str).collect::<Vec<_>>();
            Some(Text::from(values.join(", ")))
        };
        let event = |run: &Self, key: &Text| run.attrs.get(key).map(|(_, event)| event.clone());
        let differing = keys.into_iter().filter_map(|key| {
            let (usual, here) = differing(key, good.iter().map(|run| text(run, key)), text(self, key))?;
            let runs = [self].into_iter().chain(good);
            let events = runs.filter_map(|run| event(run, key).or(run.start.clone())).collect();
            Some(Difference { kind: DifferenceKind::Attribute, name: key.clone(), usual, here, events })
        });
        differing.collect()
    }

    fn inputs(&self, good: &[Self]) -> Vec<Difference> {
        let keys: BTreeSet<&String> =
            self.input.keys().chain(good.iter().flat_map(|run| run.input.keys())).collect();
        let text = |run: &Self, key| run.given(key).map(|value| Text::from(value.to_owned()));
        let differing = keys.into_iter().filter_map(|key| {
            let (usual, here) = differing(key, good.iter().map(|run| text(run, key)), text(self, key))?;
            // Which steps there are is another question.
            let is_of_run = key.starts_with('/') || key.is_empty();
            let place = self.input.get(key).map_or(0, |given| given.place);
            let event = |run: &Self| run.input.get(key).map(|given| given.event.clone());
            let runs = [self].into_iter().chain(good);
            let events = runs.filter_map(|run| event(run).or(run.start.clone())).collect();
            let name = Text::from(key.clone());
            let difference = Difference { kind: DifferenceKind::Input, name, usual, here, events };
            (is_of_run || difference.usual.is_some() && difference.here.is_some())
                .then_some((place, difference))
        });
        let mut differing: Vec<(usize, Difference)> = differing.collect();
        differing.sort_by_key(|(place, _)| *place);
        // A value that differs is passed on to later steps.
        let mut told = BTreeSet::new();
        differing.retain(|(_, it)| told.insert((it.usual.clone(), it.here.clone())));
        differing.into_iter().map(|(_, difference)| difference).collect()
    }
}

/// Reads the values of an input, each by its JSON pointer behind the name of its place.
fn read_values(place: String, input: &Value, event: &Text, values: &mut BTreeMap<String, Given>) {
    let mut open: Vec<(String, &Value)> = vec![(place, input)];
    while let Some((pointer, value)) = open.pop().filter(|_| values.len() < VALUES) {
        match value {
            Value::Object(fields) => {
                open.extend(fields.iter().rev().map(|(key, value)| (format!("{pointer}/{key}"), value)));
            }
            Value::Array(items) => {
                let items = items.iter().enumerate().rev();
                open.extend(items.map(|(at, item)| (format!("{pointer}/{at}"), item)));
            }
            value => {
                let (place, value) = (values.len(), value.to_string());
                values.insert(pointer, Given { value, event: event.clone(), place });
            }
        }
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
