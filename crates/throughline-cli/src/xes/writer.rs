//! Writes runs as an XES log, one after the other.
//!
//! What was imported from a log comes out as it went in: the roots that the import made up are left out again,
//! attributes have their kinds, events their order. What a service emitted has its life-cycle transition rebuilt
//! (`start`, `complete`, `ate_abort` for what failed or was cancelled) and its other fields as attributes named
//! `throughline.…`.

use std::borrow::Cow;
use std::io::{self, Write};

use quick_xml::Writer;
use quick_xml::escape::escape;
use quick_xml::events::attributes::Attribute as XmlAttribute;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, Event};
use quick_xml::name::QName;
use serde_json::{Map, Value};
use throughline_core::names::tags;
use throughline_core::{InstanceId, Status, TraceEvent, names};

use super::attribute::{self, Attribute, Kind};
use super::{keys, runs};

/// Names, prefixes and addresses of the standard's extensions that the log uses.
const EXTENSIONS: [[&str; 3]; 5] = [
    ["Concept", "concept", "http://www.xes-standard.org/concept.xesext"],
    ["Lifecycle", "lifecycle", "http://www.xes-standard.org/lifecycle.xesext"],
    ["Time", "time", "http://www.xes-standard.org/time.xesext"],
    ["Organizational", "org", "http://www.xes-standard.org/org.xesext"],
    ["Identity", "identity", "http://www.xes-standard.org/identity.xesext"],
];

/// What every event has, and its value where an event lacks it anyway.
const GLOBALS: [[&str; 3]; 3] = [
    ["string", keys::NAME, "UNKNOWN"],
    ["string", keys::TRANSITION, "complete"],
    ["date", keys::TIME, "1970-01-01T00:00:00.000000Z"],
];

/// Writes a log.
pub(crate) struct XesWriter<W> {
    xml: Writer<W>,
}

impl<W: Write> XesWriter<W> {
    /// Writes the head of a log with this name.
    pub(crate) fn begin(output: W, name: &str) -> io::Result<Self> {
        let mut writer = Self { xml: Writer::new_with_indent(output, b'\t', 1) };
        writer.xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        writer.open(
            "log",
            &[
                ("xes.version", "1849.2016"),
                ("xes.features", "nested-attributes"),
                ("xmlns", "http://www.xes-standard.org/"),
            ],
        )?;
        for [name, prefix, uri] in EXTENSIONS {
            writer.empty("extension", &[("name", name), ("prefix", prefix), ("uri", uri)])?;
        }
        writer.open("global", &[("scope", "trace")])?;
        writer.empty("string", &[("key", keys::NAME), ("value", "UNKNOWN")])?;
        writer.close("global")?;
        writer.open("global", &[("scope", "event")])?;
        for [kind, key, value] in GLOBALS {
            writer.empty(kind, &[("key", key), ("value", value)])?;
        }
        writer.close("global")?;
        writer.empty("classifier", &[("name", "Activity"), ("keys", keys::NAME)])?;
        writer.empty(
            "classifier",
            &[("name", "Activity and transition"), ("keys", "concept:name lifecycle:transition")],
        )?;
        writer.attribute(&Attribute::new(keys::NAME, Kind::String, name))?;
        Ok(writer)
    }

    /// Writes a run, whose events come in the order of a trace. Returns how many events were written.
    pub(crate) fn run(&mut self, mut events: Vec<TraceEvent>) -> io::Result<u64> {
        if events.iter().all(|event| event.instance == InstanceId::IMPORTED) {
            // Times may go back within an imported run; its order is that of the log.
            events.sort_by_key(|event| event.n);
        }
        self.open("trace", &[])?;
        let root = events.iter().find(|event| event.is_root());
        match root {
            Some(root) if root.has_tag(tags::SYNTHESISED) => self.object(root.data.as_ref())?,
            Some(root) => self.attributes(&native_run(root))?,
            None => {}
        }
        let mut written = 0;
        for event in events.iter().filter(|event| !event.has_tag(tags::SYNTHESISED)) {
            self.open("event", &[])?;
            if runs::is_activity(event) {
                self.imported(event)?;
            } else {
                self.attributes(&native(event))?;
            }
            self.close("event")?;
            written += 1;
        }
        self.close("trace")?;
        Ok(written)
    }

    /// Writes the end of the log and gives the output back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.close("log")?;
        let mut output = self.xml.into_inner();
        output.write_all(b"\n")?;
        Ok(output)
    }

    fn imported(&mut self, event: &TraceEvent) -> io::Result<()> {
        let lacks = |key| event.data.as_ref().is_none_or(|data| !data.contains_key(key));
        if let Some(name) = event.event_type.strip_prefix(names::ACTIVITY_PREFIX)
            && lacks(keys::NAME)
        {
            self.attribute(&Attribute::new(keys::NAME, Kind::String, name))?;
        }
        self.object(event.data.as_ref())?;
        if !event.has_tag(tags::UNTIMED) && lacks(keys::TIME) {
            self.attribute(&Attribute::new(keys::TIME, Kind::Date, event.timestamp.to_string()))?;
        }
        Ok(())
    }

    fn object(&mut self, object: Option<&Map<String, Value>>) -> io::Result<()> {
        object.map_or(Ok(()), |object| self.attributes(&attribute::from_json(object)))
    }

    fn attributes(&mut self, attributes: &[Attribute]) -> io::Result<()> {
        attributes.iter().try_for_each(|attribute| self.attribute(attribute))
    }

    fn attribute(&mut self, attribute: &Attribute) -> io::Result<()> {
        let Attribute { key, kind, text, values, children } = attribute;
        let element = kind.as_str();
        if !kind.is_collection() && children.is_empty() {
            return self.empty(element, &[("key", key), ("value", text)]);
        }
        if kind.is_collection() {
            self.open(element, &[("key", key)])?;
        } else {
            self.open(element, &[("key", key), ("value", text)])?;
        }
        self.attributes(children)?;
        match kind {
            Kind::List if values.is_empty() => self.empty("values", &[])?,
            Kind::List => {
                self.open("values", &[])?;
                self.attributes(values)?;
                self.close("values")?;
            }
            _ => self.attributes(values)?,
        }
        self.close(element)
    }

    fn open(&mut self, element: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
        self.xml.write_event(Event::Start(tag(element, attributes)))
    }

    fn empty(&mut self, element: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
        self.xml.write_event(Event::Empty(tag(element, attributes)))
    }

    fn close(&mut self, element: &str) -> io::Result<()> {
        self.xml.write_event(Event::End(BytesEnd::new(element)))
    }
}

fn tag<'a>(element: &'a str, attributes: &[(&'a str, &'a str)]) -> BytesStart<'a> {
    let mut start = BytesStart::new(element);
    for (key, value) in attributes {
        start.push_attribute(XmlAttribute { key: QName(key), value: xml_text(value) });
    }
    start
}

/// A text as the value of an XML attribute: line ends and tabs as references, for readers make spaces of them,
/// and what XML forbids, even as a reference, as U+FFFD.
fn xml_text(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}')) {
        return escape(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\t' => escaped.push_str("&#9;"),
            '\n' => escaped.push_str("&#10;"),
            '\r' => escaped.push_str("&#13;"),
            '\0'..'\u{20}' | '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            _ => escaped.push_str(&escape(c.encode_utf8(&mut [0; 4]) as &str)),
        }
    }
    escaped.into()
}

/// The attributes of a run that a service emitted.
fn native_run(root: &TraceEvent) -> Vec<Attribute> {
    let id = root.trace_id.to_string();
    let name = root.correlation_id.as_deref().unwrap_or(&id);
    let uuid = [&id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]].join("-");
    let mut attributes = vec![
        Attribute::new(keys::NAME, Kind::String, name),
        Attribute::new("identity:id", Kind::Id, uuid),
        Attribute::new("throughline.service", Kind::String, root.service.as_str()),
    ];
    if let Some(workflow) = &root.workflow {
        attributes.push(Attribute::new("throughline.workflow", Kind::String, workflow.as_str()));
    }
    attributes
}

/// The attributes of an event that a service emitted.
fn native(event: &TraceEvent) -> Vec<Attribute> {
    let transition = match event.status {
        Status::Pending => "start",
        Status::Success => "complete",
        Status::Failed | Status::Cancelled => "ate_abort",
    };
    let string = |key: &str, text: &str| Attribute::new(key, Kind::String, text);
    let mut attributes = vec![
        string(keys::NAME, &event.event_type),
        string(keys::TRANSITION, transition),
        Attribute::new(keys::TIME, Kind::Date, event.timestamp.to_string()),
        string("throughline.span_id", &event.span_id.to_string()),
        string("throughline.status", event.status.as_str()),
    ];
    if let Some(parent) = event.parent_span_id {
        attributes.push(string("throughline.parent_span_id", &parent.to_string()));
    }
    if let Some(duration) = event.duration_us {
        attributes.push(Attribute::new("throughline.duration_us", Kind::Int, duration.to_string()));
    }
    if let Some(error) = &event.error {
        let mut kind = string("throughline.error", &error.kind);
        kind.children.push(string("message", &error.message));
        kind.children.extend(error.chain.iter().map(|source| string("source", source)));
        attributes.push(kind);
    }
    if !event.tags.is_empty() {
        let mut list = Attribute::new("throughline.tags", Kind::List, "");
        list.values = event.tags.iter().map(|tag| string("tag", tag)).collect();
        attributes.push(list);
    }
    if !event.attrs.is_empty() {
        let mut container = Attribute::new("throughline.attrs", Kind::Container, "");
        container.values = event.attrs.iter().map(|(key, value)| string(key, value)).collect();
        attributes.push(container);
    }
    if let Some(data) = &event.data {
        let mut container = Attribute::new("throughline.data", Kind::Container, "");
        container.values = attribute::from_json(data);
        attributes.push(container);
    }
    attributes
}
