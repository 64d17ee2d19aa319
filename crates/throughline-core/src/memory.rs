//! The in-memory store and feed, and the reference answers that every other store is held to.

mod analytics;
mod digest;
mod feed;
mod reader;
mod store;

#[cfg(feature = "testing")]
pub(crate) use analytics::Log;
pub(crate) use digest::decides;
#[cfg(feature = "testing")]
pub(crate) use digest::{Position, place_in_span, run_matches};
pub use feed::MemoryFeed;
pub use store::MemoryStore;
