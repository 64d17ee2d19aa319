//! The integration tests of the crate, in one binary.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests may fail a test too, and some tests are about panics"
)]

mod apalis;
mod carrier;
mod job;
mod locks;
mod logs;
mod provisioning;
mod queue_depth;
mod rate_limit;
mod state_machine;
mod step;
mod support;
mod timer;
mod workflow;
