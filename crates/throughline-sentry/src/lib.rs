#![doc = include_str!("lib.md")]

mod builder;
mod endpoint;
mod hook;
mod layer;
mod limit;
mod outbox;
mod recent;
mod redact;
mod report;
mod sentry;
mod timings;
mod transport;

pub use builder::{SentryBuilder, SentryError};
pub use layer::SentryLayer;
pub use sentry::{Sentry, SentryGuard};

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
