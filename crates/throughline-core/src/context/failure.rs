//! Why a step never began, or an event was not recorded.

use throughline_model::{AppendError, Text};

use crate::delivery::DeliveryFailure;

/// Why a step or a run never began. Its future was not polled; nothing of it has happened (but see
/// [`Durability::Pipelined`](crate::Durability::Pipelined)).
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotStarted {
    /// Its start could not be recorded.
    #[error("not started: {0}")]
    NotRecorded(#[from] NotRecorded),
    /// The key of a run looks like personal data, and there is no key to make a pseudonym with.
    #[error(
        "not started: the key of the run looks like personal data ({found}); use another key, or give the redaction a .pseudonym_key(..)"
    )]
    TellingKey {
        /// The key, redacted.
        found: String,
    },
    /// The run to resume is not there.
    #[error("not started: there is no run {0} to resume")]
    NoSuchRun(crate::TraceId),
    /// The run to resume has ended.
    #[error("not started: the run {trace_id} has ended as {state}; there is nothing to resume")]
    HasEnded {
        /// The run.
        trace_id: crate::TraceId,
        /// How it ended.
        state: crate::RunState,
    },
    /// The run to resume is at work in a living process.
    #[error(
        "not started: the run {0} is running in another process; only what a dead process left can be resumed"
    )]
    StillRunning(crate::TraceId),
    /// A saga was undoing its steps when its process died: it can be [undone](crate::SagaBuilder::undo), not run.
    #[error("not started: the saga `{saga}` was being undone when its process died; go on with .undo()")]
    BeingUndone {
        /// The saga's name.
        saga: Text,
    },
    /// There is no saga of this name that the previous instance left open.
    #[error("not started: no saga `{saga}` was left open by an earlier process; there is nothing to undo")]
    NoSuchSaga {
        /// The saga's name.
        saga: Text,
    },
    /// The store could not be asked what is there to resume.
    #[error("not started: {0}")]
    NotRead(std::sync::Arc<crate::ReadError>),
}

/// Why an event was not recorded.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotRecorded {
    /// The store did not take it.
    #[error("{reason}")]
    Store {
        /// What the store said, and how often it was asked.
        reason: Text,
        /// Whether it may take it later.
        retryable: bool,
    },
    /// The emitter has been shut down.
    #[error("the emitter has been shut down")]
    ShutDown,
}

impl NotRecorded {
    pub(crate) fn of(failure: &DeliveryFailure) -> Self {
        match failure.error {
            AppendError::Broken { .. } if failure.attempts == 0 => Self::ShutDown,
            _ => Self::Store { reason: failure.to_string().into(), retryable: failure.error.is_retryable() },
        }
    }

    /// Whether the same may be recorded later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Store { retryable: true, .. })
    }
}

impl NotStarted {
    /// Whether the same may start later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotRecorded(cause) => cause.is_retryable(),
            Self::NotRead(cause) => cause.is_retryable(),
            Self::StillRunning(_) => true,
            _ => false,
        }
    }
}
