//! What an earlier process life left behind: names and statuses, never payloads.

use std::collections::HashMap;

use super::TraceContext;
use throughline_model::names::{attrs, tags};
use throughline_model::{Rel, SpanId, Status, Text, TraceEvent};

/// The spans of a run that was interrupted.
#[derive(Debug)]
pub(crate) struct EarlierLife {
    spans: Vec<EarlierSpan>,
    by_id: HashMap<SpanId, usize>,
}

/// A span of an earlier life.
#[derive(Debug)]
pub(crate) struct EarlierSpan {
    pub(crate) id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) event_type: Text,
    /// `Pending` if it never ended.
    pub(crate) status: Status,
    pub(crate) saga: Option<Text>,
    pub(crate) resource: Option<Text>,
    pub(crate) compensable: bool,
    pub(crate) attempt: Option<u32>,
    /// The place of its next event.
    pub(crate) next_seq: u32,
    /// Its place in the order of ends.
    pub(crate) ended: Option<usize>,
    /// Whether a compensation of it ended well.
    pub(crate) undone: bool,
}

impl EarlierLife {
    /// Of the events of one trace, in their order.
    pub(crate) fn of(events: &[TraceEvent]) -> Self {
        let mut life = Self { spans: Vec::new(), by_id: HashMap::new() };
        let mut compensates: HashMap<SpanId, Vec<SpanId>> = HashMap::new();
        for (at, event) in events.iter().enumerate() {
            let index = *life.by_id.entry(event.span_id).or_insert_with(|| {
                life.spans.push(EarlierSpan {
                    id: event.span_id,
                    parent: event.parent_span_id,
                    event_type: event.event_type.clone(),
                    status: Status::Pending,
                    saga: event.attrs.get(attrs::SAGA).map(|name| name.to_owned().into()),
                    resource: None,
                    compensable: false,
                    attempt: event.attempt,
                    next_seq: 0,
                    ended: None,
                    undone: false,
                });
                life.spans.len() - 1
            });
            let originals = event.links.iter().filter(|link| link.rel == Rel::Compensates);
            compensates.entry(event.span_id).or_default().extend(originals.map(|link| link.span_id));
            let span = &mut life.spans[index];
            span.next_seq = span.next_seq.max(event.seq + 1);
            span.compensable |= event.has_tag(tags::COMPENSABLE);
            if let Some(resource) = event.attrs.get(attrs::RESOURCE) {
                span.resource = Some(resource.to_owned().into());
            }
            if event.status != Status::Pending {
                span.status = event.status;
                span.ended = Some(at);
                if event.status == Status::Success {
                    for original in compensates.remove(&event.span_id).unwrap_or_default() {
                        if let Some(index) = life.by_id.get(&original) {
                            life.spans[*index].undone = true;
                        }
                    }
                }
            }
        }
        life
    }

    /// The saga of this name that never ended, if there is one.
    pub(crate) fn open_saga(&self, name: &str) -> Option<&EarlierSpan> {
        let open = |span: &&EarlierSpan| span.status == Status::Pending && span.saga.as_deref() == Some(name);
        self.spans.iter().filter(|span| span.event_type.starts_with("saga:")).find(open)
    }

    /// The spans directly below another, in the order of their starts.
    pub(crate) fn children(&self, parent: SpanId) -> impl Iterator<Item = &EarlierSpan> {
        self.spans.iter().filter(move |span| span.parent == Some(parent))
    }

    fn has_completed(&self, event_type: &str) -> bool {
        self.spans.iter().any(|span| span.status == Status::Success && span.event_type == event_type)
    }
}

impl TraceContext {
    /// Whether a step of this name ended well before the process died, in a run that was
    /// [resumed](crate::Throughline::resume); `false` in every other run.
    pub fn completed_before(&self, event_type: &str) -> bool {
        self.0.run.earlier.as_ref().is_some_and(|earlier| earlier.has_completed(event_type))
    }
}
