//! Initialisation from environment variables.

use throughline_core::{Propagators, Throughline, ThroughlineBuilder};
use throughline_redact::Redaction;

pub use throughline_core::env::EnvError;
pub use throughline_model::names::env::{
    OTEL_PROPAGATORS, OTEL_SDK_DISABLED, OTEL_SERVICE_NAME, THROUGHLINE_COSMOS_KEY,
    THROUGHLINE_COSMOS_KEY_FILE, THROUGHLINE_FEED, THROUGHLINE_OUTBOX, THROUGHLINE_PSEUDONYM_KEY,
    THROUGHLINE_STORE,
};

/// The location of a store, parsed from the `sqlite:PATH`, `postgres://…` or `cosmos:…` of [`THROUGHLINE_STORE`]. Its `Debug`
/// shows no password.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreLocation {
    /// A SQLite file.
    Sqlite(std::path::PathBuf),
    /// The connection string of a Postgres database.
    Postgres(String),
    /// The location of a container in Azure Cosmos DB. The key is that of [`THROUGHLINE_COSMOS_KEY`].
    Cosmos(String),
}

impl std::fmt::Debug for StoreLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.debug_struct("Postgres").finish_non_exhaustive(),
            Self::Cosmos(_) => f.debug_struct("Cosmos").finish_non_exhaustive(),
        }
    }
}

impl std::str::FromStr for StoreLocation {
    type Err = EnvError;

    fn from_str(text: &str) -> Result<Self, EnvError> {
        match text.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(path.into())),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                Ok(Self::Postgres(text.to_owned()))
            }
            Some(("cosmos", rest)) if rest.starts_with("http") => Ok(Self::Cosmos(text.to_owned())),
            _ => Err(invalid(text, EXPECTED)),
        }
    }
}

pub(crate) const EXPECTED: &str =
    "sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE or cosmos:https://HOST/DATABASE";

fn invalid(text: &str, expected: &'static str) -> EnvError {
    EnvError::Invalid {
        name: THROUGHLINE_STORE,
        // The text may be a connection string with a password in it: its scheme says enough.
        value: text.split(':').next().unwrap_or_default().chars().take(32).collect(),
        expected,
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

pub(crate) fn from_lookup(
    service: &str,
    lookup: impl Fn(&'static str) -> Result<Option<String>, EnvError>,
) -> Result<ThroughlineBuilder, EnvError> {
    let service = lookup(OTEL_SERVICE_NAME)?.unwrap_or_else(|| service.to_owned());
    let mut builder = Throughline::builder(service);
    if let Some(value) = lookup(OTEL_SDK_DISABLED)? {
        // As the specification has it, only "true" in any case is true, and everything else is false.
        builder = builder.disabled(value.eq_ignore_ascii_case("true"));
    }
    if let Some(value) = lookup(THROUGHLINE_STORE)? {
        builder = with_store(builder, &value, &lookup)?;
    }
    if let Some(path) = lookup(THROUGHLINE_OUTBOX)? {
        #[cfg(feature = "sqlite")]
        {
            builder = builder.spool(throughline_sqlite::SqliteSpool::new(path));
        }
        #[cfg(not(feature = "sqlite"))]
        return Err(EnvError::Invalid {
            name: THROUGHLINE_OUTBOX,
            value: path,
            expected: "nothing, for the feature `sqlite` of `throughline` is off",
        });
    }
    if let Some(list) = lookup(OTEL_PROPAGATORS)? {
        let propagators = list.parse::<Propagators>().map_err(|_| EnvError::Invalid {
            name: OTEL_PROPAGATORS,
            value: list,
            expected: "some of tracecontext, baggage, b3, b3multi, jaeger with commas between them, or none",
        })?;
        builder = builder.propagators(propagators);
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

/// A store whose feature is on.
#[cfg_attr(
    not(feature = "cosmos"),
    expect(
        unused_variables,
        reason = "only Cosmos DB has a key to look up, and without any store there is nothing to configure"
    )
)]
fn with_store(
    builder: ThroughlineBuilder,
    value: &str,
    lookup: &impl Fn(&'static str) -> Result<Option<String>, EnvError>,
) -> Result<ThroughlineBuilder, EnvError> {
    match value.parse::<StoreLocation>()? {
        #[cfg(feature = "sqlite")]
        StoreLocation::Sqlite(path) => Ok(builder.store(throughline_sqlite::SqliteStore::new(path))),
        #[cfg(feature = "postgres")]
        StoreLocation::Postgres(url) => Ok(builder.store(throughline_postgres::PostgresStore::new(url))),
        #[cfg(feature = "cosmos")]
        StoreLocation::Cosmos(location) => {
            let key =
                throughline_core::env::secret(THROUGHLINE_COSMOS_KEY, THROUGHLINE_COSMOS_KEY_FILE, lookup)?;
            let key = key.ok_or(EnvError::Invalid {
                name: THROUGHLINE_COSMOS_KEY,
                value: String::new(),
                expected: "a key of the account, here or in the file that THROUGHLINE_COSMOS_KEY_FILE names",
            })?;
            Ok(builder.store(throughline_cosmos::CosmosStore::at(&location, key)))
        }
        #[cfg(not(all(feature = "sqlite", feature = "postgres", feature = "cosmos")))]
        _ => Err(invalid(value, "a store whose feature of `throughline` is on")),
    }
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
        let error = with(&[(THROUGHLINE_STORE, "mysql://user:hunter2@host/db")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "invalid THROUGHLINE_STORE=mysql: expected sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE or cosmos:https://HOST/DATABASE"
        );
    }

    #[test]
    fn the_location_of_a_store_is_shown_without_its_password() {
        for url in ["postgres://user:hunter2@host/db", "postgresql://host/db?password=hunter2"] {
            let location: StoreLocation = url.parse().unwrap();
            assert_eq!(location, StoreLocation::Postgres(url.to_owned()));
            assert!(!format!("{location:?}").contains("hunter2"));
        }
    }

    #[cfg(feature = "cosmos")]
    #[test]
    fn a_store_in_cosmos_needs_a_key_which_is_not_shown() {
        let store = (THROUGHLINE_STORE, "cosmos:https://loans.documents.azure.com/audit");
        let error = with(&[store]).unwrap_err().to_string();
        assert!(
            error.contains("THROUGHLINE_COSMOS_KEY") && error.contains("a key of the account"),
            "{error}"
        );
        let builder = with(&[store, (THROUGHLINE_COSMOS_KEY, "aHVudGVyMg==")]).unwrap();
        assert!(!format!("{builder:?}").contains("aHVudGVyMg=="));
    }

    #[cfg(not(feature = "postgres"))]
    #[test]
    fn a_store_whose_feature_is_off_is_refused_by_name() {
        let error = with(&[(THROUGHLINE_STORE, "postgres://user:hunter2@host/db")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "invalid THROUGHLINE_STORE=postgres: expected a store whose feature of `throughline` is on"
        );
    }
}
