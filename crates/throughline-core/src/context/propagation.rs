//! How a context crosses process borders: `traceparent`, `tracestate` and baggage.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::TraceContext;
use crate::{Attrs, SpanId, Text, TraceId};

/// The longest `tracestate` that travels on, in bytes.
const TRACESTATE_LIMIT: usize = 512;
/// The most baggage that travels on, in members and bytes, as
/// [W3C Baggage](https://www.w3.org/TR/baggage/#limits) requires at least.
const BAGGAGE_MEMBERS: usize = 64;
const BAGGAGE_LIMIT: usize = 8192;
/// The baggage member that carries the business key.
const CORRELATION_ID: &str = "throughline.correlation_id";

/// The `traceparent` of [W3C Trace Context, level 2](https://www.w3.org/TR/trace-context-2/#traceparent-header).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct TraceParent {
    /// The trace.
    pub trace_id: TraceId,
    /// The span that the receiver's root has as its parent.
    pub span_id: SpanId,
    /// Whether the sender may have recorded it.
    pub sampled: bool,
    /// Whether the trace id was made at random; an id from a key was not.
    pub random: bool,
}

impl TraceParent {
    /// The parent of what is caused by a span; recorded, and with a random trace id.
    pub fn new(trace_id: TraceId, span_id: SpanId) -> Self {
        Self { trace_id, span_id, sampled: true, random: true }
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled) | u8::from(self.random) << 1;
        write!(f, "00-{}-{}-{flags:02x}", self.trace_id, self.span_id)
    }
}

/// Why a text is not a `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{input}` is not a traceparent: want 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, in lower case"
)]
pub struct ParseTraceParentError {
    input: String,
}

impl FromStr for TraceParent {
    type Err = ParseTraceParentError;

    /// Reads version 00 strictly, and of later versions what this one knows, as the standard has it.
    fn from_str(text: &str) -> Result<Self, ParseTraceParentError> {
        parse(text).ok_or_else(|| ParseTraceParentError { input: text.chars().take(64).collect() })
    }
}

fn parse(text: &str) -> Option<TraceParent> {
    let mut parts = text.splitn(5, '-');
    let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let (version, flags) = (hex_byte(version)?, hex_byte(flags)?);
    let more = parts.next().is_some();
    if version == 0xff || (version == 0 && more) {
        return None;
    }
    Some(TraceParent {
        trace_id: trace_id.parse().ok()?,
        span_id: span_id.parse().ok()?,
        sampled: flags & 1 != 0,
        random: flags & 2 != 0,
    })
}

fn hex_byte(text: &str) -> Option<u8> {
    let lower_hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    (text.len() == 2 && text.bytes().all(lower_hex)).then(|| u8::from_str_radix(text, 16).ok())?
}

impl Serialize for TraceParent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceParent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What travels with a request or a job, so that the receiver goes on in the same trace. As JSON it can be a field
/// of the job; its parts are the headers of the same names.
///
/// ```
/// # use throughline_core::{Propagation, Throughline, TraceContext, NotStarted};
/// # async fn example(ctx: TraceContext, throughline: Throughline) -> Result<(), Box<dyn std::error::Error>> {
/// // The producer:
/// let job = serde_json::json!({ "loan": "loan-42", "context": ctx.propagation() });
///
/// // The worker:
/// let context: Propagation = serde_json::from_value(job["context"].clone())?;
/// throughline
///     .workflow("disbursement")
///     .continue_from(context)
///     .run(|ctx| async move { Ok::<_, NotStarted>(()) })
///     .await??;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Propagation {
    /// Where the sender stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<TraceParent>,
    /// What other tracing systems send along; travels on as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<Text>,
    /// Names and values that travel along.
    #[serde(default, skip_serializing_if = "Attrs::is_empty")]
    pub baggage: Attrs,
}

/// The names in the baggage alone: what came with a request may be anything.
impl fmt::Debug for Propagation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.baggage.iter().map(|(name, _)| name).collect();
        f.debug_struct("Propagation")
            .field("traceparent", &self.traceparent)
            .field("baggage", &names)
            .finish_non_exhaustive()
    }
}

impl Propagation {
    /// Reads the headers `traceparent`, `tracestate` and `baggage`. What is malformed is passed over: the receiver
    /// then begins a trace of its own.
    pub fn from_headers(traceparent: Option<&str>, tracestate: Option<&str>, baggage: Option<&str>) -> Self {
        let traceparent: Option<TraceParent> = traceparent.and_then(|text| text.trim().parse().ok());
        let tracestate = tracestate
            // Without a valid traceparent the tracestate must not be used.
            .filter(|state| traceparent.is_some() && !state.is_empty() && state.len() <= TRACESTATE_LIMIT)
            .filter(|state| state.bytes().all(|c| matches!(c, b' '..=b'~')))
            .map(|state| Text::from(state.to_owned()));
        Self { traceparent, tracestate, baggage: baggage.map(parse_baggage).unwrap_or_default() }
    }

    /// The value of the `baggage` header; `None` if there is nothing to send.
    pub fn baggage_header(&self) -> Option<String> {
        let mut header = String::new();
        for (key, value) in self.baggage.iter().take(BAGGAGE_MEMBERS) {
            let separator = if header.is_empty() { "" } else { "," };
            let member = format!("{separator}{key}={}", percent_encode(value));
            if header.len() + member.len() > BAGGAGE_LIMIT {
                break;
            }
            header.push_str(&member);
        }
        (!header.is_empty()).then_some(header)
    }

    /// The business key of the run that the sender works for.
    pub(super) fn correlation_id(&self) -> Option<&str> {
        self.baggage.get(CORRELATION_ID)
    }
}

fn parse_baggage(header: &str) -> Attrs {
    if header.len() > BAGGAGE_LIMIT {
        return Attrs::new();
    }
    let member = |member: &str| {
        let (key, value) = member.split(';').next()?.split_once('=')?;
        let (key, value) = (key.trim(), percent_decode(value.trim())?);
        let token = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
        (!key.is_empty() && key.bytes().all(token)).then(|| (Text::from(key.to_owned()), Text::from(value)))
    };
    header.split(',').take(BAGGAGE_MEMBERS).filter_map(member).collect()
}

fn percent_encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn percent_decode(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if first == b'%' {
            let digits = std::str::from_utf8(tail.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8(bytes).ok()
}

impl TraceContext {
    /// What to send along with an outgoing request or a job. A root that is written lazily is written by this: the
    /// receiver's events will hang on it.
    pub fn propagation(&self) -> Propagation {
        let span = super::current::parent_for(&self.0);
        let run = &*span.run;
        span.ensure_root();
        let baggage = match &run.correlation_id {
            Some(id) => run.baggage.with(CORRELATION_ID, id),
            None => run.baggage.clone(),
        };
        Propagation {
            traceparent: Some(TraceParent {
                trace_id: run.trace_id,
                span_id: span.id,
                sampled: run.sampled,
                random: run.random,
            }),
            tracestate: run.tracestate.clone(),
            baggage,
        }
    }

    /// The `traceparent` to send along: [`propagation`](Self::propagation) without the rest.
    pub fn traceparent(&self) -> String {
        self.propagation().traceparent.map(|parent| parent.to_string()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";

    #[test]
    fn a_valid_traceparent_survives() {
        let parent: TraceParent = VALID.parse().unwrap();
        assert!(parent.sampled && parent.random);
        assert_eq!(parent.to_string(), VALID);
    }

    #[test]
    fn malformed_traceparents_are_refused_and_later_versions_are_read() {
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-+1",
        ] {
            assert!(bad.parse::<TraceParent>().is_err(), "{bad}");
        }
        assert!(
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more".parse::<TraceParent>().is_ok()
        );
    }

    #[test]
    fn baggage_survives_its_header_and_what_is_malformed_is_passed_over() {
        let read = Propagation::from_headers(
            None,
            None,
            Some("tenant=acme%20bank;prop=1, bad, =x, user=%C3%A9, b=%zz"),
        );
        assert_eq!(read.baggage.get("tenant"), Some("acme bank"));
        assert_eq!(read.baggage.get("user"), Some("é"));
        assert_eq!(read.baggage.len(), 2);
        let again = Propagation::from_headers(None, None, read.baggage_header().as_deref());
        assert_eq!(again, read);
    }

    #[test]
    fn tracestate_counts_only_with_a_valid_traceparent() {
        assert!(Propagation::from_headers(Some("rubbish"), Some("a=1"), None).tracestate.is_none());
        assert!(Propagation::from_headers(Some(VALID), Some("a=1"), None).tracestate.is_some());
    }
}
