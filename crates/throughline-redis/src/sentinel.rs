//! [`Watched`], a server that sentinels know.

use redis::aio::MultiplexedConnection;
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo as _, RedisError,
    RedisResult, TlsMode,
};

/// A server that sentinels watch over: where it is, they are asked for each connection.
#[derive(Clone)]
pub(crate) struct Watched {
    sentinels: Vec<ConnectionInfo>,
    name: String,
    server: ConnectionInfo,
    #[cfg(feature = "tls")]
    root_certificates: Option<Vec<u8>>,
}

impl Watched {
    pub(crate) fn new(sentinels: &[String], server: &str) -> RedisResult<Self> {
        let read = |url: &String| url.as_str().into_connection_info();
        let sentinels = sentinels.iter().map(read).collect::<RedisResult<Vec<_>>>()?;
        let server = server.into_connection_info()?;
        let name = match server.addr() {
            ConnectionAddr::Tcp(name, _) | ConnectionAddr::TcpTls { host: name, .. } => name.clone(),
            _ => String::new(),
        };
        if sentinels.is_empty() || name.is_empty() {
            return Err(RedisError::from((
                ErrorKind::InvalidClientConfig,
                "no sentinels, or no name of a server",
            )));
        }
        #[cfg(feature = "tls")]
        if sentinels.iter().chain([&server]).any(is_encrypted) {
            crate::tls::provide();
        }
        Ok(Self {
            sentinels,
            name,
            server,
            #[cfg(feature = "tls")]
            root_certificates: None,
        })
    }

    /// With these certificates instead of those of the system, as PEM.
    #[cfg(feature = "tls")]
    pub(crate) fn trusting(self, pem: Option<&[u8]>) -> Self {
        Self { root_certificates: pem.map(<[u8]>::to_vec), ..self }
    }

    /// A connection to the server, wherever it is now.
    pub(crate) async fn connect(&self, config: &AsyncConnectionConfig) -> RedisResult<MultiplexedConnection> {
        self.builder()?.build()?.get_async_connection_with_config(config).await
    }

    fn builder(&self) -> RedisResult<SentinelClientBuilder> {
        let addresses = self.sentinels.iter().map(|sentinel| sentinel.addr().clone());
        let mut builder = SentinelClientBuilder::new(addresses, &self.name, SentinelServerType::Master)?;
        let server = self.server.redis_settings();
        builder = builder.set_client_to_redis_db(server.db()).set_client_to_redis_protocol(server.protocol());
        if let Some(user) = server.username() {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = server.password() {
            builder = builder.set_client_to_redis_password(password);
        }
        if is_encrypted(&self.server) {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        let Some(sentinel) = self.sentinels.first() else { return Ok(builder) };
        if let Some(user) = sentinel.redis_settings().username() {
            builder = builder.set_client_to_sentinel_username(user);
        }
        if let Some(password) = sentinel.redis_settings().password() {
            builder = builder.set_client_to_sentinel_password(password);
        }
        #[cfg(feature = "tls")]
        if let Some(pem) = &self.root_certificates {
            let certificates = || redis::TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
            if is_encrypted(sentinel) {
                builder = builder.set_client_to_sentinel_certificates(certificates());
            }
            builder = builder.set_client_to_redis_certificates(certificates());
        }
        Ok(builder)
    }
}

fn is_encrypted(address: &ConnectionInfo) -> bool {
    matches!(address.addr(), ConnectionAddr::TcpTls { .. })
}
