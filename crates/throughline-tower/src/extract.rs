//! The axum extractor.

use std::ops::Deref;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONNECTION, UPGRADE};
use http::request::Parts;
use throughline_core::TraceContext;

use crate::SocketSession;

/// The context of the request, for axum handlers: `async fn apply(Traced(ctx): Traced)`.
#[derive(Debug, Clone)]
pub struct Traced(pub TraceContext);

impl Deref for Traced {
    type Target = TraceContext;
    fn deref(&self) -> &TraceContext {
        &self.0
    }
}

impl<S: Sync> FromRequestParts<S> for Traced {
    type Rejection = NoTraceContext;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NoTraceContext> {
        parts.extensions.get::<TraceContext>().cloned().map(Self).ok_or(NoTraceContext)
    }
}

/// The handler asks for [`Traced`], but the layer is not around its router.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no trace context: put `.layer(throughline.layer())` around the router whose handler takes `Traced`")]
pub struct NoTraceContext;

impl IntoResponse for NoTraceContext {
    fn into_response(self) -> Response {
        // How to fix it is for the developer's log, not for the client.
        tracing::error!(target: "throughline", "{self}");
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for SocketSession {
    type Rejection = NoSocket;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NoSocket> {
        let extensions = &parts.extensions;
        extensions.get::<SocketSession>().cloned().ok_or_else(|| match extensions.get::<TraceContext>() {
            Some(_) => NoSocket::NotAsked,
            None => NoSocket::NoTraceContext,
        })
    }
}

/// The handler asks for a [`SocketSession`], and there is none.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[non_exhaustive]
pub enum NoSocket {
    /// The request does not ask for an upgrade.
    #[error("this endpoint is a WebSocket: send `Connection: upgrade` and `Upgrade: websocket`")]
    NotAsked,
    /// The layer is not around the router.
    #[error(
        "no trace context: put `.layer(throughline.layer())` around the router whose handler takes `SocketSession`"
    )]
    NoTraceContext,
}

impl IntoResponse for NoSocket {
    fn into_response(self) -> Response {
        match self {
            // It must say to what ([RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#section-15.5.22)).
            Self::NotAsked => {
                let fields = [(UPGRADE, "websocket"), (CONNECTION, "upgrade")];
                (StatusCode::UPGRADE_REQUIRED, fields, self.to_string()).into_response()
            }
            Self::NoTraceContext => {
                // How to fix it is for the developer's log, not for the client.
                tracing::error!(target: "throughline", "{self}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
