//! The format of Jaeger's own clients.

use throughline_model::Attrs;

use super::super::{TraceParent, baggage};
use super::padded;
use crate::env::percent_decoded;

/// `{trace}:{span}:{parent}:{flags}`, perhaps percent-encoded; zeros in front may be left out. The parent counts for nothing.
pub(super) fn parse(value: &str) -> Option<TraceParent> {
    let value = String::from_utf8(percent_decoded(value.as_bytes())?).ok()?;
    let mut parts = value.split(':');
    let (trace, span, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || (!parent.is_empty() && padded(parent, 16).is_none()) {
        return None;
    }
    let flags = u8::from_str_radix(&padded(flags, 2)?, 16).ok()?;
    Some(TraceParent {
        trace_id: padded(trace, 32)?.parse().ok()?,
        span_id: padded(span, 16)?.parse().ok()?,
        // Debugged is sampled.
        sampled: flags & 3 != 0,
        random: false,
    })
}

pub(super) fn write(parent: TraceParent) -> String {
    format!("{}:{}:0:{}", parent.trace_id, parent.span_id, u8::from(parent.sampled))
}

/// `uberctx-{name}`, whose limits are those of baggage.
pub(super) fn parse_baggage(headers: &[(&str, &[u8])]) -> Attrs {
    let list = headers.iter().map(|(name, value)| [name.as_bytes(), b"=", value].concat());
    let list: Vec<_> = list.collect();
    baggage::parse(list.iter().map(Vec::as_slice)).0
}

pub(super) fn write_baggage(members: &Attrs) -> Vec<(String, String)> {
    let named = |(name, value): (&str, String)| (format!("uberctx-{}", name.to_ascii_lowercase()), value);
    baggage::render_each(members).map(named).collect()
}
