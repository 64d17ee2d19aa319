//! The feed on a real server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests may fail a test too"
)]

mod address;
mod conformance;
mod faults;
mod missed;
mod runs;
#[cfg(feature = "sentinel")]
mod sentinel;
mod server;
mod watch;
