//! Makes events of the runs of an XES log.
//!
//! Every XES event becomes exactly one [`TraceEvent`]; a root span is made up around them. The start and the end of one
//! activity are the two ends of a span, see [`lifecycle`]; whatever else happens is a point.
//!
//! How a run ended is what `--failed-when` and `--cancelled-when` say; the last event that one of them names
//! decides. Where none does, the life cycles do: a run whose case was aborted is cancelled, and one with an activity
//! that was aborted and never completed has failed. Else it has completed, unless nothing happened in it or an activity
//! is still open at its end: then nobody knows, and the root stays open too.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::{Map, Value};
use throughline_core::names::{self, tags};
use throughline_core::{ErrorInfo, Redactor, SpanId, Status, Text, Timestamp, TraceEvent, TraceId};

use super::attribute::{self, Attribute};
use super::ids::{RunId, RunIds, SpanIds};
use super::lifecycle::{Open, OpenActivities, Transition};
use super::parts::{Parts, Times};
use super::reader::{XesEvent, XesRun};
use super::rules::{Rules, Verdict};
use super::{keys, native};

/// Activities to keep count of. A log has a few dozen; one made to hurt has millions.
const MAX_ACTIVITIES: usize = 10_000;

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
    /// Runs of these of which no event has a time.
    pub(crate) untimed_runs: u64,
    /// Events of the log; the sum of twice the pairs and the four that follow.
    pub(crate) xes_events: u64,
    /// Starts with their end.
    pub(crate) pairs: u64,
    /// Completes, or events without a transition, that no start came before.
    pub(crate) unmatched_completes: u64,
    /// Starts that no end followed.
    pub(crate) open_starts: u64,
    /// Other transitions.
    pub(crate) other_transitions: u64,
    /// Events that a service emitted, and that an export wrote.
    pub(crate) emitted: u64,
    /// Ends that are earlier than their start.
    pub(crate) ends_before_start: u64,
    /// Events without a time that can be read.
    pub(crate) untimed: u64,
}

/// Converts the runs of one log, one after the other.
pub(crate) struct Converter {
    rules: Rules,
    redactor: Redactor,
    ids: RunIds,
    tally: Tally,
    /// For each activity whether it ever had a start, and its unmatched completes.
    activities: HashMap<Text, (bool, u64)>,
}

/// The events of a run.
#[derive(Debug)]
pub(crate) struct Converted {
    pub(crate) events: Vec<TraceEvent>,
    /// `None` for what a service emitted: its ids are its own.
    pub(crate) id: Option<RunId>,
}

impl Converter {
    /// A converter of the log with this identity. Its events are still to be redacted; but no id must be made of
    /// what the redactor takes out, for a hash can be guessed.
    pub(crate) fn new(rules: Rules, log: impl Into<String>, redactor: Redactor) -> Self {
        let ids = RunIds::new(log);
        Self { rules, redactor, ids, tally: Tally::default(), activities: HashMap::new() }
    }

    /// Where all events so far have gone.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Unmatched completes of activities that have a start elsewhere in the log: there, a start is missing.
    pub(crate) fn missing_starts(&self) -> u64 {
        self.activities.values().filter(|(has_start, _)| *has_start).map(|(_, unmatched)| unmatched).sum()
    }

    /// The events of a run: the start of its root, one for each event of the log, the end of its root. What a service
    /// emitted and an export wrote is read back as it was.
    pub(crate) fn convert(&mut self, mut run: XesRun) -> Converted {
        self.tally.runs += 1;
        self.tally.xes_events += run.events.len() as u64;
        if let Some(events) = native::read(&run) {
            self.tally.emitted += events.len() as u64;
            events.iter().take(1).for_each(|event| self.ids.note(event.trace_id));
            self.count_end(native::status(&events));
            return Converted { events, id: None };
        }
        let Rules { workflow, overrides_workflow, service, overrides_service, .. } = &self.rules;
        let workflow = own(&mut run.attributes, native::WORKFLOW, workflow, *overrides_workflow);
        let service = own(&mut run.attributes, native::SERVICE, service, *overrides_service);
        let key = run.attributes.iter().find(|attribute| attribute.key == keys::NAME);
        let key = key.map(|attribute| attribute.text.as_str()).filter(|key| !key.is_empty());
        let id = self.ids.next(&self.identity(&service, &workflow, key, run.events.first()));
        let mut spans = SpanIds::new(id.shared, &workflow);
        let root = spans.next(&["root"]);
        let mut blank = TraceEvent::new(id.shared, root, Text::default(), Timestamp::UNKNOWN, service);
        blank.correlation_id = key.map(|key| Text::from(key.to_owned()));
        blank.workflow = Some(workflow);
        let events = Story::new(self, spans, blank).tell(run);
        Converted { events, id: Some(id) }
    }

    /// What identifies a run. The same key of another service or another workflow is another run. Made of what is
    /// recorded of them, for a hash of what is not can be guessed; a run without such a key is known by how it begins.
    fn identity(&self, service: &str, workflow: &str, key: Option<&str>, first: Option<&XesEvent>) -> String {
        let (service, workflow) = (self.redactor.name(service), self.redactor.name(workflow));
        // With the lengths, so that ("a", "bc") is not ("ab", "c").
        let (service_len, workflow_len) = (service.len(), workflow.len());
        match key {
            Some(key) if self.redactor.can_pseudonymise() || !self.redactor.hits(key) => {
                let key = self.redactor.findable(None, key);
                format!("{service_len}:{service}{workflow_len}:{workflow}{key}")
            }
            _ => {
                let said = |key| first.and_then(|event| event.attributes.iter().find(|of| of.key == key));
                let activity = said(keys::NAME).map_or("", |name| &name.text);
                let time = first
                    .map(|event| event.timestamp().unwrap_or(Timestamp::UNKNOWN).to_string())
                    .unwrap_or_default();
                let activity = self.redactor.name(activity);
                format!("#{service_len}:{service}{workflow_len}:{workflow}{time} {activity}")
            }
        }
    }

    fn count_end(&mut self, status: Status) {
        match status {
            Status::Failed => self.tally.failed += 1,
            Status::Cancelled => self.tally.cancelled += 1,
            Status::Pending => self.tally.unfinished += 1,
            Status::Success => {}
        }
    }

    fn count(&mut self, activity: Text, is_start: bool) {
        if self.activities.len() < MAX_ACTIVITIES || self.activities.contains_key(&activity) {
            let (has_start, unmatched) = self.activities.entry(activity).or_default();
            *has_start |= is_start;
            *unmatched += u64::from(!is_start);
        }
    }
}

/// A run while its events are made.
struct Story<'c> {
    converter: &'c mut Converter,
    blank: TraceEvent,
    spans: SpanIds,
    open: OpenActivities,
    /// Activities that were aborted and did not complete since.
    aborted: HashSet<Text>,
    is_case_aborted: bool,
    /// What the rules say.
    verdict: Option<Verdict>,
}

impl<'c> Story<'c> {
    /// The story of a run whose root events are like this one.
    fn new(converter: &'c mut Converter, spans: SpanIds, blank: TraceEvent) -> Self {
        Self {
            converter,
            blank,
            spans,
            open: OpenActivities::default(),
            aborted: HashSet::new(),
            is_case_aborted: false,
            verdict: None,
        }
    }

    fn tell(mut self, run: XesRun) -> Vec<TraceEvent> {
        let is_empty = run.events.is_empty();
        let times = Times::of(&run.events);
        self.converter.tally.untimed += times.untimed;
        self.converter.tally.untimed_runs += u64::from(times.ends.is_none());
        let mut events = Vec::with_capacity(run.events.len() + 2);
        let mut start = self.root_event(names::WORKFLOW_STARTED, times.ends.map(|(first, _)| first));
        start.status = Status::Pending;
        start.data = some(attribute::to_json(&run.attributes));
        events.push(start);
        for (xes, (timestamp, has_time)) in run.events.into_iter().zip(times.events) {
            let event = self.event(xes, timestamp, has_time, events.len() as u64);
            events.push(event);
        }
        let verdict = self.verdict(is_empty);
        self.converter.count_end(verdict.as_ref().map_or(Status::Pending, |verdict| verdict.status));
        if let Some(Verdict { status, error }) = verdict {
            let event_type = match status {
                Status::Failed => names::WORKFLOW_FAILED,
                Status::Cancelled => names::WORKFLOW_CANCELLED,
                _ => names::WORKFLOW_COMPLETED,
            };
            let mut end = self.root_event(event_type, times.ends.map(|(_, last)| last));
            end.n = events.len() as u64;
            end.seq = 1;
            end.status = status;
            end.error = error;
            end.duration_us = times.ends.and_then(|(first, last)| micros_between(first, last));
            events.push(end);
        }
        events
    }

    fn root_event(&self, event_type: &'static str, timestamp: Option<Timestamp>) -> TraceEvent {
        let mut event = self.blank.clone();
        event.event_type = Text::literal(event_type);
        event.tags.push(Text::literal(tags::SYNTHESISED));
        match timestamp {
            Some(timestamp) => event.timestamp = timestamp,
            None => event.tags.push(Text::literal(tags::UNTIMED)),
        }
        event
    }

    /// The event that an XES event becomes; `n` is its place in the run.
    fn event(&mut self, mut xes: XesEvent, timestamp: Timestamp, has_time: bool, n: u64) -> TraceEvent {
        let exported = native::take_verdict(&mut xes.attributes);
        let classified = self.converter.rules.classify(&xes).or(exported);
        let at = timestamp.to_string();
        let parts = Parts::of(xes.attributes, has_time.then_some(at.as_str()));
        let mut event = self.blank.clone();
        event.parent_span_id = Some(event.span_id);
        event.event_type = parts.event_type;
        event.timestamp = timestamp;
        event.n = n;
        event.attrs = parts.attrs;
        event.data = some(parts.data);
        if !has_time {
            event.tags.push(Text::literal(tags::UNTIMED));
        }
        let known_time = has_time.then_some(timestamp);
        let (activity, instance) = (event.event_type.clone(), parts.instance);
        let tally = &mut self.converter.tally;
        match parts.transition {
            Transition::Begin => {
                event.span_id = self.spans.next(&[&activity, "start", &at]);
                event.status = Status::Pending;
                let open = Open { span_id: event.span_id, started: known_time, next_seq: 1 };
                self.open.begin(activity.clone(), instance, open);
                tally.open_starts += 1;
                self.converter.count(activity, true);
            }
            Transition::Continue => {
                match self.open.continued(&activity, &instance) {
                    Some(open) => {
                        (event.span_id, event.seq) = (open.span_id, open.next_seq);
                        event.status = Status::Pending;
                    }
                    None => event.span_id = self.spans.next(&[&activity, "other", &at]),
                }
                tally.other_transitions += 1;
            }
            Transition::End(status) => {
                event.status = status;
                match (self.open.end(&activity, &instance), status) {
                    (Some(open), _) => {
                        (event.span_id, event.seq) = (open.span_id, open.next_seq);
                        event.duration_us = open.started.zip(known_time).and_then(|(started, ended)| {
                            tally.ends_before_start += u64::from(ended < started);
                            micros_between(started, ended)
                        });
                        tally.open_starts -= 1;
                        tally.pairs += 1;
                    }
                    (None, Status::Success) => {
                        event.span_id = self.spans.next(&[&activity, "complete", &at]);
                        tally.unmatched_completes += 1;
                        self.converter.count(activity.clone(), false);
                    }
                    (None, _) => {
                        event.span_id = self.spans.next(&[&activity, "other", &at]);
                        tally.other_transitions += 1;
                    }
                }
                match status {
                    Status::Failed => {
                        event.error = Some(Box::new(aborted(&activity)));
                        self.aborted.insert(activity);
                    }
                    Status::Success => drop(self.aborted.remove(&activity)),
                    Status::Cancelled | Status::Pending => self.is_case_aborted |= parts.aborts_case,
                }
            }
            Transition::Other => {
                event.span_id = self.spans.next(&[&activity, "other", &at]);
                tally.other_transitions += 1;
            }
        }
        if let Some(classified) = classified {
            // A start stays open whatever it means for the run: its own end is still to come.
            if event.status != Status::Pending {
                event.status = classified.status;
                event.error = classified.error.clone();
            }
            self.verdict = Some(classified);
        }
        event
    }

    fn verdict(&mut self, is_empty: bool) -> Option<Verdict> {
        let verdict = |status, error| Some(Verdict { status, error });
        if self.verdict.is_some() {
            self.verdict.take()
        } else if self.is_case_aborted {
            verdict(Status::Cancelled, None)
        } else if let Some(activity) = self.aborted.iter().min() {
            verdict(Status::Failed, Some(Box::new(aborted(activity))))
        } else if is_empty || !self.open.is_empty() {
            None
        } else {
            verdict(Status::Success, None)
        }
    }
}

/// What a run says of itself in this attribute, which an export writes, unless the options say otherwise.
fn own(attributes: &mut Vec<Attribute>, key: &str, default: &Text, overrides: bool) -> Text {
    let at = attributes.iter().position(|attribute| attribute.key == key && !attribute.text.is_empty());
    match at {
        Some(at) => {
            let own = attributes.remove(at).text;
            if overrides { default.clone() } else { own.into() }
        }
        None => default.clone(),
    }
}

/// The error of an activity that was aborted.
fn aborted(activity: &str) -> ErrorInfo {
    let name = activity.strip_prefix(names::ACTIVITY_PREFIX).unwrap_or(activity);
    ErrorInfo {
        kind: Text::literal("ate_abort"),
        message: format!("{name} was aborted").into(),
        chain: Vec::new(),
    }
}

fn some(object: Map<String, Value>) -> Option<Map<String, Value>> {
    (!object.is_empty()).then_some(object)
}

/// How long something took; `None` if it ended before it began, for nobody knows then.
fn micros_between(start: Timestamp, end: Timestamp) -> Option<u64> {
    (start <= end).then(|| u64::try_from(end.since(start).as_micros()).unwrap_or(u64::MAX))
}

/// Whether an event was imported from an XES log, so that its `data` are XES attributes.
pub(crate) fn is_activity(event: &TraceEvent) -> bool {
    event.instance == throughline_core::InstanceId::IMPORTED
        && (event.event_type.starts_with(names::ACTIVITY_PREFIX)
            || event.event_type == names::ACTIVITY_UNNAMED)
}

/// Whether the status of an imported activity is what its transition makes of it.
pub(super) fn is_as_its_transition_says(event: &TraceEvent) -> bool {
    let transition = event.data.as_ref().and_then(|data| data.get(keys::TRANSITION)).and_then(Value::as_str);
    let status =
        transition.map_or(Status::Success, |transition| Transition::parse(transition).status(event.seq > 0));
    let error = (status == Status::Failed).then(|| aborted(&event.event_type));
    event.status == status && event.error.as_deref() == error.as_ref()
}

/// Whether this run of a log is read as these events, but for the ids.
pub(super) fn reads_as(run: XesRun, events: &[TraceEvent], redactor: &Redactor) -> bool {
    let Some(root) = events.iter().find(|event| event.is_root()) else { return false };
    let Some(workflow) = root.workflow.clone() else { return false };
    let rules = Rules {
        workflow,
        overrides_workflow: true,
        service: root.service.clone(),
        overrides_service: true,
        failed_when: Vec::new(),
        cancelled_when: Vec::new(),
    };
    let read = Converter::new(rules, "", redactor.clone()).convert(run).events;
    numbered(&read) == numbered(events)
}

/// Events with numbers in the place of ids, in the order in which they are met.
fn numbered(events: &[TraceEvent]) -> Vec<TraceEvent> {
    let mut numbers: HashMap<SpanId, SpanId> = HashMap::new();
    let mut number = |id: SpanId| {
        let next = SpanId::from_u64(numbers.len() as u64 + 1).unwrap_or(id);
        *numbers.entry(id).or_insert(next)
    };
    let trace_id = TraceId::from_key("");
    let mut events = events.to_vec();
    for event in &mut events {
        event.trace_id = trace_id;
        event.span_id = number(event.span_id);
        event.parent_span_id = event.parent_span_id.map(&mut number);
    }
    events
}
