//! HTTP: one tower layer for servers, one for clients, the axum extractor [`Traced`], and propagation in headers.
//!
//! ```
//! use axum::{Router, routing::get};
//! use throughline::{LayerExt as _, MemoryStore, Throughline, Traced};
//!
//! async fn offer(Traced(ctx): Traced) -> &'static str {
//!     ctx.trace_infallible("stage:offer", async { "granted" }).await.unwrap_or("try again later")
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build()?;
//! // At a public endpoint, callers are not trusted to continue traces.
//! let app: Router = Router::new().route("/offer", get(offer)).layer(throughline.layer().public());
//! # Ok(())
//! # }
//! ```

pub use throughline_tower::{
    BodyError, ClientLayer, ClientRequest, ClientResponse, LayerExt, REQUEST_ID, RequestId, ResponseFuture,
    SERVER_TIMING, ServerLayer, ServerTiming, SocketSession, Target, TracedBody, TracedClient, TracedService,
    extract, extract_with, inject,
};
#[cfg(feature = "axum")]
pub use throughline_tower::{HandlerError, NoSocket, NoTraceContext, Traced};
