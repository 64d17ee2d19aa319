//! [`BoundViewer`], a viewer with a server of its own.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

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
        let app = self.viewer.router().into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(self.listener, app).await
    }
}
