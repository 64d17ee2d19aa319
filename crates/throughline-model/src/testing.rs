//! What tests need: suites that prove a store, a feed or a spool, and help to assert on your own workflows.
//!
//! - [`store_conformance!`](crate::store_conformance), [`feed_conformance!`](crate::feed_conformance) and
//!   [`spool_conformance!`](crate::spool_conformance) turn every promise of a store, a feed or a spool into a test of
//!   yours.
//! - [`tree`] renders the events of a run without ids and times, for a snapshot.
//! - [`run`] builds the events of a run by hand, [`sample_log`] makes a log of many runs, [`broken_run`] one that
//!   contradicts itself.
//! - [`FaultyStore`], [`FaultyFeed`] and [`FaultySpool`] fail, hang, panic and lose acknowledgements on demand.
//! - [`RemoteStore`] is a store in the shape of a distributed database, [`MemorySpool`] a spool within the process.

mod broken;
mod builder;
pub mod conformance;
mod faulty;
mod memory_spool;
mod remote_store;
mod sample;
mod tree;

pub use broken::broken_run;
pub use builder::{RunBuilder, run};
pub use faulty::{CallFaults, Faults, FaultyFeed, FaultySpool, FaultyStore, FeedFaults, SpoolFaults};
pub use memory_spool::MemorySpool;
pub use remote_store::RemoteStore;
pub use sample::sample_log;
pub use tree::tree;
