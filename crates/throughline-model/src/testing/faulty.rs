//! Stores, feeds and spools that fail on demand.

mod calls;
mod feed;
mod reader;
mod spool;
mod store;

pub use calls::CallFaults;
pub use feed::{FaultyFeed, FeedFaults};
pub use spool::{FaultySpool, SpoolFaults};
pub use store::{Faults, FaultyStore};
