//! What a run is called, and the colour of its state.

use anstyle::{AnsiColor, Style};
pub(crate) use throughline_core::beside::kind_of;
use throughline_core::query::elide;
use throughline_core::{FailureSummary, RunState, RunSummary};

use super::text::{clean, short_id};

/// How many columns a name takes at most where more is said beside it.
const NAME: usize = 40;

/// What to call a run: by its key, or else by what kind of run it is.
pub(crate) fn name_of(run: &RunSummary) -> String {
    match (&run.correlation_id, kind_of(run)) {
        (Some(key), _) => clean(key).into_owned(),
        (None, "") => short_id(run.trace_id),
        (None, kind) => clean(kind).into_owned(),
    }
}

/// What failed, and with which error.
pub(crate) fn failure_of(failure: &FailureSummary) -> String {
    let error = failure.error.as_ref().map_or_else(String::new, |error| format!(": {}", error.message));
    format!("{}{error}", elide(&failure.name, NAME))
}

/// The colour of a state.
pub(crate) fn state_style(state: RunState) -> Style {
    match state {
        RunState::Failed | RunState::Interrupted => AnsiColor::Red.on_default(),
        RunState::Cancelled | RunState::Unfinished => AnsiColor::Yellow.on_default(),
        RunState::Running => AnsiColor::Cyan.on_default(),
        _ => AnsiColor::Green.on_default(),
    }
}
