//! The in-memory store and feed.

mod feed;
mod reader;
mod store;

pub use feed::MemoryFeed;
pub use store::MemoryStore;
