//! [`RedisFeed`], the feed as it is configured.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::RedisResult;
use throughline_model::{
    BoxFuture, FeedConfig, Instance, LiveFeed, OpenError, OpenRun, ReadError, TraceStream,
};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::connection::{Address, Client, Connection, NAME, is_transient, open_error};
use crate::head::Head;
use crate::keys::Keys;
use crate::publish::{Bounds, Publisher, RESPONSE};
use crate::runs;
use crate::watch::{BLOCKED, RedisStream};

/// A live feed on Redis Streams: what one process emits, any other can watch.
///
/// This is a description: nothing is parsed or connected before the emitter is built. Then connections are made and
/// driven on the emitter's own thread. A server that can't be reached then is no error, since an emitter never waits for a
/// feed: events are dropped and counted until the server is there. An address or password that is wrong is.
///
/// ```no_run
/// use throughline_core::Throughline;
/// use throughline_redis::RedisFeed;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let throughline =
///     Throughline::builder("loan-service").feed(RedisFeed::new("redis://127.0.0.1/")).build()?;
/// # Ok(())
/// # }
/// ```
///
/// The address is `redis://[user[:password]@]host[:port][/database]`, `rediss://…` for TLS (feature `tls`), or
/// `redis+unix:///path/to/socket[?db=1&user=name&pass=secret]`; `?protocol=resp3` selects the newer protocol. TLS uses the
/// [provider](https://docs.rs/rustls/latest/rustls/crypto/struct.CryptoProvider.html) that the process has installed, and
/// installs `ring` if there is none.
#[derive(Clone)]
pub struct RedisFeed {
    address: Address,
    prefix: String,
    bounds: Bounds,
}

impl RedisFeed {
    /// How many entries the stream of all events keeps by default; an entry has between 1 and 64 events.
    pub const DEFAULT_CAPACITY: usize = 4096;
    /// How many entries the stream of a run keeps by default.
    pub const DEFAULT_RUN_CAPACITY: usize = 1024;
    /// How long the stream of a run is kept after its last event by default.
    pub const DEFAULT_TTL: Duration = Duration::from_secs(3600);

    /// A feed on the server at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self::at(vec![url.into()], false)
    }

    /// A feed on a cluster that has these nodes, and perhaps others. All keys of a feed are in one slot, so that a group of
    /// events takes one round trip; feeds with different [prefixes](Self::prefix) are spread over the cluster.
    #[cfg(feature = "cluster")]
    pub fn cluster(urls: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self::at(urls.into_iter().map(Into::into).collect(), true)
    }

    /// A feed on the server that these sentinels know by a name, which is in place of the host in the address of the server:
    /// `RedisFeed::sentinel(["redis://one:26379/", "redis://two:26379/"], "redis://user:password@loans/")`. They are asked again
    /// for each connection, so after a failover the new server is published to and watched. If the sentinels want a user or a
    /// password, it is the same for all.
    #[cfg(feature = "sentinel")]
    pub fn sentinel(
        sentinels: impl IntoIterator<Item = impl Into<String>>,
        server: impl Into<String>,
    ) -> Self {
        let mut feed = Self::at(sentinels.into_iter().map(Into::into).collect(), false);
        feed.address.watched = Some(server.into());
        feed
    }

    fn at(urls: Vec<String>, is_cluster: bool) -> Self {
        Self {
            address: Address {
                urls,
                is_cluster,
                #[cfg(feature = "sentinel")]
                watched: None,
                #[cfg(feature = "tls")]
                root_certificates: None,
            },
            prefix: "throughline".to_owned(),
            bounds: Bounds {
                entries: Self::DEFAULT_CAPACITY,
                entries_of_a_run: Self::DEFAULT_RUN_CAPACITY,
                open_roots: 100_000,
                ttl: Self::DEFAULT_TTL,
            },
        }
    }

    /// What the keys begin with, in braces: `throughline` if nothing is said. Feeds with different prefixes share nothing.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// How many entries the stream of all events keeps, about: what a watcher may be behind. An entry has between 1 and 64
    /// events, more of them the busier the emitter is.
    #[must_use]
    pub fn capacity(mut self, entries: usize) -> Self {
        self.bounds.entries = entries.max(1);
        self
    }

    /// How many entries the stream of one run keeps, about.
    #[must_use]
    pub fn run_capacity(mut self, entries: usize) -> Self {
        self.bounds.entries_of_a_run = entries.max(1);
        self
    }

    /// How long the stream of a run is kept after its last event.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.bounds.ttl = ttl;
        self
    }

    /// The certificates to trust instead of those of the system, as PEM: for a server whose certificate an authority of
    /// your own has signed.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.address.root_certificates = Some(pem.into());
        self
    }

    /// The runs that have begun and not ended, those that began last first, at most so many: from Redis alone, without a
    /// store. Whether a process still works on them is not known here, so their state is
    /// [unfinished](throughline_model::RunState::Unfinished). A run of which nothing happened for longer than its
    /// stream is [kept](Self::ttl) is not among them. To be called on a tokio runtime.
    ///
    /// # Errors
    /// When the server does not respond, or the address can't be used.
    pub async fn open_runs(&self, limit: usize) -> Result<Vec<OpenRun>, ReadError> {
        let client = self.address.client(RESPONSE).map_err(|error| match error {
            OpenError::Unavailable { reason, source, .. } => ReadError::Unavailable { reason, source },
            error => ReadError::InvalidQuery { reason: error.to_string() },
        })?;
        runs::open(&client, &Keys::new(&self.prefix), limit).await
    }

    fn watcher(&self) -> Result<RedisStream, OpenError> {
        let runtime = Handle::try_current().map_err(|error| OpenError::Unusable {
            store: NAME,
            reason: "it has to be opened on a tokio runtime".to_owned(),
            source: Some(error.into()),
        })?;
        let client = self.address.client(BLOCKED)?;
        Ok(RedisStream { client, keys: Keys::new(&self.prefix), ttl: self.bounds.ttl, runtime })
    }
}

/// Addresses may have a password in them.
impl fmt::Debug for RedisFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address: _, prefix, bounds } = self;
        f.debug_struct("RedisFeed").field("prefix", prefix).field("bounds", bounds).finish_non_exhaustive()
    }
}

/// A connection that may be used: one without a password is made, and refuses to do anything.
async fn connect(client: &Client, keys: &Keys) -> RedisResult<Connection> {
    let mut connection = client.connect(RESPONSE).await?;
    Head::read(&mut connection, keys).await?;
    Ok(connection)
}

impl FeedConfig for RedisFeed {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn LiveFeed>, OpenError>> {
        let feed = self.clone();
        Box::pin(async move {
            let client = feed.address.client(RESPONSE)?;
            let keys = Keys::new(&feed.prefix);
            let connection = match connect(&client, &keys).await {
                Ok(connection) => Some(connection),
                Err(error) if is_transient(&error) => None,
                Err(error) => return Err(open_error(&error)),
            };
            let publisher = Publisher {
                client,
                keys,
                instance: instance.id,
                connection: Mutex::new(connection),
                stream: Arc::new(feed.watcher()?),
                bounds: feed.bounds,
            };
            Ok(Arc::new(publisher) as Arc<dyn LiveFeed>)
        })
    }

    fn open_stream(&self) -> BoxFuture<'static, Result<Option<Arc<dyn TraceStream>>, OpenError>> {
        let feed = self.clone();
        Box::pin(async move {
            let stream = feed.watcher()?;
            connect(&stream.client, &stream.keys).await.map_err(|error| open_error(&error))?;
            Ok(Some(Arc::new(stream) as Arc<dyn TraceStream>))
        })
    }
}
