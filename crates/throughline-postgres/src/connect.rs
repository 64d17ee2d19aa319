//! Connections. Nothing here depends on the state of a session: what is set, is set within a transaction, and no statement is
//! prepared for later, so that a pooler such as PgBouncer may hand each transaction to another session.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Connection, NoTls};

use crate::address::Address;
use crate::encryption::Encryption;
use crate::error::Fault;

/// A parameter of a statement, and what the server takes it for.
pub(crate) type Param<'a> = (&'a (dyn ToSql + Sync), Type);

/// How to reach the server, and the runtime on which connections are driven.
#[derive(Clone)]
pub(crate) struct Connector {
    config: Config,
    encryption: Encryption,
    runtime: Handle,
}

impl Connector {
    /// Reads a connection string; must be called on a tokio runtime.
    pub(crate) fn new(url: &str) -> Result<Self, Fault> {
        let Address { mut config, security } = Address::read(url)?;
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(Duration::from_secs(5));
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_secs(10));
        }
        if config.get_application_name().is_none() {
            config.application_name("throughline");
        }
        let runtime = Handle::try_current()
            .map_err(|_| Fault::Unusable("it has to be opened on a tokio runtime".to_owned()))?;
        let encryption = Encryption::of(&security)?;
        Ok(Self { config, encryption, runtime })
    }

    /// The same, for one that writes: of several hosts, the one that takes writes.
    pub(crate) fn for_writing(mut self) -> Self {
        if self.config.get_hosts().len() > 1 {
            self.config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        self
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// A new connection. May be called on any runtime.
    pub(crate) async fn connect(&self) -> Result<Client, Fault> {
        let (config, encryption) = (self.config.clone(), self.encryption.clone());
        let connecting = self.runtime.spawn(async move {
            match encryption {
                Encryption::Off => driven(config.connect(NoTls).await?),
                #[cfg(feature = "tls")]
                Encryption::Tls(tls) => driven(config.connect(tls).await?),
            }
        });
        connecting.await.unwrap_or(Err(Fault::Passing("the runtime that the store was opened on has ended")))
    }
}

/// Drives a connection for as long as its client is there.
fn driven<S, T>((client, connection): (Client, Connection<S, T>)) -> Result<Client, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        // Callers that wait for an answer get the error; nobody else needs it.
        let _ = connection.await;
    });
    Ok(client)
}

/// One connection that is used by one caller at a time, and opened again when it is broken.
pub(crate) struct Single {
    connector: Connector,
    idle: tokio::sync::Mutex<Option<Client>>,
}

/// A connection in use. Unless it is [kept](Self::keep) it is closed: if the caller was dropped, or something failed, it may be
/// anywhere in a transaction, which the server then rolls back.
pub(crate) struct Held<'a> {
    idle: tokio::sync::MutexGuard<'a, Option<Client>>,
    pub(crate) client: Client,
}

impl Single {
    pub(crate) fn new(connector: Connector) -> Self {
        Self { connector, idle: tokio::sync::Mutex::new(None) }
    }

    pub(crate) async fn take(&self) -> Result<Held<'_>, Fault> {
        let mut idle = self.idle.lock().await;
        let client = match idle.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => self.connector.connect().await?,
        };
        Ok(Held { idle, client })
    }

    pub(crate) async fn close(&self) {
        self.idle.lock().await.take();
    }
}

impl Held<'_> {
    /// Keeps the connection for the next caller.
    pub(crate) fn keep(mut self) {
        *self.idle = Some(self.client);
    }
}

/// A few connections for readers. Clones share them.
#[derive(Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    connector: Connector,
    idle: Mutex<Vec<Client>>,
    permits: Arc<Semaphore>,
}

/// A connection of a pool in use; closed unless it is [kept](Self::keep).
pub(crate) struct Pooled {
    pool: Pool,
    pub(crate) client: Client,
    was_idle: bool,
    /// Given back last.
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    const CONNECTIONS: usize = 4;

    pub(crate) fn new(connector: Connector) -> Self {
        let (idle, permits) = (Mutex::default(), Arc::new(Semaphore::new(Self::CONNECTIONS)));
        Self { shared: Arc::new(Shared { connector, idle, permits }) }
    }

    pub(crate) fn runtime(&self) -> &Handle {
        self.shared.connector.runtime()
    }

    pub(crate) async fn take(&self) -> Result<Pooled, Fault> {
        let permit = Arc::clone(&self.shared.permits).acquire_owned().await;
        let permit = permit.map_err(|_| Fault::closed())?;
        let idle = self.idle().pop().filter(|client| !client.is_closed());
        let was_idle = idle.is_some();
        let client = match idle {
            Some(client) => client,
            None => self.shared.connector.connect().await?,
        };
        Ok(Pooled { pool: self.clone(), client, was_idle, _permit: permit })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Client>> {
        self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pooled {
    /// Keeps the connection for the next caller.
    pub(crate) fn keep(self) {
        let Self { pool, client, .. } = self;
        pool.idle().push(client);
    }

    /// Whether what failed may only have failed because an idle connection had been cut: to read twice does no harm.
    pub(crate) fn may_try_again(&self, fault: &Fault) -> bool {
        self.was_idle && fault.is_of_connection()
    }
}

/// What is read on a connection of a pool.
macro_rules! reading {
    ($pool:expr, $client:ident => $read:expr) => {
        loop {
            let held = $pool.take().await?;
            let read = {
                let $client = &held.client;
                $read.await
            };
            match read {
                Ok(read) => {
                    held.keep();
                    break Ok(read);
                }
                Err(fault) if held.may_try_again(&fault) => {}
                Err(fault) => break Err(fault),
            }
        }
    };
}
pub(crate) use reading;
