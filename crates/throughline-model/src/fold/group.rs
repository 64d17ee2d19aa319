//! [`by_span`], for those that need all events of a span.

use std::collections::HashMap;

use super::{Position, place_in_span};
use crate::{SpanId, TraceEvent, TraceId};

/// The events of one run, or of several, span by span. Those of a span stand in [its order](place_in_span), each
/// identity once, and there is at least one; the spans stand in the order of their first events.
pub fn by_span<'e>(events: impl IntoIterator<Item = &'e TraceEvent>) -> Vec<Vec<&'e TraceEvent>> {
    let mut by_id: HashMap<(TraceId, SpanId), usize> = HashMap::new();
    let mut spans: Vec<Vec<&TraceEvent>> = Vec::new();
    for event in events {
        let at = *by_id.entry((event.trace_id, event.span_id)).or_insert_with(|| {
            spans.push(Vec::new());
            spans.len() - 1
        });
        spans[at].push(event);
    }
    for span in &mut spans {
        span.sort_by_key(|event| place_in_span(event));
        span.dedup_by_key(|event| event.id());
    }
    spans.sort_by_cached_key(|span| Position::of(span[0]));
    spans
}
