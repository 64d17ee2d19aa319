//! What a service emitted, as XES and back. Name, time and transition are the standard's attributes; every other field
//! of an event is an attribute of its name after `throughline.`, so that nothing is lost.

use serde_json::{Map, Number, Value};
use throughline_core::{Liveness, RunState, RunSummary, SCHEMA_VERSION, Status, TraceEvent};

use super::attribute::{Attribute, Kind, is_date};
use super::keys;
use super::reader::{MAX_NESTING, XesEvent, XesRun};
use super::rules::Verdict;

/// The workflow of a run.
pub(crate) const WORKFLOW: &str = "throughline.workflow";

const PREFIX: &str = "throughline.";
/// The service of a run.
pub(crate) const SERVICE: &str = "throughline.service";
const STATUS: &str = "throughline.status";
const ERROR: &str = "throughline.error";
const SPAN_ID: &str = "throughline.span_id";
const ID: &str = "identity:id";
/// Marks a text that is JSON: of what XES lacks, such as `null`.
const JSON: &str = "throughline.json";
/// What is nested deeper is written as JSON: readers of XES, ours among them, don't follow attributes to any depth.
const DEEPEST: usize = 16;

/// The attributes of a run.
pub(super) fn of_run(root: &TraceEvent) -> Vec<Attribute> {
    let id = root.trace_id.to_string();
    let name = root.correlation_id.as_deref().unwrap_or(&id);
    let uuid = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
    let mut attributes = vec![
        Attribute::new(keys::NAME, Kind::String, name),
        Attribute::new(ID, Kind::Id, uuid),
        Attribute::new(SERVICE, Kind::String, root.service.as_str()),
    ];
    if let Some(workflow) = &root.workflow {
        attributes.push(Attribute::new(WORKFLOW, Kind::String, workflow.as_str()));
    }
    attributes
}

/// The attributes of an event.
pub(super) fn of_event(event: &TraceEvent) -> Vec<Attribute> {
    let transition = match event.status {
        Status::Pending if event.seq > 0 => "resume",
        Status::Pending => "start",
        Status::Success => "complete",
        Status::Failed | Status::Cancelled => "ate_abort",
    };
    let mut attributes = vec![
        Attribute::new(keys::NAME, Kind::String, event.event_type.as_str()),
        Attribute::new(keys::TRANSITION, Kind::String, transition),
        Attribute::new(keys::TIME, Kind::Date, event.timestamp.to_string()),
    ];
    // An event is an object whatever is in it: its maps have texts as keys.
    let Ok(Value::Object(mut fields)) = serde_json::to_value(event) else { return attributes };
    for said in ["trace_id", "timestamp"] {
        fields.remove(said);
    }
    if is_xml(&event.event_type) {
        fields.remove("event_type");
    }
    if event.v == SCHEMA_VERSION {
        fields.remove("v");
    }
    attributes.extend(fields.iter().map(|(field, value)| of_json(format!("{PREFIX}{field}"), value, 0)));
    attributes
}

/// The events of a run that an export wrote; `None` if it comes from elsewhere.
pub(super) fn read(run: &XesRun) -> Option<Vec<TraceEvent>> {
    let is_ours = |event: &XesEvent| find(&event.attributes, SPAN_ID).is_some();
    if run.events.is_empty() || !run.events.iter().all(is_ours) {
        return None;
    }
    let trace_id: Value = find(&run.attributes, ID)?.text.replace('-', "").into();
    let events = run.events.iter().map(|event| {
        let mut fields = Map::new();
        for attribute in &event.attributes {
            match attribute.key.as_str() {
                keys::NAME => drop(fields.insert("event_type".into(), attribute.text.as_str().into())),
                keys::TIME => drop(fields.insert("timestamp".into(), attribute.text.as_str().into())),
                _ => {}
            }
        }
        fields.insert("trace_id".into(), trace_id.clone());
        for attribute in &event.attributes {
            if let Some(field) = attribute.key.strip_prefix(PREFIX) {
                fields.insert(field.to_owned(), to_json(attribute)?);
            }
        }
        serde_json::from_value(Value::Object(fields)).ok()
    });
    events.collect()
}

/// What says of an imported event that it counts as this, whatever its transition says.
pub(super) fn of_verdict(event: &TraceEvent) -> Vec<Attribute> {
    let error = event.error.as_ref().and_then(|error| serde_json::to_value(error).ok());
    let status = Value::from(event.status.as_str());
    let mut attributes = vec![of_json(STATUS, &status, 0)];
    attributes.extend(error.map(|error| of_json(ERROR, &error, 0)));
    attributes
}

/// Takes what an export said of an imported event out of its attributes.
pub(super) fn take_verdict(attributes: &mut Vec<Attribute>) -> Option<Verdict> {
    let status = find(attributes, STATUS)?.text.parse().ok()?;
    let error = match find(attributes, ERROR) {
        Some(error) => Some(Box::new(serde_json::from_value(to_json(error)?).ok()?)),
        None => None,
    };
    attributes.retain(|attribute| attribute.key != STATUS && attribute.key != ERROR);
    Some(Verdict { status, error })
}

/// How a run stands.
pub(super) fn status(events: &[TraceEvent]) -> Status {
    match RunSummary::of(events, |_| Liveness::Unknown).map(|run| run.state) {
        Some(RunState::Succeeded) => Status::Success,
        Some(RunState::Failed) => Status::Failed,
        Some(RunState::Cancelled) => Status::Cancelled,
        _ => Status::Pending,
    }
}

fn find<'a>(attributes: &'a [Attribute], key: &str) -> Option<&'a Attribute> {
    attributes.iter().find(|attribute| attribute.key == key)
}

/// Any JSON as an attribute from which [`to_json`] makes the same again.
fn of_json(key: impl Into<String>, value: &Value, depth: usize) -> Attribute {
    match value {
        Value::Bool(bool) => Attribute::new(key, Kind::Boolean, bool.to_string()),
        Value::Number(number) if number.is_i64() => Attribute::new(key, Kind::Int, number.to_string()),
        Value::Number(number) => Attribute::new(key, Kind::Float, number.to_string()),
        Value::String(text) if is_date(text) => Attribute::new(key, Kind::Date, text),
        Value::String(text) if is_xml(text) => Attribute::new(key, Kind::String, text),
        Value::Array(items) if depth < DEEPEST => {
            let mut list = Attribute::new(key, Kind::List, "");
            list.values = items.iter().map(|item| of_json("item", item, depth + 1)).collect();
            list
        }
        Value::Object(fields) if depth < DEEPEST && fields.keys().all(|key| is_xml(key)) => {
            let mut container = Attribute::new(key, Kind::Container, "");
            container.values = fields.iter().map(|(key, value)| of_json(key, value, depth + 1)).collect();
            container
        }
        _ => {
            let json = value.to_string().replace('\u{FFFE}', "\\uFFFE").replace('\u{FFFF}', "\\uFFFF");
            let mut text = Attribute::new(key, Kind::String, json);
            text.children.push(Attribute::new(JSON, Kind::Boolean, "true"));
            text
        }
    }
}

fn to_json(attribute: &Attribute) -> Option<Value> {
    let text = attribute.text.as_str();
    if find(&attribute.children, JSON).is_some() {
        return serde_json::from_str(text).ok();
    }
    Some(match attribute.kind {
        Kind::Boolean => text.parse::<bool>().ok()?.into(),
        Kind::Int | Kind::Float => Value::Number(text.parse::<Number>().ok()?),
        Kind::String | Kind::Date | Kind::Id => text.into(),
        Kind::List => Value::Array(attribute.values.iter().map(to_json).collect::<Option<_>>()?),
        Kind::Container => {
            let fields = attribute.values.iter().map(|field| Some((field.key.clone(), to_json(field)?)));
            Value::Object(fields.collect::<Option<_>>()?)
        }
    })
}

/// Whether a log can hold an attribute.
pub(super) fn is_writable(attribute: &Attribute, depth: usize) -> bool {
    let Attribute { key, kind, text, values, children } = attribute;
    let is_sound = is_xml(key) && is_xml(text) && (*kind != Kind::Container || children.is_empty());
    // The contents of a list are in an element of their own.
    let contents = if *kind == Kind::List { depth + 2 } else { depth + 1 };
    is_sound
        && depth <= MAX_NESTING
        && values.iter().all(|value| is_writable(value, contents))
        && children.iter().all(|child| is_writable(child, depth + 1))
}

/// Whether XML can hold a text.
fn is_xml(text: &str) -> bool {
    !text.chars().any(is_forbidden)
}

/// Whether XML forbids a character, even as a reference.
pub(super) fn is_forbidden(c: char) -> bool {
    matches!(c, '\0'..'\u{20}' | '\u{FFFE}' | '\u{FFFF}') && !matches!(c, '\t' | '\n' | '\r')
}
