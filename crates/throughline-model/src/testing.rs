//! What tests need: a suite that proves a store or a feed, and help to assert on your own workflows.
//!
//! - [`store_conformance!`](crate::store_conformance) and [`feed_conformance!`](crate::feed_conformance) turn
//!   every promise of a store or a feed into a test of yours.
//! - [`tree`] renders the events of a run without ids and
//!   times, for a snapshot.
//! - [`run`] builds the events of a run by hand, [`sample_log`] makes a log of many runs,
//!   [`broken_run`] one that contradicts itself.
//! - [`FaultyStore`] fails, hangs and loses acknowledgements on demand.

mod broken;
mod builder;
pub mod conformance;
mod faulty;
mod sample;
mod tree;

pub use broken::broken_run;
pub use builder::{RunBuilder, run};
pub use faulty::{Faults, FaultyStore};
pub use sample::sample_log;
pub use tree::tree;
