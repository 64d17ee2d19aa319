//! [`Known`]: what is worked out of all events of a run, once.

use std::sync::OnceLock;

use throughline_model::fold::Found;
use throughline_model::{RunState, RunSummary};

#[derive(Default)]
pub(super) struct Known {
    pub(super) run: OnceLock<Option<Run>>,
    /// What went wrong, and where.
    pub(super) found: OnceLock<Option<Found>>,
}

/// How the run stands.
pub(super) struct Run {
    /// The span that decides the state, and the state.
    pub(super) decided_by: Option<(u32, RunState)>,
    pub(super) may_have_cause: bool,
    /// All but the cause.
    pub(super) summary: RunSummary,
}
