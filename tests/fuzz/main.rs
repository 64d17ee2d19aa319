//! Every parser of bytes that somebody else wrote, on any bytes; but for those of the command and of redaction, which are
//! tested where they are (`crates/throughline-cli/src/fuzz.rs`, `crates/throughline-redact/tests/fuzz.rs`).

#![expect(clippy::unwrap_used, reason = "a test that cannot continue says so best by failing at that place")]

mod headers;
mod propagation;
mod redaction;
mod rows;
