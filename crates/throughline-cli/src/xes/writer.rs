//! Writes runs as an XES log, one after the other.
//!
//! What was imported from a log comes out as it went in: the roots that the import made up are left out again,
//! attributes have their kinds, events their order; what the options of the import said of an event is said by the event.
//! Any other run is written so that it is read back as it is: what a service emitted has its life-cycle transition rebuilt
//! (`start`, `complete`, `ate_abort` for what failed or was cancelled) and its other fields as [`native`] attributes.

use std::borrow::Cow;
use std::io::{self, Seek, SeekFrom, Write};

use quick_xml::Writer;
use quick_xml::escape::escape;
use quick_xml::events::attributes::Attribute as XmlAttribute;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, Event};
use quick_xml::name::QName;
use tempfile::SpooledTempFile;
use throughline_core::names::tags;
use throughline_core::{InstanceId, Redactor, Status, TraceEvent, names};

use super::attribute::{self, Attribute, Kind};
use super::reader::{XesEvent, XesRun};
use super::{keys, native, rules, runs};

/// Names, prefixes and addresses of the standard's extensions that the log uses.
const EXTENSIONS: [[&str; 3]; 5] = [
    ["Concept", "concept", "http://www.xes-standard.org/concept.xesext"],
    ["Lifecycle", "lifecycle", "http://www.xes-standard.org/lifecycle.xesext"],
    ["Time", "time", "http://www.xes-standard.org/time.xesext"],
    ["Organizational", "org", "http://www.xes-standard.org/org.xesext"],
    ["Identity", "identity", "http://www.xes-standard.org/identity.xesext"],
];

/// What may be declared to be in every event: its kind, its key and the value that a declaration needs.
const OF_EVENTS: [(Kind, &str, &str); 3] = [
    (Kind::String, keys::NAME, "UNKNOWN"),
    (Kind::String, keys::TRANSITION, "complete"),
    (Kind::Date, keys::TIME, "1970-01-01T00:00:00.000000Z"),
];
const OF_TRACES: [(Kind, &str, &str); 1] = [(Kind::String, keys::NAME, "UNKNOWN")];

/// How much is held in memory until the head of the log is known.
const IN_MEMORY: usize = 1 << 20;

/// Writes a log. Its head says what all events have in common, so that it is written last, and the runs wait in a
/// temporary file.
pub(crate) struct XesWriter {
    xml: Writer<SpooledTempFile>,
    /// Where the first run begins.
    begin: u64,
    of_traces: Common<1>,
    of_events: Common<3>,
    /// The one that an import has.
    redactor: Redactor,
}

/// Which attributes all elements had so far.
struct Common<const N: usize> {
    candidates: [(Kind, &'static str, &'static str); N],
    /// How many elements had each.
    having: [u64; N],
    all: u64,
}

impl<const N: usize> Common<N> {
    fn new(candidates: [(Kind, &'static str, &'static str); N]) -> Self {
        Self { candidates, having: [0; N], all: 0 }
    }

    fn count(&mut self, attributes: &[Attribute]) {
        self.all += 1;
        for ((kind, key, _), having) in self.candidates.iter().zip(&mut self.having) {
            let has = attributes.iter().any(|attribute| attribute.key == *key && attribute.kind == *kind);
            *having += u64::from(has);
        }
    }

    /// Those that every element has.
    fn global(&self) -> Vec<(Kind, &'static str, &'static str)> {
        let is_global = |having: u64| having > 0 && having == self.all;
        let all = self.candidates.iter().zip(self.having);
        all.filter(|(_, having)| is_global(*having)).map(|(candidate, _)| *candidate).collect()
    }
}

impl XesWriter {
    /// Begins a log.
    pub(crate) fn begin(redactor: Redactor) -> io::Result<Self> {
        let mut writer = Self {
            redactor,
            xml: Writer::new_with_indent(SpooledTempFile::new(IN_MEMORY), b'\t', 1),
            begin: 0,
            of_traces: Common::new(OF_TRACES),
            of_events: Common::new(OF_EVENTS),
        };
        // The runs are indented as what is in a log.
        open(&mut writer.xml, "log", &[])?;
        writer.begin = writer.xml.get_mut().stream_position()?;
        Ok(writer)
    }

    /// Writes a run, whose events come in the order of a trace, and its workflow, if the log does not say it. Returns
    /// how many events were written.
    pub(crate) fn run(&mut self, mut events: Vec<TraceEvent>, with_workflow: bool) -> io::Result<u64> {
        if events.iter().all(|event| event.instance == InstanceId::IMPORTED) {
            // Times may go back within an imported run; its order is that of the log.
            events.sort_by_key(|event| event.n);
        }
        // First with nothing that the log did not say, and else with what made the run end as it did.
        let as_in_log = [Verdict::Unsaid, Verdict::AtEnds, Verdict::AtLastStart]
            .into_iter()
            .filter_map(|verdict| imported(&events, with_workflow, verdict))
            .find(|run| runs::reads_as(run.clone(), &events, &self.redactor));
        let XesRun { attributes, events } = match as_in_log {
            Some(run) => run,
            None => XesRun {
                attributes: events
                    .iter()
                    .find(|event| event.is_root())
                    .or(events.first())
                    .map(native::of_run)
                    .unwrap_or_default(),
                events: events.iter().map(|event| XesEvent { attributes: native::of_event(event) }).collect(),
            },
        };
        open(&mut self.xml, "trace", &[])?;
        self.of_traces.count(&attributes);
        write_all(&mut self.xml, &attributes)?;
        for XesEvent { attributes } in &events {
            open(&mut self.xml, "event", &[])?;
            self.of_events.count(attributes);
            write_all(&mut self.xml, attributes)?;
            close(&mut self.xml, "event")?;
        }
        close(&mut self.xml, "trace")?;
        Ok(events.len() as u64)
    }

    /// Writes the log, under this name if it has one.
    pub(crate) fn finish(mut self, name: Option<&str>, output: &mut dyn Write) -> io::Result<()> {
        close(&mut self.xml, "log")?;
        let mut runs = self.xml.into_inner();
        let mut head = Writer::new_with_indent(&mut *output, b'\t', 1);
        head.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        open(
            &mut head,
            "log",
            &[
                ("xes.version", "1849.2016"),
                ("xes.features", "nested-attributes"),
                ("xmlns", "http://www.xes-standard.org/"),
            ],
        )?;
        for [name, prefix, uri] in EXTENSIONS {
            empty(&mut head, "extension", &[("name", name), ("prefix", prefix), ("uri", uri)])?;
        }
        let of_events = self.of_events.global();
        for (scope, globals) in [("trace", &self.of_traces.global()), ("event", &of_events)] {
            if !globals.is_empty() {
                open(&mut head, "global", &[("scope", scope)])?;
                for (kind, key, value) in globals {
                    empty(&mut head, kind.as_str(), &[("key", key), ("value", value)])?;
                }
                close(&mut head, "global")?;
            }
        }
        // A classifier may only be about what every event has.
        for (name, keys) in
            [("Activity", &[keys::NAME][..]), ("Activity and transition", &[keys::NAME, keys::TRANSITION])]
        {
            if keys.iter().all(|key| of_events.iter().any(|(_, global, _)| global == key)) {
                empty(&mut head, "classifier", &[("name", name), ("keys", &keys.join(" "))])?;
            }
        }
        if let Some(name) = name {
            write_all(&mut head, &[Attribute::new(keys::NAME, Kind::String, name)])?;
        }
        runs.seek(SeekFrom::Start(self.begin))?;
        io::copy(&mut runs, output)?;
        output.write_all(b"\n")
    }
}

/// Where in a log it is said how a run ended, if the log itself did not say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Unsaid,
    /// By the events that ended as the run did.
    AtEnds,
    /// By the last start: one that counts for the run says nothing of its own end.
    AtLastStart,
}

/// A run that was imported from a log, as it was there; `None` if it has what a log does not hold.
fn imported(events: &[TraceEvent], with_workflow: bool, verdict: Verdict) -> Option<XesRun> {
    let (made_up, of_log): (Vec<_>, Vec<_>) =
        events.iter().partition(|event| event.has_tag(tags::SYNTHESISED));
    let root = made_up.first().filter(|_| of_log.iter().all(|event| runs::is_activity(event)))?;
    let mut attributes = root.data.as_ref().map(attribute::from_json).unwrap_or_default();
    let mut say = |key, value: &str| attributes.push(Attribute::new(key, Kind::String, value));
    if with_workflow && let Some(workflow) = &root.workflow {
        say(native::WORKFLOW, workflow);
    }
    if root.service != rules::SERVICE {
        say(native::SERVICE, &root.service);
    }
    let end = made_up.iter().find(|event| event.status != Status::Pending);
    let last_start = of_log.iter().rposition(|event| event.status == Status::Pending);
    let decides = |at: usize, end: &TraceEvent| match verdict {
        Verdict::Unsaid => false,
        Verdict::AtEnds => (end.status, &end.error) == (of_log[at].status, &of_log[at].error),
        Verdict::AtLastStart => last_start == Some(at),
    };
    let events = of_log.iter().enumerate().map(|(at, event)| {
        let end = end.filter(|end| decides(at, end));
        XesEvent { attributes: activity(event, end.copied()) }
    });
    let run = XesRun { attributes, events: events.collect() };
    let mut attributes = run.attributes.iter().chain(run.events.iter().flat_map(|event| &event.attributes));
    attributes.all(|attribute| native::is_writable(attribute, 0)).then_some(run)
}

/// The attributes of an event that was imported from a log, and says how its run ended if it is given that end.
fn activity(event: &TraceEvent, end: Option<&TraceEvent>) -> Vec<Attribute> {
    let mut attributes = event.data.as_ref().map(attribute::from_json).unwrap_or_default();
    let lacks = |key| event.data.as_ref().is_none_or(|data| !data.contains_key(key));
    let (lacks_name, lacks_time) = (lacks(keys::NAME), lacks(keys::TIME));
    if let Some(name) = event.event_type.strip_prefix(names::ACTIVITY_PREFIX)
        && lacks_name
    {
        attributes.insert(0, Attribute::new(keys::NAME, Kind::String, name));
    }
    if !event.has_tag(tags::UNTIMED) && lacks_time {
        attributes.push(Attribute::new(keys::TIME, Kind::Date, event.timestamp.to_string()));
    }
    let says = end.or_else(|| (!runs::is_as_its_transition_says(event)).then_some(event));
    attributes.extend(says.into_iter().flat_map(native::of_verdict));
    attributes
}

fn write_all<W: Write>(xml: &mut Writer<W>, attributes: &[Attribute]) -> io::Result<()> {
    attributes.iter().try_for_each(|attribute| write(xml, attribute))
}

fn write<W: Write>(xml: &mut Writer<W>, attribute: &Attribute) -> io::Result<()> {
    let Attribute { key, kind, text, values, children } = attribute;
    let element = kind.as_str();
    if !kind.is_collection() && children.is_empty() {
        return empty(xml, element, &[("key", key), ("value", text)]);
    }
    if kind.is_collection() {
        open(xml, element, &[("key", key)])?;
    } else {
        open(xml, element, &[("key", key), ("value", text)])?;
    }
    write_all(xml, children)?;
    match kind {
        Kind::List if values.is_empty() => empty(xml, "values", &[])?,
        Kind::List => {
            open(xml, "values", &[])?;
            write_all(xml, values)?;
            close(xml, "values")?;
        }
        _ => write_all(xml, values)?,
    }
    close(xml, element)
}

fn open<W: Write>(xml: &mut Writer<W>, element: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
    xml.write_event(Event::Start(tag(element, attributes)))
}

fn empty<W: Write>(xml: &mut Writer<W>, element: &str, attributes: &[(&str, &str)]) -> io::Result<()> {
    xml.write_event(Event::Empty(tag(element, attributes)))
}

fn close<W: Write>(xml: &mut Writer<W>, element: &str) -> io::Result<()> {
    xml.write_event(Event::End(BytesEnd::new(element)))
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
            c if native::is_forbidden(c) => escaped.push('\u{FFFD}'),
            _ => escaped.push_str(&escape(c.encode_utf8(&mut [0; 4]) as &str)),
        }
    }
    escaped.into()
}
