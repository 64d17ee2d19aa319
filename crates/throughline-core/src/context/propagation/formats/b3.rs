//! B3, in one header or in several.

use super::super::TraceParent;
use super::{Seen, only, padded};

/// `{trace}-{span}`, `{trace}-{span}-{sampled}` or `{trace}-{span}-{sampled}-{parent}`. A decision alone begins no trace.
pub(super) fn parse(value: &str) -> Option<TraceParent> {
    let mut parts = value.split('-');
    let (trace, span) = (parts.next()?, parts.next()?);
    let sampled = match parts.next() {
        None | Some("1" | "d") => true,
        Some("0") => false,
        Some(_) => return None,
    };
    if let Some(parent) = parts.next() {
        padded(parent, 16).filter(|_| parent.len() == 16)?;
    }
    if parts.next().is_some() {
        return None;
    }
    parent(trace, span, sampled)
}

/// `x-b3-traceid`, `x-b3-spanid`, `x-b3-sampled` and `x-b3-flags`.
pub(super) fn parse_many(seen: &Seen<'_>) -> Option<TraceParent> {
    let is_debug = only(&seen.b3_flags) == Some("1");
    let sampled = match seen.b3_sampled.as_slice() {
        [] => true,
        _ => match only(&seen.b3_sampled)? {
            // `true` and `false` are those of older senders.
            "1" | "true" => true,
            "0" | "false" => false,
            _ => return None,
        },
    };
    parent(only(&seen.b3_trace)?, only(&seen.b3_span)?, sampled || is_debug)
}

/// The id of a trace has 32 digits, or the last 16 of them.
fn parent(trace: &str, span: &str, sampled: bool) -> Option<TraceParent> {
    let is_long_enough = [16, 32].contains(&trace.len()) && span.len() == 16;
    let (trace, span) = (padded(trace, 32).filter(|_| is_long_enough)?, padded(span, 16)?);
    Some(TraceParent { trace_id: trace.parse().ok()?, span_id: span.parse().ok()?, sampled, random: false })
}

pub(super) fn write(parent: TraceParent) -> String {
    format!("{}-{}-{}", parent.trace_id, parent.span_id, u8::from(parent.sampled))
}

pub(super) fn write_many(parent: TraceParent) -> [(String, String); 3] {
    [
        ("x-b3-traceid", parent.trace_id.to_string()),
        ("x-b3-spanid", parent.span_id.to_string()),
        ("x-b3-sampled", u8::from(parent.sampled).to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
}
