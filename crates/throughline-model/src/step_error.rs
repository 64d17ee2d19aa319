//! How errors of any kind become the `error` of an event.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{Debug, Write};

use crate::{BoxError, ErrorInfo, Text};

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

    /// The same as a [`std::error::Error`]; `None` if it is plain text.
    fn as_error(&self) -> Option<&(dyn Error + 'static)> {
        None
    }
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

    fn as_error(&self) -> Option<&(dyn Error + 'static)> {
        Some(self)
    }
}

impl<E: AsRef<dyn Error + 'static>> StepError<kind::Holding> for E {
    fn describe(&self) -> ErrorInfo {
        info(held_kind::<E>(self.as_ref()), self.as_ref())
    }

    fn as_error(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.as_ref())
    }
}

impl StepError<kind::Boxed> for Box<dyn Error + Send + Sync> {
    fn describe(&self) -> ErrorInfo {
        info(held_kind::<Self>(&**self), &**self)
    }

    fn as_error(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self)
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
    pub fn of_boxed(error: &BoxError, type_name: &'static str) -> Self {
        // Of these the type says nothing about what went wrong.
        let hidden =
            type_name.contains("dyn ") || ["anyhow::", "eyre::"].iter().any(|of| type_name.starts_with(of));
        let kind = match type_name {
            "alloc::string::String" | "&str" => Text::literal("error"),
            _ if hidden => held_kind::<BoxError>(&**error),
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
        fn boxed<E: Into<BoxError>>(error: E) -> ErrorInfo {
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
