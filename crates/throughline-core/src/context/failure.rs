//! How errors of any kind become the `error` of an event.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{Debug, Write};

use crate::delivery::DeliveryFailure;
use crate::{AppendError, ErrorInfo, Text};

/// How many sources of an error are kept.
const CHAIN: usize = 16;

/// An error that a step may end with: any [`std::error::Error`], [`anyhow::Error`](https://docs.rs/anyhow) and
/// its like, boxed errors, and plain text.
///
/// `K` tells these apart; it is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the error of a step",
    label = "the future of this step returns `Result<_, {Self}>`",
    note = "implement `std::error::Error` for it, as `#[derive(thiserror::Error)]` does, or convert it with `.map_err(..)` into an error, `anyhow::Error` or `String`",
    note = "if the future does not return a `Result`, use `trace_infallible` or `run_infallible`",
    note = "in generic code, bound the error type with `E: StepError<K>` and let `K` be a type parameter, too"
)]
pub trait StepError<K> {
    /// What is recorded of it.
    fn describe(&self) -> ErrorInfo;
}

/// What tells the implementations of [`StepError`] apart; nobody needs to name them.
pub mod kind {
    /// A type that implements [`std::error::Error`].
    #[derive(Debug)]
    pub enum Typed {}
    /// A type that holds a [`std::error::Error`], such as `anyhow::Error`.
    #[derive(Debug)]
    pub enum Holding {}
    /// A boxed error that may be sent.
    #[derive(Debug)]
    pub enum Boxed {}
    /// Plain text.
    #[derive(Debug)]
    pub enum Plain {}
}

impl<E: Error + 'static> StepError<kind::Typed> for E {
    fn describe(&self) -> ErrorInfo {
        info(typed_kind(short_type_name::<E>(), self), self)
    }
}

impl<E: AsRef<dyn Error + 'static>> StepError<kind::Holding> for E {
    fn describe(&self) -> ErrorInfo {
        info(held_kind::<E>(self.as_ref()), self.as_ref())
    }
}

impl StepError<kind::Boxed> for Box<dyn Error + Send + Sync> {
    fn describe(&self) -> ErrorInfo {
        info(held_kind::<Self>(&**self), &**self)
    }
}

macro_rules! plain {
    ($($text:ty),*) => {$(
        impl StepError<kind::Plain> for $text {
            fn describe(&self) -> ErrorInfo {
                ErrorInfo { kind: Text::literal("error"), message: Text::from(self.to_string()), chain: Vec::new() }
            }
        }
    )*};
}
plain!(String, &'static str, Cow<'static, str>, Text);

impl ErrorInfo {
    /// What is recorded of an error that was boxed on its way through a layer; `type_name` is what
    /// [`std::any::type_name`] says of it as it was before.
    pub fn of_boxed(error: &crate::BoxError, type_name: &'static str) -> Self {
        // Of these the type says nothing about what went wrong.
        let hidden =
            type_name.contains("dyn ") || ["anyhow::", "eyre::"].iter().any(|of| type_name.starts_with(of));
        let kind = match type_name {
            "alloc::string::String" | "&str" => Text::literal("error"),
            _ if hidden => held_kind::<crate::BoxError>(&**error),
            _ => typed_kind(short_name(type_name), &**error),
        };
        info(kind, &**error)
    }
}

/// Of an error whose type is known, that and its variant.
fn typed_kind<E: Debug + ?Sized>(name: &'static str, error: &E) -> Text {
    match variant(error) {
        Some(variant) if variant != name => Text::from(format!("{name}::{variant}")),
        _ => Text::from(name),
    }
}

fn info(kind: Text, error: &(dyn Error + 'static)) -> ErrorInfo {
    let sources = std::iter::successors(error.source(), |error: &&(dyn Error + 'static)| (*error).source());
    ErrorInfo {
        kind,
        message: error.to_string().into(),
        chain: sources.take(CHAIN).map(|source| source.to_string().into()).collect(),
    }
}

/// Of an error whose type is hidden, what the innermost source calls itself.
fn held_kind<E>(error: &(dyn Error + 'static)) -> Text {
    let innermost = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source())
        .take(CHAIN)
        .last();
    match innermost.and_then(variant) {
        Some(variant) => variant.into(),
        None => short_type_name::<E>().into(),
    }
}

/// The type's own name, without its path and its parameters.
fn short_type_name<T>() -> &'static str {
    short_name(std::any::type_name::<T>())
}

fn short_name(type_name: &'static str) -> &'static str {
    let name = type_name.split('<').next().unwrap_or(type_name);
    name.rsplit("::").next().unwrap_or(name)
}

/// The name that the `Debug` of an enum or a struct begins with.
fn variant<E: Debug + ?Sized>(error: &E) -> Option<String> {
    struct Identifier(String);
    impl Write for Identifier {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            for c in text.chars() {
                if !(c.is_ascii_alphanumeric() || c == '_') || self.0.len() >= 64 {
                    // The rest, which may be long and costly, is not asked for.
                    return Err(std::fmt::Error);
                }
                self.0.push(c);
            }
            Ok(())
        }
    }
    let mut identifier = Identifier(String::new());
    let _ = write!(identifier, "{error:?}");
    identifier.0.starts_with(|c: char| c.is_ascii_uppercase()).then_some(identifier.0)
}

/// Why something was not recorded: an event, a step or a run. A step or a run did not begin then. Its future was not
/// polled, and nothing of it has happened (but see [`Durability::Pipelined`](crate::Durability::Pipelined)).
///
/// It is one type for all of them, so that a handler's error needs one variant for what Throughline itself may say:
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
/// In a handler of axum, `HandlerError` of `throughline-tower` answers with 503 where this is the cause.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum NotRecorded {
    /// The store did not take it.
    #[error("not recorded: {reason}")]
    Store {
        /// What the store said, and how often it was asked.
        reason: Text,
        /// Whether it may take it later.
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
    NoSuchRun(crate::TraceId),
    /// The run to resume has ended.
    #[error("not resumed: the run {trace_id} has ended as {state}")]
    HasEnded {
        /// The run.
        trace_id: crate::TraceId,
        /// How it ended.
        state: crate::RunState,
    },
    /// The run to resume is at work in a living process.
    #[error(
        "not resumed: the run {0} is running in another process; only what a dead process left behind can be resumed"
    )]
    StillRunning(crate::TraceId),
    /// A saga was undoing its steps when its process died: it can be [undone](crate::SagaBuilder::undo), not run.
    #[error("not started: the saga `{saga}` was being undone when its process died; continue with .undo()")]
    BeingUndone {
        /// The saga's name.
        saga: Text,
    },
    /// There is no saga of this name that an earlier process left open.
    #[error("nothing to undo: no saga `{saga}` was left open by an earlier process")]
    NoSuchSaga {
        /// The saga's name.
        saga: Text,
    },
    /// The store could not be asked what there is to resume.
    #[error("not started: {0}")]
    NotRead(std::sync::Arc<crate::ReadError>),
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
        match self {
            Self::Store { retryable, .. } => *retryable,
            Self::NotRead(cause) => cause.is_retryable(),
            Self::StillRunning(_) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum BureauError {
        #[error("the bureau did not answer")]
        Timeout(#[source] std::io::Error),
    }

    fn describe<K, E: StepError<K>>(error: E) -> ErrorInfo {
        error.describe()
    }

    #[test]
    fn a_typed_error_gives_its_variant_its_text_and_its_sources() {
        let found = describe(BureauError::Timeout(std::io::Error::other("connection reset")));
        assert_eq!(found.kind, "BureauError::Timeout");
        assert_eq!(found.message, "the bureau did not answer");
        assert_eq!(found.chain, ["connection reset"]);
    }

    #[test]
    fn anyhow_and_boxed_errors_give_their_chains() {
        let error =
            anyhow::Error::new(BureauError::Timeout(std::io::Error::other("reset"))).context("scoring");
        let found = describe(error);
        assert_eq!(found.message, "scoring");
        assert_eq!(found.chain, ["the bureau did not answer", "reset"]);
        assert_eq!(describe(anyhow::anyhow!("plain")).kind, "Error");
        let boxed: Box<dyn Error + Send + Sync> = "text".into();
        assert_eq!(describe(boxed).message, "text");
    }

    #[test]
    fn a_boxed_error_keeps_the_kind_that_it_had_before() {
        fn boxed<E: Into<crate::BoxError>>(error: E) -> ErrorInfo {
            ErrorInfo::of_boxed(&error.into(), std::any::type_name::<E>())
        }
        let timeout = || BureauError::Timeout(std::io::Error::other("connection reset"));
        assert_eq!(boxed(timeout()), describe(timeout()));
        assert_eq!(boxed("no funds").kind, "error");
        assert_eq!(boxed("no funds".to_owned()).kind, "error");
        let hidden: Box<dyn Error + Send + Sync> = Box::new(timeout());
        assert_eq!(boxed(hidden).chain, ["connection reset"]);
        let held = boxed(anyhow::Error::new(timeout()).context("scoring"));
        assert_eq!((held.message.as_str(), held.chain.len()), ("scoring", 2));
    }

    #[test]
    fn plain_text_is_an_error() {
        assert_eq!(describe("no funds").message, "no funds");
        assert_eq!(describe(String::from("no funds")).kind, "error");
    }
}
