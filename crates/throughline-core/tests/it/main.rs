//! The integration tests of the crate, in one binary.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests may fail a test too")]

mod memory_conformance;
mod memory_faulty;
mod memory_store;
mod memory_tree;

mod cancelled;
mod child_process;
mod claims;
mod context;
mod delivery;
mod destinations;
mod edges;
mod failed_by;
mod good_beside;
mod inline;
mod interleavings;
mod keys;
mod lifecycle;
mod locks;
mod looks;
mod merged;
mod open;
mod outage;
mod prepared;
mod query;
mod recovery;
mod redacted;
mod remote;
mod request;
mod saga;
mod saga_left;
mod saga_resumed;
mod support;
mod told;
mod upkeep;
