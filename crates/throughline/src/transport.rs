//! Calls to functions over HTTP, over a Unix socket and in process, and where their time goes.
//!
//! ```
//! use axum::{Json, Router, routing::post};
//! use throughline::transport::{Caller, Profiler};
//! use throughline::{LayerExt as _, MemoryStore, Throughline};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let throughline = Throughline::builder("adder").store(MemoryStore::new()).build()?;
//! let sum = |Json(numbers): Json<Vec<u64>>| async move { Json(numbers.iter().sum::<u64>()) };
//! let router = Router::new().route("/functions/sum", post(sum)).layer(throughline.layer());
//!
//! let profiler = Profiler::new();
//! let caller = Caller::direct(&throughline, router).profiler(&profiler);
//! let sum: u64 = caller.call("sum", &[1, 2, 39]).await?;
//! assert_eq!(sum, 42);
//! println!("{:?}", profiler.report());
//! # Ok(())
//! # }
//! ```

pub use throughline_tower::transport::{
    Analysis, Analyzer, Call, CallError, CallOutcome, CallRecord, CallTimes, Callee, CalleeTimes, Caller,
    CallerError, Finding, FindingKind, FunctionProfile, InspectedMessage, Inspection, Inspector, Part,
    PartProfile, Percentiles, Problem, ProfileReport, Profiler, Sizes, Transport,
};
