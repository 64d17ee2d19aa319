//! Lines as they come out of the layer and the sink.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot continue says so best by failing at that place"
)]

mod capture;
mod ids;
mod lines;
