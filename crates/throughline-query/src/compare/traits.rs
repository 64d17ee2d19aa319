//! What was recorded of a run before it went wrong, to be compared with other runs of its workflow.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::{Difference, DifferenceKind, id, start};
use crate::{Span, TraceQuery};
use throughline_model::names::{attrs, data, tags};
use throughline_model::{Status, Text, TraceEvent};

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
/// Tags that say what kind of span it is.
const KINDS: [&str; 11] = [
    tags::COMPENSABLE,
    tags::COMPENSATE_WHEN_IN_DOUBT,
    tags::COMPENSATION,
    tags::DECISION,
    tags::DEPENDENCY,
    tags::DETACHED,
    tags::FALLBACK,
    tags::REMOTE_PARENT,
    tags::UNSAMPLED_PARENT,
    tags::SYNTHESISED,
    tags::UNTIMED,
];
/// Fields of a payload that are compared as what they are, that say why and how sure, or where something stood.
const FIELDS: [&str; 8] = [
    data::INPUT,
    data::OUTPUT,
    data::CHOICE,
    data::ALTERNATIVES,
    data::REASONING,
    data::CONFIDENCE,
    data::MESSAGE,
    data::LIFECYCLE_TRANSITION,
];
/// How many values of a payload are looked at, and how many of an attribute.
const VALUES: usize = 256;
/// Of how many spans of a name the payloads are looked at.
const OF_A_NAME: u32 = 16;
/// How many facts are looked at.
const FACTS: usize = 4_096;

/// What is known of a run, as far as it was recorded before anything went wrong.
#[derive(Default)]
pub(super) struct Traits {
    start: Option<Text>,
    /// Where in the timeline its cause ended.
    until: u32,
    facts: BTreeMap<Key, Fact>,
    /// The names of the spans that had begun by then.
    steps: BTreeSet<Text>,
    /// The names of those that had ended well.
    done: BTreeSet<Text>,
}

/// What a fact is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    kind: DifferenceKind,
    /// The name of the span that says so; empty for the root.
    of: Text,
    /// Which of the spans of that name it is, from 0, if they are told apart.
    nth: u32,
    /// The name of an attribute, the JSON pointer to a value, or nothing.
    name: Text,
}

/// What spans of a name say.
struct Fact {
    values: BTreeSet<Text>,
    /// The first event that says so.
    event: Text,
    place: u32,
    /// Whether it was recorded after the span had begun, and whether after something had gone wrong in it.
    is_late: bool,
    is_aftermath: bool,
}

impl Traits {
    /// What is known of a run: of one that went wrong, what was recorded before that, and by the spans around it.
    pub(super) fn of(query: &TraceQuery, cause: Option<Span<'_>>) -> Self {
        let until = cause.map_or(u32::MAX, |cause| cause.end_place());
        let outline = query.index.outline();
        let holds_cause =
            |span: &Span<'_>| cause.is_some_and(|cause| outline.is_within(cause.index, span.index));
        let root = query.root().map(|root| root.id());
        let mut traits = Self { start: start(query), until, ..Self::default() };
        let mut of_a_name: HashMap<Text, u32> = HashMap::new();
        for span in query.spans().filter(|span| span.start_place() <= until) {
            let name =
                if Some(span.id()) == root { Text::default() } else { span.name().into_owned().into() };
            if span.status() == Status::Success && span.end_place() <= until {
                traits.done.insert(name.clone());
            }
            traits.steps.insert(name.clone());
            let nth = of_a_name.entry(name.clone()).or_default();
            traits.read(span, (name, *nth), if holds_cause(&span) { u32::MAX } else { until });
            *nth += 1;
        }
        traits
    }

    /// Reads what a span says until a place in the timeline.
    fn read(&mut self, span: Span<'_>, (of, nth): (Text, u32), until: u32) {
        let mut attrs: BTreeSet<&Text> = BTreeSet::new();
        let places = span.query.index.members_of(span.index).iter().copied();
        // The latest event that has something counts.
        for place in places.rev().filter(|place| *place <= until) {
            let event = span.query.event_at(place);
            let key = |kind, nth| Key { kind, of: of.clone(), nth, name: Text::default() };
            for (name, value) in event.attrs.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
                if attrs.insert(name) {
                    let key = Key { name: name.clone(), ..key(DifferenceKind::Attribute, 0) };
                    self.add(key, value.clone(), (event, place));
                }
            }
            for tag in event.tags.iter().filter(|tag| !KINDS.contains(&tag.as_str())) {
                self.add(key(DifferenceKind::Tags, 0), tag.clone(), (event, place));
            }
            let Some(data) = event.data.as_ref().filter(|_| nth < OF_A_NAME) else { continue };
            if let Some(Value::String(choice)) = data.get(data::CHOICE).filter(|_| span.is_decision()) {
                self.add(key(DifferenceKind::Choice, nth), choice.clone().into(), (event, place));
            }
            let fields = [(DifferenceKind::Input, data::INPUT), (DifferenceKind::Output, data::OUTPUT)];
            for (kind, field) in fields {
                let payload = data.get(field).map(|payload| (String::new(), payload));
                self.add_values(&key(kind, nth), payload.into_iter().collect(), (event, place));
            }
            let fields = data.iter().filter(|(field, _)| !FIELDS.contains(&field.as_str()));
            let fields = fields.map(|(field, value)| (format!("/{field}"), value)).collect();
            self.add_values(&key(DifferenceKind::Data, nth), fields, (event, place));
        }
    }

    fn add(&mut self, key: Key, value: Text, (event, place): (&TraceEvent, u32)) {
        if self.facts.len() >= FACTS {
            return;
        }
        let fact = self.facts.entry(key).or_insert_with(|| Fact {
            values: BTreeSet::new(),
            event: id(event),
            place,
            is_late: event.seq > 0,
            is_aftermath: place >= self.until,
        });
        if fact.values.len() < VALUES {
            fact.values.insert(value);
        }
    }

    /// Adds the values of a payload, each by its JSON pointer.
    fn add_values(&mut self, of: &Key, mut open: Vec<(String, &Value)>, by: (&TraceEvent, u32)) {
        let mut seen = 0;
        while let Some((pointer, value)) = open.pop().filter(|_| seen < VALUES) {
            match value {
                Value::Object(fields) => {
                    open.extend(fields.iter().map(|(key, value)| (format!("{pointer}/{key}"), value)));
                }
                Value::Array(items) => {
                    open.extend(items.iter().enumerate().map(|(at, item)| (format!("{pointer}/{at}"), item)));
                }
                value => {
                    seen += 1;
                    let key = Key { name: pointer.into(), ..of.clone() };
                    // The latest event that has it counts.
                    if !self.facts.contains_key(&key) {
                        self.add(key, value.to_string().into(), by);
                    }
                }
            }
        }
    }

    fn values(&self, key: &Key) -> Option<&BTreeSet<Text>> {
        self.facts.get(key).map(|fact| &fact.values)
    }

    /// In how many things it is like another.
    pub(super) fn in_common(&self, other: &Self) -> usize {
        let facts = self.facts.keys().filter(|key| self.values(key) == other.values(key)).count();
        facts + self.steps.intersection(&other.steps).count()
    }

    /// What is the same in all good runs and not here: attributes first, then in the order of time.
    pub(super) fn differences(&self, good: &[Self]) -> Vec<Difference> {
        let mut keys: Vec<&Key> =
            self.facts.keys().chain(good.iter().flat_map(|run| run.facts.keys())).collect();
        keys.sort_unstable();
        keys.dedup();
        let place = |key: &Key| self.facts.get(key).map_or(0, |fact| fact.place);
        keys.sort_by_key(|key| (key.kind != DifferenceKind::Attribute, place(key)));
        // What differs is recorded again by later steps that are given it.
        let mut told = BTreeSet::new();
        let differing = keys.into_iter().filter_map(|key| {
            let difference = self.difference(key, good)?;
            let is_named_by_it = |value: &Option<Text>| value.as_deref().is_some_and(tells_things_apart);
            let name = match is_named_by_it(&difference.usual) && is_named_by_it(&difference.here) {
                true => "",
                false => key.name.rsplit('/').next().unwrap_or_default(),
            };
            told.insert((name, difference.usual.clone(), difference.here.clone())).then_some(difference)
        });
        differing.collect()
    }

    fn difference(&self, key: &Key, good: &[Self]) -> Option<Difference> {
        let usual = good.first()?.values(key);
        let here = self.values(key);
        // Of what was repeated only a part may have been reached here.
        let is_part = usual.zip(here).is_some_and(|(usual, here)| here.is_subset(usual));
        if is_part || good.iter().any(|run| run.values(key) != usual) || !self.is_telling(key, good) {
            return None;
        }
        let text = |values: &BTreeSet<Text>| {
            let values: Vec<&str> = values.iter().map(Text::as_str).collect();
            Text::from(values.join(", "))
        };
        let (usual, here) = (usual.map(text), here.map(text));
        if good.len() <= 2 && is_own(&key.name, usual.as_deref(), here.as_deref()) {
            return None;
        }
        let event = |run: &Self| run.facts.get(key).map(|fact| fact.event.clone()).or(run.start.clone());
        let nth = if key.nth > 0 { format!("no. {}", key.nth + 1) } else { String::new() };
        let parts = match key.kind {
            DifferenceKind::Attribute => [&*key.name, "", ""],
            _ => [&*key.of, &nth, &*key.name],
        };
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let name = Text::from(parts.join(" "));
        let events = [self].into_iter().chain(good).filter_map(event).collect();
        Some(Difference { kind: key.kind, name, usual, here, events })
    }

    /// Whether it says something that a fact is there or not: which steps there are, and what a failure left unrecorded, is
    /// another question.
    fn is_telling(&self, key: &Key, good: &[Self]) -> bool {
        let may_be_missing = match key.kind {
            DifferenceKind::Attribute | DifferenceKind::Tags => true,
            DifferenceKind::Input => key.of.is_empty(),
            _ => false,
        };
        // Of a run that says more than is looked at, nobody knows what is not there.
        let may_be_missing =
            may_be_missing && [self].into_iter().chain(good).all(|run| run.facts.len() < FACTS);
        let is_there = |run: &Self| key.of.is_empty() || run.steps.contains(&key.of);
        match (self.facts.get(key), good.first().and_then(|run| run.facts.get(key))) {
            (Some(_), Some(_)) => true,
            (Some(here), None) => may_be_missing && !here.is_aftermath && good.iter().all(is_there),
            (None, Some(usual)) => {
                may_be_missing && is_there(self) && (!usual.is_late || self.done.contains(&key.of))
            }
            (None, None) => false,
        }
    }
}

/// Whether a value looks like one that is other in each run: two runs that agree may do so by chance, and one agrees with
/// itself.
fn is_own(key: &str, usual: Option<&str>, here: Option<&str>) -> bool {
    let identifies = |value: Option<&str>| value.is_some_and(|value| is_id(key, value));
    // What counts up is other in each run too: `order-3` and `order-4`.
    let skeleton = |value: Option<&str>| value.map(|value| value.replace(|c: char| c.is_ascii_digit(), ""));
    identifies(here) || identifies(usual) || skeleton(here) == skeleton(usual)
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

/// Whether a value is hardly there twice by chance, as `true` is.
fn tells_things_apart(value: &str) -> bool {
    !matches!(value, "true" | "false" | "null") && value.trim_matches('"').len() > 2
}
