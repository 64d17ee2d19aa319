//! The store that a command line names.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use throughline::redact::pii;
use throughline_core::names::env::{
    THROUGHLINE_COSMOS_KEY, THROUGHLINE_COSMOS_KEY_FILE, THROUGHLINE_PSEUDONYM_KEY,
};
use throughline_core::{
    MemoryStore, MergedReader, OpenError, PagedAnalytics, Readers, Redaction, Redactor, Shown, SpoolReader,
    StoreConfig, ThroughlineBuilder, TraceReader, TraceStream, Veil, env,
};
use throughline_cosmos::CosmosStore;
use throughline_postgres::PostgresStore;
use throughline_sqlite::{SqliteSpool, SqliteStore};

use crate::error::CliError;

/// What can be named; a connection string may have a password in it.
const EXPECTED: &str =
    "expected sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE or cosmos:https://HOST/DATABASE";

/// A store that has been named and not been touched.
#[derive(Clone)]
pub(crate) struct Store {
    name: String,
    place: Place,
    /// Of which what waits is read as well.
    outbox: Option<PathBuf>,
    /// By the key of the environment or, once the store is open, by the secret that it keeps.
    pseudonyms: Pseudonyms,
    /// Whether what is read is redacted again, and how much of it is shown.
    redacts_again: Option<Shown>,
}

/// Knows the pseudonyms of what was redacted.
#[derive(Clone)]
pub(crate) struct Pseudonyms(Redactor);

impl Pseudonyms {
    /// Those that are made with the key of the environment, if that has one.
    pub(crate) fn of_environment() -> Result<Self, CliError> {
        redactor(redaction()).map(Self)
    }

    /// What a value to look for, of this attribute if it is one, is called: a pseudonym, if it is of the kind that is
    /// redacted.
    pub(crate) fn findable<'a>(&self, attribute: Option<&str>, value: &'a str) -> Cow<'a, str> {
        // Without a key all that is redacted is the same mark, which would find what is meant and all else.
        match self.0.can_pseudonymise() {
            true => self.0.findable(attribute, value),
            false => Cow::Borrowed(value),
        }
    }
}

/// Where a store is.
#[derive(Clone)]
enum Place {
    Sqlite(PathBuf),
    Postgres(PostgresStore),
    Cosmos(CosmosStore),
    /// There is only an outbox.
    Nowhere,
}

impl Store {
    /// The store of `--store` or the environment, with the outbox of `--outbox`.
    pub(crate) fn with_outbox(name: Option<&str>, outbox: Option<&Path>) -> Result<Self, CliError> {
        match (name.filter(|name| !name.is_empty()), outbox) {
            (None, Some(outbox)) => Ok(Self {
                name: outbox.display().to_string(),
                place: Place::Nowhere,
                outbox: Some(outbox.to_owned()),
                pseudonyms: Pseudonyms::of_environment()?,
                redacts_again: None,
            }),
            (name, outbox) => Ok(Self { outbox: outbox.map(Path::to_owned), ..Self::named(name)? }),
        }
    }

    /// The store of `--store` or the environment.
    pub(crate) fn named(name: Option<&str>) -> Result<Self, CliError> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            return Err(no_store());
        };
        match name.split_once(':') {
            Some(("sqlite", path)) if !path.is_empty() => {
                let pseudonyms = Pseudonyms::of_environment()?;
                Ok(Self {
                    name: name.into(),
                    place: Place::Sqlite(path.into()),
                    outbox: None,
                    pseudonyms,
                    redacts_again: None,
                })
            }
            Some(("sqlite", _)) => Err(CliError::Usage("a store needs a path: sqlite:PATH".into())),
            Some(("postgres" | "postgresql", rest)) if rest.starts_with("//") => {
                let store = PostgresStore::new(name);
                let pseudonyms = Pseudonyms::of_environment()?;
                Ok(Self {
                    name: store.location(),
                    place: Place::Postgres(store),
                    outbox: None,
                    pseudonyms,
                    redacts_again: None,
                })
            }
            Some(("cosmos", rest)) if rest.starts_with("http") => {
                let store = CosmosStore::at(name, cosmos_key()?);
                let pseudonyms = Pseudonyms::of_environment()?;
                Ok(Self {
                    name: store.location(),
                    place: Place::Cosmos(store),
                    outbox: None,
                    pseudonyms,
                    redacts_again: None,
                })
            }
            _ if Path::new(name).exists() => {
                Err(CliError::Usage(format!("`{name}` is not a store; did you mean sqlite:{name}?")))
            }
            Some((scheme, _)) if !scheme.contains(['/', '.']) => {
                Err(CliError::Usage(format!("stores of the kind `{scheme}` are not supported: {EXPECTED}")))
            }
            // Not repeated: what looks like no store may be a connection string with a password.
            _ => Err(CliError::Usage(format!("invalid store: {EXPECTED}"))),
        }
    }

    /// The same store, of which what is read is redacted again, for answers that leave the machine: others may have written
    /// to it, by other rules. No more of it is shown than this.
    pub(crate) fn redacted_again(self, shown: Shown) -> Self {
        Self { redacts_again: Some(shown), ..self }
    }

    /// Whether payloads, attributes and tags are held back: then nothing may be found by them, for their values could be tried
    /// out.
    pub(crate) fn holds_back(&self) -> bool {
        self.redacts_again.is_some_and(|shown| shown != Shown::All)
    }

    /// The store as it was named, without user and password.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Opens the store for reading; it must be there.
    pub(crate) async fn readers(&self) -> Result<Readers, CliError> {
        let readers = self.bare_readers().await?;
        Ok(match self.redacts_again {
            Some(shown) => Veil::new(self.pseudonyms.0.clone(), shown).readers(readers),
            None => readers,
        })
    }

    /// The same without a veil.
    async fn bare_readers(&self) -> Result<Readers, CliError> {
        self.must_exist()?;
        let readers = match &self.place {
            Place::Sqlite(path) => {
                SqliteStore::new(path).open_reader().map(|reader| Readers::of(reader.in_place()))
            }
            Place::Postgres(store) => store.open_readers().await,
            Place::Cosmos(store) => store.open_readers().await,
            Place::Nowhere => MemoryStore::new().open_readers().await,
        };
        let mut readers =
            readers.map_err(|error| self.open_error(error)).map_err(|error| match self.outbox {
                Some(_) => CliError::Input(format!(
                    "{error}; leave out --store, and THROUGHLINE_STORE, to read the outbox alone"
                )),
                None => error,
            })?;
        if !matches!(self.place, Place::Nowhere) {
            self.learn_secret(&*readers.reader).await?;
        }
        if let Some(outbox) = self.outbox()? {
            readers.reader = Arc::new(MergedReader::new(readers.reader, outbox));
            if matches!(self.place, Place::Nowhere) {
                readers.analytics = Arc::new(PagedAnalytics::new(Arc::clone(&readers.reader)));
            }
        }
        Ok(readers)
    }

    /// Opens the outbox for reading, if one is named.
    pub(crate) fn outbox(&self) -> Result<Option<Arc<dyn SpoolReader>>, CliError> {
        self.outbox.as_deref().map(open_outbox).transpose()
    }

    /// How many events wait in the outbox and are not counted where runs are compared, because the store counts them.
    pub(crate) async fn uncounted(&self) -> Result<Option<u64>, CliError> {
        match self.outbox()? {
            Some(outbox) if !matches!(self.place, Place::Nowhere) => Ok(Some(outbox.usage().await?.events)),
            _ => Ok(None),
        }
    }

    /// Makes pseudonyms with the secret of the store, as services do, unless the environment has a key for them.
    async fn learn_secret(&self, reader: &dyn TraceReader) -> Result<(), CliError> {
        if let Some(secret) = reader.secret().await? {
            self.pseudonyms.0.pseudonym_key_if_unset(secret.as_bytes());
        }
        Ok(())
    }

    /// The redactor that imported events pass: the standard one, with the key for pseudonyms of the environment, or else
    /// of the store, which must be there.
    pub(crate) async fn redactor(&self) -> Result<Redactor, CliError> {
        self.readers().await?;
        Ok(self.pseudonyms.0.clone())
    }

    /// The same redactor, which takes out national numbers, phone numbers and network addresses, too.
    pub(crate) async fn redactor_of_more(&self) -> Result<Redactor, CliError> {
        let all = [pii::EU, pii::US, pii::PHONES, pii::NETWORK];
        let redactor = redactor(all.into_iter().fold(redaction(), Redaction::with))?;
        // A veil keeps the secret to itself.
        if let Some(secret) = self.bare_readers().await?.reader.secret().await? {
            redactor.pseudonym_key_if_unset(secret.as_bytes());
        }
        Ok(redactor)
    }

    /// Opens the store for watching; it must be there.
    pub(crate) async fn stream(&self) -> Result<Box<dyn TraceStream>, CliError> {
        self.must_exist()?;
        let stream: Result<Box<dyn TraceStream>, OpenError> = match &self.place {
            Place::Sqlite(path) => SqliteStore::new(path).open_reader().map(|reader| Box::new(reader) as _),
            Place::Postgres(store) => store.open_reader().await.map(|reader| Box::new(reader) as _),
            Place::Cosmos(_) => {
                return Err(CliError::Usage(format!(
                    "{} can't be watched; watch the feed of the services with --feed redis://…",
                    self.name
                )));
            }
            Place::Nowhere => return Err(no_store()),
        };
        stream.map_err(|error| self.open_error(error))
    }

    /// What a value to look for, of this attribute if it is one, is called in the store: see [`Pseudonyms::findable`].
    pub(crate) fn findable<'a>(&self, attribute: Option<&str>, value: &'a str) -> Cow<'a, str> {
        self.pseudonyms.findable(attribute, value)
    }

    /// What values are called in the store.
    pub(crate) fn pseudonyms(&self) -> &Pseudonyms {
        &self.pseudonyms
    }

    /// Something that writes to the store.
    pub(crate) fn written_by(&self, builder: ThroughlineBuilder) -> Result<ThroughlineBuilder, CliError> {
        match &self.place {
            Place::Sqlite(path) => Ok(builder.store(SqliteStore::new(path))),
            Place::Postgres(store) => Ok(builder.store(store.clone())),
            Place::Cosmos(store) => Ok(builder.store(store.clone())),
            Place::Nowhere => Err(no_store()),
        }
    }

    /// The store, for a command that changes files.
    pub(crate) fn sqlite(&self) -> Result<SqliteStore, CliError> {
        match &self.place {
            Place::Sqlite(path) => Ok(SqliteStore::new(path)),
            Place::Postgres(_) | Place::Cosmos(_) => Err(CliError::Usage(format!(
                "this command works on SQLite files alone, and {} is none; name one with --store sqlite:PATH",
                self.name
            ))),
            Place::Nowhere => Err(no_store()),
        }
    }

    /// `false` if it is a file that is not there.
    pub(crate) fn may_exist(&self) -> bool {
        match &self.place {
            Place::Sqlite(path) => path.exists(),
            Place::Postgres(_) | Place::Cosmos(_) | Place::Nowhere => true,
        }
    }

    /// The folder of a store that is a file.
    pub(crate) fn folder(&self) -> Option<&Path> {
        let Place::Sqlite(path) = &self.place else { return None };
        path.parent()
    }

    /// Complains if there is no such file.
    pub(crate) fn must_exist(&self) -> Result<(), CliError> {
        if self.may_exist() {
            return Ok(());
        }
        Err(CliError::Input(format!(
            "{}: no such file; `throughline import FILE` creates one, or name another with --store",
            self.name
        )))
    }

    /// An error that names the store.
    pub(crate) fn open_error(&self, error: OpenError) -> CliError {
        CliError::Open { name: self.name.clone(), error }
    }
}

/// The key of the account of a store in Cosmos DB, which no command line shows.
fn cosmos_key() -> Result<String, CliError> {
    let key = env::secret(THROUGHLINE_COSMOS_KEY, THROUGHLINE_COSMOS_KEY_FILE, env::variable)
        .map_err(|error| CliError::Usage(error.to_string()))?;
    key.ok_or_else(|| {
        CliError::Usage(format!(
            "no key given: set {THROUGHLINE_COSMOS_KEY} to a key of the account, or {THROUGHLINE_COSMOS_KEY_FILE} to the \
             path of a file with one"
        ))
    })
}

/// Opens an outbox for reading.
pub(crate) fn open_outbox(file: &Path) -> Result<Arc<dyn SpoolReader>, CliError> {
    SqliteSpool::new(file)
        .open_reader()
        .map_err(|error| CliError::Open { name: file.display().to_string(), error })
}

fn no_store() -> CliError {
    CliError::Usage(
        "no store given: use --store sqlite:PATH, --store postgres://… or --store cosmos:…, or set THROUGHLINE_STORE"
            .into(),
    )
}

/// The redactor of what is imported as it is.
pub(crate) fn no_redactor() -> Result<Redactor, CliError> {
    Redaction::off().build().map_err(|error| CliError::Usage(error.to_string()))
}

/// The standard rules, which keep whole what is imported, however large an event is.
fn redaction() -> Redaction {
    Redaction::standard().payload_limit(usize::MAX)
}

/// The redactor of these rules, with the key for pseudonyms of the environment, if that has one.
fn redactor(mut redaction: Redaction) -> Result<Redactor, CliError> {
    let secret = std::env::var(THROUGHLINE_PSEUDONYM_KEY).ok().filter(|secret| !secret.is_empty());
    if let Some(secret) = secret {
        redaction = redaction.pseudonym_key(secret);
    }
    redaction.build().map_err(|error| CliError::Usage(format!("{THROUGHLINE_PSEUDONYM_KEY}: {error}")))
}
