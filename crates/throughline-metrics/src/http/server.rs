//! `/metrics` on a separate port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::Prometheus;

/// Connections at the same time; further ones wait to be accepted.
const CONNECTIONS: usize = 64;
/// A scraper that takes longer to ask its question is not one.
const HEADER_PATIENCE: Duration = Duration::from_secs(30);
/// How long answers that are in progress may take once the server is to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

impl Prometheus {
    /// Serves [`router`](Self::router) at a separate address, such as `([127, 0, 0, 1], 9464)`, until the returned server is
    /// dropped. Runs on the current tokio runtime, which needs I/O and time.
    ///
    /// # Errors
    /// When the address can't be listened on.
    pub async fn serve(&self, address: impl Into<SocketAddr>) -> Result<MetricsServer, ServeError> {
        let address = address.into();
        let refused = |source| ServeError::Listen { address: address.to_string(), source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let local_addr = listener.local_addr().map_err(refused)?;
        tracing::info!(target: "throughline", "metrics are served at http://{local_addr}/metrics");
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(accept(listener, self.router(), stopped));
        Ok(MetricsServer { local_addr, stop, task })
    }
}

/// Serves metrics until it is dropped.
#[derive(Debug)]
#[must_use = "dropped, it serves no more"]
pub struct MetricsServer {
    local_addr: SocketAddr,
    /// Its end is the sign to stop, be it by a drop.
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl MetricsServer {
    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops listening, and waits until the answers that are in progress have gone out, at most five seconds.
    pub async fn shutdown(self) {
        drop(self.stop);
        // Ends early only if the runtime itself ends.
        let _ = self.task.await;
    }
}

/// Why metrics can't be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Nobody can listen there.
    #[error("metrics can't be served at {address}: {source}; choose another port, or 0 for any that is free")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
}

async fn accept(listener: TcpListener, router: Router, mut stopped: oneshot::Receiver<()>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let (graceful, mut connections) = (GracefulShutdown::new(), JoinSet::new());
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
            Ok::<_, io::Error>((listener.accept().await?.0, place))
        };
        tokio::select! {
            _ = &mut stopped => break,
            accepted = next => match accepted {
                Ok((stream, place)) => serve_one(stream, place, &router, &graceful, &mut connections),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Out of file descriptors, most likely: the next attempt would fail at once as well.
                    tracing::warn!(target: "throughline", %error, "a connection to /metrics could not be accepted");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            },
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    // What is not done by then is cut off with the set.
    let _ = tokio::time::timeout(STOP_PATIENCE, graceful.shutdown()).await;
}

fn serve_one(
    stream: TcpStream,
    place: OwnedSemaphorePermit,
    router: &Router,
    graceful: &GracefulShutdown,
    connections: &mut JoinSet<()>,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_PATIENCE);
    let service = TowerToHyperService::new(router.clone());
    let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
    connections.spawn(async move {
        let _place = place;
        if let Err(error) = connection.await {
            tracing::debug!(target: "throughline", %error, "a connection to /metrics was closed early");
        }
    });
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}
