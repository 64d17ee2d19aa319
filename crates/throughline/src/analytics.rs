//! Queries across runs: failure rates, slow stages, hot spots, the outcomes of decisions.
//!
//! ```
//! use throughline::analytics::TraceAnalytics as _;
//! use throughline::store::Scope;
//! use throughline::{MemoryStore, Throughline};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build()?;
//! # throughline.workflow("loan-approval").run_infallible(|_| async {}).await?;
//! let analytics = throughline.analytics().ok_or("there is no store")?;
//! let rate = analytics.failure_rate(&Scope::all().workflow("loan-approval")).await?;
//! let (low, high) = rate.interval();
//! println!("{} of {} runs failed (95 % interval {low:.2} to {high:.2})", rate.hits, rate.total);
//! # Ok(())
//! # }
//! ```

pub use throughline_model::{
    Bucket, ChoiceOutcome, Histogram, HotSpot, Log, LoggedRun, PagedAnalytics, Rate, SlowSpan, StageTimes,
    TraceAnalytics, TypeRate,
};
