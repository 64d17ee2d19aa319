//! [`PostgresStore`], and the store that it describes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use throughline_model::{
    AppendError, BoxFuture, Claim, Instance, InstanceId, Lease, Limits, OpenError, Readers, StoreConfig,
    TraceEvent, TraceId, TraceStore, Upkeep,
};
use tokio::sync::Mutex;
use tokio_postgres::error::SqlState;

use crate::address::location;
use crate::append::{Appended, Memory, Part, append, parts};
use crate::connect::{Connector, Single};
use crate::error::{Fault, STORE};
use crate::reader::PostgresReader;
use crate::upkeep::Keeper;
use crate::{lease, schema};

/// The description of a store in a Postgres database. Nothing is connected to before it is opened; then the schema
/// `throughline` is created if it is not there.
///
/// Services hand it to the builder of Throughline, which [opens](StoreConfig::open) it for writing. Tools that only read
/// take [`open_reader`](Self::open_reader).
///
/// ```
/// use throughline_postgres::PostgresStore;
///
/// let store = PostgresStore::new("postgres://loans:secret@db-1,db-2/audit");
/// assert!(!format!("{store:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    url: String,
    lease_interval: Duration,
    retention_age: Option<Duration>,
}

impl PostgresStore {
    /// A store in the database that a connection string names:
    /// [`postgres://USER:PASSWORD@HOST:PORT/DATABASE`](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING),
    /// or `host=… user=…`. Of several hosts the one that takes writes is written to. The database must exist.
    ///
    /// With `sslmode=require`, `verify-ca` or `verify-full` connections are encrypted, and the server has to prove that it is
    /// that host, by a certificate that the system trusts or one of the file `sslrootcert`; `sslcert` and `sslkey` prove who we
    /// are. That takes the feature `tls`. Otherwise nothing is encrypted.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), lease_interval: Duration::from_secs(5), retention_age: None }
    }

    /// How often a process renews its lease; five seconds by default. One that has not renewed it for three times as long
    /// counts as dead, by the server's clock.
    #[must_use]
    pub fn lease_interval(mut self, interval: Duration) -> Self {
        self.lease_interval = interval.max(Duration::from_millis(10));
        self
    }

    /// Removes whole runs this long after they ended; runs that a dead process left open, and imported ones that never
    /// ended, this long after their last event. A run that a living process works on stays. The space is returned by
    /// dropping partitions, a day at a time, when the last run that began on that day is gone; that takes the owner of the
    /// tables. By default nothing is removed.
    #[must_use]
    pub fn retention_age(mut self, age: Duration) -> Self {
        self.retention_age = Some(age);
        self
    }

    /// Where the store is, for people: `postgres://db-1,db-2/audit`, without user and password. If the connection string is
    /// invalid it is only `postgres`.
    ///
    /// ```
    /// # use throughline_postgres::PostgresStore;
    /// let store = PostgresStore::new("postgres://loans:secret@db-1,db-2/audit?connect_timeout=3");
    /// assert_eq!(store.location(), "postgres://db-1,db-2/audit");
    /// ```
    pub fn location(&self) -> String {
        location(&self.url)
    }

    /// Connects for reading, as a process does that does not write: without a lease, and without creating anything. Must be
    /// called on a tokio runtime, which the reader uses for as long as it exists.
    ///
    /// # Errors
    ///
    /// If the server can't be reached, or if the database has no schema that this release can read.
    pub async fn open_reader(&self) -> Result<PostgresReader, OpenError> {
        self.connect_reader().await.map_err(Fault::into_open_error)
    }

    async fn connect_reader(&self) -> Result<PostgresReader, Fault> {
        let connector = Connector::new(&self.url)?;
        let client = connector.connect().await?;
        schema::check(&client).await?;
        Ok(PostgresReader::new(connector))
    }

    async fn open_store(self, instance: Instance) -> Result<Arc<dyn TraceStore>, Fault> {
        let connector = Connector::new(&self.url)?;
        let for_writing = connector.clone().for_writing();
        let client = for_writing.connect().await?;
        schema::migrate(&client).await?;
        schema::make_partitions(&client).await?;
        let lease = Lease::heartbeat(self.lease_interval);
        lease::take(&client, &instance, lease).await?;
        let upkeep = Upkeep::default();
        Ok(Arc::new(OpenStore {
            instance: instance.id,
            lease,
            writers: std::array::from_fn(|_| Single::new(for_writing.clone())),
            memory: Mutex::default(),
            control: Single::new(for_writing.clone()),
            reader: PostgresReader::new(connector),
            is_closed: AtomicBool::new(false),
            keeper: Keeper::start(for_writing, self.retention_age, upkeep.clone()),
            upkeep,
        }))
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("location", &self.location())
            .field("lease_interval", &self.lease_interval)
            .field("retention_age", &self.retention_age)
            .finish_non_exhaustive()
    }
}

impl StoreConfig for PostgresStore {
    fn name(&self) -> &'static str {
        STORE
    }

    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn TraceStore>, OpenError>> {
        let config = self.clone();
        Box::pin(async move { config.open_store(instance).await.map_err(Fault::into_open_error) })
    }

    fn open_readers(&self) -> BoxFuture<'static, Result<Readers, OpenError>> {
        let config = self.clone();
        Box::pin(async move { Ok(Readers::of(config.open_reader().await?)) })
    }
}

/// How many connections write at most. Each transaction costs as much as some ten events, so more of them gain less than they take.
const WRITERS: usize = 2;

struct OpenStore {
    instance: InstanceId,
    lease: Lease,
    /// For events alone.
    writers: [Single; WRITERS],
    memory: Mutex<Memory>,
    /// For leases and claims, which wait for no events.
    control: Single,
    reader: PostgresReader,
    is_closed: AtomicBool,
    keeper: Keeper,
    upkeep: Upkeep,
}

/// What is done about leases and claims.
macro_rules! controlling {
    ($self:ident, $client:ident => $work:expr) => {{
        let work = async {
            let held = $self.control.take().await?;
            let $client = &held.client;
            let done = $work.await?;
            held.keep();
            Ok(done)
        };
        work.await.map_err(Fault::into_append_error)
    }};
}

impl OpenStore {
    fn check_open(&self) -> Result<(), AppendError> {
        match self.is_closed.load(Ordering::SeqCst) {
            true => Err(Fault::closed().into_append_error()),
            false => Ok(()),
        }
    }

    async fn append_now(&self, events: &[Arc<TraceEvent>]) -> Result<(), Fault> {
        let mut memory = self.memory.lock().await;
        let parts = parts(events, WRITERS);
        let appending = parts.iter().zip(&self.writers);
        let appending = appending.map(|(part, writer)| self.append_part(writer, &memory, part));
        let mut outcome = Ok(());
        for appended in join_all(appending).await {
            match appended {
                Ok(appended) => memory.keep(appended),
                Err(fault) => outcome = outcome.and(Err(fault)),
            }
        }
        outcome
    }

    async fn append_part(&self, writer: &Single, memory: &Memory, part: &Part) -> Result<Appended, Fault> {
        let held = writer.take().await?;
        let appended = append(&held.client, memory, &part.events).await.map_err(|fault| part.in_call(fault));
        if appended.is_ok() {
            held.keep();
            return appended;
        }
        // A process that slept through all days that were prepared; the next attempt finds the partition.
        if let Err(fault) = &appended
            && fault.code() == Some(&SqlState::CHECK_VIOLATION)
        {
            let held = self.control.take().await?;
            schema::make_partitions(&held.client).await?;
            held.keep();
        }
        appended
    }
}

impl TraceStore for OpenStore {
    fn name(&self) -> &str {
        STORE
    }

    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            if events.is_empty() {
                return Ok(());
            }
            self.check_open()?;
            self.append_now(events).await.map_err(Fault::into_append_error)
        })
    }

    fn limits(&self) -> Limits {
        Limits::new().bytes(32 << 20)
    }

    // Less than a transaction costs by itself, whatever is in it.
    fn group_commit_delay(&self) -> Duration {
        Duration::from_micros(300)
    }

    fn lease(&self) -> Lease {
        self.lease
    }

    fn heartbeat(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            self.check_open()?;
            controlling!(self, client => lease::renew(client, self.instance, self.lease))
        })
    }

    fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>> {
        Box::pin(async move {
            self.check_open()?;
            controlling!(self, client => lease::claim(client, trace, self.instance))
        })
    }

    fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            self.check_open()?;
            controlling!(self, client => lease::release(client, trace, self.instance))
        })
    }

    fn readers(&self) -> Readers {
        Readers::of(self.reader.clone())
    }

    fn upkeep(&self) -> Upkeep {
        self.upkeep.clone()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            if self.is_closed.load(Ordering::SeqCst) {
                return Ok(());
            }
            self.keeper.stop();
            controlling!(self, client => lease::give_back(client, self.instance))?;
            self.is_closed.store(true, Ordering::SeqCst);
            for writer in &self.writers {
                writer.close().await;
            }
            self.control.close().await;
            Ok(())
        })
    }
}
