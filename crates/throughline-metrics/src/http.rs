//! Metrics over HTTP: a router for `/metrics`, and the same on a separate port.

mod scrape;
mod server;

pub use server::{MetricsServer, ServeError};
