//! Initialisation from environment variables.

use throughline_core::{Throughline, ThroughlineBuilder};
use throughline_redact::Redaction;

pub use throughline_core::env::EnvError;
pub use throughline_model::names::env::{
    OTEL_SDK_DISABLED, OTEL_SERVICE_NAME, THROUGHLINE_FEED, THROUGHLINE_PSEUDONYM_KEY, THROUGHLINE_STORE,
};

/// The location of a store, parsed from the `sqlite:PATH` of [`THROUGHLINE_STORE`] and of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreLocation {
    /// A SQLite file.
    Sqlite(std::path::PathBuf),
}

impl std::str::FromStr for StoreLocation {
    type Err = EnvError;

    fn from_str(text: &str) -> Result<Self, EnvError> {
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            _ => Err(EnvError::Invalid {
                name: THROUGHLINE_STORE,
                // The text may be a connection string with a password in it: its scheme says enough.
                value: text.split(':').next().unwrap_or_default().chars().take(32).collect(),
                expected: "sqlite:PATH",
            }),
        }
    }
}

/// A builder that is configured from environment variables: see [`names::env`](crate::event::names::env). Whatever is not
/// set keeps its default from [`Throughline::builder`].
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let throughline = throughline::env::builder("loan-service")?.build()?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When a variable has an invalid value.
pub fn builder(service: &str) -> Result<ThroughlineBuilder, EnvError> {
    from_lookup(service, throughline_core::env::variable)
}

fn from_lookup(
    service: &str,
    lookup: impl Fn(&'static str) -> Result<Option<String>, EnvError>,
) -> Result<ThroughlineBuilder, EnvError> {
    let service = lookup(OTEL_SERVICE_NAME)?.unwrap_or_else(|| service.to_owned());
    let mut builder = Throughline::builder(service);
    if let Some(value) = lookup(OTEL_SDK_DISABLED)? {
        // As the specification has it, only "true" in any case is true, and everything else is false.
        builder = builder.disabled(value.eq_ignore_ascii_case("true"));
    }
    #[cfg(feature = "sqlite")]
    if let Some(value) = lookup(THROUGHLINE_STORE)? {
        let StoreLocation::Sqlite(path) = value.parse()?;
        builder = builder.store(throughline_sqlite::SqliteStore::new(path));
    }
    #[cfg(feature = "redis")]
    if let Some(address) = lookup(THROUGHLINE_FEED)? {
        builder = builder.feed(throughline_redis::RedisFeed::new(address));
    }
    if let Some(secret) = lookup(THROUGHLINE_PSEUDONYM_KEY)? {
        builder = builder.redaction(Redaction::standard().pseudonym_key(secret));
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&'static str, &str)]) -> Result<ThroughlineBuilder, EnvError> {
        from_lookup("service", |name| {
            Ok(variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn the_standard_switch_turns_everything_off() {
        let throughline =
            with(&[(OTEL_SDK_DISABLED, "TRUE"), (OTEL_SERVICE_NAME, "other")]).unwrap().build().unwrap();
        assert!(throughline.delivery_report().destinations.is_empty());
        assert!(format!("{throughline:?}").contains("other"));
        assert!(with(&[(OTEL_SDK_DISABLED, "yes")]).unwrap().build().is_err(), "only true is true");
    }

    #[cfg(feature = "redis")]
    #[test]
    fn an_address_of_a_feed_that_is_none_is_an_error_without_its_secrets() {
        let error = with(&[(THROUGHLINE_FEED, "http://user:hunter2@host/")]).unwrap().build().unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("expected redis://") && !shown.contains("hunter2"), "{shown}");
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn an_unknown_store_is_named_without_its_secrets() {
        let error = with(&[(THROUGHLINE_STORE, "postgres://user:hunter2@host/db")]).unwrap_err().to_string();
        assert_eq!(error, "invalid THROUGHLINE_STORE=postgres: expected sqlite:PATH");
    }
}
