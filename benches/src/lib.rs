//! Throughline measured side by side with named peers.
//!
//! A row of [`rows::ALL`] is one comparison. Both sides of it are measured in the same process alternately (ours,
//! peer, ours, peer…), so that whatever else the machine does meets both, and what is reported is the ratio.

pub mod duel;
pub mod load;
pub mod machine;
pub mod million;
pub mod ours;
pub mod peers;
pub mod report;
#[cfg(feature = "http")]
pub mod requests;
pub mod rows;
#[path = "../../examples/distributed/servers.rs"]
mod servers;
#[cfg(feature = "http")]
pub mod visitors;
