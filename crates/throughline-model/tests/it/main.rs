//! The suites prove the stores, feeds and spools that tests use, and find what is broken.

#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail a test too")]

mod altered;
mod broken_store;
mod faulty;
mod feed;
mod hostile;
mod remote_store;
mod spool;
