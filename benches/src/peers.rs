//! The other sides of the comparisons.

pub mod fastrace;
pub mod otel;
pub mod plain_sqlite;
pub mod raw_log;
#[cfg(feature = "http")]
pub mod tower_stack;
