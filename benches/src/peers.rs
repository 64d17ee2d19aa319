//! The other sides of the comparisons.

pub mod fastrace;
#[cfg(feature = "signals")]
pub mod lean_stack;
pub mod otel;
pub mod plain_sqlite;
pub mod raw_log;
#[cfg(feature = "http")]
pub mod tower_stack;
