//! The server layer.

mod exchange;
mod future;
mod measures;
mod panic;

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::uri::Scheme;
use http::{Request, Response, Version, header};
use http_body::Body;
use throughline_core::{Propagation, RequestStart, Throughline, TraceContext, names};
use tower_layer::Layer;
use tower_service::Service;

use crate::{BoxError, ClientLayer, RequestId, SocketSession, TracedBody, extract_with};
pub(crate) use exchange::{Exchange, Outcome};
pub use future::ResponseFuture;
pub(crate) use measures::method;
use measures::{Labels, Measures};

/// Gives a [`Throughline`] its layer.
pub trait LayerExt {
    /// The layer to put around a router or any HTTP service, as the outermost.
    fn layer(&self) -> ServerLayer;

    /// The layer to put around an HTTP client.
    fn client_layer(&self) -> ClientLayer;
}

impl LayerExt for Throughline {
    fn layer(&self) -> ServerLayer {
        let measures = Measures::new(self.meter());
        let options =
            Options { is_public: false, tells_trace: false, scheme: measures::scheme(&Scheme::HTTP) };
        ServerLayer { shared: Arc::new(Shared { throughline: self.clone(), measures }), options }
    }

    fn client_layer(&self) -> ClientLayer {
        ClientLayer::new(self)
    }
}

/// The tower layer for servers: axum, tonic and bare hyper services.
///
/// With axum, `Router::layer` puts it where the matched route is known; around a whole service, as with tonic, every
/// request counts as unmatched.
#[derive(Debug, Clone)]
pub struct ServerLayer {
    shared: Arc<Shared>,
    options: Options,
}

/// What a layer knows about the server that it is in.
#[derive(Debug, Clone, Copy)]
struct Options {
    is_public: bool,
    /// Whether clients are told which trace a request is in.
    tells_trace: bool,
    /// The label for requests that do not name their scheme.
    scheme: &'static str,
}

impl ServerLayer {
    /// For what strangers can reach, such as the edge of the internet: what they send is not trusted. Each request starts
    /// a trace of its own, with a link `caused_by` to the caller's span, and the caller's `tracestate` and baggage, which
    /// contains the business key, are ignored. The request id is still accepted: it names one request, and joins none.
    ///
    /// Otherwise a caller writes into whatever trace it names. The ids of traces with a business key can be computed from
    /// it, so anyone who guesses `loan-42` could write into that loan's trace.
    #[must_use]
    pub fn public(self) -> Self {
        Self { options: Options { is_public: true, ..self.options }, ..self }
    }

    /// Tells clients in which trace and span a request was served, as `trace;desc=…` in the header `Server-Timing`
    /// ([Trace Context, level 3](https://w3c.github.io/trace-context/)): for browsers and other clients that don't trace by
    /// themselves. The value is a `traceparent`.
    #[must_use]
    pub fn trace_in_response(self) -> Self {
        Self { options: Options { tells_trace: true, ..self.options }, ..self }
    }

    /// The scheme that clients use, for the label `url_scheme` of requests that do not name one; `http` by default.
    /// HTTP/1.1 requests never do, so behind TLS, here or at a proxy, only you know.
    #[must_use]
    pub fn scheme(self, scheme: &Scheme) -> Self {
        Self { options: Options { scheme: measures::scheme(scheme), ..self.options }, ..self }
    }
}

/// What all services of a layer share.
#[derive(Debug)]
pub(crate) struct Shared {
    throughline: Throughline,
    measures: Measures,
}

impl<S> Layer<S> for ServerLayer {
    type Service = TracedService<S>;

    fn layer(&self, inner: S) -> TracedService<S> {
        TracedService { inner, shared: Arc::clone(&self.shared), options: self.options, asked: None }
    }
}

/// A service whose requests are traced: created by [`ServerLayer`].
#[derive(Debug)]
pub struct TracedService<S> {
    inner: S,
    shared: Arc<Shared>,
    options: Options,
    /// When the service inside was first asked whether it is ready and was not.
    asked: Option<Instant>,
}

impl<S: Clone> Clone for TracedService<S> {
    fn clone(&self) -> Self {
        // Each clone waits for itself.
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            options: self.options,
            asked: None,
        }
    }
}

impl<S, B, R> Service<Request<B>> for TracedService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Body<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    type Response = Response<TracedBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        let ready = self.inner.poll_ready(cx);
        match &ready {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => self.asked = None,
            Poll::Pending => self.asked = self.asked.or_else(|| Some(Instant::now())),
        }
        ready
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (arrival, start) = Arrival::of(&request, &self.shared, self.options, self.asked.take());
        ResponseFuture::called(&mut self.inner, request, start.open(), arrival)
    }
}

/// What is known of a request before the service inside is called.
pub(crate) struct Arrival {
    shared: Arc<Shared>,
    id: RequestId,
    labels: Labels,
    /// When the layer was first asked to take it.
    asked: Instant,
    /// When it took it.
    taken: Instant,
    is_grpc: bool,
    is_upgrade: bool,
    /// Whether it asks for a WebSocket.
    is_handshake: bool,
    /// Whether the version of HTTP marks where a body ends, whatever its content length is.
    is_framed: bool,
    tells_trace: bool,
}

impl Arrival {
    fn of<B>(
        request: &Request<B>,
        shared: &Arc<Shared>,
        options: Options,
        asked: Option<Instant>,
    ) -> (Self, RequestStart) {
        let headers = request.headers();
        let taken = Instant::now();
        let (id, labels, caller) = (
            RequestId::of(headers),
            Labels::of(request, options.scheme),
            extract_with(shared.throughline.propagators(), headers),
        );
        let (caller, cause) = match options.is_public {
            true => (Propagation::default(), caller.traceparent),
            false => (caller, None),
        };
        let start = shared.throughline.request(names::HTTP_REQUEST).continue_from(caller).describe({
            let (id, method, route, uri) =
                (id.clone(), labels.method, labels.route.clone(), request.uri().clone());
            let throughline = shared.throughline.clone();
            move |request| {
                let request = request.attr(names::attrs::REQUEST_ID, id.as_str().to_owned());
                let request = request.attr(names::attrs::HTTP_METHOD, method);
                let request = match route.matched() {
                    Some(route) => request.attr(names::attrs::HTTP_ROUTE, route.to_owned()),
                    None => request,
                };
                let request = match cause {
                    Some(cause) => request.caused_by(cause),
                    None => request,
                };
                // The name of a parameter says what kind of value stands in its place.
                let path = throughline.path(route.matched().unwrap_or_default(), uri.path());
                request.input(&serde_json::json!({ "path": path }))
            }
        });
        let start = match id.of_caller() {
            Some(id) => start.request_id(Cow::Borrowed(id)),
            None => start.made_request_id(id.as_str()),
        };
        let is_grpc = headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        let is_upgrade = match request.version() {
            Version::HTTP_11 => headers.contains_key(header::UPGRADE),
            _ => request.method() == http::Method::CONNECT,
        };
        // Every handshake names the version (RFC 6455, section 4.1, and RFC 8441, section 5), and nothing else does.
        let is_handshake = is_upgrade && headers.contains_key(header::SEC_WEBSOCKET_VERSION);
        let is_framed = request.version() >= Version::HTTP_2;
        let asked = asked.unwrap_or(taken);
        let shared = Arc::clone(shared);
        let tells_trace = options.tells_trace;
        let arrival = Self {
            shared,
            id,
            labels,
            asked,
            taken,
            is_grpc,
            is_upgrade,
            is_handshake,
            is_framed,
            tells_trace,
        };
        (arrival, start)
    }

    /// Adds to the request what the service inside may ask it for.
    fn introduce<B>(&self, request: &mut Request<B>, context: &TraceContext) {
        let extensions = request.extensions_mut();
        extensions.insert(context.clone());
        extensions.insert(self.id.clone());
        if self.is_upgrade {
            let open = self.shared.measures.websockets.with([self.labels.route.label()]);
            extensions.insert(SocketSession::new(context.clone(), open));
        }
    }
}
