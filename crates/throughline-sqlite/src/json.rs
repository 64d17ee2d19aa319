//! The JSON in the columns of an event.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use throughline_model::{ErrorInfo, Link, Relation, SCHEMA_VERSION, SpanId, Text, TraceEvent, TraceId};

/// The column `error`.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredError {
    #[serde(rename = "type")]
    kind: Text,
    message: Text,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chain: Vec<Text>,
}

impl From<&ErrorInfo> for StoredError {
    fn from(error: &ErrorInfo) -> Self {
        // Without `..` in this file: a new field does not compile until somebody has said where it is stored.
        let ErrorInfo { kind, message, chain } = error;
        Self { kind: kind.clone(), message: message.clone(), chain: chain.clone() }
    }
}

impl From<StoredError> for ErrorInfo {
    fn from(error: StoredError) -> Self {
        let StoredError { kind, message, chain } = error;
        Self { kind, message, chain }
    }
}

/// The column `rest`: what few events have.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rest<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    v: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent_trace_id: Option<TraceId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<StoredLink>,
    #[serde(skip_serializing_if = "is_empty")]
    extra: Cow<'a, Map<String, Value>>,
}

fn is_empty(map: &Map<String, Value>) -> bool {
    map.is_empty()
}

#[derive(Serialize, Deserialize)]
struct StoredLink {
    rel: Relation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace_id: Option<TraceId>,
    span_id: SpanId,
}

impl<'a> Rest<'a> {
    pub(crate) fn of(event: &'a TraceEvent) -> Self {
        let links = event.links.iter().map(|link| {
            let Link { rel, trace_id, span_id } = link.clone();
            StoredLink { rel, trace_id, span_id }
        });
        Self {
            v: (event.v != SCHEMA_VERSION).then_some(event.v),
            parent_trace_id: event.parent_trace_id,
            links: links.collect(),
            extra: Cow::Borrowed(&event.extra),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        let Self { v, parent_trace_id, links, extra } = self;
        v.is_none() && parent_trace_id.is_none() && links.is_empty() && extra.is_empty()
    }

    pub(crate) fn version(&self) -> u16 {
        self.v.unwrap_or(SCHEMA_VERSION)
    }

    pub(crate) fn take_links(&mut self) -> Vec<Link> {
        let links = std::mem::take(&mut self.links).into_iter();
        links.map(|StoredLink { rel, trace_id, span_id }| Link { rel, trace_id, span_id }).collect()
    }

    pub(crate) fn extra(self) -> Map<String, Value> {
        self.extra.into_owned()
    }
}

/// A buffer for the JSON of one event's columns.
#[derive(Default)]
pub(crate) struct Json {
    buffer: Vec<u8>,
}

/// The JSON of columns that are not empty.
#[derive(Default)]
pub(crate) struct Columns<'a> {
    pub(crate) attrs: Option<&'a [u8]>,
    pub(crate) tags: Option<&'a [u8]>,
    pub(crate) error: Option<&'a [u8]>,
    pub(crate) data: Option<&'a [u8]>,
    pub(crate) rest: Option<&'a [u8]>,
}

impl Json {
    pub(crate) fn of(&mut self, event: &TraceEvent, with_attrs: bool) -> Columns<'_> {
        self.buffer.clear();
        let (error, rest) = (event.error.as_deref().map(StoredError::from), Rest::of(event));
        let ends = [
            self.put(with_attrs && !event.attrs.is_empty(), &event.attrs),
            self.put(!event.tags.is_empty(), &event.tags),
            self.put(error.is_some(), &error),
            self.put(event.data.is_some(), &event.data),
            self.put(!rest.is_empty(), &rest),
        ];
        let mut begin = 0;
        let [attrs, tags, error, data, rest] = ends.map(|end| {
            let column = (end > begin).then(|| &self.buffer[begin..end]);
            begin = end;
            column
        });
        Columns { attrs, tags, error, data, rest }
    }

    /// Appends the JSON of a value; returns where it ends.
    fn put(&mut self, is_present: bool, value: &impl Serialize) -> usize {
        if is_present {
            // Writing to a buffer does not fail, nor does serialising the fields of an event: they are maps with text
            // keys, lists, texts and numbers.
            let _ = serde_json::to_writer(&mut self.buffer, value);
        }
        self.buffer.len()
    }
}
