//! How a service delivers its events: the builder, and the report on what became of them.
//!
//! ```
//! use std::time::Duration;
//! use throughline::delivery::{Durability, Retry};
//! use throughline::{MemoryStore, Throughline};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let throughline = Throughline::builder("loan-service")
//!     .store(MemoryStore::new())
//!     .durability(Durability::Pipelined)
//!     .retry(Retry::attempts(5).attempt_timeout(Duration::from_secs(2)))
//!     .build()?;
//! // .. and when the service ends:
//! let report = throughline.shutdown(Duration::from_secs(5)).await;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```

pub use throughline_core::{
    BuildError, DeliveryReport, DestinationKind, DestinationReport, Durability, LastFailure, QueueReport,
    Retry, ThroughlineBuilder, WhenFull,
};
pub use throughline_model::DropReason;
