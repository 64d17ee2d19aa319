//! [`Exemplar`]: the run that a measurement comes from.

use std::cell::Cell;

use throughline_model::{SpanId, TraceEvent, TraceId};

thread_local! {
    static GIVEN: Cell<Option<Exemplar>> = const { Cell::new(None) };
}

/// The run that a measurement comes from, for recorders that keep an example of each bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exemplar {
    /// The run.
    pub trace_id: TraceId,
    /// The span in it.
    pub span_id: SpanId,
}

impl Exemplar {
    /// The run on whose behalf an event is measured, if one is.
    pub(crate) fn given() -> Option<Self> {
        GIVEN.get()
    }

    pub(super) fn of(event: &TraceEvent) -> Self {
        Self { trace_id: event.trace_id, span_id: event.span_id }
    }

    /// Measures on behalf of this run, whichever is current.
    pub(super) fn scope(self, measure: impl FnOnce()) {
        struct Restore(Option<Exemplar>);
        impl Drop for Restore {
            fn drop(&mut self) {
                GIVEN.set(self.0);
            }
        }
        let _restore = Restore(GIVEN.replace(Some(self)));
        measure();
    }
}
