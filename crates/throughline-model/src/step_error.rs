//! How errors of any kind become the `error` of an event.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::Write;
use std::io;
use std::sync::Arc;

use crate::names::errors;
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
        info(std::any::type_name::<E>(), self)
    }

    fn as_error(&self) -> Option<&(dyn Error + 'static)> {
        Some(self)
    }
}

impl<E: AsRef<dyn Error + 'static>> StepError<kind::Holding> for E {
    fn describe(&self) -> ErrorInfo {
        info(HIDDEN, self.as_ref())
    }

    fn as_error(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.as_ref())
    }
}

impl StepError<kind::Boxed> for Box<dyn Error + Send + Sync> {
    fn describe(&self) -> ErrorInfo {
        info(HIDDEN, &**self)
    }

    fn as_error(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self)
    }
}

macro_rules! plain {
    ($($text:ty),*) => {$(
        impl StepError<kind::Plain> for $text {
            fn describe(&self) -> ErrorInfo {
                ErrorInfo { kind: Text::literal(errors::ERROR), message: Text::from(self.to_string()), chain: Vec::new() }
            }
        }
    )*};
}
plain!(String, &'static str, Cow<'static, str>, Text);

impl ErrorInfo {
    /// What is recorded of an error that was boxed on its way through a layer; `type_name` is what
    /// [`std::any::type_name`] says of it as it was before.
    pub fn of_boxed(error: &BoxError, type_name: &'static str) -> Self {
        info(type_name, &**error)
    }
}

fn info(type_name: &'static str, error: &(dyn Error + 'static)) -> ErrorInfo {
    ErrorInfo { kind: kind(type_name, error), message: error.to_string().into(), chain: sources(error) }
}

/// What the sources of an error say. Of very many the innermost is kept in the place of those before it: it says most.
fn sources(error: &(dyn Error + 'static)) -> Vec<Text> {
    let mut behind = all_of(error).skip(1);
    let mut texts: Vec<Text> = behind.by_ref().take(CHAIN).map(|source| source.to_string().into()).collect();
    if let Some(innermost) = behind.last() {
        texts.pop();
        texts.push(innermost.to_string().into());
    }
    texts
}

/// An error and its first sources.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    all_of(error).take(1 + CHAIN)
}

/// An error and its sources. No chain is longer, but one may go round in a circle.
fn all_of<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    const LONGEST: usize = 256;
    std::iter::successors(Some(error), |error: &&'e (dyn Error + 'static)| (*error).source()).take(LONGEST)
}

/// The type of an error whose type is hidden.
const HIDDEN: &str = "dyn Error";

/// The kind of an error: its type and its variant, as far as they are known.
fn kind(type_name: &'static str, error: &(dyn Error + 'static)) -> Text {
    let type_name = pointee(type_name);
    let says_nothing = type_name.contains("dyn ")
        || ["str", "alloc::string::String"].contains(&type_name)
        || ["anyhow::", "eyre::"].iter().any(|of| type_name.starts_with(of));
    if says_nothing {
        return chain(error).find_map(own_name).unwrap_or(Text::literal(errors::ERROR));
    }
    if let Some(kind) = io_kind(error) {
        return kind;
    }
    let name = short_name(type_name);
    match identifier(error) {
        Some(variant) if variant != name => Text::from(format!("{name}::{variant}")),
        _ => Text::from(name),
    }
}

/// What an error of hidden type calls itself, unless that says nothing: a text, or what holds another error.
fn own_name(error: &(dyn Error + 'static)) -> Option<Text> {
    io_kind(error).or_else(|| Some(identifier(error).filter(|name| name != "Error")?.into()))
}

/// The kind of an error of the operating system, or of what somebody made one of.
fn io_kind(error: &(dyn Error + 'static)) -> Option<Text> {
    let io: &io::Error = error
        .downcast_ref()
        .or_else(|| error.downcast_ref::<Arc<io::Error>>().map(Arc::as_ref))
        .or_else(|| error.downcast_ref::<Box<io::Error>>().map(Box::as_ref))?;
    let inside = || own_name(io.get_ref()?);
    let kind = || format!("io::{:?}", io.kind()).into();
    Some(match io.kind() {
        io::ErrorKind::Other => inside().unwrap_or_else(kind),
        _ => kind(),
    })
}

/// The type that a smart pointer points to.
fn pointee(type_name: &'static str) -> &'static str {
    let unboxed =
        ["alloc::boxed::Box<", "alloc::sync::Arc<", "alloc::rc::Rc<", "&"].iter().find_map(|pointer| {
            let inner = type_name.strip_prefix(pointer)?;
            Some(inner.strip_suffix('>').unwrap_or(inner))
        });
    unboxed.map_or(type_name, pointee)
}

/// The type's own name, without its path and its parameters.
fn short_name(type_name: &'static str) -> &'static str {
    let name = type_name.split('<').next().unwrap_or(type_name);
    name.rsplit("::").next().unwrap_or(name)
}

/// The name that the `Debug` of an enum or a struct begins with.
fn identifier(error: &(dyn Error + 'static)) -> Option<String> {
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
        Timeout(#[source] io::Error),
    }

    fn describe<K, E: StepError<K>>(error: E) -> ErrorInfo {
        error.describe()
    }

    #[test]
    fn a_typed_error_gives_its_variant_its_text_and_its_sources() {
        let found = describe(BureauError::Timeout(io::Error::other("connection reset")));
        assert_eq!(found.kind, "BureauError::Timeout");
        assert_eq!(found.message, "the bureau did not answer");
        assert_eq!(found.chain, ["connection reset"]);
    }

    #[test]
    fn anyhow_and_boxed_errors_give_their_chains() {
        let error = anyhow::Error::new(BureauError::Timeout(io::Error::other("reset"))).context("scoring");
        let found = describe(error);
        assert_eq!(found.message, "scoring");
        assert_eq!(found.chain, ["the bureau did not answer", "reset"]);
        assert_eq!(found.kind, "Timeout");
        let boxed: Box<dyn Error + Send + Sync> = "text".into();
        assert_eq!(describe(boxed).message, "text");
    }

    #[test]
    fn a_boxed_error_keeps_the_kind_that_it_had_before() {
        fn boxed<E: Into<BoxError>>(error: E) -> ErrorInfo {
            ErrorInfo::of_boxed(&error.into(), std::any::type_name::<E>())
        }
        let timeout = || BureauError::Timeout(io::Error::other("connection reset"));
        assert_eq!(boxed(timeout()), describe(timeout()));
        assert_eq!(boxed("no funds").kind, "error");
        assert_eq!(boxed("no funds".to_owned()).kind, "error");
        let hidden: Box<dyn Error + Send + Sync> = Box::new(timeout());
        assert_eq!(boxed(hidden).chain, ["connection reset"]);
        let held = boxed(anyhow::Error::new(timeout()).context("scoring"));
        assert_eq!((held.message.as_str(), held.chain.len()), ("scoring", 2));
    }

    #[test]
    fn an_error_of_the_operating_system_is_told_by_its_kind_whatever_holds_it() {
        let missing = || io::Error::from_raw_os_error(2);
        assert_eq!(describe(missing()).kind, "io::NotFound");
        assert_eq!(describe(Arc::new(missing())).kind, "io::NotFound");
        assert_eq!(describe(Box::new(missing())).kind, "io::NotFound");
        assert_eq!(
            describe(anyhow::Error::new(missing()).context("opening the ledger")).kind,
            "io::NotFound"
        );
        let boxed: BoxError = missing().into();
        assert_eq!(describe(boxed).kind, "io::NotFound");
        assert_eq!(describe(io::Error::from(io::ErrorKind::TimedOut)).kind, "io::TimedOut");
        assert_eq!(describe(io::Error::new(io::ErrorKind::InvalidData, "no JSON")).kind, "io::InvalidData");
        assert_eq!(describe(io::Error::other("full")).kind, "io::Other");
        assert_eq!(describe(io::Error::other(BureauError::Timeout(missing()))).kind, "Timeout");
    }

    #[test]
    fn a_pointer_to_an_error_is_told_by_what_it_points_to() {
        let timeout = || BureauError::Timeout(missing());
        fn missing() -> io::Error {
            io::Error::from_raw_os_error(2)
        }
        assert_eq!(describe(Arc::new(timeout())).kind, "BureauError::Timeout");
        assert_eq!(describe(Box::new(Arc::new(timeout()))).kind, "BureauError::Timeout");
        let shared: Arc<dyn Error + Send + Sync> = Arc::new(timeout());
        assert_eq!(describe(shared).kind, "Timeout");
        let boxed: Box<dyn Error + Send + Sync> = Box::new(timeout());
        assert_eq!(describe(boxed).kind, "Timeout");
    }

    #[test]
    fn a_text_is_of_one_kind_whatever_holds_it() {
        let boxed: Box<dyn Error + Send + Sync> = "no funds".into();
        let shared: Arc<dyn Error + Send + Sync> =
            Arc::from(Box::<dyn Error + Send + Sync>::from("no funds"));
        let held = anyhow::anyhow!("no funds").context("paying");
        let kinds = [describe("no funds"), describe(boxed), describe(shared), describe(held)];
        assert_eq!(kinds.map(|info| info.kind), ["error", "error", "error", "error"].map(Text::from));
    }

    #[test]
    fn plain_text_is_an_error() {
        assert_eq!(describe("no funds").message, "no funds");
        assert_eq!(describe(String::from("no funds")).kind, "error");
    }
}
