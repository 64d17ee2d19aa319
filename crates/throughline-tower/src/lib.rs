//! Throughline for HTTP: one layer for servers, one for clients, and the extractor `Traced` for axum.
//!
//! ```
//! use axum::{Router, routing::get};
//! use throughline_core::{MemoryStore, Throughline};
//! use throughline_tower::{LayerExt as _, Traced};
//!
//! async fn offer(Traced(ctx): Traced) -> &'static str {
//!     ctx.trace_infallible("stage:offer", async { "granted" }).await.unwrap_or("try again later")
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build()?;
//! let app: Router = Router::new().route("/offer", get(offer)).layer(throughline.layer());
//! # Ok(())
//! # }
//! ```
//!
//! One [layer](ServerLayer) does everything, so there is no layer order to get wrong:
//!
//! - It continues the caller's trace (`traceparent`, `tracestate`, `baggage`), or starts a new one if these are missing or
//!   malformed; `docs/propagation.md` has the rules and a table.
//! - It accepts or generates a [`RequestId`], and adds it and [`ServerTiming`] to the response.
//! - It turns a panic into a response that discloses nothing, and a panic in a body into an aborted connection. Errors of
//!   axum handlers become responses by themselves: see `HandlerError`.
//! - It ends the request's span when the response *body* ends, or as cancelled when the client disconnects. The span is
//!   *lazy*: a request in which nothing is traced and nothing fails records nothing.
//! - At a public endpoint, it does not join traces that untrusted callers name: [`ServerLayer::public`].
//! - It records `http_server_request_duration_seconds` and `http_server_active_requests`. Only the matched route is a label.
//! - A WebSocket upgrade ends the request; the lifetime of the socket is a separate step: see [`SocketSession`].
//!
//! Add it to axum with `Router::layer`, to tonic with `Server::builder().layer(..)`, and to any service of `http` requests
//! with tower's `ServiceBuilder`.
//!
//! For outgoing calls there is [`ClientLayer`], around the clients of `hyper-util` and tonic and, by feature, those of
//! `reqwest` and `reqwest-middleware`. With the feature `transports`, the module `transport` calls functions by name over
//! HTTP, over a Unix socket and in process, and measures where the time of the calls goes.

mod body;
#[cfg(feature = "browser")]
pub mod browser;
mod client;
#[cfg(feature = "axum")]
mod extract;
mod failure;
mod grpc;
#[cfg(feature = "axum")]
mod handler_error;
#[cfg(feature = "health")]
pub mod health;
mod propagate;
mod request_id;
mod server;
mod server_timing;
mod socket;
mod split;
#[cfg(feature = "transports")]
pub mod transport;

pub use body::{BodyError, TracedBody};
pub use client::{ClientLayer, ClientRequest, ClientResponse, Target, TracedClient};
#[cfg(feature = "axum")]
pub use extract::{NoSocket, NoTraceContext, Traced};
#[cfg(feature = "axum")]
pub use handler_error::HandlerError;
pub use propagate::{extract, extract_with, inject};
pub use request_id::{REQUEST_ID, RequestId};
pub use server::{LayerExt, ResponseFuture, ServerLayer, TracedService};
pub use server_timing::{SERVER_TIMING, ServerTiming};
pub use socket::SocketSession;

pub(crate) use throughline_core::BoxError;

/// The code of the README, as a doc test.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;
