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
//! The layer continues the caller's trace (`traceparent`, `tracestate`, `baggage`), takes or makes a request id and
//! answers with it, turns a panic into an answer, and ends the request's span when the response body ends. The span
//! is *lazy*: a request in which nothing is traced and nothing fails leaves no trace.
//!
//! For whom you call there is [`ClientLayer`], around `hyper-util`'s client, tonic's, and with features `reqwest`'s and
//! that of `reqwest-middleware`. With the feature `transports` the module `transport` calls functions by name, over HTTP,
//! over a Unix socket and in process, and says where the time of the calls goes.

mod body;
mod client;
#[cfg(feature = "axum")]
mod extract;
mod failure;
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
pub use client::{ClientLayer, ClientRequest, ClientResponse, TracedClient};
#[cfg(feature = "axum")]
pub use extract::{NoSocket, NoTraceContext, Traced};
pub use propagate::{extract, inject};
pub use request_id::{REQUEST_ID, RequestId};
pub use server::{LayerExt, ResponseFuture, ServerLayer, TracedService};
pub use server_timing::{SERVER_TIMING, ServerTiming};
pub use socket::SocketSession;

pub(crate) use throughline_core::BoxError;
