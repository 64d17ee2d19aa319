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
//! One [layer](ServerLayer) does it all, so that there is no order to get wrong:
//!
//! - It continues the caller's trace (`traceparent`, `tracestate`, `baggage`), and begins one of its own where these are
//!   missing or malformed; `docs/propagation.md` has the rules and a table.
//! - It takes or makes a [`RequestId`], and answers with it and with [`ServerTiming`].
//! - It turns a panic into an answer that gives nothing away, and a panic in a body into a connection that breaks off.
//!   Errors of axum handlers answer by themselves: see `HandlerError`.
//! - It ends the request's span when the response *body* ends, or as cancelled when the client goes away. The span is
//!   *lazy*: a request in which nothing is traced and nothing fails leaves no trace.
//! - Where strangers can call, it joins no trace that they name: [`ServerLayer::public`].
//! - It measures: `http_server_request_duration_seconds`, `http_server_active_requests`. Only the matched route is a label.
//! - At a WebSocket upgrade the request has been answered; the socket's life is a step of its own: see [`SocketSession`].
//!
//! It goes around axum with `Router::layer`, around tonic with `Server::builder().layer(..)`, and around any service of
//! `http` requests with tower's `ServiceBuilder`.
//!
//! For whom you call there is [`ClientLayer`], around `hyper-util`'s client, tonic's, and with features `reqwest`'s and
//! that of `reqwest-middleware`. With the feature `transports` the module `transport` calls functions by name, over HTTP,
//! over a Unix socket and in process, and says where the time of the calls goes.

mod body;
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
pub use propagate::{extract, inject};
pub use request_id::{REQUEST_ID, RequestId};
pub use server::{LayerExt, ResponseFuture, ServerLayer, TracedService};
pub use server_timing::{SERVER_TIMING, ServerTiming};
pub use socket::SocketSession;

pub(crate) use throughline_core::BoxError;

/// The code of the README, as a doc test.
#[cfg(all(doctest, feature = "axum"))]
#[doc = include_str!("../README.md")]
struct Readme;
