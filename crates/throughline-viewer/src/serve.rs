//! [`BoundViewer`], a viewer with a server of its own.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::map_request;
use axum::serve::{IncomingStream, Listener};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;

use crate::viewer::{Viewer, ViewerError};

/// A viewer that listens, and answers once it is [served](Self::serve).
#[derive(Debug)]
pub struct BoundViewer {
    viewer: Viewer,
    listener: TcpListener,
    address: SocketAddr,
}

impl Viewer {
    /// Listens on an address; port 0 is any free one.
    ///
    /// # Errors
    /// When the address can be reached from other machines and no [authentication](crate::ViewerBuilder::auth) is demanded, or
    /// when it is not free.
    pub async fn bind(&self, address: SocketAddr) -> Result<BoundViewer, ViewerError> {
        if self.state().auth.is_none() && !address.ip().to_canonical().is_loopback() {
            return Err(ViewerError::NotLoopback { address });
        }
        let failed = |source| ViewerError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(BoundViewer { viewer: self.clone(), listener, address })
    }
}

impl BoundViewer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the future is dropped.
    ///
    /// # Errors
    /// When the listener fails for good.
    pub async fn serve(self) -> io::Result<()> {
        let patience = self.viewer.state().timeout;
        let named =
            map_request(|ConnectInfo(Peer(peer)): ConnectInfo<Peer>, mut request: Request| async move {
                request.extensions_mut().insert(ConnectInfo(peer));
                request
            });
        let app = self.viewer.router().layer(named).into_make_service_with_connect_info::<Peer>();
        axum::serve(Patient { listener: self.listener, patience }, app).await
    }
}

/// A listener whose connections end when the other side reads nothing for so long: who asks and does not read keeps no memory for
/// ever.
struct Patient {
    listener: TcpListener,
    patience: Duration,
}

impl Listener for Patient {
    type Io = Pin<Box<TimeoutStream<TcpStream>>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let (stream, peer) = Listener::accept(&mut self.listener).await;
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.patience));
        (Box::pin(stream), peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// Who asks.
#[derive(Debug, Clone)]
struct Peer(SocketAddr);

impl Connected<IncomingStream<'_, Patient>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Patient>) -> Self {
        Self(*stream.remote_addr())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpSocket;

    use super::*;

    #[tokio::test]
    async fn a_connection_whose_other_side_reads_nothing_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut patient = Patient { listener, patience: Duration::from_millis(100) };
        let silent = TcpSocket::new_v4().unwrap();
        silent.set_recv_buffer_size(4_096).unwrap();
        let address = patient.local_addr().unwrap();
        let (silent, (mut connection, _)) = tokio::join!(silent.connect(address), patient.accept());
        let written = connection.write_all(&vec![0; 64 << 20]).await;
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(silent);
    }
}
