//! What the store knows of earlier attempts at the same thing.

use throughline_core::names::tags;
use throughline_core::{SpanId, Status, Text, Throughline, TraceEvent, TraceId};

/// A span of a run that was begun earlier, here or in another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EarlierSpan {
    pub(crate) id: SpanId,
    pub(crate) event_type: Text,
    pub(crate) attempt: Option<u32>,
    /// `Pending` if no end was recorded.
    pub(crate) status: Status,
}

/// The spans of a run that carry an attribute, in the order of their starts; compensations are left out. Empty if there
/// is no store, or it does not answer: then a link is missing, which is no reason to hold up the work.
pub(crate) async fn spans_with(
    throughline: &Throughline,
    trace_id: TraceId,
    key: &'static str,
    value: &str,
) -> Vec<EarlierSpan> {
    let Some(reader) = throughline.reader() else { return Vec::new() };
    let value = throughline.findable(value);
    match reader.trace(trace_id).await {
        Ok(events) => spans(events.iter().filter(|event| event.attrs.get(key) == Some(&*value))),
        Err(error) => {
            tracing::warn!(target: "throughline", "an earlier attempt can't be looked up: {error}");
            Vec::new()
        }
    }
}

fn spans<'a>(events: impl Iterator<Item = &'a TraceEvent>) -> Vec<EarlierSpan> {
    let mut spans: Vec<EarlierSpan> = Vec::new();
    for event in events.filter(|event| !event.has_tag(tags::COMPENSATION)) {
        match spans.iter_mut().find(|span| span.id == event.span_id) {
            Some(span) => span.status = event.status,
            None => spans.push(EarlierSpan {
                id: event.span_id,
                event_type: event.event_type.clone(),
                attempt: event.attempt,
                status: event.status,
            }),
        }
    }
    spans
}
