//! What the writer keeps of a run: enough to bring its row up to date without reading its events again.

use rustc_hash::FxHashSet;
use throughline_model::fold::{Change, RunFold};
use throughline_model::{Attrs, SpanId, Text, TraceEvent, TraceId};

/// What the fold keeps of an event; its key is the number of the event.
pub(crate) type Mark = throughline_model::fold::Mark<i64>;

/// A run as its row has it, and what the writer keeps besides.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: i64,
    pub(crate) trace_id: TraceId,
    /// What of its row is out of date.
    pub(crate) change: Change,
    /// Whether it has a row.
    pub(crate) is_stored: bool,
    /// Its state.
    pub(crate) fold: RunFold<i64>,
    /// What a `1` in the column `correlation` of its events stands for.
    pub(crate) correlation: Option<Text>,
    /// What a `1` in the column `attrs` of its events stands for.
    pub(crate) attrs: Attrs,
    /// Hashes of the attributes and decisions that are known to have their rows.
    pub(crate) noted: FxHashSet<u64>,
}

impl Run {
    /// A run of which this is the first event to arrive. It is still to be [added](Self::add).
    pub(crate) fn begin(id: i64, event: &TraceEvent) -> Self {
        Self {
            id,
            trace_id: event.trace_id,
            change: Change::Everything,
            is_stored: false,
            fold: RunFold::new(),
            correlation: event.correlation_id.clone(),
            attrs: event.attrs.clone(),
            noted: FxHashSet::default(),
        }
    }

    /// Adds a new event. Returns the span whose events the caller must pass to [`RunFold::add_missing`], if there is
    /// one.
    pub(crate) fn add(&mut self, id: i64, event: &TraceEvent) -> Option<SpanId> {
        let added = self.fold.add(id, event);
        self.change = self.change.max(added.change);
        added.missing_span
    }
}
