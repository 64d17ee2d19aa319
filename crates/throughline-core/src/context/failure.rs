//! Why a step never began, or an event was not recorded.

use throughline_model::{AppendError, Text};

use crate::delivery::DeliveryFailure;

/// Why something was not recorded: an event, a step or a run. A step or a run has not begun: its future was not polled, and
/// nothing has happened (but see [`Durability::Pipelined`](crate::Durability::Pipelined)).
///
/// It is one type for all of them, so that an error type needs only one variant for it:
///
/// ```
/// use throughline_core::{NotRecorded, TraceContext};
///
/// #[derive(Debug, thiserror::Error)]
/// enum LoanError {
///     #[error("the credit bureau did not answer")]
///     Bureau(#[from] std::io::Error),
///     #[error(transparent)]
///     NotRecorded(#[from] NotRecorded),
/// }
///
/// # async fn ask_bureau() -> Result<u32, std::io::Error> { Ok(712) }
/// async fn score(ctx: &TraceContext) -> Result<u32, LoanError> {
///     let score = ctx.trace("stage:credit-check", ask_bureau()).await??;
///     ctx.event("business:scored", serde_json::json!({ "score": score })).await?;
///     Ok(score)
/// }
/// ```
///
/// In an axum handler, `HandlerError` of `throughline-tower` responds with 503 if this is the cause.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotRecorded {
    /// The store did not accept it.
    #[error("not recorded: {reason}")]
    Store {
        /// The error of the store, and the number of attempts.
        reason: Text,
        /// Whether a retry may succeed.
        retryable: bool,
    },
    /// The emitter has been shut down.
    #[error("not recorded: the emitter has been shut down")]
    ShutDown,
    /// The key of a run looks like personal data, and there is no key to make a pseudonym with.
    #[error(
        "not started: the key of the run looks like personal data ({found}); use another key, or give the redaction a .pseudonym_key(..)"
    )]
    PersonalKey {
        /// The key, redacted.
        found: String,
    },
    /// The run to resume does not exist.
    #[error("not resumed: there is no run {0}")]
    NoSuchRun(throughline_model::TraceId),
    /// The run to resume has ended.
    #[error("not resumed: the run {trace_id} has ended as {state}")]
    HasEnded {
        /// The run.
        trace_id: throughline_model::TraceId,
        /// How it ended.
        state: throughline_model::RunState,
    },
    /// The run to resume is running in another process.
    #[error(
        "not resumed: the run {0} is running in another process; only what a dead process left behind can be resumed"
    )]
    StillRunning(throughline_model::TraceId),
    /// A saga was undoing its steps when its process died: it can be [undone](crate::SagaBuilder::undo), not run.
    #[error("not started: the saga `{saga}` was being undone when its process died; continue with .undo()")]
    BeingUndone {
        /// The saga's name.
        saga: Text,
    },
    /// There is no saga of this name that the previous instance left open.
    #[error("nothing to undo: no saga `{saga}` was left open by an earlier process")]
    NoSuchSaga {
        /// The saga's name.
        saga: Text,
    },
    /// The store could not be read to find what to resume.
    #[error("not started: {0}")]
    NotRead(std::sync::Arc<throughline_model::ReadError>),
}

impl NotRecorded {
    pub(crate) fn of(failure: &DeliveryFailure) -> Self {
        match failure.error {
            AppendError::Broken { .. } if failure.attempts == 0 => Self::ShutDown,
            _ => Self::Store { reason: failure.to_string().into(), retryable: failure.error.is_retryable() },
        }
    }

    /// Whether a retry may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store { retryable, .. } => *retryable,
            Self::NotRead(cause) => cause.is_retryable(),
            Self::StillRunning(_) => true,
            _ => false,
        }
    }
}
