//! [`TraceEvent`]: everything that happens, as data.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json::keep_digits;
use crate::{Attrs, EventId, InstanceId, SpanId, Text, Timestamp, TraceId};

/// The version of the event schema that this release writes.
pub const SCHEMA_VERSION: u16 = 1;

/// One thing that happened in one run: a step started or ended, a decision was made, a business event.
///
/// Its JSON is a public contract, described by `docs/event.schema.json`. Fields that a later version added are kept in
/// [`extra`](Self::extra) and written back, so that older software does not lose them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceEvent {
    /// The schema version, [`SCHEMA_VERSION`]; an event without one is of version 1.
    #[serde(default = "schema_version")]
    pub v: u16,
    /// The run it belongs to.
    pub trace_id: TraceId,
    /// The step it belongs to; a point event has one of its own.
    pub span_id: SpanId,
    /// The position within the span: 0 for a start or a point, 1 and up for what follows.
    #[serde(default)]
    pub seq: u32,
    /// The span around this one; `None` for the root of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<SpanId>,
    /// The trace of the parent, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_trace_id: Option<TraceId>,
    /// The business key of the run, as in `loan-42`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Text>,
    /// What happened: `workflow:started`, `stage:credit-check`, `ai:decision`… See [`names`](crate::names).
    pub event_type: Text,
    /// When it happened; never goes back within a process.
    pub timestamp: Timestamp,
    /// The process instance that emitted it.
    #[serde(default = "imported")]
    pub instance: InstanceId,
    /// The event's place within its instance. Events order by (timestamp, instance, n).
    #[serde(default)]
    pub n: u64,
    /// Its status.
    #[serde(default)]
    pub status: Status,
    /// Microseconds by a monotonic clock; on the event that ends a span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_us: Option<u64>,
    /// Why it failed; of one that was cancelled, who did that, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Box<ErrorInfo>>,
    /// Attributes: short, searchable values.
    #[serde(default, skip_serializing_if = "Attrs::is_empty")]
    pub attrs: Attrs,
    /// Free payload: inputs, outputs, the alternatives of a decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Map<String, Value>>,
    /// Tags, to filter by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Text>,
    /// Its relations to other spans.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// The service that emitted it.
    pub service: Text,
    /// The workflow that ran, as in `loan-approval`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<Text>,
    /// Which attempt this is, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// The 4 of "step 4 of 10".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_index: Option<u32>,
    /// The 10 of "step 4 of 10".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_total: Option<u32>,
    /// Fields that this version does not know, kept unchanged.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn schema_version() -> u16 {
    SCHEMA_VERSION
}

fn imported() -> InstanceId {
    InstanceId::IMPORTED
}

impl TraceEvent {
    /// Reads an event from its public JSON. In its data, numbers that neither 64 bits nor a float hold become texts of their
    /// digits, which [`Deserialize`] would round.
    ///
    /// ```
    /// # use throughline_model::TraceEvent;
    /// let json = r#"{
    ///     "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "00f067aa0ba902b7", "event_type": "loan:paid",
    ///     "timestamp": "2026-03-01T09:30:00.000000Z", "service": "loans",
    ///     "data": {"wei": 123456789012345678901234567890, "euros": 5.5}
    /// }"#;
    /// let data = TraceEvent::from_json(json.as_bytes())?.data.unwrap_or_default();
    /// assert_eq!((&data["wei"], &data["euros"]), (&"123456789012345678901234567890".into(), &5.5.into()));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If it is not JSON, or not that of an event.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(&keep_digits(json))
    }

    /// An event with what every event has; the rest is empty, the status `success`, the instance
    /// [`InstanceId::IMPORTED`]. Code that runs a workflow has no need of it: a
    /// `TraceContext` makes its events.
    pub fn new(
        trace_id: TraceId,
        span_id: SpanId,
        event_type: impl Into<Text>,
        timestamp: Timestamp,
        service: impl Into<Text>,
    ) -> Self {
        Self {
            v: SCHEMA_VERSION,
            trace_id,
            span_id,
            seq: 0,
            parent_span_id: None,
            parent_trace_id: None,
            correlation_id: None,
            event_type: event_type.into(),
            timestamp,
            instance: InstanceId::IMPORTED,
            n: 0,
            status: Status::Success,
            duration_us: None,
            error: None,
            attrs: Attrs::new(),
            data: None,
            tags: Vec::new(),
            links: Vec::new(),
            service: service.into(),
            workflow: None,
            attempt: None,
            step_index: None,
            step_total: None,
            extra: Map::new(),
        }
    }

    /// The identity of the event.
    #[inline]
    pub fn id(&self) -> EventId {
        EventId { trace_id: self.trace_id, span_id: self.span_id, seq: self.seq }
    }

    /// What to call its span, as far as this event says: see [`names::of_span`](crate::names::of_span).
    pub fn span_name(&self) -> Cow<'_, str> {
        let workflow = || self.workflow.as_deref();
        crate::names::of_span(&self.event_type, workflow, |key| self.attrs.get(key))
    }

    /// What events are ordered by.
    #[inline]
    pub fn order(&self) -> (Timestamp, InstanceId, u64) {
        (self.timestamp, self.instance, self.n)
    }

    /// Whether it opens or closes the root span of a run: it has no parent, or its parent lives in another
    /// trace or, as [`tags::REMOTE_PARENT`](crate::names::tags::REMOTE_PARENT) says, in another process.
    #[inline]
    pub fn is_root(&self) -> bool {
        self.parent_span_id.is_none()
            || self.parent_trace_id.is_some_and(|parent| parent != self.trace_id)
            || self.has_tag(crate::names::tags::REMOTE_PARENT)
    }

    /// Whether it opens or closes a root span whose parent is of the same trace, but in another process. Where that parent is
    /// recorded too, this is not where the run begins.
    #[inline]
    pub fn has_remote_parent(&self) -> bool {
        self.parent_span_id.is_some()
            && self.parent_trace_id.is_none_or(|parent| parent == self.trace_id)
            && self.has_tag(crate::names::tags::REMOTE_PARENT)
    }

    /// Whether it is of a span that nobody waits for, as [`tags::DETACHED`](crate::names::tags::DETACHED) says.
    #[inline]
    pub fn is_detached(&self) -> bool {
        self.has_tag(crate::names::tags::DETACHED)
    }

    /// The spans of the same trace that it says it tries again.
    pub fn retried(&self) -> impl Iterator<Item = SpanId> + '_ {
        let of_this_trace = |link: &&Link| link.trace_id.is_none_or(|trace| trace == self.trace_id);
        let retries = self.links.iter().filter(|link| link.rel == Relation::RetryOf).filter(of_this_trace);
        retries.map(|link| link.span_id)
    }

    /// Whether it carries a tag.
    #[inline]
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own == tag)
    }
}

/// The status of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Started and not ended.
    Pending,
    /// Ended well, or simply happened.
    #[default]
    Success,
    /// Ended with an error or a panic.
    Failed,
    /// Dropped before it ended.
    Cancelled,
}

impl Status {
    /// The status as written in the JSON of an event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Why a text is not a [`Status`].
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{0}` is not a status: expected pending, success, failed or cancelled")]
pub struct ParseStatusError(String);

impl FromStr for Status {
    type Err = ParseStatusError;
    fn from_str(text: &str) -> Result<Self, ParseStatusError> {
        [Self::Pending, Self::Success, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| ParseStatusError(text.chars().take(64).collect()))
    }
}

/// The error of an event that failed, or that went on without the one that did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorInfo {
    /// The type of the error, with few distinct values: `BureauError::Timeout`, `panic`.
    #[serde(rename = "type")]
    pub kind: Text,
    /// The error message.
    pub message: Text,
    /// The messages of its sources, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<Text>,
}

impl ErrorInfo {
    /// What is recorded of a panic, from the payload that `catch_unwind` gives.
    pub fn of_panic(payload: &(dyn std::any::Any + Send)) -> Self {
        let message = payload
            .downcast_ref::<&str>()
            .map(|text| Text::from((*text).to_owned()))
            .or_else(|| payload.downcast_ref::<String>().map(Text::from))
            .unwrap_or_else(|| Text::literal("a panic without a message"));
        Self { kind: Text::literal(crate::names::errors::PANIC), message, chain: Vec::new() }
    }

    /// Adds where it happened, as in `src/pay.rs:81`, to the message of a panic.
    pub fn at_place(mut self, place: &str) -> Self {
        self.message = Text::from(format!("{}{AT}{place}", self.message));
        self
    }

    /// The message, and of a panic the file and the line that were [added](Self::at_place) to it.
    ///
    /// ```
    /// # use throughline_model::ErrorInfo;
    /// let info = ErrorInfo::of_panic(&"no rate for EUR").at_place("src/pay.rs:81");
    /// assert_eq!(info.message_and_place(), ("no rate for EUR", Some(("src/pay.rs", 81))));
    /// ```
    pub fn message_and_place(&self) -> (&str, Option<(&str, u32)>) {
        let place = |place: &'_ str| {
            let (file, line) = place.rsplit_once(':').filter(|(file, _)| file.ends_with(".rs"))?;
            Some((file.len(), line.parse().ok()?))
        };
        let is_panic = self.kind == crate::names::errors::PANIC;
        let split = is_panic.then(|| self.message.rsplit_once(AT)).flatten();
        match split.and_then(|(text, at)| place(at).map(|(file, line)| (text, &at[..file], line))) {
            Some((text, file, line)) => (text, Some((file, line))),
            None => (&self.message, None),
        }
    }

    /// The message, of a panic without the place where it happened.
    pub(crate) fn message_without_place(&self) -> &str {
        self.message_and_place().0
    }
}

/// What stands between the message of a panic and its place.
const AT: &str = " at ";

/// A relation of a span to another, other than being its child.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// How they are related.
    pub rel: Relation,
    /// The trace of the other span, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// The other span.
    pub span_id: SpanId,
}

impl Link {
    /// A link to a span of the same trace.
    pub fn to(rel: Relation, span_id: SpanId) -> Self {
        Self { rel, trace_id: None, span_id }
    }
}

/// How a span is related to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Relation {
    /// It undoes what the other did.
    Compensates,
    /// It happened because of the other, a decision.
    DecidedBy,
    /// It retries what the other tried.
    RetryOf,
    /// It happened because of the other, in another trace.
    CausedBy,
    /// It failed because the other did: its error is the other's, on its way up. Known when it happened, not inferred from
    /// texts afterwards.
    FailedBy,
    /// It began the other: the root of a run that has a trace of its own.
    Began,
    /// It ran beside the other, which had failed before it began: the code around them had not continued after that, as with two
    /// branches of a `join!`.
    Beside,
    /// One that this version does not know: written by a later one, or by others.
    Other(Text),
}

impl Relation {
    /// Those that have a meaning here.
    const KNOWN: [Self; 7] = [
        Self::Compensates,
        Self::DecidedBy,
        Self::RetryOf,
        Self::CausedBy,
        Self::FailedBy,
        Self::Began,
        Self::Beside,
    ];

    /// The relation as the JSON of an event has it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Compensates => "compensates",
            Self::DecidedBy => "decided_by",
            Self::RetryOf => "retry_of",
            Self::CausedBy => "caused_by",
            Self::FailedBy => "failed_by",
            Self::Began => "began",
            Self::Beside => "beside",
            Self::Other(name) => name,
        }
    }
}

impl From<Text> for Relation {
    fn from(name: Text) -> Self {
        Self::KNOWN.into_iter().find(|known| known.as_str() == &*name).unwrap_or(Self::Other(name))
    }
}

impl Serialize for Relation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Relation {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> TraceEvent {
        TraceEvent::new(
            TraceId::from_key("loan-42"),
            SpanId::from_u64(7).unwrap(),
            "stage:credit-check",
            Timestamp::from_micros(1_790_000_000_000_000),
            "loan-service",
        )
    }

    #[test]
    fn the_smallest_event_has_the_smallest_json() {
        insta::assert_json_snapshot!(event());
    }

    #[test]
    fn unknown_fields_survive_a_round_trip() {
        let mut json = serde_json::to_value(event()).unwrap();
        json["colour"] = "green".into();
        let read: TraceEvent = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), json);
    }

    #[test]
    fn a_relation_that_is_not_known_survives_a_round_trip_and_has_no_meaning() {
        let mut json = serde_json::to_value(event()).unwrap();
        json["links"] = serde_json::json!([{ "rel": "superseded_by", "span_id": "0000000000000009" }]);
        let read: TraceEvent = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(read.links[0].rel, Relation::Other("superseded_by".into()));
        assert_eq!(serde_json::to_value(&read).unwrap(), json);
        for known in Relation::KNOWN {
            assert_eq!(Relation::from(Text::from(known.as_str().to_owned())), known);
        }
    }

    #[test]
    fn a_message_is_the_same_without_the_place_of_its_panic() {
        let panic = |message: &str| ErrorInfo {
            kind: crate::names::errors::PANIC.into(),
            message: message.to_owned().into(),
            chain: Vec::new(),
        };
        assert_eq!(panic("boom").at_place("src/pay.rs:81").message_without_place(), "boom");
        assert_eq!(panic("boom at noon: 12").message_without_place(), "boom at noon: 12");
        let error = ErrorInfo { kind: "error".into(), ..panic("boom at src/pay.rs:81") };
        assert_eq!(error.message_without_place(), "boom at src/pay.rs:81");
    }

    #[test]
    fn start_and_end_of_a_span_differ_in_identity() {
        let start = event();
        let end = TraceEvent { seq: 1, ..event() };
        assert_ne!(start.id(), end.id());
        assert!(end.id().to_string().ends_with(":0000000000000007:1"));
    }

    #[test]
    fn a_parent_in_another_trace_makes_a_root() {
        let mut event = event();
        assert!(event.is_root());
        event.parent_span_id = SpanId::from_u64(8);
        assert!(!event.is_root());
        event.parent_trace_id = Some(TraceId::from_key("other"));
        assert!(event.is_root());
    }
}
