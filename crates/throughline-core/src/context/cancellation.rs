//! [`CancelledBy`]: who cancels, where that is known.

use std::cell::RefCell;
use std::time::Duration;

use super::current;
use super::span::Span;
use throughline_model::{ErrorInfo, Text, names::errors};

thread_local! {
    /// Why this thread drops what it is dropping: set for as long as it does.
    static DROPPING: RefCell<Option<Reason>> = const { RefCell::new(None) };
}

/// Why something is cancelled; `None` if it is not known.
type Reason = Option<ErrorInfo>;

/// Who cancels work whose futures are dropped, for code that drops them on somebody's behalf: an executor with time limits of
/// its own, a server that sees its clients leave. [`TraceContext::timeout`](super::TraceContext::timeout) and the layers for
/// HTTP say it themselves.
///
/// ```
/// use throughline_core::{CancelledBy, MemoryStore, Status, Throughline};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// let throughline = Throughline::builder("executor").store(store.clone()).build()?;
/// let mut run = Box::pin(throughline.workflow("report").run_infallible(|_| std::future::pending::<()>()));
/// tokio::select! {
///     _ = &mut run => {}
///     () = std::future::ready(()) => CancelledBy::Shutdown.while_dropping(|| drop(run)),
/// }
/// # throughline.flush(std::time::Duration::from_secs(5)).await;
/// let ends = store.events().into_iter().filter(|event| event.status == Status::Cancelled);
/// # assert!(ends.clone().count() <= 1);
/// for end in ends {
///     assert_eq!(end.error.map(|error| error.kind), Some("shutdown".into()));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelledBy {
    /// It took longer than this.
    Deadline(Duration),
    /// The client that it works for went away.
    ClientGone,
    /// What runs beside it for the same purpose failed.
    SiblingFailed,
    /// The process is shutting down.
    Shutdown,
    /// Its task was aborted.
    Aborted,
}

impl CancelledBy {
    /// Runs a closure that drops futures: every step that is cancelled by that is recorded with this reason.
    pub fn while_dropping<T>(self, drop: impl FnOnce() -> T) -> T {
        while_dropping(Some(self.error()), drop)
    }

    pub(super) fn error(self) -> ErrorInfo {
        let message = match self {
            Self::Deadline(limit) => return error(errors::DEADLINE, passed(limit)),
            Self::ClientGone => "the client went away",
            Self::SiblingFailed => "another one beside it failed",
            Self::Shutdown => "the process is shutting down",
            Self::Aborted => "the task that it ran in was aborted, or what ran it gave up",
        };
        let kind = match self {
            Self::Deadline(_) => errors::DEADLINE,
            Self::ClientGone => errors::CLIENT_GONE,
            Self::SiblingFailed => errors::SIBLING_FAILED,
            Self::Shutdown => errors::SHUTDOWN,
            Self::Aborted => errors::ABORTED,
        };
        error(kind, Text::literal(message))
    }
}

/// What is said of a time limit that has passed.
pub(super) fn passed(limit: Duration) -> Text {
    format!("it took longer than {limit:?}").into()
}

fn error(kind: &'static str, message: Text) -> ErrorInfo {
    ErrorInfo { kind: Text::literal(kind), message, chain: Vec::new() }
}

/// What the caller of a step ends with that tokio's time limit gave up: nobody else is told that the time has passed.
pub(super) fn of_an_unknown_limit() -> ErrorInfo {
    error(errors::DEADLINE, Text::literal("deadline has elapsed"))
}

/// Drops something for a reason, which may be that none is known: what is cancelled by that is cancelled for the same one.
pub(super) fn while_dropping<T>(reason: Reason, drop: impl FnOnce() -> T) -> T {
    /// Puts back what was there, also in a panic.
    struct Restore(Option<Reason>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let before = self.0.take();
            // A thread that is ending knows no reasons.
            let _ = DROPPING.try_with(|dropping| dropping.replace(before));
        }
    }
    let before = DROPPING.try_with(|dropping| dropping.replace(Some(reason))).ok().flatten();
    let _restore = Restore(before);
    drop()
}

/// Why a span is cancelled at this moment, on this thread.
pub(super) fn reason(span: &Span) -> Reason {
    let is_stopping = span.run.hub.is_stopping();
    if let Ok(Some(given)) = DROPPING.try_with(|dropping| dropping.borrow().clone()) {
        // A server that stops hangs up on its clients, which looks the same from inside.
        let hung_up = given.as_ref().is_some_and(|reason| reason.kind == errors::CLIENT_GONE);
        return if is_stopping && hung_up { Some(CancelledBy::Shutdown.error()) } else { given };
    }
    // Without a poll it is dropped by no code of a run, but with its task or by what ran it.
    let turn = current::turn();
    if turn.is_none() && is_stopping {
        return Some(CancelledBy::Shutdown.error());
    }
    if turn.is_none() && tokio::task::try_id().is_none() {
        return None;
    }
    let above = span.parent.as_ref().or(span.caller.as_ref());
    let sibling = above.and_then(|above| above.failures.beside(span.started, turn.as_ref()));
    match sibling {
        Some(name) => {
            Some(error(errors::SIBLING_FAILED, format!("{name} failed, which ran beside it").into()))
        }
        None => turn.is_none().then(|| CancelledBy::Aborted.error()),
    }
}
