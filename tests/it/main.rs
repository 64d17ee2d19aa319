//! Tests of the workspace as a whole, in one binary so that they link once.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot continue says so best by failing at that place"
)]

mod child;
mod configuration;
mod crash;
mod dependency_rule;
mod durability;
mod event_schema;
mod facade;
mod features;
mod gone;
mod init;
mod json_lines_store;
mod kit;
mod logs;
mod metrics;
mod module_rings;
mod node_client;
mod otel;
mod packages;
mod process;
mod readme;
mod redis;
mod resume_storm;
mod saga_kills;
mod sentry;
mod signals;
mod six_questions;
mod source;
mod time_limits;
mod trace_context;
mod weight;
mod worker;
