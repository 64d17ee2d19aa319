//! What a [`TraceContext`] starts: steps, events, decisions, child workflows; and how it is propagated between processes.
//!
//! Most code never names these types: they are what the methods of [`TraceContext`] and
//! [`Throughline`](crate::Throughline) return.
//!
//! ```
//! use serde_json::json;
//! use throughline::TraceContext;
//! use throughline::context::Propagation;
//!
//! async fn approve(ctx: TraceContext, amount: u32) -> Result<Propagation, Box<dyn std::error::Error + Send + Sync>> {
//!     ctx.step("stage:reserve-funds").input(&amount).tag("money").run_infallible(|_| async {}).await?;
//!     ctx.event("business:reserved", json!({ "amount": amount })).await?;
//!     ctx.decision("ai:collateral").consider("secured", 0.7).choose("secured").confidence(0.7).await?;
//!     // Sent as headers or as fields of a message, this continues the trace elsewhere.
//!     Ok(ctx.propagation())
//! }
//! ```

pub use throughline_core::{
    CancelledBy, CapturingStep, DeadlinePassed, Decision, DecisionDraft, Deferred, EventDraft, InContext,
    InContextFuture, NotRecorded, ParsePropagatorsError, ParseTraceParentError, Propagation, Propagator,
    Propagators, RequestDetails, RequestSpan, RequestStart, Resume, Settled, Step, Timeout, TraceContext,
    TraceFuture, TraceParent, Workflow,
};
pub use throughline_model::{StepError, kind};
