//! Helpers for tests: trees of runs for snapshots, a builder for runs, a look for secrets, stores that fail on demand, and
//! the conformance suites for stores, feeds and spools.
//!
//! ```
//! use throughline::testing::tree;
//! use throughline::{MemoryStore, Throughline};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let store = MemoryStore::new();
//! let throughline = Throughline::builder("loan-service").store(store.clone()).build()?;
//! let run = throughline.workflow("loan-approval").run(|ctx| async move {
//!     ctx.trace_infallible("stage:sign", async {}).await
//! });
//! run.await??;
//! assert_eq!(
//!     tree(&store.events()),
//!     "workflow:started > workflow:completed success\n  stage:sign success\n"
//! );
//! # Ok(())
//! # }
//! ```

pub use throughline_core::testing::{assert_no_secrets, assert_no_secrets_with};
pub use throughline_model::testing::{
    CallFaults, Faults, FaultyFeed, FaultySpool, FaultyStore, FeedFaults, MemorySpool, RemoteStore,
    RunBuilder, SpoolFaults, broken_run, conformance, run, sample_log, tree,
};
pub use throughline_model::{feed_conformance, spool_conformance, store_conformance};
