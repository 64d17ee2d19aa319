//! Sagas: steps that are undone, in reverse order, if a later one fails.
//!
//! ```
//! use throughline::saga::SagaFailed;
//! use throughline::{MemoryStore, Throughline};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build()?;
//! let run = throughline.workflow("loan-approval").run(|ctx| async move {
//!     let saga = ctx.saga("booking").run(|saga| async move {
//!         saga.step("stage:reserve-funds")
//!             .compensate(|_input, _ctx| async { Ok::<_, std::io::Error>(()) })
//!             .run(|_input, _ctx| async { Ok::<_, std::io::Error>(()) })
//!             .await??;
//!         Err::<(), Box<dyn std::error::Error + Send + Sync>>("the registry is closed".into())
//!     });
//!     let failed: SagaFailed<_> = match saga.await? {
//!         Ok(()) => return Ok(()),
//!         Err(failed) => failed,
//!     };
//!     assert!(failed.is_undone());
//!     Err(failed.error)
//! });
//! assert!(run.await?.is_err());
//! # Ok(())
//! # }
//! ```

pub use throughline_core::{
    Compensated, CompensationOutcome, OnCancel, Saga, SagaBuilder, SagaFailed, SagaRecovery, SagaStep,
};
