//! Connections to a server or a cluster.

use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value};
use throughline_model::{AppendError, OpenError, ReadError};

#[cfg(feature = "sentinel")]
use crate::sentinel::Watched;

pub(crate) const NAME: &str = "Redis";

/// How long a connection may take to be ready.
const CONNECT: Duration = Duration::from_secs(2);

/// Where a feed is, as it was configured: nothing has been parsed.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) urls: Vec<String>,
    pub(crate) is_cluster: bool,
    /// If these are sentinels: how to reach the server that they know, with its name in place of a host.
    #[cfg(feature = "sentinel")]
    pub(crate) watched: Option<String>,
    /// The certificates to trust instead of those of the system, as PEM.
    #[cfg(feature = "tls")]
    pub(crate) root_certificates: Option<Vec<u8>>,
}

/// What makes connections.
#[derive(Clone)]
pub(crate) enum Client {
    Server(Box<redis::Client>),
    #[cfg(feature = "cluster")]
    Cluster(Box<redis::cluster::ClusterClient>),
    #[cfg(feature = "sentinel")]
    Watched(Box<Watched>),
}

/// A connection to a server, or to a cluster. Clones share it.
#[derive(Clone)]
pub(crate) enum Connection {
    Server(MultiplexedConnection),
    #[cfg(feature = "cluster")]
    Cluster(redis::cluster_async::ClusterConnection),
}

impl Address {
    /// A client whose connections wait so long for a response.
    pub(crate) fn client(&self, response: Duration) -> Result<Client, OpenError> {
        #[cfg(feature = "sentinel")]
        if let Some(server) = &self.watched {
            let watched = Watched::new(&self.urls, server);
            #[cfg(feature = "tls")]
            let watched = watched.map(|watched| watched.trusting(self.root_certificates.as_deref()));
            return watched
                .map(|watched| Client::Watched(Box::new(watched)))
                .map_err(|error| unusable(&error));
        }
        if self.is_cluster { self.cluster(response) } else { self.server() }
    }

    fn server(&self) -> Result<Client, OpenError> {
        let url = self.urls.first().map(String::as_str).unwrap_or_default();
        #[cfg(feature = "tls")]
        if url.starts_with("rediss:") || url.starts_with("valkeys:") {
            crate::tls::provide();
            let certificates =
                redis::TlsCertificates { client_tls: None, root_cert: self.root_certificates.clone() };
            return redis::Client::build_with_tls(url, certificates)
                .map(|client| Client::Server(Box::new(client)))
                .map_err(|e| unusable(&e));
        }
        redis::Client::open(url)
            .map(|client| Client::Server(Box::new(client)))
            .map_err(|error| unusable(&error))
    }

    #[cfg(feature = "cluster")]
    fn cluster(&self, response: Duration) -> Result<Client, OpenError> {
        let builder = redis::cluster::ClusterClient::builder(self.urls.iter().map(String::as_str))
            .connection_timeout(CONNECT)
            .response_timeout(response)
            .overall_response_timeout(Some(response))
            // Who publishes must not wait for long, and who watches tries again.
            .retries(1);
        builder.build().map(|client| Client::Cluster(Box::new(client))).map_err(|error| unusable(&error))
    }

    #[cfg(not(feature = "cluster"))]
    fn cluster(&self, _: Duration) -> Result<Client, OpenError> {
        Err(OpenError::Unusable {
            store: NAME,
            reason: "a cluster needs the feature `cluster` of throughline-redis".to_owned(),
            source: None,
        })
    }
}

impl Client {
    /// A new connection, which waits so long for each response.
    pub(crate) async fn connect(&self, response: Duration) -> RedisResult<Connection> {
        let connecting = async {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT))
                .set_response_timeout(Some(response));
            match self {
                Self::Server(client) => {
                    client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Server)
                }
                #[cfg(feature = "sentinel")]
                Self::Watched(watched) => watched.connect(&config).await.map(Connection::Server),
                #[cfg(feature = "cluster")]
                Self::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
            }
        };
        let late = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        tokio::time::timeout(CONNECT, connecting).await.unwrap_or_else(late)
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(command),
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            #[cfg(feature = "cluster")]
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// Whether the same may go well later: what the network did, or a server that starts, moves or fails over.
pub(crate) fn is_transient(error: &RedisError) -> bool {
    use redis::ServerErrorKind as Server;
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse | ErrorKind::ClusterConnectionNotFound | ErrorKind::Client => true,
        // In the middle of a failover there is none.
        #[cfg(feature = "sentinel")]
        ErrorKind::MasterNameNotFoundBySentinel => true,
        ErrorKind::Server(kind) => matches!(
            kind,
            Server::BusyLoading
                | Server::TryAgain
                | Server::ClusterDown
                | Server::MasterDown
                | Server::ReadOnly
                | Server::Moved
                | Server::Ask
        ),
        // Said to those that a server lets wait when it becomes another's replica.
        _ => error.code() == Some("UNBLOCKED"),
    }
}

/// What is wrong, and how to fix it. The server's own words repeat no password; those about an address might.
fn reason(error: &RedisError) -> String {
    let said = || {
        let errors = error.clone().into_server_errors();
        match errors.as_deref().and_then(<[_]>::first) {
            Some((_, error)) => format!("{} {}", error.code(), error.details().unwrap_or_default()),
            None => error.category().to_owned(),
        }
    };
    match error.kind() {
        ErrorKind::InvalidClientConfig => "the address can't be used: expected redis://[user[:password]@]host[:port][/database], \
            rediss:// for TLS (with the feature `tls`), or redis+unix:///path/to/socket; special characters of a \
            password must be percent-encoded"
            .to_owned(),
        ErrorKind::AuthenticationFailed => "it refused the user or the password; check both in the address".to_owned(),
        ErrorKind::Io if error.is_timeout() => "it did not respond in time".to_owned(),
        ErrorKind::Io if error.is_connection_refusal() => {
            "nothing listens there; check host and port, and whether the server runs".to_owned()
        }
        ErrorKind::Io => error.to_string(),
        #[cfg(feature = "sentinel")]
        ErrorKind::MasterNameNotFoundBySentinel => {
            "the sentinels know no server of that name that takes writes; check the name, which is in place of the host".to_owned()
        }
        ErrorKind::Server(redis::ServerErrorKind::NoPerm) => {
            format!("{}; docs/guide/watching-live.md lists what the user must be allowed", said())
        }
        _ => said(),
    }
}

/// The error of an address that no connection can be made with.
fn unusable(error: &RedisError) -> OpenError {
    OpenError::Unusable { store: NAME, reason: reason(error), source: None }
}

/// The error of opening.
pub(crate) fn open_error(error: &RedisError) -> OpenError {
    if is_transient(error) {
        OpenError::Unavailable { store: NAME, reason: reason(error), source: None }
    } else {
        unusable(error)
    }
}

/// The error of publishing.
pub(crate) fn append_error(error: &RedisError) -> AppendError {
    AppendError::Unavailable { reason: reason(error), retry_after: None, source: None }
}

/// The error of reading.
pub(crate) fn read_error(error: &RedisError) -> ReadError {
    ReadError::Unavailable { reason: reason(error), source: None }
}
