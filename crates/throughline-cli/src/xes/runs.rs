//! Makes events of the runs of an XES log.
//!
//! Every XES event becomes exactly one [`TraceEvent`]; a root span is made up around them. The start and the
//! complete of one activity are the two ends of a span, first in, first out; whatever else happens is a point.
//!
//! How a run ended is what `--failed-when` and `--cancelled-when` say; the last event that one of them names
//! decides. Where none does, a run has completed, unless an activity is still open at its end: then nobody knows,
//! and the root stays open too.

use std::collections::{HashMap, HashSet, VecDeque};

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use throughline_core::names::{self, attrs, tags};
use throughline_core::{Attrs, ErrorInfo, Redactor, SpanId, Status, Text, Timestamp, TraceEvent, TraceId};

use super::attribute::{self, Attribute, Kind};
use super::keys;
use super::reader::{XesEvent, XesRun};

/// Activities to keep count of. A log has a few dozen; one made to hurt has millions.
const MAX_ACTIVITIES: usize = 10_000;

/// `KEY=VALUE`: an event that has this attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condition {
    key: String,
    value: String,
}

impl std::str::FromStr for Condition {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.into(), value: value.into() }),
            _ => Err("expected KEY=VALUE, as in concept:name=A_DECLINED".into()),
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

impl Condition {
    fn holds(&self, event: &XesEvent) -> bool {
        event.attributes.iter().any(|attribute| attribute.key == self.key && attribute.text == self.value)
    }
}

/// What the log does not say about its runs.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) workflow: Text,
    pub(crate) service: Text,
    pub(crate) failed_when: Vec<Condition>,
    pub(crate) cancelled_when: Vec<Condition>,
}

/// Where every event of a log has gone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    /// Runs, events outside of any counted as one.
    pub(crate) runs: u64,
    /// Runs of these that failed.
    pub(crate) failed: u64,
    /// Runs of these that were cancelled.
    pub(crate) cancelled: u64,
    /// Runs of these that were left open.
    pub(crate) unfinished: u64,
    /// Events of the log; the sum of twice the pairs and the three that follow.
    pub(crate) xes_events: u64,
    /// Starts with their complete.
    pub(crate) pairs: u64,
    /// Completes, or events without a transition, that no start came before.
    pub(crate) unmatched_completes: u64,
    /// Starts that no complete followed.
    pub(crate) open_starts: u64,
    /// Other transitions.
    pub(crate) other_transitions: u64,
    /// Events without a time that can be read.
    pub(crate) untimed: u64,
}

/// Converts the runs of one log, one after the other.
pub(crate) struct Converter {
    rules: Rules,
    redactor: Redactor,
    log: String,
    tally: Tally,
    /// The place in the log: of roots and events alike.
    n: u64,
    /// For each activity whether it ever had a start, and its unmatched completes.
    activities: HashMap<Text, (bool, u64)>,
}

/// How a run ends.
#[derive(Debug, Clone)]
struct Verdict {
    status: Status,
    error: Option<Box<ErrorInfo>>,
}

impl Converter {
    /// A converter of the log with this identity. Its events are still to be redacted; but no id must be made of
    /// what the redactor takes out, for a hash can be guessed.
    pub(crate) fn new(rules: Rules, log: impl Into<String>, redactor: Redactor) -> Self {
        Self { rules, redactor, log: log.into(), tally: Tally::default(), n: 0, activities: HashMap::new() }
    }

    /// Where all events so far have gone.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Unmatched completes of activities that have a start elsewhere in the log: there, a start is missing.
    pub(crate) fn missing_starts(&self) -> u64 {
        self.activities.values().filter(|(has_start, _)| *has_start).map(|(_, unmatched)| unmatched).sum()
    }

    /// The events of a run: the start of its root, one for each event of the log, the end of its root.
    pub(crate) fn convert(&mut self, run: XesRun) -> Vec<TraceEvent> {
        let index = self.tally.runs;
        self.tally.runs += 1;
        self.tally.xes_events += run.events.len() as u64;

        let key = run.attributes.iter().find(|attribute| attribute.key == keys::NAME);
        let key = key.map(|attribute| attribute.text.as_str()).filter(|key| !key.is_empty());
        let trace_id = match key {
            Some(key) if self.redactor.can_pseudonymise() || !self.redactor.hits(key) => self.trace_id(key),
            _ => TraceId::from_key(&format!("{}#{index}", self.log)),
        };
        let correlation_id = key.map(|key| Text::from(key.to_owned()));
        let mut spans = SpanIds::new(trace_id, &self.rules.workflow);
        let root = spans.next(&["root"]);
        let Rules { workflow, service, .. } = self.rules.clone();
        let blank = |event_type: Text, span_id, timestamp| {
            let mut event = TraceEvent::new(trace_id, span_id, event_type, timestamp, &service);
            event.correlation_id.clone_from(&correlation_id);
            event.workflow = Some(workflow.clone());
            event
        };

        let times = Times::of(&run.events);
        self.tally.untimed += times.untimed;
        let mut events = Vec::with_capacity(run.events.len() + 2);
        let mut start = blank(names::WORKFLOW_STARTED.into(), root, times.first);
        start.n = self.n;
        start.status = Status::Pending;
        start.tags.push(Text::literal(tags::SYNTHESISED));
        start.data = some(attribute::to_json(&run.attributes));
        events.push(start);

        let mut verdict = None;
        let mut open: HashMap<Text, VecDeque<(SpanId, Timestamp)>> = HashMap::new();
        for (XesEvent { attributes }, (timestamp, has_time)) in run.events.into_iter().zip(times.events) {
            self.n += 1;
            let xes = XesEvent { attributes };
            let classified = self.rules.classify(&xes);
            let parts = Parts::of(xes.attributes, has_time);
            let mut event = blank(parts.event_type, root, timestamp);
            event.n = self.n;
            event.parent_span_id = Some(root);
            event.attrs = parts.attrs;
            event.data = some(parts.data);
            if !has_time {
                event.tags.push(Text::literal(tags::UNTIMED));
            }
            let activity = event.event_type.clone();
            match parts.step {
                Step::Start => {
                    event.span_id = spans.next(&[&activity, "start", &timestamp.to_string()]);
                    event.status = Status::Pending;
                    open.entry(activity.clone()).or_default().push_back((event.span_id, timestamp));
                    self.tally.open_starts += 1;
                    self.count(activity, true);
                }
                Step::Complete => match open.get_mut(&activity).and_then(VecDeque::pop_front) {
                    Some((span_id, started)) => {
                        event.span_id = span_id;
                        event.seq = 1;
                        event.duration_us = Some(micros_between(started, timestamp));
                        self.tally.open_starts -= 1;
                        self.tally.pairs += 1;
                    }
                    None => {
                        event.span_id = spans.next(&[&activity, "complete", &timestamp.to_string()]);
                        self.tally.unmatched_completes += 1;
                        self.count(activity, false);
                    }
                },
                Step::Other => {
                    event.span_id = spans.next(&[&activity, "other", &timestamp.to_string()]);
                    self.tally.other_transitions += 1;
                }
            }
            if let Some(classified) = classified {
                // A start stays open whatever it means for the run: its own end is still to come.
                if event.status != Status::Pending {
                    event.status = classified.status;
                    event.error = classified.error.clone();
                }
                verdict = Some(classified);
            }
            events.push(event);
        }

        self.n += 1;
        let is_open = open.values().any(|starts| !starts.is_empty());
        let verdict =
            verdict.or_else(|| (!is_open).then_some(Verdict { status: Status::Success, error: None }));
        match verdict {
            Some(Verdict { status, error }) => {
                let (event_type, count) = match status {
                    Status::Failed => (names::WORKFLOW_FAILED, Some(&mut self.tally.failed)),
                    Status::Cancelled => (names::WORKFLOW_CANCELLED, Some(&mut self.tally.cancelled)),
                    _ => (names::WORKFLOW_COMPLETED, None),
                };
                count.into_iter().for_each(|count| *count += 1);
                let mut end = blank(event_type.into(), root, times.last);
                end.n = self.n;
                end.seq = 1;
                end.status = status;
                end.error = error;
                end.duration_us = Some(micros_between(times.first, times.last));
                end.tags.push(Text::literal(tags::SYNTHESISED));
                events.push(end);
            }
            None => self.tally.unfinished += 1,
        }
        self.n += 1;
        events
    }

    /// The id of the run with this key. The same key of another service or another workflow is another run. Made of what
    /// is recorded of them, for a hash of what is not can be guessed.
    fn trace_id(&self, key: &str) -> TraceId {
        let (service, workflow) =
            (self.redactor.name(&self.rules.service), self.redactor.name(&self.rules.workflow));
        // With the lengths, so that ("a", "bc") is not ("ab", "c").
        let key = self.redactor.findable(None, key);
        TraceId::from_key(&format!("{}:{service}{}:{workflow}{key}", service.len(), workflow.len()))
    }

    fn count(&mut self, activity: Text, is_start: bool) {
        if self.activities.len() < MAX_ACTIVITIES || self.activities.contains_key(&activity) {
            let (has_start, unmatched) = self.activities.entry(activity).or_default();
            *has_start |= is_start;
            *unmatched += u64::from(!is_start);
        }
    }
}

impl Rules {
    fn classify(&self, event: &XesEvent) -> Option<Verdict> {
        if let Some(condition) = self.failed_when.iter().find(|condition| condition.holds(event)) {
            let Condition { key, value } = condition;
            return Some(Verdict {
                status: Status::Failed,
                error: Some(Box::new(ErrorInfo {
                    kind: value.clone().into(),
                    message: format!("{key} is {value}, which counts as a failure").into(),
                    chain: Vec::new(),
                })),
            });
        }
        let cancelled = self.cancelled_when.iter().any(|condition| condition.holds(event));
        cancelled.then_some(Verdict { status: Status::Cancelled, error: None })
    }
}

fn some(object: Map<String, Value>) -> Option<Map<String, Value>> {
    (!object.is_empty()).then_some(object)
}

fn micros_between(start: Timestamp, end: Timestamp) -> u64 {
    u64::try_from(end.since(start).as_micros()).unwrap_or(u64::MAX)
}

/// When the events of a run happened. An event without a time is given that of the one before, or, at the
/// beginning, of the first that has one.
struct Times {
    first: Timestamp,
    last: Timestamp,
    events: Vec<(Timestamp, bool)>,
    untimed: u64,
}

impl Times {
    fn of(events: &[XesEvent]) -> Self {
        let own: Vec<Option<Timestamp>> = events.iter().map(XesEvent::timestamp).collect();
        let mut last_seen = own.iter().flatten().next().copied().unwrap_or_default();
        let events: Vec<(Timestamp, bool)> = own
            .iter()
            .map(|own| {
                last_seen = own.unwrap_or(last_seen);
                (last_seen, own.is_some())
            })
            .collect();
        let times = || events.iter().map(|(timestamp, _)| *timestamp);
        Self {
            first: times().min().unwrap_or_default(),
            last: times().max().unwrap_or_default(),
            untimed: own.iter().filter(|own| own.is_none()).count() as u64,
            events,
        }
    }
}

impl XesEvent {
    fn timestamp(&self) -> Option<Timestamp> {
        let time = self.attributes.iter().find(|attribute| attribute.key == keys::TIME)?;
        // XML Schema allows a time without an offset; UTC is as good a guess as any.
        time.text.parse().or_else(|_| format!("{}Z", time.text).parse()).ok()
    }
}

/// What a life-cycle transition means for a span.
enum Step {
    Start,
    Complete,
    Other,
}

/// The attributes of an XES event, each in its place.
struct Parts {
    event_type: Text,
    step: Step,
    attrs: Attrs,
    data: Map<String, Value>,
}

impl Parts {
    /// Name and time leave the attributes for fields of their own, if nothing of them is lost by it.
    fn of(mut attributes: Vec<Attribute>, has_time: bool) -> Self {
        let mut event_type = None;
        let mut attrs = Attrs::new();
        // Most activities simply happen: the standard has no transition for that.
        let mut step = Step::Complete;
        attributes.retain(|attribute| {
            let is_plain = attribute.children.is_empty();
            match attribute.key.as_str() {
                keys::NAME if event_type.is_none() && !attribute.kind.is_collection() => {
                    event_type = Some(format!("{}{}", names::ACTIVITY_PREFIX, attribute.text));
                    return !(is_plain && attribute.kind == Kind::String);
                }
                keys::TIME => return !(has_time && is_plain && attribute.kind == Kind::Date),
                keys::TRANSITION => {
                    step = match attribute.text.to_ascii_lowercase().as_str() {
                        "start" => Step::Start,
                        "complete" => Step::Complete,
                        _ => Step::Other,
                    }
                }
                keys::RESOURCE => attrs = attrs.with(attrs::ORG_RESOURCE, attribute.text.clone()),
                _ => {}
            }
            true
        });
        let event_type = event_type.map_or(Text::literal(names::ACTIVITY_UNNAMED), Text::from);
        Self { event_type, step, attrs, data: attribute::to_json(&attributes) }
    }
}

/// Gives out the ids of spans. They follow from the run, the workflow and what happened when, so that importing
/// a log again adds nothing, and importing a later, longer copy of it adds what is new.
struct SpanIds {
    base: Sha256,
    given: HashSet<SpanId>,
}

impl SpanIds {
    fn new(trace_id: TraceId, workflow: &str) -> Self {
        let mut base = Sha256::new();
        base.update(trace_id.to_bytes());
        base.update(workflow);
        Self { base, given: HashSet::new() }
    }

    fn next(&mut self, what: &[&str]) -> SpanId {
        let mut hash = self.base.clone();
        for part in what {
            hash.update([0]);
            hash.update(part);
        }
        let digest = hash.finalize();
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest[..8]);
        let mut id = u64::from_be_bytes(bytes);
        loop {
            // The same thing at the same moment happened again: it takes the next number.
            if let Some(span_id) = SpanId::from_u64(id)
                && self.given.insert(span_id)
            {
                return span_id;
            }
            id = id.wrapping_add(1);
        }
    }
}

/// Whether an event was imported from an XES log, so that its `data` are XES attributes.
pub(crate) fn is_activity(event: &TraceEvent) -> bool {
    event.instance == throughline_core::InstanceId::IMPORTED
        && (event.event_type.starts_with(names::ACTIVITY_PREFIX)
            || event.event_type == names::ACTIVITY_UNNAMED)
}
