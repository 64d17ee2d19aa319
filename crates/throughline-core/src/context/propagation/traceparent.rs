//! `traceparent`: where the caller stands.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use throughline_model::{SpanId, TraceId};

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
    "`{input}` is not a traceparent: expected 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, in lower case"
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

pub(super) fn parse(text: &str) -> Option<TraceParent> {
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
}
