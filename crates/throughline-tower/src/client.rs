//! The client layer: calls to other services become spans and metrics, and the trace goes along.

mod exchange;
mod measure;
#[cfg(feature = "reqwest-middleware")]
mod middleware;
mod request;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use throughline_core::{BoxFuture, Throughline, TraceContext};
use tower_layer::Layer;
use tower_service::Service;

use measure::ClientMetrics;
pub use request::{ClientRequest, ClientResponse, Target};

/// The tower layer for clients: `hyper-util`'s, `reqwest::Client` (feature `reqwest`), tonic's channels, a
/// [`Router`](https://docs.rs/axum/latest/axum/struct.Router.html) that is called directly. With the feature
/// `reqwest-middleware` it is a middleware of that crate too.
///
/// A request that is sent within a [current](TraceContext::current) context
///
/// - carries `traceparent`, `tracestate`, `baggage` and `x-request-id`, if [it may](Self::propagate_to); a request id that
///   it has already stays, and its own baggage goes before what came along;
/// - is a span of its own, a [dependency](TraceContext::dependency) of kind `http`, with method, host, port and path
///   (never a query or credentials), and the status of the response. It fails with the client's error, with a 5xx, and
///   with a gRPC status in the head that is the server's fault; a 4xx is a response, and what it means is for the caller
///   to say. In the metrics it is an `error_type`, as every gRPC status but OK is, for there the conventions say so;
/// - says where its time went, if the response has a [`ServerTiming`](crate::ServerTiming): the attributes
///   `call.caller_us` (until the request was handed to the client: recording the span's start), `call.transport_us`,
///   `call.queue_us` and `call.callee_us`. Without that header they are not guessed.
///
/// Outside of every context nothing is injected and recorded but metrics. A span and the metrics end when the head of
/// the response is there; the body is the caller's, and so are trailers: a gRPC status that comes in them is not seen.
///
/// Put it directly around the client and below layers that retry, so that each attempt is a span. If the start of the
/// span cannot be recorded, the request is sent anyway, without one.
///
/// ```
/// use http_body_util::Empty;
/// use hyper_util::client::legacy::Client;
/// use hyper_util::rt::TokioExecutor;
/// use throughline_core::{MemoryStore, Throughline};
/// use throughline_tower::LayerExt as _;
/// use tower_layer::Layer as _;
///
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build()?;
/// let client = Client::builder(TokioExecutor::new()).build_http::<Empty<bytes::Bytes>>();
/// let client = throughline.client_layer().layer(client);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ClientLayer {
    metrics: ClientMetrics,
    propagate_to: Option<Arc<IsOurs>>,
}

/// Whether a target is to be sent the context.
type IsOurs = dyn Fn(&Target) -> bool + Send + Sync;

impl ClientLayer {
    /// What [`LayerExt::client_layer`](crate::LayerExt::client_layer) gives.
    pub(crate) fn new(throughline: &Throughline) -> Self {
        Self { metrics: ClientMetrics::new(throughline.meter()), propagate_to: None }
    }

    /// Which targets get the context and the request id; all by default. The baggage may name tenants and users, and it
    /// contains the business key; a third party needs none of it. Calls to other targets are still recorded and measured.
    ///
    /// ```
    /// # use throughline_core::Throughline;
    /// # use throughline_tower::{ClientLayer, LayerExt as _};
    /// # fn example(throughline: Throughline) -> ClientLayer {
    /// throughline.client_layer().propagate_to(|target| target.host().ends_with(".internal"))
    /// # }
    /// ```
    #[must_use]
    pub fn propagate_to(self, is_ours: impl Fn(&Target) -> bool + Send + Sync + 'static) -> Self {
        Self { propagate_to: Some(Arc::new(is_ours)), ..self }
    }

    fn propagates_to(&self, target: &Target) -> bool {
        self.propagate_to.as_ref().is_none_or(|is_ours| is_ours(target))
    }
}

impl fmt::Debug for ClientLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to_all = self.propagate_to.is_none();
        f.debug_struct("ClientLayer").field("propagates_to_all", &to_all).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for ClientLayer {
    type Service = TracedClient<S>;

    fn layer(&self, inner: S) -> TracedClient<S> {
        TracedClient { inner, layer: self.clone() }
    }
}

/// A client whose calls are traced: created by [`ClientLayer`].
#[derive(Debug, Clone)]
pub struct TracedClient<S> {
    inner: S,
    layer: ClientLayer,
}

impl<S, Q> Service<Q> for TracedClient<S>
where
    Q: ClientRequest + Send + 'static,
    S: Service<Q> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Response: ClientResponse + Send + 'static,
    S::Error: std::error::Error + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Q) -> Self::Future {
        // The service that was made ready is the one to call; its clone waits for the next request.
        let waiting = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, waiting);
        let (layer, context) = (self.layer.clone(), TraceContext::current());
        Box::pin(
            async move { exchange::exchange(&layer, context, request, |request| ready.call(request)).await },
        )
    }
}
