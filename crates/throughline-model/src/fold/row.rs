//! [`RunRow`]: the few events that the fold and the summary of a run are made of, for a store that keeps them as JSON.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Mark, RootMarks, RunFold, RunMarks};
use crate::names::OF_SPAN_ATTRS;
use crate::{Attrs, FailureSummary, RootSummary, RunState, RunSummary, Timestamp, TraceEvent};
use serde::{Deserialize, Serialize};
use serde_json::Map;

/// A fold whose keys are the events themselves, in [outline](outline()).
pub type RowFold = RunFold<Arc<TraceEvent>>;

/// What a store keeps of a run beside the columns that it searches by, if it keeps that as JSON: of the events that the
/// [fold](RowFold) and the summary of the run are made of, the [outlines](outline()).
///
/// ```
/// use throughline_model::fold::{RowCause, RowFold, RunRow, outline};
/// use throughline_model::{RunState, SpanId, Timestamp, TraceEvent, TraceId};
///
/// let root = SpanId::from_u64(1).ok_or("a span id is not zero")?;
/// let at = Timestamp::from_micros(10);
/// let event = TraceEvent::new(TraceId::from_key("loan-42"), root, "workflow:started", at, "loan-service");
/// let mut fold = RowFold::new();
/// let _ = fold.add(outline(&event), &event);
///
/// let json = serde_json::to_string(&RunRow::of(&fold, RowCause::None))?;
/// let row: RunRow = serde_json::from_str(&json)?;
/// assert_eq!(row.restore(at, false, &[]), fold);
/// assert!(row.summary(RunState::Succeeded, at, Some(at)).is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
// Most of the numbers are the same, for most runs begin with the event that says everything.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRow {
    /// In outline, each once; the others are places in this list.
    events: Vec<Arc<TraceEvent>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    head: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    names_workflow: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    names_correlation_id: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<usize>,
    /// Which step the cause is in, and of how many, which may be a step around it: what is kept of the event is also what is said of a first
    /// failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause_step: Option<(u32, Option<u32>)>,
    /// Whether the run was too long for its cause to be found when it was written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_cause_unknown: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    has_detached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_us: Option<u64>,
}

/// What brought a run down, as far as the writer of its row looked.
#[derive(Debug)]
pub enum RowCause {
    /// Nothing did.
    None,
    /// The failure that did, with the number of the [step that it is in](FailureSummary::among).
    Found(Box<TraceEvent>),
    /// Something may have, and nobody looked.
    Unknown,
}

/// An event with nothing but what a fold, a summary and a list of runs show of it.
pub fn outline(event: &TraceEvent) -> Arc<TraceEvent> {
    let mut shown = Attrs::new();
    for key in OF_SPAN_ATTRS {
        if let Some(value) = event.attrs.get(key) {
            shown = shown.with(key, value.to_owned());
        }
    }
    // Without `..`: a new field does not compile until somebody has said whether it belongs here.
    let TraceEvent {
        v,
        trace_id,
        span_id,
        seq,
        parent_span_id,
        parent_trace_id,
        correlation_id,
        event_type,
        timestamp,
        instance,
        n,
        status,
        duration_us,
        error,
        attrs: _,
        data: _,
        tags,
        links,
        service,
        workflow,
        attempt,
        step_index,
        step_total,
        extra: _,
    } = event;
    Arc::new(TraceEvent {
        v: *v,
        trace_id: *trace_id,
        span_id: *span_id,
        seq: *seq,
        parent_span_id: *parent_span_id,
        parent_trace_id: *parent_trace_id,
        correlation_id: correlation_id.clone(),
        event_type: event_type.clone(),
        timestamp: *timestamp,
        instance: *instance,
        n: *n,
        status: *status,
        duration_us: *duration_us,
        error: error.clone(),
        attrs: shown,
        data: None,
        tags: tags.clone(),
        links: links.clone(),
        service: service.clone(),
        workflow: workflow.clone(),
        attempt: *attempt,
        step_index: *step_index,
        step_total: *step_total,
        extra: Map::new(),
    })
}

impl RunRow {
    /// The row of a run, from its fold.
    pub fn of(fold: &RowFold, cause: RowCause) -> Self {
        let mut row = Self {
            is_cause_unknown: matches!(cause, RowCause::Unknown),
            has_detached: fold.has_detached(),
            duration_us: fold.duration_us(),
            ..Self::default()
        };
        row.root = row.keep(fold.root());
        row.head = row.keep(fold.head());
        row.last = row.keep(fold.last());
        row.failure = row.keep(fold.first_failure());
        row.names_workflow = row.keep(fold.names_workflow());
        row.names_correlation_id = row.keep(fold.names_correlation_id());
        if let RowCause::Found(event) = cause {
            row.cause = Some(row.place_of(&outline(&event)));
            row.cause_step = event.step_index.map(|index| (index, event.step_total));
        }
        row
    }

    fn keep(&mut self, mark: Option<&Mark<Arc<TraceEvent>>>) -> Option<usize> {
        mark.map(|mark| self.place_of(&mark.key))
    }

    fn place_of(&mut self, event: &Arc<TraceEvent>) -> usize {
        let known = self.events.iter().position(|kept| kept.id() == event.id());
        known.unwrap_or_else(|| {
            self.events.push(Arc::clone(event));
            self.events.len() - 1
        })
    }

    fn event(&self, place: Option<usize>) -> Option<&Arc<TraceEvent>> {
        self.events.get(place?)
    }

    /// Whether no event of the run was ever added.
    pub fn is_new(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether no root event is known, so that the fold is made of all events.
    pub fn is_rootless(&self) -> bool {
        self.root.is_none()
    }

    /// Whether anything was detached from the run, so that [`restore`](Self::restore) wants events.
    pub fn has_detached(&self) -> bool {
        self.has_detached
    }

    /// Whether the cause is to be found from the events.
    pub fn is_cause_unknown(&self) -> bool {
        self.is_cause_unknown
    }

    /// The fold of a run that [has a root](Self::is_rootless): with these columns of its row and, if anything is
    /// [detached](Self::has_detached), the last event (or all) of each detached span.
    pub fn restore(&self, started: Timestamp, is_compensating: bool, detached: &[TraceEvent]) -> RowFold {
        let mark = |place| self.event(place).map(|event| Mark::of(Arc::clone(event), event));
        let root = match (mark(self.root), mark(self.head), mark(self.last)) {
            (Some(root), Some(head), Some(last)) => Some(RootMarks { root, head, last }),
            _ => None,
        };
        let retried: HashSet<_> =
            detached.iter().filter(|event| event.is_detached()).flat_map(TraceEvent::retried).collect();
        RowFold::restore(RunMarks {
            started,
            root,
            rootless: Vec::new(),
            detached: detached.iter().map(|event| Mark::of(outline(event), event)).collect(),
            retried,
            names_workflow: mark(self.names_workflow),
            names_correlation_id: mark(self.names_correlation_id),
            first_failure: mark(self.failure),
            is_compensating,
        })
    }

    /// The failure that a run is counted by: its cause, or else its first.
    pub fn blamed(&self) -> Option<&TraceEvent> {
        self.event(self.cause).or_else(|| self.event(self.failure)).map(|event| &**event)
    }

    /// Completes a summary with what is kept here; `None` if nothing is.
    pub fn summary(
        &self,
        state: RunState,
        started: Timestamp,
        ended: Option<Timestamp>,
    ) -> Option<RunSummary> {
        let head = self.event(self.head)?;
        let failure = |place| self.event(place).map(|event| FailureSummary::from(&**event));
        let named = |place| self.event(place);
        let mut summary = RunSummary::new(head.trace_id, state, &head.service, started);
        summary.workflow = head.workflow.clone().or_else(|| named(self.names_workflow)?.workflow.clone());
        summary.correlation_id =
            head.correlation_id.clone().or_else(|| named(self.names_correlation_id)?.correlation_id.clone());
        summary.root = self.event(self.last).map(|last| RootSummary::of(head, last.status));
        summary.ended = ended;
        summary.duration_us = self.duration_us;
        summary.first_failure = failure(self.failure);
        summary.cause = failure(self.cause);
        if let (Some(cause), Some((index, total))) = (&mut summary.cause, self.cause_step) {
            (cause.step_index, cause.step_total) = (Some(index), total);
        }
        Some(summary)
    }
}
