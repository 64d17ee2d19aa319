//! The life of an upgraded socket.

use std::fmt;

use throughline_core::metrics::Gauge;
use throughline_core::{NotRecorded, StepError, TraceContext, names};

/// The life of a WebSocket, which begins where its request ends: the request's span ends with the response
/// `101 Switching Protocols`, and what is said on the socket afterwards is a step of its own, `ws:session`, in the same
/// trace. While it runs the socket counts in `throughline_websockets_active`. How handshakes were answered is counted
/// whether there is a session or not, in `throughline_websocket_upgrades_total`.
///
/// It is in the extensions of every request that asks for an upgrade, and an extractor for axum:
///
/// ```
/// # mod ws {
/// # use axum::extract::FromRequestParts;
/// # pub struct WebSocketUpgrade;
/// # pub struct WebSocket;
/// # impl<S: Sync> FromRequestParts<S> for WebSocketUpgrade {
/// #     type Rejection = ();
/// #     async fn from_request_parts(_: &mut http::request::Parts, _: &S) -> Result<Self, ()> { Ok(Self) }
/// # }
/// # impl WebSocketUpgrade {
/// #     pub fn on_upgrade<F: Future<Output = ()> + Send + 'static>(
/// #         self,
/// #         _: impl FnOnce(WebSocket) -> F + Send + 'static,
/// #     ) -> axum::response::Response { Default::default() }
/// # }
/// # }
/// # use ws::{WebSocket, WebSocketUpgrade}; // of `axum::extract::ws`
/// use axum::response::Response;
/// use throughline_core::TraceContext;
/// use throughline_tower::SocketSession;
///
/// async fn prices(session: SocketSession, upgrade: WebSocketUpgrade) -> Response {
///     upgrade.on_upgrade(|socket| async move {
///         // An error says that the session could not be recorded; it did not begin then.
///         if let Err(error) = session.run_infallible(|ctx| talk(socket, ctx)).await {
///             tracing::warn!(%error, "the socket was closed");
///         }
///     })
/// }
///
/// async fn talk(socket: WebSocket, ctx: TraceContext) {
///     // ..
/// }
/// ```
#[derive(Clone)]
#[must_use = "the socket's life is recorded by run(..)"]
pub struct SocketSession {
    context: TraceContext,
    open: Gauge,
}

impl SocketSession {
    pub(crate) fn new(context: TraceContext, open: Gauge) -> Self {
        Self { context, open }
    }

    /// The context of the request that asked for the upgrade.
    pub fn context(&self) -> &TraceContext {
        &self.context
    }

    /// Lives the life of the socket. The closure is given the context of its step.
    ///
    /// # Errors
    /// When the step's start can't be recorded; the closure is not called then.
    pub async fn run<C, F, T, E, K>(self, life: C) -> Result<Result<T, E>, NotRecorded>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future<Output = Result<T, E>>,
        E: StepError<K>,
    {
        let _open = self.open.hold();
        self.context.step(names::WEBSOCKET_SESSION).run(life).await
    }

    /// Lives the life of a socket that cannot fail.
    ///
    /// # Errors
    /// When the step's start can't be recorded; the closure is not called then.
    pub async fn run_infallible<C, F>(self, life: C) -> Result<F::Output, NotRecorded>
    where
        C: FnOnce(TraceContext) -> F,
        F: Future,
    {
        let _open = self.open.hold();
        self.context.step(names::WEBSOCKET_SESSION).run_infallible(life).await
    }
}

impl fmt::Debug for SocketSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketSession").field("context", &self.context).finish_non_exhaustive()
    }
}
