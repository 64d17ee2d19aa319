//! The integration tests of the crate, in one binary: real servers and clients on loopback sockets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "the helpers of tests may fail a test too")]

#[cfg(feature = "health")]
mod handler_error;
mod health;

#[cfg(feature = "browser")]
mod browser;
mod client;
mod exemplars;
mod grpc;
mod hostile_headers;
mod layer;
mod plain_hyper;
mod propagators;
mod sagas;
mod server;
mod side;
mod sockets;
mod support;
#[cfg(feature = "transports")]
mod transport;
mod websocket;
