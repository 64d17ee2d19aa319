//! What is true after so many writes, found out from nothing but their descriptions: what the store and the world are
//! compared with.

use throughline::query::CompensationState::{self, Compensated, InDoubt, Interrupted, Standing};
use throughline::query::RunState;

use super::STEPS;

/// Where the file of a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum File {
    There,
    Gone,
    /// The process died between what it did and what it recorded.
    Unknown,
}

/// Of a saga and its run.
#[derive(Debug)]
pub(super) struct Truth {
    /// `None` if nothing is recorded.
    pub(super) run: Option<RunState>,
    /// What the ledger says, the last step first.
    pub(super) entries: Vec<(String, CompensationState)>,
    /// The files, the first step first.
    pub(super) files: Vec<File>,
    pub(super) saga_succeeded: bool,
}

/// After the writes of processes that are all dead.
pub(super) fn after(writes: &[String]) -> Truth {
    let has = |write: &str| writes.iter().any(|other| other == write);
    let has_step = |kind: &str, step: &str, status: &str| has(&format!("{kind}:{step} {status}"));
    let saga_succeeded = has("saga:completed success");
    let (mut entries, mut files) = (Vec::new(), Vec::new());
    for step in STEPS {
        let (state, file) = if has_step("compensate", step, "success") {
            (Some(Compensated), File::Gone)
        } else if has_step("compensate", step, "pending") {
            (Some(Interrupted), File::Unknown)
        } else if has_step("stage", step, "success") {
            (Some(Standing), File::There)
        } else if has_step("stage", step, "pending") {
            (Some(InDoubt), File::Unknown)
        } else {
            (None, File::Gone)
        };
        entries.extend(state.filter(|_| !saga_succeeded).map(|state| (format!("stage:{step}"), state)));
        files.push(file);
    }
    entries.reverse();
    let run = if has("workflow:completed success") {
        Some(RunState::Succeeded)
    } else if has("workflow:failed failed") || has("workflow:abandoned failed") {
        Some(RunState::Failed)
    } else {
        has("workflow:started pending").then_some(RunState::Interrupted)
    };
    Truth { run, entries, files, saga_succeeded }
}
