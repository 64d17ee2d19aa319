//! The timings of a run as a transaction of Sentry.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use sentry::protocol::{Context, Span, SpanStatus, TraceContext, Transaction};
use throughline_core::{SpanId, Status, TraceEvent, TraceId};

use crate::recent::{Entry, Story};
use crate::report::time;

/// Whether a run is among this share, by the low 64 bits of its trace id, of which the upper bits decide: as the ratio
/// samplers of OpenTelemetry do it.
pub(crate) fn is_chosen(trace_id: TraceId, share: f32) -> bool {
    let bytes = trace_id.to_bytes();
    let low = bytes[8..].iter().fold(0_u64, |low, byte| low << 8 | u64::from(*byte));
    share >= 1.0 || (low >> 1) < (f64::from(share) * (1_u64 << 63) as f64) as u64
}

/// The spans of a run whose root has just ended, as far as they are kept.
pub(crate) fn transaction(root: &Arc<TraceEvent>, story: &Story) -> Transaction<'static> {
    let name = root.workflow.as_ref().map_or_else(|| root.span_name().into_owned(), ToString::to_string);
    let trace_id = root.trace_id.to_bytes().into();
    let context = TraceContext {
        trace_id,
        span_id: span_id(root.span_id),
        parent_span_id: root.parent_span_id.map(span_id),
        op: Some(operation(root)),
        status: Some(status(root.status)),
        ..TraceContext::default()
    };
    let ends = story.entries.iter().filter_map(|entry| match entry {
        Entry::Event(event) if event.span_id != root.span_id => event.duration_us.map(|us| (event, us)),
        _ => None,
    });
    // The last word on each span.
    let ends: HashMap<SpanId, (&Arc<TraceEvent>, u64)> =
        ends.map(|(event, us)| (event.span_id, (event, us))).collect();
    let mut spans: Vec<Span> = ends
        .into_values()
        .map(|(event, us)| Span {
            span_id: span_id(event.span_id),
            trace_id,
            parent_span_id: event.parent_span_id.map(span_id),
            op: Some(operation(event)),
            description: Some(event.span_name().into_owned()),
            start_timestamp: began(event, us),
            timestamp: Some(time(event.timestamp)),
            status: Some(status(event.status)),
            ..Span::default()
        })
        .collect();
    spans.sort_by_key(|span| span.start_timestamp);
    Transaction {
        name: Some(name),
        start_timestamp: began(root, root.duration_us.unwrap_or_default()),
        timestamp: Some(time(root.timestamp)),
        contexts: BTreeMap::from([("trace".to_owned(), Context::from(context))]),
        spans,
        ..Transaction::default()
    }
}

fn began(end: &TraceEvent, us: u64) -> std::time::SystemTime {
    time(end.timestamp.minus(Duration::from_micros(us)))
}

fn span_id(id: SpanId) -> sentry::protocol::SpanId {
    id.to_u64().to_be_bytes().into()
}

fn operation(event: &TraceEvent) -> String {
    event.event_type.split(':').next().unwrap_or_default().to_owned()
}

fn status(status: Status) -> SpanStatus {
    match status {
        Status::Success => SpanStatus::Ok,
        Status::Cancelled => SpanStatus::Cancelled,
        Status::Failed => SpanStatus::InternalError,
        Status::Pending => SpanStatus::UnknownError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_runs_is_chosen_and_a_greater_one_has_them_too() {
        let ids: Vec<_> = (0..20_000).map(|_| TraceId::random()).collect();
        let chosen = |share| ids.iter().filter(|id| is_chosen(**id, share)).count();
        assert_eq!((chosen(0.0), chosen(1.0)), (0, ids.len()));
        assert!((1_700..2_300).contains(&chosen(0.1)), "{}", chosen(0.1));
        assert!(ids.iter().all(|id| !is_chosen(*id, 0.1) || is_chosen(*id, 0.5)));
    }
}
