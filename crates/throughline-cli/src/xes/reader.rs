//! Parses an XES log, run by run.
//!
//! A log may come from anywhere, so everything is bounded: how long a tag is, how large a run, how deep
//! attributes nest. Entities other than XML's own five are refused, so no document type can blow them up.

use std::io::BufRead;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Error as XmlError, Reader, XmlVersion};

use super::attribute::{Attribute, Kind};
use super::keys;
use super::position::{Position, Positioned};

/// The longest tag, comment or text, in bytes.
const MAX_TAG: usize = 16 << 20;
/// The largest run, in bytes of XML. A run is held in memory as a whole.
const MAX_RUN: u64 = 64 << 20;
/// How deep attributes nest. Each level is up to three of JSON, whose readers stop at 128.
pub(super) const MAX_NESTING: usize = 32;
/// How deep elements nest that are not of XES.
const MAX_DEPTH: usize = 256;

/// Elements of XES that say what is in a log and are not kept.
const DECLARATIONS: [&str; 3] = ["extension", "global", "classifier"];

/// Why a log can't be read on.
#[derive(Debug, thiserror::Error)]
#[error("line {}, column {}: {problem}", .position.line, .position.column)]
pub(crate) struct XesError {
    pub(crate) position: Position,
    pub(crate) problem: Problem,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{0}")]
    Xml(XmlError),
    #[error("the input ends unexpectedly: {0}")]
    Input(std::io::Error),
    #[error("invalid UTF-8{}", .declared.as_ref().map_or_else(String::new, |name| format!(
        "; the file says it is {name}: convert it with `iconv -f {name} -t UTF-8`")))]
    NotUtf8 { declared: Option<String> },
    #[error("a tag or text is longer than {} MiB", MAX_TAG >> 20)]
    TagTooLong,
    #[error("a run is larger than {} MiB", MAX_RUN >> 20)]
    RunTooLarge,
    #[error("attributes nest more than {MAX_NESTING} deep")]
    AttributesTooDeep,
    #[error("elements nest more than {MAX_DEPTH} deep")]
    ElementsTooDeep,
    #[error("the outermost element is <{0}>, not <log>: this is not XES")]
    NotALog(String),
    #[error("the file ends before </log>")]
    Unfinished,
}

/// One `<trace>` of a log; or events that are in no trace, one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct XesRun {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) events: Vec<XesEvent>,
}

/// One `<event>` of a log.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct XesEvent {
    pub(crate) attributes: Vec<Attribute>,
}

/// Reads a log.
pub(crate) struct XesReader<R> {
    xml: Reader<Positioned<R>>,
    buffer: Vec<u8>,
    /// Where the tag that was read last begins.
    at: Position,
    /// Names that are open and not of XES, and those that are.
    depth: usize,
    version: XmlVersion,
    declared_encoding: Option<String>,
    name: Option<String>,
    log_attributes: u64,
    foreign_elements: u64,
    /// The tag that ended what was read last but belongs to what comes next.
    pushed_back: Option<Tag>,
    ended: bool,
}

/// A tag that matters.
#[derive(Debug)]
enum Tag {
    Open(Element),
    /// The end of an open element.
    Close,
    EndOfFile,
}

#[derive(Debug)]
struct Element {
    what: What,
    /// It has no content and no closing tag.
    is_empty: bool,
    /// Attributes that XML allows and XES knows nothing of.
    foreign: Vec<Attribute>,
}

#[derive(Debug)]
enum What {
    Log,
    Trace,
    Event,
    Values,
    Attribute(Attribute),
    /// An extension, a global, a classifier, or nothing of XES.
    Other(String),
}

impl<R: BufRead> XesReader<R> {
    /// Reads the head of a log, up to its first run.
    pub(crate) fn open(input: R) -> Result<Self, XesError> {
        let positioned = Positioned::new(input);
        let at = positioned.position();
        let mut reader = Self {
            xml: Reader::from_reader(positioned),
            buffer: Vec::new(),
            at,
            depth: 0,
            version: XmlVersion::Implicit1_0,
            declared_encoding: None,
            name: None,
            log_attributes: 0,
            foreign_elements: 0,
            pushed_back: None,
            ended: false,
        };
        reader.xml.config_mut().check_end_names = true;
        match reader.next_tag()? {
            Tag::Open(Element { what: What::Log, is_empty, foreign }) => {
                reader.ended = is_empty;
                reader.log_attributes = foreign.len() as u64;
            }
            Tag::Open(element) => return Err(reader.error(Problem::NotALog(element.what.name().to_owned()))),
            Tag::Close | Tag::EndOfFile => return Err(reader.error(Problem::Unfinished)),
        }
        reader.pushed_back = reader.skip_to_run()?;
        Ok(reader)
    }

    /// The name of the log.
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// How many attributes the log itself has had so far.
    pub(crate) fn log_attributes(&self) -> u64 {
        self.log_attributes
    }

    /// How many elements were skipped that are not part of XES.
    pub(crate) fn foreign_elements(&self) -> u64 {
        self.foreign_elements
    }

    /// How many bytes were read so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.xml.get_ref().offset()
    }

    /// The next run; `None` at the end of the log.
    pub(crate) fn next_run(&mut self) -> Result<Option<XesRun>, XesError> {
        let Some(tag) = (match self.pushed_back.take() {
            Some(tag) => Some(tag),
            None => self.skip_to_run()?,
        }) else {
            return Ok(None);
        };
        let begins = self.bytes();
        let mut run = XesRun::default();
        match tag {
            Tag::Open(Element { what: What::Trace, is_empty, foreign }) => {
                run.attributes = foreign;
                if !is_empty {
                    self.read_trace(begins, &mut run)?;
                }
            }
            Tag::Open(element) => self.read_loose_events(element, begins, &mut run)?,
            Tag::Close | Tag::EndOfFile => {}
        }
        Ok(Some(run))
    }

    /// Takes in what belongs to the log itself, up to the next trace or event; `None` at the end of the log.
    fn skip_to_run(&mut self) -> Result<Option<Tag>, XesError> {
        while !self.ended {
            match self.next_tag()? {
                tag @ Tag::Open(Element { what: What::Trace | What::Event, .. }) => return Ok(Some(tag)),
                Tag::Open(Element { what: What::Attribute(attribute), is_empty, .. }) => {
                    let attribute = self.read_attribute(attribute, is_empty, 0)?;
                    self.log_attributes += 1;
                    if attribute.key == keys::NAME {
                        self.name.get_or_insert(attribute.text);
                    }
                }
                Tag::Open(element) => self.skip(&element)?,
                Tag::Close => self.ended = true,
                Tag::EndOfFile => return Err(self.error(Problem::Unfinished)),
            }
        }
        Ok(None)
    }

    fn read_trace(&mut self, begins: u64, run: &mut XesRun) -> Result<(), XesError> {
        loop {
            match self.next_tag()? {
                Tag::Open(element @ Element { what: What::Event, .. }) => {
                    run.events.push(self.read_event(element)?);
                }
                Tag::Open(Element { what: What::Attribute(attribute), is_empty, .. }) => {
                    run.attributes.push(self.read_attribute(attribute, is_empty, 0)?);
                }
                Tag::Open(element) => self.skip(&element)?,
                Tag::Close => return Ok(()),
                Tag::EndOfFile => return Err(self.error(Problem::Unfinished)),
            }
            self.check_size(begins)?;
        }
    }

    /// Events that stand directly in the log are taken together for one run.
    fn read_loose_events(&mut self, first: Element, begins: u64, run: &mut XesRun) -> Result<(), XesError> {
        let mut element = first;
        loop {
            run.events.push(self.read_event(element)?);
            self.check_size(begins)?;
            match self.skip_to_run()? {
                Some(Tag::Open(next)) if matches!(next.what, What::Event) => element = next,
                other => {
                    self.pushed_back = other;
                    return Ok(());
                }
            }
        }
    }

    fn check_size(&self, begins: u64) -> Result<(), XesError> {
        if self.bytes() - begins > MAX_RUN { Err(self.error(Problem::RunTooLarge)) } else { Ok(()) }
    }

    fn read_event(&mut self, element: Element) -> Result<XesEvent, XesError> {
        let mut event = XesEvent { attributes: element.foreign };
        if !element.is_empty {
            self.read_attributes(&mut event.attributes, &mut None, 0)?;
        }
        Ok(event)
    }

    fn read_attribute(
        &mut self,
        mut attribute: Attribute,
        is_empty: bool,
        depth: usize,
    ) -> Result<Attribute, XesError> {
        if depth > MAX_NESTING {
            return Err(self.error(Problem::AttributesTooDeep));
        }
        if !is_empty {
            let (mut children, mut values) = (std::mem::take(&mut attribute.children), None);
            self.read_attributes(&mut children, &mut values, depth + 1)?;
            (attribute.values, attribute.children) = match (attribute.kind, values) {
                (Kind::List, Some(values)) => (values, children),
                // A container holds its contents directly; so does a list in logs older than the standard.
                (Kind::List, None) => (children, Vec::new()),
                (Kind::Container, _) => {
                    let mut contents = attribute.values;
                    contents.extend(children);
                    (contents, Vec::new())
                }
                _ => (Vec::new(), children),
            };
        }
        Ok(attribute)
    }

    /// Reads attributes up to the end of the element around them; those in `<values>`, if there is one, go to
    /// `values`.
    fn read_attributes(
        &mut self,
        attributes: &mut Vec<Attribute>,
        values: &mut Option<Vec<Attribute>>,
        depth: usize,
    ) -> Result<(), XesError> {
        loop {
            match self.next_tag()? {
                Tag::Open(Element { what: What::Attribute(attribute), is_empty, .. }) => {
                    attributes.push(self.read_attribute(attribute, is_empty, depth)?);
                }
                Tag::Open(Element { what: What::Values, is_empty, .. }) => {
                    if depth > MAX_NESTING {
                        return Err(self.error(Problem::AttributesTooDeep));
                    }
                    let values = values.get_or_insert_default();
                    if !is_empty {
                        self.read_attributes(values, &mut None, depth + 1)?;
                    }
                }
                Tag::Open(element) => self.skip(&element)?,
                Tag::Close => return Ok(()),
                Tag::EndOfFile => return Err(self.error(Problem::Unfinished)),
            }
        }
    }

    /// Passes over the contents of an element.
    fn skip(&mut self, element: &Element) -> Result<(), XesError> {
        if let What::Other(name) = &element.what {
            self.foreign_elements += u64::from(!DECLARATIONS.contains(&name.as_str()));
        }
        let mut open = usize::from(!element.is_empty);
        while open > 0 {
            match self.next_tag()? {
                Tag::Open(element) => open += usize::from(!element.is_empty),
                Tag::Close => open -= 1,
                Tag::EndOfFile => return Err(self.error(Problem::Unfinished)),
            }
        }
        Ok(())
    }

    fn next_tag(&mut self) -> Result<Tag, XesError> {
        loop {
            self.buffer.clear();
            let input = self.xml.get_mut();
            input.set_budget(MAX_TAG);
            self.at = input.position();
            let event = match self.xml.read_event_into(&mut self.buffer) {
                Ok(event) => event,
                Err(error) => return Err(self.xml_error(error)),
            };
            let (element, is_empty) = match event {
                Event::Start(start) => {
                    self.depth += 1;
                    (element(&start, self.version), false)
                }
                Event::Empty(start) => (element(&start, self.version), true),
                Event::End(_) => {
                    self.depth -= 1;
                    return Ok(Tag::Close);
                }
                Event::Decl(declaration) => {
                    self.version = declaration.xml_version().unwrap_or(XmlVersion::Implicit1_0);
                    self.declared_encoding = declaration
                        .encoding()
                        .and_then(Result::ok)
                        .filter(|name| !name.eq_ignore_ascii_case("utf-8"))
                        .map(|name| name.chars().take(32).filter(char::is_ascii_graphic).collect());
                    continue;
                }
                Event::Eof => return Ok(Tag::EndOfFile),
                _ => continue,
            };
            if self.depth > MAX_DEPTH {
                return Err(self.error(Problem::ElementsTooDeep));
            }
            return match element {
                Ok((what, foreign)) => Ok(Tag::Open(Element { what, is_empty, foreign })),
                Err(problem) => Err(self.error(problem)),
            };
        }
    }

    fn xml_error(&self, error: XmlError) -> XesError {
        let problem = match error {
            XmlError::Io(_) if self.xml.get_ref().is_exhausted() => Problem::TagTooLong,
            XmlError::Io(error) => Problem::Input(std::io::Error::new(error.kind(), error.to_string())),
            XmlError::Encoding(_) => Problem::NotUtf8 { declared: self.declared_encoding.clone() },
            error => Problem::Xml(error),
        };
        self.error(problem)
    }

    fn error(&self, problem: Problem) -> XesError {
        XesError { position: self.at, problem }
    }
}

impl What {
    fn name(&self) -> &str {
        match self {
            Self::Log => "log",
            Self::Trace => "trace",
            Self::Event => "event",
            Self::Values => "values",
            Self::Attribute(attribute) => attribute.kind.as_str(),
            Self::Other(name) => name,
        }
    }
}

fn element(start: &BytesStart<'_>, version: XmlVersion) -> Result<(What, Vec<Attribute>), Problem> {
    let name = start.local_name();
    let name: &str = name.as_ref();
    let what = match name {
        "log" => What::Log,
        "trace" => What::Trace,
        "event" => What::Event,
        "values" => What::Values,
        other => match Kind::parse(other) {
            Some(kind) => return Ok((What::Attribute(attribute(start, kind, version)?), Vec::new())),
            None => What::Other(other.chars().take(64).collect()),
        },
    };
    let mut foreign = Vec::new();
    for_each_attribute(start, version, |key, value| {
        // Versions of the standard and what else a log says of itself is no data.
        if !key.starts_with("xes.") && !key.starts_with("openxes.") {
            foreign.push(Attribute::new(key, Kind::String, value));
        }
    })?;
    Ok((what, foreign))
}

/// An attribute of XES. What its tag says besides key and value is kept as attributes of it.
fn attribute(start: &BytesStart<'_>, kind: Kind, version: XmlVersion) -> Result<Attribute, Problem> {
    // Real logs have attributes without a key or a value; the empty text stands for what is missing.
    let mut attribute = Attribute::new("", kind, "");
    let mut foreign = Vec::new();
    for_each_attribute(start, version, |key, value| match key {
        "key" => attribute.key = value,
        "value" if !kind.is_collection() => attribute.text = value,
        // Some logs of version 1 give lists an empty value.
        "value" if value.is_empty() => {}
        _ => foreign.push(Attribute::new(key, Kind::String, value)),
    })?;
    match kind {
        // What is in a container is its contents.
        Kind::Container => attribute.values = foreign,
        _ => attribute.children = foreign,
    }
    Ok(attribute)
}

/// Each attribute of a tag but declarations of namespaces.
fn for_each_attribute(
    start: &BytesStart<'_>,
    version: XmlVersion,
    mut each: impl FnMut(&str, String),
) -> Result<(), Problem> {
    for found in start.attributes() {
        let found = found.map_err(|error| Problem::Xml(error.into()))?;
        let key: &str = found.key.as_ref();
        if key != "xmlns" && !key.starts_with("xmlns:") {
            each(key, found.normalized_value(version).map_err(Problem::Xml)?.into_owned());
        }
    }
    Ok(())
}
