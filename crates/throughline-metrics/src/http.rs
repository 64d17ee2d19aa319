//! Metrics over HTTP: a router for `/metrics`, the same on a separate port, and where browsers send theirs.

mod scrape;
mod server;
mod web_vitals;

pub use server::{MetricsServer, ServeError};
pub use web_vitals::{BeaconError, web_vitals};
