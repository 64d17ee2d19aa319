//! The integration tests of the crate, in one binary: real servers and clients on loopback sockets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests may fail a test too")]

#[cfg(feature = "health")]
mod health;
#[cfg(feature = "health")]
mod reading;

mod grpc;
mod hostile_headers;
mod plain_hyper;
mod server;
mod sockets;
mod support;
mod websocket;
