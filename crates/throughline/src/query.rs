//! Queries about one run, and the state of a run.
//!
//! [`TraceQuery`] is pure: give it the events of a run from anywhere, a file included.
//!
//! ```
//! use throughline::query::{RunState, Verdict};
//! use throughline::store::{Filter, Page};
//! use throughline::{MemoryStore, Throughline};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build()?;
//! let run = throughline.workflow("loan-approval").key("loan-42").run(|ctx| async move {
//!     ctx.trace("stage:sign", async { Err::<(), _>("no pen") }).await??;
//!     Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
//! });
//! assert!(run.await?.is_err());
//!
//! // The latest run under the key.
//! let reader = throughline.reader().ok_or("there is a store")?;
//! let found = reader.runs(&Filter::new().correlation_id("loan-42"), &Page::first(1)).await?;
//! let query = throughline.query(found.items[0].trace_id).await?;
//! assert_eq!(query.summary().map(|run| run.state), Some(RunState::Failed));
//! assert_eq!(query.failure().map(|span| span.name().into_owned()).as_deref(), Some("stage:sign"));
//! assert_eq!(query.explain().verdict, Verdict::Failed);
//! # Ok(())
//! # }
//! ```

pub use throughline_model::{
    CurrentStep, DeployCheck, FailureSummary, Liveness, OpenRun, OpenSummary, RootSummary, RunState,
    RunSummary, fold,
};
pub use throughline_query::{
    Alternative, AttrChange, Basis, Cascade, CascadeKind, Cause, CauseKind, Certainty, ChoiceChange,
    Comparison, CompensationEntry, CompensationLedger, CompensationState, Consequence, Decision,
    DecisionOutcome, Decisions, Diff, Difference, DifferenceKind, Divergence, DivergenceKind, Explanation,
    FailureOutcome, InputChange, OrphanedResource, OtherFailure, PathStep, Problem, ProblemKind, PutUpWith,
    Recorded, SagaCompensation, Says, SlowerSpan, Span, SpanSummary, StateChange, Statement, Timeline,
    TimelineEntry, TraceQuery, Tree, TreeNode, UnmatchedSpan, UpstreamDecision, Usual, Verdict,
    human_duration,
};
#[cfg(feature = "render")]
pub use throughline_query::{Emphasis, Style, elide, escape, is_unsafe};
