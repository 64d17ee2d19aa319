//! [`Caller`]: functions of another service, called by name.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use http_body::Body;
use http_body_util::Full;
use serde::Serialize;
use serde::de::DeserializeOwned;
use throughline_core::{BoxError, BoxFuture, StepError as _, Text, Throughline, TraceContext, names};
use tower::Service;

use super::connect::{self, Carrier};
use super::measure::CallMetrics;
use super::{CallError, CallOutcome, CallRecord, CallTimes, Callee, Inspector, Profiler, Transport, call};
use crate::failure::Described;

/// The path of functions, unless [`Caller::route`] sets another.
const ROUTE: &str = "/functions/{function}";
/// What stands for the function in a route.
const FUNCTION: &str = "{function}";
/// How long a callee behind a socket has, unless [`Caller::timeout`] sets another time.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How large a response may be in bytes, unless [`Caller::response_limit`] sets another limit.
const RESPONSE_LIMIT: usize = 16 * 1024 * 1024;

/// Calls functions by name, over one [`Transport`]: `POST /functions/{name}`, JSON in and out. Cheap to clone.
///
/// Within a [current](TraceContext::current) context each call is a span, a dependency of the transport's kind
/// (`dependency:http`, `dependency:ipc`, `dependency:direct`) with the function as its target, and the trace goes along:
/// the callee's [`ServerLayer`](crate::ServerLayer) continues it, whatever the transport is. The span's end says where
/// the time went (`call.transport_us` and its like) and how large request and answer were.
///
/// Inside a context or outside, each call is measured: as metrics, and by the [`Profiler`] and the [`Inspector`] if it
/// has them.
///
/// How long the callee took and how long the transport took is known only where the response has a
/// [`ServerTiming`](crate::ServerTiming), as behind a [`ServerLayer`](crate::ServerLayer). Without it a call has one part
/// for all of that, `round_trip`, and nothing is recorded as `transport`, nor under its alias
/// `{prefix}_transport_latency_seconds`.
///
/// ```
/// use axum::{Json, Router, routing::post};
/// use throughline_core::{MemoryStore, Throughline};
/// use throughline_tower::LayerExt as _;
/// use throughline_tower::transport::Caller;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// async fn sum(Json(numbers): Json<Vec<u64>>) -> Json<u64> {
///     Json(numbers.iter().sum())
/// }
///
/// let throughline = Throughline::builder("adder").store(MemoryStore::new()).build()?;
/// let router = Router::new().route("/functions/sum", post(sum)).layer(throughline.layer());
///
/// let caller = Caller::direct(&throughline, router);
/// let sum: u64 = caller.call("sum", &[1, 2, 39]).await?;
/// assert_eq!(sum, 42);
/// # Ok(())
/// # }
/// ```
///
/// Calls over sockets need a tokio runtime with its timers and I/O enabled.
#[derive(Clone)]
pub struct Caller {
    pub(super) throughline: Throughline,
    pub(super) transport: Transport,
    pub(super) address: Text,
    /// The scheme and the authority of requests; none for services in process, which take the path alone.
    origin: Option<(Scheme, Authority)>,
    route: Text,
    pub(super) carrier: Carrier,
    pub(super) timeout: Option<Duration>,
    pub(super) response_limit: usize,
    metrics: CallMetrics,
    profiler: Option<Profiler>,
    pub(super) inspector: Option<Inspector>,
}

impl Caller {
    /// Calls over TCP: `Caller::http(&throughline, "http://127.0.0.1:3000")`. Connections are kept.
    ///
    /// # Errors
    /// When the address is not an origin with the scheme `http`. For TLS, pass a client that speaks it to
    /// [`http_through`](Self::http_through).
    pub fn http(throughline: &Throughline, origin: &str) -> Result<Self, CallerError> {
        let (scheme, authority) = parse_origin(origin)?;
        if scheme != Scheme::HTTP {
            return Err(CallerError::NoTls { origin: format!("{scheme}://{authority}") });
        }
        Ok(Self::over_http(throughline, scheme, authority, connect::tcp()))
    }

    /// Calls over your own client: one that speaks TLS or HTTP/2, goes through a proxy, retries…
    ///
    /// # Errors
    /// When the address is not an origin: a scheme, a host and perhaps a port.
    pub fn http_through<S, R>(throughline: &Throughline, origin: &str, client: S) -> Result<Self, CallerError>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let (scheme, authority) = parse_origin(origin)?;
        Ok(Self::over_http(throughline, scheme, authority, connect::carrier(client)))
    }

    fn over_http(throughline: &Throughline, scheme: Scheme, authority: Authority, carrier: Carrier) -> Self {
        let address = format!("{scheme}://{authority}");
        let timeout = Some(TIMEOUT);
        Self {
            timeout,
            ..Self::new(throughline, Transport::Http, address, Some((scheme, authority)), carrier)
        }
    }

    /// Calls over a Unix domain socket: `Caller::ipc(&throughline, "/run/app.sock")`. Connections are kept.
    #[cfg(unix)]
    pub fn ipc(throughline: &Throughline, socket: impl Into<std::path::PathBuf>) -> Self {
        let socket = socket.into();
        let address = socket.display().to_string();
        // HTTP requires a host; behind a socket there is only one.
        let origin = (Scheme::HTTP, Authority::from_static("localhost"));
        let carrier = connect::unix(socket);
        Self {
            timeout: Some(TIMEOUT),
            ..Self::new(throughline, Transport::Ipc, address, Some(origin), carrier)
        }
    }

    /// Calls a service in this process, such as an axum `Router`: no socket, and no timeout unless one is set.
    pub fn direct<S, R>(throughline: &Throughline, service: S) -> Self
    where
        S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        Self::new(throughline, Transport::Direct, "this process", None, connect::carrier(service))
    }

    fn new(
        throughline: &Throughline,
        transport: Transport,
        address: impl Into<Text>,
        origin: Option<(Scheme, Authority)>,
        carrier: Carrier,
    ) -> Self {
        Self {
            metrics: CallMetrics::new(throughline.meter()),
            throughline: throughline.clone(),
            transport,
            address: address.into(),
            origin,
            route: Text::literal(ROUTE),
            carrier,
            timeout: None,
            response_limit: RESPONSE_LIMIT,
            profiler: None,
            inspector: None,
        }
    }

    /// The path of a function, by default `/functions/{function}`. Without `{function}` in it all functions share one
    /// path.
    ///
    /// # Errors
    /// When it is not a path.
    pub fn route(self, route: impl Into<Text>) -> Result<Self, CallerError> {
        let route = route.into();
        let path = route.replace(FUNCTION, "f");
        if !path.starts_with('/') || path.parse::<PathAndQuery>().is_err() {
            return Err(CallerError::BadRoute { route });
        }
        Ok(Self { route, ..self })
    }

    /// How long a call may take, from when it is sent until the response is there. By default 30 seconds, and in process
    /// without limit.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// How many bytes a response may have; 16 MiB by default.
    #[must_use]
    pub fn response_limit(self, bytes: usize) -> Self {
        Self { response_limit: bytes, ..self }
    }

    /// Gives every call to a profiler, which several callers may share.
    #[must_use]
    pub fn profiler(self, profiler: &Profiler) -> Self {
        Self { profiler: Some(profiler.clone()), ..self }
    }

    /// Shows every call to an inspector. For development: it looks at all that is sent and received.
    #[must_use]
    pub fn inspector(self, inspector: &Inspector) -> Self {
        Self { inspector: Some(inspector.clone()), ..self }
    }

    /// How this caller calls.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// Calls a function. The input is serialized at once, so that the call can be sent to another task; everything else
    /// happens when it is awaited.
    ///
    /// # Errors
    /// When the call cannot be recorded or made, or gave no result: see [`CallError`].
    pub fn call<In, Out>(&self, function: &str, input: &In) -> Call<Out>
    where
        In: Serialize + ?Sized,
        Out: DeserializeOwned + Send + 'static,
    {
        let since = Instant::now();
        let body = serde_json::to_vec(input);
        let request = call::Written { body, took: since.elapsed() };
        let (caller, function) = (self.clone(), Text::from(function.to_owned()));
        Call(Box::pin(async move {
            match TraceContext::current() {
                Some(context) => caller.call_traced(context, function, request).await,
                None => call::run(caller, None, function, request).await,
            }
        }))
    }

    async fn call_traced<Out>(
        self,
        context: TraceContext,
        function: Text,
        request: call::Written,
    ) -> Result<Out, CallError>
    where
        Out: DeserializeOwned + Send + 'static,
    {
        let step = context
            .dependency_step(self.transport.as_str(), function.clone())
            .attr(names::attrs::FUNCTION, function.clone())
            .attr(names::attrs::TRANSPORT, self.transport.as_str());
        let step = match &self.origin {
            Some((_, authority)) if self.transport == Transport::Http => {
                let step = step.attr(names::attrs::SERVER_ADDRESS, authority.host().to_owned());
                match authority.port_u16() {
                    Some(port) => step.attr(names::attrs::SERVER_PORT, port.to_string()),
                    None => step,
                }
            }
            _ => step,
        };
        // Outside of the span: pipelined, its start may turn out not to be recorded when the call has been made.
        let ended = Arc::new(Mutex::new(None));
        let (caller, name, keep) = (self.clone(), function.clone(), Arc::clone(&ended));
        let span = step.run(move |context| async move {
            let result = call::run(caller, Some(context), name, request).await;
            let outcome = result.as_ref().map(drop).map_err(|error| Described(error.describe()));
            *keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            outcome
        });
        let recorded = span.await;
        if let Some(result) = ended.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return result;
        }
        match recorded {
            Err(source) => {
                let record = CallRecord::new(function.clone(), self.transport, CallTimes::default());
                self.measured(&record.outcome(CallOutcome::NotSent));
                Err(CallError::NotStarted { callee: self.callee(&function), source })
            }
            // A call that has ended has left its result.
            Ok(_) => std::future::pending().await,
        }
    }

    /// Who is called.
    pub(super) fn callee(&self, function: &str) -> Box<Callee> {
        let (transport, address) = (self.transport, self.address.clone());
        Box::new(Callee { function: function.to_owned().into(), transport, address })
    }

    /// The path of a function; `None` if its name cannot be a part of one.
    pub(super) fn path(&self, function: &str) -> Option<String> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.:/".contains(&c);
        let sound = !function.is_empty() && function.bytes().all(plain);
        sound.then(|| self.route.replace(FUNCTION, function))
    }

    /// What a request for this path is addressed to.
    pub(super) fn uri(&self, path: &str) -> Result<Uri, http::Error> {
        let uri = Uri::builder().path_and_query(path);
        match &self.origin {
            Some((scheme, authority)) => uri.scheme(scheme.clone()).authority(authority.clone()).build(),
            None => uri.build(),
        }
    }

    /// Passes on what was measured of a call.
    pub(super) fn measured(&self, record: &CallRecord) {
        self.metrics.record(record);
        if let Some(profiler) = &self.profiler {
            profiler.record(record);
        }
    }
}

impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller")
            .field("transport", &self.transport)
            .field("address", &self.address)
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

/// A call of a function: returned by [`Caller::call`]. Dropped before its end, it is abandoned.
#[must_use = "nothing is called before it is awaited"]
pub struct Call<Out>(BoxFuture<'static, Result<Out, CallError>>);

impl<Out> Future for Call<Out> {
    type Output = Result<Out, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<Out> std::fmt::Debug for Call<Out> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

fn parse_origin(origin: &str) -> Result<(Scheme, Authority), CallerError> {
    let not_an_origin = || {
        // What stands before an `@` may be a password.
        let shown = origin.rsplit('@').next().unwrap_or_default().chars().take(128).collect();
        CallerError::NotAnOrigin { origin: shown }
    };
    let parts = origin.parse::<Uri>().map_err(|_| not_an_origin())?.into_parts();
    let path = parts.path_and_query.as_ref().map_or("/", PathAndQuery::as_str);
    match (parts.scheme, parts.authority) {
        (Some(scheme), Some(authority)) if path == "/" && !authority.as_str().contains('@') => {
            Ok((scheme, authority))
        }
        _ => Err(not_an_origin()),
    }
}

/// Why a [`Caller`] cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallerError {
    /// The address is not an origin.
    #[error(
        "`{origin}` is not an origin such as http://127.0.0.1:3000: it must be a scheme, a host and optionally a port; \
         the path belongs in Caller::route, credentials in a header of your own client (Caller::http_through)"
    )]
    NotAnOrigin {
        /// The address, without credentials.
        origin: String,
    },
    /// The scheme is not supported here.
    #[error(
        "{origin} cannot be reached by Caller::http, which speaks plain HTTP: pass a client that speaks TLS to Caller::http_through"
    )]
    NoTls {
        /// The address.
        origin: String,
    },
    /// The route is not a path.
    #[error("`{route}` is not a path such as /functions/{{function}}")]
    BadRoute {
        /// The route.
        route: Text,
    },
}
