//! The integration tests of the crate, in one binary: real servers on loopback sockets, and a real browser.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests may fail a test too"
)]

mod answers;
mod browser;
mod figures;
mod hosts;
mod http;
mod library;
mod live;
mod player;
mod safety;
mod sources;
mod speed;
mod story;
mod stubborn;
