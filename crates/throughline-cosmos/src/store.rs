//! [`CosmosStore`], and the store that it describes.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use azure_core::credentials::{Secret, TokenCredential};
use azure_data_cosmos::CosmosClient;
use throughline_model::{
    AppendError, BoxFuture, Charges, Claim, Instance, Lease, Limits, OpenError, Readers, StoreConfig,
    TraceEvent, TraceId, TraceStore,
};

use crate::append::{MAX_BYTES, MAX_EVENTS, Memory, append};
use crate::connect::{Access, Address, parse_location, seconds};
use crate::container::Container;
use crate::document::{STORE as PARTITION, StoreDocument};
use crate::error::{Fault, STORE};
use crate::lease::HeldLease;
use crate::reader::CosmosReader;

/// The description of a store in a container of Azure Cosmos DB (its API for NoSQL). Nothing is connected to before it is
/// opened; then database and container are created if they are not there, and if the credential allows that.
///
/// Services hand it to the builder of Throughline, which [opens](StoreConfig::open) it for writing. Tools that only read
/// take [`open_reader`](Self::open_reader).
///
/// ```
/// use throughline_cosmos::CosmosStore;
///
/// let store = CosmosStore::new("https://loans.documents.azure.com", "c2VjcmV0", "audit");
/// assert!(!format!("{store:?}").contains("c2VjcmV0"));
/// ```
#[derive(Clone)]
pub struct CosmosStore {
    access: Access,
    database: String,
    container: String,
    region: Option<String>,
    lease_interval: Duration,
    retention_age: Option<Duration>,
}

impl CosmosStore {
    /// A store in a database of the account at this endpoint, with one of the keys of the account.
    pub fn new(endpoint: impl Into<String>, key: impl Into<String>, database: impl Into<String>) -> Self {
        Self::of(Access::Key(endpoint.into(), Secret::new(key.into())), database)
    }

    /// A store in a database of the account at this endpoint, with an identity of Microsoft Entra ID: a managed identity, say,
    /// of the crate `azure_identity`. It needs the role *Cosmos DB Built-in Data Contributor*, or *Data Reader* for tools that
    /// only read; such an identity can't create database and container, which must be there.
    pub fn with_credential(
        endpoint: impl Into<String>,
        credential: Arc<dyn TokenCredential>,
        database: impl Into<String>,
    ) -> Self {
        Self::of(Access::Token(endpoint.into(), credential), database)
    }

    /// A store in a database of the account that a client is connected to. The tokio runtime that the client was made on must
    /// live as long as the store.
    pub fn with_client(client: CosmosClient, database: impl Into<String>) -> Self {
        Self::of(Access::Client(client), database)
    }

    /// The same in one text: `cosmos:https://ACCOUNT.documents.azure.com/DATABASE`, with `/CONTAINER` behind it if it is not
    /// `throughline`. What is invalid is reported when the store is opened.
    ///
    /// ```
    /// # use throughline_cosmos::CosmosStore;
    /// let store = CosmosStore::at("cosmos:https://loans.documents.azure.com/audit/runs", "c2VjcmV0");
    /// assert_eq!(store.location(), "cosmos:loans.documents.azure.com/audit/runs");
    /// ```
    pub fn at(location: &str, key: impl Into<String>) -> Self {
        let Some((endpoint, database, container)) = parse_location(location) else {
            return Self::new("", key, "");
        };
        let store = Self::new(endpoint, key, database);
        match container {
            Some(container) => store.container(container),
            None => store,
        }
    }

    fn of(access: Access, database: impl Into<String>) -> Self {
        Self {
            access,
            database: database.into(),
            container: "throughline".to_owned(),
            region: None,
            lease_interval: Duration::from_secs(5),
            retention_age: None,
        }
    }

    /// The container in the database; `throughline` by default.
    #[must_use]
    pub fn container(mut self, name: impl Into<String>) -> Self {
        self.container = name.into();
        self
    }

    /// The Azure region that this process runs in, as in `West Europe`: of the regions of the account, the nearest is used. By
    /// default it is the one that the account names first. Of no use with a client, which has one already.
    #[must_use]
    pub fn region(mut self, name: impl Into<String>) -> Self {
        self.region = Some(name.into());
        self
    }

    /// How often a process renews its lease; five seconds by default. One that has not renewed it for three times as long
    /// counts as dead, by the service's clock.
    #[must_use]
    pub fn lease_interval(mut self, interval: Duration) -> Self {
        self.lease_interval = interval.max(Duration::from_millis(10));
        self
    }

    /// Has the service remove documents this long after they were written: each event, and what is known of a run as a whole
    /// this long after it last changed. By default they stay as long as the container says, which is 90 days if this store made
    /// it.
    #[must_use]
    pub fn retention_age(mut self, age: Duration) -> Self {
        self.retention_age = Some(age);
        self
    }

    /// Where the store is, for people: `cosmos:loans.documents.azure.com/audit/throughline`. If the endpoint is invalid it is
    /// only `cosmos`.
    ///
    /// ```
    /// # use throughline_cosmos::CosmosStore;
    /// let store = CosmosStore::new("https://loans.documents.azure.com", "c2VjcmV0", "audit");
    /// assert_eq!(store.location(), "cosmos:loans.documents.azure.com/audit/throughline");
    /// ```
    pub fn location(&self) -> String {
        match self.access.account() {
            Some(account) => format!("cosmos:{account}/{}/{}", self.database, self.container),
            None => STORE.to_owned(),
        }
    }

    /// Connects for reading, as a process does that does not write: without a lease, and without creating anything. Must be
    /// called on a tokio runtime, which the reader uses for as long as it exists.
    ///
    /// # Errors
    ///
    /// If the service can't be reached, or if there is no such container.
    pub async fn open_reader(&self) -> Result<CosmosReader, OpenError> {
        self.address().find().await.map(CosmosReader::new).map_err(Fault::into_open_error)
    }

    fn address(&self) -> Address<'_> {
        Address {
            access: &self.access,
            region: self.region.as_deref(),
            database: &self.database,
            container: &self.container,
        }
    }

    async fn open_store(self, instance: Instance) -> Result<Arc<dyn TraceStore>, Fault> {
        let ttl = self.retention_age.map(seconds);
        let container = self.address().find_or_make(ttl).await?;
        let lease = Lease::heartbeat(self.lease_interval);
        let held = HeldLease::take(container.clone(), &instance, lease, ttl).await?;
        make_secret(&container).await?;
        Ok(Arc::new(OpenStore {
            container,
            memory: Memory::default(),
            lease,
            held,
            ttl,
            is_closed: AtomicBool::new(false),
        }))
    }
}

/// Makes the secret of the store, if it has none.
async fn make_secret(container: &Container) -> Result<(), Fault> {
    if container.read::<StoreDocument>(PARTITION, PARTITION).await?.is_some() {
        return Ok(());
    }
    let document = StoreDocument {
        id: PARTITION.to_owned(),
        trace_id: PARTITION.to_owned(),
        kind: PARTITION.to_owned(),
        secret: format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()),
        ttl: -1,
    };
    // Of several processes that open the store for the first time, one makes it.
    container.create(PARTITION, PARTITION, document).await.map(drop)
}

impl fmt::Debug for CosmosStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CosmosStore")
            .field("location", &self.location())
            .field("lease_interval", &self.lease_interval)
            .field("retention_age", &self.retention_age)
            .finish_non_exhaustive()
    }
}

impl StoreConfig for CosmosStore {
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

struct OpenStore {
    container: Container,
    memory: Memory,
    lease: Lease,
    held: HeldLease,
    ttl: Option<u32>,
    is_closed: AtomicBool,
}

impl OpenStore {
    fn check_open(&self) -> Result<(), AppendError> {
        match self.is_closed.load(Ordering::SeqCst) {
            true => Err(Fault::closed().into_append_error()),
            false => Ok(()),
        }
    }
}

impl TraceStore for OpenStore {
    fn name(&self) -> &str {
        STORE
    }

    fn append<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            self.check_open()?;
            append(&self.container, &self.memory, events, self.ttl).await.map_err(Fault::into_append_error)
        })
    }

    fn limits(&self) -> Limits {
        Limits::new().events(MAX_EVENTS).bytes(MAX_BYTES).by_trace(16)
    }

    fn lease(&self) -> Lease {
        self.lease
    }

    fn heartbeat(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            self.check_open()?;
            self.held.renew().await.map_err(Fault::into_append_error)
        })
    }

    fn claim(&self, trace: TraceId) -> BoxFuture<'_, Result<Claim, AppendError>> {
        Box::pin(async move {
            self.check_open()?;
            self.held.claim(trace, self.ttl).await.map_err(Fault::into_append_error)
        })
    }

    fn release(&self, trace: TraceId) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            self.check_open()?;
            self.held.release(trace).await.map_err(Fault::into_append_error)
        })
    }

    fn readers(&self) -> Readers {
        Readers::of(CosmosReader::new(self.container.clone()))
    }

    fn charges(&self) -> Charges {
        self.container.charges().clone()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            if self.is_closed.load(Ordering::SeqCst) {
                return Ok(());
            }
            self.held.give_back().await.map_err(Fault::into_append_error)?;
            self.is_closed.store(true, Ordering::SeqCst);
            Ok(())
        })
    }
}
