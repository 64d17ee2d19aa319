//! The exporter against receivers that others wrote, and against collectors that misbehave.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests may fail a test too")]

#[cfg(feature = "sdk")]
mod bridge;
mod collector;
mod delivered;
mod faults;
mod outbox;
mod receiver;
mod sampled;
mod shipped;
#[cfg(feature = "tls")]
mod tls;
