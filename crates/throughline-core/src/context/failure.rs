//! Why a step never began, or an event was not recorded.

use std::sync::Arc;
use std::time::Duration;

use throughline_model::{AppendError, InstanceId, ReadError, RunState, Text, TraceId};

use crate::delivery::{DeliveryFailure, NoRoom};

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
/// In an axum handler, `HandlerError` of `throughline-tower` responds to it with 503 if the service can't record right now,
/// with 409 if another run under the key is at work or has succeeded, and otherwise with 500.
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
    /// The store's queue was full: it takes events more slowly than they come, or none.
    #[error(
        "not recorded: there was no room in the store's queue for {waited:?}, because the store is away or slow; see \
         .queue_capacity(..) and .when_full(..) of the builder"
    )]
    QueueFull {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The emitter has been shut down.
    #[error("not recorded: the emitter has been shut down")]
    ShutDown,
    /// The key of a run is empty, or there is none and it is needed.
    #[error("not started: the run has no key; say what it is about with .key(..), as in .key(\"loan-42\")")]
    NoKey,
    /// There is no store, and it takes one.
    #[error("not started: it takes a store to know what runs and what ran; add .store(..) to the builder")]
    NoStore,
    /// There is no such run.
    #[error("there is no run {0}")]
    NoSuchRun(TraceId),
    /// The run to resume or to abandon has ended.
    #[error("the run {trace_id} has ended ({state})")]
    HasEnded {
        /// The run.
        trace_id: TraceId,
        /// How it ended.
        state: RunState,
    },
    /// The run can't be resumed, only undone or abandoned.
    #[error(
        "the run {trace_id} can't be resumed: only a workflow that has neither succeeded nor failed can, and its root is \
         `{root}`; undo its sagas, or abandon it"
    )]
    NotResumable {
        /// The run.
        trace_id: TraceId,
        /// The type of its root, as in `http:request`.
        root: Text,
    },
    /// An instance is at work on the run; or, of a run that is [unique](crate::Workflow::unique), on another one under the
    /// same key.
    #[error("the run {trace_id} is at work, in the instance {instance}")]
    AtWork {
        /// The run that is at work.
        trace_id: TraceId,
        /// Who works on it.
        instance: InstanceId,
    },
    /// A run under this key succeeded before, and it is to succeed [once](crate::Workflow::once).
    #[error("not started: the run {trace_id} under the same key has succeeded")]
    HasSucceeded {
        /// The run that succeeded.
        trace_id: TraceId,
    },
    /// The run is not resumed, because one of its sagas was being undone: that can be [finished](crate::Throughline::undo).
    #[error(
        "the run {trace_id} is not resumed: its saga `{saga}` was being undone; finish that with \
         throughline.undo(trace_id, \"{saga}\")"
    )]
    BeingUndone {
        /// The run.
        trace_id: TraceId,
        /// The saga's name.
        saga: Text,
    },
    /// The run is not resumed, because a later run under its key does its work again.
    #[error(
        "the run {trace_id} is not resumed: its work was started again as the run {by}; undo its sagas, or abandon it"
    )]
    StartedAgain {
        /// The run.
        trace_id: TraceId,
        /// The latest run under its key.
        by: TraceId,
    },
    /// None of the steps that are named is one that has to be undone.
    #[error(
        "nothing was undone: none of the names that were given is that of a step of the saga `{saga}` which has to be \
         undone, such as `{step}`"
    )]
    NoSuchStep {
        /// The saga's name.
        saga: Text,
        /// A step that has to be undone.
        step: Text,
    },
    /// The run has no saga of this name that failed, was cancelled or was left open.
    #[error("nothing to undo: no saga `{saga}` of the run failed, was cancelled or was left open")]
    NoSuchSaga {
        /// The saga's name.
        saga: Text,
    },
    /// The store could not be read to find what runs and what ran.
    #[error("what runs and what ran could not be read: {0}")]
    NotRead(Arc<ReadError>),
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
            Self::AtWork { .. } | Self::QueueFull { .. } => true,
            _ => false,
        }
    }
}

impl From<NoRoom> for NotRecorded {
    fn from(no_room: NoRoom) -> Self {
        match no_room {
            NoRoom::Closed => Self::ShutDown,
            NoRoom::Full { waited } => Self::QueueFull { waited },
        }
    }
}
