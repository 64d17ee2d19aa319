//! Stores: the built-in ones, how to query them, and the contracts for writing one.
//!
//! ```
//! use throughline::event::Status;
//! use throughline::store::{Filter, Page, TraceReader as _};
//! use throughline::{MemoryStore, Throughline};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build()?;
//! # throughline.workflow("loan-approval").run_infallible(|_| async {}).await?;
//! let reader = throughline.reader().ok_or("there is no store")?;
//! let failed = Filter::new().status(Status::Failed).event_type("stage:*");
//! let mut page = Page::first(100);
//! loop {
//!     let runs = reader.runs(&failed, &page).await?;
//!     for run in &runs.items {
//!         println!("{} {}", run.trace_id, run.state);
//!     }
//!     match runs.next {
//!         Some(next) => page.after = Some(next),
//!         None => break,
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A store of your own implements [`StoreConfig`], [`TraceStore`], [`TraceReader`] and, as far as it can,
//! [`TraceAnalytics`](crate::analytics::TraceAnalytics). It needs only the crate `throughline-model`;
//! `docs/write-a-store.md` shows how.

pub use throughline_core::MemoryStore;
#[cfg(feature = "cosmos")]
pub use throughline_cosmos::{CosmosReader, CosmosStore};
pub use throughline_model::{
    AppendError, AppendInline, BoxError, BoxFuture, Charges, Claim, Cursor, Filter, Instance, JobAttempt,
    JobKey, Lease, Limits, MergedReader, OpenError, Page, Paged, Process, ReadError, Readers, Refused, Scope,
    Secret, Spool, SpoolConfig, SpoolReader, SpoolUsage, Spooled, StoreConfig, TraceReader, TraceStore,
    TypeMatch, Upkeep, UpkeepFailures,
};
#[cfg(feature = "postgres")]
pub use throughline_postgres::{PostgresReader, PostgresStore};
#[cfg(feature = "sqlite")]
pub use throughline_sqlite::{
    ImportError, Imported, PruneError, PrunePolicy, PruneReport, SqliteImporter, SqliteReader, SqliteSpool,
    SqliteStore, StoreInfo, Synchronous,
};
