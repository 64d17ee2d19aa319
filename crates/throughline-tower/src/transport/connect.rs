//! What carries a request to its callee.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
#[cfg(unix)]
use hyper_util::rt::TokioIo;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use throughline_core::BoxError;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt as _};

/// A callee, whatever is between.
pub(super) type Carrier =
    BoxCloneSyncService<Request<Full<Bytes>>, Response<UnsyncBoxBody<Bytes, Broken>>, Broken>;

/// What a carrier says when it fails. A type of its own, because rustc cannot prove that futures which hold a
/// `BoxError` are `Send`.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct Broken(pub(super) BoxError);

/// Hides what kind of service it is.
pub(super) fn carrier<S, R>(service: S) -> Carrier
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let service = service.map_err(|error| Broken(error.into()));
    let service = service
        .map_response(|answer| answer.map(|body| body.map_err(|error| Broken(error.into())).boxed_unsync()));
    BoxCloneSyncService::new(service)
}

/// HTTP/1.1 over TCP, connections kept.
pub(super) fn tcp() -> Carrier {
    let mut connector = HttpConnector::new();
    // Else the kernel waits for more to send, and that wait would be taken for the transport's.
    connector.set_nodelay(true);
    carrier(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector))
}

/// HTTP/1.1 over a Unix domain socket, connections kept.
#[cfg(unix)]
pub(super) fn unix(socket: std::path::PathBuf) -> Carrier {
    let socket = std::sync::Arc::new(socket);
    let connector = tower::service_fn(move |_: http::Uri| {
        let socket = std::sync::Arc::clone(&socket);
        Box::pin(async move { tokio::net::UnixStream::connect(&*socket).await.map(TokioIo::new) })
    });
    carrier(Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector))
}
